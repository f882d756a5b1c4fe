"""Each network that answers locally against itself on every altered window, whole."""

import pytest
import torch
from torch import nn

from epilm.batch import Windows
from epilm.models.baselines import FactorNet, SmallCNN
from epilm.models.dilated import DilatedCNN
from epilm.models.local_answers import answers_locally
from epilm.models.networks import NETWORKS, Shape


def windows(codes, **more):
    ids = torch.zeros(len(codes), 1, dtype=torch.int64)
    return Windows(ids, ids == 0, codes=codes, **more)


def lively(network):
    """Norms that do something, as learned ones do."""
    generator = torch.Generator().manual_seed(3)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


def both_ways(network, width, m=1, length=None, tracks=None, seed=0):
    """Answers to a random change at every place, N among what stands there and is put there."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 5, (1, width), dtype=torch.uint8, generator=generator)
    real = width if length is None else length
    codes[:, real:] = 4
    start = torch.arange(real - m + 1)
    n = len(start)
    bases = torch.randint(0, 5, (n, m), dtype=torch.uint8, generator=generator)
    written = codes.repeat(n, 1)
    written[start[:, None], start[:, None] + torch.arange(m)] = bases

    def window(rows):
        lengths = None if length is None else torch.full((len(rows),), length)
        signals = None if tracks is None else tracks.expand(len(rows), -1, -1)
        return windows(rows, lengths=lengths, tracks=signals)

    with torch.inference_mode():
        ours = network.answer_altered(window(codes), start, bases)
        plain = network(window(written))
    assert plain.std(0).max() > 1e-5  # the changes do something
    return ours, plain


def agree(ours, plain):
    assert ours.shape == plain.shape
    assert torch.allclose(ours, plain, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("m", [1, 6])
@pytest.mark.parametrize(("width", "length"), [(60, None), (61, None), (63, 50), (15, None)])
@pytest.mark.parametrize("both_strands", [True, False])
def test_the_small_cnn(both_strands, width, length, m):
    torch.manual_seed(1)
    network = SmallCNN(3, filters=8, both_strands=both_strands)
    agree(*both_ways(lively(network), width, m, length))


@pytest.mark.parametrize("m", [1, 6])
@pytest.mark.parametrize("tracks", [0, 2])
@pytest.mark.parametrize("both_strands", [True, False])
def test_factornet_with_its_signals(both_strands, tracks, m):
    torch.manual_seed(1)
    network = FactorNet(tracks, 2, 103, filters=6, lstm=4, dense=8, both_strands=both_strands)
    signals = torch.rand(1, 103, tracks) if tracks else None
    agree(*both_ways(lively(network), 103, m, tracks=signals))


@pytest.mark.parametrize("block", [1, 4, 5])
@pytest.mark.parametrize("context", [80, 256, 400])
def test_the_dilated_network_at_one_base_and_at_several(context, block):
    torch.manual_seed(1)
    agree(*both_ways(lively(DilatedCNN(3, context, channels=3)), context + block, 2))


@pytest.mark.parametrize("context", [2000, 10000])
def test_one_base_of_a_wide_context_needs_a_few_positions_of_its_last_layers(context):
    torch.manual_seed(1)
    network = lively(DilatedCNN(2, context, channels=1))
    codes = torch.randint(0, 4, (1, context + 1), dtype=torch.uint8)
    # Also before the window, half out of it, at its ends, and behind it.
    start = torch.tensor([-5, -1, 0, context // 2 - 25, context // 2, context - 1, context + 1])
    bases = torch.randint(0, 4, (len(start), 2), dtype=torch.uint8)
    written = codes.repeat(len(start), 1)
    for row, begin in enumerate(start.tolist()):
        for i in range(2):
            if 0 <= begin + i <= context:
                written[row, begin + i] = bases[row, i]
    with torch.inference_mode():
        agree(network.answer_altered(windows(codes), start, bases), network(windows(written)))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_of_the_table_answers_locally_and_says_how_far_a_base_reaches(name):
    kind = NETWORKS[name]
    shape = Shape(2, window_bp=500, width=100) if kind.per_base else Shape(2, window_bp=500)
    network = kind.build(shape)
    assert answers_locally(network)
    assert 0 < network.reach <= 200

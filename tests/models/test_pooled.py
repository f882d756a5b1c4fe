"""BERT's head on a trunk that reads windows: states are read, padding is not."""

import pytest
import torch

from epilm.batch import Windows
from epilm.models.ebert import EBERT
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.pooled import pooled_from, trunk_of

SPEC = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=3,
    stride=3,
    states=4,
    cells=1,
    encoder=EncoderSpec(size="tiny"),
    next_segment="none",
)


def windows(rows=3, tokens=12, pad=0):
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 69, (rows, tokens), generator=draw)
    states = torch.randint(3, 7, (rows, tokens), generator=draw)
    empty = torch.zeros(rows, pad, dtype=torch.int64)
    ids, states = torch.cat([ids, empty], 1), torch.cat([states, empty], 1)
    return Windows(ids, ids > 0, states=states)


def test_states_are_read_and_padding_is_not():
    network = pooled_from(build_model(SPEC, seed=0), 2, seed=1).eval()
    plain = network(windows())
    other = windows()
    other.states[:] = 3
    assert not torch.allclose(network(other), plain)
    torch.testing.assert_close(network(windows(pad=7)), plain)


def test_the_head_alone_gives_the_same():
    network = pooled_from(build_model(SPEC, seed=0), 2, seed=1).eval()
    read = windows()
    torch.testing.assert_close(
        network.head(network.trunk.encode_windows(read), read), network(read)
    )


def test_what_it_is_made_from_is_left_alone_and_heads_of_pretraining_go():
    model = build_model(SPEC, seed=0)
    network = pooled_from(model, 2, seed=1)
    with torch.no_grad():
        network.trunk.encoder.words.weight.zero_()
    assert model.encoder.words.weight.abs().sum() > 0
    assert model.masked_head is not None
    names = [name for name, _ in network.named_parameters()]
    assert not any("masked_head" in name or "state_head" in name for name in names)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_heads_weights_are_a_function_of_the_seed(seed):
    model = build_model(SPEC, seed=0)
    one, same = (pooled_from(model, 2, seed=seed).out.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    other = pooled_from(model, 2, seed=seed + 1).out.state_dict()
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_genebert_becomes_a_reader_of_windows():
    spec = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))
    model = build_model(spec, seed=0)
    trunk = trunk_of(model)
    assert isinstance(trunk, EBERT)
    assert torch.equal(trunk.encoder.words.weight, model.encoder.words.weight)

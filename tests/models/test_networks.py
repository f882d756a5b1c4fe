"""The tables of heads and networks: every one answers, and a new one is a line."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from epilm.batch import Windows
from epilm.errors import CheckpointError, UsageError
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.networks import HEADS, NETWORKS, Head, Shape, build_network, find_head

BERT = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))
EBERT = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=3,
    stride=3,
    states=4,
    cells=1,
    encoder=EncoderSpec(size="tiny"),
    next_segment="none",
)


def windows(rows=4, tokens=40, bases=120, signals=0):
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 69, (rows, tokens), generator=draw)
    return Windows(
        ids,
        ids > 0,
        states=torch.randint(3, 7, (rows, tokens), generator=draw),
        signals=torch.rand(rows, tokens, signals, generator=draw) if signals else None,
        codes=torch.randint(0, 4, (rows, bases), generator=draw),
        lengths=torch.full((rows,), bases),
        tracks=torch.rand(rows, bases, signals, generator=draw) if signals else None,
    )


# Those that answer each base of a row: test_per_base, test_dilated.
OF_ROWS = [name for name, head in HEADS.items() if not head.per_base]


@pytest.mark.parametrize("head", OF_ROWS)
@pytest.mark.parametrize("spec", [BERT, EBERT], ids=lambda spec: spec.name)
def test_every_head_answers_on_every_trunk(head, spec):
    shape = Shape(outputs=3, states="states" in spec.streams)
    model = build_model(spec, seed=0)
    network = find_head(head).build(model, shape, 1).eval()
    logits = network(windows())
    assert logits.shape == (4 // HEADS[head].loci[0], 3)  # of two loci one answer
    logits.sum().backward()
    learned = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert any("encoder.words" in name for name in learned)
    assert all(weight.grad is None for weight in model.parameters())  # it was copied
    again = find_head(head).build(build_model(spec, seed=0), shape, 1).eval()
    assert torch.equal(again(windows()), logits)


def test_building_leaves_the_callers_random_state_alone():
    model = build_model(BERT, seed=0)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for name in OF_ROWS:
        HEADS[name].build(model, Shape(2), 1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [name for name, kind in NETWORKS.items() if not kind.per_base])
def test_every_network_over_bases_answers(name):
    network = NETWORKS[name].build(Shape(2, window_bp=120)).eval()
    assert network(windows()).shape == (4, 2)
    assert NETWORKS[name].both_strands


def test_a_seed_makes_the_same_network_whatever_was_drawn_before():
    about = {"kind": "cnn", "labels": {"kind": "classes", "names": ["0", "1"]}, "head": {}}
    one = build_network(None, about, seed=1).state_dict()
    torch.rand(3)
    again = build_network(None, about, seed=1).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_factornet_reads_windows_of_one_width():
    with pytest.raises(UsageError, match=r"reads windows of one width. Found sequences of differ"):
        NETWORKS["factornet"].build(Shape(2))


def test_the_linear_head_reads_no_signals():
    with pytest.raises(UsageError, match="--signals: the linear head reads token vectors alone"):
        find_head("linear").build(build_model(BERT), Shape(2, signals=1), 0)


def test_a_network_is_built_again_from_what_a_folder_says():
    about = {
        "kind": "trunk",
        "labels": {"kind": "factors", "names": ["A", "B"]},
        "signals": [["accessibility", "max", "log1p"]],
        "head": {"name": "convolutions", "conv_channels": [8, 8], "dense": 8},
        "streams": ["dna", "states"],
    }
    network = build_network(build_model(EBERT), about).eval()
    assert network(windows(signals=1)).shape == (4, 2)
    cnn = {"kind": "cnn", "labels": {"kind": "classes", "names": ["a", "b", "c"]}, "head": {}}
    assert build_network(None, cnn).eval()(windows()).shape == (4, 3)
    with pytest.raises(CheckpointError, match=r"a head that is not known here. Found oracle"):
        build_network(build_model(EBERT), about | {"head": {"name": "oracle"}})


def test_a_new_head_is_a_line():
    class Mean(nn.Module):
        def __init__(self, model, outputs):
            super().__init__()
            self.words, self.out = model.encoder.words, nn.Linear(model.encoder.hidden, outputs)

        def forward(self, windows):
            return self.out(self.words(windows.ids).mean(1))

    HEADS["mean"] = Head(lambda model, shape, seed: Mean(model, shape.outputs), (), "mean of words")
    try:
        built = find_head("mean").build(build_model(BERT), Shape(5), 0)
        assert built(replace(windows(), states=None)).shape == (4, 5)
    finally:
        del HEADS["mean"]

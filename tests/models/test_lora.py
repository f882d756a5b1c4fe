"""LoRA: it begins where the trunk is, moves pairs and head alone, and what it learned adds up."""

import sys

import pytest
import torch

from epilm.errors import CheckpointError, UsageError
from epilm.models.baselines import SmallCNN
from epilm.models.classifier import classifier_from
from epilm.models.from_spec import build_model
from epilm.models.lora import (
    LoraPair,
    check_probe,
    merge,
    pair_tensors,
    pairs_of,
    probe,
    unwrap,
    wrap,
)
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.pooled import pooled_from

SPEC = ModelSpec(
    name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny", max_positions=32)
)


def classifier():
    return classifier_from(build_model(SPEC, seed=3), 2).eval()


def moved(network):
    """As if something had been learned: no pair is zero."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".lora_B." in name:
                weight.normal_(generator=torch.Generator().manual_seed(len(name)), std=0.3)
    return network


@pytest.mark.parametrize(("layers", "count"), [("all", 8), ("attention", 4)])
def test_it_begins_where_the_trunk_is_and_lets_pairs_and_head_learn_alone(layers, count):
    network = classifier()
    before = probe(network)
    torch.manual_seed(1)
    drawn = torch.get_rng_state()
    assert wrap(network, 2, 4.0, layers, seed=5) == count  # two blocks
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.equal(probe(network), before)
    learn = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert sum(".lora_" in name for name in learn) == 2 * count
    assert {name for name in learn if ".lora_" not in name} == {
        "head.out.weight",
        "head.out.bias",
    }


def test_a_trunk_in_a_head_of_its_own_is_found_and_the_pairs_are_a_function_of_the_seed():
    first, same, other = (pooled_from(build_model(SPEC, seed=3), 2, seed=1) for _ in range(3))
    for network, seed in ((first, 5), (same, 5), (other, 6)):
        wrap(network, 2, 4.0, "attention", seed)
    one, two, three = (unwrap(network) for network in (first, same, other))
    name = "trunk.encoder.blocks.1.qkv"
    assert name in one
    assert torch.equal(one[name].a, two[name].a)
    assert not torch.equal(one[name].a, three[name].a)
    assert one[name].a.shape == (2, 64)
    assert one[name].b.shape == (192, 2)
    assert not one[name].b.any()


def test_the_sum_says_what_the_adapted_network_said_and_is_pefts_own():
    network = classifier()
    weights = {name: weight.clone() for name, weight in network.state_dict().items()}
    wrap(network, 2, 6.0, "all", seed=5)
    said = probe(moved(network))
    layer = network.encoder.blocks[0].up
    theirs = layer.get_delta_weight("default").detach()
    pairs = unwrap(network)
    assert not hasattr(network, "peft_config")
    assert all(weight.requires_grad for weight in network.parameters())
    assert {n: w.shape for n, w in network.state_dict().items()} == {
        n: w.shape for n, w in weights.items()
    }
    with pytest.raises(CheckpointError, match="the merged model does not say what the adapted"):
        check_probe(probe(network), said, "here")  # the pairs are off, and not yet added
    merge(network, pairs, 6.0 / 2)
    check_probe(probe(network), said, "here")
    now = network.encoder.blocks[0].up.weight
    assert torch.allclose(now - weights["encoder.blocks.0.up.weight"], theirs, atol=1e-6)
    assert torch.equal(network.encoder.words.weight, weights["encoder.words.weight"])


def test_pairs_go_into_a_file_and_come_back():
    pairs = {"a.b": LoraPair(torch.ones(1, 2), torch.zeros(3, 1))}
    back = pairs_of(pair_tensors(pairs) | {"head.weight": torch.ones(1)})
    assert back.keys() == {"a.b"}
    assert torch.equal(back["a.b"].a, pairs["a.b"].a)


def test_what_cannot_be_adapted_is_named(monkeypatch):
    with pytest.raises(UsageError, match="--lora: the network has no trunk.*Found SmallCNN"):
        wrap(SmallCNN(2), 2, 4.0, "all", 0)
    with pytest.raises(UsageError, match=r"Found 64; expected below the encoder's width, 64"):
        wrap(classifier(), 64, 4.0, "all", 0)
    pair = LoraPair(torch.ones(2, 5), torch.ones(4, 2))
    with pytest.raises(CheckpointError, match=r"another network. Found A \(2, 5\), B \(4, 2\)"):
        merge(classifier(), {"encoder.blocks.0.up": pair}, 1.0)
    with pytest.raises(CheckpointError, match="tower: the adapter is of another.*no such layer"):
        merge(classifier(), {"tower": pair}, 1.0)
    with pytest.raises(CheckpointError, match=r"\(24, 64\) numbers, not \(3, 2\)"):
        check_probe(probe(classifier()), torch.ones(3, 2), "here")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=r"needs the library peft.*pip install \"epilm\[lora\]\""):
        wrap(classifier(), 2, 4.0, "all", 0)

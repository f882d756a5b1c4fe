"""Heads: what each reads, by weights set by hand."""

import pytest
import torch

from epilm.errors import RecipeError
from epilm.nn.heads import ContactBias, ContactEncoder, LabelHead, PairHead, projection


def test_projections():
    x = torch.randn(2, 4)
    assert torch.equal(projection("none", 4, 4)(x), x)
    assert projection("linear", 4, 3)(x).shape == projection("mlp", 4, 3)(x).shape == (2, 3)
    linear = projection("linear", 4, 3)
    assert torch.allclose(
        linear(2 * x) - linear(torch.zeros(2, 4)),
        2 * (linear(x) - linear(torch.zeros(2, 4))),
        atol=1e-6,
    )
    with pytest.raises(RecipeError, match=r"same width.*Found 4 and 5.*linear or mlp"):
        projection("none", 4, 5)
    with pytest.raises(RecipeError, match="unknown projection"):
        projection("conv", 4, 4)


def test_the_bi_head_reads_both_their_distance_and_their_product():
    head = PairHead(2, "bi")
    with torch.no_grad():
        head.score.weight.zero_()
        head.score.weight[0, 4] = 1.0  # |a - b|, first column
        head.score.weight[1, 7] = 1.0  # a b, second column
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -3.0]])
    assert head(a, b).tolist() == [[3.0, -6.0]]


def test_contacts_pull_attention():
    torch.manual_seed(0)
    layer = ContactBias(4, 1)
    for p in (layer.qkv.weight, layer.out.weight):
        torch.nn.init.normal_(p)
    states, present = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    strong = torch.zeros(1, 3, 3)
    strong[0, 0, 2] = 1e4
    values = layer.qkv(layer.norm(states)).view(1, 3, 3, 4)[:, :, 2]
    got = layer(states, strong, present)
    assert torch.allclose(got[:, 0], states[:, 0] + layer.out(values[:, 2]), atol=1e-5)
    absent = present.clone()
    absent[0, 2] = False
    other = states.clone()
    other[0, 2] += 3.0
    flat = torch.zeros(1, 3, 3)
    assert torch.allclose(layer(states, flat, absent)[:, :2], layer(other, flat, absent)[:, :2])


def test_the_contact_encoder_reads_the_upper_triangle():
    encoder = ContactEncoder(3, 4, 2)
    a = torch.arange(9.0).view(1, 3, 3)
    assert torch.equal(encoder(a), encoder(a.triu()))
    assert not torch.equal(encoder(a), encoder(a.tril()))


def test_labels_are_scored_in_fp32_whatever_the_format_around():
    head = LabelHead(64, 2, dropout=0.0)
    hidden = torch.randn(300, 64, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        said = head(hidden.bfloat16())
    assert said.dtype == torch.float32
    assert torch.equal(said, head(hidden.bfloat16().float()))

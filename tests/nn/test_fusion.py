"""Fusions: both directions carry information, padding carries none."""

import pytest
import torch

from epilm.errors import RecipeError
from epilm.nn.fusion import ConcatFusion, CrossAttentionFusion, build_fusion


@pytest.fixture
def cross():
    torch.manual_seed(0)
    fusion = build_fusion("cross_attention", 8, 6, 2)
    for p in fusion.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return fusion


def test_both_sides_of_cross_attention_see_the_other(cross):
    tokens, patches = torch.randn(2, 5, 8), torch.randn(2, 3, 6)
    a, b = cross(tokens, None, patches)
    assert a.shape == (2, 5, 8)
    assert b.shape == (2, 3, 8)
    assert not torch.allclose(cross(tokens, None, patches + 1)[0], a)
    assert not torch.allclose(cross(tokens + torch.randn(2, 5, 8), None, patches)[1], b)


def test_padded_tokens_do_not_reach_the_patches(cross):
    tokens, patches = torch.randn(2, 5, 8), torch.randn(2, 3, 6)
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])
    other = tokens.clone()
    other[0, 3:] = 50.0
    assert torch.allclose(cross(tokens, mask, patches)[1], cross(other, mask, patches)[1])


def test_concatenation_gives_every_region_the_same_matrix_vector():
    fusion = ConcatFusion(4, 6)
    states, region = torch.randn(2, 3, 4), torch.randn(2, 6)
    out = fusion(states, region)
    for r in range(3):
        assert torch.allclose(out[:, r], fusion(states[:, r], region), atol=1e-6)
    assert torch.allclose(
        fusion.layers(torch.cat([states[:, 0], region], -1)), out[:, 0], atol=1e-6
    )


def test_kinds():
    assert build_fusion("none", 4, 4, 2) is None
    assert isinstance(build_fusion("concat", 4, 4, 2), ConcatFusion)
    assert isinstance(build_fusion("cross_attention", 4, 4, 2), CrossAttentionFusion)
    with pytest.raises(RecipeError, match=r"none \| concat \| cross_attention"):
        build_fusion("sum", 4, 4, 2)

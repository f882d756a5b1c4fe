"""Strings of a sample side by side, and back."""

import pytest
import torch

from epilm.models.grouping import ChunkPool, by_sample


@pytest.mark.parametrize("how", ["lstm", "mean"])
def test_pieces_are_joined_in_order_or_not(how):
    torch.manual_seed(0)
    pool = ChunkPool(4, how)
    x, owner = torch.randn(5, 4), torch.tensor([0, 0, 0, 1, 1])
    turned = x[[2, 1, 0, 4, 3]]
    same = torch.allclose(pool(x, owner, 2), pool(turned, owner, 2), atol=1e-6)
    assert same == (how == "mean")
    assert torch.allclose(pool(x, owner, 2)[1], pool(x[3:], owner[3:] - 1, 1)[0], atol=1e-6)


def test_by_sample_keeps_gradients():
    x = torch.randn(3, 2, requires_grad=True)
    rows, present = by_sample(x, torch.tensor([0, 1, 1]), 2)
    rows.sum().backward()
    assert present.tolist() == [[True, False], [True, True]]
    assert torch.equal(x.grad, torch.ones(3, 2))

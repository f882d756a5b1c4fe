"""Strings of a sample side by side, and back."""

import pytest
import torch

from epilm.models.grouping import ChunkPool, by_sample, in_groups, join_pieces


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


@pytest.mark.parametrize("how", ["mean", "max"])
def test_a_row_of_one_piece_is_that_piece(how):
    x = torch.randn(4, 3)
    assert torch.equal(join_pieces(x, None, how), x)
    assert torch.equal(join_pieces(x, torch.arange(4), how), x)
    joined = join_pieces(x, torch.tensor([0, 0, 0, 1]), how)
    assert torch.equal(joined[1], x[3])
    three = x[:3].mean(0) if how == "mean" else x[:3].amax(0)
    assert torch.allclose(joined[0], three)


def test_groups_give_the_answers_and_gradients_of_all_at_once():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(3, 2), torch.randn(7, 3)

    def encode(part):
        return layer(part).tanh()

    grads = []
    for run in (encode, lambda part: in_groups(encode, part, count=3)):
        layer.zero_grad()
        said = run(x)
        said.square().sum().backward()
        grads.append((said.detach(), layer.weight.grad.clone()))
    assert torch.allclose(grads[0][0], grads[1][0])
    assert torch.allclose(grads[0][1], grads[1][1], atol=1e-6)

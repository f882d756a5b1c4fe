"""The head over the encoder's own words: one table, stored once, and rows with a label first."""

import pytest
import torch

from epilm.nn.vocabulary import MaskedHead, aligned_product, labelled


def test_the_head_refuses_a_table_of_another_shape():
    with pytest.raises(ValueError, match=r"tied weight is \(69, 32\), not \(261, 32\)"):
        MaskedHead(32, 261, torch.nn.Parameter(torch.zeros(69, 32)))


def test_a_product_filled_up_to_a_multiple_is_the_product():
    torch.manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, requires_grad=True) for shape in ((7, 6), (69, 6), (69,))
    )
    filled, plain = aligned_product(x, weight, bias), torch.nn.functional.linear(x, weight, bias)
    torch.testing.assert_close(filled, plain)
    weights = torch.randn(7, 69)
    for a, b in zip(
        torch.autograd.grad(filled, (x, weight, bias), weights),
        torch.autograd.grad(plain, (x, weight, bias), weights),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_head_scores_rows_against_the_words_by_the_formula():
    torch.manual_seed(0)
    words = torch.nn.Embedding(9, 4)
    head = MaskedHead(4, 9, words.weight)
    rows = torch.randn(5, 4)
    hidden = torch.nn.functional.gelu(rows @ head.dense.weight.T + head.dense.bias)
    centred = hidden - hidden.mean(1, keepdim=True)
    unit = centred / (centred.square().mean(1, keepdim=True) + 1e-12).sqrt()
    torch.testing.assert_close(head(rows), unit @ words.weight.T + head.bias, atol=1e-5, rtol=1e-5)


def test_the_words_are_stored_once_and_learn_through_the_head():
    words = torch.nn.Embedding(9, 4)
    both = torch.nn.ModuleDict({"words": words, "head": MaskedHead(4, 9, words.weight)})
    assert "head.weight" not in both.state_dict()
    both.load_state_dict(both.state_dict())  # nothing is missed
    both["head"](torch.randn(2, 4)).sum().backward()
    assert words.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("most", [None, 4, 7])
def test_tokens_with_a_label_come_first_in_their_order_and_spare_rows_have_none(most):
    labels = torch.full((2, 5), -100)
    labels[0, 3], labels[1, 0], labels[1, 4] = 7, 8, 6
    at, named = labelled(labels, most)
    assert at[:3].tolist() == [3, 5, 9]
    assert named.tolist() == [7, 8, 6, *[-100] * ((most or 3) - 3)]
    assert (labels.flatten()[at] == named).all()
    assert len(set(at.tolist())) == len(at)

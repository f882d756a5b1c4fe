"""Dropout on a CPU: its share, its mean, its way back, and where it stays torch's."""

import pytest
import torch
from torch.nn import functional as F

from epilm.nn.dropout import Dropout, drop


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_quick_dropout_hides_its_share_and_keeps_the_mean(rate, dtype):
    x = torch.ones(1000, 1001, dtype=dtype, requires_grad=True)
    torch.manual_seed(0)
    out = drop(x, rate)
    kept = out != 0
    sd = (rate * (1 - rate) / x.numel()) ** 0.5
    assert abs(kept.double().mean().item() - (1 - rate)) < 5 * sd
    assert out.unique().numel() == 2
    assert out.double().mean().item() == pytest.approx(
        1, abs=5 * sd / (1 - rate) + 4e-3
    )  # bf16's own rounding
    torch.manual_seed(0)
    assert torch.equal(drop(x, rate), out)
    out.sum().backward()
    assert torch.equal(x.grad != 0, kept)
    rows = kept.double().mean(1)  # neighbours are independent: the four values of one draw too
    assert rows.std() == pytest.approx((rate * (1 - rate) / 1001) ** 0.5, rel=0.15)
    pairs = (kept[:, :-1] & kept[:, 1:]).double().mean().item()
    assert pairs == pytest.approx((1 - rate) ** 2, abs=3e-3)


def test_the_way_back_drops_and_scales_what_the_way_there_did():
    x = torch.randn(50, 7, requires_grad=True)
    out = drop(x, 0.25)
    slope = torch.randn(50, 7)
    (back,) = torch.autograd.grad(out, x, slope, create_graph=True)
    kept = (out != 0).float() / 0.75
    torch.testing.assert_close(out, x * kept)
    torch.testing.assert_close(back, slope * kept)


@pytest.mark.parametrize(
    ("dtype", "rate"),
    [(torch.float64, 0.2), (torch.float32, 1.0), (torch.float32, 1 - 1e-9), (torch.float16, 0.2)],
)
def test_other_formats_and_all_of_it_are_torchs_bit_for_bit(dtype, rate):
    x = torch.randn(50, 7).to(dtype)
    torch.manual_seed(3)
    theirs = F.dropout(x, rate)
    torch.manual_seed(3)
    assert torch.equal(drop(x, rate), theirs)


def test_nothing_is_dropped_outside_training_nor_at_rate_0():
    x = torch.randn(5)
    assert Dropout(0.5).eval()(x) is x
    assert drop(x, 0.0) is x

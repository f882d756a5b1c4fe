"""Masked factors: the loss by hand; what is visible counts for nothing."""

import math

import pytest
import torch

from epilm.batch import Batch, Outputs, Sequences
from epilm.objectives.factors import masked_factors_loss
from epilm.objectives.table import (
    MaskedFactorsSpec,
)

ZERO = torch.zeros(2, dtype=torch.int64)
NOTHING = Sequences(ZERO[None], ZERO[None], ZERO[None].bool())


def batch(**parts):
    return Batch(rows=ZERO, cells=ZERO, regions=ZERO[:, None], dna=NOTHING, owner=ZERO, **parts)


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_visible_factor_entries_give_no_gradient(loss):
    torch.manual_seed(0)
    prediction = torch.randn(2, 3, 4, requires_grad=True)
    hidden = torch.rand(2, 3, 4) < 0.4
    given = batch(factor_hidden=hidden, factor_targets=torch.randn(2, 3, 4))
    out = Outputs(factor_prediction=prediction)
    masked_factors_loss(out, given, MaskedFactorsSpec(weight=1, loss=loss))["loss"].backward()
    assert (prediction.grad[~hidden] == 0).all()
    assert (prediction.grad[hidden] != 0).all()


def test_masked_factors_by_hand():
    given = batch(
        factor_hidden=torch.tensor([[[True, True, False]]]),
        factor_targets=torch.tensor([[[1.0, 0.0, 9.0]]]),
    )
    out = Outputs(factor_prediction=torch.tensor([[[2.0, -1.0, 0.0]]]))
    squared = masked_factors_loss(out, given, MaskedFactorsSpec(loss="mse"))
    assert float(squared["loss"]) == pytest.approx((1 + 1) / 2)
    assert float(squared["explained"]) == pytest.approx(1 - 2 / 0.5)
    binary = masked_factors_loss(out, given, MaskedFactorsSpec(loss="bce"))
    assert float(binary["loss"]) == pytest.approx(
        (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    )
    assert float(binary["accuracy"]) == 1.0

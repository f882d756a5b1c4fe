"""Masked factor entries: predict hidden cells of the factor matrix (protocols 2.6).

Only hidden entries are scored: an entry the model could see gives no gradient.
Axes: B samples, R regions, F factors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.parts import need, without_factors


@dataclass(frozen=True)
class MaskedFactorsSpec:
    """Masked factor entries (2.6); weight 0 = off."""

    weight: float = 0.0
    unit: Literal["entry", "region", "factor"] = "entry"
    rate: float = 0.15
    loss: Literal["mse", "bce"] = "mse"


def masked_factors_loss(
    outputs: Outputs, batch: Batch, spec: MaskedFactorsSpec
) -> dict[str, Tensor]:
    """Mean squared error or binary cross-entropy over the hidden entries.

    Parameters
    ----------
    outputs : Outputs
        With `factor_prediction` float (B, R, F): values for mse, logits for bce.
    batch : Batch
        With `factor_hidden` bool (B, R, F) and `factor_targets` float (B, R, F).
    spec : MaskedFactorsSpec
        `loss` says "mse" or "bce". For bce a target above 0 counts as bound, which
        is right for a binary statistic that was not normalised.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "entries" detached; "explained" for mse:
        1 - error / error of predicting the hidden entries' mean; "accuracy" for bce.

    Raises
    ------
    TrainingError
        If prediction, hidden entries or targets are missing.
    """
    prediction = need(outputs.factor_prediction, "masked_factors", "factor_prediction")
    hidden = need(batch.factor_hidden, "masked_factors", "factor_hidden")
    targets = need(batch.factor_targets, "masked_factors", "factor_targets")
    chosen, wanted = prediction[hidden].float(), targets[hidden].float()  # (entries,)
    count = max(chosen.numel(), 1)
    result: dict[str, Tensor] = {"entries": torch.tensor(chosen.numel(), device=chosen.device)}
    if spec.loss == "mse":
        total = F.mse_loss(chosen, wanted, reduction="sum")
        with torch.no_grad():
            spread = (wanted - wanted.mean()).square().sum() if chosen.numel() else chosen.sum()
            result["explained"] = 1 - total.detach() / spread.clamp(min=1e-8)
    else:
        bound = (wanted > 0).float()
        total = F.binary_cross_entropy_with_logits(chosen, bound, reduction="sum")
        with torch.no_grad():
            result["accuracy"] = ((chosen > 0) == (bound > 0)).sum() / count
    result["loss"] = total / count
    return result


def misfits(recipe: Any) -> Iterator[Misfit]:
    """Entries are hidden in the tower's matrix and told from both streams."""
    model = recipe.model
    yield from without_factors("masked_factors", model)
    if model.fusion == "none":
        yield Misfit(
            "model.fusion",
            "masked factors are predicted from both streams, which fusion none keeps apart",
            found="none",
            expected="concat or cross_attention",
        )
    if model.tower.prepare == "channels":
        yield Misfit(
            "model.tower.prepare",
            "masked factors hide one score an entry, channels shows three",
            found="channels",
            expected="native, resize, pad or fold, or objectives.masked_factors.weight 0",
        )


MASKED_FACTORS = Objective(
    name="masked_factors",
    spec=MaskedFactorsSpec,
    loss=masked_factors_loss,
    ranges={"rate": (0.001, 0.95)},
    reads=("regions",),
    needs=misfits,
    titles={"loss": "Masked factor entries: loss"},
)

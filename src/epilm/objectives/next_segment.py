"""Next genome segment: does B follow A in the same cell type? (A5, A6).

Both forms, cross ([CLS] A [SEP] B [SEP] read together) and bi (two regions
encoded apart), end in two scores a pair; the head is the model's. Axes: P pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.objectives.objective import Misfit, Objective
from epilm.objectives.parts import need


@dataclass(frozen=True)
class NextSegmentSpec:
    """Next genome segment (A5, A6)."""

    weight: float = 1.0
    form: Literal["cross", "bi"] = "cross"
    unit: Literal["region", "sample", "halves"] = "region"
    negative: Literal["same_cell", "other_cell", "same_chrom"] = "same_cell"
    # Pairs drawn from each sample (form cross, unit region); form bi uses all neighbours.
    pairs: int = 1


def next_segment_loss(outputs: Outputs, batch: Batch, spec: NextSegmentSpec) -> dict[str, Tensor]:
    """Two-way cross-entropy and accuracy over the pairs.

    Parameters
    ----------
    outputs : Outputs
        With `pair_logits` float (P, 2) and `pair_labels` int64 (P,), 1 = B follows A.
    batch : Batch
        Not used.
    spec : NextSegmentSpec
        Not used here: form and negatives act where pairs are drawn.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "accuracy" detached. Without any pair the
        loss is 0.

    Raises
    ------
    TrainingError
        If the model made no pair scores.

    Examples
    --------
    >>> out = Outputs(pair_logits=torch.zeros(2, 2), pair_labels=torch.tensor([0, 1]))
    >>> round(float(next_segment_loss(out, None, NextSegmentSpec())["loss"]), 4)
    0.6931
    """
    logits = need(outputs.pair_logits, "next_segment", "pair_logits")
    labels = need(outputs.pair_labels, "next_segment", "pair_labels")
    count = max(labels.numel(), 1)
    total = F.cross_entropy(logits.float(), labels, reduction="sum")
    with torch.no_grad():
        right = (logits.argmax(-1) == labels).sum()
    return {"loss": total / count, "accuracy": right / count}


def misfits(recipe: Any) -> Iterator[Misfit]:
    """Form bi compares regions that were encoded one by one."""
    asked = recipe.objectives.next_segment
    if asked.form != "bi":
        return
    if recipe.model.layout != "per_region":
        yield Misfit(
            "objectives.next_segment.form",
            "bi compares single regions",
            found=f"layout {recipe.model.layout}",
            expected="model.layout per_region, or form cross",
        )
    if asked.unit != "region":
        yield Misfit(
            "objectives.next_segment.unit",
            "bi compares single regions",
            found=f"unit {asked.unit}",
            expected="unit region, or form cross",
        )
    if recipe.samples.regions < 2:
        yield Misfit("samples.regions", "next segment needs two regions a sample", found=1)


class Answers:
    """The commonest label of held-out pairs, and whether every pair gets the same answer."""

    def __init__(self, objectives: Any = None) -> None:
        self._labels: list[Tensor] = []
        self._predicted: list[Tensor] = []

    def add(self, outputs: Outputs, batch: Batch) -> None:
        """Keep labels and answers."""
        if outputs.pair_labels is not None and outputs.pair_logits is not None:
            self._labels.append(outputs.pair_labels)
            self._predicted.append(outputs.pair_logits.argmax(-1))

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Give the accuracy of always giving the commonest label."""
        if not self._labels:
            return {}, []
        counts, predicted = torch.cat(self._labels).bincount(), torch.cat(self._predicted)
        same = predicted.numel() > 1 and bool((predicted == predicted[0]).all())
        warnings = ["next segment: every pair gets the same answer"] if same else []
        return {"accuracy_chance": float(counts.max() / counts.sum())}, warnings


NEXT_SEGMENT = Objective(
    name="next_segment",
    spec=NextSegmentSpec,
    loss=next_segment_loss,
    reads=("regions",),
    needs=misfits,
    titles={"loss": "Next segment: loss", "accuracy": "Next segment: accuracy"},
    finals={"accuracy": "next-segment accuracy"},
    line={"accuracy": "next segment {:.3f}"},
    gather=Answers,
)

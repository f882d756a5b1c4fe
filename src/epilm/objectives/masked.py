"""Masked k-mers: predict the hidden tokens of passes 1 and 2 (protocols 1.3).

The model hands over scores of the masked positions alone, so the loss is a
plain cross-entropy over them. Axes: M masked positions, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from epilm.batch import Batch, Outputs
from epilm.objectives.objective import Objective
from epilm.objectives.parts import need
from epilm.tokens.kmers import MASK
from epilm.tokens.masking import IGNORED


@dataclass(frozen=True)
class MaskSpec:
    """Masked k-mers (protocols 1.3)."""

    weight: float = 1.0
    scheme: Literal["dnabert_span", "iid"] = "dnabert_span"
    rate: float = 0.15
    late_rate: float = 0.20
    late_from_step: int = 100_000  # steps before it use `rate`
    rate_mode: Literal["nominal", "exact"] = "nominal"
    random_from: Literal["vocab", "kmers_only"] = "vocab"
    span_tokens: int | None = None  # default k; 2k - 1 hides k whole bases


def masked_kmers_loss(outputs: Outputs, batch: Batch, spec: MaskSpec) -> dict[str, Tensor]:
    """Cross-entropy and accuracy over the masked tokens.

    Parameters
    ----------
    outputs : Outputs
        With `masked_logits` float (M, V) and `masked_labels` int64 (M,).
    batch : Batch
        Not used.
    spec : MaskSpec
        Not used here: rate and scheme act where tokens are masked.

    Returns
    -------
    dict
        "loss" 0-d float, differentiable; "accuracy" and "tokens" detached.
        With no masked token the loss is 0 (and has a zero gradient).

    Raises
    ------
    TrainingError
        If the model made no masked-token scores.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 9.0], [9.0, 0.0]])
    >>> out = Outputs(masked_logits=logits, masked_labels=torch.tensor([1, 1]))
    >>> float(masked_kmers_loss(out, None, MaskSpec())["accuracy"])
    0.5
    """
    logits = need(outputs.masked_logits, "masked_kmers", "masked_logits")
    labels = need(outputs.masked_labels, "masked_kmers", "masked_labels")
    return scored_alone(logits, labels, "tokens")


def scored_alone(logits: Tensor, labels: Tensor, count: str) -> dict[str, Tensor]:
    """Mean cross-entropy and accuracy over M rows, and M under the name `count`; rows labelled -100
    are none.
    """
    total = F.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=IGNORED)
    with torch.no_grad():
        scored = (labels != IGNORED).sum()
        rows = scored.clamp(min=1)
        right = count_right(logits, labels)
    return {"loss": total / rows, "accuracy": right / rows, count: scored}


def count_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the rows whose highest score is that of their label; of equal scores the first one
    counts.

    On a CPU the place of a maximum over a large vocabulary costs 3 times (fp32) to 15 times (bf16)
    its value, so it is looked for only in rows whose label reaches the value. On a GPU it costs
    nothing, and choosing rows would wait for the device.

    Parameters
    ----------
    logits : float (M, V)
    labels : int64 (M,)
        -100 for a row that is not scored.

    Returns
    -------
    int64, 0-d

    Examples
    --------
    >>> count_right(
    ...     torch.tensor([[1.0, 2.0], [3.0, 3.0], [3.0, 3.0]]), torch.tensor([1, 0, 1])
    ... ).item()
    2
    """
    if logits.device.type != "cpu" or torch.compiler.is_compiling():
        return (logits.argmax(-1) == labels).sum()
    of_label = logits.gather(-1, labels.clamp(min=0)[:, None])[:, 0]
    reached = (labels != IGNORED) & (of_label >= logits.amax(-1))
    return (logits[reached].argmax(-1) == labels[reached]).sum()


def n_hidden(batch: Batch) -> Tensor:
    """Count the k-mers with a label in passes 1 and 2: int64, 0-d."""
    none = torch.zeros((), dtype=torch.int64, device=batch.rows.device)
    parts = [part.labels for part in (batch.dna, batch.pairs) if part is not None]
    return sum(((labels != IGNORED).sum() for labels in parts if labels is not None), none)


class HiddenKmers:
    """Accuracy under [MASK] of held-out k-mers, and what copying and guessing get."""

    def __init__(self, objectives: Any = None) -> None:
        self._shown: list[Tensor] = []
        self._truth: list[Tensor] = []
        self._right: list[Tensor] = []

    def add(self, outputs: Outputs, batch: Batch) -> None:
        """Keep what stands where a k-mer was hidden, in the order of `Outputs.masked_labels`."""
        if outputs.masked_labels is None or outputs.masked_logits is None:
            return
        parts = [
            part
            for part in (batch.dna, batch.pairs)
            if part is not None and part.labels is not None
        ]
        self._shown.append(torch.cat([part.ids[part.labels != IGNORED] for part in parts]))
        self._truth.append(outputs.masked_labels)
        self._right.append(outputs.masked_logits.argmax(-1) == outputs.masked_labels)

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Give chances and the accuracy under [MASK]; nothing where nothing was hidden."""
        if not self._shown:
            return {}, []
        shown, truth, right = (
            torch.cat(parts) for parts in (self._shown, self._truth, self._right)
        )  # (M,)
        if not truth.numel():
            return {}, []
        covered = shown == MASK
        copied = float((shown == truth).sum())
        guessed = float(truth[covered].bincount().max()) if covered.any() else 0.0
        out = {"accuracy_chance": (copied + guessed) / truth.numel()}
        if covered.any():
            n = float(covered.sum())
            out["covered_accuracy"] = float(right[covered].sum()) / n
            out["covered_accuracy_chance"] = guessed / n
        return out, []


MASKED_KMERS = Objective(
    name="masked_kmers",
    spec=MaskSpec,
    loss=masked_kmers_loss,
    ranges={
        "rate": (0.001, 0.9),
        "late_rate": (0.001, 0.9),
        "late_from_step": (0, None),
        "span_tokens": (1, None),
    },
    titles={
        "loss": "Masked k-mers: loss",
        "accuracy": "Masked k-mers: accuracy",
        "covered_accuracy": "Masked k-mers: accuracy under [MASK]",
    },
    finals={"covered_accuracy": "masked k-mer accuracy under [MASK]"},
    line={"accuracy": "masked accuracy {:.3f}"},
    hides=n_hidden,
    counts=frozenset({"tokens"}),
    gather=HiddenKmers,
)

"""Kinds of labels: how they are lost, said and scored. A task names one; nothing else asks which.

Axes: B rows, C classes, F outputs.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from epilm.errors import UsageError, nearest
from epilm.metrics.bin_scores import score_bins
from epilm.metrics.classification import score_table

Tables = dict[str, dict[str, Any]]  # output -> score -> value


class Labels(Protocol):
    """One kind of labels, with the names of its outputs.

    Attributes
    ----------
    kind : str
        Key of KINDS.
    names : tuple of str
        One an output.
    """

    kind: str
    names: tuple[str, ...]

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the losses of the labels that are known."""

    def known(self, labels: NDArray[Any]) -> int:
        """How many labels count in the loss."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """What is told to people, from logits (B, outputs)."""

    def scores(self, labels: NDArray[Any], said: NDArray[Any]) -> Tables:
        """Tables of scores, each with `collapse`: words, or None where all is well."""


class Classes:
    """One of C classes a row, labels int64 (B,).

    Examples
    --------
    >>> two = Classes(("other", "promoter"))
    >>> logits = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    >>> two.probabilities(logits)[0].tolist()
    [0.5, 0.5]
    >>> round(float(two.loss(logits[:1], torch.tensor([1]))), 4)
    0.6931
    """

    kind = "classes"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the cross-entropies."""
        return F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")

    def known(self, labels: NDArray[np.int64]) -> int:
        """All are known."""
        return len(labels)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, C), rows sum to one."""
        return logits.double().softmax(-1)

    def scores(self, labels: NDArray[np.int64], said: NDArray[np.float64]) -> Tables:
        """One table, `metrics.classification.score_table`."""
        return {"": score_table(labels, said)}


class Factors:
    """Several yes-or-no questions a row, labels int8 (B, F): 1, 0, or below 0 where not known.

    Examples
    --------
    >>> one = Factors(("CTCF", "MAX"))
    >>> logits = torch.zeros(2, 2)
    >>> round(float(one.loss(logits, torch.tensor([[1, -1], [0, -1]]))), 4)
    1.3863
    >>> one.known(np.array([[1, -1], [0, -1]]))
    2
    """

    kind = "factors"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the binary cross-entropies of what is known: no loss and no gradient elsewhere."""
        if smoothing:
            raise UsageError(
                "labels of several factors are not smoothed",
                where="--label-smoothing",
                found=smoothing,
                expected="0",
            )
        known = labels >= 0
        return F.binary_cross_entropy_with_logits(
            logits[known], labels[known].to(logits.dtype), reduction="sum"
        )

    def known(self, labels: NDArray[np.int8]) -> int:
        """Labels that are 0 or 1."""
        return int((labels >= 0).sum())

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, F), each by itself."""
        return logits.sigmoid()

    def scores(self, labels: NDArray[np.int8], said: NDArray[np.float32]) -> Tables:
        """One table a factor, `metrics.bin_scores.score_bins`."""
        tables: Tables = {}
        for f, name in enumerate(self.names):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a factor without bound bins: said in the plan
                table = dict(score_bins(labels[:, f], said[:, f]))
            tables[name] = table | {"collapse": flat(said[:, f])}
        return tables


class Numbers:
    """Several numbers a row, labels float32 (B, F), NaN where not known.

    Examples
    --------
    >>> one = Numbers(("expression",))
    >>> labels = np.array([[1.0], [np.nan], [3.0]], np.float32)
    >>> float(one.loss(torch.tensor([[1.0], [9.0], [1.0]]), torch.from_numpy(labels)))
    4.0
    >>> table = one.scores(labels, np.array([[1.0], [0.0], [2.0]], np.float32))["expression"]
    >>> table["n"], table["pearson"]
    (2, 1.0)
    """

    kind = "numbers"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the squared errors of what is known."""
        known = ~torch.isnan(labels)
        return F.mse_loss(logits[known], labels[known].to(logits.dtype), reduction="sum")

    def known(self, labels: NDArray[np.float32]) -> int:
        """Labels that are numbers."""
        return int(np.isfinite(labels).sum())

    def probabilities(self, logits: Tensor) -> Tensor:
        """The numbers themselves."""
        return logits

    def scores(self, labels: NDArray[np.float32], said: NDArray[np.float32]) -> Tables:
        """One table an output: n, pearson, spearman, r2, mse."""
        tables: Tables = {}
        for f, name in enumerate(self.names):
            known = np.isfinite(labels[:, f])
            true = labels[known, f].astype(np.float64)
            guess = said[known, f].astype(np.float64)
            tables[name] = _number_scores(true, guess) | {"collapse": flat(said[:, f])}
        return tables


def _number_scores(true: NDArray[np.float64], guess: NDArray[np.float64]) -> dict[str, Any]:
    spread = float(((true - true.mean()) ** 2).sum()) if len(true) else 0.0
    error = float(((true - guess) ** 2).sum())

    def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        if len(a) < 2 or a.std() == 0 or b.std() == 0:
            return float("nan")
        return float(np.corrcoef(a, b)[0, 1])

    def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        return (last - (counts - 1) / 2)[inverse]  # ties share their mean rank

    return {
        "n": len(true),
        "pearson": round(correlation(true, guess), 12),
        "spearman": round(correlation(ranks(true), ranks(guess)), 12),
        "r2": 1 - error / spread if spread else float("nan"),
        "mse": error / len(true) if len(true) else float("nan"),
    }


def flat(scores: NDArray[Any], spread: float = 1e-2) -> str | None:
    """Name a model that says the same of every row; None where it does not.

    That nearly all rows are below one half is no sign here: nearly all bins are unbound.

    Examples
    --------
    >>> flat(np.full(20, -2.0, np.float32))
    'flat scores: standard deviation 0 of the logits over 20 rows'
    >>> flat(np.linspace(-4, -1, 20).astype(np.float32)) is None
    True
    """
    deviation = float(np.std(scores.astype(np.float64)))
    if len(scores) >= 10 and deviation < spread:
        return (
            f"flat scores: standard deviation {deviation:.2g} of the logits over {len(scores)} rows"
        )
    return None


KINDS: dict[str, Any] = {kind.kind: kind for kind in (Classes, Factors, Numbers)}


def labels_from(described: Mapping[str, Any]) -> Labels:
    """Make the labels that a model folder describes: {"kind": ..., "names": [...]}.

    Raises
    ------
    UsageError
        If the kind is unknown.

    Examples
    --------
    >>> labels_from({"kind": "classes", "names": ["a", "b"]}).names
    ('a', 'b')
    """
    kind = str(described["kind"])
    if kind not in KINDS:
        raise UsageError("unknown kind of labels", found=kind, do=nearest(kind, sorted(KINDS)))
    made: Labels = KINDS[kind](described["names"])
    return made

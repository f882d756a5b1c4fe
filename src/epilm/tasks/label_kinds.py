"""Kinds of labels: how they are lost, said and scored. A task names one; nothing else asks which.

Axes: B rows, C classes, F outputs.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from epilm.errors import UsageError, nearest
from epilm.metrics.bin_scores import score_bins
from epilm.metrics.classification import score_table
from epilm.metrics.number_scores import between_columns, number_scores
from epilm.metrics.outlines import confusion_of, outline, outline_of_numbers
from epilm.metrics.thresholded import at_half, fit_threshold
from epilm.tasks.base_classes import BaseClasses
from epilm.tasks.labels import Labels, Tables, kind_and_names


class Classes:
    """One of C classes a row, labels int64 (B,).

    Parameters
    ----------
    names : sequence of str, length C
    weights : sequence of float, length C, optional
        Of each class in the loss; 1 where not given.
    threshold : float
        Of two classes: a probability above it is of the second one. Scores of classes, their table
        and the alarm go by it; ranks do not.

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
    per_base = False

    def __init__(
        self,
        names: Sequence[str],
        weights: Sequence[float] | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.names = tuple(names)
        self.weights = None if weights is None else tuple(weights)
        self.threshold = float(threshold)

    def described(self) -> dict[str, Any]:
        """See `Labels.described`."""
        moved = {} if self.threshold == 0.5 else {"threshold": self.threshold}
        return kind_and_names(self) | _kept(weights=self.weights) | moved

    def with_threshold(self, labels: NDArray[np.int64], said: NDArray[Any]) -> "Classes":
        """The same two classes, divided where MCC on these rows says (`fit_threshold`).

        Examples
        --------
        >>> said = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
        >>> Classes(("no", "yes")).with_threshold(np.array([0, 0, 1]), said).threshold
        0.25
        """
        return Classes(self.names, self.weights, fit_threshold(labels, said[:, 1]))

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the cross-entropies, each times its class's weight."""
        return F.cross_entropy(
            logits,
            labels,
            weight=_on(logits, self.weights),
            label_smoothing=smoothing,
            reduction="sum",
        )

    def known(self, labels: NDArray[np.int64]) -> int:
        """All are known."""
        return len(labels)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, C), rows sum to one."""
        return logits.double().softmax(-1)

    def scores(self, labels: NDArray[np.int64], said: NDArray[np.float64]) -> Tables:
        """One table, `metrics.classification.score_table`."""
        return {"": score_table(labels, at_half(said, self.threshold))}

    def outlines(
        self, labels: NDArray[np.int64], said: NDArray[np.float64], chroms: NDArray[np.str_]
    ) -> dict[str, Any]:
        """Of two classes the second, of more each against all others."""
        shown = range(1, 2) if len(self.names) == 2 else range(len(self.names))
        outputs = {self.names[c]: outline(labels == c, said[:, c], chroms) for c in shown}
        decided = at_half(said, self.threshold)
        return {"outputs": outputs, "confusion": confusion_of(labels, decided, self.names)}


class Factors:
    """Several yes-or-no questions a row, labels int8 (B, F): 1, 0, or below 0 where not known.

    Parameters
    ----------
    names : sequence of str, length F
    weights : sequence of float, length F, optional
        Of a yes of each question in the loss; 1 where not given.

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
    per_base = False

    def __init__(self, names: Sequence[str], weights: Sequence[float] | None = None) -> None:
        self.names = tuple(names)
        self.weights = None if weights is None else tuple(weights)

    def described(self) -> dict[str, Any]:
        """See `Labels.described`."""
        return kind_and_names(self) | _kept(weights=self.weights)

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
        weights = _on(logits, self.weights)
        return F.binary_cross_entropy_with_logits(
            logits[known],
            labels[known].to(logits.dtype),
            pos_weight=None if weights is None else weights.expand_as(logits)[known],
            reduction="sum",
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

    def outlines(
        self, labels: NDArray[np.int8], said: NDArray[Any], chroms: NDArray[np.str_]
    ) -> dict[str, Any]:
        """Each factor by itself."""
        columns = enumerate(self.names)
        return {"outputs": {name: outline(labels[:, f], said[:, f], chroms) for f, name in columns}}


class Numbers:
    """Several numbers a row, labels float32 (B, F), NaN where not known.

    A logit is the number in standard deviations from the mean, so that a new head begins with the
    mean.

    Parameters
    ----------
    names : sequence of str, length F
    mean, sd : sequence of float, length F, optional
        Of the rows that are learned from; 0 and 1 where not given.
    alike : bool
        Outputs are one quantity in several cell types: their mean scores, and what differs between
        them in a row, are scored as well.

    Examples
    --------
    >>> one = Numbers(("expression",))
    >>> labels = np.array([[1.0], [np.nan], [3.0]], np.float32)
    >>> float(one.loss(torch.tensor([[1.0], [9.0], [1.0]]), torch.from_numpy(labels)))
    4.0
    >>> table = one.scores(labels, np.array([[1.0], [0.0], [2.0]], np.float32))["expression"]
    >>> table["n"], table["pearson"]
    (2, 1.0)
    >>> Numbers(("expression",), [10.0], [2.0]).probabilities(torch.tensor([[0.5]])).tolist()
    [[11.0]]
    """

    kind = "numbers"
    per_base = False

    def __init__(
        self,
        names: Sequence[str],
        mean: Sequence[float] | None = None,
        sd: Sequence[float] | None = None,
        alike: bool = False,
    ) -> None:
        self.names = tuple(names)
        self.mean = None if mean is None else tuple(mean)
        self.sd = None if sd is None else tuple(sd)
        self.alike = alike

    def described(self) -> dict[str, Any]:
        """See `Labels.described`."""
        own = kind_and_names(self) | _kept(mean=self.mean, sd=self.sd)
        return own | ({"alike": True} if self.alike else {})

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the squared errors of what is known, in standard deviations."""
        _refuse_smoothing(smoothing)
        mean, sd = _on(logits, self.mean), _on(logits, self.sd)
        labels = labels.to(logits.dtype)
        labels = labels if mean is None or sd is None else (labels - mean) / sd
        known = ~torch.isnan(labels)
        return F.mse_loss(logits[known], labels[known], reduction="sum")

    def known(self, labels: NDArray[np.float32]) -> int:
        """Labels that are numbers."""
        return int(np.isfinite(labels).sum())

    def probabilities(self, logits: Tensor) -> Tensor:
        """The numbers themselves."""
        mean, sd = _on(logits, self.mean), _on(logits, self.sd)
        return logits if mean is None or sd is None else logits * sd + mean

    def scores(self, labels: NDArray[np.float32], said: NDArray[np.float32]) -> Tables:
        """One table an output: n, pearson, spearman, r2, mse, and mse_of_mean, that of saying the
        mean of the training rows to all, where it is known.
        """
        tables: Tables = {}
        for f, name in enumerate(self.names):
            known = np.isfinite(labels[:, f])
            true = labels[known, f].astype(np.float64)
            guess = said[known, f].astype(np.float64)
            table = number_scores(true, guess)
            if self.mean is not None and len(true):
                table["mse_of_mean"] = float(((true - self.mean[f]) ** 2).mean())
            tables[name] = table | {"collapse": flat(self._spread(said[:, f], f))}
        if self.alike and len(self.names) > 1:
            tables |= _of_all(tables, labels, said)
        return tables

    def outlines(
        self, labels: NDArray[np.float32], said: NDArray[Any], chroms: NDArray[np.str_]
    ) -> dict[str, Any]:
        """What is true against what is said, of each output."""
        return {
            "outputs": {
                name: outline_of_numbers(labels[:, f], said[:, f], chroms)
                for f, name in enumerate(self.names)
            }
        }

    def _spread(self, said: NDArray[np.float32], f: int) -> NDArray[np.float32]:
        """What is said of an output, in standard deviations."""
        return said if self.sd is None else said / np.float32(self.sd[f])


class PoissonCounts(Numbers):
    """Several numbers at or above 0 a row, lost as Poisson counts; labels as `Numbers`.

    A logit is the logarithm of the rate over the mean, so that a new head begins with the mean.

    Parameters
    ----------
    names : sequence of str, length F
    mean : sequence of float, length F, optional
        Of the rows that are learned from, above 0; 1 where not given.

    Examples
    --------
    >>> one = PoissonCounts(("reads",), [4.0])
    >>> one.probabilities(torch.zeros(1, 1)).tolist()
    [[4.0]]

    rate - count x ln rate, of a count of 2 where the rate is 4:

    >>> round(float(one.loss(torch.zeros(1, 1), torch.tensor([[2.0]]))), 4)  # 4 - 2 ln 4
    1.2274
    """

    kind = "counts"

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Sum of the Poisson losses of what is known."""
        _refuse_smoothing(smoothing)
        rates = logits + self._log_mean(logits)
        known = ~torch.isnan(labels)
        return F.poisson_nll_loss(
            rates[known], labels[known].to(logits.dtype), log_input=True, reduction="sum"
        )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Rates."""
        return (logits + self._log_mean(logits)).exp()

    def _log_mean(self, logits: Tensor) -> Tensor:
        mean = _on(logits, self.mean)
        return logits.new_zeros(()) if mean is None else mean.log()

    def _spread(self, said: NDArray[np.float32], f: int) -> NDArray[np.float32]:
        """Logarithms of the rates."""
        return np.log(np.maximum(said, 1e-30))


MEAN, BETWEEN = "mean", "between"  # tables beside those of outputs that are alike
MOST_SPOKEN = 12


def column_of(names: Sequence[str], factor: str | None) -> int:
    """Give the number of a factor among a model's; it need not be named where there is one.

    Raises
    ------
    UsageError
        If it is unknown, or there are several and none is named.

    Examples
    --------
    >>> column_of(["CTCF", "MAX"], "MAX"), column_of(["CTCF"], None)
    (1, 0)
    """
    if factor is None:
        if len(names) > 1:
            raise UsageError(
                "the factor is not named", found=", ".join(names), do="Name it with --factor."
            )
        return 0
    if factor not in names:
        raise UsageError(
            "the model was not made for this factor", found=factor, do=nearest(factor, names)
        )
    return list(names).index(factor)


def spoken(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables that are printed: all, or of many cell types their mean and what differs between them.

    Examples
    --------
    >>> list(spoken({"a": {}, "mean": {}, "between": {}}))
    ['a', 'mean', 'between']
    >>> list(spoken({**{str(n): {} for n in range(50)}, "mean": {}, "between": {}}))
    ['mean', 'between']
    """
    if MEAN in tables and BETWEEN in tables and len(tables) > MOST_SPOKEN:
        return {name: tables[name] for name in (MEAN, BETWEEN)}
    return dict(tables)


def _of_all(tables: Tables, labels: NDArray[Any], said: NDArray[Any]) -> Tables:
    """Mean scores of outputs that are alike, and what differs between them in a row."""
    alarms = [table["collapse"] for table in tables.values()]
    collapse = {"collapse": alarms[0] if all(alarms) else None}
    keys = ("pearson", "spearman", "r2", "mse", "mse_of_mean")
    columns = {key: [table[key] for table in tables.values() if key in table] for key in keys}
    means = {
        key: float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        for key, values in columns.items()
        if values
    }
    return {
        MEAN: {"n": int(np.isfinite(labels).any(1).sum())} | means | collapse,
        BETWEEN: between_columns(labels, said) | collapse,
    }


def _kept(**values: Sequence[float] | None) -> dict[str, Any]:
    """Those that are given, as lists."""
    return {name: list(value) for name, value in values.items() if value is not None}


def _on(logits: Tensor, values: Sequence[float] | None) -> Tensor | None:
    """Values (F,) where logits are, and of their type."""
    return None if values is None else logits.new_tensor(values)


def _refuse_smoothing(smoothing: float) -> None:
    if smoothing:
        raise UsageError(
            "numbers are not smoothed", where="--label-smoothing", found=smoothing, expected="0"
        )


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


KINDS: dict[str, Any] = {
    kind.kind: kind for kind in (Classes, Factors, Numbers, PoissonCounts, BaseClasses)
}


def labels_from(described: Mapping[str, Any]) -> Labels:
    """Make the labels that a model folder describes: {"kind": ..., "names": [...]} and what else
    the kind is made with.

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
    own = {key: value for key, value in described.items() if key not in ("kind", "names")}
    made: Labels = KINDS[kind](described["names"], **own)
    return made

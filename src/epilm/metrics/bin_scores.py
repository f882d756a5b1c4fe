"""Where a factor binds: the scores of ENCODE-DREAM for millions of bins, and for its ten resamples.

Bins are bound (1), unbound (0) or ambiguous (-1: dropped and counted). Each bin is
sorted once, in its fold of the challenge's ten; counts of folds add up to those of
all bins and of the ten nine-tenths, so the resamples cost next to nothing.
Ours beside the challenge's: `ap` and `auprc_trapezoid`; compare with published
numbers in `auprc_dg` alone. Numpy only; areas come from `curves`.
"""

import warnings
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.metrics.curves import (
    Curve,
    ap_of,
    auprc_dg_of,
    auprc_trapezoid_of,
    auroc_of,
    counts_below,
    curve_from_counts,
    recall_at_fdr_of,
)
from epilm.metrics.thresholded import UndefinedMetricWarning

BOUND, UNBOUND, AMBIGUOUS = 1, 0, -1
METRICS = ("auroc", "auprc_dg", "recall_at_fdr10", "recall_at_fdr50")  # what the challenge ranks by
FOLDS = 10


# What tables call the scores.
HEADS = {
    "auprc_dg": "auPRC (DG)",
    "ap": "AP",
    "auroc": "auROC",
    "recall_at_fdr10": "recall 10 % FDR",
    "recall_at_fdr50": "recall 50 % FDR",
}


class BindingScores(TypedDict):
    """Scores of one factor in one cell type.

    n counts the bins scored (bound and unbound), positives the bound ones, ambiguous those
    dropped. All other values are shares from 0 to 1, NaN where one class is absent.
    """

    n: int
    positives: int
    ambiguous: int
    prevalence: float
    auroc: float
    ap: float
    auprc_trapezoid: float
    auprc_dg: float
    recall_at_fdr5: float
    recall_at_fdr10: float
    recall_at_fdr25: float
    recall_at_fdr50: float


class _Counts(NamedTuple):
    """Per fold: rows, rows below, rows at or below each distinct score of a bound bin."""

    rows: NDArray[np.int64]
    below: NDArray[np.int32]
    upto: NDArray[np.int32]


def score_bins(labels: ArrayLike, scores: ArrayLike, *, exact: bool = False) -> BindingScores:
    """Score predictions for bins as ENCODE-DREAM does, and in the two other customs.

    Parameters
    ----------
    labels : int (N,)
        1 bound, 0 unbound, -1 ambiguous; int8 is enough.
    scores : float (N,)
        Higher means bound; any finite numbers, float32 stays float32.
    exact : bool
        Recall at a false discovery rate: the challenge's plain floats (False), or exact counts.

    Returns
    -------
    BindingScores
        A dict: n, positives, ambiguous, prevalence, auroc, ap, auprc_trapezoid, auprc_dg,
        recall_at_fdr5, recall_at_fdr10, recall_at_fdr25, recall_at_fdr50.

    Raises
    ------
    ValueError
        If lengths differ, a label is not of the three, or a score is NaN or infinite (of an
        ambiguous bin too: the prediction is broken all the same).

    Warns
    -----
    UndefinedMetricWarning
        If no bin is bound, or none is unbound: every metric is NaN.

    References
    ----------
    ENCODE-DREAM in vivo Transcription Factor Binding Site Prediction Challenge, Synapse syn6131484;
    protocols 6.2.

    Examples
    --------
    >>> table = score_bins(
    ...     [1, 1, 0, 1, -1, 0, 0, 1, 0, 0, 0],
    ...     [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2],
    ... )
    >>> table["n"], table["ambiguous"], round(table["auprc_dg"], 6)
    (10, 1, 0.811012)
    >>> [table[f"recall_at_fdr{f}"] for f in (5, 10, 25, 50)]
    [0.5, 0.5, 0.75, 1.0]
    """
    bound, unbound, ambiguous = _split(labels, scores)
    _warn(len(bound), len(unbound), ambiguous)
    at = np.unique(bound)
    points = curve_from_counts(at, *counts_below(bound, at), *counts_below(unbound, at))
    return _table(points, ambiguous, exact)


def score_resamples(
    labels: ArrayLike, scores: ArrayLike, *, exact: bool = False
) -> tuple[BindingScores, list[BindingScores]]:
    """Score all bins, and each of the challenge's ten stratified nine-tenths of them.

    Resample i leaves out test fold i of scikit-learn's `StratifiedKFold(10)` without shuffling,
    made over the bins that are not ambiguous: of either class the i-th tenth in the order of the
    rows.

    Parameters
    ----------
    labels, scores, exact
        As in `score_bins`.

    Returns
    -------
    BindingScores
        Of all bins.
    list of BindingScores
        Ten; empty where a class is absent or neither has ten bins (scikit-learn refuses).

    Examples
    --------
    >>> labels = np.tile([1, 0, 0], 20)
    >>> whole, parts = score_resamples(labels, labels + np.arange(60) / 40)
    >>> whole["n"], len(parts), {part["n"] for part in parts}
    (60, 10, {54})
    """
    bound, unbound, ambiguous = _split(labels, scores)
    _warn(len(bound), len(unbound), ambiguous)
    if not len(bound) or not len(unbound) or max(len(bound), len(unbound)) < FOLDS:
        at = np.unique(bound)
        points = curve_from_counts(at, *counts_below(bound, at), *counts_below(unbound, at))
        return _table(points, ambiguous, exact), []
    bound_sizes, unbound_sizes = fold_sizes(_first_is_bound(labels), len(bound), len(unbound))
    at = np.unique(bound)
    inside, outside = _by_fold(bound, bound_sizes, at), _by_fold(unbound, unbound_sizes, at)

    def points_without(fold: int | None) -> Curve:
        parts = []
        for counts in (inside, outside):
            rows, below, upto = (c.sum(0) for c in counts)
            if fold is not None:
                rows, below, upto = (
                    rows - counts.rows[fold],
                    below - counts.below[fold],
                    upto - counts.upto[fold],
                )
            parts += [int(rows), below, upto]
        return curve_from_counts(at, *parts)

    whole = _table(points_without(None), ambiguous, exact)
    return whole, [_table(points_without(i), ambiguous, exact) for i in range(FOLDS)]


def score_entry(
    model: str, factor: str, cell: str, labels: ArrayLike, scores: ArrayLike, *, exact: bool = False
) -> dict[str, Any]:
    """Score a model on one dataset in the form that `epilm leaderboard` reads.

    Parameters
    ----------
    model, factor, cell : str
    labels, scores, exact
        As in `score_bins`.

    Returns
    -------
    dict
        task "dream", model, factor, cell, scores and resamples (ten, or none); plain values for
        JSON, what is undefined is None.

    Examples
    --------
    >>> entry = score_entry("m", "MAX", "liver", [1, 0, 0, -1], [0.9, 0.2, 0.1, 0.5])
    >>> list(entry), entry["scores"]["auroc"], entry["resamples"]
    (['task', 'model', 'factor', 'cell', 'scores', 'resamples'], 1.0, [])
    """
    whole, parts = score_resamples(labels, scores, exact=exact)

    def plain(table: BindingScores) -> dict[str, Any]:
        return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in table.items()}

    return {
        "task": "dream",
        "model": model,
        "factor": factor,
        "cell": cell,
        "scores": plain(whole),
        "resamples": [plain(part) for part in parts],
    }


def fold_sizes(
    bound_first: bool, bound: int, unbound: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the sizes of ten stratified test folds, as scikit-learn allots them.

    Classes are put end to end in the order in which they first appear, and rows of that line are
    dealt to the folds in turn; each fold takes its number of rows of a class in the order of the
    data.

    Parameters
    ----------
    bound_first : bool
        Whether the first row is bound.
    bound, unbound : int
        Rows of either class.

    Returns
    -------
    int64 (10,), int64 (10,)
        Bound and unbound rows of each fold.

    Examples
    --------
    >>> [sizes.tolist() for sizes in fold_sizes(False, 12, 23)]
    [[1, 1, 1, 2, 2, 1, 1, 1, 1, 1], [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]]
    """
    first, second = (bound, unbound) if bound_first else (unbound, bound)
    fold = np.arange(FOLDS)
    of_first = (first - fold + FOLDS - 1) // FOLDS
    of_second = (first + second - fold + FOLDS - 1) // FOLDS - of_first
    return (of_first, of_second) if bound_first else (of_second, of_first)


def _split(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.floating], int]:
    """Scores of the bound and of the unbound bins in row order, and how many are ambiguous."""
    true, value = np.asarray(labels), np.asarray(scores)
    if true.ndim != 1 or value.shape != true.shape:
        raise ValueError(
            f"labels of shape {true.shape} and scores of shape {value.shape} do not fit"
        )
    if value.dtype not in (np.float32, np.float64):
        value = value.astype(np.float32 if value.dtype == np.float16 else np.float64)
    if not np.isfinite(value).all():
        wrong = ~np.isfinite(value)
        raise ValueError(
            f"{int(wrong.sum())} of {len(value)} bins have a score that is NaN or infinite, the"
            f" first is bin {int(wrong.argmax())}"
        )
    bound, unbound = true == BOUND, true == UNBOUND
    ambiguous = int(np.count_nonzero(true == AMBIGUOUS))
    if np.count_nonzero(bound) + np.count_nonzero(unbound) + ambiguous != len(true):
        row = int((~(bound | unbound | (true == AMBIGUOUS))).argmax())
        raise ValueError(
            f"bin {row} has the label {true[row]}; 1 is bound, 0 unbound, -1 ambiguous"
        )
    return value[bound], value[unbound], ambiguous


def _first_is_bound(labels: ArrayLike) -> bool:
    true = np.asarray(labels)
    clear = true != AMBIGUOUS
    return bool(true[int(clear.argmax())] == BOUND)


def _by_fold(
    scores: NDArray[np.floating], sizes: NDArray[np.int64], at: NDArray[np.floating]
) -> _Counts:
    ends = np.cumsum(sizes)
    below, upto = (
        np.empty((FOLDS, len(at)), np.int32) for _ in range(2)
    )  # half the memory of int64
    for fold, (size, end) in enumerate(zip(sizes, ends)):
        _, below[fold], upto[fold] = counts_below(scores[end - size : end], at)
    return _Counts(sizes, below, upto)


def _warn(bound: int, unbound: int, ambiguous: int) -> None:
    if bound and unbound:
        return
    lacking = "bound" if not bound else "unbound"
    said = (
        f"no bin is {lacking} among {bound + unbound} scored"
        if bound + unbound
        else "no bin is left to score"
    )
    warnings.warn(
        f"{said} ({ambiguous} ambiguous dropped): every metric is NaN",
        UndefinedMetricWarning,
        stacklevel=3,
    )


def _table(points: Curve, ambiguous: int, exact: bool) -> BindingScores:
    rows = points.positives + points.negatives
    return {
        "n": rows,
        "positives": points.positives,
        "ambiguous": ambiguous,
        "prevalence": points.positives / rows if rows else float("nan"),
        "auroc": auroc_of(points),
        "ap": ap_of(points),
        "auprc_trapezoid": auprc_trapezoid_of(points),
        "auprc_dg": auprc_dg_of(points),
        "recall_at_fdr5": recall_at_fdr_of(points, 0.05, exact=exact),
        "recall_at_fdr10": recall_at_fdr_of(points, 0.1, exact=exact),
        "recall_at_fdr25": recall_at_fdr_of(points, 0.25, exact=exact),
        "recall_at_fdr50": recall_at_fdr_of(points, 0.5, exact=exact),
    }

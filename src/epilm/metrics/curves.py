"""Scores of an order: ROC and precision-recall areas, and recall at a false discovery rate.

Everything follows from the counts at the scores that positives have: a score
that only negatives have moves no recall. So rows are sorted once, positives and
negatives apart, and 8.8 million bins with 10,000 positives leave a curve of at
most 10,000 points, from which each number here is one sum. Three areas under the
precision-recall curve are in use and differ where scores tie; each has its own
name. One class alone: NaN. Numpy only, float64 counts.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Curve(NamedTuple):
    """Counts at each distinct score of a positive, from the highest down (U points).

    Attributes
    ----------
    thresholds : float (U,)
    tp, fp : float64 (U,)
        Positives and negatives at or above the score.
    tp_above, fp_above : float64 (U,)
        The same strictly above it: where the block of equal scores begins.
    positives, negatives : int
        All rows of either class.
    """

    thresholds: NDArray[np.floating]
    tp: Floats
    fp: Floats
    tp_above: Floats
    fp_above: Floats
    positives: int
    negatives: int

    @property
    def one_class(self) -> bool:
        """True where areas are undefined."""
        return not (self.positives and self.negatives)


def curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Count positives and negatives at and above each distinct score of a positive.

    Parameters
    ----------
    labels : int (N,)
        1 for positive, anything else negative.
    scores : float (N,) or (N, 2)
        Higher for class 1; of two columns the second.

    Raises
    ------
    ValueError
        If lengths differ, or a score is not finite.

    Examples
    --------
    >>> points = curve([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5])
    >>> points.thresholds.tolist(), points.tp.tolist(), points.fp.tolist()
    ([0.9, 0.5], [1.0, 2.0], [0.0, 2.0])
    """
    true, columns = as_rows(labels, scores)
    if columns.shape[1] > 2:
        raise ValueError("a precision-recall curve needs the scores of one class")
    value, positive = columns[:, -1], true == 1
    return curve_of(value[positive], value[~positive])


def curve_of(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> Curve:
    """Make the curve from the scores of the positives and those of the negatives.

    Parameters
    ----------
    positives, negatives : float (P,), (M,)
        Finite, in any order; left as they are.

    Examples
    --------
    >>> curve_of(np.array([0.9, 0.5]), np.array([0.5, 0.5])).fp_above.tolist()
    [0.0, 0.0]
    """
    at = np.unique(positives)
    return curve_from_counts(at, *counts_below(positives, at), *counts_below(negatives, at))


def counts_below(
    scores: NDArray[np.floating], at: NDArray[np.floating]
) -> tuple[int, Integers, Integers]:
    """Count all scores, those below each of `at`, and those at or below it; one sort.

    Counts of parts add up, so the curve of nine tenths of the rows needs no second sort.

    Examples
    --------
    >>> [
    ...     np.asarray(c).tolist()
    ...     for c in counts_below(np.array([3.0, 1.0, 2.0, 2.0]), np.array([2.0, 5.0]))
    ... ]
    [4, [1, 4], [3, 4]]
    """
    ordered = np.sort(scores)
    return (
        len(ordered),
        np.searchsorted(ordered, at, "left").astype(np.int64),
        np.searchsorted(ordered, at, "right").astype(np.int64),
    )


def curve_from_counts(
    at: NDArray[np.floating],
    positives: int,
    positives_below: Integers,
    positives_upto: Integers,
    negatives: int,
    negatives_below: Integers,
    negatives_upto: Integers,
) -> Curve:
    """Turn what `counts_below` gives for either class into a curve; points without a positive go.

    Parameters
    ----------
    at : float (U,)
        Rising.
    positives, positives_below, positives_upto, negatives, ... : int, int (U,), int (U,)
    """
    keep = np.flatnonzero(positives_upto > positives_below)[::-1]
    return Curve(
        at[keep],
        (positives - positives_below[keep]).astype(np.float64),
        (negatives - negatives_below[keep]).astype(np.float64),
        (positives - positives_upto[keep]).astype(np.float64),
        (negatives - negatives_upto[keep]).astype(np.float64),
        int(positives),
        int(negatives),
    )


def auroc(labels: ArrayLike, scores: ArrayLike, average: Literal["ovo", "ovr"] = "ovo") -> float:
    """Give the area under the ROC curve: ties count half, one class alone gives NaN.

    Parameters
    ----------
    labels : int (N,)
        Classes 0..C-1.
    scores : float (N,) or (N, C)
        The score of class 1, or one column a class. Two columns are read as two
        classes and the second is used, as the papers do.
    average : {"ovo", "ovr"}
        With more than two classes: macro one-versus-one (DNABERT's choice) or
        one-versus-rest. A class without rows makes the result NaN.

    Returns
    -------
    float
        0 to 1, or NaN.

    Examples
    --------
    >>> auroc([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    0.8333333333333334
    >>> auroc([1, 1], [0.2, 0.3])
    nan
    """
    true, columns = as_rows(labels, scores)
    if columns.shape[1] <= 2:
        return auroc_of(curve(true, columns))

    def one(positive: NDArray[np.bool_], score: Floats) -> float:
        return auroc_of(curve_of(score[positive], score[~positive]))

    classes = range(columns.shape[1])
    if average == "ovr":
        return float(np.mean([one(true == c, columns[:, c]) for c in classes]))
    areas = []
    for a in classes:
        for b in range(a + 1, columns.shape[1]):
            either = (true == a) | (true == b)
            areas.append(one(true[either] == a, columns[either, a]))
            areas.append(one(true[either] == b, columns[either, b]))
    return float(np.mean(areas))


def ap(labels: ArrayLike, scores: ArrayLike) -> float:
    """Give average precision, the step sum: sum of (recall gained) x (precision there).

    Returns
    -------
    float
        0 to 1; its chance level is the share of positives; NaN where one class is absent.

    Examples
    --------
    >>> round(
    ...     ap(
    ...         [1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    ...     ),
    ...     6,
    ... )
    0.830357
    """
    return ap_of(curve(labels, scores))


def auprc_trapezoid(labels: ArrayLike, scores: ArrayLike) -> float:
    """Give the area under straight lines between the points of the curve (optimistic with ties).

    The curve starts at recall 0 with precision 1, as scikit-learn draws it.

    Examples
    --------
    >>> round(
    ...     auprc_trapezoid(
    ...         [1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    ...     ),
    ...     6,
    ... )
    0.811012
    >>> auprc_trapezoid([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5])
    0.875
    """
    return auprc_trapezoid_of(curve(labels, scores))


def auprc_dg(labels: ArrayLike, scores: ArrayLike) -> float:
    """Give the area of Davis and Goadrich, the value the DREAM challenge scored.

    Inside a block of equal scores false positives grow linearly with true
    positives, one whole true positive at a time; the first block is a rectangle.

    References
    ----------
    Davis J, Goadrich M. The relationship between precision-recall and ROC curves.
    ICML 2006. R package PRROC, `auc.davis.goadrich`.

    Examples
    --------
    >>> round(auprc_dg([1, 1, 1] + [0] * 7, [0.9] + [0.5] * 9), 4)
    0.6712
    >>> auprc_dg([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5])
    0.875
    """
    return auprc_dg_of(curve(labels, scores))


def recall_at_fdr(
    labels: ArrayLike, scores: ArrayLike, fdr: float, *, exact: bool = False
) -> float:
    """Give the recall at a false discovery rate, as the DREAM challenge scores it.

    Of scikit-learn's `precision_recall_curve` the first point, thresholds rising,
    with 1 - precision <= fdr. None: 0, the recall of the curve's appended last point.

    Parameters
    ----------
    labels, scores
        As in `curve`.
    fdr : float
        Between 0 and 1, e.g. 0.1.
    exact : bool
        The challenge compares plain floats, so that 19 of 20 right fails 5 % (1 - .95 is a
        little more than .05) while 9 of 10 passes 10 %. True compares FP <= fdr (TP + FP) + 1e-12.

    Examples
    --------
    >>> labels, scores = [1] * 19 + [0], list(range(20, 0, -1))
    >>> scores[-1] = scores[-2]  # the last positive ties with the negative
    >>> recall_at_fdr(labels, scores, 0.05) < 1, recall_at_fdr(labels, scores, 0.05, exact=True)
    (True, 1.0)
    """
    return recall_at_fdr_of(curve(labels, scores), fdr, exact=exact)


def auroc_of(points: Curve) -> float:
    """Area under the ROC curve of counts: of each positive the share of negatives below, ties
    half.
    """
    if points.one_class:
        return float("nan")
    below = points.negatives - (points.fp + points.fp_above) / 2
    return float((points.tp - points.tp_above) @ below / points.positives / points.negatives)


def ap_of(points: Curve) -> float:
    """Average precision of counts."""
    if points.one_class:
        return float("nan")
    return float((points.tp - points.tp_above) @ _precision(points) / points.positives)


def auprc_trapezoid_of(points: Curve) -> float:
    """Trapezoid area of counts; what stands before a block is the end of the block above, bound or
    not.
    """
    if points.one_class:
        return float("nan")
    above = points.tp_above + points.fp_above
    before = np.where(above > 0, points.tp_above / np.maximum(above, 1), 1.0)
    return float(
        (points.tp - points.tp_above) @ (before + _precision(points)) / (2 * points.positives)
    )


def auprc_dg_of(points: Curve) -> float:
    """Davis-Goadrich area of counts."""
    if points.one_class:
        return float("nan")
    size = points.tp - points.tp_above
    if (size == 1).all():  # no two positives tie: every block is one step
        left_tp, right_tp = points.tp_above, points.tp
        left_fp, right_fp = points.fp_above, points.fp
        first = np.arange(len(size)) == 0
    else:
        gained = size.astype(np.int64)
        blocks = np.repeat(np.arange(len(gained)), gained)  # one entry a true positive
        step = np.arange(len(blocks)) - np.repeat(
            np.cumsum(gained) - gained, gained
        )  # 0.. in its block
        slope = ((points.fp - points.fp_above) / size)[blocks]
        left_tp = points.tp_above[blocks] + step
        left_fp = points.fp_above[blocks] + slope * step
        right_tp, right_fp = left_tp + 1, left_fp + slope
        first = blocks == 0
    left = left_tp / np.maximum(left_tp + left_fp, 1e-300)
    right = right_tp / (right_tp + right_fp)
    if points.fp_above[0] == 0:
        # The highest score of all: no point before it to draw from, so precision is that of its
        # end.
        left[first] = right[first] = points.tp[0] / (points.tp[0] + points.fp[0])
    return float(np.sum(left + right) / 2 / points.positives)


def recall_at_fdr_of(points: Curve, fdr: float, *, exact: bool = False) -> float:
    """Recall at a false discovery rate from counts (see `recall_at_fdr`)."""
    if not 0 < fdr < 1:
        raise ValueError(f"a false discovery rate lies between 0 and 1, not at {fdr}")
    if points.one_class:
        return float("nan")
    if exact:
        passed = points.fp <= fdr * (points.tp + points.fp) + 1e-12
    else:
        passed = 1 - _precision(points) <= fdr
    # Thresholds fall along the curve: the first with rising thresholds is the last here.
    last = np.flatnonzero(passed)
    return float(points.tp[last[-1]] / points.positives) if len(last) else 0.0


def as_classes(values: ArrayLike, name: str) -> Integers:
    """Give classes as int64 (N,); what is not whole, negative or not a row is refused
    (ValueError).
    """
    array = np.asarray(values)
    if array.ndim != 1 or (
        array.size and not np.issubdtype(array.dtype, np.integer) and array.dtype != bool
    ):
        raise ValueError(
            f"{name} must be whole numbers in one dimension, not {array.dtype} {array.shape}"
        )
    array = array.astype(np.int64)
    if array.size and array.min() < 0:
        raise ValueError(f"{name} must not be negative")
    return array


def as_rows(labels: ArrayLike, scores: ArrayLike) -> tuple[Integers, Floats]:
    """Give labels int64 (N,) and finite scores float64 (N, C) of the same rows (ValueError
    otherwise).
    """
    true, columns = as_classes(labels, "labels"), np.asarray(scores, np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or len(columns) != len(true):
        raise ValueError(f"{len(true)} labels and scores of shape {columns.shape} do not fit")
    if not np.isfinite(columns).all():
        raise ValueError(
            f"{int((~np.isfinite(columns)).any(1).sum())} rows have a score that is not finite"
        )
    return true, columns


def _precision(points: Curve) -> Floats:
    return points.tp / (points.tp + points.fp)

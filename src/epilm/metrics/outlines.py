"""What a page draws of predictions: curves, calibration, confusion and chromosomes, as short rows.

Millions of rows become a few hundred numbers, which a run keeps, so that its page can be drawn
without them. JSON values; what is undefined is None. Numpy only. Axes: N rows, C classes.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.metrics.curves import ap, auroc, curve

Outline = dict[str, Any]
POINTS = 300  # of a curve, at most
BINS = 10  # of calibration
SHOWN = 2000  # points of numbers against numbers, at most
PR_COLUMNS = ("recall", "precision", "threshold")
ROC_COLUMNS = ("false_positive_rate", "true_positive_rate", "threshold")
CALIBRATION_COLUMNS = ("from", "to", "rows", "mean_said", "share_true")
CHROM_COLUMNS = ("chrom", "rows", "positives", "auroc", "ap")
NUMBER_COLUMNS = ("chrom", "rows", "pearson")


def outline(
    labels: ArrayLike,
    scores: ArrayLike,
    chroms: ArrayLike | None = None,
    *,
    probabilities: bool = True,
) -> Outline:
    """Outline one yes-or-no question.

    Parameters
    ----------
    labels : int (N,)
        1, 0, or below 0 where not known: such rows are left out.
    scores : float (N,)
        Higher for 1.
    chroms : str (N,), optional
        "" where a row has no chromosome.
    probabilities : bool
        The scores are these: calibration and counts at one half are given too.

    Returns
    -------
    dict
        n, positives; of both classes precision_recall and roc (rows of PR_COLUMNS and
        ROC_COLUMNS); calibration (CALIBRATION_COLUMNS); confusion (true class, class said);
        chroms (CHROM_COLUMNS) where there are several.

    Examples
    --------
    >>> said = outline([1, 0, 1, 0], [0.9, 0.5, 0.4, 0.1])
    >>> said["precision_recall"]
    [[0.5, 1.0, 0.9], [1.0, 0.6666666666666666, 0.4]]
    >>> said["confusion"]
    [[1, 1], [1, 1]]
    """
    true, said = np.asarray(labels), np.asarray(scores, np.float64)
    known = true >= 0
    true, said = (true[known] == 1), said[known]
    out: Outline = {"n": len(true), "positives": int(true.sum())}
    if 0 < out["positives"] < out["n"]:
        out |= _curves(true, said)
    if probabilities and len(true):
        out["calibration"] = calibration(true, said)
        at_half = said >= 0.5
        out["confusion"] = [
            [int((~true & ~at_half).sum()), int((~true & at_half).sum())],
            [int((true & ~at_half).sum()), int((true & at_half).sum())],
        ]
    if chroms is not None:
        out["chroms"] = _by_chrom(np.asarray(chroms)[known], true, said)
    return out


def _curves(true: NDArray[np.bool_], said: NDArray[np.float64]) -> Outline:
    points = curve(true.astype(np.int8), said)
    recall = points.tp / points.positives
    precision = points.tp / (points.tp + points.fp)
    false = points.fp / points.negatives
    some = evenly(recall, precision)
    rows = np.stack([recall, precision, points.thresholds.astype(np.float64)], 1)[some]
    along = evenly(false, recall)
    roc = np.stack([false, recall, points.thresholds.astype(np.float64)], 1)[along]
    lowest = [[1.0, 1.0, float(said.min())]] if false[-1] < 1 else []  # of negatives alone
    return {"precision_recall": rows.tolist(), "roc": roc.tolist() + lowest}


def evenly(x: NDArray[np.float64], y: NDArray[np.float64], most: int = POINTS) -> NDArray[np.int64]:
    """Choose points of a curve, evenly along it, both ends among them.

    Examples
    --------
    >>> evenly(np.arange(5.0), np.zeros(5), 3).tolist()
    [0, 2, 4]
    """
    if len(x) <= most:
        return np.arange(len(x))
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    at = np.searchsorted(way, np.linspace(0, way[-1], most))
    return np.unique(np.concatenate([np.minimum(at, len(x) - 1), [0, len(x) - 1]]))


def calibration(
    true: NDArray[np.bool_], said: NDArray[np.float64], bins: int = BINS
) -> list[list[float]]:
    """Give what probabilities promise beside what is true, bin by bin; empty bins are left out.

    Examples
    --------
    >>> calibration(np.array([True, False, True]), np.array([0.9, 0.15, 0.15]), 10)
    [[0.1, 0.2, 2, 0.15, 0.5], [0.9, 1.0, 1, 0.9, 1.0]]
    """
    at = np.clip((said * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    promised = np.bincount(at, said, bins)
    right = np.bincount(at, true.astype(float), bins)
    return calibration_rows(count, promised, right)


def calibration_rows(
    count: NDArray[Any], promised: NDArray[Any], right: NDArray[Any]
) -> list[list[float]]:
    """Rows of CALIBRATION_COLUMNS from rows, sums of probabilities and true ones of equal bins."""
    bins = len(count)
    return [
        [b / bins, (b + 1) / bins, int(n), float(promised[b] / n), float(right[b] / n)]
        for b, n in enumerate(count)
        if n
    ]


def _by_chrom(
    chroms: NDArray[Any], true: NDArray[np.bool_], said: NDArray[np.float64]
) -> list[list[Any]]:
    """Rows of CHROM_COLUMNS; none where rows have no chromosome."""
    out = []
    for chrom in _in_order(chroms):
        here = chroms == chrom
        mine, positives = true[here].astype(np.int8), int(true[here].sum())
        both = 0 < positives < len(mine)
        areas = [auroc(mine, said[here]), ap(mine, said[here])] if both else [None, None]
        out.append([chrom, len(mine), positives, *areas])
    return out


def _in_order(chroms: NDArray[Any]) -> list[str]:
    names = [str(name) for name in np.unique(chroms) if str(name)]
    digits = [("".join(filter(str.isdigit, name)), name) for name in names]
    return [name for _, name in sorted(digits, key=lambda pair: (int(pair[0] or 1 << 30), pair[1]))]


def outline_of_numbers(
    true: ArrayLike, said: ArrayLike, chroms: ArrayLike | None = None
) -> Outline:
    """Outline numbers: n, points (true, said; of many rows every so manieth), chroms
    (NUMBER_COLUMNS).

    Examples
    --------
    >>> outline_of_numbers([1.0, np.nan], [2.0, 3.0])
    {'n': 1, 'points': [[1.0, 2.0]]}
    """
    right, guess = np.asarray(true, np.float64), np.asarray(said, np.float64)
    known = np.isfinite(right)
    right, guess = right[known], guess[known]
    step = max(1, -(-len(right) // SHOWN))
    out: Outline = {
        "n": len(right),
        "points": np.stack([right, guess], 1)[::step].tolist(),
    }
    if chroms is not None:
        names = np.asarray(chroms)[known]
        rows = []
        for chrom in _in_order(names):
            here = names == chrom
            rows.append([chrom, int(here.sum()), _correlation(right[here], guess[here])])
        out["chroms"] = rows
    return out


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(np.corrcoef(a, b)[0, 1])
    return value if math.isfinite(value) else None


def confusion_of(true: NDArray[Any], said: NDArray[Any], names: Sequence[str]) -> Outline:
    """Count rows by true class and by the class said most likely: {"names", "counts"}.

    Examples
    --------
    >>> confusion_of(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), ["a", "b"])["counts"]
    [[1, 0], [1, 0]]
    """
    size = len(names)
    at = np.asarray(true, np.int64) * size + np.asarray(said).argmax(-1)
    counts = np.bincount(at, minlength=size * size).reshape(size, size)
    return {"names": list(names), "counts": counts.tolist()}

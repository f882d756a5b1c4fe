"""Scores of classes already said: accuracy, precision, recall, F1, Matthews' correlation.

By the conventions of the two papers (protocols section 12): macro averages count
a class that was never predicted as 0, and say so. Numpy only, float64.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.metrics.curves import as_classes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class UndefinedMetricWarning(UserWarning):
    """A class was never predicted or never present; the metric is 0 or NaN by convention."""


def confusion(labels: ArrayLike, predicted: ArrayLike, n_classes: int | None = None) -> Integers:
    """Count rows by (true class, predicted class).

    Parameters
    ----------
    labels, predicted : int (N,)
        Classes 0..C-1.
    n_classes : int, optional
        C; by default one more than the largest class met, at least 2.

    Returns
    -------
    int64 (C, C)
        Row = true class, column = predicted class.

    Examples
    --------
    >>> confusion([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]).tolist()
    [[3, 1], [1, 1]]
    """
    true, said = as_classes(labels, "labels"), as_classes(predicted, "predicted")
    if true.shape != said.shape:
        raise ValueError(f"labels and predicted differ in length: {len(true)} and {len(said)}")
    if not len(true):
        raise ValueError("no rows to score")
    size = n_classes or max(2, int(max(true.max(), said.max())) + 1)
    return np.bincount(true * size + said, minlength=size * size).reshape(size, size)


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Give the share of rows that are right.

    Examples
    --------
    >>> round(accuracy([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]), 4)
    0.6667
    """
    table = confusion(labels, predicted)
    return float(np.trace(table) / table.sum())


def precision_per_class(table: Integers) -> Floats:
    """Give TP / (TP + FP) of each class; 0, with a warning, for a class never predicted.

    Examples
    --------
    >>> precision_per_class(np.array([[3, 1], [1, 1]])).tolist()
    [0.75, 0.5]
    """
    return _ratio(np.diag(table), table.sum(0), "never predicted: its precision counts 0")


def recall_per_class(table: Integers) -> Floats:
    """Give TP / (TP + FN) of each class; 0, with a warning, for a class without rows.

    Examples
    --------
    >>> recall_per_class(np.array([[3, 1], [1, 1]])).tolist()
    [0.75, 0.5]
    """
    return _ratio(np.diag(table), table.sum(1), "not among the labels: its recall counts 0")


def macro_precision(labels: ArrayLike, predicted: ArrayLike, n_classes: int | None = None) -> float:
    """Average the precision of the classes (protocols section 12; Table 1 of the GeneBERT paper).

    Examples
    --------
    >>> macro_precision([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.625
    """
    return float(precision_per_class(confusion(labels, predicted, n_classes)).mean())


def macro_recall(labels: ArrayLike, predicted: ArrayLike, n_classes: int | None = None) -> float:
    """Average the recall of the classes, which is balanced accuracy.

    Examples
    --------
    >>> macro_recall([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.625
    """
    return float(recall_per_class(confusion(labels, predicted, n_classes)).mean())


def macro_f1(labels: ArrayLike, predicted: ArrayLike, n_classes: int | None = None) -> float:
    """Average the F1 of the classes; not the harmonic mean of macro precision and recall.

    Examples
    --------
    >>> macro_f1([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.625
    """
    table = confusion(labels, predicted, n_classes)
    hits = np.diag(table)
    return float(_ratio(2 * hits, table.sum(0) + table.sum(1), None).mean())


def binary_precision(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Give the precision of class 1.

    Examples
    --------
    >>> binary_precision([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.5
    """
    return float(precision_per_class(confusion(labels, predicted, 2))[1])


def binary_recall(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Give the recall of class 1.

    Examples
    --------
    >>> binary_recall([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.5
    """
    return float(recall_per_class(confusion(labels, predicted, 2))[1])


def binary_f1(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Give the F1 of class 1.

    Examples
    --------
    >>> binary_f1([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.5
    """
    table = confusion(labels, predicted, 2)
    return float(_ratio(2 * np.diag(table), table.sum(0) + table.sum(1), None)[1])


def mcc(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Give Matthews' correlation coefficient, for any number of classes (Gorodkin's form).

    Returns
    -------
    float
        -1 to 1; 0 where labels or predictions are constant.

    Examples
    --------
    >>> mcc([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    0.25
    """
    table = confusion(labels, predicted).astype(np.float64)
    true, said, rows = table.sum(1), table.sum(0), table.sum()
    top = np.trace(table) * rows - true @ said
    below = np.sqrt(rows**2 - said @ said) * np.sqrt(rows**2 - true @ true)
    return float(top / below) if below > 0 else 0.0


def fit_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """Find where the second of two classes should begin, by MCC.

    By the rule of one standard error (Breiman et al. 1984): of all thresholds whose MCC is within
    one of the greatest, the one nearest 0.5, and 0.5 itself where it is among them. The greatest
    alone follows the accidents of few rows: a regression whose probabilities are right loses by it.

    Parameters
    ----------
    labels : int (N,)
        0 and 1.
    scores : float (N,)
        Of class 1; those above the threshold are said to be of it.

    Returns
    -------
    float
        0.5, or half way between two scores that are met. 0.5 too where one class alone is met, or
        all scores are equal.

    Examples
    --------
    >>> fit_threshold([0, 0, 1, 1], [0.1, 0.6, 0.8, 0.9])
    0.7
    >>> fit_threshold([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    0.5
    """
    true = as_classes(labels, "labels").astype(bool)
    said = np.asarray(scores, np.float64)
    order = np.argsort(-said, kind="stable")
    said, right = said[order], np.cumsum(true[order])
    ends = np.flatnonzero(said[:-1] > said[1:])  # the last row above each threshold
    if not len(ends) or true.all() or not true.any():
        return 0.5
    above, rows, yes = ends + 1.0, float(len(true)), float(true.sum())
    found = right[ends].astype(np.float64)
    # Both classes are met and both are said, so that nothing below is 0.
    top = found * rows - above * yes
    reached = top / np.sqrt(above * (rows - above) * yes * (rows - yes))
    greatest = float(reached.max())
    error = (1 - greatest**2) / np.sqrt(rows)  # of a correlation
    if mcc(true, np.asarray(scores, np.float64) > 0.5) >= greatest - error - 1e-12:
        return 0.5
    middles = (said[ends] + said[ends + 1]) / 2
    good = middles[reached >= greatest - error - 1e-12]
    return float(good[np.abs(good - 0.5).argmin()])


def at_half(probabilities: ArrayLike, threshold: float) -> Floats:
    """Move the probabilities of two classes so that a threshold comes to lie at a half: odds are
    divided by those of the threshold, ranks stay.

    Parameters
    ----------
    probabilities : float (N, 2)
    threshold : float
        Of class 1, above 0 and below 1.

    Examples
    --------
    >>> at_half([[0.8, 0.2], [0.5, 0.5]], 0.2).round(3).tolist()
    [[0.5, 0.5], [0.2, 0.8]]
    """
    said = np.asarray(probabilities, np.float64)
    if threshold == 0.5:
        return said
    moved = said * np.array([threshold, 1 - threshold])
    return np.asarray(moved / moved.sum(1, keepdims=True))


def _ratio(top: Integers, below: Integers, warning: str | None) -> Floats:
    empty = below == 0
    if warning and empty.any():
        names = ", ".join(str(c) for c in np.flatnonzero(empty))
        warnings.warn(f"class {names} is {warning}", UndefinedMetricWarning, stacklevel=3)
    return np.where(empty, 0.0, top / np.maximum(below, 1))

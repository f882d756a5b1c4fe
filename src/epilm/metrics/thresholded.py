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


def _ratio(top: Integers, below: Integers, warning: str | None) -> Floats:
    empty = below == 0
    if warning and empty.any():
        names = ", ".join(str(c) for c in np.flatnonzero(empty))
        warnings.warn(f"class {names} is {warning}", UndefinedMetricWarning, stacklevel=3)
    return np.where(empty, 0.0, top / np.maximum(below, 1))

"""Scores of a classifier, by the conventions of the two papers and of the DREAM challenge.

Three areas under the precision-recall curve are in use and differ: they are
named `ap`, `auprc_trapezoid` and `auprc_dg` and never just "AUPRC". What is
undefined is NaN, never a flattering 0.5. A classifier that says one thing for
everything has a name here (`collapse_alarm`), because macro averages hide it:
two rows of published tables are such models. Numpy only, float64, stable sorts.
"""

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    true, said = _classes(labels, "labels"), _classes(predicted, "predicted")
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
    >>> auroc([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [.95, .9, .85, .8, .7, .6, .5, .4, .3, .2])
    0.8333333333333334
    >>> auroc([1, 1], [0.2, 0.3])
    nan
    """
    true, columns = _rows(labels, scores)
    if columns.shape[1] == 1:
        return _auroc_binary(true == 1, columns[:, 0])
    if columns.shape[1] == 2:
        return _auroc_binary(true == 1, columns[:, 1])
    classes = range(columns.shape[1])
    if average == "ovr":
        return float(np.mean([_auroc_binary(true == c, columns[:, c]) for c in classes]))
    areas = []
    for a in classes:
        for b in range(a + 1, columns.shape[1]):
            either = (true == a) | (true == b)
            areas.append(_auroc_binary(true[either] == a, columns[either, a]))
            areas.append(_auroc_binary(true[either] == b, columns[either, b]))
    return float(np.mean(areas))


class Curve(NamedTuple):
    """Cumulated counts at each distinct score, from the highest down."""

    thresholds: Floats
    tp: Floats
    fp: Floats
    positives: int


def curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Count true and false positives at or above each distinct score.

    Parameters
    ----------
    labels : int (N,)
        1 for positive, anything else negative.
    scores : float (N,)

    Examples
    --------
    >>> curve([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5])[1:]
    (array([1., 2.]), array([0., 2.]), 2)
    """
    true, columns = _rows(labels, scores)
    if columns.shape[1] > 2:
        raise ValueError("a precision-recall curve needs the scores of one class")
    value, positive = columns[:, -1], true == 1
    order = np.argsort(-value, kind="stable")
    value, positive = value[order], positive[order]
    last = np.append(value[1:] != value[:-1], True)
    tp, fp = np.cumsum(positive)[last], np.cumsum(~positive)[last]
    return Curve(value[last], tp.astype(np.float64), fp.astype(np.float64), int(positive.sum()))


def ap(labels: ArrayLike, scores: ArrayLike) -> float:
    """Give average precision, the step sum: sum of (recall gained) x (precision there).

    Returns
    -------
    float
        0 to 1; its chance level is the share of positives; NaN where one class is absent.

    Examples
    --------
    >>> round(ap([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [.95, .9, .85, .8, .7, .6, .5, .4, .3, .2]), 6)
    0.830357
    """
    points = curve(labels, scores)
    if _one_class(points):
        return float("nan")
    gained = np.diff(points.tp, prepend=0.0) / points.positives
    return float(gained @ (points.tp / (points.tp + points.fp)))


def auprc_trapezoid(labels: ArrayLike, scores: ArrayLike) -> float:
    """Give the area under straight lines between the points of the curve (optimistic with ties).

    The curve starts at recall 0 with precision 1, as scikit-learn draws it.

    Examples
    --------
    >>> round(auprc_trapezoid([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [.95, .9, .85, .8, .7, .6, .5, .4, .3, .2]), 6)
    0.811012
    >>> auprc_trapezoid([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5])
    0.875
    """
    points = curve(labels, scores)
    if _one_class(points):
        return float("nan")
    recall = np.append(0.0, points.tp / points.positives)
    precision = np.append(1.0, points.tp / (points.tp + points.fp))
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1])) / 2)


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
    points = curve(labels, scores)
    if _one_class(points):
        return float("nan")
    tp_before, fp_before = np.append(0.0, points.tp[:-1]), np.append(0.0, points.fp[:-1])
    # The first block: from nothing, precision is that of its end.
    area = points.tp[0] * points.tp[0] / (points.tp[0] + points.fp[0])
    gained = (points.tp - tp_before).astype(np.int64)
    gained[0] = 0
    blocks = np.repeat(np.arange(len(gained)), gained)  # one entry a true positive
    step = np.arange(len(blocks)) - np.repeat(np.cumsum(gained) - gained, gained)  # 0.. in its block
    slope = (points.fp - fp_before)[blocks] / gained[blocks]
    left_tp, right_tp = tp_before[blocks] + step, tp_before[blocks] + step + 1
    left = left_tp / np.maximum(left_tp + fp_before[blocks] + slope * step, 1e-300)
    right = right_tp / (right_tp + fp_before[blocks] + slope * (step + 1))
    return float((area + np.sum(left + right) / 2) / points.positives)


def collapse_alarm(probabilities: ArrayLike, *, share: float = 0.99, spread: float = 1e-3) -> str | None:
    """Name the way in which a classifier has stopped classifying, if it has.

    Parameters
    ----------
    probabilities : float (N, C)
        One row a sequence.
    share : float
        One class predicted for at least this share of rows is "near constant".
    spread : float
        A score whose standard deviation is below this is "flat".

    Returns
    -------
    str or None
        "constant prediction", "near constant prediction" or "flat scores", with
        the figures; None where all is well or there are fewer than 10 rows.

    Examples
    --------
    >>> collapse_alarm(np.tile([0.6, 0.4], (20, 1)))
    'constant prediction: class 0 for all 20 rows, scores do not vary'
    >>> even = np.linspace(0.1, 0.9, 20)
    >>> collapse_alarm(np.stack([1 - even, even], 1)) is None
    True
    """
    table = np.asarray(probabilities, np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"probabilities must be (N, C) with C >= 2, not {table.shape}")
    rows = len(table)
    if rows < 10:
        return None
    counts = np.bincount(table.argmax(1), minlength=table.shape[1])
    top = int(counts.argmax())
    deviation = float(table.std(0).max())
    flat = ", scores do not vary" if deviation < spread else ""
    if counts[top] == rows:
        return f"constant prediction: class {top} for all {rows} rows{flat}"
    if counts[top] >= share * rows:
        return f"near constant prediction: class {top} for {counts[top]} of {rows} rows{flat}"
    if flat:
        return f"flat scores: standard deviation {deviation:.2g} over {rows} rows"
    return None


def score_table(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, Any]:
    """Give every score of a classifier on one set, ready for a table.

    Parameters
    ----------
    labels : int (N,)
        Classes 0..C-1.
    probabilities : float (N, C)

    Returns
    -------
    dict
        n, share of each class, accuracy, macro_precision, macro_recall, macro_f1,
        mcc, auroc (auroc_ovr too with C > 2), and with two classes precision,
        recall, f1 (class 1), ap, auprc_trapezoid, auprc_dg, prevalence; `collapse`
        holds the alarm's words or None.

    Examples
    --------
    >>> scores = np.array([.95, .9, .85, .8, .7, .6, .5, .4, .3, .2])
    >>> table = score_table([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], np.stack([1 - scores, scores], 1))
    >>> round(table["ap"], 4), round(table["auroc"], 4), table["n"], table["prevalence"]
    (0.8304, 0.8333, 10, 0.4)
    """
    true, columns = _rows(labels, probabilities)
    classes = columns.shape[1]
    if classes < 2:
        raise ValueError("probabilities need one column a class")
    said = columns.argmax(1)
    alarm = collapse_alarm(columns)
    with warnings.catch_warnings():
        # The table itself says it: `collapse`, and a precision of 0.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        table: dict[str, Any] = {
            "n": len(true),
            "accuracy": accuracy(true, said),
            "macro_precision": macro_precision(true, said, classes),
            "macro_recall": macro_recall(true, said, classes),
            "macro_f1": macro_f1(true, said, classes),
            "mcc": mcc(true, said),
            "auroc": auroc(true, columns),
        }
        if classes == 2:
            table |= {
                "ap": ap(true, columns),
                "auprc_trapezoid": auprc_trapezoid(true, columns),
                "auprc_dg": auprc_dg(true, columns),
                "precision": binary_precision(true, said),
                "recall": binary_recall(true, said),
                "f1": binary_f1(true, said),
                "prevalence": float((true == 1).mean()),
            }
        else:
            table["auroc_ovr"] = auroc(true, columns, "ovr")
            table["ap"] = float(np.mean([ap(true == c, columns[:, c]) for c in range(classes)]))
    table["collapse"] = alarm
    return table


def _classes(values: ArrayLike, name: str) -> Integers:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer) and array.dtype != bool):
        raise ValueError(f"{name} must be whole numbers in one dimension, not {array.dtype} {array.shape}")
    array = array.astype(np.int64)
    if array.size and array.min() < 0:
        raise ValueError(f"{name} must not be negative")
    return array


def _rows(labels: ArrayLike, scores: ArrayLike) -> tuple[Integers, Floats]:
    true, columns = _classes(labels, "labels"), np.asarray(scores, np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or len(columns) != len(true):
        raise ValueError(f"{len(true)} labels and scores of shape {columns.shape} do not fit")
    if not np.isfinite(columns).all():
        raise ValueError(f"{int((~np.isfinite(columns)).any(1).sum())} rows have a score that is not finite")
    return true, columns


def _ratio(top: Integers, below: Integers, warning: str | None) -> Floats:
    empty = below == 0
    if warning and empty.any():
        names = ", ".join(str(c) for c in np.flatnonzero(empty))
        warnings.warn(f"class {names} is {warning}", UndefinedMetricWarning, stacklevel=3)
    return np.where(empty, 0.0, top / np.maximum(below, 1))


def _one_class(points: Curve) -> bool:
    return points.positives == 0 or points.fp[-1] == 0


def _auroc_binary(positive: NDArray[np.bool_], score: Floats) -> float:
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, block, size = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(size) - (size - 1) / 2  # average rank of each block, from 1
    rank_sum = middle[block][positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))

"""One table about a classifier on one set, and the alarm for one that has stopped classifying.

Three areas under the precision-recall curve are in use and differ: they are
named `ap`, `auprc_trapezoid` and `auprc_dg` and never just "AUPRC". What is
undefined is NaN, never a flattering 0.5. A classifier that says one thing for
everything has a name here (`collapse_alarm`), because macro averages hide it:
two rows of published tables are such models. The scores themselves: `thresholded` and `curves`.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epilm.metrics.curves import ap, as_rows, auprc_dg, auprc_trapezoid, auroc
from epilm.metrics.thresholded import (
    UndefinedMetricWarning,
    accuracy,
    binary_f1,
    binary_precision,
    binary_recall,
    macro_f1,
    macro_precision,
    macro_recall,
    mcc,
)


def collapse_alarm(
    probabilities: ArrayLike, *, share: float = 0.99, spread: float = 1e-3
) -> str | None:
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
    >>> scores = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    >>> table = score_table([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], np.stack([1 - scores, scores], 1))
    >>> round(table["ap"], 4), round(table["auroc"], 4), table["n"], table["prevalence"]
    (0.8304, 0.8333, 10, 0.4)
    """
    true, columns = as_rows(labels, probabilities)
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

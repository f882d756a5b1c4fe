"""How well numbers are said: column by column, and between the columns of one row.

Where columns are one quantity in several cell types, a model can do well in each of them by saying
how high a gene is everywhere; `between_columns` scores what is left when that is taken away.
Axes: N rows, F columns.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDING = 1e-6  # of float32
LEAST = 3  # known columns of a row that has a correlation of its own


def ranks(values: Floats) -> Floats:
    """Ranks from 1 on; ties share their mean.

    Examples
    --------
    >>> ranks(np.array([5.0, 2.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts - 1) / 2)[inverse]
    return shared


def pearson(a: Floats, b: Floats) -> float:
    """Correlation; not a number where either is constant."""
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def number_scores(true: Floats, guess: Floats) -> dict[str, Any]:
    """n, pearson, spearman, r2 and mse of one column.

    Examples
    --------
    >>> table = number_scores(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0]))
    >>> table["n"], table["spearman"], round(table["mse"], 4)
    (3, 1.0, 0.3333)
    """
    spread = float(((true - true.mean()) ** 2).sum()) if len(true) else 0.0
    error = float(((true - guess) ** 2).sum())
    return {
        "n": len(true),
        "pearson": round(pearson(true, guess), 12),
        "spearman": round(pearson(ranks(true), ranks(guess)), 12),
        "r2": 1 - error / spread if spread else float("nan"),
        "mse": error / len(true) if len(true) else float("nan"),
    }


def between_columns(true: Floats, guess: Floats) -> dict[str, Any]:
    """Score what differs between the columns of a row.

    Parameters
    ----------
    true : float (N, F)
        NaN where not known.
    guess : float (N, F)

    Returns
    -------
    dict
        n: rows with two known columns or more. difference_pearson, difference_r2: of what is left
        of all numbers when the mean of their row, and then that of their column, is taken away.
        row_pearson, row_spearman: mean over rows of the correlation across columns, of rows with
        three known columns or more that are not all alike; a row of which the same is said
        everywhere counts as 0. Not a number where there is nothing to score.

    Examples
    --------
    A model that says how high a row is everywhere knows nothing of what differs:

    >>> true = np.array([[1.0, 2.0, 3.0], [7.0, 6.0, 5.0], [4.0, 4.5, 4.0]])
    >>> table = between_columns(true, np.repeat(true.mean(1, keepdims=True), 3, 1))
    >>> table["difference_r2"], table["row_pearson"]
    (0.0, 0.0)
    >>> round(between_columns(true, true)["difference_r2"], 6)
    1.0
    """
    rows = np.isfinite(true).sum(1) >= 2
    known = np.isfinite(true[rows])
    left, said = _left(true[rows], known), _left(guess[rows], known)
    if said.std() <= ROUNDING * float(np.abs(guess).max(initial=1.0)):
        said = np.zeros_like(said)  # all rows are said alike
    spread, error = float((left**2).sum()), float(((left - said) ** 2).sum())
    of_rows = [
        (pearson(a[k], b[k]), pearson(ranks(a[k]), ranks(b[k])))
        for a, b, k in zip(true[rows].astype(float), guess[rows].astype(float), known, strict=True)
        if k.sum() >= LEAST and a[k].std() > 0
    ]
    each = np.nan_to_num(np.array(of_rows, np.float64).reshape(-1, 2))
    means = each.mean(0).tolist() if len(each) else [float("nan")] * 2
    return {
        "n": int(rows.sum()),
        "difference_pearson": pearson(left[known], said[known]),
        "difference_r2": 1 - error / spread if spread > 0 else float("nan"),
        "row_pearson": means[0],
        "row_spearman": means[1],
    }


def _left(values: NDArray[Any], known: NDArray[np.bool_]) -> Floats:
    """Known values less the mean of their row, then of their column; 0 elsewhere."""
    left = np.where(known, values, 0.0).astype(np.float64)
    for axis in (1, 0):
        means = left.sum(axis, keepdims=True) / np.maximum(known.sum(axis, keepdims=True), 1)
        left = np.where(known, left - means, 0.0)
    return left

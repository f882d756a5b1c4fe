"""How good the arms are: scores of every fold, and differences between arms with their errors.

AUROC is taken within folds: probabilities of different folds were learned from other shares of
cases, and a constant would be ranked against itself. Axes: N people.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.cohorts.classifiers import OutOfFold
from epilm.cohorts.columns import Floats, Rows
from epilm.metrics.classification import collapse_alarm, score_table
from epilm.metrics.curves import auroc
from epilm.metrics.level import FOLDS, Difference
from epilm.metrics.prevalence import liability_r2, predictive_values

# What is in the table, and what it is called there. The first three are those of Table 3.
SCORES = {
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "auroc": "AUROC",
    "ap": "AP",
    "accuracy": "accuracy",
}
AT_PREVALENCE = {
    "ppv": "PPV at the prevalence",
    "npv": "NPV at the prevalence",
    "liability_r2": "R2 of liability",
}


class FoldScore(NamedTuple):
    """A score over folds.

    Attributes
    ----------
    mean : float
        Over the folds in which it is defined; NaN where in none.
    sd : float
        Sample standard deviation over them; NaN of fewer than two.
    folds : int
        In how many it is defined.
    """

    mean: float
    sd: float
    folds: int


def fold_scores(
    labels: Rows, said: OutOfFold, fold: NDArray[np.int64], prevalence: float | None = None
) -> list[dict[str, Any]]:
    """Score an arm in every fold.

    Parameters
    ----------
    labels, fold : int (N,)
    said : OutOfFold
    prevalence : float, optional
        Of the population; adds `ppv`, `npv`, `liability_r2`.

    Returns
    -------
    list of dict, one a fold
        `metrics.classification.score_table`, undefined scores NaN.
    """
    out = []
    for number in range(int(fold.max()) + 1):
        rows = fold == number
        p, truth = said.probabilities[rows], labels[rows]
        table = score_table(truth, np.stack([1 - p, p], 1))
        if len(np.unique(truth)) < 2:
            table |= {"auroc": np.nan, "ap": np.nan}
        if prevalence is not None:
            # Called as who learned from the sample calls: a half of the sample's odds.
            ill, well = truth == 1, truth == 0
            if ill.any() and well.any():
                values = predictive_values(
                    float((p[ill] > 0.5).mean()), float((p[well] <= 0.5).mean()), prevalence
                )
                table |= {"ppv": values.ppv, "npv": values.npv}
            odds = np.clip(p, 1e-12, 1 - 1e-12)
            table["liability_r2"] = liability_r2(truth, np.log(odds / (1 - odds)), prevalence)
        out.append(table)
    return out


def spread_of(tables: Sequence[Mapping[str, Any]], name: str) -> FoldScore:
    """Give mean and sample deviation of a score over folds.

    Examples
    --------
    >>> spread_of([{"auroc": 0.5}, {"auroc": 0.7}, {"auroc": float("nan")}], "auroc")
    FoldScore(mean=0.6, sd=0.14142135623730948, folds=2)
    """
    values = np.array([table.get(name, np.nan) for table in tables], np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return FoldScore(float("nan"), float("nan"), 0)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return FoldScore(float(values.mean()), sd, len(values))


def alarm_of(said: OutOfFold) -> str | None:
    """Say it where an arm calls everybody the same."""
    p = said.probabilities
    return collapse_alarm(np.stack([1 - p, p], 1))


def tenths_of(labels: Rows, groups: Sequence[str] | None, seed: int) -> NDArray[np.int64]:
    """Cut people into ten equal parts, families whole; by chance, for their order means nothing.

    Without groups a tenth of either class at a time.
    """
    rng = np.random.default_rng([seed, 7])
    out = np.empty(len(labels), np.int64)
    if groups is None:
        for label in (0, 1):
            rows = rng.permutation(np.flatnonzero(labels == label))
            out[rows] = np.arange(len(rows)) * FOLDS // max(len(rows), 1)
        return out
    names, numbers = np.unique(np.asarray(groups), return_inverse=True)
    order = np.empty(len(names), np.int64)
    order[rng.permutation(len(names))] = np.arange(len(names)) * FOLDS // len(names)
    return order[numbers]


def paired(
    labels: Rows,
    one: Floats,
    other: Floats,
    fold: NDArray[np.int64],
    tenth: NDArray[np.int64],
) -> Difference:
    """Give by how much one arm's AUROC within folds is above another's, and a jackknife's error.

    Parameters
    ----------
    labels, fold : int (N,)
    one, other : float (N,)
        Probabilities out of fold.
    tenth : int (N,)
        Who is left out together; see `tenths_of`.

    Returns
    -------
    Difference
        The error is that of the people tested: classifiers stay as they were learned.
    """

    def mean(keep: NDArray[np.bool_]) -> float:
        apart = [
            auroc(labels[rows], one[rows]) - auroc(labels[rows], other[rows])
            for rows in (keep & (fold == number) for number in range(int(fold.max()) + 1))
            if len(np.unique(labels[rows])) == 2
        ]
        return float(np.mean(apart)) if apart else float("nan")

    parts = np.unique(tenth)
    without = np.array([mean(tenth != part) for part in parts])
    spread = float(((without - without.mean()) ** 2).sum())
    error = float(np.sqrt((len(parts) - 1) / len(parts) * spread))
    return Difference(mean(np.ones(len(labels), bool)), error)

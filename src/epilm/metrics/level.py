"""Is a model any better than something trivial, on the same rows? A difference and its error.

The error is that of a jackknife: both are scored with each tenth of the rows left out, a tenth of
every class at a time. A table whose classes alternate would otherwise lose whole classes at once,
and its error would be that of the prevalence. A tenth is a run of neighbours, which in a genome
are not independent.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS = 10
ERRORS = 2.0  # a difference of fewer standard errors is none
Metric = Callable[[NDArray[Any], NDArray[Any]], float]


class Difference(NamedTuple):
    """By how much one scorer is above another.

    Attributes
    ----------
    value : float
    error : float
        Standard error.
    """

    value: float
    error: float

    @property
    def level(self) -> bool:
        """Whether it is not above by two standard errors."""
        return not self.value > ERRORS * self.error


def difference(
    labels: ArrayLike, scores: ArrayLike, trivial: ArrayLike, metric: Metric
) -> Difference:
    """Score two scorers on the same rows and give the difference.

    Parameters
    ----------
    labels : (n,)
    scores, trivial : float (n,)
    metric : function (labels, scores) -> float
        Higher is better.

    Returns
    -------
    Difference
        NaN where the metric is undefined.

    Examples
    --------
    >>> from epilm.metrics.curves import auroc
    >>> labels = np.arange(200) % 2
    >>> noise = np.random.default_rng(0).random(200)
    >>> good = difference(labels, labels + noise, noise, auroc)
    >>> good.level, round(good.value, 1)
    (False, 0.5)
    >>> difference(labels, noise, noise, auroc).level
    True
    """
    truth, one, other = np.asarray(labels), np.asarray(scores), np.asarray(trivial)
    whole = metric(truth, one) - metric(truth, other)
    fold = tenths(truth)
    without = np.array(
        [
            metric(truth[fold != f], one[fold != f]) - metric(truth[fold != f], other[fold != f])
            for f in range(FOLDS)
        ]
    )
    spread = float(((without - without.mean()) ** 2).sum())
    return Difference(float(whole), float(np.sqrt((FOLDS - 1) / FOLDS * spread)))


def tenths(labels: ArrayLike) -> NDArray[np.int64]:
    """Cut each class into ten runs of neighbours.

    Parameters
    ----------
    labels : (n,)

    Returns
    -------
    int64 (n,)
        0 to 9.

    Examples
    --------
    >>> tenths([0, 1] * 10).tolist()
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    """
    truth = np.asarray(labels)
    fold = np.empty(len(truth), np.int64)
    for label in np.unique(truth):
        rows = np.flatnonzero(truth == label)
        fold[rows] = np.arange(len(rows)) * FOLDS // len(rows)
    return fold

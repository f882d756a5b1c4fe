"""Is a model any better than something trivial, on the same rows? A difference and its error.

The error is that of a jackknife: both are scored with each tenth of the rows left out.
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
    fold = np.arange(len(truth)) % FOLDS
    without = np.array(
        [
            metric(truth[fold != f], one[fold != f]) - metric(truth[fold != f], other[fold != f])
            for f in range(FOLDS)
        ]
    )
    spread = float(((without - without.mean()) ** 2).sum())
    return Difference(float(whole), float(np.sqrt((FOLDS - 1) / FOLDS * spread)))

"""One temperature that makes probabilities mean what they say (Guo et al. 2017).

Logits are divided by it before the softmax; it is fitted where the model did not learn. Numpy only.
Axes: n rows, C classes.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST, MOST = 0.05, 20.0


def mean_loss(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    temperature: float,
) -> float:
    """Weighted mean of the cross-entropies of logits (n, C) at a temperature, natural logarithm.

    Examples
    --------
    >>> one = np.ones(1)
    >>> round(mean_loss(np.array([[0.0, 2.0]]), np.array([0]), one, 2.0), 4)  # ln(1 + e)
    1.3133
    """
    scaled = logits / temperature
    top = scaled.max(1)
    total = top + np.log(np.exp(scaled - top[:, None]).sum(1))
    mine = np.take_along_axis(scaled, labels[:, None], 1)[:, 0]
    return float(((total - mine) * weights).sum() / weights.sum())


def fit_temperature(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Find the temperature of the least loss.

    Parameters
    ----------
    logits : float (n, C)
    labels : int (n,)
    weights : float (n,), optional
        How many rows each stands for; 1 where not given.

    Returns
    -------
    float
        From 0.05 to 20; above 1 where the model was too sure of itself.

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    Logits of 4 that are right in three of four cases: ln 3 would be true.

    >>> logits = np.tile([0.0, 4.0], (4, 1))
    >>> t = fit_temperature(logits, [1, 1, 1, 0])
    >>> bool(abs(4 / t - np.log(3)) < 1e-3)
    True
    """
    table = np.asarray(logits, np.float64)
    true = np.asarray(labels, np.int64)
    weight = np.ones(len(true)) if weights is None else np.asarray(weights, np.float64)
    if not len(true):
        raise ValueError("there are no rows to fit a temperature on")
    # In the inverse temperature the loss is convex: one valley, found by golden section.
    low, high = 1 / MOST, 1 / LEAST
    ratio = (np.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = (mean_loss(table, true, weight, 1 / x) for x in (a, b))
    for _ in range(60):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = mean_loss(table, true, weight, 1 / a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = mean_loss(table, true, weight, 1 / b)
        if high - low < 1e-5:
            break
    return float(2 / (low + high))

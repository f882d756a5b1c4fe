"""How far a score would move with other rows of the same kind: the percentile bootstrap.

Rows are drawn with repetition as often as there are rows, and scored again; the interval holds the
middle 95 % of the scores. The draws are a function of (seed, rows), so that two models on the same
rows are judged on the same draws. It says nothing of other seeds of training.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.metrics.curves import ap, auroc
from epilm.metrics.thresholded import UndefinedMetricWarning, accuracy, macro_f1, mcc

TIMES, LEVEL = 200, 0.95


def _ap(labels: NDArray[Any], said: NDArray[Any]) -> float:
    classes = said.shape[1]
    if classes == 2:
        return ap(labels, said)
    return float(np.mean([ap(labels == c, said[:, c]) for c in range(classes)]))


# As `classification.score_table` has them; few, for each is computed hundreds of times.
BOUNDED: dict[str, Callable[[NDArray[Any], NDArray[Any]], float]] = {
    "auroc": auroc,
    "ap": _ap,
    "accuracy": lambda labels, said: accuracy(labels, said.argmax(1)),
    "macro_f1": lambda labels, said: macro_f1(labels, said.argmax(1), said.shape[1]),
    "mcc": lambda labels, said: mcc(labels, said.argmax(1)),
}


def bootstrap_interval(
    labels: ArrayLike,
    probabilities: ArrayLike,
    scores: Sequence[str] = tuple(BOUNDED),
    *,
    times: int = TIMES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Give the interval of each score of a classifier.

    Parameters
    ----------
    labels : int (N,)
        Classes 0..C-1.
    probabilities : float (N, C)
    scores : sequence of str
        Keys of BOUNDED.
    times : int
        Draws.
    level : float
        Share of the draws inside.
    seed : int

    Returns
    -------
    dict
        Score -> lower and upper end; NaN where no draw defines it (one class alone). Draws that
        leave it undefined are not counted.

    Examples
    --------
    >>> said = np.array([[0.8, 0.2], [0.7, 0.3], [0.3, 0.7], [0.6, 0.4]] * 25)
    >>> ends = bootstrap_interval([0, 0, 1, 1] * 25, said, ["accuracy"])["accuracy"]
    >>> [round(end, 2) for end in ends]  # 0.75 +- 1.96 x 0.043, up to the few draws
    [0.65, 0.83]
    """
    true, columns = np.asarray(labels), np.asarray(probabilities)
    draws = np.random.default_rng([seed, len(true)]).integers(0, len(true), (times, len(true)))
    drawn: dict[str, list[float]] = {score: [] for score in scores}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for rows in draws:
            for score in scores:
                drawn[score].append(BOUNDED[score](true[rows], columns[rows]))
    tails = [50 * (1 - level), 50 * (1 + level)]
    out = {}
    for score, values in drawn.items():
        known = np.array(values, np.float64)
        known = known[np.isfinite(known)]
        low, high = np.percentile(known, tails) if len(known) else (np.nan, np.nan)
        out[score] = (float(low), float(high))
    return out

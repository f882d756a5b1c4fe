"""Linear regression with a penalty, of several numbers at once: what a model of numbers must beat.

Closed form; the penalty of each output is chosen on the valid rows, never on test. Numpy only.
Axes: n rows, D numbers read of a row, F outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.tasks.lesson import Rows, TaskLesson

Floats = NDArray[np.float32]
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # times the rows, on standardised numbers


@dataclass
class FittedRidge:
    """A regression that has learned.

    Attributes
    ----------
    reader : function (examples, rows) -> (n, D)
    centre, scale : float64 (D,)
    weights : float64 (D, F)
    level : float64 (F,)
        What is said where all numbers are at their centre.
    chosen : list of dict
        Penalty and mean squared error on the valid rows, of each output.
    """

    reader: Callable[[Any, Rows], Floats]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    level: NDArray[np.float64]
    chosen: list[dict[str, Any]]

    def score(self, examples: Any, rows: Rows) -> Floats:
        """Give the numbers of rows, float32 (n, F)."""
        read = (self.reader(examples, rows).astype(np.float64) - self.centre) / self.scale
        return (read @ self.weights + self.level).astype(np.float32)


def fit_ridge(reader: Callable[[Any, Rows], Floats], lesson: TaskLesson, rows: Rows) -> FittedRidge:
    """Fit all outputs of a lesson of numbers.

    Parameters
    ----------
    reader : function (examples, rows) -> (n, D)
        D of 0 gives the means of the training rows.
    rows : int64 (n,)
        Training rows.
    """
    x = reader(lesson.examples, rows).astype(np.float64)
    y = lesson.examples.labels_of(rows).astype(np.float64)
    centre, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (x - centre) / scale
    held_out, truth = None, None
    if len(lesson.valid):
        held_out = (reader(lesson.examples, lesson.valid).astype(np.float64) - centre) / scale
        truth = lesson.examples.labels_of(lesson.valid).astype(np.float64)
    outputs = [
        _one(x, column, held_out, None if truth is None else truth[:, f])
        for f, column in enumerate(y.T)
    ]
    return FittedRidge(
        reader,
        centre,
        scale,
        np.stack([weights for weights, _, _ in outputs], 1),
        np.array([level for _, level, _ in outputs]),
        [chosen for _, _, chosen in outputs],
    )


def _one(
    x: NDArray[np.float64],
    column: NDArray[np.float64],
    held_out: NDArray[np.float64] | None,
    truth: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], float, dict[str, Any]]:
    """Weights, level and what was chosen for one output, of rows where it is known."""
    known = np.isfinite(column)
    mine, target = x[known], column[known]
    if not len(target):
        return np.zeros(x.shape[1]), 0.0, {}
    means, level = mine.mean(0), float(target.mean())
    mine = mine - means
    values, vectors = np.linalg.eigh(mine.T @ mine / len(mine))
    turned = vectors.T @ (mine.T @ (target - level) / len(mine))
    checked = None if truth is None else np.isfinite(truth)
    best = (np.inf, np.zeros(x.shape[1]), level, 0.0)
    for penalty in PENALTIES[::-1]:
        weights = vectors @ (turned / (np.maximum(values, 0) + penalty))
        constant = level - float(means @ weights)
        error = penalty  # without valid rows the least penalty
        if held_out is not None and truth is not None and checked is not None and checked.any():
            said = held_out[checked] @ weights + constant
            error = float(((said - truth[checked]) ** 2).mean())
        if error < best[0]:
            best = (error, weights, constant, penalty)
    error, weights, constant, penalty = best
    return weights, constant, {"penalty": penalty, "valid_mse": error}

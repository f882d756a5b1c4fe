"""Lines: losses and metrics over training, ROC and precision-recall, recall against k.

Each function takes plain sequences and an Axes, draws, and returns the Axes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from epilm.plots.style import CHANCE, COLOURS


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred running mean; the window shrinks at the ends.

    Examples
    --------
    >>> smooth([0, 3, 6, 3], 3)
    [1.5, 3.0, 4.0, 4.5]
    """
    half = window // 2
    return [float(np.mean(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]


def training_curve(
    ax: Axes,
    rows: Sequence[Mapping[str, Any]],
    key: str,
    *,
    title: str = "",
    chance: float | None = None,
) -> Axes:
    """Draw one metric over optimiser steps: training (running mean over raw), validation as points.

    Parameters
    ----------
    ax : Axes
    rows : sequence of mapping
        Lines of metrics.jsonl: "step", "split" ("train" or "valid"), and metrics.
    key : str
        The metric, e.g. "masked_kmers/loss".
    title : str
    chance : float, optional
        What guessing gives; by default the last `<key>_chance` among the rows, if there is one.

    Returns
    -------
    Axes
    """
    drawn = False
    for split, colour in (("train", COLOURS[0]), ("valid", COLOURS[1])):
        points = [
            (r["step"], r[key]) for r in rows if r.get("split") == split and _number(r.get(key))
        ]
        if not points:
            continue
        steps, values = zip(*points)
        if split == "train":
            if len(values) > 12:
                ax.plot(steps, values, color=colour, alpha=0.22, linewidth=1.0)
            window = max(1, len(values) // 20) if len(values) > 12 else 1
            mark = "o" if len(values) == 1 else ""  # a line of one point cannot be seen
            line = smooth(values, window)
            ax.plot(steps, line, color=colour, marker=mark, markersize=3.5, label="training")
        else:
            ax.plot(steps, values, color=colour, marker="o", markersize=3.5, label="held-out")
        drawn = True
    if chance is None:
        known = [r[f"{key}_chance"] for r in rows if _number(r.get(f"{key}_chance"))]
        chance = known[-1] if known else None
    if chance is not None:
        ax.axhline(
            chance, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2, label=f"chance {chance:.3g}"
        )
    ax.set_title(title or key)
    ax.set_xlabel("step")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    met = {r["step"] for r in rows if _number(r.get(key))}
    if len(met) == 1:  # around one step matplotlib would lay fractions of it
        ax.set_xticks(sorted(met))
    if drawn:
        ax.legend(loc="best")
    return ax


def _number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
    )


def roc_points(labels: ArrayLike, scores: ArrayLike) -> tuple[list[float], list[float]]:
    """False and true positive rates at every distinct score, from (0, 0) to (1, 1).

    Examples
    --------
    >>> roc_points([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1])
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    hits, false = _cumulative(labels, scores)
    return (
        [0.0, *(false / max(false[-1], 1)).tolist()],
        [0.0, *(hits / max(hits[-1], 1)).tolist()],
    )


def pr_points(labels: ArrayLike, scores: ArrayLike) -> tuple[list[float], list[float]]:
    """Recall and precision at every distinct score, highest first.

    Examples
    --------
    >>> pr_points([1, 0, 1, 0], [0.9, 0.5, 0.4, 0.1])
    ([0.5, 0.5, 1.0, 1.0], [1.0, 0.5, 0.6666666666666666, 0.5])
    """
    hits, false = _cumulative(labels, scores)
    return (hits / max(hits[-1], 1)).tolist(), (hits / (hits + false)).tolist()


def _cumulative(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    true, score = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # end of each tie
    hits = np.cumsum(true[order])[last]
    return hits, last + 1 - hits


def roc_curves(
    ax: Axes, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str = "ROC"
) -> Axes:
    """Draw ROC curves: name -> (labels, scores)."""
    for (name, (labels, scores)), colour in zip(curves.items(), COLOURS * 4):
        ax.plot(*roc_points(labels, scores), color=colour, label=name)
    ax.plot([0, 1], [0, 1], color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.set(
        title=title,
        xlabel="false positive rate",
        ylabel="true positive rate",
        xlim=(0, 1),
        ylim=(0, 1.01),
    )
    ax.legend(loc="lower right")
    return ax


def pr_curves(
    ax: Axes, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str = "Precision and recall"
) -> Axes:
    """Draw precision-recall curves: name -> (labels, scores). The dashed line is the share of
    positives.
    """
    share = 0.0
    for (name, (labels, scores)), colour in zip(curves.items(), COLOURS * 4):
        ax.plot(*pr_points(labels, scores), color=colour, label=name)
        share = float(np.mean(np.asarray(labels)))
    ax.axhline(share, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    ax.legend(loc="lower left")
    return ax


def retrieval_curve(
    ax: Axes, ranks: Mapping[str, ArrayLike], pool: int, title: str = "Retrieval"
) -> Axes:
    """Draw recall@k over k, from the rank (1 = first) of the true partner of each sample.

    Parameters
    ----------
    ax : Axes
    ranks : mapping
        Name -> int (N,) ranks, 1..pool.
    pool : int
        Candidates of each query; chance is k / pool.
    """
    ks = np.unique(np.geomspace(1, pool, 60).astype(int))
    for (name, values), colour in zip(ranks.items(), COLOURS * 4):
        at = np.asarray(values)
        ax.plot(ks, [(at <= k).mean() for k in ks], color=colour, label=name)
    ax.plot(ks, ks / pool, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2, label="chance")
    ax.set(title=title, xlabel="k", ylabel="recall@k", ylim=(0, 1.02), xscale="log")
    ax.legend(loc="best")
    return ax


def drawn_curves(
    ax: Axes,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    labels: tuple[str, str],
    diagonal: bool = False,
    level: float | None = None,
    marks: bool = False,
) -> Axes:
    """Draw curves of points in the unit square: precision and recall, ROC, calibration.

    Parameters
    ----------
    ax : Axes
    curves : mapping
        Name -> points (x, y). Where there are more than one, a legend names them.
    title : str
    labels : (str, str)
        Of the axes.
    diagonal : bool
        Draw y = x dashed.
    level : float, optional
        Draw a dashed line there.
    marks : bool
        Mark the points.
    """
    for (name, points), colour in zip(curves.items(), COLOURS * 4):
        x, y = np.asarray(points, np.float64).reshape(-1, 2).T
        ax.plot(x, y, color=colour, marker="o" if marks else "", markersize=3.5, label=name)
    if diagonal:
        ax.plot([0, 1], [0, 1], color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2)
    if level is not None:
        ax.axhline(level, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.set(title=title, xlabel=labels[0], ylabel=labels[1], xlim=(0, 1), ylim=(0, 1.01))
    if len(curves) > 1:
        ax.legend(loc="best")
    return ax


def histogram(ax: Axes, counts: ArrayLike, edges: ArrayLike, title: str = "") -> Axes:
    """Draw counts (B,) between edges (B + 1,) as steps, and a line at 0 where that lies inside."""
    at = np.asarray(edges, np.float64)
    ax.stairs(np.asarray(counts), at, fill=True, color=COLOURS[0], alpha=0.85)
    if at[0] < 0 < at[-1]:
        ax.axvline(0, color=CHANCE, linewidth=1.0)
    ax.set(title=title, ylabel="rows")
    return ax

"""Rows of an ablation: a dot a seed, the mean beside them, seeds joined so that a pair can be seen.

Takes plain numbers and an Axes, draws, and returns the Axes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from epilm.plots.style import CHANCE, COLOURS, INK

MANY = 8  # columns from which on their names are turned


def size_of_points(columns: int) -> tuple[float, float]:
    """Width and height in inches at which so many columns can be read.

    Examples
    --------
    >>> size_of_points(5), size_of_points(15)
    ((6.4, 3.4), (10.5, 4.8))
    """
    return (10.5, 4.8) if columns > MANY else (max(6.4, 1.25 * columns), 3.4)


def paired_points(
    ax: Axes,
    values: Mapping[str, Mapping[int, float]],
    *,
    title: str = "",
    label: str = "auPRC",
    chance: float | None = None,
) -> Axes:
    """Draw a column an arm: a dot a seed, a bar at the mean; a thin line joins the dots of one
    seed.

    Parameters
    ----------
    ax : Axes
    values : mapping
        Arm -> {seed: score}, in the order of the columns.
    title, label : str
        Above, and of the axis.
    chance : float, optional
        The share of positives.
    """
    arms = list(values)
    seeds = sorted({seed for column in values.values() for seed in column})
    for seed in seeds:
        points = [(x, values[arm][seed]) for x, arm in enumerate(arms) if seed in values[arm]]
        ax.plot(*zip(*points), color="#c3cad5", linewidth=0.9, zorder=1)
    top = 0.0
    for x, (arm, colour) in enumerate(zip(arms, COLOURS * 4)):
        column = np.array(list(values[arm].values()), np.float64)
        if not len(column):
            continue
        mean, top = float(column.mean()), max(top, float(column.max()))
        ax.plot([x - 0.28, x + 0.28], [mean, mean], color=INK, linewidth=2.2, zorder=3)
        ax.scatter(
            np.full(len(column), x),
            column,
            s=26,
            color=colour,
            edgecolor="white",
            linewidth=0.7,
            zorder=2,
        )
        ax.annotate(
            f"{mean:.3f}",
            (x + 0.3, mean),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    if chance is not None:
        ax.axhline(chance, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2)
    if len(arms) > MANY:
        ax.set_xticks(range(len(arms)), arms, rotation=35, ha="right", rotation_mode="anchor")
    else:
        ax.set_xticks(range(len(arms)), [arm.replace(", ", ",\n") for arm in arms])
    ax.set_xlim(-0.5, len(arms) - 0.2)
    ax.set_ylim(0, top * 1.1 or 1.0)
    ax.grid(axis="x", visible=False)
    ax.set(title=title, ylabel=label)
    return ax


def paired_gaps(
    ax: Axes, gaps: Sequence[tuple[str, Sequence[float], float, float]], title: str = ""
) -> Axes:
    """Draw paired differences: a row a claim, a dot a seed, the mean with two standard errors.

    Parameters
    ----------
    ax : Axes
    gaps : sequence of (name, differences, mean, standard error)
        The error may be NaN (one seed).
    title : str
    """
    for row, ((_, seeds, mean, se), colour) in enumerate(zip(gaps, COLOURS * 4)):
        ax.scatter(
            seeds,
            np.full(len(seeds), row),
            s=22,
            color=colour,
            edgecolor="white",
            linewidth=0.7,
            zorder=2,
        )
        ax.errorbar(
            mean,
            row + 0.26,
            xerr=None if np.isnan(se) else 2 * se,
            color=INK,
            marker="|",
            markersize=8,
            capsize=3,
            linewidth=1.3,
            zorder=3,
        )
    ax.axvline(0, color=CHANCE, linewidth=1.2)
    ax.set_yticks(range(len(gaps)), [name for name, *_ in gaps])
    ax.set_ylim(len(gaps) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set(title=title, xlabel="difference within a seed; bar: mean, two standard errors each way")
    return ax

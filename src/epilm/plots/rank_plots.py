"""Models over many datasets: values side by side, one model against another, ranks as a map.

After Figures 3 and 4 of the EBERT paper. Each function takes plain arrays and an
Axes, draws, and returns the Axes. A model keeps its colour through all pictures.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import ArrayLike

from epilm.plots.style import CHANCE, COLOURS, INK

_MARKERS = "osD^vPX*"
_RANKS = LinearSegmentedColormap.from_list("ranks", ["#1f5a96", "#7fb0dc", "#eef3f8"])


def dataset_points(
    ax: Axes,
    datasets: Sequence[str],
    models: Sequence[str],
    values: ArrayLike,
    *,
    title: str = "",
    label: str = "auPRC",
) -> Axes:
    """Draw a row a dataset and a mark a model: Figure 3 of the paper turned on its side.

    Parameters
    ----------
    ax : Axes
    datasets, models : sequence of str (D,), (M,)
        Rows are drawn by the best value, the highest on top.
    values : float (D, M)
        0 to 1; NaN is not drawn.
    title, label : str
        Above, and of the axis.
    """
    table = np.asarray(values, np.float64)
    best = np.where(
        np.isfinite(table).any(1), np.nanmax(np.where(np.isnan(table), -1, table), axis=1), -1
    )
    order = np.argsort(-best, kind="stable")
    for row, d in enumerate(order):
        met = table[d][np.isfinite(table[d])]
        if len(met):
            ax.plot([met.min(), met.max()], [row, row], color="#cfd5de", linewidth=3.0, zorder=1)
    for m, model in enumerate(models):
        ax.scatter(
            table[order, m],
            np.arange(len(order)) + 0.1 * (m - (len(models) - 1) / 2),
            s=40,
            marker=_MARKERS[m % len(_MARKERS)],
            color=COLOURS[m % len(COLOURS)],
            edgecolor="white",
            linewidth=0.7,
            label=model,
            zorder=3 + m,
        )
    ax.set_yticks(range(len(order)), [datasets[d] for d in order])
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, max(0.1, float(np.nanmax(table, initial=0.0)) * 1.06))
    ax.set(title=title, xlabel=label)
    ax.legend(  # below the axis label, whatever the height
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4.6,
        ncols=min(4, len(models)),
        handletextpad=0.2,
    )
    return ax


def model_against_model(
    ax: Axes,
    datasets: Sequence[str],
    x: ArrayLike,
    y: ArrayLike,
    names: tuple[str, str],
    *,
    label: str = "auPRC",
) -> Axes:
    """Draw one point a dataset: a model against another, the diagonal, and who wins how often.

    Parameters
    ----------
    ax : Axes
    datasets : sequence of str (D,)
        Named where there is room, those farthest from the diagonal first.
    x, y : float (D,)
        NaN is not drawn.
    names : (str, str)
        Of x and y.
    label : str
    """
    left, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
    both = np.flatnonzero(np.isfinite(left) & np.isfinite(up))
    gain = up[both] - left[both]
    top = max(0.1, float(np.max([left[both], up[both]], initial=0.0)) * 1.12)
    ax.plot([0, top], [0, top], color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1)
    ax.scatter(
        left[both],
        up[both],
        s=34,
        c=[COLOURS[0] if g >= 0 else COLOURS[1] for g in gain],
        edgecolor="white",
        linewidth=0.7,
        zorder=3,
    )
    points = [(float(left[i]), float(up[i])) for i in both]
    taken: list[tuple[float, float, float, float]] = []
    for i in both[np.argsort(-np.abs(gain), kind="stable")]:
        here = float(left[i]), float(up[i])
        box = _free_place(datasets[i], here, points, taken, top)
        if box is not None:
            taken.append(box)
            ax.text(
                (box[0] + box[1]) / 2,
                (box[2] + box[3]) / 2,
                datasets[i],
                fontsize=7,
                ha="center",
                va="center",
            )
    ax.set(
        xlim=(0, top),
        ylim=(0, top),
        xlabel=f"{label} of {names[0]}",
        ylabel=f"{label} of {names[1]}",
    )
    ax.set_aspect("equal")
    ax.set_title(f"{names[1]} is better on {int((gain > 0).sum())} of {len(both)}")
    return ax


def _free_place(
    text: str,
    at: tuple[float, float],
    points: Sequence[tuple[float, float]],
    taken: Sequence[tuple[float, float, float, float]],
    top: float,
) -> tuple[float, float, float, float] | None:
    """Box (x0, x1, y0, y1) beside a point where a name covers neither points nor names; None if
    there is none.
    """
    wide, tall, off = 0.0205 * len(text) * top, 0.042 * top, 0.02 * top
    x, y = at
    for x0, y0 in (
        (x + off, y - tall / 2),
        (x - off - wide, y - tall / 2),
        (x - wide / 2, y + off),
        (x - wide / 2, y - off - tall),
    ):
        x1, y1 = x0 + wide, y0 + tall
        inside = x0 >= 0 and y0 >= 0 and x1 <= top and y1 <= top
        pad = 0.008 * top
        hits = any(
            x0 - pad < a < x1 + pad and y0 - pad < b < y1 + pad for a, b in points if (a, b) != at
        )
        covers = any(x0 < t[1] and t[0] < x1 and y0 < t[3] and t[2] < y1 for t in taken)
        across = (y0 - x1) * (y1 - x0) < 0  # the diagonal would run through it
        if inside and not (hits or covers or across):
            return x0, x1, y0, y1
    return None


def gain_bars(
    ax: Axes,
    datasets: Sequence[str],
    x: ArrayLike,
    y: ArrayLike,
    names: tuple[str, str],
    *,
    label: str = "auPRC",
) -> Axes:
    """Draw what one model gains over another on each dataset, largest first; the median in the
    title.

    Parameters
    ----------
    ax : Axes
    datasets : sequence of str (D,)
    x, y : float (D,)
        The model left behind and the one ahead; NaN is not drawn.
    names : (str, str)
    label : str
    """
    gain = np.asarray(y, np.float64) - np.asarray(x, np.float64)
    known = np.flatnonzero(np.isfinite(gain))
    order = known[np.argsort(-gain[known], kind="stable")]
    shown = gain[order]
    ax.barh(
        range(len(order)),
        shown,
        height=0.66,
        color=[COLOURS[0] if g >= 0 else COLOURS[1] for g in shown],
    )
    for row, value in enumerate(shown):
        ax.annotate(
            f"{value:+.3f}",
            (value, row),
            xytext=(4 if value >= 0 else -4, 0),
            textcoords="offset points",
            va="center",
            ha="left" if value >= 0 else "right",
            fontsize=7.5,
        )
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(order)), [datasets[d] for d in order])
    ax.set_ylim(len(gain) - 0.4, -0.6)
    low, high = (
        min(0.0, float(np.min(shown, initial=0.0))),
        max(0.0, float(np.max(shown, initial=0.0))),
    )
    room = 0.2 * max(high - low, 0.01)
    ax.set_xlim(low - (room if low < 0 else 0), high + (room if high > 0 else 0))
    ax.grid(axis="y", visible=False)
    median = f", median {np.median(shown):+.3f}" if len(shown) else ""
    ax.set(title=f"{names[1]} minus {names[0]}{median}", xlabel=f"gain in {label}")
    return ax


def rank_heatmap(
    ax: Axes,
    datasets: Sequence[str],
    models: Sequence[str],
    ranks: ArrayLike,
    overall: ArrayLike,
    *,
    title: str = "Ranks",
) -> Axes:
    """Draw ranks as a map, the number in each cell; the overall rank stands apart at the bottom.

    Parameters
    ----------
    ax : Axes
    datasets, models : sequence of str (D,), (M,)
    ranks : float (D, M)
        1 the best; NaN (not entered) is a dash.
    overall : float (M,)
    title : str
    """
    table = np.asarray(ranks, np.float64)
    last = np.asarray(overall, np.float64)
    worst = max(2.0, float(len(models)))
    gap = np.full((1, len(models)), np.nan)
    ax.imshow(
        np.vstack([table, gap, last[None]]),
        cmap=_RANKS,
        vmin=1,
        vmax=worst,
        aspect="auto",
        interpolation="nearest",
    )
    for row, values in [*enumerate(table), (len(table) + 1, last)]:
        for column, value in enumerate(values):
            dark = np.isfinite(value) and value < 1 + 0.4 * (worst - 1)
            ax.text(
                column,
                row,
                "–" if np.isnan(value) else f"{value:g}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if dark else INK,
                weight="bold" if row > len(table) else "normal",
            )
    ax.set_yticks([*range(len(table)), len(table) + 1], [*datasets, "overall"])
    ax.set_xticks(range(len(models)), models)
    ax.xaxis.tick_top()
    ax.grid(visible=False)
    for line in range(1, len(models)):
        ax.axvline(line - 0.5, color="white", linewidth=1.5)
    for line in range(1, len(table) + 2):
        ax.axhline(line - 0.5, color="white", linewidth=1.5)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if len(models) > 6 or max(map(len, models)) > 12:
        ax.xaxis.tick_bottom()
        ax.set_xticks(range(len(models)), models, rotation=35, ha="right", rotation_mode="anchor")
        ax.set_title(title)
    else:
        ax.set_title(title, y=1.0, pad=24)  # above the names; matplotlib does not see those here
    return ax

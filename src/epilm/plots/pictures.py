"""Bars, heat maps and scatters: metrics of several models, the factor matrix, embeddings.

Each function takes plain arrays and an Axes, draws, and returns the Axes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from epilm.plots.style import CHANCE, COLOURS, INK


def metric_bars(
    ax: Axes,
    values: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    chance: float | None = None,
    limits: tuple[float, float] | None = None,
    kinds: Sequence[str] | None = None,
) -> Axes:
    """Draw one bar a model: the mean over its seeds, a whisker of one sample sd, the seeds as dots.

    Parameters
    ----------
    ax : Axes
    values : mapping
        Model -> its metric for each seed (at least one).
    title : str
    chance : float, optional
        Line of what guessing gives.
    limits : (float, float), optional
        Range of the axis.
    kinds : sequence of str, optional
        What each bar is of: bars of one kind share a colour. Each is its own where not given.
    """
    names = list(values)
    kinds = names if kinds is None else kinds
    colours = dict(zip(dict.fromkeys(kinds), COLOURS * 4))
    for row, (name, colour) in enumerate(zip(names, (colours[kind] for kind in kinds))):
        seeds = np.asarray(values[name], np.float64)
        mean = float(np.nanmean(seeds)) if np.isfinite(seeds).any() else 0.0
        sd = float(np.nanstd(seeds, ddof=1)) if len(seeds) > 1 else 0.0
        ax.barh(row, mean, height=0.62, color=colour, alpha=0.9)
        if len(seeds) > 1:
            ax.errorbar(mean, row, xerr=sd, color=INK, linewidth=1.1, capsize=2.5)
            ax.scatter(
                seeds,
                np.full(len(seeds), row),
                s=9,
                color="white",
                edgecolor=INK,
                linewidth=0.7,
                zorder=3,
            )
        ax.annotate(
            f"{mean:.3f}",
            (mean + sd, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    if chance is not None:
        ax.axvline(chance, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    low, high = limits or (0.0, 1.0)
    ax.set_xlim(low, high + 0.12 * (high - low))
    ax.set_xticks(
        np.arange(round(low * 10), round(high * 10) + 1, 1 if high - low <= 0.7 else 2) / 10
    )
    ax.set_title(title)
    return ax


def factor_heatmap(
    ax: Axes,
    matrix: ArrayLike,
    factors: Sequence[str] | None = None,
    title: str = "Factor matrix",
) -> Axes:
    """Draw regions x factors, each factor centred and scaled over the regions shown.

    Parameters
    ----------
    ax : Axes
    matrix : float (R, F)
        Regions in genome order.
    factors : sequence of str, optional
        Names, drawn when there are at most 60.
    """
    table = np.asarray(matrix, np.float64)
    spread = table.std(0)
    scaled = (table - table.mean(0)) / np.where(spread > 0, spread, 1.0)
    image = ax.imshow(
        scaled, aspect="auto", cmap="RdBu_r", vmin=-3, vmax=3, interpolation="nearest"
    )
    ax.grid(visible=False)
    ax.set(title=title, ylabel="regions in genome order", xlabel="factor")
    if factors is not None and len(factors) <= 60:
        ax.set_xticks(range(len(factors)), factors, rotation=90, fontsize=6.5)
    if ax.figure is not None:
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.015)
        bar.set_label("sd from the mean", fontsize=8)
        bar.outline.set_visible(False)
    return ax


def scatter(
    ax: Axes, points: ArrayLike, groups: Sequence[str], title: str = "", axis: str = "t-SNE"
) -> Axes:
    """Draw points of a plane coloured by group, biggest group first.

    Parameters
    ----------
    ax : Axes
    points : float (N, 2)
    groups : sequence of str (N,)
    """
    xy = np.asarray(points, np.float64)
    labels = np.asarray(groups)
    names, counts = np.unique(labels, return_counts=True)
    ordered = names[np.argsort(-counts, kind="stable")]
    palette = (*COLOURS, "#9aa3af", "#5b6472", "#e0b4c8", "#a9c7e8")
    for name, colour in zip(ordered, palette * 4):
        rows = labels == name
        ax.scatter(
            xy[rows, 0],
            xy[rows, 1],
            s=9,
            color=colour,
            alpha=0.75,
            linewidth=0,
            label=str(name),
        )
    ax.set(title=title, xlabel=f"{axis} 1", ylabel=f"{axis} 2", xticks=[], yticks=[])
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.8, handletextpad=0.2)
    return ax


def project(vectors: ArrayLike, how: str = "tsne", seed: int = 0) -> np.ndarray:
    """Bring vectors to a plane.

    Parameters
    ----------
    vectors : float (N, D)
    how : {"tsne", "pca"}
        t-SNE on the first 30 principal components (scikit-learn), or the first two components.
    seed : int

    Returns
    -------
    float64 (N, 2)
        All 0 where the vectors are equal: scikit-learn's t-SNE ends the whole process then.

    Examples
    --------
    >>> project(np.eye(5), "pca").shape
    (5, 2)
    >>> project(np.full((4, 3), 0.1)).any()
    np.False_
    """
    given = np.asarray(vectors, np.float64)
    table = given - given.mean(0)
    left, size, _ = np.linalg.svd(table, full_matrices=False)
    if size.max(initial=0.0) <= 1e-12 * np.linalg.norm(given):
        return np.zeros((len(given), 2))
    parts = left * size
    if how == "pca":
        return parts[:, :2]
    from sklearn.manifold import TSNE

    perplexity = float(min(30, max(2, (len(table) - 1) // 3)))
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(
        parts[:, :30]
    )


def confusion_map(ax: Axes, counts: ArrayLike, names: Sequence[str], title: str = "") -> Axes:
    """Draw how often each class was said of each: a row a true class, coloured by its shares, the
    counts in the cells.

    Parameters
    ----------
    ax : Axes
    counts : int (C, C)
        True class, class said.
    names : sequence of str, length C
    title : str
    """
    table = np.asarray(counts, np.float64)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    if len(names) <= 12:
        for row, column in np.ndindex(*table.shape):
            ax.text(
                column,
                row,
                f"{int(table[row, column]):,}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share[row, column] > 0.55 else INK,
            )
    short = [name if len(name) <= 16 else f"{name[:15]}…" for name in names]
    long = max(map(len, short), default=0) > 8
    ax.set_xticks(
        range(len(names)),
        short,
        rotation=30 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor",
    )
    ax.set_yticks(range(len(names)), short)
    ax.grid(visible=False)
    ax.set(title=title, xlabel="said", ylabel="true")
    return ax


def true_against_said(ax: Axes, points: ArrayLike, title: str = "") -> Axes:
    """Draw numbers that were said against the true ones, (N, 2), and the diagonal."""
    table = np.asarray(points, np.float64).reshape(-1, 2)
    ax.scatter(table[:, 0], table[:, 1], s=8, color=COLOURS[0], alpha=0.5, linewidth=0)
    if len(table):
        ends = [float(table.min()), float(table.max())]
        ax.plot(ends, ends, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.set(title=title, xlabel="true", ylabel="said")
    return ax


def signed_bars(ax: Axes, values: Mapping[str, float], title: str = "") -> Axes:
    """Draw one bar a name, to the right where it is above 0; each with its number."""
    for row, value in enumerate(values.values()):
        ax.barh(row, value, height=0.62, color=COLOURS[0] if value >= 0 else COLOURS[1])
        ax.annotate(
            f"{value:+.3g}",
            (value, row),
            xytext=(4 if value >= 0 else -4, 0),
            textcoords="offset points",
            va="center",
            ha="left" if value >= 0 else "right",
            fontsize=8,
        )
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(values)), list(values))
    ax.invert_yaxis()
    ax.margins(x=0.2)
    ax.grid(axis="y", visible=False)
    ax.set_title(title)
    return ax

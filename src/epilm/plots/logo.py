"""Letters as high as their numbers, and heat maps of what each change of a base does.

Each function takes plain arrays and an Axes, draws, and returns the Axes.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike

from epilm.plots.style import CHANCE

BASES = "ACGT"
# Colours of bases as genome browsers have them, dark enough for a white page.
BASE_COLOURS = ("#2f9e44", "#2b6cb0", "#d9870f", "#c92a2a")
LETTERS_UP_TO = 240  # columns of which letters can be read; more are bars


@lru_cache(maxsize=8)
def _glyph(letter: str) -> Any:
    """A letter that fills the square from (0, 0) to (1, 1)."""
    path = TextPath(
        (0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold")
    )
    box = path.get_extents()
    fit = Affine2D().translate(-box.x0, -box.y0).scale(1 / box.width, 1 / box.height)
    return path.transformed(fit)


def letter_logo(ax: Axes, heights: ArrayLike, start: int = 0) -> Axes:
    """Draw letters as high as their numbers; below the line where these are negative.

    Parameters
    ----------
    ax : Axes
    heights : float (4, n)
        Of A, C, G, T in each column; the largest stands on top, NaN and 0 are not drawn.
    start : int
        Position of the first column.
    """
    table = np.nan_to_num(np.asarray(heights, np.float64))
    n = table.shape[1]
    for base, colour in enumerate(BASE_COLOURS):
        patches: list[Any] = []
        for column in np.flatnonzero(table[base]):
            height = table[base, column]
            # What is nearer to the line stands below.
            same = (np.sign(table[:, column]) == np.sign(height)) & (
                np.abs(table[:, column]) < abs(height)
            )
            foot = table[same, column].sum()
            if n <= LETTERS_UP_TO:
                box = Affine2D().scale(0.94, height).translate(start + column - 0.47, foot)
                patches.append(PathPatch(_glyph(BASES[base]).transformed(box)))
            else:
                patches.append(Rectangle((start + column - 0.5, foot), 1, height))
        if patches:
            ax.add_collection(PatchCollection(patches, facecolor=colour, edgecolor="none"))
    above, below = np.clip(table, 0, None).sum(0), np.clip(table, None, 0).sum(0)
    high, low = float(above.max(initial=0)), float(below.min(initial=0))
    margin = 0.06 * (high - low or 1.0)
    ax.set(xlim=(start - 0.6, start + n - 0.4), ylim=(low - margin, high + margin))
    ax.axhline(0, color=CHANCE, linewidth=0.7)
    ax.grid(visible=False)
    return ax


def change_map(
    ax: Axes, table: ArrayLike, rows: list[str], start: int = 0, label: str = ""
) -> Axes:
    """Draw what changes do: a row a kind of change, a column a position; blue lowers, red raises.

    Parameters
    ----------
    ax : Axes
    table : float (rows, n)
        NaN is grey.
    rows : list of str
    start : int
        Position of the first column.
    label : str
        Of the colour bar.
    """
    values = np.asarray(table, np.float64)
    finite = np.abs(values[np.isfinite(values)])
    # The few strongest changes would leave all others white.
    top = float(np.quantile(finite, 0.995)) if len(finite) else 1.0
    top = top or float(finite.max(initial=0)) or 1.0
    ax.set_facecolor("#d5d9df")
    image = ax.imshow(
        values,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-top,
        vmax=top,
        interpolation="nearest",
        extent=(start - 0.5, start + values.shape[1] - 0.5, len(values) - 0.5, -0.5),
    )
    ax.set_yticks(range(len(rows)), rows)
    ax.grid(visible=False)
    ax.set_xlim(start - 0.6, start + values.shape[1] - 0.4)
    if ax.figure is not None:
        bar = ax.figure.colorbar(image, ax=ax, pad=0.008, fraction=0.02)
        bar.set_label(label, fontsize=7)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
    return ax


def information(matrix: ArrayLike) -> np.ndarray:
    """Give letter heights of a motif in bits, (W, 4) frequencies to (4, W).

    Examples
    --------
    >>> information([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]]).round(2).tolist()
    [[2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    table = np.asarray(matrix, np.float64)
    table = table / table.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = 2 + np.nansum(np.where(table > 0, table * np.log2(table), 0), 1)
    return (table * bits[:, None]).T

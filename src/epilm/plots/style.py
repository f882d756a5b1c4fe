"""One look for all pictures, and figures as text that a page can hold.

Figures are made here and closed here; no global state of matplotlib is changed.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Told apart with the usual colour deficiencies; the first is ours, grey is chance.
COLOURS = ("#2b6cb0", "#dd7f2a", "#2f9e77", "#c0457a", "#7a5ea8", "#b09020", "#4aa3c7", "#7d5a46")
CHANCE = "#8a919c"
INK = "#2d3440"
_LOOK: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b8bec8",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "epilm",
}


@contextmanager
def figure(
    width: float = 4.2, height: float = 2.7, columns: int = 1
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure in the common look, with one row of axes.

    Parameters
    ----------
    width, height : float
        Inches of one panel.
    columns : int
        Panels beside each other.

    Examples
    --------
    >>> with figure(columns=2) as (fig, axes):
    ...     len(axes)
    2
    """
    with matplotlib.rc_context(_LOOK):
        fig = Figure(figsize=(width * columns, height), layout="constrained")
        axes = [fig.add_subplot(1, columns, i + 1) for i in range(columns)]
        yield fig, axes
        fig.clear()


def as_image(fig: Figure, kind: str = "svg", dpi: int = 160) -> str:
    """Turn a figure into a data URI for an `<img>`: "svg", or "png" for pictures of many points.

    Call it inside `figure(...)`, where the look holds. The same figure gives the same text.

    Examples
    --------
    >>> with figure() as (fig, axes):
    ...     as_image(fig)[:26], as_image(fig, "png")[:22]
    ('data:image/svg+xml;base64,', 'data:image/png;base64,')
    """
    buffer = io.BytesIO()
    if kind == "svg":
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "epilm"})
        media = "image/svg+xml"
    else:
        fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "epilm"})
        media = "image/png"
    return f"data:{media};base64,{base64.b64encode(buffer.getvalue()).decode()}"

"""What is drawn: intervals with names and colours, or a number along the genome.

A track has one part for each stretch of the page. Page and hub both read these; neither knows
where they came from. Coordinates 0-based, half-open.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Group = Literal[
    "genes",
    "variants",
    "peaks",
    "motifs",
    "regions",
    "states",
    "signals",
    "predictions",
    "files",
    "attributions",
]
# From top to bottom.
GROUPS: tuple[Group, ...] = (
    "genes",
    "variants",
    "attributions",
    "motifs",
    "predictions",
    "files",
    "peaks",
    "signals",
    "regions",
    "states",
)


@dataclass(frozen=True)
class TrackSpan:
    """An interval.

    Attributes
    ----------
    start, end : int
    name : str
    strand : str
        "+", "-" or "." for none.
    colour : str
        "r,g,b", or "" for the track's.
    exons : tuple of (start, end)
        Drawn thick; without any the whole interval is.
    said : dict of str to str
        Shown on a click.
    """

    start: int
    end: int
    name: str = ""
    strand: str = "."
    colour: str = ""
    exons: tuple[tuple[int, int], ...] = ()
    said: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Level:
    """A number along a piece of the genome.

    Attributes
    ----------
    start : int
        First base of the first value.
    step : int
        Bases a value.
    values : float32 (n,)
        NaN where nothing is known.
    """

    start: int
    step: int
    values: NDArray[np.float32]

    def runs(self, end: int) -> Iterator[tuple[int, int, float]]:
        """Give equal neighbours as one (start, end, value); what is not known is left out.

        Parameters
        ----------
        end : int
            The last run is cut there.

        Examples
        --------
        >>> list(Level(10, 5, np.array([1, 1, np.nan, 2], np.float32)).runs(28))
        [(10, 20, 1.0), (25, 28, 2.0)]
        """
        if not len(self.values):
            return
        same = (self.values[1:] == self.values[:-1]) | (
            np.isnan(self.values[1:]) & np.isnan(self.values[:-1])
        )
        first = np.concatenate([[0], np.flatnonzero(~same) + 1])
        last = np.concatenate([first[1:], [len(self.values)]])
        for a, b in zip(first.tolist(), last.tolist(), strict=True):
            value = float(self.values[a])
            begin, stop = self.start + a * self.step, min(self.start + b * self.step, end)
            if np.isfinite(value) and begin < stop:
                yield begin, stop, value


Part = Sequence[TrackSpan] | Level


@dataclass(frozen=True)
class Track:
    """One row of the page.

    Attributes
    ----------
    name : str
        As files say it: whoever writes it somewhere escapes it.
    group : str
        Of GROUPS.
    parts : tuple of (sequence of TrackSpan, or Level)
        One a stretch: all of one kind.
    colour : str
        "r,g,b".
    low, high : float or None
        Ends of the axis of numbers; None: as the data are.
    letters : bool
        Numbers drawn as the bases' letters where one sees them.
    axis : str
        Tracks of numbers with one word here share the ends of their axes.
    about : str
        A line on where it comes from.
    """

    name: str
    group: Group
    parts: tuple[Part, ...]
    colour: str = "43,108,176"
    low: float | None = None
    high: float | None = None
    letters: bool = False
    axis: str = ""
    about: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it is a number along the genome."""
        return any(isinstance(part, Level) for part in self.parts)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw on any stretch."""
        return not any(
            bool(np.isfinite(part.values).any()) if isinstance(part, Level) else len(part)
            for part in self.parts
        )

    def take(self, stretches: Sequence[int]) -> "Track":
        """Give the same track on some of the stretches."""
        return replace(self, parts=tuple(self.parts[s] for s in stretches))


def in_order(tracks: Sequence[Track]) -> list[Track]:
    """Sort tracks by group; within a group they stay as they came.

    Examples
    --------
    >>> both = [Track("a", "states", ()), Track("b", "genes", ())]
    >>> [track.name for track in in_order(both)]
    ['b', 'a']
    """
    return sorted(tracks, key=lambda track: GROUPS.index(track.group))


def coarse(values: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Give of each `step` values the one farthest from 0, NaN where none is known.

    Examples
    --------
    >>> coarse(np.array([0, -3, 1, np.nan, np.nan]), 2).tolist()
    [-3.0, 1.0, nan]
    """
    if step == 1:
        return np.asarray(values, np.float32)
    n = -(-len(values) // step)
    padded = np.full(n * step, np.nan, np.float32)
    padded[: len(values)] = values
    rows = padded.reshape(n, step)
    size = np.where(np.isnan(rows), -1.0, np.abs(rows))
    chosen: NDArray[np.float32] = rows[np.arange(n), size.argmax(1)]
    return chosen

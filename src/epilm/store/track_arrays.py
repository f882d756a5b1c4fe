"""Tracks that are in memory, on their way to a store: what they are, whether they fit, what is said
of them.

Used by `writer.write_store`, and by `track_files`, which has them from files. numpy only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from epilm.errors import StoreError
from epilm.store.tracks import HIGHEST, MISSING, MOST_STATES, bin_offsets


@dataclass(frozen=True)
class StateArrays:
    """States in memory, for `write_store`.

    Attributes
    ----------
    codes : uint8 (K, N)
        As `tracks.StateTable.codes`.
    cells : dict of str to int
        Cell type -> track.
    bin : int
    names : sequence of str
    colours : sequence of str, optional
        "r,g,b" each.
    proxies : dict, optional
        Cell type -> whose track it reads.
    """

    codes: np.ndarray
    cells: Mapping[str, int]
    bin: int
    names: Sequence[str]
    colours: Sequence[str] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SignalArrays:
    """One signal in memory, for `write_store`.

    Attributes
    ----------
    values : float (K, M)
        As `tracks.SignalTable.values`; NaN becomes 0, what float16 cannot hold is cut to its ends.
    cells : dict of str to int, or None
        Cell type -> track; None: one track serves all.
    resolution : int
        bp a value.
    pooled : str
    """

    values: np.ndarray
    cells: Mapping[str, int] | None = None
    resolution: int = 1
    pooled: str = "base"


def to_float16(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Signal values as the store keeps them: missing is 0, too large is cut.

    Parameters
    ----------
    values : float, any shape

    Returns
    -------
    float16, the same shape
    int
        How many values were beyond +-65504 and cut to it.

    Examples
    --------
    >>> to_float16(np.array([1.5, np.nan, 1e6, -np.inf]))
    (array([ 1.50e+00,  0.00e+00,  6.55e+04, -6.55e+04], dtype=float16), 2)
    """
    whole = np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)
    cut = int((np.abs(whole) > HIGHEST).sum())
    return np.clip(whole, -HIGHEST, HIGHEST).astype(np.float16), cut


def about_states(
    codes: np.ndarray,
    bin_bp: int,
    names: Sequence[str],
    colours: Sequence[str],
    cells: Mapping[str, int],
    proxies: Mapping[str, str],
    sources: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Put together what `store.json` says of states, and count them on the way.

    Parameters
    ----------
    codes : uint8 (K, N)
    bin_bp, names, colours, cells, proxies
        As in `StateArrays`.
    sources : K dicts
        Each gets "unknown", the share of its bins without a state.
    """
    counts = np.stack([np.bincount(row, minlength=256) for row in codes])
    for entry, unknown in zip(sources, counts[:, MISSING].tolist(), strict=True):
        entry["unknown"] = round(unknown / max(1, codes.shape[1]), 6)
    return {
        "bin": int(bin_bp),
        "names": list(names),
        "colours": list(colours) or [""] * len(names),
        "bins": counts.sum(0)[: len(names)].tolist(),
        "bins_unknown": int(counts[:, MISSING].sum()),
        "cell_types": {cell: int(row) for cell, row in cells.items()},
        "proxies": dict(proxies),
        "sources": list(sources),
    }


def check_tracks(
    sizes: Sequence[int], states: StateArrays | None, signals: Mapping[str, SignalArrays]
) -> None:
    """Refuse tracks that do not fit the chromosomes, or codes without a name.

    Raises
    ------
    StoreError
    """

    def fits(what: str, array: np.ndarray, step: int, cells: Mapping[str, int] | None) -> None:
        tracks = 1 + max(cells.values(), default=0) if cells is not None else 1
        expected = (max(tracks, len(array)), int(bin_offsets(sizes, step)[-1]))
        if array.shape != expected:
            raise StoreError(
                f"{what} has another shape than tracks x bins", found=array.shape, expected=expected
            )

    if states is not None:
        if len(states.names) > MOST_STATES:
            raise StoreError(
                "there are too many states", found=len(states.names), expected="at most 254"
            )
        fits("states", states.codes, states.bin, states.cells)
        beyond = states.codes[(states.codes != MISSING) & (states.codes >= len(states.names))]
        if len(beyond):
            raise StoreError(
                "a state has no name",
                found=int(beyond[0]),
                expected=f"0 to {len(states.names) - 1}, or 255 for unknown",
            )
    for name, one in signals.items():
        check_signal_name(name)
        fits(f"the signal {name}", one.values, one.resolution, one.cells)


def check_signal_name(name: str) -> None:
    """Refuse a name of a signal that makes no file name.

    Raises
    ------
    StoreError
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise StoreError(
            "this is no name of a signal",
            found=repr(name),
            expected="letters, digits, dot, dash, underscore",
        )

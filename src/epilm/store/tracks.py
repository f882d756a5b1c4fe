"""What a store knows about every base of a cell type: chromatin states in bins, signals.

Both are one array of tracks x places, chromosomes end to end, and a row number
for each cell type: several cell types may share a track, and some have none.
A place without a known state is MISSING, never state 0; a base without a signal
is 0. A memory map and a tensor on a device give the same values, bit for bit,
without a step of Python per window. On the training path: numpy and torch only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epilm.device import to_device
from epilm.store import schema
from epilm.store.arrays import Array, as_tensor, spans
from epilm.store.schema import StoreInfo, damaged

MISSING = 255
MOST_STATES = 254
_BLOCK = 1 << 16  # bins looked at together: nearly always the first block has a state
# The largest finite float16: larger values are cut to it when a store is written.
HIGHEST = 65504.0


def bin_offsets(sizes: Sequence[int], bin_bp: int) -> np.ndarray:
    """First bin of each chromosome when all are put end to end, and last the number of bins.

    Parameters
    ----------
    sizes : sequence of int
        Chromosome lengths in bp.
    bin_bp : int
        Bin width; the last bin of a chromosome may be shorter.

    Returns
    -------
    int64 (C + 1,)

    Examples
    --------
    >>> bin_offsets((1000, 450), 200).tolist()
    [0, 5, 8]
    """
    counts = -(-np.asarray(sizes, np.int64) // bin_bp)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _move(array: Any, device: torch.device) -> Tensor:
    return (
        array.to(device)
        if isinstance(array, Tensor)
        else torch.from_numpy(np.array(array)).to(device)
    )


@dataclass(frozen=True)
class StateTable:
    """Chromatin states of all cell types, one byte a bin.

    Attributes
    ----------
    codes : uint8 (K, N)
        K tracks; N bins, those of all chromosomes end to end (ceil(size / bin) each).
        Index of the state in `names`, MISSING (255) where it is unknown.
    rows : int64 (T,)
        Track of each cell type of the store, -1 without one. Always numpy.
    bin : int
        Width of a bin in bp.
    offsets : int64 (C + 1,)
        First bin of each chromosome; the last entry is N. Always numpy.
    names : tuple of S str
        As in the files, e.g. "1_TssA".
    colours : tuple of S str
        "r,g,b", or "" where the files give none.
    proxies : dict of str to str
        Cell types that read the track of another one.

    Examples
    --------
    >>> codes = np.array([[0, 1, 255, 1, 0]], np.uint8)
    >>> table = StateTable(
    ...     codes, np.array([0, -1]), 200, np.array([0, 3, 5]), ("1_TssA", "2_Quies"), ("", "")
    ... )
    >>> table.gather([0, 0, 1], [0, 1, 1], [1, -1, 0], 3).tolist()
    [[1, 255, 255], [255, 1, 0], [255, 255, 255]]
    """

    codes: Array
    rows: np.ndarray
    bin: int
    offsets: np.ndarray
    names: tuple[str, ...]
    colours: tuple[str, ...]
    proxies: dict[str, str] = field(default_factory=dict)
    _near: tuple[Tensor, Tensor] | None = field(default=None, repr=False, compare=False)

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.names)

    @property
    def n_tracks(self) -> int:
        """K."""
        return int(self.codes.shape[0])

    @property
    def n_bins(self) -> np.ndarray:
        """Bins of each chromosome, int64 (C,)."""
        return np.diff(self.offsets)

    def of(self, cell: int) -> Array:
        """All bins of one cell type.

        Parameters
        ----------
        cell : int
            Number of a cell type of the store.

        Returns
        -------
        uint8 (N,), the same kind as `codes`
            MISSING everywhere when the cell type has no track.
        """
        row = int(self.rows[cell])
        if row >= 0:
            return self.codes[row]
        n = int(self.offsets[-1])
        if isinstance(self.codes, Tensor):
            return torch.full((n,), MISSING, dtype=torch.uint8, device=self.codes.device)
        return np.full(n, MISSING, np.uint8)

    def known_chroms(self) -> np.ndarray:
        """Say on which chromosomes each track has a state at all: bool (K, C).

        Examples
        --------
        >>> codes = np.array([[255, 255, 255, 1, 0]], np.uint8)
        >>> table = StateTable(codes, np.array([0]), 200, np.array([0, 3, 5]), ("a", "b"), ("", ""))
        >>> table.known_chroms().tolist()
        [[False, True]]
        """
        out = np.zeros((self.n_tracks, len(self.offsets) - 1), bool)
        for track in range(self.n_tracks):
            for chrom in range(out.shape[1]):
                first, end = int(self.offsets[chrom]), int(self.offsets[chrom + 1])
                out[track, chrom] = any(
                    bool((self.codes[track, at : min(at + _BLOCK, end)] != MISSING).any())
                    for at in range(first, end, _BLOCK)
                )
        return out

    def gather(self, cells: Any, chroms: Any, first_bin: Any, n: int) -> Array:
        """Successive bins of windows.

        Parameters
        ----------
        cells, chroms : int64 (B,)
            Numbers of cell types and chromosomes; numpy, tensor or list.
        first_bin : int64 (B,)
            First bin on the chromosome; may be negative.
        n : int
            How many bins, at least 1.

        Returns
        -------
        uint8 (B, n), the same kind as `codes`
            MISSING outside of the chromosome and for cell types without a track.
        """
        return spans(*_places(self, self.codes, cells, chroms, first_bin), n, MISSING)

    def to(self, device: torch.device | str) -> "StateTable":
        """Give the same table with its codes as a tensor on a device."""
        target = torch.device(device)
        return replace(self, codes=_move(self.codes, target), _near=_nearby(self, target))


@dataclass(frozen=True)
class SignalTable:
    """One signal of all cell types, base by base or pooled to steps of some bp.

    Attributes
    ----------
    name : str
        "accessibility", "mappability", ...
    values : float16 (K, M)
        K tracks; M values, those of all chromosomes end to end (ceil(size / resolution) each).
    resolution : int
        bp a value; 1 = every base.
    rows : int64 (T,) or None
        Track of each cell type, -1 without one; None: all cell types read track 0. Always numpy.
    offsets : int64 (C + 1,)
        First value of each chromosome; the last entry is M. Always numpy.
    sizes : int64 (C,)
        Chromosome lengths in bp. Always numpy.
    pooled : str
        What a value is of its bases: "max", "mean", "min"; "base" at resolution 1.

    Examples
    --------
    >>> values = np.array([[0, 1, 2, 7]], np.float16)
    >>> table = SignalTable("a", values, 2, None, np.array([0, 2, 4]), np.array([4, 3]), "max")
    >>> table.windows([0, 0], [0, 1], [1, 1], 4).tolist()
    [[0.0, 1.0, 1.0, 0.0], [2.0, 7.0, 0.0, 0.0]]
    """

    name: str
    values: Array
    resolution: int
    rows: np.ndarray | None
    offsets: np.ndarray
    sizes: np.ndarray
    pooled: str
    _near: tuple[Tensor, Tensor] | None = field(default=None, repr=False, compare=False)

    @property
    def n_tracks(self) -> int:
        """K."""
        return int(self.values.shape[0])

    def windows(self, cells: Any, chroms: Any, starts: Any, width: int) -> Array:
        """Windows of the signal, one value a base.

        Parameters
        ----------
        cells, chroms : int64 (B,)
            Numbers of cell types and chromosomes; numpy, tensor or list.
        starts : int64 (B,)
            First base on the chromosome; may be negative.
        width : int
            In bp, at least 1.

        Returns
        -------
        float32 (B, width), the same kind as `values`
            A pooled value stands at each of its bases. 0 where the signal is missing, outside of
            the chromosome, and for cell types without a track.
        """
        step = self.resolution
        if step == 1:
            values = spans(*_places(self, self.values, cells, chroms, starts), width, 0)
            whole = as_tensor(values).float()  # on the CPU too: faster than numpy's own conversion
            return whole if isinstance(values, Tensor) else whole.numpy()
        n = (width + step - 2) // step + 1
        if isinstance(self.values, Tensor):
            device = self.values.device
            at, chrom = to_device(starts, device), to_device(chroms, device)
            first = at // step  # rounds down, also below 0
            coarse = spans(*_places(self, self.values, cells, chrom, first), n, 0)
            base = at[:, None] + torch.arange(width, device=device)
            fine = torch.gather(torch.as_tensor(coarse).float(), 1, base // step - first[:, None])
            sizes = to_device(self.sizes, device)
            return torch.where(base < sizes[chrom][:, None], fine, 0.0)
        start = np.asarray(starts, np.int64)
        begin = start // step
        stored = np.asarray(spans(*_places(self, self.values, cells, chroms, begin), n, 0))
        position = start[:, None] + np.arange(width)
        spread = np.take_along_axis(stored.astype(np.float32), position // step - begin[:, None], 1)
        return np.where(position < self.sizes[np.asarray(chroms)][:, None], spread, np.float32(0))

    def to(self, device: torch.device | str) -> "SignalTable":
        """Give the same table with its values as a tensor on a device."""
        target = torch.device(device)
        return replace(self, values=_move(self.values, target), _near=_nearby(self, target))


def _nearby(table: StateTable | SignalTable, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and offsets beside the array on its device, so that no step copies them."""
    rows = np.zeros(1, np.int64) if table.rows is None else table.rows
    return _move(rows, device), _move(table.offsets, device)


def _places(
    table: StateTable | SignalTable, array: Array, cells: Any, chroms: Any, first: Any
) -> tuple[Array, Any, Any, Any]:
    """The tracks as one flat array; where each window begins in it, and the bounds of its
    chromosome there.
    """
    if isinstance(array, Tensor):
        rows, offsets = table._near or _nearby(table, array.device)
        cell, chrom, at = (to_device(x, array.device, torch.int64) for x in (cells, chroms, first))
        return _bounds(
            array, torch.zeros_like(chrom) if table.rows is None else rows[cell], offsets, chrom, at
        )
    chromosome, start = np.asarray(chroms, np.int64), np.asarray(first, np.int64)
    row = np.zeros_like(chromosome) if table.rows is None else table.rows[np.asarray(cells)]
    return _bounds(array, row, table.offsets, chromosome, start)


def _bounds(
    array: Array, row: Any, offsets: Any, chrom: Any, at: Any
) -> tuple[Array, Any, Any, Any]:
    track = row * int(array.shape[1])
    low = track + offsets[chrom]
    # A cell type without a track (row -1) has bounds that hold nothing.
    high = (track + offsets[chrom + 1]) * (row >= 0) + low * (row < 0)
    return array.reshape(-1), low + at, low, high


def track_rows(cell_types: Sequence[str], tracks: Mapping[str, int] | None) -> np.ndarray | None:
    """Track of each cell type, -1 without one: int64 (T,); None when one track serves all.

    Examples
    --------
    >>> track_rows(("a", "b", "c"), {"c": 0, "a": 1}).tolist()
    [1, -1, 0]
    """
    if tracks is None:
        return None
    return np.array([tracks.get(cell, -1) for cell in cell_types], np.int64)


def same_track(store: Any, cell: str) -> list[str]:
    """Name the other cell types that read the very track of states of this one: a proxy and its
    source.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> store = SimpleNamespace(
    ...     cell_types=("a", "b", "c"), states=SimpleNamespace(rows=np.array([0, 1, 0]))
    ... )
    >>> same_track(store, "c"), same_track(store, "b")
    (['a'], [])
    """
    if store.states is None:
        return []
    rows = np.asarray(store.states.rows)
    mine = rows[list(store.cell_types).index(cell)]
    return [name for name, row in zip(store.cell_types, rows) if row == mine >= 0 and name != cell]


def proxy_notes(store: Any, cells: Sequence[str] | None = None) -> list[str]:
    """Say which cell types (all where not given) read the states of another one, as was declared
    when the store was built.
    """
    proxies = {} if store.states is None else store.states.proxies
    return [
        f"the states of {cell} are those of {proxies[cell]}, a declared proxy"
        for cell in (store.cell_types if cells is None else cells)
        if cell in proxies
    ]


def open_states(folder: Path, info: StoreInfo, codes: Array | None) -> StateTable | None:
    """Make the table of states of `store.json` and its array; None without states.

    Raises
    ------
    StoreError
        If the entry is damaged or the array does not fit it.
    """
    if not info.states or codes is None:
        return None
    try:
        width, names = _width(info.states["bin"]), tuple(info.states["names"])
        colours = tuple(info.states["colours"])
        rows = track_rows(info.cell_types, dict(info.states["cell_types"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / schema.MANIFEST, f"states: {error!r}") from None
    offsets = bin_offsets(info.sizes, width)
    _check_shape(folder / schema.STATES, codes, int(offsets[-1]), rows)
    assert rows is not None
    return StateTable(
        codes, rows, width, offsets, names, colours, dict(info.states.get("proxies", {}))
    )


def _width(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= schema.MOST_BASES:
        raise ValueError(f"bins of {str(value)[:60]} bp")
    return value


def open_signal_table(folder: Path, info: StoreInfo, name: str, values: Array) -> SignalTable:
    """Make the table of one signal, as `open_states`."""
    entry = info.signals[name]
    try:
        step, pooled, tracks = (
            _width(entry["resolution"]),
            str(entry["pooled"]),
            entry["cell_types"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / schema.MANIFEST, f"signals.{name}: {error!r}") from None
    offsets, rows = bin_offsets(info.sizes, step), track_rows(info.cell_types, tracks)
    _check_shape(folder / schema.SIGNAL.format(name), values, int(offsets[-1]), rows)
    return SignalTable(name, values, step, rows, offsets, np.asarray(info.sizes, np.int64), pooled)


def _check_shape(path: Path, array: Array, places: int, rows: np.ndarray | None) -> None:
    """A table whose shape does not fit the chromosomes or the cell types would give neighbours'
    values.
    """
    tracks = 1 + (0 if rows is None else int(rows.max(initial=0)))
    if array.ndim != 2 or array.shape[1] != places or array.shape[0] < tracks:
        raise damaged(
            path, f"shape {tuple(array.shape)} where the chromosomes need ({tracks}, {places})"
        )

"""Windows of the genome in each cell type, as rows of a table that is never written down.

A chromosome's windows stand on a grid; those with too many N are left out. What is
kept are the runs of grid places that remain and how many came before each run, so
hg19 in 127 cell types (hundreds of millions of rows) costs kilobytes: row to
window is a division and a search. The order of an epoch is `scrambled`, point by
point. On the training path: numpy and torch only.
Axes: B rows asked for, C chromosomes, T cell types, Q runs of places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from epilm.errors import RecipeError, TrainingError, nearest
from epilm.store.arrays import unknown_runs
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import Subset, check_spec
from epilm.store.schema import GENOME
from epilm.store.tracks import proxy_notes, same_track
from epilm.tokens.random import scrambled

_ORDER, _VALID = 21, 22  # first counters of the shuffles: no other draw shares them


def grid_runs(
    size: int, unknown: np.ndarray, *, width: int, stride: int, most_unknown: int
) -> tuple[np.ndarray, int]:
    """Find which places of a chromosome's grid hold a window with few enough unknown bases.

    The number of unknown bases in [s, s + width) is a straight line in s between the ends
    of runs, seen from either end of the window: the answer is a handful of
    intervals, found without looking at the places one by one.

    Parameters
    ----------
    size : int
        Length of the chromosome in bp.
    unknown : int64 (n, 2)
        Of `unknown_runs`.
    width, stride : int
        Of a window, and of the grid that begins at 0, in bp.
    most_unknown : int
        Unknown bases a window may hold.

    Returns
    -------
    runs : int64 (Q, 2)
        Grid numbers [first, end): windows begin at number * stride, all of them inside of the
        chromosome.
    left_out : int
        Places of the grid with too many unknown bases.

    Examples
    --------
    >>> grid_runs(100, np.array([[20, 40]]), width=10, stride=5, most_unknown=2)
    (array([[ 0,  3],
           [ 8, 19]]), 5)
    """
    n = (size - width) // stride + 1 if size >= width else 0
    if n <= 0:
        return np.zeros((0, 2), np.int64), 0
    last = size - width
    if not len(unknown):
        return np.array([[0, n]]), 0
    corners = np.concatenate([unknown.ravel(), unknown.ravel() - width, [0, last + 1]])
    corners = np.unique(corners[(corners >= 0) & (corners <= last + 1)])
    unknown_before = np.concatenate([[0], np.cumsum(unknown[:, 1] - unknown[:, 0])])

    def before(x: np.ndarray) -> np.ndarray:
        """Count the unknown bases left of x."""
        run = np.searchsorted(unknown[:, 0], x, side="right") - 1
        inside = np.clip(x - unknown[run, 0], 0, unknown[run, 1] - unknown[run, 0])
        return np.where(run < 0, 0, unknown_before[run] + inside)

    begin, end = corners[:-1], corners[1:]
    count = before(begin + width) - before(begin)
    # The slope: does a base come in on the right, does one go out on the left?
    slope = (before(begin + width + 1) - before(begin + width)) - (
        before(begin + 1) - before(begin)
    )
    room = most_unknown - count
    first = np.where(slope < 0, begin + np.maximum(-room, 0), np.where(room >= 0, begin, end))
    stop = np.where(slope > 0, np.minimum(end, begin + room + 1), end)
    runs = np.stack([-(-first // stride), -(-stop // stride)], 1)
    runs = runs[runs[:, 0] < runs[:, 1]]
    new = np.concatenate([[True], runs[1:, 0] > runs[:-1, 1]]) if len(runs) else np.zeros(0, bool)
    starts = runs[new, 0]
    ends = runs[np.concatenate([new[1:], [True]]), 1] if len(runs) else runs[:, 1]
    merged = np.stack([starts, ends], 1)
    return merged, n - int((merged[:, 1] - merged[:, 0]).sum())


@dataclass(frozen=True)
class Places:
    """Where windows may begin: runs of grid places, and how many places came before each.

    Attributes
    ----------
    chrom : int64 (Q,)
    first : int64 (Q,)
        Base where the first window of the run begins.
    before : int64 (Q + 1,)
        Places in the runs before; the last entry is their number.
    stride : int
        Distance of two places in bp.
    """

    chrom: np.ndarray
    first: np.ndarray
    before: np.ndarray
    stride: int

    def __len__(self) -> int:
        return int(self.before[-1])

    def at(self, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give chromosome and first base of places by their numbers."""
        run = np.searchsorted(self.before, number, side="right") - 1
        return self.chrom[run], self.first[run] + (number - self.before[run]) * self.stride


class WindowTable:
    """The samples of a run over windows: every place in every cell type, a number each.

    Parameters
    ----------
    store : Store
        Reads `chroms`, `sizes`, `cell_types`, `states`, and once the genome for its N.
    spec : SampleSpec
        window_bp, window_stride, window_jitter, window_max_n and what is held out.
    subset : {"train", "holdout", "all"}
        "train": chromosomes and cell types that are not held out. "holdout": held-out
        chromosomes in every cell type, and every chromosome in held-out cell types.
    streams : sequence of str
        Of the model. With "states" a row is a place in a cell type that has a state on its
        chromosome, one cell type a track (a place that no cell type has a state for comes once);
        without, a place alone (cell type 0): sequence is the same in all of them.
    unknown : list of int64 (n, 2), optional
        Runs of N of each chromosome; read from the genome where not given.

    Attributes
    ----------
    cells : int64
        Cell types in the table.
    windows : int
        Different places.
    left_out : int
        Places left out because of N.
    notes : tuple of str
        What else is in no sample, for the user.

    Raises
    ------
    RecipeError
        If the specification is impossible or names what the store lacks.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> store = SimpleNamespace(
    ...     chroms=("chr1", "chr2"),
    ...     sizes=(3000, 2000),
    ...     cell_types=("a", "b"),
    ...     states=SimpleNamespace(
    ...         rows=np.array([0, 1]), proxies={}, known_chroms=lambda: np.ones((2, 2), bool)
    ...     ),
    ... )
    >>> table = WindowTable(
    ...     store,
    ...     SampleSpec(unit="windows", holdout_chroms=("chr2",)),
    ...     "train",
    ...     ("dna", "states"),
    ...     unknown=[np.array([[1900, 3000]]), np.zeros((0, 2), int)],
    ... )
    >>> len(table), table.left_out, [column.tolist() for column in table.at([0, 1])]
    (2, 2, [[0, 1], [0, 0], [0, 0]])
    """

    def __init__(
        self,
        store: Any,
        spec: SampleSpec,
        subset: Subset = "train",
        streams: Sequence[str] = ("dna",),
        *,
        unknown: Sequence[np.ndarray] | None = None,
    ) -> None:
        if subset not in get_args(Subset):
            raise RecipeError("unknown subset", found=subset, do=nearest(subset, get_args(Subset)))
        check_spec(store, spec)
        _check(spec)
        self.stride = spec.window_bp if spec.window_stride is None else spec.window_stride
        self.width, self.jitter = spec.window_bp, spec.window_jitter
        cells, out_cells, notes = _cells(store, spec, streams)
        out = np.array([name in spec.holdout_chroms for name in store.chroms], bool)
        every = np.ones_like(out)
        kept = cells[~out_cells[cells]]
        wanted: list[tuple[np.ndarray, np.ndarray]]  # chromosomes, cell types
        if subset == "all":
            wanted = [(every, cells)]
        elif subset == "train":
            wanted = [(~out, kept)]
        else:
            wanted = [(out, cells), (~out, cells[out_cells[cells]])]
        if "states" in streams:
            known = store.states.known_chroms()[np.asarray(store.states.rows)[cells]]
            wanted = _with_states(wanted, cells, known, kept if len(kept) else cells)
            notes += _stateless_notes(store, cells, known)
        read: dict[int, tuple[np.ndarray, int]] = {}
        short: list[str] = []
        for chrom, name in enumerate(store.chroms):
            if not any(len(who) and where[chrom] for where, who in wanted):
                continue
            # The whole stretch that a jittered window may touch counts, and lies inside of the
            # chromosome.
            reach = spec.window_bp + spec.window_jitter
            if store.sizes[chrom] < reach:
                short.append(name)
                continue
            runs = _unknown_of(store, chrom) if unknown is None else unknown[chrom]
            most = int(spec.window_max_n * spec.window_bp + 1e-9)
            read[chrom] = grid_runs(
                store.sizes[chrom], runs, width=reach, stride=self.stride, most_unknown=most
            )
        if short:
            shown = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
            notes.append(f"shorter than a window, in no sample: {shown}")
        self._blocks = [
            (self._places([c for c in read if where[c]], read), who)
            for where, who in wanted
            if len(who)
        ]
        self._blocks = [block for block in self._blocks if len(block[0])]
        ends = np.cumsum(
            [0] + [len(places) * len(who) for places, who in self._blocks], dtype=np.int64
        )
        self._ends = ends
        self.cells = np.unique(
            np.concatenate([np.zeros(0, np.int64), *(who for _, who in self._blocks)])
        )
        self.windows = sum(int((runs[:, 1] - runs[:, 0]).sum()) for runs, _ in read.values())
        self.left_out = sum(left for _, left in read.values())
        self.notes = tuple(notes)

    def _places(self, chroms: list[int], read: dict[int, tuple[np.ndarray, int]]) -> Places:
        runs = np.concatenate([np.zeros((0, 2), np.int64), *(read[c][0] for c in chroms)])
        chrom = np.repeat(np.array(chroms, np.int64), [len(read[c][0]) for c in chroms])
        before = np.concatenate([[0], np.cumsum(runs[:, 1] - runs[:, 0])])
        return Places(chrom, runs[:, 0] * self.stride, before.astype(np.int64), self.stride)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def at(self, rows: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Say which windows rows are.

        Parameters
        ----------
        rows : int64 (B,)
            In [0, len(table)).

        Returns
        -------
        cells, chroms, starts : int64 (B,)
            Cell type and chromosome numbers of the store; first base, without jitter.
        """
        row = np.asarray(rows, dtype=np.int64)
        if len(row) and not (row.min() >= 0 and row.max() < len(self)):
            raise IndexError(f"rows of windows are 0 to {len(self) - 1}")
        cells, chroms, starts = (np.zeros(len(row), np.int64) for _ in range(3))
        block = np.searchsorted(self._ends, row, side="right") - 1
        for number, (places, who) in enumerate(self._blocks):
            mine = np.flatnonzero(block == number)
            cell, window = np.divmod(row[mine] - self._ends[number], len(places))
            cells[mine] = who[cell]
            chroms[mine], starts[mine] = places.at(window)
        return cells, chroms, starts


def window_rows(n: int, *, batch: int, step: int, seed: int) -> np.ndarray:
    """Rows of one optimiser step over windows: the counterpart of `sampling.rows_at`, without a
    list of rows.

    An epoch has n // batch steps and no row twice; the rest of its order is left out, another
    rest in each epoch.

    Parameters
    ----------
    n : int
        Windows, `len(table)`.
    batch : int
        Windows a step, over all devices.
    step, seed : int

    Returns
    -------
    int64 (batch,)

    Raises
    ------
    TrainingError
        If there are fewer windows than a batch takes.

    Examples
    --------
    >>> a = [window_rows(5, batch=2, step=s, seed=0).tolist() for s in range(3)]
    >>> len({*a[0], *a[1]}), window_rows(380_000_000, batch=3, step=10**8, seed=1).tolist()
    (4, [57057657, 163991690, 314579645])
    """
    if n < batch:
        raise TrainingError(
            "a batch takes more windows than there are",
            found=f"{n} windows",
            expected=f"at least {batch}",
            do="Lower train.batch_size, set a smaller samples.window_stride, or hold out less.",
        )
    epoch, at = divmod(step, n // batch)
    return scrambled(np.arange(at * batch, (at + 1) * batch), n, _ORDER, seed, epoch)


def validation_rows(n: int, most: int, seed: int) -> np.ndarray:
    """Draw the held-out windows that are scored: the same ones at every validation.

    Returns
    -------
    int64 (min(n, most),), ascending

    Examples
    --------
    >>> len(validation_rows(10**9, 512, 0)), validation_rows(3, 512, 0).tolist()
    (512, [0, 1, 2])
    """
    if not n or not most:
        return np.zeros(0, np.int64)
    return np.sort(scrambled(np.arange(min(n, most)), n, _VALID, seed))


def _cells(
    store: Any, spec: SampleSpec, streams: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Cell types with samples, which cell types are held out (T,), and what is to be said."""
    out = np.array([name in spec.holdout_cells for name in store.cell_types], bool)
    if "states" not in streams:
        notes = [
            "sequence is the same in all cell types: samples.holdout_cells changes nothing here"
        ]
        return np.zeros(1, np.int64), np.zeros(1, bool), notes if out.any() else []
    table = getattr(store, "states", None)
    if table is None:
        raise RecipeError(
            "the recipe reads chromatin states, the store has none",
            where=str(store.path),
            do="Build the store with states: epilm build --states FOLDER.",
        )
    rows = np.asarray(table.rows)
    for held_out in np.flatnonzero(out & (rows >= 0)):
        if open_ones := [
            cell
            for cell in same_track(store, store.cell_types[held_out])
            if cell not in spec.holdout_cells
        ]:
            raise RecipeError(
                "a cell type is held out whose very track of states another one is trained with",
                where="samples.holdout_cells",
                found=f"{store.cell_types[held_out]}: the track of {', '.join(open_ones)}",
                do=(
                    f"Hold out {' and '.join(open_ones)} as well, or build the store without the"
                    " proxy (--cell-map)."
                ),
            )
    without = [store.cell_types[t] for t in np.flatnonzero(rows < 0)]
    notes = []
    if without:
        shown = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        notes.append(
            f"{len(without)} cell types without a track of states are in no sample: {shown}"
        )
    cells, again = _one_a_track(rows, [cell in table.proxies for cell in store.cell_types])
    notes += proxy_notes(store)
    if again:
        shown = ", ".join(
            f"{store.cell_types[cell]} (that of {store.cell_types[first]})"
            for cell, first in again[:5]
        )
        more = ", ..." if len(again) > 5 else ""
        notes.append(f"a track of several cell types is read once, not again as {shown}{more}")
    return cells, out, notes


def _one_a_track(
    rows: np.ndarray, proxies: Sequence[bool]
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Cell types of which no two read one track, and those left out with the one that stays.

    A declared proxy gives way to its source.

    Examples
    --------
    >>> _one_a_track(np.array([0, 1, 0, -1]), [True, False, False, False])
    (array([1, 2]), [(0, 2)])
    """
    first: dict[int, int] = {}
    for cell in sorted(np.flatnonzero(rows >= 0).tolist(), key=lambda t: (proxies[t], t)):
        first.setdefault(int(rows[cell]), cell)
    kept = np.array(sorted(first.values()), np.int64)
    again = [
        (cell, first[int(row)])
        for cell, row in enumerate(rows)
        if row >= 0 and first[int(row)] != cell
    ]
    return kept, again


def _with_states(
    wanted: list[tuple[np.ndarray, np.ndarray]],
    cells: np.ndarray,
    known: np.ndarray,
    first: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read a chromosome in the cell types that have a state on it; where none has, once.

    Without a state a window is the same in every cell type: it would be drawn as many times.

    Parameters
    ----------
    wanted : list of (bool (C,), int64 (n,))
        Chromosomes, and cell types in which they are wanted.
    cells : int64 (T,)
    known : bool (T, C)
        Whether a cell type has a state on a chromosome.
    first : int64
        Cell types of which the first one reads what none has a state on.

    Examples
    --------
    >>> whole, known = np.array([True, True]), np.array([[True, False], [True, False]])
    >>> blocks = _with_states(
    ...     [(whole, np.array([0, 1]))], np.array([0, 1]), known, np.array([0, 1])
    ... )
    >>> [(where.tolist(), who.tolist()) for where, who in blocks]
    [([True, False], [0, 1]), ([False, True], [0])]
    """
    out = []
    nowhere = ~known.any(0)
    of = {int(cell): row for row, cell in enumerate(cells)}
    for where, who in wanted:
        patterns: dict[bytes, list[int]] = {}
        for cell in who.tolist():
            patterns.setdefault(known[of[cell]].tobytes(), []).append(cell)
        for group in patterns.values():
            out.append((where & known[of[group[0]]], np.array(group, np.int64)))
        if (where & nowhere).any() and len(first) and first[0] in who:
            out.append((where & nowhere, first[:1]))
    return out


def _stateless_notes(store: Any, cells: np.ndarray, known: np.ndarray) -> list[str]:
    """Say on which chromosomes cell types have no state at all."""
    notes = []
    nowhere = ~known.any(0)
    if nowhere.any() and len(cells) > 1:
        names = [store.chroms[c] for c in np.flatnonzero(nowhere)]
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        notes.append(f"no cell type has a state on {shown}: read once, not once a cell type")
    part = [
        f"{store.cell_types[cell]} on {store.chroms[c]}"
        for cell, has in zip(cells.tolist(), known, strict=True)
        for c in np.flatnonzero(~has & ~nowhere)
    ]
    if part:
        shown = ", ".join(part[:5]) + (", ..." if len(part) > 5 else "")
        notes.append(
            f"{len(part)} chromosomes without a state of a cell type are not read there: {shown}"
        )
    return notes


def _check(spec: SampleSpec) -> None:
    for key, value, good, expected in (
        ("window_bp", spec.window_bp, spec.window_bp >= 1, "at least 1"),
        (
            "window_stride",
            spec.window_stride,
            spec.window_stride is None or spec.window_stride >= 1,
            "at least 1",
        ),
        ("window_jitter", spec.window_jitter, spec.window_jitter >= 0, "0 or above"),
        ("window_max_n", spec.window_max_n, 0 <= spec.window_max_n <= 1, "0 to 1"),
    ):
        if not good:
            raise RecipeError(
                "the value is out of range", where=f"samples.{key}", found=value, expected=expected
            )


_seen: dict[tuple[str, str, int], np.ndarray] = {}


def _unknown_of(store: Any, chrom: int) -> np.ndarray:
    """Runs of N of one chromosome; a genome is read once in a process."""
    key = (str(store.path), str(store.info.files.get(GENOME)), chrom)
    if key not in _seen:
        begin = int(store.offsets[chrom])
        _seen[key] = unknown_runs(store.genome[begin : begin + store.sizes[chrom]])
    return _seen[key]

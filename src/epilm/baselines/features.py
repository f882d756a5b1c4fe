"""Numbers of a bin in a cell type, read from a store: k-mers, shares of states, signals, motif
scores.

What the baselines learn from. Whole blocks of bins are read at once. Needs numpy; motifs need
`epilm.motifs`. Axes: B bins of a block, D features, S states.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.baselines.sequence_models import canonical, kmer_counts
from epilm.errors import InputError, StoreError
from epilm.tasks.binding.bins import Bins

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Numbers of a bin in a cell type, read from a store.

    Parameters
    ----------
    store : Store
        Memory maps (not on a device).
    k : int
        K-mers, each with its reverse complement; 0: none.
    sequence_bp : int
        Around the bin's middle, where k-mers and motifs are looked for.
    states : bool
        Share of each state, and of unknown, in the bin and in the window.
    signals : sequence of str
        Signals of the store: log(1 + maximum) and log(1 + mean) in the bin and in the window.
    motifs : sequence of Motif
        Best log-odds of each, both strands, floored at 0.
    width, window_bp : int
        Of a bin, and of the window around it.
    """

    store: Any
    k: int = 0
    sequence_bp: int = 400
    states: bool = False
    signals: tuple[str, ...] = ()
    motifs: tuple[Any, ...] = ()
    width: int = 200
    window_bp: int = 1000

    def __post_init__(self) -> None:
        if self.states and self.store.states is None:
            raise StoreError(
                "the store has no chromatin states",
                where=str(self.store.path),
                do="Build it with --states, or leave them out (states=False).",
            )
        for name in self.signals:
            if name not in self.store.signals:
                raise StoreError(
                    f"the store has no signal {name}",
                    where=str(self.store.path),
                    found=", ".join(self.store.signals) or "no signals",
                    do="Build it with that signal, or leave it out.",
                )

    @property
    def names(self) -> tuple[str, ...]:
        """What the D columns are."""
        out = []
        if self.k:
            out += [f"{self.k}-mer {_letters(i, self.k)}" for i in np.unique(canonical(self.k))]
        for where in ("bin", "window"):
            if self.states:
                out += [
                    f"{where} share of {name}" for name in (*self.store.states.names, "unknown")
                ]
            out += [
                f"{where} log {what} {name}" for name in self.signals for what in ("max", "mean")
            ]
        return (*out, *(f"motif {m.id} {m.name}" for m in self.motifs))

    def check(self, cell: str) -> int:
        """Give the number of a cell type that has every track in use.

        Raises
        ------
        StoreError
            Naming what it lacks.
        """
        number = int(self.store.cell_number(cell))
        lacking = [
            name
            for name in self.signals
            if (rows := self.store.signals[name].rows) is not None and rows[number] < 0
        ]
        if self.states and self.store.states.rows[number] < 0:
            lacking.insert(0, "states")
        if lacking:
            raise StoreError(
                "the cell type lacks a track",
                where=str(self.store.path),
                found=f"{cell}: no {', '.join(lacking)}",
                do=(
                    "Build the store with it (--cell-map for a proxy), or leave it out of the"
                    " features."
                ),
            )
        return number

    def __call__(self, cell: int, chroms: NDArray[np.int64], starts: NDArray[np.int64]) -> Floats:
        """Read bins.

        Parameters
        ----------
        cell : int
            Number in the store.
        chroms, starts : int64 (B,)
            Chromosome numbers of the store, first bases of bins.

        Returns
        -------
        float32 (B, D)
        """
        parts: list[NDArray[Any]] = []
        if self.k:
            first = starts + (self.width - self.sequence_bp) // 2
            codes = np.asarray(self.store.bases(chroms, first, self.sequence_bp))
            counts = kmer_counts(
                codes, np.full(len(codes), self.sequence_bp, np.int64), self.k, True
            )
            parts.append(counts[:, np.unique(canonical(self.k))])
        cells = np.full(len(starts), cell, np.int64)
        for span in (self.width, self.window_bp):
            first = starts + (self.width - span) // 2
            if self.states:
                parts.append(state_shares(self.store.states, cells, chroms, first, span))
            for name in self.signals:
                values = np.asarray(self.store.signals[name].windows(cells, chroms, first, span))
                parts.append(np.log1p(np.maximum(np.stack([values.max(1), values.mean(1)], 1), 0)))
        if self.motifs:
            parts.append(self._motif_scores(chroms, starts))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _motif_scores(self, chroms: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[Any]:
        from epilm.motifs.matrix import factor_matrix

        offsets, sizes = (
            np.asarray(self.store.offsets)[chroms],
            np.asarray(self.store.sizes)[chroms],
        )
        first = np.maximum(starts + (self.width - self.sequence_bp) // 2, 0)
        last = np.minimum(starts + (self.width + self.sequence_bp) // 2, sizes)
        matrix, _ = factor_matrix(
            self.store.genome,
            offsets + first,
            offsets + last,
            list(self.motifs),
            statistic="best",
            threads=1,
        )
        return np.asarray(matrix, np.float32)


def _letters(number: int, k: int) -> str:
    return "".join("ACGT"[int(number) >> (2 * i) & 3] for i in range(k - 1, -1, -1))


def state_shares(
    table: Any,
    cells: NDArray[np.int64],
    chroms: NDArray[np.int64],
    starts: NDArray[np.int64],
    width: int,
) -> Floats:
    """Measure which share of each window's bases is in which state.

    Parameters
    ----------
    table : StateTable
    cells, chroms, starts : int64 (B,)
        Starts may be negative.
    width : int
        In bp.

    Returns
    -------
    float32 (B, S + 1)
        The last column is unknown, or outside of the chromosome; rows sum to 1.
    """
    first = starts // table.bin
    n = (width - 1) // table.bin + 2
    codes = np.asarray(table.gather(cells, chroms, first, n)).astype(np.int64)
    states = len(table.names)
    column = np.where(codes == 255, states, codes)
    begin = (first[:, None] + np.arange(n)) * table.bin
    shared = np.minimum(begin + table.bin, starts[:, None] + width) - np.maximum(
        begin, starts[:, None]
    )
    flat = np.arange(len(starts))[:, None] * (states + 1) + column
    total = np.bincount(flat.ravel(), np.maximum(shared, 0).ravel(), len(starts) * (states + 1))
    return (total.reshape(len(starts), states + 1) / width).astype(np.float32)


def chrom_numbers(store: Any, bins: Bins) -> NDArray[np.int64]:
    """Give the store's number of each bin's chromosome.

    Raises
    ------
    InputError
        If the store lacks one.
    """
    known = {name: number for number, name in enumerate(store.chroms)}
    row = {name: i for i, name in enumerate(bins.chroms)}
    numbers = np.full(max(len(bins.chroms), 1), -1, np.int64)
    for name, _, _ in bins.runs():
        if name not in known:
            raise InputError(
                "the store lacks a chromosome of the bins",
                where=str(store.path),
                found=name,
                expected=f"one of {', '.join(store.chroms[:12])}",
                do="Choose chromosomes that the store has, or build it on the whole genome.",
            )
        numbers[row[name]] = known[name]
    return numbers[bins.chrom]

"""What a binding model must beat: k-mers, states and signals in a logistic regression; a motif and accessibility.

A baseline learns from all bound bins of its training cell types and a sample of the unbound
ones, drawn as fine-tuning draws its first epoch, chooses its penalty on the validation bins,
and predicts any bins of any cell type that has the tracks. Rows are read from the store in blocks.
Needs scikit-learn; motifs need `epilm.motifs`. Axes: B bins of a block, D features.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, StoreError
from epilm.metrics.binding import score_bins
from epilm.tasks.baselines import canonical, kmer_counts, motifs_of, read_collection
from epilm.tasks.dream.bins import TRAIN, VALID, Bins, split_bins
from epilm.tasks.dream.labels import BinLabels
from epilm.tokens.random import scrambled

Floats = NDArray[np.float32]
_NEGATIVES = 0xD0  # the counter of training.binding_data: the same bins as in its first epoch
_BLOCK = 4096
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


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
                "the store has no chromatin states", where=str(self.store.path), do="Build it with --states, or leave them out (states=False).",
            )  # fmt: skip
        for name in self.signals:
            if name not in self.store.signals:
                raise StoreError(
                    f"the store has no signal {name}", where=str(self.store.path),
                    found=", ".join(self.store.signals) or "no signals", do="Build it with that signal, or leave it out.",
                )  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """What the D columns are."""
        out = []
        if self.k:
            out += [f"{self.k}-mer {_letters(i, self.k)}" for i in np.unique(canonical(self.k))]
        for where in ("bin", "window"):
            if self.states:
                out += [f"{where} share of {name}" for name in (*self.store.states.names, "unknown")]
            out += [f"{where} log {what} {name}" for name in self.signals for what in ("max", "mean")]
        return (*out, *(f"motif {m.id} {m.name}" for m in self.motifs))

    def check(self, cell: str) -> int:
        """Give the number of a cell type that has every track in use.

        Raises
        ------
        StoreError
            Naming what it lacks.
        """
        number = int(self.store.cell_number(cell))
        lacking = [name for name in self.signals if (rows := self.store.signals[name].rows) is not None and rows[number] < 0]  # fmt: skip
        if self.states and self.store.states.rows[number] < 0:
            lacking.insert(0, "states")
        if lacking:
            raise StoreError(
                "the cell type lacks a track", where=str(self.store.path), found=f"{cell}: no {', '.join(lacking)}",
                do="Build the store with it (--cell-map for a proxy), or leave it out of the features.",
            )  # fmt: skip
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
            counts = kmer_counts(codes, np.full(len(codes), self.sequence_bp, np.int64), self.k, True)
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

        offsets, sizes = np.asarray(self.store.offsets)[chroms], np.asarray(self.store.sizes)[chroms]
        first = np.maximum(starts + (self.width - self.sequence_bp) // 2, 0)
        last = np.minimum(starts + (self.width + self.sequence_bp) // 2, sizes)
        matrix, _ = factor_matrix(
            self.store.genome, offsets + first, offsets + last, list(self.motifs), statistic="best", threads=1
        )
        return np.asarray(matrix, np.float32)


def _letters(number: int, k: int) -> str:
    return "".join("ACGT"[int(number) >> (2 * i) & 3] for i in range(k - 1, -1, -1))


def state_shares(
    table: Any, cells: NDArray[np.int64], chroms: NDArray[np.int64], starts: NDArray[np.int64], width: int
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
    shared = np.minimum(begin + table.bin, starts[:, None] + width) - np.maximum(begin, starts[:, None])
    flat = np.arange(len(starts))[:, None] * (states + 1) + column
    total = np.bincount(flat.ravel(), np.maximum(shared, 0).ravel(), len(starts) * (states + 1))
    return (total.reshape(len(starts), states + 1) / width).astype(np.float32)


@dataclass
class BinModel:
    """A logistic regression on features of bins.

    Attributes
    ----------
    features : Features
    chosen : dict
        Penalty, its AP on the validation bins, and what was learned from.
    notes : tuple of str
    """

    features: Features
    scaler: Any
    model: Any
    chosen: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def predict(self, cell: str, bins: Bins, *, block: int = _BLOCK) -> Iterator[Floats]:
        """Predict bins in a cell type, block by block.

        Parameters
        ----------
        cell : str
            Of the store; it needs the tracks in use, not labels.
        bins : Bins
        block : int

        Yields
        ------
        float32 (<= block,)
            Probabilities, in the order of the bins.

        Raises
        ------
        StoreError, InputError
            If the cell type lacks a track, or the store a chromosome.
        """
        number = self.features.check(cell)
        chroms = chrom_numbers(self.features.store, bins)
        for at in range(0, len(bins), block):
            rows = slice(at, at + block)
            values = self.features(number, chroms[rows], bins.start[rows].astype(np.int64))
            yield self.model.predict_proba(self.scaler.transform(values))[:, 1].astype(np.float32)

    def scores(self, cell: str, bins: Bins) -> Floats:
        """Predict all bins at once, float32 (n,)."""
        return np.concatenate([*self.predict(cell, bins), np.zeros(0, np.float32)])


def chrom_numbers(store: Any, bins: Bins) -> NDArray[np.int64]:
    """Give the store's number of each bin's chromosome.

    Raises
    ------
    InputError
        If the store lacks one.
    """
    known = list(store.chroms)
    numbers = np.full(max(len(bins.chroms), 1), -1, np.int64)
    for name, _, _ in bins.runs():
        if name not in known:
            raise InputError(
                "the store lacks a chromosome of the bins", where=str(store.path), found=name,
                expected=f"one of {', '.join(known[:12])}", do="Choose chromosomes that the store has, or build it on the whole genome.",
            )  # fmt: skip
        numbers[bins.chroms.index(name)] = known.index(name)
    return numbers[bins.chrom]


def sample_bins(values: NDArray[np.int8], bins: NDArray[np.int64], *, negatives: int, seed: int, cell: int = 0) -> NDArray[np.int64]:  # fmt: skip
    """Choose all bound bins and some unbound ones.

    Parameters
    ----------
    values : int8 (n,)
        Labels of one cell type.
    bins : int64 (m,)
        Rows to choose from.
    negatives : int
        Unbound bins for each bound one; all if there are fewer.
    seed, cell : int
        Seed, and the column of the cell type: together with them the draw is that of fine-tuning's first epoch.

    Returns
    -------
    int64
        Rising.

    Examples
    --------
    >>> values = np.array([1, 0, 0, -1, 0, 0], np.int8)
    >>> rows = sample_bins(values, np.arange(6), negatives=2, seed=0)
    >>> values[rows].tolist().count(0), 0 in rows, 3 in rows
    (2, True, False)
    """
    bound = bins[values[bins] == 1]
    unbound = values[bins] == 0
    wanted = min(negatives * len(bound), int(unbound.sum()))
    found: list[NDArray[np.int64]] = []
    count, at = 0, 0
    while count < wanted:
        size = min(1 << 16, len(bins) - at)
        place = scrambled(np.arange(at, at + size, dtype=np.int64), len(bins), seed, _NEGATIVES, 0, cell)
        place = place[unbound[place]][: wanted - count]
        found.append(bins[place])
        count, at = count + len(place), at + size
    return np.sort(np.concatenate([bound, *found]))


def fit_features(
    labels: BinLabels,
    features: Features,
    *,
    cells: Sequence[str] = (),
    train: Sequence[str] = (),
    valid: Sequence[str] = ("chr11",),
    test: Sequence[str] = (),
    negatives: int = 10,
    seed: int = 0,
    most_valid: int = 50_000,
    penalties: Sequence[float] = PENALTIES,
) -> BinModel:
    """Fit a logistic regression on features of bins.

    Parameters
    ----------
    labels : BinLabels
    features : Features
    cells : sequence of str
        Cell types to learn from and to validate in; by default all of the labels.
    train, valid, test : sequences of str
        See `split_bins`; bins whose window would reach from train into valid or test are left out.
    negatives : int
        Unbound training bins for each bound one.
    seed : int
        Of the sample of unbound bins.
    most_valid : int
        Unbound validation bins of a cell type that choose the penalty (all bound ones).
    penalties : sequence of float
        scikit-learn's C.

    Returns
    -------
    BinModel

    Raises
    ------
    InputError
        If a cell type is missing on either side, or a split has no bound or no unbound bin.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    used = tuple(cells or labels.cells)
    labels.check_cells(features.store.cell_types, f"the store {features.store.path}", used)
    numbers = {cell: features.check(cell) for cell in used}
    split = split_bins(
        labels.bins, train=train, valid=valid, test=test, apart_bp=features.window_bp - labels.bins.width
    )
    chroms = chrom_numbers(features.store, labels.bins)
    starts = labels.bins.start.astype(np.int64)

    def read(rows: NDArray[np.int64], cell: str) -> Floats:
        blocks = [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]
        return np.concatenate([features(numbers[cell], chroms[b], starts[b]) for b in blocks])

    parts: dict[int, tuple[list[Floats], list[NDArray[np.int8]]]] = {TRAIN: ([], []), VALID: ([], [])}
    for which, name in ((TRAIN, "training"), (VALID, "validation")):
        bins = np.flatnonzero(split == which)
        labels.take(bins).check_classes(used, where=f"{labels.factor or 'labels'}, {name} bins")
        for cell in used:
            values = labels.of(cell)
            bound = int((values[bins] == 1).sum())
            ratio = negatives if which == TRAIN else -(-most_valid // max(bound, 1))
            rows = sample_bins(values, bins, negatives=ratio, seed=seed, cell=labels.column(cell))
            if len(rows):
                parts[which][0].append(read(rows, cell))
                parts[which][1].append(values[rows])
    learn, target = (np.concatenate(p) for p in parts[TRAIN])
    check, truth = (np.concatenate(p) for p in parts[VALID])
    scaler = StandardScaler().fit(learn)
    learn, check = scaler.transform(learn), scaler.transform(check)
    best, top, strength = None, -np.inf, 0.0
    for penalty in penalties:
        model = LogisticRegression(C=penalty, max_iter=500, tol=1e-3).fit(learn, target)
        score = float(score_bins(truth, model.predict_proba(check)[:, 1])["ap"])
        if score > top + 1e-9:
            best, top, strength = model, score, penalty
    chosen = {
        "C": strength,
        "valid_ap": top,
        "cells": list(used),
        "n_features": int(learn.shape[1]),
        "n_train": {"bound": int((target == 1).sum()), "unbound": int((target == 0).sum())},
        "n_valid": {"bound": int((truth == 1).sum()), "unbound": int((truth == 0).sum())},
        "seed": seed,
    }
    return BinModel(features, scaler, best, chosen, labels.notes)


def fit_kmer_state(
    labels: BinLabels,
    store: Any,
    *,
    k: int = 4,
    sequence_bp: int = 400,
    states: bool | None = None,
    signals: Sequence[str] | None = None,
    window_bp: int = 1000,
    **settings: Any,
) -> BinModel:
    """Fit k-mer counts, state shares and signals together.

    Parameters
    ----------
    labels : BinLabels
    store : Store
    k, sequence_bp, window_bp : int
        See `Features`.
    states : bool, optional
        By default where the store has them.
    signals : sequence of str, optional
        By default none; ("accessibility", "mappability") is what EBERT+ reads.
    **settings
        Of `fit_features`: cells, train, valid, test, negatives, seed.

    Returns
    -------
    BinModel
    """
    features = Features(
        store, k, sequence_bp, store.states is not None if states is None else states, tuple(signals or ()),
        width=labels.bins.width, window_bp=window_bp,
    )  # fmt: skip
    return fit_features(labels, features, **settings)


def fit_motif(
    labels: BinLabels,
    store: Any,
    *,
    motifs: str | Path | Sequence[Any],
    factor: str | None = None,
    accessibility: bool = False,
    sequence_bp: int = 240,
    **settings: Any,
) -> BinModel:
    """Fit the best score of the factor's own motif, with accessibility if asked for.

    Parameters
    ----------
    labels : BinLabels
    store : Store
    motifs : path, "jaspar:2018", or sequence of Motif
    factor : str, optional
        As the collection calls it; by default that of the labels.
    accessibility : bool
        Add the store's signal of that name.
    sequence_bp : int
        Around the bin's middle; 240 lets a motif reach 20 bp over its edges.
    **settings
        Of `fit_features`.

    Returns
    -------
    BinModel

    Raises
    ------
    InputError
        If the collection has no motif of the factor.
    """
    wanted = motifs_of(read_collection(motifs), factor or labels.factor)
    signals = ("accessibility",) if accessibility else ()
    features = Features(store, 0, sequence_bp, False, signals, tuple(wanted), width=labels.bins.width)
    return fit_features(labels, features, **settings)


BASELINES: dict[str, Callable[..., BinModel]] = {"kmer_state": fit_kmer_state, "motif": fit_motif}

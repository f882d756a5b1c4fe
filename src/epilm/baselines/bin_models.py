"""What a binding model must beat: k-mers, states and signals in a logistic regression; a motif and
accessibility.

A baseline learns from all bound bins of its training cell types and a sample of the unbound
ones, drawn as fine-tuning draws its first epoch, chooses its penalty on the validation bins,
and predicts any bins of any cell type that has the tracks. Rows are read from the store in blocks.
Needs scikit-learn. Axes: n bins.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.baselines.features import Features, Floats, chrom_numbers
from epilm.metrics.bin_scores import score_bins
from epilm.motifs.formats import read_collection
from epilm.motifs.names import motifs_of
from epilm.tasks.binding.bins import TRAIN, VALID, Bins, split_bins
from epilm.tasks.binding.labels import BinLabels
from epilm.tokens.random import scrambled

_NEGATIVES = 0xD0  # the counter of tasks.binding.rows: the same bins as in its first epoch
_BLOCK = 4096
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


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


def sample_bins(
    values: NDArray[np.int8], bins: NDArray[np.int64], *, negatives: int, seed: int, cell: int = 0
) -> NDArray[np.int64]:
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
        Seed, and the column of the cell type: together with them the draw is that of fine-tuning's
        first epoch.

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
    drawn: list[NDArray[np.int64]] = []
    count, at = 0, 0
    while count < wanted:
        size = min(1 << 16, len(bins) - at)
        rows = scrambled(
            np.arange(at, at + size, dtype=np.int64), len(bins), seed, _NEGATIVES, 0, cell
        )
        rows = rows[unbound[rows]][: wanted - count]
        drawn.append(bins[rows])
        count, at = count + len(rows), at + size
    return np.sort(np.concatenate([bound, *drawn]))


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
        labels.bins,
        train=train,
        valid=valid,
        test=test,
        apart_bp=features.window_bp - labels.bins.width,
    )
    chroms = chrom_numbers(features.store, labels.bins)
    starts = labels.bins.start.astype(np.int64)

    def read(rows: NDArray[np.int64], cell: str) -> Floats:
        blocks = [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]
        return np.concatenate([features(numbers[cell], chroms[b], starts[b]) for b in blocks])

    parts: dict[int, tuple[list[Floats], list[NDArray[np.int8]]]] = {
        TRAIN: ([], []),
        VALID: ([], []),
    }
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
        store,
        k,
        sequence_bp,
        store.states is not None if states is None else states,
        tuple(signals or ()),
        width=labels.bins.width,
        window_bp=window_bp,
    )
    return fit_features(labels, features, **settings)


def fit_motif(
    labels: BinLabels,
    store: Any,
    *,
    motifs: str | Path | Sequence[Any],
    factor: str | None = None,
    accessibility: bool = False,
    states: bool = False,
    sequence_bp: int = 240,
    **settings: Any,
) -> BinModel:
    """Fit the best score of the factor's own motif, with accessibility and states if asked for.

    Parameters
    ----------
    labels : BinLabels
    store : Store
    motifs : path, "jaspar:2018", or sequence of Motif
    factor : str, optional
        As the collection calls it; by default that of the labels.
    accessibility : bool
        Add the store's signal of that name.
    states : bool
        Add the shares of states.
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
    features = Features(
        store, 0, sequence_bp, states, signals, tuple(wanted), width=labels.bins.width
    )
    return fit_features(labels, features, **settings)


BASELINES: dict[str, Callable[..., BinModel]] = {"kmer_state": fit_kmer_state, "motif": fit_motif}

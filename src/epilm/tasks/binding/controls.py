"""Stores with other tracks for a cell type, and scores without a model: does the cell type matter?

A model that predicts as well with shuffled states, or with those of other cell types, has learned
where factors bind anywhere. The stores differ from the one given in the tracks of one cell type
alone. Axes: N bins of a track, S states, n bins of the labels.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.store.motifs import motifs_of_store
from epilm.store.reader import Store
from epilm.store.tracks import MISSING, StateTable
from epilm.tasks.binding.bins import Bins
from epilm.tokens.random import permutation

CONTROLS = ("shuffled_states", "mean_of_cells", "sequence_only", "motif")
_SHUFFLE = 0xD6


def controlled(
    store: Store, cell: str, how: str, *, cells: Sequence[str] = (), seed: int = 0
) -> Store | None:
    """Give the same store with other tracks for one cell type.

    Parameters
    ----------
    store : Store
    cell : str
    how : {"shuffled_states", "mean_of_cells", "sequence_only"}
        The bins that have a state shuffled within each chromosome, signals as they are; the most
        common state (of equally common ones the first in the store's list) and the mean signal over
        the tracks of `cells`, each once, without the very track that `cell` reads (its own, under
        whatever name); all states unknown and the cell type's signals 0.
    cells : sequence of str
        Cell types the model was trained on.
    seed : int

    Returns
    -------
    Store or None
        None where no other cell type has a track, or all read this one's.
    """
    if how not in CONTROLS[:3]:
        raise UsageError("unknown control", found=how, do=nearest(how, CONTROLS[:3]))
    number = store.cell_number(cell)
    others = [
        store.cell_types.index(name) for name in cells if name in store.cell_types and name != cell
    ]
    states = store.states
    signals: dict[str, Any] = dict(store.signals)
    if how == "mean_of_cells":
        others = others if states is None else _other_tracks(states.rows, number, others)
        if not others:
            return None
    if states is not None:
        codes = np.array(states.of(number))
        if how == "shuffled_states":
            codes = shuffled(codes, states.offsets, seed)
        elif how == "mean_of_cells":
            codes = most_common([np.asarray(states.of(n)) for n in others], states.n_states)
        else:
            codes[:] = MISSING
        states = _one_track(states, number, codes)
    if how != "shuffled_states":
        for name, table in store.signals.items():
            if table.rows is not None:
                averaged = how == "mean_of_cells"
                rows = _other_tracks(table.rows, number, others) if averaged else []
                signals[name] = _Averaged(table, tuple(rows), number)
    return replace(store, states=states, signals=signals)


def _other_tracks(rows: NDArray[np.int64], cell: int, others: Sequence[int]) -> list[int]:
    """Cell types of other tracks than one reads itself; of several with one track the first.

    Examples
    --------
    >>> _other_tracks(np.array([0, 1, 0, 1, -1]), 0, [1, 2, 3, 4])
    [1]
    """
    first: dict[int, int] = {}
    for other in others:
        if rows[other] >= 0 and rows[other] != rows[cell]:
            first.setdefault(int(rows[other]), other)
    return list(first.values())


def shuffled(codes: NDArray[np.uint8], offsets: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """Permute the known states of each chromosome; unknown bins stay where they are.

    Examples
    --------
    >>> codes = np.array([0, 1, 2, 255, 3, 3], np.uint8)
    >>> out = shuffled(codes, np.array([0, 4, 6]), seed=1)
    >>> sorted(out[:3].tolist()), out[3:].tolist()
    ([0, 1, 2], [255, 3, 3])
    """
    out = codes.copy()
    for chrom, (first, end) in enumerate(
        zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ):
        known = first + np.flatnonzero(codes[first:end] != MISSING)
        out[known] = codes[known[permutation(len(known), seed, _SHUFFLE, chrom)]]
    return out


def most_common(tracks: Sequence[NDArray[np.uint8]], n_states: int) -> NDArray[np.uint8]:
    """The state that most tracks have in each bin; the first of equally common ones, unknown where
    all are.

    Examples
    --------
    >>> most_common(
    ...     [np.array([2, 0, 255]), np.array([2, 1, 255]), np.array([1, 255, 255])], 3
    ... ).tolist()
    [2, 0, 255]
    """
    best = np.full(len(tracks[0]), MISSING, np.uint8)
    most = np.zeros(len(tracks[0]), np.uint16)
    for state in range(n_states):
        count = np.zeros(len(best), np.uint16)
        for track in tracks:
            count += track == state
        better = count > most
        best[better], most[better] = state, count[better]
    return best


def _one_track(states: StateTable, cell: int, codes: NDArray[np.uint8]) -> StateTable:
    rows = np.full(len(states.rows), -1, np.int64)
    rows[cell] = 0
    return replace(states, codes=codes[None], rows=rows, _near=None)


class _Averaged:
    """A signal that is the mean of some cell types' signals, or 0; read as a `SignalTable` is."""

    def __init__(self, table: Any, cells: tuple[int, ...], cell: int) -> None:
        self.table, self.cells = table, cells
        self.rows = np.full(len(table.rows), -1, np.int64)
        self.rows[cell] = 0

    def windows(self, cells: Any, chroms: Any, starts: Any, width: int) -> Any:
        total = np.zeros((len(np.asarray(starts)), width), np.float32)
        for other in self.cells:
            total += np.asarray(
                self.table.windows(np.full(len(total), other), chroms, starts, width)
            )
        return total / max(len(self.cells), 1)


def motif_scores(
    store: Store, bins: Bins, factor: str, motifs: Any = None
) -> NDArray[np.float32] | None:
    """Best score of the factor's motifs in each bin, on either strand.

    Parameters
    ----------
    store : Store
        With the genome.
    bins : Bins
    factor : str
    motifs : path or sequence of Motif, optional
        Those of the store where not given.

    Returns
    -------
    float32 (n,) or None
        Nats; None where there is no motif of this factor.
    """
    from epilm.motifs.formats import read_collection
    from epilm.motifs.log_odds import log_odds
    from epilm.motifs.names import motifs_of
    from epilm.motifs.scan import best_scores

    collection = motifs_of_store(store) if motifs is None else read_collection(motifs)
    try:
        chosen = motifs_of(collection, factor)
    except InputError:
        return None
    pwms = [log_odds(motif) for motif in chosen]
    out = np.empty(len(bins), np.float32)
    for name, low, high in bins.runs():
        number = store.chroms.index(name)
        first = int(store.offsets[number])
        codes = np.asarray(store.genome[first : first + store.sizes[number]])
        for at in range(low, high, 1 << 18):
            rows = slice(at, min(at + (1 << 18), high))
            start = bins.start[rows].astype(np.int64)
            out[rows] = best_scores(codes, start, start + bins.width, pwms).max(1)
    known = np.isfinite(out)
    out[~known] = out[known].min() - 1 if known.any() else 0  # bins of N: below every other
    return out

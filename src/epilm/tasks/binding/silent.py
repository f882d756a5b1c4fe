"""Where a signal is 0 everywhere: a track of one chromosome tells a model of another one nothing.

A base without a signal is 0 in a store, so that nothing else would show it. Used before anything
is learned, predicted or scored. Axes: n bins.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.batches.motif_signals import is_motif
from epilm.errors import InputError
from epilm.genome.chromosomes import few
from epilm.store.reader import Store

_BLOCK = 1 << 20  # values looked at together: nearly always the first block has one
Stretch = tuple[int, int, int]  # chromosome number, first base, end


def stretches(chroms: NDArray[Any], starts: NDArray[Any], width: int) -> list[Stretch]:
    """From the first to the last base of bins, chromosome by chromosome.

    Examples
    --------
    >>> stretches(np.array([0, 0, 2]), np.array([50, 900, 10]), 200)
    [(0, 50, 1100), (2, 10, 210)]
    """
    out = []
    for chrom in np.unique(chroms).tolist():
        here = starts[chroms == chrom]
        out.append((chrom, int(here.min()), int(here.max()) + width))
    return out


def is_silent(table: Any, cell: int, stretch: Stretch) -> bool:
    """Say whether a signal has no value but 0 along a stretch, in a cell type.

    Examples
    --------
    >>> from epilm.store.tracks import SignalTable
    >>> values = np.array([[0, 0, 0, 7]], np.float16)
    >>> table = SignalTable("a", values, 2, None, np.array([0, 2, 4]), np.array([4, 3]), "max")
    >>> (
    ...     is_silent(table, 0, (0, 0, 4)),
    ...     is_silent(table, 0, (1, 0, 3)),
    ...     is_silent(table, 0, (1, 0, 2)),
    ... )
    (True, False, True)
    """
    chrom, start, end = stretch
    row = 0 if table.rows is None else int(table.rows[cell])
    first = int(table.offsets[chrom])
    low = first + start // table.resolution
    high = min(first - (-end // table.resolution), int(table.offsets[chrom + 1]))
    return row < 0 or not any(
        bool((table.values[row, at : min(at + _BLOCK, high)] != 0).any())
        for at in range(low, high, _BLOCK)
    )


def silent_notes(
    store: Store, signals: Sequence[str], cells: Sequence[str], places: Sequence[Stretch], part: str
) -> list[str]:
    """Name the signals that are 0 on whole chromosomes of a part, cell type by cell type.

    Parameters
    ----------
    signals : sequence of str
        By their names in the store; motif scores are worked out and never silent.
    cells : sequence of str
    places : sequence of (chromosome, first base, end)
    part : str
        What is read there, for the message: "training".

    Returns
    -------
    list of str
    """
    notes: list[str] = []
    for name in signals:
        if is_motif(name):
            continue
        table: Any = store.signals[name]
        # A track of all cell types is named once.
        for cell in cells if table.rows is not None else ("",):
            number = store.cell_number(cell) if cell else 0
            gone = [store.chroms[each[0]] for each in places if is_silent(table, number, each)]
            if gone:
                of = f" of {cell}" if cell else ""
                all_of_it = len(gone) == len(places)
                notes.append(
                    f"{name}{of} is 0 on {'all of ' if all_of_it else ''}{few(gone, 24)},"
                    f" {part}: no signal of the file lies there, or the file lacks"
                    " these chromosomes"
                )
    return notes


def check_signals(
    store: Store, signals: Sequence[str], cells: Sequence[str], places: Sequence[Stretch]
) -> None:
    """Refuse to learn from a signal that is 0 in every place and cell type.

    Raises
    ------
    InputError
    """
    for name in signals:
        if is_motif(name):
            continue
        table: Any = store.signals[name]
        if all(is_silent(table, store.cell_number(c), each) for c in cells for each in places):
            raise InputError(
                "the signal is 0 everywhere in the training part: nothing can be learned from it",
                where="--signals",
                found=f"{name} on {few([store.chroms[each[0]] for each in places], 24)}",
                do=(
                    "Build the store with tracks of these chromosomes, train on others (--train),"
                    " or leave the signal out."
                ),
            )

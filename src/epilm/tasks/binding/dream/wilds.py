"""The WILDS subset of the challenge (MAX, JUND): windows of 128 bins, one row a window and cell
type.

`metadata_df.bed` has chromosome, start, stop, cell type of each window and no header;
`metadata_y.npy` its 128 labels: 1 bound, 0 unbound, 0.5 ambiguous, of the bins that begin every
50 bp from the window's start. Read into the same `BinLabels`. Numpy only; used by `sources`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, nearest
from epilm.genome.files import check_file
from epilm.tasks.binding.bins import STEP, WIDTH, Bins, chrom_type
from epilm.tasks.binding.labels import AMBIGUOUS, BinLabels
from epilm.tasks.binding.lines import iter_lines

PLACES, LABELS = "metadata_df.bed", "metadata_y.npy"
_WINDOWS = "windows: chromosome, start, stop, cell type, no header"


def wilds_cells(subset: Path) -> tuple[str, ...]:
    """Name the cell types of a WILDS subset, in the order in which they come."""
    known: dict[str, None] = {}
    for block in iter_lines(subset / PLACES, _WINDOWS, columns=4):
        known |= dict.fromkeys(cell for cell, _, _ in block.runs(3))
    return tuple(known)


def read_wilds(
    subset: Path,
    *,
    factor: str | None = None,
    cells: Sequence[str] | None = None,
    chroms: Sequence[str] | None = None,
) -> BinLabels:
    """Read the labels of a WILDS subset.

    Parameters
    ----------
    subset : path
        Folder with metadata_df.bed and metadata_y.npy.
    factor : str, optional
        By default the folder's name.
    cells, chroms : sequences of str, optional
        Keep these; see `read_labels`.

    Returns
    -------
    BinLabels
        Chromosomes in the order of the file, bins sorted. A window that a cell type lacks is
        ambiguous there.

    Raises
    ------
    InputError
        Naming file and line: another number of rows than labels, windows of another length,
        overlapping windows, labels that are none of 0, 0.5, 1.

    References
    ----------
    Koh et al. 2021, WILDS: A Benchmark of in-the-Wild Distribution Shifts (encode).
    """
    table = subset / PLACES
    labels = check_file(subset / LABELS, "labels of windows, an .npy array")
    try:
        y = np.load(labels, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError) as error:
        raise InputError(
            "the array cannot be read", where=str(labels), found=error, expected="an .npy array"
        ) from None
    if y.ndim != 2:
        raise InputError(
            "the labels are no table",
            where=str(subset / LABELS),
            found=f"shape {y.shape}",
            expected="(windows, bins)",
        )
    names: dict[str, int] = {}
    known: dict[str, int] = {}
    keys, owners = [], []
    for block in iter_lines(table, _WINDOWS, columns=4):
        start, stop = block.integers(1), block.integers(2)
        wrong = stop - start != STEP * y.shape[1]
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                "the window has another length",
                where=block.place(row),
                found=f"{stop[row] - start[row]} bp",
                expected=f"{STEP * y.shape[1]} bp, for {y.shape[1]} labels every {STEP} bp",
            )
        number, owner = np.empty((2, len(block)), np.int64)
        for name, low, high in block.runs():
            number[low:high] = names.setdefault(name, len(names))
        for cell, low, high in block.runs(3):
            owner[low:high] = known.setdefault(cell, len(known))
        keys.append((number.astype(np.int64) << 40) | start)
        owners.append(owner.astype(np.int64))
    key, owner = np.concatenate(keys), np.concatenate(owners)
    if len(key) != len(y):
        raise InputError(
            "windows and labels are not of one set",
            where=str(table),
            found=f"{len(key)} windows",
            expected=f"{len(y)}, as {LABELS} has rows",
        )
    wanted = list(known if cells is None else cells)
    for cell in wanted:
        if cell not in known:
            raise InputError(
                "the subset has no such cell type",
                where=str(table),
                found=cell,
                do=nearest(cell, known),
            )
    windows = np.unique(key[np.isin(owner, [known[c] for c in wanted])])
    if (np.diff(windows) < STEP * y.shape[1]).any():
        at = int((np.diff(windows) < STEP * y.shape[1]).argmax())
        raise InputError(
            "two windows overlap",
            where=str(table),
            found=" and ".join(
                f"{list(names)[windows[i] >> 40]}:{windows[i] & ((1 << 40) - 1)}"
                for i in (at, at + 1)
            ),
            expected=f"starts at least {STEP * y.shape[1]} bp apart",
        )
    first = windows & ((1 << 40) - 1)
    starts = (first[:, None] + STEP * np.arange(y.shape[1])).astype(np.int32).ravel()
    bins = Bins(
        tuple(names),
        np.repeat((windows >> 40).astype(chrom_type(len(names))), y.shape[1]),
        starts,
        WIDTH,
    )
    values = np.full((len(bins), len(wanted)), AMBIGUOUS, np.int8, order="F")
    notes = []
    for c, cell in enumerate(wanted):
        rows = np.flatnonzero(owner == known[cell])
        found_at = np.searchsorted(windows, key[rows])
        if len(np.unique(found_at)) < len(found_at):
            raise InputError("a window is there twice", where=str(table), found=cell)
        column = values[:, c].reshape(len(windows), y.shape[1])
        column[found_at] = _labels(y, rows, str(subset / LABELS))
        values[:, c] = column.ravel()
        if len(rows) < len(windows):
            notes.append(
                f"{cell}: {len(windows) - len(rows)} of {len(windows)} windows are not there; their"
                " bins count as ambiguous"
            )
    joined = BinLabels(bins, tuple(wanted), values, factor or subset.name, tuple(notes))
    return joined if chroms is None else joined.take(joined.bins.inside(chroms))


def _labels(y: NDArray[np.floating], rows: NDArray[np.int64], where: str) -> NDArray[np.int8]:
    out = np.empty((len(rows), y.shape[1]), np.int8)
    for at in range(0, len(rows), 1 << 14):
        block = np.asarray(y[rows[at : at + (1 << 14)]])
        coded = np.where(block == 1, 1, np.where(block == 0, 0, AMBIGUOUS)).astype(np.int8)
        wrong = (coded == AMBIGUOUS) & (block != 0.5) & ~np.isnan(block)
        if wrong.any():
            row, bin_ = np.argwhere(wrong)[0]
            raise InputError(
                "not a label",
                where=f"{where}, row {rows[at + row]}, bin {bin_}",
                found=f"{block[row, bin_]!s}",
                expected="1 (bound), 0 (unbound) or 0.5 (ambiguous)",
            )
        out[at : at + len(block)] = coded
    return out

"""Peak x cell counts and their cell labels, summed to cell types (pseudo-bulk).

A matrix arrives as .h5ad (cells x peaks), .h5 of 10x, .mtx, .npz or R's .RDS (peaks
x cells) and leaves as regions x cells, with a region table and a label for each
cell. Its sides are checked against the peak list and the cell table; a matrix
that stands the other way round is turned and that is said. The readers of the
formats are in `matrices`, peak names and cell tables in `matrix_sides`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from epilm.errors import InputError
from epilm.genome import matrices, matrix_sides
from epilm.genome.chromosomes import few, natural_key
from epilm.genome.files import check_file

WHAT = "a peak x cell matrix: .h5ad, .h5 (10x), .mtx (.gz), .npz or .RDS"


@dataclass(frozen=True)
class Counts:
    """A peak x cell matrix that fits its peaks and its labelled cells.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, shape (R, C)
        Regions x cells; as many as were counted, never negative or NaN.
    regions : DataFrame, R rows
        chrom, start, end in the order of the matrix (unchecked: `checks.check_intervals`).
    cells : str array, shape (C,)
    labels : str array, shape (C,)
        Cell type of each cell.
    notes : list of str
        One printable line for everything turned, dropped or odd.
    beside : list of (str, Path)
        Files that were found beside the matrix, with what they are: counts_peaks, counts_cells,
        counts_barcodes.
    """

    matrix: sparse.csr_array
    regions: pd.DataFrame
    cells: NDArray[np.str_]
    labels: NDArray[np.str_]
    notes: list[str] = field(default_factory=list)
    beside: list[tuple[str, Path]] = field(default_factory=list)


def read_counts(
    path: str | Path,
    peaks: str | Path | None = None,
    cells: str | Path | None = None,
    label: str = "cell_type",
    missing: Literal["error", "drop"] = "error",
    layer: str | None = None,
) -> Counts:
    """Read a peak x cell matrix with its peaks and cell labels.

    Parameters
    ----------
    path : path
        .h5ad; .h5 of Cell Ranger; .mtx or .mtx.gz; .npz of `scipy.sparse.save_npz`; .RDS of a
        sparse matrix or a Seurat object (extra "r"). Of a multiome matrix the peaks are taken.
    peaks : path, optional
        Peak list in the order of the matrix: BED, GRanges of R, features.tsv of 10x, or one name a
        line (chr1:5-9, chr1-5-9, chr1_5_9). Needed for .npz; for .mtx a peaks.* or features.*
        beside it is found; the others hold their own, which a list must not contradict.
    cells : path, optional
        Cell table: tab- or comma-separated with a header, first column (or "cell", "barcode") the
        cell. Matched by cell name where the matrix has names (for .mtx: a barcodes.tsv beside it),
        else by position, and that is said. For .mtx a cells.* or metadata.* beside it is found.
        Files beside may share the beginning of the matrix's name (GSM1_matrix.mtx,
        GSM1_barcodes.tsv).
    label : str
        Column that holds the cell type (any metadata column).
    missing : {"error", "drop"}
        What to do with cells without a label.
    layer : str, optional
        Of an .h5ad file: the layer that holds the counts, or "raw".

    Returns
    -------
    Counts

    Raises
    ------
    InputError
        If a file is missing, damaged or of another format; the sides do not fit; the label column
        or labels of some cells are missing; a count is negative or NaN; a peak name is no interval.
    """
    path = check_file(path, WHAT)
    beside: list[tuple[str, Path]] = []
    listed = None if peaks is None else matrix_sides.read_regions(peaks)
    raw = matrices.read(path, layer, None if listed is None else len(listed.are_peaks))
    if listed is None and raw.regions is None:
        beside_it = matrix_sides.find_beside(
            path, matrix_sides.PEAK_FILES, "peaks", "--counts-peaks"
        )
        assert beside_it is not None
        peaks, listed = beside_it, matrix_sides.read_regions(beside_it)
        beside.append(("counts_peaks", beside_it))
    if listed is None:
        own = matrix_sides.parse_regions(raw.regions, str(path))
        listed = matrix_sides.PeakList(own, np.ones(len(own), dtype=bool))
    notes = [*raw.notes, *_contradictions(listed, raw, path, peaks, beside)]
    cells, table, names = _cells(path, cells, raw, label, beside)
    n_cells = len(names) if names is not None else len(table)
    matrix, turned = _fit(
        raw.matrix, len(listed.are_peaks), n_cells, path, peaks, dict(beside).get(BARCODES, cells)
    )
    if turned:
        notes.append(f"{path.name}: the matrix is cells x peaks: turned to peaks x cells")
    if not listed.are_peaks.all():
        matrix = matrix[listed.are_peaks]
    source = str(cells) if cells is not None else str(path)
    if names is None:
        notes.append(
            f"{source}: labels go by position, the first to the first cell of the matrix: it holds"
            " no cell names, and no barcodes.tsv is beside it"
        )
    if raw.cells is not None and len(set(raw.cells.tolist())) < len(raw.cells):
        notes.append(f"{path.name}: some cells have the name of another")
    given, lacking = matrix_sides.label_cells(table, names, label, source, missing)
    notes += _said_of_labels(table, label, source)
    if lacking.any():
        notes.append(
            f"{source}: {int(lacking.sum())} of {len(lacking)} cells have no {label}: dropped"
        )
        matrix = matrix[:, ~lacking]
    ids = names if names is not None else table.index.to_numpy(dtype=str)
    if matrix.nnz == 0:
        raise InputError("all counts are 0", where=str(path), expected="at least one count above 0")
    _check_values(matrix, listed.table, np.asarray(ids)[~lacking], path, notes, raw.layers)
    return Counts(
        matrix,
        listed.table,
        np.asarray(ids, dtype=str)[~lacking],
        given[~lacking].astype(str),
        notes,
        beside,
    )


def _contradictions(
    listed: matrix_sides.PeakList,
    raw: matrices.RawMatrix,
    path: Path,
    peaks: str | Path | None,
    beside: list[tuple[str, Path]],
) -> list[str]:
    """Refuse a peak list that the matrix's own names contradict: in the file, or in the
    features.tsv of 10x beside it.
    """
    if peaks is None:
        return []
    own, source, theirs = raw.regions, path, "the matrix's own names"
    if own is None:
        features = matrix_sides.find_beside(path, ("features.tsv",), "", "", required=False)
        if features is None or features.samefile(peaks):
            return []
        try:
            named = matrix_sides.read_regions(features)
        except InputError:
            return []  # no peaks: it was not asked for
        own, source, theirs = named.table, features, "the features beside the matrix"
        if not named.are_peaks.all():
            return []
    if not matrix_sides.are_regions(own) or len(own) != len(listed.table):
        return []
    own = matrix_sides.parse_regions(own, str(source))
    return matrix_sides.check_same_peaks(listed.table, own, str(peaks), str(source), theirs)


BARCODES = "counts_barcodes"


def _cells(
    path: Path,
    cells: str | Path | None,
    raw: matrices.RawMatrix,
    label: str,
    beside: list[tuple[str, Path]],
) -> tuple[str | Path | None, pd.DataFrame, NDArray[np.str_] | None]:
    """Find the cell table and the names of the matrix's cells: in the file, given, or beside it."""
    table, names = raw.metadata, raw.cells
    if cells is not None:
        table = matrix_sides.read_cells(cells)
    elif table is None or label not in table.columns:
        beside_it = matrix_sides.find_beside(
            path, matrix_sides.CELL_FILES, "cells", "--counts-cells", required=table is None
        )
        if beside_it is not None:
            cells, table = beside_it, matrix_sides.read_cells(beside_it)
            beside.append(("counts_cells", beside_it))
    assert table is not None
    if names is None and cells is not None:
        barcodes = matrix_sides.find_beside(
            path, matrix_sides.BARCODE_FILES, "cells", "--counts-cells", required=False
        )
        if barcodes is not None and not barcodes.samefile(cells):
            names = matrix_sides.read_cells(barcodes).index.to_numpy(dtype=str)
            beside.append((BARCODES, barcodes))
    return cells, table, names


def _said_of_labels(table: pd.DataFrame, label: str, source: str) -> list[str]:
    """Note labels that are told apart by nothing but blanks around them."""
    written = {str(name) for name in table[label].dropna().unique()}
    blank = sorted(name for name in written if name != name.strip())
    if not blank:
        return []
    return [f"{source}: blanks around {label} are left out ({few([repr(n) for n in blank])})"]


def _fit(
    matrix: sparse.csr_array,
    n_peaks: int,
    n_cells: int,
    path: Path,
    peaks: str | Path | None,
    cells: str | Path | None,
) -> tuple[sparse.csr_array, bool]:
    """Give the matrix as peaks x cells, or say which side does not fit."""
    if matrix.shape == (n_peaks, n_cells):
        return matrix, False
    if matrix.shape == (n_cells, n_peaks):
        return sparse.csr_array(matrix.T), True
    rows, columns = matrix.shape
    sides = (
        f"{n_peaks} peaks ({peaks or 'in the file'}) and {n_cells} cells ({cells or 'in the file'})"
    )
    if n_peaks in (rows, columns):
        what, do = (
            "the matrix and the cell list have different lengths",
            "Give the cell table of this matrix (one line a cell, with a header).",
        )
    elif n_cells in (rows, columns):
        what, do = (
            "the matrix and the peak list have different lengths",
            "Give the peak list this matrix was counted on, in its order.",
        )
    else:
        what, do = (
            "the matrix fits neither the peak list nor the cell list",
            "Give the peak list and cell table of this matrix, in its order.",
        )
    raise InputError(
        what, where=str(path), found=f"a matrix of {rows} x {columns}", expected=sides, do=do
    )


def _check_values(
    matrix: sparse.csr_array,
    regions: pd.DataFrame,
    cells: NDArray[np.str_],
    path: Path,
    notes: list[str],
    layers: tuple[str, ...],
) -> None:
    values = matrix.data
    wrong = ~np.isfinite(values) | (values < 0) if values.dtype.kind == "f" else values < 0
    if wrong.any():
        entry = int(wrong.argmax())
        row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
        column = int(matrix.indices[entry])
        value = values[entry]
        what = "a count is negative" if value < 0 else "a count is not a finite number"
        chrom, start, end = (regions[name].iloc[row] for name in ("chrom", "start", "end"))
        raise InputError(
            f"{what}; {int(wrong.sum())} of {len(values)} stored entries are",
            where=(
                f"{path}, peak {row + 1} ({chrom}:{start}-{end}), cell {column + 1}"
                f" ({cells[column]})"
            ),
            found=value,
            expected="raw counts, 0 or more",
            do="Give the raw counts, not normalised, centred or imputed ones"
            + (f": the file also holds --layer {', '.join(layers)}." if layers else "."),
        )
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        notes.append(
            f"{path.name}: some counts are not whole numbers (normalised?): used as they are"
            + (f"; the file also holds --layer {', '.join(layers)}" if layers else "")
        )


def pseudo_bulk(counts: Counts) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Sum the cells of each cell type.

    Parameters
    ----------
    counts : Counts

    Returns
    -------
    P : float64 array, shape (R, T)
        P[r, t] = sum of the counts of region r over the cells of type t.
    cell_types : tuple of str, length T
        In natural order (2 before 10).

    References
    ----------
    GeneBERT protocol, section 3.1.

    Examples
    --------
    >>> matrix = sparse.csr_array([[0, 2, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    >>> cells, labels = np.array(["1", "2", "3", "4"]), np.array(["X", "X", "Y", "Y"])
    >>> P, cell_types = pseudo_bulk(Counts(matrix, pd.DataFrame(), cells, labels))
    >>> P.astype(int).tolist(), cell_types
    ([[2, 1], [0, 1], [1, 0]], ('X', 'Y'))
    """
    cell_types = tuple(sorted({str(name) for name in counts.labels}, key=natural_key))
    number = {name: t for t, name in enumerate(cell_types)}
    column = np.array([number[str(name)] for name in counts.labels], dtype=np.int64)
    chosen = sparse.csr_array(
        (np.ones(len(column)), (np.arange(len(column)), column)),
        shape=(len(column), len(cell_types)),
    )
    return np.asarray((counts.matrix.astype(np.float64) @ chosen).todense()), cell_types


def accessible(
    P: NDArray[np.floating],
    min_count: float = 0,
    min_cpm: float | None = None,
    top_n: int | None = None,
) -> NDArray[np.bool_]:
    """Say which regions are accessible in which cell type; every rule given must hold.

    Parameters
    ----------
    P : float array, shape (R, T)
        Pseudo-bulk counts.
    min_count : float
        P must be above it; default 0, the paper's rule.
    min_cpm : float, optional
        Counts per million of the cell type must be above it.
    top_n : int, optional
        Only the n regions with most counts of each cell type; of equal ones the earlier region.

    Returns
    -------
    bool array, shape (R, T)

    Raises
    ------
    ValueError
        If a limit is negative or top_n below 1.

    Examples
    --------
    >>> P = np.array([[2, 1], [0, 1], [1, 0]])
    >>> accessible(P).astype(int).tolist()
    [[1, 1], [0, 1], [1, 0]]
    >>> accessible(P, min_cpm=4e5).astype(int).tolist()
    [[1, 1], [0, 1], [0, 0]]
    >>> accessible(P, top_n=1).astype(int).tolist()
    [[1, 1], [0, 0], [0, 0]]
    """
    if min_count < 0 or (min_cpm is not None and min_cpm < 0) or (top_n is not None and top_n < 1):
        raise ValueError(
            f"min_count and min_cpm must be at least 0 and top_n at least 1, not {min_count},"
            f" {min_cpm}, {top_n}"
        )
    P = np.asarray(P, dtype=np.float64)
    open_ = min_count < P
    if min_cpm is not None:
        total = np.maximum(P.sum(axis=0), np.finfo(np.float64).tiny)
        open_ &= P / total * 1e6 > min_cpm
    if top_n is not None:
        best = np.argsort(-P, axis=0, kind="stable")[:top_n]
        chosen = np.zeros(P.shape, dtype=bool)
        np.put_along_axis(chosen, best, True, axis=0)
        open_ &= chosen
    return open_

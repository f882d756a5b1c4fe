"""Count matrices as their programs write them: .h5ad, .mtx, .npz, R's .RDS.

Each reader gives the matrix (regions x cells where the format says which is
which) with whatever peak names, cell names and metadata came along.
Needs scipy; anndata for .h5ad and rdata (extra "r") for .RDS, imported on use.
"""

import io
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import io as scipy_io
from scipy import sparse

from epilm.errors import InputError
from epilm.genome.files import read_text
from epilm.genome.labels import parse_regions


@dataclass
class RawMatrix:
    """A matrix and what came along in its file.

    Attributes
    ----------
    matrix : csr_array
        Regions x cells, or as the file has it where it does not say.
    regions : list of str or DataFrame, optional
        Peak names, or a table of peaks.
    cells : str array, optional
    metadata : DataFrame, optional
        Index the cell name.
    notes : list of str
    """

    matrix: sparse.csr_array
    regions: Any = None
    cells: NDArray[np.str_] | None = None
    metadata: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)


def read(path: Path) -> RawMatrix:
    """Read a matrix; its format is told by the end of the name, else by the first bytes.

    Raises
    ------
    InputError
        If the format is unknown or the file damaged.
    """
    name = path.name.lower()
    with open(path, "rb") as handle:
        head = handle.read(64)
    if name.endswith((".h5ad", ".h5")) or head.startswith(b"\x89HDF"):
        return read_h5ad(path)
    if name.endswith((".mtx", ".mtx.gz")) or head.startswith(b"%%MatrixMarket"):
        return read_mtx(path)
    if name.endswith(".npz") or head.startswith(b"PK\x03\x04"):
        return read_npz(path)
    if name.endswith((".rds", ".rds.gz")):
        return read_rds(path)
    raise InputError(
        "wrong format",
        where=str(path),
        found=f"a file starting with {head[:12]!r}",
        expected="a peak x cell matrix named .h5ad, .mtx, .mtx.gz, .npz or .RDS",
        do="Convert it to .h5ad or .mtx.",
    )


def _damaged(path: Path, what: str, error: BaseException) -> InputError:
    reason = str(error).strip().split("\n")[0][:160] or type(error).__name__
    return InputError(
        f"this is no {what}, or it is cut or damaged",
        where=str(path),
        found=reason,
        expected=what,
        do="Check the format; copy or make the file again.",
    )


def read_h5ad(path: Path) -> RawMatrix:
    """Read an AnnData file: X is cells x peaks, obs the cell table, var the peaks."""
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = anndata.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise many kinds
        raise _damaged(path, "AnnData file (.h5ad)", error) from None
    if data.X is None:
        raise InputError(
            "the file holds no matrix X",
            where=str(path),
            found=f"layers {list(data.layers)}",
            expected="counts in X",
            do="Put the raw counts into X.",
        )
    matrix = sparse.csr_array(data.X.T) if sparse.issparse(data.X) else _dense(np.asarray(data.X).T)
    regions: Any = data.var
    cells, metadata, notes = data.obs_names.to_numpy(dtype=str), data.obs, []
    if not _are_regions(data.var) and _are_regions(data.obs):
        matrix, regions = sparse.csr_array(matrix.T), data.obs
        cells, metadata = data.var_names.to_numpy(dtype=str), data.var
        notes.append(f"{path.name}: peaks are in obs and cells in var: turned")
    return RawMatrix(matrix, regions, cells, metadata, notes)


def _are_regions(table: pd.DataFrame) -> bool:
    try:
        parse_regions(table.head(3), "")
    except InputError:
        return False
    return True


def _dense(values: NDArray[Any]) -> sparse.csr_array:
    if values.dtype.kind not in "iufb":
        raise InputError("the matrix holds no numbers", found=values.dtype, expected="counts")
    return sparse.csr_array(values)


def read_mtx(path: Path) -> RawMatrix:
    """Read a Matrix Market file, plain or gzip (1-based inside)."""
    text = read_text(path, "a Matrix Market file (.mtx)")
    if not text.startswith(b"%%MatrixMarket"):
        raise InputError(
            "wrong format",
            where=str(path),
            found=f"a first line {text[:40].splitlines()[0].decode('latin-1')!r}",
            expected="%%MatrixMarket matrix coordinate ...",
            do="Give the .mtx file of the matrix.",
        )
    try:
        matrix = scipy_io.mmread(io.BytesIO(text))
    except (ValueError, OverflowError, EOFError, IndexError) as error:
        raise _damaged(path, "Matrix Market file (.mtx)", error) from None
    return RawMatrix(
        sparse.csr_array(matrix) if sparse.issparse(matrix) else _dense(np.asarray(matrix))
    )


def read_npz(path: Path) -> RawMatrix:
    """Read a matrix written by `scipy.sparse.save_npz`."""
    try:
        matrix = sparse.load_npz(path)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, "sparse matrix of scipy.sparse.save_npz (.npz)", error) from None
    return RawMatrix(sparse.csr_array(matrix))


def read_rds(path: Path) -> RawMatrix:
    """Read an R object: a dgCMatrix, or the counts and cell table of a Seurat object.

    The active assay of a Seurat object is taken, or "peaks" or "ATAC" where the active one has no
    interval names.
    """
    try:
        import rdata
    except ImportError:
        raise InputError(
            "reading .RDS needs the package rdata",
            where=str(path),
            do=(
                "pip install 'epilm[r]', or write the matrix as .mtx in R: Matrix::writeMM(x,"
                " 'matrix.mtx')."
            ),
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = rdata.read_rds(path, default_encoding="utf-8")
    except Exception as error:  # parser errors of many kinds
        raise _damaged(path, "R object file (.RDS)", error) from None
    metadata = None
    notes: list[str] = []
    if hasattr(found, "assays"):
        metadata = getattr(found, "meta.data", None)
        found = _assay(found, path, notes)
    if isinstance(found, dict):
        found = next((value for value in found.values() if _is_sparse(value)), found)
    if not _is_sparse(found):
        raise InputError(
            "the R object holds no count matrix",
            where=str(path),
            found=_r_class(found),
            expected="a dgCMatrix, or a Seurat object with an assay of counts",
            do=(
                "In R: saveRDS(as(counts, 'dgCMatrix'), file), or Matrix::writeMM(counts,"
                " 'matrix.mtx')."
            ),
        )
    matrix = r_matrix(found, path)
    rows, columns = _dimnames(found)
    cells = np.asarray(columns, dtype=str) if columns is not None else None
    if metadata is not None:
        metadata = pd.DataFrame(metadata)
        metadata.index = metadata.index.map(str)
    return RawMatrix(matrix, rows, cells, metadata, notes)


def _is_sparse(value: Any) -> bool:
    return (
        hasattr(value, "x")
        and hasattr(value, "i")
        and hasattr(value, "p")
        and hasattr(value, "Dim")
    )


def _r_class(value: Any) -> str:
    name = getattr(value, "class", None)
    return (
        f"an object of class {np.ravel(name)[0]}"
        if name is not None
        else f"a {type(value).__name__}"
    )


def _assay(seurat: Any, path: Path, notes: list[str]) -> Any:
    assays = seurat.assays
    active = str(np.ravel(getattr(seurat, "active.assay", next(iter(assays), "")))[0])
    order = [name for name in (active, "peaks", "ATAC", *assays) if name in assays]
    best: tuple[str, Any] | None = None
    for name in order:
        assay = assays[name]
        layers = getattr(assay, "layers", None)  # Seurat 5
        counts: Any = (
            layers.get("counts") if isinstance(layers, dict) else getattr(assay, "counts", None)
        )
        if not _is_sparse(counts):
            continue
        rows, columns = _dimnames(counts)
        if rows is None and hasattr(
            assay, "features"
        ):  # Seurat 5 keeps the names beside the layers
            rows, columns = (
                _log_map_names(getattr(assay, side, None)) for side in ("features", "cells")
            )
            setattr(counts, "Dimnames", [rows, columns])  # noqa: B010 - a plain namespace
        best = best or (name, counts)
        if rows is not None and len(rows) and sum(c in ":-_" for c in str(rows[0])) >= 2:
            best = (name, counts)
            break
    if best is None:
        raise InputError(
            "no assay of the Seurat object holds counts",
            where=str(path),
            found=f"assays {', '.join(assays)}",
            expected="an assay with a counts matrix",
        )
    notes.append(f"{path.name}: counts of assay {best[0]!r}")
    return best[1]


def _log_map_names(value: Any) -> Any:
    coords = getattr(value, "dim_0", None)  # rdata gives R matrices as xarray
    return np.asarray(coords, dtype=str) if coords is not None else None


def _dimnames(value: Any) -> tuple[Any, Any]:
    names = getattr(value, "Dimnames", None)
    if names is None:
        return None, None
    names = list(names.values()) if isinstance(names, dict) else list(names)
    sides = [
        None if side is None or not len(side) else [str(name) for name in side] for side in names
    ]
    return (sides[0], sides[1]) if len(sides) == 2 else (None, None)


def r_matrix(value: Any, path: Path) -> sparse.csr_array:
    """Make a matrix of a dgCMatrix's slots: i 0-based rows, p column pointers, x values, Dim.

    Examples
    --------
    >>> from types import SimpleNamespace as S
    >>> slots = S(
    ...     Dim=np.array([3, 2]),
    ...     p=np.array([0, 2, 3]),
    ...     i=np.array([0, 2, 1]),
    ...     x=np.array([5.0, 7.0, 9.0]),
    ... )
    >>> r_matrix(slots, Path("a.RDS")).todense().astype(int).tolist()
    [[5, 0], [0, 9], [7, 0]]
    """
    rows, columns = (int(n) for n in value.Dim)
    i, p, x = (np.asarray(slot) for slot in (value.i, value.p, value.x))
    if (
        len(p) != columns + 1
        or len(i) != len(x)
        or p[-1] != len(i)
        or (len(i) and not 0 <= i.min() <= i.max() < rows)
    ):
        raise InputError(
            "the slots of the dgCMatrix do not fit",
            where=str(path),
            found=f"Dim {rows} x {columns}, {len(p)} pointers, {len(i)} rows, {len(x)} values",
            expected="columns + 1 pointers, as many rows as values",
        )
    return sparse.csr_array(sparse.csc_array((x, i, p), shape=(rows, columns)))

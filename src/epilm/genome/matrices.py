"""Count matrices as their programs write them: .h5ad, .h5 of 10x, .mtx, .npz, R's .RDS.

Each reader gives the matrix (regions x cells where the format says which is
which) with whatever peak names, cell names and metadata came along.
Needs scipy; anndata for .h5ad and rdata (extra "r") for .RDS, imported on use.
"""

import io
import re
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

from epilm.errors import InputError, nearest
from epilm.genome.files import check_file, is_gzip, read_chunks, read_text
from epilm.genome.hdf5_walk import check_hdf5
from epilm.genome.limits import check_sides, check_unpacked
from epilm.genome.matrix_sides import are_regions, other_features, peak_features


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
    layers : tuple of str
        Further matrices of the file, which `layer` would give.
    """

    matrix: sparse.csr_array
    regions: Any = None
    cells: NDArray[np.str_] | None = None
    metadata: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)
    layers: tuple[str, ...] = ()


def read(path: Path, layer: str | None = None, n_peaks: int | None = None) -> RawMatrix:
    """Read a matrix; its format is told by the end of the name, else by the first bytes.

    Parameters
    ----------
    path : path
    layer : str, optional
        Of an .h5ad file: the layer that holds the counts, or "raw".
    n_peaks : int, optional
        How many peaks it should have, where a list of them is given: says which side they are.

    Raises
    ------
    InputError
        If the format is unknown or the file damaged, or `layer` is given for another format.
    """
    name = path.name.lower()
    with open(path, "rb") as handle:
        head = handle.read(64)
    is_hdf5 = name.endswith((".h5ad", ".h5")) or head.startswith(b"\x89HDF")
    if is_hdf5:
        check_hdf5(path)
    of_10x = is_hdf5 and _is_10x(path)
    if layer is not None and (of_10x or not is_hdf5):
        raise InputError(
            "only AnnData files (.h5ad) have layers",
            where=str(path),
            found=f"--layer {layer}",
            do="Leave --layer out; the file holds one matrix.",
        )
    if of_10x:
        return read_10x(path)
    if is_hdf5:
        return read_h5ad(path, layer, n_peaks)
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
        expected="a peak x cell matrix named .h5ad, .h5 (10x), .mtx, .mtx.gz, .npz or .RDS",
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


def _sound(matrix: Any) -> Any:
    """Give a matrix back whose pointers rise and whose indices lie inside: scipy takes them on
    trust and would write past its memory.

    Raises
    ------
    ValueError
    """
    if getattr(matrix, "format", None) in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)
        # scipy looks at the pointers only where the last of them says that there are values.
        if (matrix.indptr[1:] < matrix.indptr[:-1]).any():
            raise ValueError("index pointers fall")
    return matrix


# What the group `matrix` of Cell Ranger's HDF5 files holds.
IN_10X = ("shape", "data", "indices", "indptr", "barcodes", "features/id", "features/feature_type")


def _is_10x(path: Path) -> bool:
    import h5py

    try:
        with h5py.File(path, "r") as handle:
            return "matrix" in handle and "X" not in handle
    except Exception:  # h5py raises many kinds; whoever reads the file says what is wrong with it
        return False


def read_10x(path: Path) -> RawMatrix:
    """Read the HDF5 matrix of Cell Ranger (filtered_peak_bc_matrix.h5, or of a multiome run).

    Features that are no peaks are left out and counted.
    """
    import h5py

    what = "10x matrix (.h5)"
    try:
        with h5py.File(path, "r") as handle:
            group = handle["matrix"]
            lacking = [name for name in IN_10X if name not in group]
            if lacking:
                raise ValueError(f"no matrix/{', no matrix/'.join(lacking)}")
            shape = tuple(int(n) for n in group["shape"][:])
            check_sides(path, *shape)
            barcodes, names, kinds = (
                group[name].asstr()[:]
                for name in ("barcodes", "features/id", "features/feature_type")
            )
            columns = (group["data"][:], group["indices"][:], group["indptr"][:])
        matrix = sparse.csr_array(_sound(sparse.csc_array(columns, shape=shape)))
        if shape != (len(names), len(barcodes)) or len(kinds) != len(names):
            raise ValueError(f"{shape} with {len(names)} features and {len(barcodes)} barcodes")
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        RuntimeError,
        MemoryError,
        OverflowError,
    ) as error:
        raise _damaged(path, what, error) from None
    are = peak_features(kinds, str(path))
    return RawMatrix(
        matrix if are.all() else matrix[are],
        [str(name) for name in names[are]],
        barcodes.astype(str),
        None,
        other_features(kinds, are, path.name),
    )


def read_h5ad(path: Path, layer: str | None = None, n_peaks: int | None = None) -> RawMatrix:
    """Read an AnnData file: X (or a layer, or raw) is cells x peaks, obs the cell table, var the
    peaks.

    Which side the peaks are is told by names and columns, and by `n_peaks`; features that are no
    peaks (`feature_types`) are left out and counted.
    """
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = anndata.read_h5ad(path)
    except InputError:
        raise
    except Exception as error:  # h5py and anndata raise many kinds
        raise _damaged(path, "AnnData file (.h5ad)", error) from None
    layers = (*map(str, data.layers), *(["raw"] if data.raw is not None else []))
    values, var, obs, notes = _layer(data, layer, layers, path), data.var, data.obs, []
    try:
        values = _sound(values)
    except ValueError as error:
        raise _damaged(path, "AnnData file (.h5ad)", error) from None
    if layer == "raw" and "raw" not in data.layers:
        var = data.raw.var
    if layer is not None:
        notes.append(f"{path.name}: counts of {'raw' if layer == 'raw' else f'layer {layer!r}'}")
    matrix = sparse.csr_array(values.T) if sparse.issparse(values) else _dense(np.asarray(values).T)
    if _turned(var, obs, n_peaks):
        matrix, var, obs = sparse.csr_array(matrix.T), obs, var
        notes.append(f"{path.name}: peaks are in obs and cells in var: turned")
    kinds = next((var[name] for name in ("feature_types", "feature_type") if name in var), None)
    if kinds is not None:
        are = peak_features(kinds.tolist(), str(path))
        notes += other_features(kinds.tolist(), are, path.name)
        matrix, var = (matrix, var) if are.all() else (matrix[are], var[are])
    cells = obs.index.to_numpy(dtype=str)
    return RawMatrix(matrix, var, cells, obs, notes, tuple(n for n in layers if n != layer))


def _layer(data: Any, layer: str | None, layers: tuple[str, ...], path: Path) -> Any:
    """The matrix asked for, cells x peaks."""
    if layer is not None and layer not in layers:
        raise InputError(
            "the file holds no such layer",
            where=str(path),
            found=layer,
            do=(
                f"--layer: {nearest(layer, layers)}."
                if layers
                else "It has X alone: leave --layer out."
            ),
        )
    if layer in data.layers:
        return data.layers[layer]
    if layer is not None:
        return data.raw.X
    if data.X is None:
        raise InputError(
            "the file holds no matrix X",
            where=str(path),
            found=f"layers {', '.join(layers)}" if layers else "no layer",
            expected="counts in X, or in a layer named with --layer",
            do=f"Give --layer {layers[0]}." if layers else "Put the raw counts into X.",
        )
    return data.X


def _turned(var: pd.DataFrame, obs: pd.DataFrame, n_peaks: int | None) -> bool:
    """Whether the peaks are in obs: by how many there should be, else by names and columns."""
    if n_peaks is not None and len(var) != len(obs) and n_peaks in (len(var), len(obs)):
        return n_peaks == len(obs)
    return not are_regions(var) and are_regions(obs)


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
    # scipy reads on past the end where letters follow the last number of a file without a line end.
    text = text if text.endswith(b"\n") else text + b"\n"
    _check_mtx(text, path)
    try:
        matrix = scipy_io.mmread(io.BytesIO(text))
    except (ValueError, OverflowError, EOFError, IndexError, MemoryError) as error:
        raise _damaged(path, "Matrix Market file (.mtx)", error) from None
    return RawMatrix(
        sparse.csr_array(matrix) if sparse.issparse(matrix) else _dense(np.asarray(matrix))
    )


_IN_NUMBERS = b"0123456789+-.eE \t\n" + b"nNaAiIfFtTyY"  # and nan, infinity
_MTX_SIZES = re.compile(rb"\A%%MatrixMarket[^\n]*\n(?:%[^\n]*\n|[ \t]*\n)*([^\n]*)")


def _check_mtx(text: bytes, path: Path) -> None:
    """Refuse a header that claims more than its file can hold: all of it would be made room for."""
    line = _MTX_SIZES.match(text)
    words = line[1].split() if line else []
    if not all(word.isdigit() for word in words):
        return  # the reader says what is wrong with it
    numbers = [int(word) for word in words]
    check_sides(path, *numbers[:2])
    values = int(np.prod(numbers, dtype=object)) if len(numbers) == 2 else sum(numbers[2:3])
    if values > len(text):
        raise InputError(
            "the header claims more values than the file can hold",
            where=str(path),
            found=f"{values:,} values in {len(text):,} bytes",
            do="The file is cut or damaged: copy or make it again.",
        )
    if line and (other := text[line.end() :].translate(None, _IN_NUMBERS)):
        raise InputError(
            "the file holds more than numbers",
            where=str(path),
            found=repr(other[:20]),
            expected="row, column and value in each line",
            do="The file is damaged: copy or make it again.",
        )


def read_npz(path: Path) -> RawMatrix:
    """Read a matrix written by `scipy.sparse.save_npz`."""
    try:
        with zipfile.ZipFile(path) as packed:
            check_unpacked(path, sum(entry.file_size for entry in packed.infolist()))
            if "shape.npy" in packed.namelist():
                with packed.open("shape.npy") as handle:
                    sides = np.lib.format.read_array(handle, allow_pickle=False)
                check_sides(path, *np.ravel(sides)[:8].astype(np.int64).tolist())
        matrix = _sound(sparse.load_npz(path))
    except InputError:
        raise
    except Exception as error:  # zip, zlib, numpy and scipy raise many kinds
        raise _damaged(path, "sparse matrix of scipy.sparse.save_npz (.npz)", error) from None
    return RawMatrix(sparse.csr_array(matrix))


def read_rds(path: Path) -> RawMatrix:
    """Read an R object: a sparse matrix of package Matrix (dgCMatrix, dgTMatrix, ...), or the
    counts and cell table of a Seurat object.

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
    check_file(path, "an R object (.RDS)")
    for _ in read_chunks(path, "an R object (.RDS)") if is_gzip(path) else ():
        pass  # says where it unpacks to too much
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = rdata.read_rds(
                path, default_encoding="utf-8", altrep_constructor_dict=_bounded_sequences(path)
            )
    except InputError:
        raise
    except Exception as error:  # parser errors of many kinds
        raise _damaged(path, "R object file (.RDS)", error) from None
    try:
        return _counts_of_r(content, path)
    except InputError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:  # not what R makes
        raise _damaged(path, "R object file (.RDS)", error) from None


def _bounded_sequences(path: Path) -> dict[bytes, Any]:
    """How rdata makes what R keeps short: of 1:1000000000 a file has the two ends alone."""
    from rdata.parser import DEFAULT_ALTREP_MAP

    total = 0

    def bounded(make: Any) -> Any:
        def sequence(state: Any) -> Any:
            nonlocal total
            total += 8 * max(int(state.value[0]), 0)
            check_unpacked(path, total)
            return make(state)

        return sequence

    made: dict[bytes, Any] = dict(DEFAULT_ALTREP_MAP)
    for name in (b"compact_intseq", b"compact_realseq"):
        made[name] = bounded(made[name])
    return made


def _counts_of_r(content: Any, path: Path) -> RawMatrix:
    metadata = None
    notes: list[str] = []
    if hasattr(content, "assays"):
        metadata = getattr(content, "meta.data", None)
        content = _assay(content, path, notes)
    if isinstance(content, dict):
        content = next((value for value in content.values() if _is_sparse(value)), content)
    if not _is_sparse(content):
        raise InputError(
            "the R object holds no count matrix",
            where=str(path),
            found=_r_class(content),
            expected="a dgCMatrix or dgTMatrix, or a Seurat object with an assay of counts",
            do=(
                "In R: saveRDS(as(counts, 'dgCMatrix'), file), or Matrix::writeMM(counts,"
                " 'matrix.mtx')."
            ),
        )
    matrix = r_matrix(content, path)
    rows, columns = _dimnames(content)
    cells = np.asarray(columns, dtype=str) if columns is not None else None
    if metadata is not None:
        metadata = pd.DataFrame(metadata)
        metadata.index = metadata.index.map(str)
    return RawMatrix(matrix, rows, cells, metadata, notes)


def _is_sparse(value: Any) -> bool:
    """Slots of a general sparse matrix: two of i, j, p; one of pattern alone has no x."""
    return hasattr(value, "Dim") and sum(hasattr(value, slot) for slot in ("i", "j", "p")) == 2


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
        if are_regions(rows):
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
    """Make a matrix of the slots of R's package Matrix.

    Of a dgCMatrix: i 0-based rows, p column pointers, x values, Dim; of a dgTMatrix rows i and
    columns j (an entry named twice is their sum, as in R); of a dgRMatrix j and row pointers p.
    Without x every entry is 1.

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
    check_sides(path, rows, columns)
    i, j, p = (
        np.asarray(getattr(value, slot), dtype=np.int64) if hasattr(value, slot) else None
        for slot in ("i", "j", "p")
    )
    x = _r_values(value, len(i if i is not None else j if j is not None else ()))
    across = columns if j is None else rows  # what the pointers step over
    fits = all(
        index is None
        or (len(index) == len(x) and (not len(index) or 0 <= index.min() <= index.max() < size))
        for index, size in ((i, rows), (j, columns))
    ) and (
        p is None
        or (len(p) == across + 1 and p[0] == 0 and p[-1] == len(x) and (np.diff(p) >= 0).all())
    )
    if not fits:
        raise InputError(
            f"the slots of the {_r_class(value).removeprefix('an object of class ')} do not fit",
            where=str(path),
            found=f"Dim {rows} x {columns}, {0 if p is None else len(p)} pointers, {len(x)} values",
            expected="one pointer more than columns (dgRMatrix: rows), an index for each value",
        )
    if p is None:
        return sparse.csr_array(sparse.coo_array((x, (i, j)), shape=(rows, columns)))
    if j is None:
        return sparse.csr_array(sparse.csc_array((x, i, p), shape=(rows, columns)))
    return sparse.csr_array((x, j, p), shape=(rows, columns))


def _r_values(value: Any, n: int) -> NDArray[Any]:
    """The slot x; R's own logical and missing values arrive masked, and count as NaN."""
    if not hasattr(value, "x"):
        return np.ones(n)
    x = np.ma.asarray(value.x)
    return np.asarray(np.ma.filled(x.astype(np.float64), np.nan) if x.dtype.kind in "bO" else x)

"""Vectors read back from what `epilm embed` wrote: .h5ad, .parquet, or .npy with its .obs.tsv.

What each vector is of is read whole; of the vectors only rows that are asked for. Axes: N vectors,
H numbers each.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.hdf5_walk import check_hdf5

Rows = NDArray[np.int64]
COUNTS = ("start", "end", "pieces", "cells")  # columns of whole numbers


@dataclass(frozen=True)
class KeptVectors:
    """A file of vectors.

    Attributes
    ----------
    path : Path
    columns : dict of str to array (N,)
        What each vector is of: name, chrom, start, end, pieces; of a store cell_type and cells.
    about : dict
        What `embed` wrote of itself (`Embedding.about`); empty for .npy.
    width : int
        H.
    """

    path: Path
    columns: dict[str, NDArray[Any]]
    about: dict[str, Any]
    width: int

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: Rows) -> NDArray[np.float32]:
        """Read the vectors of rows that rise: float32 (n, H)."""
        if self.path.suffix == ".npy":
            return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[rows])
        return (_h5ad_rows if self.path.suffix == ".h5ad" else _parquet_rows)(self.path, rows)


def is_vectors(path: Path) -> bool:
    """Say whether a file is one that `epilm embed` wrote.

    Examples
    --------
    >>> is_vectors(Path("nowhere.h5ad"))
    False
    """
    if not path.is_file():
        return False
    if path.suffix == ".npy":
        return path.with_suffix(".obs.tsv").is_file()
    try:
        if path.suffix == ".h5ad":
            import h5py

            check_hdf5(path)
            with h5py.File(path) as opened:
                return "X" in opened and "epilm" in opened.get("uns", {})
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return b"epilm" in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError):  # no such file inside, whatever its name
        return False
    return False


def vectors_in(folder: Path) -> Path | None:
    """Find the file of vectors in a folder; None where there is none.

    Raises
    ------
    InputError
        If there are several.
    """
    files = [path for path in sorted(folder.iterdir()) if is_vectors(path)]
    if len(files) > 1:
        raise InputError(
            "the folder holds several files of vectors",
            where=str(folder),
            found=", ".join(path.name for path in files[:6]),
            do=f"Name one: epilm report {files[0]}.",
        )
    return files[0] if files else None


def open_vectors(path: Path) -> KeptVectors:
    """Open a file of vectors that `epilm embed` wrote (`is_vectors`).

    Raises
    ------
    InputError
        If names and vectors do not go together.
    """
    if path.suffix == ".h5ad":
        return _open_h5ad(path)
    if path.suffix == ".parquet":
        return _open_parquet(path)
    shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    table = path.with_suffix(".obs.tsv")
    with open(table, encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    if len(shape) != 2 or len(rows) != shape[0]:
        raise InputError(
            "the vectors and what they are of do not go together",
            where=str(path),
            found=f"an array of {' x '.join(map(str, shape))}",
            expected=f"{len(rows)} rows, as {table.name} has",
            do="Embed again.",
        )
    columns = dict(zip(header, map(list, zip(*rows))))
    return KeptVectors(path, _typed(columns), {}, int(shape[1]))


def _typed(columns: dict[str, list[Any]]) -> dict[str, NDArray[Any]]:
    """Counts as numbers, all else as text."""
    return {
        name: np.array(values, np.int64) if name in COUNTS else np.array(values, np.str_)
        for name, values in columns.items()
    }


def _open_h5ad(path: Path) -> KeptVectors:
    import anndata

    table = anndata.read_h5ad(path, backed="r")
    try:
        columns = {name: table.obs[name].tolist() for name in table.obs.columns}
        about = json.loads(str(table.uns["epilm"]))
        return KeptVectors(path, _typed(columns), about, int(table.n_vars))
    finally:
        table.file.close()


def _h5ad_rows(path: Path, rows: Rows) -> NDArray[np.float32]:
    import h5py

    with h5py.File(path) as opened:
        return np.asarray(opened["X"][rows], np.float32)


def _open_parquet(path: Path) -> KeptVectors:
    import pyarrow.parquet as pq

    names = pq.read_schema(path)
    numbers = [name for name in names.names if _is_number_column(name)]
    columns = pq.read_table(path, columns=[n for n in names.names if n not in numbers])
    about = json.loads(names.metadata[b"epilm"])
    return KeptVectors(path, _typed(columns.to_pydict()), about, len(numbers))


def _is_number_column(name: str) -> bool:
    """Say whether a column of a Parquet file is one of the vectors' numbers.

    Examples
    --------
    >>> [_is_number_column(name) for name in ("e0", "e12", "end", "name")]
    [True, True, False, False]
    """
    return name.startswith("e") and name[1:].isdecimal()


def _parquet_rows(path: Path, rows: Rows) -> NDArray[np.float32]:
    """A piece of the file in memory at a time."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    names = [name for name in file.schema_arrow.names if _is_number_column(name)]
    parts, begin = [np.empty((0, len(names)), np.float32)], 0
    for group in range(file.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        here = rows[(rows >= begin) & (rows < end)] - begin
        if len(here):
            table = file.read_row_group(group, columns=names)
            parts.append(np.stack([table[name].to_numpy()[here] for name in names], 1))
        begin = end
    return np.concatenate(parts)

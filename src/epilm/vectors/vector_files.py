"""Vectors on disk as they come, and the file a user asked for: .h5ad, .parquet or .npy.

Vectors are kept in a nameless file beside the result until all are there, so memory does not grow
with their number. Axes: N vectors, H numbers each.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.errors import UsageError

ENDINGS = (".h5ad", ".parquet", ".npy")
_ROWS = 1 << 16  # of a piece of a Parquet file


def check_ending(out: str | Path) -> None:
    """Refuse a name that says no format.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_ending("vectors.csv")
    Traceback (most recent call last):
    epilm.errors.UsageError: --out: no format of vectors ends so. Found 'vectors.csv'; expected a
    name that ends in .h5ad, .parquet, .npy.
    """
    if Path(out).suffix not in ENDINGS:
        raise UsageError(
            "no format of vectors ends so",
            where="--out",
            found=repr(str(out)),
            expected=f"a name that ends in {', '.join(ENDINGS)}",
        )
    if Path(out).suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UsageError(
                "writing Parquet needs pyarrow",
                where=str(out),
                do="pip install pyarrow, or write .h5ad.",
            ) from None


class Spool:
    """Vectors in the order they come; on disk where a folder is given.

    Examples
    --------
    >>> with Spool(None) as spool:
    ...     spool.add(np.ones((2, 3), np.float32))
    ...     spool.add(np.zeros((1, 3), np.float32))
    ...     spool.vectors().shape
    (3, 3)
    """

    def __init__(self, folder: Path | None) -> None:
        self._file: Any = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._parts: list[NDArray[np.float32]] = []
        self.count = self.width = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Put vectors (n, H) behind the others."""
        self.count, self.width = self.count + len(vectors), vectors.shape[1]
        if self._file is None:
            self._parts.append(vectors)
        else:
            self._file.write(np.ascontiguousarray(vectors, np.float32).tobytes())

    def vectors(self) -> NDArray[np.float32]:
        """All of them, (N, H); a memory map where they are on disk."""
        if self._file is None:
            return np.concatenate(self._parts)
        self._file.flush()
        mapped = np.memmap(self._file, np.float32, "r", shape=(self.count, self.width))
        return np.asarray(mapped)  # the same bytes; anndata writes plain arrays alone


def write_vectors(
    out: Path,
    vectors: NDArray[np.float32],
    columns: Mapping[str, Sequence[Any]],
    about: Mapping[str, Any],
) -> list[Path]:
    """Write vectors with what each is a vector of; whole or not at all.

    Parameters
    ----------
    out : path
        .h5ad: X, obs, var and uns of an AnnData; .parquet: the columns, then e0, e1, ...; .npy: the
        vectors alone, with the columns in OUT.obs.tsv beside.
    columns : mapping of str to sequence of length N
    about : mapping
        JSON values: model, pool, notes.

    Returns
    -------
    list of Path
        Files written.
    """
    wants = vectors.nbytes
    if out.suffix == ".h5ad":
        _write_h5ad(out, vectors, columns, about, wants)
        return [out]
    if out.suffix == ".parquet":
        _write_parquet(out, vectors, columns, about, wants)
        return [out]
    table = out.with_suffix(".obs.tsv")
    with (  # both or none
        atomic_file(table) as beside,
        open(beside, "w", encoding="utf-8") as lines,
        atomic_file(out, wants=wants) as new,
        open(new, "wb") as raw,
    ):
        lines.write("\t".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            lines.write("\t".join(map(str, row)) + "\n")
        lines.flush()  # nothing may fail between the two renames
        header = {"descr": "<f4", "fortran_order": False, "shape": vectors.shape}
        np.lib.format.write_array_header_1_0(raw, header)
        for at in range(0, len(vectors), _ROWS):
            raw.write(np.ascontiguousarray(vectors[at : at + _ROWS]).tobytes())
    return [out, table]


def _write_h5ad(
    out: Path,
    vectors: NDArray[np.float32],
    columns: Mapping[str, Sequence[Any]],
    about: Mapping[str, Any],
    wants: int,
) -> None:
    import json

    import pandas as pd
    from anndata import AnnData

    obs = pd.DataFrame(dict(columns), index=[str(n) for n in range(len(vectors))])
    for name in obs.select_dtypes("object").columns:
        obs[name] = pd.Categorical(obs[name].astype(str))  # a name repeats in millions of rows
    var = pd.DataFrame(index=[f"e{n}" for n in range(vectors.shape[1])])
    table = AnnData(vectors, obs=obs, var=var, uns={"epilm": json.dumps(dict(about))})
    with atomic_file(out, wants=wants) as new:
        table.write_h5ad(new)


def _write_parquet(
    out: Path,
    vectors: NDArray[np.float32],
    columns: Mapping[str, Sequence[Any]],
    about: Mapping[str, Any],
    wants: int,
) -> None:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_file(out, wants=wants) as new:
        writer = None
        try:
            for at in range(0, len(vectors), _ROWS):
                here = slice(at, at + _ROWS)
                named = {name: list(values[here]) for name, values in columns.items()}
                numbers = {
                    f"e{n}": np.ascontiguousarray(vectors[here, n]) for n in range(vectors.shape[1])
                }
                table = pa.table(named | numbers)
                table = table.replace_schema_metadata({"epilm": json.dumps(dict(about))})
                writer = writer or pq.ParquetWriter(new, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()

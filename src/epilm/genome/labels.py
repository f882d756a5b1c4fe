"""The two sides of a count matrix: which interval a row is, which cell type a column.

Peak lists come as BED or as names (chr1:5-9, chr1-5-9, chr1_5_9); cell tables
as text with a header. Coordinates in names are read as BED's (0-based).
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError, nearest
from epilm.genome.files import read_text
from epilm.genome.peaks import read_peaks

PEAK_FILES = ("peaks.bed", "peaks.tsv", "peaks.txt", "regions.bed", "regions.tsv", "features.tsv")
CELL_FILES = (
    "cells.tsv",
    "cells.csv",
    "metadata.tsv",
    "metadata.csv",
    "cell_metadata.tsv",
    "barcodes.tsv",
)
_NAME = r"^(?P<chrom>.+?)[:_-](?P<start>[0-9]+)[_-](?P<end>[0-9]+)$"
_CHROM = ("chrom", "chr", "seqnames", "seqname", "chromosome")
_START = ("start", "chromStart", "chromstart", "peak_start")
_END = ("end", "chromEnd", "chromend", "peak_end", "stop")
_CELL = ("cell", "cells", "barcode", "barcodes", "cell_id", "cell_barcode", "index")


def find_beside(
    path: Path, names: Sequence[str], what: str, option: str, required: bool = True
) -> Path | None:
    """Find a file of one of these names (or .gz) in the folder of a matrix.

    Raises
    ------
    InputError
        If there is none and it is required.
    """
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    for name in names:
        for candidate in (f"{stem}.{name}", f"{stem}_{name}", name):
            for ending in ("", ".gz"):
                if (path.parent / (candidate + ending)).is_file():
                    return path.parent / (candidate + ending)
    if required:
        raise InputError(
            f"the matrix holds no {what} and none are given",
            where=str(path),
            expected=f"a file of {what}, or one beside it named {', '.join(names[:3])}",
            do=f"Give it with {option}.",
        )
    return None


def parse_regions(names: pd.DataFrame | Sequence[str], where: str) -> pd.DataFrame:
    """Turn peak names, or a table with coordinate columns, into an interval table.

    Parameters
    ----------
    names : sequence of str, or DataFrame
        Names like chr1:5-9; or a table with chrom, start, end columns (else its index holds the
        names).
    where : str
        File, for messages.

    Returns
    -------
    DataFrame
        chrom, start, end.

    Raises
    ------
    InputError
        For the first name that is no interval.

    Examples
    --------
    >>> parse_regions(["chr1:5-9", "chr1-5-9", "GL000192.1_5_9"], "a.h5ad")
            chrom  start  end
    0        chr1      5    9
    1        chr1      5    9
    2  GL000192.1      5    9
    """
    if isinstance(names, pd.DataFrame):
        columns = [
            next((c for c in known if c in names.columns), None) for known in (_CHROM, _START, _END)
        ]
        if all(columns):
            table = names[columns].reset_index(drop=True)
            table.columns = pd.Index(["chrom", "start", "end"])
            table["chrom"] = table["chrom"].astype(str).astype(object)
            table.attrs = {"source": where}
            return table
        names = [str(name) for name in names.index]
    series = pd.Series([str(name) for name in names], dtype=object)
    parts = series.str.extract(_NAME)
    wrong = parts["start"].isna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"a peak name is no interval; {int(wrong.sum())} of {len(series)} are none",
            where=f"{where}, peak {row + 1}",
            found=repr(series[row]),
            expected=(
                "chr1:5-9, chr1-5-9 or chr1_5_9 (0-based, half-open), or columns chrom, start, end"
            ),
            do="Give the peak list as a BED file (--counts-peaks).",
        )
    table = pd.DataFrame(
        {
            "chrom": parts["chrom"].astype(object),
            "start": parts["start"].astype(np.int64),
            "end": parts["end"].astype(np.int64),
        }
    )
    table.attrs = {"source": where}
    return table


def read_regions(path: str | Path) -> pd.DataFrame:
    """Read the peak list of a matrix: BED, or a first column of names (10x features).

    Raises
    ------
    InputError
        If the file cannot be read, or a line is no interval.
    """
    lines = (
        read_text(path, "a peak list: BED or one name a line")
        .decode("utf-8", "replace")
        .split("\n")
    )
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "").split(
        "\t"
    )
    if len(first) >= 3 and first[1].strip().isdigit() and first[2].strip().isdigit():
        table = read_peaks(path, format="bed")[["chrom", "start", "end"]]
        return table
    header = [name.strip().lower() for name in first]
    names = [line for line in lines if line.strip() and not line.startswith("#")]
    if len(header) >= 3 and header[0] in _CHROM and header[1] in map(str.lower, _START):
        body = pd.DataFrame(
            [line.split("\t")[:3] for line in names[1:]], columns=["chrom", "start", "end"]
        )
        return parse_regions(
            (body["chrom"] + ":" + body["start"] + "-" + body["end"]).tolist(), str(path)
        )
    names = [line.split("\t")[0].strip() for line in names]
    if len(names) > 1 and not re.match(_NAME, names[0]) and re.match(_NAME, names[1]):
        names = names[1:]  # a column header
    return parse_regions(names, str(path))


def read_cells(path: str | Path) -> pd.DataFrame:
    """Read a cell table; its index is the cell name.

    Parameters
    ----------
    path : path
        Tab- or comma-separated with a header (R's missing name of the first column is understood),
        or one cell name a line without one. Plain or gzip.

    Returns
    -------
    DataFrame
        One row a cell, all columns str ("" and "NA" are missing).

    Raises
    ------
    InputError
        If the file cannot be read, a line has too many fields, or two lines name the same cell.
    """
    text = read_text(path, "a cell table with a header").decode("utf-8", "replace")
    first = text.split("\n", 1)[0]
    head = "\n".join(
        text.split("\n", 2)[:2]
    )  # R's header may be one name short, so without a separator
    separator = "\t" if "\t" in head or "," not in head else ","
    alone = separator not in head
    headed = first.strip().strip('"').lower() in _CELL
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            header=None if alone and not headed else 0,
            keep_default_na=False,
            na_values=["", "NA", "NaN", "nan", "None"],
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            "the cell table cannot be read",
            where=str(path),
            found=str(error).strip(),
            expected="the same number of columns in every line",
        ) from None
    if not isinstance(table.index, pd.RangeIndex):
        pass  # R writes one name less than columns: pandas made the first column the index
    else:
        table.columns = table.columns.map(str)
        key: Any = next((c for c in table.columns if c.lower() in _CELL), table.columns[0])
        values = table.pop(key)
        if key not in _CELL and not alone and values.duplicated().any() and not values.isna().any():
            table[key] = values  # no column of cell names: cells by position
            table.index = pd.Index([f"cell{i + 1}" for i in range(len(table))])
            return table
        table.index = pd.Index(values)
    table.index = table.index.map(str)
    twice = table.index.duplicated()
    if twice.any():
        row = int(twice.argmax())
        raise InputError(
            "a cell is named twice",
            where=f"{path}, cell {row + 1}",
            found=table.index[row],
            expected="every cell once",
            do="Make the names unique, for example by sample.",
        )
    return table


def label_cells(
    table: pd.DataFrame,
    cells: NDArray[np.str_] | None,
    label: str,
    where: str,
    missing: Literal["error", "drop"],
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Find the label of each cell.

    Parameters
    ----------
    table : DataFrame
        Cell table, index the cell name.
    cells : str array, shape (C,), optional
        Cell names of the matrix; without them the table is in the matrix's order.
    label : str
        Column.
    where : str
        File, for messages.
    missing : {"error", "drop"}

    Returns
    -------
    labels : object array, shape (C,)
    lacking : bool array, shape (C,)
        Cells without a label; all False with missing="error".

    Raises
    ------
    InputError
        If there is no such column, or cells lack a label and `missing` is "error".
    """
    if missing not in ("error", "drop"):
        raise ValueError(f"missing must be 'error' or 'drop', not {missing!r}")
    if label not in table.columns:
        raise InputError(
            "the cell table has no such column",
            where=where,
            found=f"no column {label!r}",
            do=(
                "Name the column that holds the cell types with --label."
                f" {nearest(label, map(str, table.columns))}"
                if len(table.columns)
                else "Give a cell table, with a cell type a cell, with --counts-cells."
            ),
        )
    column = table[label]
    if cells is not None:
        column = column.reindex(pd.Index(cells.astype(str)))
    lacking = (
        column.isna().to_numpy() | column.astype(str).str.strip().isin(["", "nan", "NA"]).to_numpy()
    )
    names = column.index.to_numpy()
    if lacking.all() and len(column):
        raise InputError(
            f"no cell of the matrix has a {label}",
            where=where,
            found=f"cells like {names[0]}",
            expected=f"names as in the cell table, like {table.index[0]}",
            do="The names differ, or the column is empty: look for a sample prefix or a -1 suffix.",
        )
    if lacking.any() and missing == "error":
        row = int(lacking.argmax())
        raise InputError(
            f"{int(lacking.sum())} of {len(column)} cells have no {label}",
            where=where,
            found=f"cell {row + 1} ({names[row]}) without one",
            expected="a cell type for every cell",
            do=(
                "Complete the table, or leave these cells out with missing='drop' (--unlabelled"
                " drop)."
            ),
        )
    return column.to_numpy(dtype=object), lacking

"""The two sides of a count matrix: which interval a row is, which cell type a column.

Peak lists come as BED, as names (chr1:5-9, chr1-5-9, chr1_5_9), as features.tsv of 10x or as a
table of R or MACS; cell tables as text with a header. Coordinates in names are read as BED's
(0-based).
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError, nearest
from epilm.genome.checks import CORE, show, whole_numbers
from epilm.genome.files import data_lines, read_text
from epilm.genome.headed import counts_from, last_comment, read_headed, roles_of
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
BARCODE_FILES = ("barcodes.tsv", "barcodes.txt")
_NAME = r"^(?P<chrom>.+?)[:_-](?P<start>[0-9]{1,18})[_-](?P<end>[0-9]{1,18})$"
_CELL = ("cell", "cells", "barcode", "barcodes", "cell_id", "cell_barcode", "index")


class PeakList(NamedTuple):
    """The peaks of a matrix, and which of its features they are.

    Attributes
    ----------
    table : DataFrame, R rows
        chrom, start, end.
    are_peaks : bool array, shape (features,)
        R of them are true; the others are genes of a multiome matrix.
    """

    table: pd.DataFrame
    are_peaks: NDArray[np.bool_]


def find_beside(
    path: Path, names: Sequence[str], what: str, option: str, required: bool = True
) -> Path | None:
    """Find a file of one of these names (or .gz) in the folder of a matrix.

    A name that shares the beginning of the matrix's own goes first, the longer the sooner:
    beside GSM1_matrix.mtx, GSM1_barcodes.tsv before barcodes.tsv.

    Raises
    ------
    InputError
        If there is none and it is required.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("barcodes.tsv", "GSM1_barcodes.tsv.gz", "GSM2_barcodes.tsv"):
    ...     _ = (folder / name).write_text("AA-1")
    >>> find_beside(folder / "GSM1_matrix.mtx.gz", BARCODE_FILES, "cells", "--counts-cells").name
    'GSM1_barcodes.tsv.gz'
    """
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    starts = [f"{stem}.", f"{stem}_"]
    starts += [stem[: at.end()] for at in reversed(list(re.finditer(r"[._-]", stem)))]
    for start in (*starts, ""):
        for name in names:
            for ending in ("", ".gz"):
                if (path.parent / (start + name + ending)).is_file():
                    return path.parent / (start + name + ending)
    if required:
        raise InputError(
            f"the matrix holds no {what} and none are given",
            where=str(path),
            expected=f"a file of {what}, or one beside it named {', '.join(names[:3])}",
            do=f"Give it with {option}.",
        )
    return None


def are_regions(names: pd.DataFrame | Sequence[str] | None) -> bool:
    """Say whether these are intervals, all of them; barcodes like ACGT-0-1 are none.

    Parameters
    ----------
    names : DataFrame, sequence of str, or None
        As in `parse_regions`.

    Examples
    --------
    >>> are_regions(["chr1-5-9"]), are_regions(["AACG-1-0", "AACG-0-1"]), are_regions(["peak1"])
    (True, False, False)
    """
    if names is None or not len(names):
        return False
    if isinstance(names, pd.DataFrame):
        if roles_of([str(name) for name in names.columns]) is not None:
            return True
        names = [str(name) for name in names.index]
    parts = pd.Series([str(name) for name in names], dtype=object).str.extract(_NAME)
    if parts["start"].isna().any() or parts["chrom"].str.fullmatch("[ACGTN]{2,}").all():
        return False
    return bool((parts["start"].astype(np.int64) < parts["end"].astype(np.int64)).all())


def parse_regions(names: pd.DataFrame | Sequence[str], where: str) -> pd.DataFrame:
    """Turn peak names, or a table with coordinate columns, into an interval table.

    Parameters
    ----------
    names : sequence of str, or DataFrame
        Names like chr1:5-9; or a table with chrom, start, end columns (else its index holds the
        names). The columns of a GRanges (seqnames; or a width of end - start + 1) count from 1.
    where : str
        File, for messages.

    Returns
    -------
    DataFrame
        chrom, start, end, 0-based.

    Raises
    ------
    InputError
        For the first name that is no interval, or a width that contradicts start and end.

    Examples
    --------
    >>> parse_regions(["chr1:5-9", "chr1-5-9", "GL000192.1_5_9"], "a.h5ad")
            chrom  start  end
    0        chr1      5    9
    1        chr1      5    9
    2  GL000192.1      5    9
    """
    if isinstance(names, pd.DataFrame):
        columns = [str(name) for name in names.columns]
        roles = roles_of(columns)
        if roles is not None:
            return _of_columns(names, columns, roles, where)
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


def _of_columns(
    names: pd.DataFrame, columns: list[str], roles: dict[str, int], where: str
) -> pd.DataFrame:
    table = pd.DataFrame({"chrom": names.iloc[:, roles["chrom"]].astype(str).to_numpy(object)})
    numbers = {}
    for role in ("start", "end", "width"):
        if role in roles:
            values = names.iloc[:, roles[role]].to_numpy()
            numbers[role] = whole_numbers(pd.DataFrame({role: values}), role, where)
    start, end = numbers["start"], numbers["end"]
    places = [f"{where}, peak {row + 1}" for row in range(len(table))]
    base = counts_from(columns, start, end, numbers.get("width"), places) or 0
    table["start"], table["end"] = start - base, end
    table.attrs = {"source": where}
    if base:
        said = f"{where}: peaks are GRanges of R, which count from 1: every start made one less"
        table.attrs["notes"] = [said]
    return table


def peak_features(kinds: Sequence[str], where: str) -> NDArray[np.bool_]:
    """Say which features of a 10x matrix are peaks, by their feature type.

    Raises
    ------
    InputError
        If none is.

    Examples
    --------
    >>> peak_features(["Gene Expression", "Peaks"], "f.h5").tolist()
    [False, True]
    """
    words = pd.Series([str(kind) for kind in kinds], dtype=object)
    are = words.str.strip().str.lower().isin(["peaks", "peak"]).to_numpy(bool)
    if not are.any():
        counted = ", ".join(f"{n:,} {kind}" for kind, n in words.value_counts().items())
        raise InputError(
            "no feature of the matrix is a peak",
            where=where,
            found=counted,
            expected="features of type Peaks",
            do="Give the matrix of accessibility; counts of genes say nothing about regions.",
        )
    return are


def other_features(kinds: Sequence[str], are_peaks: NDArray[np.bool_], where: str) -> list[str]:
    """Count the features that are no peaks, in one note; none where all are."""
    if are_peaks.all():
        return []
    others = pd.Series([str(kind) for kind in kinds], dtype=object)[~are_peaks].value_counts()
    counted = ", ".join(f"{n:,} {kind}" for kind, n in others.items())
    return [f"{where}: {len(kinds):,} features, of which no peaks and left out: {counted}"]


def read_regions(path: str | Path) -> PeakList:
    """Read the peak list of a matrix: BED, a table with a header, or a first column of names (10x
    features.tsv, whose genes are counted and left out).

    Raises
    ------
    InputError
        If the file cannot be read, or a line is no interval.
    """
    whole = read_text(path, "a peak list: BED or one name a line")
    text, numbers = data_lines(whole)
    if not text:
        raise InputError(
            "the file holds no peak",
            where=str(path),
            found="header, comment or blank lines only",
            expected="a peak list: BED or one name a line",
        )
    lines = text.decode("utf-8", "replace").split("\n")[:-1]
    first = lines[0].split("\t")
    if len(first) >= 3 and first[1].strip().isdigit() and first[2].strip().isdigit():
        # Two shifts of one file would be worse than none: read_peaks knows headers too.
        table = read_peaks(path, format="bed")
        return _all_peaks(table)
    headed = read_headed(text, numbers, last_comment(whole, int(numbers[0])), path)
    if headed is not None:
        return _all_peaks(headed)
    fields = [line.split("\t") for line in lines]
    kinds = [line[2].strip() if len(line) > 2 else "" for line in fields]
    if {kind.lower() for kind in kinds} & {"peaks", "gene expression"}:
        are = peak_features(kinds, str(path))
        peaks = [line[0].strip() for line, is_peak in zip(fields, are, strict=True) if is_peak]
        table = parse_regions(peaks, str(path))
        table.attrs["notes"] = other_features(kinds, are, str(path))
        return PeakList(table, are)
    names = [line[0].strip().strip('"') for line in fields]
    if len(names) > 1 and not re.match(_NAME, names[0]) and re.match(_NAME, names[1]):
        names = names[1:]  # a column header
    return _all_peaks(parse_regions(names, str(path)))


def _all_peaks(table: pd.DataFrame) -> PeakList:
    return PeakList(table[CORE], np.ones(len(table), dtype=bool))


def check_same_peaks(
    given: pd.DataFrame, own: pd.DataFrame, where: str, source: str, theirs: str
) -> list[str]:
    """Refuse a peak list that says otherwise than the matrix's own names; return what to note.

    Names that count from 1 where the list counts from 0, and chromosomes with or without "chr",
    are the same peaks.

    Parameters
    ----------
    given, own : DataFrame, R rows
        chrom, start, end.
    where : str
        The list.
    source : str
        The file that holds the names.
    theirs : str
        What the names are: "the matrix's own names".

    Raises
    ------
    InputError
        With the first peak that differs.

    Examples
    --------
    >>> given, own = parse_regions(["chr1:4-9"], "p.bed"), parse_regions(["chr1:5-9"], "m.h5ad")
    >>> check_same_peaks(given, own, "p.bed", "m.h5ad", "the names in the file")
    ['m.h5ad: the names in the file count from 1, p.bed from 0: p.bed taken']
    """
    bare = [table["chrom"].astype(str).str.removeprefix("chr").to_numpy() for table in (given, own)]
    shift = own["start"].to_numpy() - given["start"].to_numpy()
    same = (bare[0] == bare[1]) & (own["end"].to_numpy() == given["end"].to_numpy())
    if len(shift) and (shift == 1).all() and same.all():
        return [f"{source}: {theirs} count from 1, {where} from 0: {where} taken"]
    differ = ~same | (shift != 0)
    if differ.any():
        row = int(differ.argmax())
        in_order = sorted(map(str, given[CORE].values.tolist())) == sorted(
            map(str, own[CORE].values.tolist())
        )
        raise InputError(
            f"the peak list contradicts {theirs}; {int(differ.sum())} of {len(given)} differ"
            + (" (the same peaks in another order)" if in_order else ""),
            where=f"{where}, peak {row + 1}",
            found=show(given, row),
            expected=f"{show(own, row)} ({source})",
            do="Leave --counts-peaks out, or give the list in the order of the matrix.",
        )
    return []


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
    has_header = first.strip().strip('"').lower() in _CELL
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            header=None if alone and not has_header else 0,
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
    table.columns = table.columns.map(str)
    named: Any = next((c for c in table.columns if c.lower() in _CELL), None)
    if not isinstance(table.index, pd.RangeIndex):
        # R writes one name less than columns: pandas made the first column the index.
        if named is not None and _are_row_numbers(table.index):
            table.index = pd.Index(table.pop(named))
    else:
        # The names of cells are what pandas and R write first, without a name of their own.
        unnamed = first.startswith(("\t", ",", '""')) and not _are_row_numbers(table.iloc[:, 0])
        key: Any = table.columns[0] if unnamed or named is None else named
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


def _are_row_numbers(values: Any) -> bool:
    """Whether these are the numbers of rows, from 0 (pandas) or 1 (R)."""
    words = [str(value) for value in values]
    return any(words == [str(row + first) for row in range(len(words))] for first in (0, 1))


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
        Cell names of the matrix; without them the table is in the matrix's order, and so it is
        where it has the same names in the same order.
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
        If there is no such column, a cell is named twice, or cells lack a label and `missing` is
        "error".

    Examples
    --------
    >>> table = pd.DataFrame({"cluster": [1.0, None, 2.0]}, index=["a", "b", "c"])
    >>> label_cells(table, np.array(["c", "a"]), "cluster", "cells.csv", "error")[0].tolist()
    ['2', '1']
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
    column = as_words(table[label])
    if cells is not None and column.index.tolist() != cells.tolist():
        _refuse_twice(pd.Index(cells.astype(str)), "the matrix", where)
        _refuse_twice(column.index, "the cell table", where)
        column = column.reindex(pd.Index(cells.astype(str)))
    lacking = column.isna().to_numpy() | column.isin(["", "nan", "NA"]).to_numpy()
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
                "Complete the table, or leave these cells out with --unlabelled drop"
                " (missing='drop')."
            ),
        )
    return column.to_numpy(dtype=object), lacking


def as_words(column: pd.Series) -> pd.Series:
    """Give labels as words: no blanks around them, and 1 is "1" also where a missing neighbour
    made it the number 1.0.

    Examples
    --------
    >>> as_words(pd.Series([1.0, np.nan])).tolist(), as_words(pd.Series(["T cell "])).tolist()
    (['1', nan], ['T cell'])
    """
    values = column.astype(object)
    numbers = [value for value in values if isinstance(value, float | np.floating)]
    whole = all(np.isnan(number) or float(number).is_integer() for number in numbers)

    def word(value: Any) -> Any:
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            return np.nan
        if whole and isinstance(value, float | np.floating):
            return str(int(value))
        return str(value).strip()

    return pd.Series([word(value) for value in values], index=column.index, dtype=object)


def _refuse_twice(names: pd.Index, whose: str, where: str) -> None:
    twice = names.duplicated()
    if twice.any():
        raise InputError(
            f"a cell of {whose} is named twice, and labels go by name; {int(twice.sum())} of"
            f" {len(names)} repeat another",
            where=where,
            found=f"cell {int(twice.argmax()) + 1} ({names[int(twice.argmax())]})",
            expected="every cell once",
            do="Make the names unique in matrix and table, for example by sample.",
        )

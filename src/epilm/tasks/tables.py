"""Tables of labelled sequences or intervals: TSV, CSV (plain or .gz) and Parquet.

Any columns; which of them are labels, and of which kind, the user says. Every message names file
and line. Standard library and numpy only until Parquet is read or intervals are cut.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.tasks.base import LabelledSequences, encode_text, labelled
from epilm.tasks.reference import cut_stranded, open_reference

Kind = Literal["auto", "class", "multilabel", "number", "count"]
Lines = Callable[[str | Path], Iterator[tuple[int, str]]]

KINDS = {
    "auto": "classes",
    "class": "classes",
    "multilabel": "factors",
    "number": "numbers",
    "count": "counts",
}
PLACE = ("chrom", "start", "end")
UNKNOWN = {"", ".", "?", "na", "n/a", "nan", "none", "null", "unknown"}
MOST_CLASSES = 1000
MOST_DIGITS = 18  # of a class that is a number


@dataclass
class LabelTable:
    """Columns of text, of one file or of several below each other.

    Attributes
    ----------
    path : str
        The file, or the folder of several.
    names : list of str
        As they stand in the header.
    columns : dict of str to list of str
    source : list of (path, line)
        Of each row.
    unit : str
        "line", or "row" of a file that has none.
    header : str
        As it was found, for a message.
    """

    path: str
    names: list[str]
    columns: dict[str, list[str]]
    source: list[tuple[str, int]]
    unit: str = "line"
    header: str = ""

    def __len__(self) -> int:
        return len(self.source)

    def where(self, row: int) -> str:
        """File and line of a row."""
        path, line = self.source[row]
        return f"{path}, {self.unit} {line}"

    def origin(self, row: int) -> str:
        """Short name of a row, kept with it."""
        path, line = self.source[row]
        return f"{Path(path).name}:{line}"

    def find(self, name: str) -> list[str] | None:
        """The column of a name, exactly so or else in any case; None where there is none."""
        if name in self.columns:
            return self.columns[name]
        same = [each for each in self.names if each.lower() == name.lower()]
        return self.columns[same[0]] if len(same) == 1 else None

    def below(self, other: "LabelTable") -> "LabelTable":
        """Both, the other's rows below; columns that both have."""
        names = [name for name in self.names if other.find(name) is not None]
        columns = {name: self.columns[name] + (other.find(name) or []) for name in names}
        source = self.source + other.source
        return LabelTable(self.path, names, columns, source, self.unit, self.header)


def read_columns(path: str | Path, lines: Lines) -> LabelTable:
    """Read a table as text.

    Parameters
    ----------
    path : path
        .parquet, or text with a header; commas where there is no tab in it.
    lines : function
        Reads numbered lines: `tasks.sequences.read_lines`.

    Raises
    ------
    InputError
        If a row has another number of columns than the header, or two columns have one name.
    """
    if str(path).endswith(".parquet"):
        return _parquet(path)
    numbered = lines(path)
    _, header = next(numbered)
    header = header.lstrip("\ufeff")
    separator = "," if "\t" not in header and "," in header else "\t"
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for number, text in numbered:
            if text.strip():
                numbers.append(number)
                yield text

    # A quoted cell holds its separator; a quote in a table of tabs is a letter like others.
    uncut = chain([header], texts())
    rows = (
        csv.reader(uncut, delimiter=",")
        if separator == ","
        else csv.reader(uncut, delimiter="\t", quoting=csv.QUOTE_NONE)
    )
    names = [cell.strip() for cell in next(rows)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError("two columns have one name", where=f"{path}, line 1", found=repr(twice[0]))
    cells: list[list[str]] = [[] for _ in names]
    for row in rows:
        if len(row) != len(names):
            raise InputError(
                "the row has another number of columns than the header",
                where=f"{path}, line {numbers[-1]}",
                found=len(row),
                expected=len(names),
            )
        for column, cell in zip(cells, row):
            column.append(cell.strip())
    source = [(str(path), number) for number in numbers]
    return LabelTable(str(path), names, dict(zip(names, cells)), source, header=header)


def _parquet(path: str | Path) -> LabelTable:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            "reading Parquet needs pyarrow",
            where=str(path),
            do="pip install pyarrow, or give .tsv.",
        ) from None
    if not Path(path).is_file():
        raise InputError("there is no such file", where=str(path), do="Check the path.")
    try:
        columns = pq.read_table(path).to_pydict()
    except Exception as error:  # pyarrow has many classes of its own
        raise InputError("the file is no Parquet table", where=str(path), found=error) from None

    def text(value: Any) -> str:
        if value is None:
            return ""
        return str(int(value)) if isinstance(value, bool) else str(value).strip()

    cells = {str(name): [text(value) for value in column] for name, column in columns.items()}
    count = len(next(iter(cells.values()), []))
    source = [(str(path), row + 1) for row in range(count)]
    return LabelTable(str(path), list(cells), cells, source, "row", ", ".join(cells))


def rows_of(
    table: LabelTable,
    join: Callable[[str, str], str],
    *,
    labels: Sequence[str] = (),
    kind: Kind = "auto",
    genome: Any = None,
    name: str = "set",
) -> LabelledSequences:
    """Make labelled sequences of a table.

    Parameters
    ----------
    table : LabelTable
    join : function (cell, where) -> letters
        Joins k-mers: `tasks.sequences.join_kmers`.
    labels : sequence of str
        Columns of labels; `label` where none is named.
    kind : {"auto", "class", "multilabel", "number", "count"}
        auto: classes that are numbered from 0. class: names or numbers. multilabel: columns of 1, 0
        or nothing. number: columns of numbers or nothing; count: such numbers at or above 0, lost
        as Poisson counts.
    genome : path or Reference, optional
        Of intervals, where there is no column `sequence`.
    name : str

    Raises
    ------
    InputError, UsageError
        Naming file and line.
    """
    wanted = _label_columns(table, labels, kind)
    notes: list[str] = []
    values, names = _labels(table, wanted, kind, notes)
    kept = np.ones(len(table), bool)
    if KINDS[kind] != "classes":
        known = values >= 0 if KINDS[kind] == "factors" else np.isfinite(values)
        kept = np.asarray(known.any(1))
        if lost := int((~kept).sum()):
            notes.append(f"{lost} rows without a known label left out")
    codes, chrom, start = _bases(table, join, genome, labelled_rows=kept)
    silent = np.array([bool(len(each)) and bool((each > 3).all()) for each in codes]) & kept
    if count := int(silent.sum()):
        notes.append(f"{count} sequences of N alone left out")
        kept &= ~silent
    if not kept.any():
        raise InputError("no row is left", where=table.path, found="; ".join(notes) or "no rows")
    rows = np.flatnonzero(kept)
    if unknown := sum(bool((codes[row] > 3).any()) for row in rows):
        notes.append(f"{unknown} sequences hold N: a k-mer with N is read as unknown")
    split = table.find("split")
    return labelled(
        [codes[row] for row in rows],
        values[rows],
        origin=[table.origin(int(row)) for row in rows],
        chrom=[chrom[row] for row in rows],
        start=[start[row] for row in rows],
        split=None if split is None else [split[row] for row in rows],
        name=name,
        notes=notes,
        kind=KINDS[kind],
        label_names=names,
    )


def _label_columns(table: LabelTable, labels: Sequence[str], kind: str) -> list[str]:
    """Names of the columns of labels, as the user or the table has them."""
    if kind not in KINDS:
        raise UsageError("unknown kind", where="--kind", found=kind, do=nearest(kind, KINDS))
    first = f"{table.path}, {'line 1' if table.unit == 'line' else 'its columns'}"
    lower = [name.lower() for name in table.names]
    sequences = sum(name.startswith("sequence") for name in lower)
    placed = all(table.find(column) is not None for column in PLACE)
    if (lower.count("sequence") != 1 and not placed) or (not labels and "label" not in lower):
        raise InputError(
            "the header is not that of a labelled table",
            where=first,
            found=repr(table.header[:80]),
            expected="'sequence<TAB>label', or chrom, start, end and label",
            do=(
                "Pair tables (two sequence columns) are not read: give one sequence a row."
                if sequences > 1
                else "Add the header line, name the column of labels with --labels, or give FASTA"
                " files with --negative."
            ),
        )
    for label in labels:
        if table.find(label) is None:
            others = [name for name in table.names if name.lower() not in ("sequence", *PLACE)]
            raise InputError(
                "there is no such column of labels",
                where=first,
                found=label,
                do=nearest(label, others),
            )
    if not len(table):
        raise InputError("the table has a header and no rows", where=table.path)
    if len(labels) > 1 and KINDS[kind] == "classes":
        raise UsageError(
            "one column holds the class of a row",
            where="--labels",
            found=", ".join(labels),
            do="Pass --kind multilabel (columns of 1 and 0) or --kind number with several.",
        )
    return list(labels) or ["label"]


def _labels(
    table: LabelTable, wanted: list[str], kind: str, notes: list[str]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Labels by their kind, and the names of classes or columns."""
    columns = [table.find(name) or [] for name in wanted]
    if KINDS[kind] == "classes":
        return _classes(table, columns[0], kind)
    read = _answer if KINDS[kind] == "factors" else number_of
    by_column = [
        [read(cell, table.where(row), name, kind) for row, cell in enumerate(column)]
        for name, column in zip(wanted, columns)
    ]
    values = np.array(by_column).T
    known = values >= 0 if KINDS[kind] == "factors" else np.isfinite(values)
    for name, count in zip(wanted, (~known).sum(0).tolist()):
        if count:
            notes.append(f"{name}: {count} of {len(table)} labels are not known")
    return values, tuple(wanted)


def _classes(
    table: LabelTable, cells: list[str], kind: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    whole = [bool(re.fullmatch(r"\d+", cell)) for cell in cells]
    missing = [row for row, cell in enumerate(cells) if cell.lower() in UNKNOWN]
    if missing:
        raise InputError(
            f"the label is missing; {len(missing)} of {len(cells)} are",
            where=table.where(missing[0]),
            found=repr(cells[missing[0]]),
            expected="a class",
            do="Fill them in, or leave these rows out.",
        )
    if kind == "auto" and not all(whole):
        row = whole.index(False)
        raise InputError(
            "the label is not a whole number",
            where=table.where(row),
            found=repr(cells[row]),
            expected="0, 1, 2, ...",
            do="Pass --kind class where labels are names, --kind number where they are numbers.",
        )
    far = [row for row, cell in enumerate(cells) if whole[row] and len(cell) > MOST_DIGITS]
    if far and kind == "auto":
        raise InputError(
            "the label is no class",
            where=table.where(far[0]),
            found=repr(cells[far[0]][:40]),
            expected=f"0, 1, 2, ...: whole numbers of at most {MOST_DIGITS} digits",
            do="Pass --kind class where labels are names, --kind number where they are numbers.",
        )
    if all(whole) and not far:
        numbers = np.array(cells, np.int64)
        present = np.unique(numbers)
        if kind == "auto" or present.tolist() == list(range(len(present))):
            return numbers, ()
        names = [str(number) for number in present.tolist()]
        cells = [str(number) for number in numbers.tolist()]
    else:
        names = sorted(set(cells))
    if len(names) > MOST_CLASSES:
        raise InputError(
            "a column of classes has nearly as many names as rows",
            where=table.path,
            found=f"{len(names)} names in {len(cells)} rows, {names[0]!r} first",
            expected=f"at most {MOST_CLASSES}",
            do="Pass --kind number where they are numbers, or name another column with --labels.",
        )
    at = {each: number for number, each in enumerate(names)}
    return np.array([at[cell] for cell in cells], np.int64), tuple(names)


def _answer(cell: str, where: str, name: str, kind: str) -> int:
    text = cell.lower()
    if text in UNKNOWN or text in ("-1", "-1.0"):
        return -1
    if text in ("0", "0.0", "false", "no"):
        return 0
    if text in ("1", "1.0", "true", "yes"):
        return 1
    raise InputError(
        "the label is not yes, no or unknown",
        where=f"{where}, column {name}",
        found=repr(cell),
        expected="1, 0, or nothing where it is not known",
    )


def number_of(cell: str, where: str, name: str, kind: str) -> float:
    """A cell as a number, NaN where it is not known; of `kind` count at or above 0.

    Raises
    ------
    InputError
        Naming file, line and column.
    """
    if cell.lower() in UNKNOWN:
        return float("nan")
    try:
        value = float(cell)
    except ValueError:
        value = float("inf")
    low = kind == "count" and value < 0
    if not np.isfinite(value) or low:
        raise InputError(
            "the label is below 0" if low else "the label is not a number",
            where=f"{where}, column {name}",
            found=repr(cell),
            expected=f"a number{' at or above 0' if kind == 'count' else ''}, or nothing where it"
            " is not known",
        )
    return value


def _bases(
    table: LabelTable,
    join: Callable[[str, str], str],
    genome: Any,
    *,
    labelled_rows: NDArray[np.bool_],
) -> tuple[list[NDArray[np.uint8]], list[str], list[int]]:
    """Codes, chromosome and start of each row; of rows that are not asked for nothing is read."""
    chrom = table.find("chrom") or [""] * len(table)
    starts = table.find("start")
    sequences = table.find("sequence")
    if sequences is None:
        return _cut(table, genome, chrom, labelled_rows)
    start = [-1] * len(table)
    if starts is not None:
        start = [_whole(cell, table, row, "start", -1) for row, cell in enumerate(starts)]
    codes = []
    for row, cell in enumerate(sequences):
        letters = join(cell, table.where(row))
        codes.append(encode_text(letters, table.origin(row)))
    return codes, chrom, start


def _cut(
    table: LabelTable, genome: Any, chrom: list[str], wanted: NDArray[np.bool_]
) -> tuple[list[NDArray[np.uint8]], list[str], list[int]]:
    """Bases of intervals, from the strand they are on."""
    if genome is None:
        raise InputError(
            "intervals need the genome they lie on", where=table.path, do="Pass --genome FASTA."
        )
    reference = open_reference(genome)
    unknown = sorted(set(chrom) - set(reference.sizes))
    if unknown:
        raise InputError(
            "the genome has not all chromosomes of the intervals",
            where=table.path,
            found=", ".join(unknown[:5]),
            expected=f"among {', '.join(list(reference.sizes)[:5])}",
        )
    starts, ends = _positions(table, "start"), _positions(table, "end")
    strand = table.find("strand") or ["+"] * len(table)
    wrong = [
        row
        for row, name in enumerate(chrom)
        if not 0 <= starts[row] < ends[row] <= reference.sizes[name]
    ]
    if wrong:
        row = wrong[0]
        raise InputError(
            f"the interval is empty or reaches over its chromosome; {len(wrong)} of {len(table)}"
            " do",
            where=table.where(row),
            found=f"{chrom[row]}:{starts[row]}-{ends[row]}",
            expected=f"0 to {reference.sizes[chrom[row]]} in the genome given, start below end",
            do="Check the assembly; starts count from 0, ends are not included.",
        )
    codes: list[NDArray[np.uint8]] = [np.zeros(0, np.uint8)] * len(table)
    of_chrom: dict[str, list[int]] = {}
    for row in np.flatnonzero(wanted).tolist():
        of_chrom.setdefault(chrom[row], []).append(row)
    for name, rows in of_chrom.items():
        bases = reference.codes(name)
        for row in rows:
            codes[row] = cut_stranded(bases, starts[row], ends[row], strand[row])
    return codes, chrom, starts


def _positions(table: LabelTable, name: str) -> list[int]:
    return [_whole(cell, table, row, name) for row, cell in enumerate(table.find(name) or [])]


def _whole(cell: str, table: LabelTable, row: int, name: str, missing: int | None = None) -> int:
    if missing is not None and cell.lower() in UNKNOWN:
        return missing
    if not re.fullmatch(r"-?\d+", cell):
        raise InputError(
            f"the {name} is not a whole number",
            where=table.where(row),
            found=repr(cell),
            expected="a position, counted from 0",
        )
    return int(cell)

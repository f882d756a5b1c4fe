"""Named intervals of a segmentation file as plain arrays: BED4, BED9 and bigBed.

One pass over the bytes, no work per line in Python; only when something is
wrong are the lines gone through one by one, to name the first that is. What
the segments mean (bins, states, unknown) is decided in `segmentation`.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.bbi import BIGBED, BIGWIG, damaged, open_bbi, refuse_packed
from epilm.genome.exponents import precision_for
from epilm.genome.files import (
    check_file,
    data_lines,
    find_separators,
    first_bytes,
    read_text,
)

WHAT = "a segmentation: BED (chromosome, start, end, state), plain or gzip, or bigBed"
_CURE = "Correct or remove the line; coordinates are 0-based, half-open."
_COLOUR = re.compile(r"[0-9]{1,3},[0-9]{1,3},[0-9]{1,3}")


@dataclass(frozen=True)
class Segments:
    """The intervals of one segmentation file, in the order of the file.

    Attributes
    ----------
    source : str
        The file, for messages.
    chroms : tuple of str
        Chromosomes met.
    chrom : int32 array, shape (n,)
        Number of each segment's chromosome in `chroms`.
    start, end : int64 array, shape (n,)
        0-based, half-open, in bp; start < end.
    labels : tuple of str
        State names met.
    label : int32 array, shape (n,)
        Number of each segment's name in `labels`.
    colours : tuple of str
        "r,g,b" of each label, "" where the file gives none.
    lines : int64 array, shape (n,)
        1-based line (text) or record (bigBed) of each segment.
    unit : str
        "line" or "record": what `lines` counts.
    sizes : dict of str to int, or None
        Chromosome lengths the file says (bigBed).
    """

    source: str
    chroms: tuple[str, ...]
    chrom: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    labels: tuple[str, ...]
    label: NDArray[np.int32]
    colours: tuple[str, ...]
    lines: NDArray[np.int64]
    unit: str = "line"
    sizes: dict[str, int] | None = None

    def place(self, row: int) -> str:
        """Name the file and line of a segment, for a message."""
        return f"{self.source}, {self.unit} {int(self.lines[row])}"

    def show(self, row: int) -> str:
        """Write a segment as chrom:start-end and its state."""
        chrom = self.chroms[self.chrom[row]]
        return f"{chrom}:{self.start[row]}-{self.end[row]} {self.labels[self.label[row]]}"


def read_segments(path: str | Path) -> Segments:
    """Read the segments of a BED or bigBed file.

    Parameters
    ----------
    path : path
        BED with the state's name in column 4, plain or gzip; `track`, `browser`, `#` and blank
        lines are skipped. Colours are taken from column 9 (BED9), or from a column 5 that looks
        like r,g,b. Or a bigBed file, told by its first bytes.

    Returns
    -------
    Segments

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or of another format; or for the first line without
        a name or with impossible coordinates.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.bed"
    >>> _ = name.write_text("chr1\\t0\\t400\\t1_TssA\\nchr1\\t400\\t600\\t2_Tx\\n")
    >>> segments = read_segments(name)
    >>> segments.show(1), segments.lines.tolist()
    ('chr1:400-600 2_Tx', [1, 2])
    """
    path = check_file(path, WHAT)
    magic = first_bytes(path, 4)
    refuse_packed(path, magic, WHAT)
    if magic in BIGWIG:
        raise InputError(
            "wrong format",
            where=str(path),
            found="bigWig, a value at each base",
            expected=WHAT,
            do="As a signal give it to --accessibility or --signal.",
        )
    return _read_bigbed(path) if magic in BIGBED else _read_bed(path)


def _read_bed(path: Path) -> Segments:
    whole = read_text(path, WHAT)
    text, lines = data_lines(whole)
    if not text:
        raise InputError(
            "the file holds no segment",
            where=str(path),
            found="header, comment or blank lines only",
            expected=WHAT,
        )
    _refuse_tables(text, whole, str(path), int(lines[0]))
    table = _parse(text, len(lines))
    if table is None or len(table) != len(lines):
        _explain(text, lines, str(path))
        raise InputError("the lines cannot be read as BED", where=str(path), expected=WHAT)
    start, end = table[1].to_numpy(np.int64), table[2].to_numpy(np.int64)
    chrom, label = table[0].cat, table[3].cat
    nameless = any(
        (i.codes < 0).any() or "" in map(str.strip, map(str, i.categories)) for i in (chrom, label)
    )
    if nameless or ((start < 0) | (start >= end)).any():
        _explain(text, lines, str(path))
    labels = tuple(map(str, label.categories))
    codes = label.codes.to_numpy().astype(np.int32)
    colours = [""] * len(labels)
    if table.shape[1] > 4:
        shade = table.iloc[:, 4].cat
        words = list(map(str, shade.categories))
        # the first line of each label says its colour
        _, first = np.unique(codes, return_index=True)
        for row in first:
            word = words[shade.codes.iloc[row]] if shade.codes.iloc[row] >= 0 else ""
            colours[codes[row]] = word if _COLOUR.fullmatch(word) else ""
    return Segments(
        str(path),
        tuple(map(str, chrom.categories)),
        chrom.codes.to_numpy().astype(np.int32),
        start,
        end,
        labels,
        codes,
        tuple(colours),
        lines,
    )


_BED_WIDTHS = (4, 5, 6, 8, 9, 12)  # 3 and fewer are refused as cut short, with their line
_BED_COLUMNS = {
    5: re.compile(r"[-+.\deE]*|[0-9]{1,3},[0-9]{1,3},[0-9]{1,3}"),  # score, or a colour
    6: re.compile(r"[-+.]?"),
    7: re.compile(r"[0-9]+|\."),
    8: re.compile(r"[0-9]+|\."),
    9: re.compile(r"[0-9]+|\.|[0-9]{1,3},[0-9]{1,3},[0-9]{1,3},?"),
}


def _refuse_tables(text: bytes, whole: bytes, path: str, line: int) -> None:
    """Refuse a table with a column of states for each of several cell types: column 4 alone would
    be read.
    """
    head = text[: text.index(b"\n")].decode("utf-8", "replace")
    fields = [field.strip() for field in (head.split("\t") if "\t" in head else head.split())]
    title = whole[: whole.index(b"\n")] if b"\n" in whole else whole
    names = [name.strip() for name in title.decode("utf-8", "replace").lstrip("#").split("\t")]
    if len(fields) < 5 or not fields[1].isdigit():
        return  # said line by line
    odd = len(fields) not in _BED_WIDTHS or any(
        not form.fullmatch(fields[i - 1]) for i, form in _BED_COLUMNS.items() if i <= len(fields)
    )
    # A line of names over columns of bare numbers, which may as well be scores.
    named = (
        title.startswith(b"#")
        and len(names) == len(fields)
        and all(map(str.isdigit, fields[3:]))
        and not {name.lower() for name in names[4:]} & {"score", "strand", "itemrgb", "rgb"}
    )
    if odd or named:
        more = f" ({', '.join(names[3:6])}, ...)" if named else ""
        raise InputError(
            "this looks like a table of several cell types, or no segmentation",
            where=f"{path}, line {line}",
            found=f"{len(fields)} columns{more}: {head[:60]!r}",
            expected="BED of one cell type: 4 columns (chromosome, start, end, state), or BED5 to"
            " BED12",
            do="Write one file a cell type, for example: cut -f1-3,5 FILE > CELL.bed",
        )


def _parse(text: bytes, n_lines: int) -> pd.DataFrame | None:
    """Columns 0 to 3 and, if there, the colour's, as columns 0 to 4; None where a line does not
    fit.
    """
    head = text[: text.index(b"\n")].decode("utf-8", "replace")
    fields = head.split("\t") if "\t" in head else head.split()
    if len(fields) < 4 or (
        "\t" in head and find_separators(text, n_lines, len(fields) - 1) is None
    ):
        return None
    colour = (
        8
        if len(fields) >= 9
        else 4
        if len(fields) >= 5 and _COLOUR.fullmatch(fields[4].strip())
        else None
    )
    wanted: Any = [0, 1, 2, 3] + ([colour] if colour else [])
    types: Any = {0: "category", 1: np.int64, 2: np.int64, 3: "category"}
    if colour:
        types[colour] = "category"
    try:
        table = pd.read_csv(
            io.BytesIO(text),
            sep="\t" if "\t" in head else r"\s+",
            header=None,
            usecols=wanted,
            dtype=types,
            float_precision=precision_for(text),
            quoting=3,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding="utf-8",
            encoding_errors="replace",
            low_memory=False,
        )
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    table.columns = pd.RangeIndex(len(wanted))
    return table


def _explain(text: bytes, lines: NDArray[np.int64], path: str) -> None:
    """Find the first line that is no segment and raise the message about it."""
    tabs = b"\t" in text[: text.index(b"\n")]
    n_first = 0
    for number, raw in zip(lines, text.split(b"\n"), strict=False):
        line = raw.decode("utf-8", "replace")
        fields = line.split("\t") if tabs else line.split()
        where = f"{path}, line {number}"
        if line.startswith(("fixedStep", "variableStep")):
            raise InputError("wrong format", where=where, found="a wiggle file", expected=WHAT)
        if len(fields) < 4:
            raise InputError(
                "the segment has no state" if len(fields) == 3 else "the line is cut short",
                where=where,
                found=f"{len(fields)} columns: {line[:60]!r}",
                expected="chromosome, start, end, state name, tab-separated",
                do=(
                    "Column 4 must name the state, for example 1_TssA."
                    if len(fields) == 3
                    else _CURE
                ),
            )
        for i, what in ((1, "start"), (2, "end")):
            if not re.fullmatch(r"[0-9]{1,18}", fields[i].strip()):
                header = number == lines[0] and not any(map(str.isdigit, fields))
                raise InputError(
                    f"the {what} is not a whole number of at least 0",
                    where=where,
                    found=repr(fields[i]),
                    expected=f"digits in column {i + 1}",
                    do=(
                        "If this is a column header, put # before it or remove it."
                        if header
                        else _CURE
                    ),
                )
        if int(fields[1]) >= int(fields[2]):
            raise InputError(
                "the segment holds no base",
                where=where,
                found=f"{fields[0]}:{fields[1]}-{fields[2]}",
                expected="start < end",
                do=_CURE,
            )
        for i, what in ((0, "chromosome has no name"), (3, "state has no name")):
            if not fields[i].strip():
                raise InputError(
                    f"the {what}",
                    where=where,
                    found=repr(line[:60]),
                    expected=f"a name in column {i + 1}",
                    do=_CURE,
                )
        n_first = n_first or len(fields)
        if len(fields) != n_first:
            raise InputError(
                "the line has another number of columns",
                where=where,
                found=f"{len(fields)}: {line[:60]!r}",
                expected=f"{n_first} as in the first line",
                do=_CURE,
            )


def _read_bigbed(path: Path) -> Segments:
    source = str(path)
    chrom: list[NDArray[np.int32]] = []
    start, end, label, shade = [], [], [], []
    file = open_bbi(path, "bigBed")
    try:
        sizes = {str(name): int(size) for name, size in file.chroms().items()}
        n_fields = len(next((row for name in sizes for row in file.records(name)), ()))
        if n_fields >= 3:
            for name in sizes:
                columns = list(zip(*file.records(name)))
                n_fields = min(n_fields, len(columns)) if columns else n_fields
                if n_fields < 3:
                    break
                if columns:
                    chrom.append(np.full(len(columns[0]), len(chrom), np.int32))
                    start.append(np.array(columns[0], np.int64))
                    end.append(np.array(columns[1], np.int64))
                    label.append(np.array(columns[2], object))
                    shade.append(
                        np.array(
                            columns[7] if len(columns) >= 8 else [""] * len(columns[0]), object
                        )
                    )
                else:
                    chrom.append(np.zeros(0, np.int32))
    except BaseException as error:  # the reader's panics are no Exception
        raise damaged("bigBed", source, error) from None
    if n_fields < 3:
        raise InputError(
            "the segments have no state" if n_fields else "the file holds no segment",
            where=source,
            found=f"{n_fields + 1} columns" if n_fields else "no record",
            expected=WHAT,
        )
    codes, names = pd.factorize(np.concatenate(label))
    starts, ends = np.concatenate(start), np.concatenate(end)
    _, first = np.unique(codes, return_index=True)
    shades = np.concatenate(shade)[first]
    return Segments(
        source,
        tuple(sizes),
        np.concatenate(chrom),
        starts,
        ends,
        tuple(map(str, names)),
        codes.astype(np.int32),
        tuple(word if _COLOUR.fullmatch(word) else "" for word in map(str, shades)),
        np.arange(1, len(starts) + 1),
        "record",
        sizes,
    )

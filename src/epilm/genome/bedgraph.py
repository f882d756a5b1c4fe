"""The lines of a bedGraph file as runs of a value, in order or refused.

Read in blocks: a file of per-base runs is gigabytes of text. What is done with
the runs: `signals`.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import few
from epilm.genome.exponents import precision_for
from epilm.genome.files import blocks_of_lines, data_lines, find_separators

WHAT = "a signal: bigWig, or bedGraph (plain or gzip)"
RUN = np.dtype([("start", "<i4"), ("end", "<i4"), ("value", "<f4")])
_MISSING = ("nan", "NaN", "NA", ".")
_CURE = "Correct or remove the line; coordinates are 0-based, half-open."


def read_runs(path: str, block: int) -> Iterator[tuple[list[str], NDArray[np.int64], NDArray[Any]]]:
    """Read a bedGraph block by block, refusing the first line that is out of order or no run of a
    value.

    Parameters
    ----------
    path : str
        Text, plain or gzip: chromosome, start, end, value.
    block : int
        Unpacked bytes a block, about.

    Yields
    ------
    names : list of str
        Chromosomes met so far, in the order of the file; grows from block to block.
    chrom : int64 array, shape (n,)
        Number of each line's chromosome in `names`, ascending.
    runs : structured array, shape (n,)
        start, end (int32), value (float32; NaN where missing).

    Raises
    ------
    InputError
        As `signals.open_signal`.
    """
    names: list[str] = []
    done, chrom, start, end = 0, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    for text in blocks_of_lines(path, WHAT, block):
        kept, numbers = data_lines(text)
        numbers = numbers + done
        done += text.count(b"\n")
        if not kept:
            continue
        table = _parse(kept, len(numbers))
        if table is None or len(table) != len(numbers):
            _explain(kept, numbers, path)
            raise InputError("the lines cannot be read as bedGraph", where=path, expected=WHAT)
        before = (chrom[-1:], start[-1:], end[-1:])
        codes, words = pd.factorize(table[0])
        for word in words:
            if word not in names:
                names.append(str(word))
        chrom = np.array([names.index(word) for word in words], dtype=np.int64)[codes]
        start, end = table[1].to_numpy(np.int64), table[2].to_numpy(np.int64)
        if ((start < 0) | (start >= end) | (end >= 1 << 31)).any():
            _explain(kept, numbers, path)
        _check_order(path, numbers, names, before, (chrom, start, end))
        runs = np.empty(len(table), RUN)
        runs["start"], runs["end"], runs["value"] = start, end, table[3].to_numpy(np.float32)
        yield names, chrom, runs
    if not names:
        raise InputError(
            "the file holds no value",
            where=path,
            found="header, comment or blank lines only",
            expected=WHAT,
        )


_Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _check_order(
    path: str, numbers: NDArray[np.int64], names: list[str], before: _Columns, columns: _Columns
) -> None:
    """Refuse the first line out of order; `before` is the last line of the block before, if any.

    Chromosomes are numbered as they come, so a smaller number is one that comes back.
    """
    chrom, start, end = (np.concatenate(pair) for pair in zip(before, columns))
    same = chrom[1:] == chrom[:-1]
    back, falls, over = (
        chrom[1:] < chrom[:-1],
        same & (start[1:] < start[:-1]),
        same & (start[1:] < end[:-1]),
    )
    wrong = back | falls | over
    if not wrong.any():
        return
    i = int(wrong.argmax())
    shown, other = (f"{names[chrom[k]]}:{start[k]}-{end[k]}" for k in (i + 1, i))
    raise InputError(
        "the lines are not sorted" if back[i] or falls[i] else "two runs overlap",
        where=f"{path}, line {int(numbers[i + 1 - len(before[0])])}",
        found=f"{shown} after {other}",
        expected=(
            "chromosomes in blocks, starts ascending"
            if back[i] or falls[i]
            else "one value at each base"
        ),
        do=(
            "Sort it: sort -k1,1 -k2,2n"
            if back[i] or falls[i]
            else (
                "Keep one value at each base, for example: bedRemoveOverlap IN OUT (of UCSC; leaves"
                " out the smaller of two runs that overlap), or make the file again."
            )
        ),
    )


def _parse(text: bytes, n_lines: int) -> pd.DataFrame | None:
    """The four columns; None where a line does not fit."""
    head = text[: text.index(b"\n")].decode("utf-8", "replace")
    if "\t" in head and find_separators(text, n_lines, head.count("\t")) is None:
        return None
    wanted: Any = [0, 1, 2, 3]
    lacking: Any = {3: list(_MISSING)}
    types: Any = {0: "category", 1: np.int64, 2: np.int64, 3: np.float64}
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
            na_values=lacking,
            skip_blank_lines=False,
            encoding="utf-8",
            encoding_errors="replace",
            low_memory=False,
        )
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    if table[0].isna().any() or "" in table[0].cat.categories or np.isinf(table[3]).any():
        return None
    return table


def _explain_line(line: str, fields: list[str], where: str) -> None:
    """Raise the message about one line, if it is no run of a value."""
    if line.startswith(("fixedStep", "variableStep")):
        raise InputError(
            "wrong format",
            where=where,
            found="a wiggle file",
            expected=WHAT,
            do="Convert it: wigToBigWig FILE chrom.sizes OUT.bw",
        )
    if len(fields) < 4:
        raise InputError(
            "the line is cut short",
            where=where,
            found=f"{len(fields)} columns: {line[:60]!r}",
            expected="chromosome, start, end, value",
            do=_CURE,
        )
    for i, what in ((1, "start"), (2, "end")):
        if not re.fullmatch(r"[0-9]{1,18}", fields[i].strip()):
            raise InputError(
                f"the {what} is not a whole number of at least 0",
                where=where,
                found=repr(fields[i]),
                expected=f"digits in column {i + 1}",
                do=_CURE,
            )
    if not int(fields[1]) < int(fields[2]) < 1 << 31:
        raise InputError(
            "the run holds no base",
            where=where,
            found=f"{fields[0]}:{fields[1]}-{fields[2]}",
            expected="start < end < 2,147,483,648",
            do=_CURE,
        )
    if not _is_finite(fields[3]):
        raise InputError(
            "the value is not a finite number",
            where=where,
            found=repr(fields[3]),
            expected=f"a number in column 4, or {few(_MISSING)} for a missing one",
            do=_CURE,
        )
    if not fields[0].strip():
        raise InputError(
            "the chromosome has no name",
            where=where,
            found=repr(line[:60]),
            expected="a name in column 1",
            do=_CURE,
        )


def _explain(text: bytes, lines: NDArray[np.int64], path: str) -> None:
    """Find the first line that is no run of a value and raise the message about it."""
    tabs = b"\t" in text[: text.index(b"\n")]
    n_first = 0
    for number, raw in zip(lines, text.split(b"\n"), strict=False):
        line = raw.decode("utf-8", "replace")
        fields = line.split("\t") if tabs else line.split()
        where = f"{path}, line {number}"
        _explain_line(line, fields, where)
        n_first = n_first or len(fields)
        if len(fields) != n_first:
            raise InputError(
                "the line has another number of columns",
                where=where,
                found=f"{len(fields)}: {line[:60]!r}",
                expected=f"{n_first} as in the first line",
                do=_CURE,
            )


def _is_finite(text: str) -> bool:
    if text.strip() in _MISSING:
        return True
    try:
        return "_" not in text and bool(np.isfinite(float(text)))
    except ValueError:
        return False

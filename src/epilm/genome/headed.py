"""Interval tables with a header: GRanges as R writes it, `_peaks.xls` of MACS, and their like.

R and MACS count from 1 and include the last base, BED counts from 0 and does not: read as the
other, every region is one base too short. A column of widths says which (end - start, or one
more); without it the words of R and MACS do. Used by `peaks` and `labels`.
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.checks import whole_numbers
from epilm.genome.exponents import to_numbers

CHROM = ("chrom", "chr", "seqnames", "seqname", "chromosome")
START = ("start", "chromstart", "peak_start")
END = ("end", "chromend", "peak_end", "stop")
WIDTH = ("width", "length")
# Words that only programs counting from 1 write.
_OF_R = ("seqnames",)
_OF_MACS = ("abs_summit", "fold_enrichment")
_VALUES = {"fold_enrichment": "signal", "-log10(pvalue)": "p", "-log10(qvalue)": "q"}


def roles_of(names: Sequence[str]) -> dict[str, int] | None:
    """Say which column holds what, or None if these are no names of interval columns.

    Parameters
    ----------
    names : sequence of str
        Of columns, any case, quoted or not.

    Returns
    -------
    dict of str to int
        chrom, start, end, and width where there is one, to their columns.

    Examples
    --------
    >>> roles_of(["seqnames", "start", "end", "width", "strand"])
    {'chrom': 0, 'start': 1, 'end': 2, 'width': 3}
    >>> roles_of(["chr1", "5", "9"]) is None
    True
    """
    lower = [str(name).strip().strip("\"'").lower() for name in names]
    roles = {}
    for role, words in (("chrom", CHROM), ("start", START), ("end", END), ("width", WIDTH)):
        column = next((lower.index(word) for word in words if word in lower), None)
        if column is not None:
            roles[role] = column
    return roles if {"chrom", "start", "end"} <= roles.keys() else None


def counts_from(
    names: Sequence[str],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    width: NDArray[np.int64] | None,
    where: Sequence[str] | str,
) -> int | None:
    """Say whether coordinates count from 0 or from 1.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    start, end : int64 arrays, shape (R,)
    width : int64 array, shape (R,), optional
        What the table says the widths are.
    where : str, or sequence of R str
        Place of each row for the message, or the file.

    Returns
    -------
    0, 1 or None
        None where nothing says it.

    Raises
    ------
    InputError
        If a width is neither end - start nor one more, or rows disagree.

    Examples
    --------
    >>> start, end = np.array([101, 901]), np.array([400, 1200])
    >>> counts_from(["chr", "start", "end", "length"], start, end, np.array([300, 300]), "a.xls")
    1
    """
    lower = [str(name).strip().strip("\"'").lower() for name in names]
    if width is not None and len(width):
        more = width - (end - start)
        if (more == more[0]).all() and more[0] in (0, 1):
            return int(more[0])
        usual = int((more == 1).sum() >= (more == 0).sum())
        row = int((more != usual).argmax())
        raise InputError(
            "the width contradicts start and end",
            where=where if isinstance(where, str) else where[row],
            found=f"{start[row]} to {end[row]} with a width of {width[row]}",
            expected=(
                f"{end[row] - start[row] + usual}, as "
                + ("in R and MACS, which count from 1" if usual else "in BED, which counts from 0")
            ),
            do="Make the table again; start, end and width were not changed together.",
        )
    if any(word in lower for word in (*_OF_R, *_OF_MACS)):
        return 1
    return None


def _add_columns(
    out: pd.DataFrame,
    table: pd.DataFrame,
    lower: list[str],
    path: str | Path,
    shift: int,
    macs: bool,
) -> None:
    """Take over what else a table says: name, strand, and of MACS summits and values."""
    if "name" in lower:
        out["name"] = table.iloc[:, lower.index("name")]
    if "strand" in lower:
        strand = table.iloc[:, lower.index("strand")]
        out["strand"] = strand.where(strand.isin(["+", "-"]), ".")
    if macs and "abs_summit" in lower:
        summit = table.iloc[:, lower.index("abs_summit")].rename("summit").to_frame()
        out["summit"] = whole_numbers(summit, "summit", str(path)) - shift
    elif macs and "summit" in lower:  # MACS 1.4 counts it from the start of the peak, from 1
        summit = table.iloc[:, lower.index("summit")].rename("summit").to_frame()
        out["summit"] = whole_numbers(summit, "summit", str(path)) - 1 + out["start"]
    for word, value in _VALUES.items():
        if macs and word in lower:
            out[value] = to_numbers(table.iloc[:, lower.index(word)])


def read_headed(
    text: bytes, lines: NDArray[np.int64], comment: str, path: str | Path
) -> pd.DataFrame | None:
    """Read a table with a header, or say that this is none.

    Parameters
    ----------
    text : bytes
        The lines of `files.data_lines`.
    lines : int64 array
        The line of the file each of them is.
    comment : str
        The last `#` line before them: the header may be there, and counts if it says more than
        BED's own columns.
    path : path
        For messages.

    Returns
    -------
    DataFrame or None
        chrom, start, end (0-based, half-open), those present of name, strand, summit, signal, p, q;
        index named "line". `attrs`: source, format, counts_from (0, 1, or None where nothing says
        it: then the coordinates are as they stand) and notes.

    Raises
    ------
    InputError
        For the first line that is no interval, or whose width contradicts it.
    """
    first = text[: text.index(b"\n")].decode("utf-8", "replace")
    commented = False
    names, separator = _split(first)
    roles = roles_of(names)
    if roles is None:
        names, separator = _split(comment.lstrip("#"))
        roles, commented = roles_of(names), True
        telling = {*_OF_R, *_OF_MACS, *WIDTH} & {name.lower() for name in names}
        columns, _ = _split(first)
        if roles is None or not telling or len(columns) - len(names) not in (0, 1):
            return None
    body = text if commented else text[text.index(b"\n") + 1 :]
    lines = lines if commented else lines[1:]
    if not len(lines):
        raise InputError("the file holds no peak", where=str(path), found="a header alone")
    table = _fields(body, names, separator, lines, path)
    names = list(table.columns)
    roles = roles_of(names)
    if roles is None:  # only we can cause that
        raise AssertionError(names)
    table.index = pd.Index(lines, name="line")
    out = pd.DataFrame({"chrom": table.iloc[:, roles["chrom"]].astype(object)}, index=table.index)
    for column in ("start", "end"):
        out[column] = whole_numbers(
            table.iloc[:, roles[column]].rename(column).to_frame(), column, str(path)
        )
    width = None
    if "width" in roles:
        width = whole_numbers(
            table.iloc[:, roles["width"]].rename("width").to_frame(), "width", str(path)
        )
    start, end = out["start"].to_numpy(), out["end"].to_numpy()
    places = [f"{path}, line {line}" for line in lines]
    base = counts_from(names, start, end, width, places)
    shift = base or 0
    out["start"] = start - shift
    lower = [name.lower() for name in names]
    _refuse_empty(out, places)
    macs = any(word in lower for word in _OF_MACS)
    _add_columns(out, table, lower, path, shift, macs)
    kind = "a table of MACS" if macs else "GRanges of R" if shift else "a table with a header"
    notes = []
    if shift:
        notes = [f"{path}: {kind}, which counts from 1: every start made one less"]
    out.attrs = {
        "source": str(path),
        "format": kind,
        "counts_from": base,
        "commented": commented,
        "ignored": [],
        "summits_at_end": 0,
        "notes": notes,
    }
    return out


def refuse_without_header(table: pd.DataFrame, path: str | Path) -> None:
    """Refuse BED lines whose fourth column is end - start + 1 in each: such a table, its header
    taken away.

    Raises
    ------
    InputError
        With the first line.
    """
    if "name" not in table or not len(table):
        return
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    if str(table["name"].iloc[0]) != str(end[0] - start[0] + 1):
        return
    wide = to_numbers(table["name"])
    if (wide == end - start + 1).all():
        raise InputError(
            "the coordinates seem to count from 1: column 4 is end - start + 1 in every line",
            where=f"{path}, line {int(table.index[0])}",
            found=f"{table['chrom'].iloc[0]} {start[0]} {end[0]} {table['name'].iloc[0]}",
            expected="BED, which counts from 0",
            do=(
                "Give the table of R or MACS with its header; or where it is BED, leave column 4"
                " out: cut -f1-3."
            ),
        )


def last_comment(text: bytes, first: int) -> str:
    """Give the `#` line nearest before a line.

    Examples
    --------
    >>> last_comment(b"# by MACS\\n#chr\\tstart\\nchr1\\t5\\n", 3)
    '#chr\\tstart'
    """
    before = text.split(b"\n", first - 1)[: first - 1]
    return next(
        (line.decode("utf-8", "replace") for line in reversed(before) if line.startswith(b"#")), ""
    )


def _split(line: str) -> tuple[list[str], str]:
    separator = "\t" if "\t" in line else "," if "," in line else r"\s+"
    words = re.split(separator, line.strip("\r\n ") if separator == r"\s+" else line.rstrip("\r\n"))
    return [word.strip().strip("\"'") for word in words], separator


def _fields(
    body: bytes, names: list[str], separator: str, lines: NDArray[np.int64], path: str | Path
) -> pd.DataFrame:
    """All fields as text, their columns named; R may leave out the name of the row names."""
    columns, _ = _split(body.split(b"\n", 1)[0].decode("utf-8", "replace"))
    if len(columns) == len(names) + 1:
        names = ["row", *names]
    try:
        table = pd.read_csv(
            io.BytesIO(body),
            sep=separator,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            index_col=False,
            encoding_errors="replace",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(
            "the table cannot be read",
            where=str(path),
            found=str(error).strip().split("\n")[0],
            expected="the same number of columns in every line",
        ) from None
    if table.shape[1] != len(names) or len(table) != len(lines):
        raise InputError(
            "the header has another number of names than the lines have columns",
            where=f"{path}, line {int(lines[0])}",
            found=f"{table.shape[1]} columns",
            expected=f"{len(names)}: {', '.join(names[:8])}",
        )
    table.columns = pd.Index(names)
    return table.fillna("")


def _refuse_empty(table: pd.DataFrame, places: list[str]) -> None:
    wrong = (table["start"] >= table["end"]).to_numpy() | (table["start"] < 0).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            "the interval holds no base, or begins before its chromosome",
            where=places[row],
            found=f"{table['chrom'].iloc[row]}:{table['start'].iloc[row]}-{table['end'].iloc[row]}"
            " (0-based)",
            expected="0 <= start < end",
        )

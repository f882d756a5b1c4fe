"""Peak files: BED, narrowPeak and broadPeak in and out; tables of MACS and R in.

Tab-separated, plain or gzip, CRLF or not; `track`, `browser` and `#` lines and
blank lines are skipped. A summit is a position on the chromosome here (start +
offset), -1 where a peak has none. Parsing is vectorised; only when something is
wrong are the lines gone through one by one, to name the first that is.
Sorting, duplicates and the fit to a genome: `checks.check_intervals`.
"""

import io
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.errors import InputError
from epilm.genome.checks import show
from epilm.genome.exponents import precision_for, to_numbers
from epilm.genome.files import data_lines, find_separators, read_text
from epilm.genome.headed import last_comment, read_headed, refuse_without_header

Format = Literal["auto", "bed", "narrowPeak", "broadPeak"]
WHAT = "a peak file: BED, narrowPeak or broadPeak, tab-separated, plain or gzip"
_COLUMNS = ["chrom", "start", "end", "name", "score", "strand", "signal", "p", "q", "offset"]
_NUMBERS = ("score", "signal", "p", "q")
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("chrom", "strand"), "category"),
    **dict.fromkeys(("start", "end", "offset"), np.int64),
    **dict.fromkeys(_NUMBERS, np.float64),
}
_CURE = "Correct or remove the line; coordinates are 0-based, half-open."
_INTEGER = re.compile(r"-?[0-9]+")


def read_peaks(path: str | Path, format: Format = "auto") -> pd.DataFrame:
    """Read peaks as an interval table, in the order of the file.

    Parameters
    ----------
    path : path
        BED (3 columns or more), narrowPeak or broadPeak; or with their header `_peaks.xls` of MACS
        and GRanges of R, which count from 1 and are made 0-based (`headed`).
    format : {"auto", "bed", "narrowPeak", "broadPeak"}
        "auto": by the name where it says so, else 10 columns with numbers in 7 to 10 are
        narrowPeak. Columns beyond the format's are left unread (so are columns 4 to 6 of a BED that
        are no name, score, strand).

    Returns
    -------
    DataFrame
        chrom (str), start, end (int64); then those present of name (str), score (float64, NaN for
        "."), strand ("+", "-", "."), signal, p, q (float64, -log10 in p and q, -1 if absent),
        summit (int64 position, -1 if absent). The index, named "line", is the 1-based line of the
        file. `attrs`: source, format, ignored (columns), summits_at_end (summits given one base
        past the end, as SPP writes, taken as the last base), notes (what was changed).

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or of another format; or for the first line that
        has another number of columns, a coordinate that is no whole number, start < 0, start >= end
        or a summit outside its peak.

    References
    ----------
    https://genome.ucsc.edu/FAQ/FAQformat.html#format1, #format12, #format13

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.narrowPeak"
    >>> _ = name.write_text("track name=a\\nchr1\\t10\\t20\\tp1\\t5\\t.\\t1.5\\t-1\\t-1\\t4\\n")
    >>> table = read_peaks(name)
    >>> table[["chrom", "start", "end", "signal", "summit"]].values.tolist(), table.index.tolist()
    ([['chr1', 10, 20, 1.5, 14]], [2])
    """
    whole = read_text(path, WHAT)
    text, lines = data_lines(whole)
    if not text:
        raise InputError(
            "the file holds no peak",
            where=str(path),
            found="header, comment or blank lines only",
            expected=WHAT,
        )
    headed = read_headed(text, lines, last_comment(whole, int(lines[0])), path)
    # A comment that names BED's columns changes nothing about BED.
    base = None if headed is None else headed.attrs["counts_from"]
    if headed is not None and (base == 1 or (base == 0 and not headed.attrs["commented"])):
        return headed
    fields = text[: text.index(b"\n")].decode("utf-8", "replace").split("\t")
    kind, n_read = _kind(fields, Path(path).name, format)
    ignored: list[str] = []
    while True:
        names = [name for name in _COLUMNS[:n_read] if name not in ignored]
        table = _parse(text, lines, len(fields), names, str(path))
        if isinstance(table, pd.DataFrame):
            break
        if kind != "bed":
            _explain(text, lines, len(fields), names, str(path), kind)
        ignored.append(table)
    table.attrs = {
        "source": str(path),
        "format": kind,
        "ignored": [*ignored, *map(str, range(n_read + 1, len(fields) + 1))],
    }
    _check(table, text, lines, fields, names, str(path), kind)
    refuse_without_header(table, path)
    if "offset" in table:
        offset = table.pop("offset").to_numpy()
        end = table["end"].to_numpy()
        # SPP rounds some summits onto the end of the peak: real ENCODE files hold them.
        table.attrs["summits_at_end"] = int((table["start"].to_numpy() + offset == end).sum())
        table["summit"] = np.where(
            offset < 0, -1, np.minimum(table["start"].to_numpy() + offset, end - 1)
        )
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_whole(text: str) -> bool:
    """Digits; also 1e+05, which R writes for 100000."""
    return bool(_INTEGER.fullmatch(text)) or (_is_number(text) and float(text).is_integer())


def _kind(fields: list[str], name: str, format: Format) -> tuple[str, int]:
    """Decide the format and how many of its columns the file has."""
    if format not in ("auto", "bed", "narrowPeak", "broadPeak"):
        raise ValueError(
            f"format must be 'auto', 'bed', 'narrowPeak' or 'broadPeak', not {format!r}"
        )
    n = len(fields)
    if format == "auto":
        lower = name.lower()
        if "narrowpeak" in lower and n >= 10:
            format = "narrowPeak"
        elif "broadpeak" in lower and n >= 9:
            format = "broadPeak"
        elif (
            n == 10
            and all(map(_is_number, fields[6:9]))
            and _INTEGER.fullmatch(fields[9])
            and fields[5] in ("+", "-", ".")
        ):
            format = "narrowPeak"
        else:
            format = "bed"
    if format == "narrowPeak":
        return format, 10
    if format == "broadPeak":
        return format, 9
    return format, min(n, 6)


def _parse(
    text: bytes, lines: NDArray[np.int64], n_columns: int, names: list[str], path: str
) -> pd.DataFrame | str:
    """Parse all lines at once; return the name of a BED column that is not what BED says there."""
    kind = "narrowPeak" if "offset" in names else "broadPeak" if "signal" in names else "bed"
    wanted = [_COLUMNS.index(name) for name in names]
    if (
        n_columns < 3
        or n_columns <= max(wanted)
        or find_separators(text, len(lines), n_columns - 1) is None
    ):
        _explain(text, lines, n_columns, names, path, kind)
    types: dict[int, Any] = {i: _TYPES.get(_COLUMNS[i], str) for i in wanted}
    dots: Any = {i: ["."] for i in wanted if _COLUMNS[i] in _NUMBERS}
    try:
        table = pd.read_csv(
            io.BytesIO(text),
            sep="\t",
            header=None,
            usecols=wanted,
            dtype=types,
            float_precision=precision_for(text),
            quoting=3,
            keep_default_na=False,
            na_values=dots,
            skip_blank_lines=False,
            encoding="utf-8",
            encoding_errors="replace",
        )
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        if kind == "bed" and "score" in names and not _score_fits(text, wanted, n_columns):
            return "score"
        _explain(text, lines, n_columns, names, path, kind)
        raise InputError(  # _explain found no line to blame
            "a line cannot be read", where=path, found=str(error)[:200], expected=WHAT, do=_CURE
        ) from None
    if len(table) != len(lines):
        _explain(text, lines, n_columns, names, path, kind)
    table.columns = pd.Index([_COLUMNS[i] for i in wanted])
    for name in ("chrom", "strand"):
        if name in table:
            values = table[name].cat
            if name == "strand" and not set(values.categories) <= {"+", "-", "."}:
                if kind == "bed":
                    return "strand"
                _explain(text, lines, n_columns, names, path, kind)
            words = np.asarray(values.categories, dtype=object)
            table[name] = words[values.codes.to_numpy()]
    if table["chrom"].eq("").any():
        _explain(text, lines, n_columns, names, path, kind)
    table.index = pd.Index(lines, name="line")
    return table


def _score_fits(text: bytes, wanted: list[int], n_columns: int) -> bool:
    column = _COLUMNS.index("score")
    scores = pd.read_csv(
        io.BytesIO(text),
        sep="\t",
        header=None,
        usecols=[column],
        dtype=str,
        quoting=3,
        keep_default_na=False,
        skip_blank_lines=False,
        encoding_errors="replace",
    )[column]
    return not np.isnan(to_numbers(scores.where(scores != ".", "0"))).any()


def _explain_field(
    column: str, fields: list[str], line: str, where: str, kind: str, *, first: bool
) -> None:
    """Raise the message about one field, if it cannot be read."""
    value = fields[_COLUMNS.index(column)]
    if column in ("start", "end", "offset") and not _is_whole(value):
        if first and column == "start" and not any(map(_is_number, fields)):
            do = (
                "If this is a column header, put # before it or remove it; coordinates must"
                " count from 0."
            )
        else:
            do = _CURE
        what = "the summit offset" if column == "offset" else f"the {column}"
        raise InputError(
            f"{what} is not a whole number",
            where=where,
            found=repr(value),
            expected=f"digits in column {_COLUMNS.index(column) + 1}",
            do=do,
        )
    if column in ("start", "end", "offset") and abs(float(value)) > np.iinfo(np.int64).max:
        raise InputError(
            f"the {column} is no position on a chromosome",
            where=where,
            found=value,
            expected="a 0-based coordinate in bp",
            do=_CURE,
        )
    if column == "chrom" and not value.strip():
        raise InputError(
            "the chromosome has no name",
            where=where,
            found=repr(line[:60]),
            expected="chromosome, start, end",
            do=_CURE,
        )
    known = value == "." or (_is_number(value) and not np.isnan(float(value)))
    if column in _NUMBERS and kind != "bed" and not known:
        raise InputError(
            f"the {column} is not a number",
            where=where,
            found=repr(value),
            expected=f"a number in column {_COLUMNS.index(column) + 1} of {kind}",
            do=f"If the file is not {kind}, leave these columns out: cut -f1-6.",
        )
    if column == "strand" and kind != "bed" and value not in ("+", "-", "."):
        raise InputError(
            "not a strand",
            where=where,
            found=repr(value),
            expected="+, - or . in column 6",
            do=_CURE,
        )


def _explain(
    text: bytes, lines: NDArray[np.int64], n_columns: int, names: list[str], path: str, kind: str
) -> None:
    """Find the first line that cannot be read and raise the message about it."""
    need = max(_COLUMNS.index(name) for name in names) + 1
    for number, raw in zip(lines, text.split(b"\n"), strict=False):
        line = raw.decode("utf-8", "replace")
        fields = line.split("\t")
        where = f"{path}, line {number}"
        if len(fields) < max(need, 3):
            if len(line.split()) >= 3 and len(fields) == 1:
                raise InputError(
                    "the columns are not separated by tabs",
                    where=where,
                    found=repr(line[:60]),
                    expected=WHAT,
                    do="Make tabs of them, for example: sed -E 's/[ ,;]+/\\t/g'",
                )
            raise InputError(
                "wrong format" if number == lines[0] else "the line is cut short",
                where=where,
                found=f"{len(fields)} column{'s' * (len(fields) != 1)}: {line[:60]!r}",
                expected=(
                    f"{n_columns} columns as in the first line"
                    if number != lines[0]
                    else f"at least {max(need, 3)} tab-separated columns ({kind})"
                ),
                do=_CURE if number != lines[0] else "Give a BED or narrowPeak file.",
            )
        for column in names:
            _explain_field(column, fields, line, where, kind, first=number == lines[0])
        if len(fields) != n_columns:
            raise InputError(
                "the line has another number of columns than the first",
                where=where,
                found=f"{len(fields)}: {line[:60]!r}",
                expected=str(n_columns),
                do=_CURE,
            )


def _check(
    table: pd.DataFrame,
    text: bytes,
    lines: NDArray[np.int64],
    fields: list[str],
    names: list[str],
    path: str,
    kind: str,
) -> None:
    """Refuse impossible coordinates, by line."""
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    tests = [
        (start < 0, "the start is negative", "a start of at least 0", _CURE),
        (
            start >= end,
            "the interval holds no base",
            "start < end",
            (
                "Coordinates are 0-based, half-open (BED): the base at 1-based position p is (p -"
                " 1, p)."
            ),
        ),
    ]
    if "offset" in table:
        offset = table["offset"].to_numpy()
        tests.append(
            (
                (offset < -1) | (offset > end - start),
                "the summit is outside its peak",
                "an offset from the start, at most the width (or -1)",
                (
                    "Column 10 of narrowPeak counts from the start; leave it out to read the rest:"
                    " cut -f1-6."
                ),
            )
        )
    for wrong, what, expected, do in tests:
        if wrong.any():
            row = int(wrong.argmax())
            more = int(wrong.sum()) - 1
            shown = show(table, row) + (
                f" with offset {int(table['offset'].iloc[row])}" if "summit" in what else ""
            )
            raise InputError(
                what + (f" (and so in {more} more lines)" if more else ""),
                where=f"{path}, line {int(lines[row])}",
                found=shown,
                expected=expected,
                do=do,
            )


def write_bed(path: str | Path, table: pd.DataFrame) -> None:
    """Write an interval table as BED, whole or not at all; gzip if the name ends in .gz.

    Parameters
    ----------
    path : path
    table : DataFrame
        chrom, start, end; then name, score, strand as far as present (a gap in between is filled
        with ".").

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.bed"
    >>> write_bed(
    ...     name, pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [9], "strand": ["+"]})
    ... )
    >>> name.read_text()
    'chr1\\t5\\t9\\t.\\t.\\t+\\n'
    """
    last = max(i for i, name in enumerate(_COLUMNS[:6]) if name in table.columns or i < 3)
    _write(path, {name: table.get(name, ".") for name in _COLUMNS[: last + 1]}, len(table))


def write_narrow_peak(path: str | Path, table: pd.DataFrame) -> None:
    """Write an interval table as narrowPeak, whole or not at all; gzip if the name ends in .gz.

    Parameters
    ----------
    path : path
    table : DataFrame
        chrom, start, end; name, score, strand, signal, p, q, summit (position) where present, else
        the format's own "none" (".", 0, ".", 0, -1, -1, -1).

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.narrowPeak"
    >>> write_narrow_peak(
    ...     name, pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [9], "summit": [7]})
    ... )
    >>> name.read_text()
    'chr1\\t5\\t9\\t.\\t0\\t.\\t0\\t-1\\t-1\\t2\\n'
    """
    columns = {
        name: table.get(name, default)
        for name, default in zip(_COLUMNS[:9], [".", 0, 0, ".", 0, ".", 0, -1, -1], strict=True)
    }
    if "summit" in table:
        columns["offset"] = np.where(table["summit"] < 0, -1, table["summit"] - table["start"])
    else:
        columns["offset"] = -1
    _write(path, columns, len(table))


def _write(path: str | Path, columns: dict[str, object], n: int) -> None:
    out = (
        pd.DataFrame(columns, index=range(n))
        if n == 0
        else pd.DataFrame(
            {name: np.broadcast_to(np.asarray(value), (n,)) for name, value in columns.items()}
        )
    )
    with atomic_file(path) as temporary:
        compression = {"method": "gzip", "mtime": 0} if str(path).endswith(".gz") else None
        out.to_csv(
            temporary,
            sep="\t",
            header=False,
            index=False,
            na_rep=".",
            quoting=3,
            compression=compression,
            lineterminator="\n",
        )

"""A genome-wide table (TSV) as one HTML page that sorts and filters it, offline."""

import csv
import math
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from epilm.atomic import atomic_file, size_of
from epilm.errors import InputError
from epilm.exploring.explore_page import ROOM, render_page, safe_json
from epilm.genome.limits import open_text

UNKNOWN = ("", ".", "NA", "nan", "NaN")


class TablePage(NamedTuple):
    """What was written.

    Attributes
    ----------
    out : Path
    rows, left_out : int
    size : int
        Bytes of the page.
    """

    out: Path
    rows: int
    left_out: int
    size: int

    def summary(self) -> dict[str, Any]:
        """JSON values."""
        return self._asdict() | {"out": str(self.out)}

    def text(self) -> str:
        """A line to print."""
        left = f", {self.left_out:,} left out" if self.left_out else ""
        return f"{self.rows:,} rows{left}, {size_of(self.size)}: {self.out}"


def explore_table(
    table: str | Path, out: str | Path, *, title: str | None = None, max_mb: float = 20.0
) -> TablePage:
    """Write a table as one self-contained page: a click on a column sorts, words filter.

    Parameters
    ----------
    table : path
        Tab-separated with a header line, plain or gzip: what `epilm score-variants`, `predict` or
        `evaluate` wrote.
    out : path
    title : str, optional
        The file's name where not given.
    max_mb : float
        Rows that have no room are left out from the end, and the page says how many.

    Raises
    ------
    InputError
        If there is no such file, it has no header or no row, or a line has another number of
        columns.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.tsv").write_text("chrom\\tscore\\nchr1\\t0.5\\nchr2\\t.\\n")
    >>> explore_table(folder / "a.tsv", folder / "a.html").rows
    2
    """
    path = Path(table)
    lines = _lines(path)
    header = next(lines, None)
    if header is None or len(header[1]) < 2:
        raise InputError(
            "the table has no header line",
            where=str(path),
            found="an empty file" if header is None else f"one column: {header[1][0][:60]!r}",
            expected="names of columns between tabs",
        )
    names = header[1]
    own = (files("epilm.exploring") / "table.js").read_text(encoding="utf-8")
    room = max_mb * 1e6 - len(own) - ROOM
    rows: list[list[str]] = []
    used, left_out = 0, 0
    for number, fields in lines:
        if len(fields) != len(names):
            raise InputError(
                "the line has another number of columns than the header",
                where=f"{path}, line {number}",
                found=len(fields),
                expected=len(names),
            )
        used += len(safe_json(fields)) + 1
        if used > room:
            left_out += 1
            continue
        rows.append(fields)
    if not rows:
        raise InputError(
            "the table has no row" if not left_out else "not even the first row fits on the page",
            where=str(path),
            expected="rows below the header" if not left_out else f"room in {max_mb:g} MB",
        )
    columns = [[row[c] for row in rows] for c in range(len(names))]
    numeric = [all(map(_is_number, c)) and any(v not in UNKNOWN for v in c) for c in columns]
    notes = []
    if left_out:
        notes.append(
            f"the last {left_out:,} of {len(rows) + left_out:,} rows are left out: the page would"
            f" be larger than {max_mb:g} MB (--max-mb)"
        )
    name = title or path.name
    value = {"title": name, "names": names, "numeric": numeric, "rows": rows, "notes": notes}
    text = render_page(name, value, "table.html.j2", [own])
    raw = text.encode("utf-8")
    with atomic_file(out, wants=len(raw)) as temporary:
        temporary.write_bytes(raw)
    return TablePage(Path(out), len(rows), left_out, len(raw))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines that hold something, with their numbers."""
    if not path.is_file():
        raise InputError("there is no such file", where=str(path))
    line = 0
    try:
        with open_text(path, path.suffix == ".gz") as text:
            reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
            for line, fields in enumerate(reader, 1):
                if fields and not (len(fields) == 1 and fields[0].startswith("##")):
                    yield line, fields
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            "the table cannot be read", where=f"{path}, after line {line}", found=error
        ) from None


def _is_number(text: str) -> bool:
    """Whether a field is a number, or says that there is none.

    Examples
    --------
    >>> _is_number("1e-3"), _is_number("."), _is_number("chr1"), _is_number("inf")
    (True, True, False, True)
    """
    if text in UNKNOWN:
        return True
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False

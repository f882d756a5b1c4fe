"""The rows of a trial on disk: one JSON line each, written as soon as it is made.

A kill can cut the last line short: it is left out when read, and never runs into the next one.
"""

import json
import os
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

from epilm.atomic import plain
from epilm.plots.page import read_lines

Row = dict[str, Any]


def append_row(path: Path, row: Mapping[str, Any]) -> Row:
    r"""Write a row behind the others, and give it as JSON has it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.jsonl"
    >>> _ = path.write_text('{"a": 1}\n{"a": 2, "cut sh')
    >>> append_row(path, {"a": 3, "score": float("nan")})
    {'a': 3, 'score': None}
    >>> read_rows(path, lambda row: row["a"])
    [{'a': 1}, {'a': 3, 'score': None}]
    """
    made: Row = plain(row)
    with open(path, "ab+") as handle:
        if handle.tell():
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":  # a line cut short by a kill
                handle.write(b"\n")
        handle.write(json.dumps(made).encode() + b"\n")
    return made


def read_rows(
    path: Path, key: Callable[[Row], Hashable], wanted: Callable[[Row], bool] = bool
) -> list[Row]:
    """Read the rows that are wanted, the last of each key, in the order of the file."""
    rows: dict[Hashable, Row] = {}
    for row in read_lines(path):
        if wanted(row):
            rows.pop(key(row), None)
            rows[key(row)] = row
    return list(rows.values())

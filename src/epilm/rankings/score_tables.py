"""Tables of binding scores from files: JSON of `epilm evaluate --task binding`, or CSV and TSV of
anyone.

What cannot be read is an error with file, line and column; what means nothing
here is kept by name, so that the leaderboard can say it.
"""

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epilm.errors import InputError, nearest
from epilm.metrics.bin_scores import FOLDS, METRICS, BindingScores
from epilm.tasks.sequences import read_lines

_KEYS = tuple(BindingScores.__annotations__)
_COUNTS = ("n", "positives", "ambiguous")
_SHORT = {"induced_pluripotent_stem_cell": "iPSC"}
_LONG = {short: long for long, short in _SHORT.items()}
_UNKNOWN = {"", "na", "n/a", "nan", "none", "null"}


@dataclass
class Entry:
    """Scores of one model on one dataset (FACTOR:CELL), the ten resamples where known, and where
    they stand.
    """

    model: str
    dataset: str
    scores: dict[str, Any]
    where: str
    resamples: list[dict[str, Any]] = field(default_factory=list)
    unread: tuple[str, ...] = ()  # columns or names of the file that mean nothing here


def dataset_name(factor: str, cell: str) -> str:
    """Name a dataset FACTOR:CELL, the cell type as the challenge spells it.

    Examples
    --------
    >>> dataset_name("CTCF", "iPSC")
    'CTCF:induced_pluripotent_stem_cell'
    """
    return f"{factor}:{_LONG.get(cell, cell)}"


def short_name(dataset: str) -> str:
    """Give a dataset's name for a table or picture.

    Examples
    --------
    >>> short_name("CTCF:induced_pluripotent_stem_cell")
    'CTCF:iPSC'
    """
    factor, colon, cell = dataset.partition(":")
    return f"{factor}{colon}{_SHORT.get(cell, cell)}"


def read_scores(path: str | Path) -> list[Entry]:
    """Read a table of scores: JSON by its first character, otherwise CSV or TSV.

    Raises
    ------
    InputError
        Naming file, line and column (or entry and key).
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("expected a file of scores, not a folder", where=str(path))
    lines = list(read_lines(path))
    start = next((text.lstrip()[0] for _, text in lines if text.strip()), "")
    return (
        _read_json(path, "\n".join(text for _, text in lines))
        if start in "[{" and start
        else _read_csv(path, lines)
    )


def _read_json(path: Path, text: str) -> list[Entry]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            "not valid JSON",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            found=error.msg,
        ) from None
    items = data if isinstance(data, list) else [data]
    entries = []
    for number, item in enumerate(items, 1):
        where = f"{path}, entry {number}" if isinstance(data, list) else str(path)
        if not isinstance(item, dict) or item.get("task", "dream") != "dream":
            raise InputError(
                "not a table of binding scores",
                where=where,
                found=f"task {item['task']!r}" if isinstance(item, dict) else type(item).__name__,
                expected=(
                    '{"task": "dream", "model": ..., "factor": ..., "cell": ..., "scores": {...}}'
                ),
                do="Write it with `epilm evaluate --task binding --json`.",
            )
        for key in ("model", "scores", *(() if item.get("dataset") else ("factor", "cell"))):
            if item.get(key) in (None, ""):
                raise InputError(f"the key {key!r} is missing", where=where)
        if not isinstance(item["scores"], dict):
            raise InputError(
                "`scores` must be names with numbers",
                where=where,
                found=type(item["scores"]).__name__,
            )
        given = item.get("resamples") or item["scores"].get("resamples") or []
        dataset = str(item.get("dataset") or f"{item['factor']}:{item['cell']}")
        entries.append(
            Entry(
                str(item["model"]),
                _canonical(dataset),
                _checked(item["scores"], where),
                where,
                [_checked(part, f"{where}, resample {i}") for i, part in enumerate(given)],
            )
        )
    if not entries:
        raise InputError("the list of scores is empty", where=str(path))
    return entries


def _checked(scores: dict[str, Any], where: str) -> dict[str, Any]:
    """The known scores of a dict, every one a number of its range or None."""
    out = {}
    for key, value in scores.items():
        if key not in _KEYS:
            continue  # a later version may write more
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"{key} is not a number", where=where, found=repr(value))
        out[key] = _in_range(value, key, where)
    return out


def _in_range(value: float | None, key: str, where: str) -> float | None:
    if value is None or math.isnan(value):
        return None
    if value < 0 or (value > 1 and key not in _COUNTS):
        raise InputError(f"{key} is out of range", where=where, found=value, expected="0 to 1")
    return value


def _columns_of(header: str, where: str) -> tuple[str, list[str], tuple[str, ...]]:
    """What stands between columns, their names, and those that there must be."""
    cut = "\t" if "\t" in header else ","
    names = [name.strip() for name in next(csv.reader([header], delimiter=cut))]
    needed = ("model", *(() if {"factor", "cell"} <= set(names) else ("dataset",)), *METRICS)
    missing = [name for name in needed if name not in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    hint = nearest(missing[0], names) if missing else ""
    if missing or twice:
        raise InputError(
            (
                f"the column {missing[0]} is missing"
                if missing
                else f"the column {twice[0]} stands twice"
            ),
            where=where,
            found=", ".join(names)[:120],
            expected=", ".join(needed),
            do=hint.partition(" Known")[0] if hint.startswith("Did") else None,
        )
    return cut, names, needed


def _add_resample(
    mine: dict[int, dict[str, Any]],
    part: str,
    scores: dict[str, Any],
    where: str,
    model: str,
    dataset: str,
) -> None:
    """Put the scores of a resample beside the others of its model and dataset."""
    if not part.isdigit() or int(part) >= FOLDS:
        raise InputError(
            "no resample",
            where=f"{where}, column resample",
            found=repr(part),
            expected="0 to 9",
        )
    if int(part) in mine:
        raise InputError(f"resample {part} of {model} on {dataset} stands twice", where=where)
    mine[int(part)] = scores


def _read_csv(path: Path, lines: list[tuple[int, str]]) -> list[Entry]:
    rows = [(n, text) for n, text in lines if text.strip() and not text.startswith("#")]
    if not rows:
        raise InputError("the table is empty", where=str(path))
    number, header = rows[0]
    cut, names, needed = _columns_of(header, f"{path}, line {number}")
    known = {"model", "dataset", "factor", "cell", "resample", *_KEYS}
    unread = tuple(name for name in names if name not in known)
    entries: dict[tuple[str, str], Entry] = {}
    parts: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for number, text in rows[1:]:
        where = f"{path}, line {number}"
        cells = [cell.strip() for cell in next(csv.reader([text], delimiter=cut))]
        if len(cells) != len(names):
            raise InputError(
                "the row does not fit the header",
                where=where,
                found=f"{len(cells)} columns",
                expected=len(names),
            )
        row = dict(zip(names, cells))
        for name in needed[: -len(METRICS)]:
            if not row[name]:
                raise InputError(f"the column {name} is empty", where=f"{where}, column {name}")
        model = row["model"]
        dataset = _canonical(
            row["dataset"] if row.get("dataset") else f"{row['factor']}:{row['cell']}"
        )
        scores = {
            key: _number(row[key], key, f"{where}, column {key}") for key in _KEYS if key in row
        }
        part = row.get("resample", "")
        if part:
            _add_resample(
                parts.setdefault((dataset, model), {}), part, scores, where, model, dataset
            )
            continue
        if (dataset, model) in entries:
            raise InputError(
                f"{model} has scores for {dataset} already",
                where=where,
                found=f"the first in {entries[dataset, model].where}",
            )
        entries[dataset, model] = Entry(model, dataset, scores, where, unread=unread)
    for (dataset, model), resamples in parts.items():
        if (dataset, model) not in entries:
            raise InputError(
                f"{model} on {dataset} has resamples and no scores of the whole set",
                where=str(path),
                do="Add a row with an empty `resample`.",
            )
        entries[dataset, model].resamples = [resamples[i] for i in sorted(resamples)]
    if not entries:
        raise InputError("the table has a header and no rows", where=str(path))
    return list(entries.values())


def _number(text: str, key: str, where: str) -> float | None:
    if text.lower() in _UNKNOWN:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(
            f"{key} is not a number",
            where=where,
            found=repr(text),
            expected="0 to 1, or empty where undefined",
        ) from None
    return _in_range(value, key, where)


def _canonical(dataset: str) -> str:
    factor, colon, cell = dataset.partition(":")
    return dataset_name(factor, cell) if colon else dataset

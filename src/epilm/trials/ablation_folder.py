"""What both kinds of ablation do with files: the description's table, the folder and its claim, the
rows in it.

Neighbours: `ablation` (invented worlds), `ablation_data` (given data).
"""

import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from epilm.atomic import write_json
from epilm.errors import RecipeError, TrainingError, UsageError
from epilm.recipes.recipe import Source, flat, read_yaml
from epilm.training.log import plain

ABLATIONS = Path(__file__).parent / "designs"
ROWS = "rows.jsonl"
FIRST_SEED = 1  # the settings of a shipped description were chosen on the world of seed 0

Row = dict[str, Any]


def read_table(path: Path) -> tuple[dict[str, Any], Source]:
    """Read the keys of a description, and where they stand.

    Raises
    ------
    RecipeError
        If the file is no table of keys.
    """
    source = Source(path.name if path.parent == ABLATIONS else str(path))
    table = read_yaml(path.read_text(encoding="utf-8"), source)
    if not isinstance(table, dict):
        raise RecipeError(
            "an ablation is a table of keys", where=source.name, found=type(table).__name__
        )
    return table, source


def seeds_of(seeds: int | Sequence[int]) -> list[int]:
    """Give the seeds: so many from the first on, or those named.

    Raises
    ------
    UsageError
        If there is none, or one is negative.

    Examples
    --------
    >>> seeds_of(3), seeds_of([6, 7])
    ([1, 2, 3], [6, 7])
    """
    wanted = list(range(FIRST_SEED, FIRST_SEED + seeds)) if isinstance(seeds, int) else list(seeds)
    if not wanted or min(wanted) < 0:
        raise UsageError(
            "impossible value",
            where="--seeds",
            found=seeds,
            expected="at least one seed, none negative",
        )
    return wanted


def claim_folder(
    folder: Path,
    name: str,
    mine: Mapping[str, Any],
    changed: Callable[[dict[str, Any], dict[str, Any]], Sequence[tuple[str, Any, Any]]],
    do: str,
) -> None:
    """Take a new folder, or one that holds this very ablation.

    Parameters
    ----------
    folder : path
    name : str
        The file that says what the folder holds.
    mine : mapping
        What is to be written there.
    changed : callable
        (what stands there, mine) to the keys that differ and make other rows, with both values.
    do : str
        The cure for a folder of another ablation.

    Raises
    ------
    TrainingError
        If the folder holds another ablation, or something else.
    """
    path = folder / name
    if path.is_file():
        before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(mine))
        if other := changed(before, now):
            raise TrainingError(
                "the folder holds another ablation",
                where=str(folder),
                found="; ".join(
                    f"{key} was {old!s:.60}, is {new!s:.60}" for key, old, new in other[:3]
                ),
                do=do,
            )
    elif folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise TrainingError(
            "the folder holds something that is not an ablation",
            where=str(folder),
            found=", ".join(sorted(p.name for p in folder.iterdir())[:5]),
            do="Choose another --out.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, dict(mine))


def other_rows(
    before: Mapping[str, Any], now: Mapping[str, Any], lists: Sequence[str]
) -> list[tuple[str, Any, Any]]:
    """Name the keys of two descriptions that differ and make other rows, with both values.

    Items of `lists` (models, arms, ...) are told apart by their names: what the old one has not is
    a row more. Titles, claims and the settings an arm is for change no row.

    Examples
    --------
    >>> old = {"epochs": 3, "claims": [], "arms": [{"name": "a", "lr": 1, "title": "A"}]}
    >>> other_rows(
    ...     old, {"epochs": 3, "arms": [{"name": "a", "lr": 1}, {"name": "b", "lr": 2}]}, ["arms"]
    ... )
    []
    >>> other_rows(old, {"epochs": 3, "arms": [{"name": "a", "lr": 2}]}, ["arms"])
    [('arms.a.lr', 1, 2)]
    """
    old, new = (
        flat(
            {
                key: {item["name"]: item for item in value} if key in lists else value
                for key, value in table.items()
                if key != "claims"
            }
        )
        for table in (before, now)
    )
    rows = [key for key in old if key in new and not re.search(r"(^|\.)(title|only)$", key)]
    return [(key, old[key], new[key]) for key in rows if old[key] != new[key]]


def append_row(folder: Path, row: Mapping[str, Any]) -> Row:
    """Write a row as soon as it is done; give it as JSON has it."""
    made: Row = plain(row)
    with open(folder / ROWS, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(made) + "\n")
    return made


def rows_in(
    folder: Path, key: Callable[[Row], Hashable], described: Callable[[Row], bool]
) -> list[Row]:
    """Rows that a folder holds, the last of a key; a line cut short by a kill and rows no longer
    described are left out.
    """
    path = folder / ROWS
    rows: dict[Hashable, Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if described(row):
            rows[key(row)] = row
    return list(rows.values())

"""The engine under every trial: arms x settings x seeds, a row each, into one table and one page.

A maker says what there is to do and does one row; the engine claims the folder, does the rows that
it lacks one after another, and writes each row, the tables and the page as soon as the row is made.
So a stopped trial goes on where it was, and seeds, arms and settings can be added later. What a
row needs is checked by the maker before the first one is begun; a row that cannot be is left out
and said. A maker may let a row fail with its reason and go on; the same command tries it again.
Neighbours: `worlds`, `given`, `compare` make rows, `trial_table` adds up, `trial_page` draws.
"""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from epilm.atomic import locked, write_json
from epilm.errors import TrainingError, UsageError
from epilm.plots.page import Page, load_json, write_page
from epilm.recipes.recipe import flat
from epilm.trials.row_files import Row, append_row, read_rows
from epilm.trials.trial_table import Design, scored, summarise
from epilm.trials.trial_text import text_of, write_tables
from epilm.trials.verdicts import Verdict, judge

PAGE = "report.html"
FIRST_SEED = 1  # the settings of a shipped description were chosen on the world of seed 0
_NAMED = ("models", "arms", "controls", "settings")  # lists whose items are told apart by name
_REST = 20  # tables and page are not made again before this many times what they took have passed

Say = Callable[[str], None]
Key = tuple[int, str, str]  # seed, setting, arm


class Maker(ABC):
    """What a kind of trial gives the engine; all that can be wrong was refused in making it.

    Attributes
    ----------
    design : Design
        What the table is made of.
    left_out : dict
        Rows (setting, arm) that cannot be, and why.
    around : callable
        What all rows are made in; all threads there are where not other.
    page_reads : tuple of str
        Patterns of the files of the folder that the page reads beside the rows.
    usual : mapping
        Tables of settings as they are where nothing is said: what a plan does not name, since it
        was begun before there was such a setting, was that.
    """

    design: Design
    left_out: dict[tuple[str, str], str]
    around: Callable[[], AbstractContextManager[Any]] = staticmethod(nullcontext)
    page_reads: tuple[str, ...] = ()
    usual: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def plan(self) -> dict[str, Any]:
        """What the folder keeps; where a value of it differs, rows would too."""

    @abstractmethod
    def keys(self, seeds: Sequence[int]) -> Iterable[Key]:
        """All rows, in the order in which they are made."""

    @abstractmethod
    def make(self, key: Key, folder: Path, say: Say) -> Mapping[str, Any]:
        """Make one row, or go on with it: its scores, and `seconds` where other than all."""

    def make_all(
        self, keys: Sequence[Key], folder: Path, say: Say
    ) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """Make rows, each given as soon as it is there; one after another where not other."""
        for key in keys:
            started = time.monotonic()
            row = dict(self.make(key, folder, say))
            row.setdefault("seconds", time.monotonic() - started)
            yield key, row

    def piece(self, key: Key) -> Hashable:
        """What is made in one shard: rows that belong together; each row alone where not other."""
        return key

    def starts(self, seeds: Sequence[int]) -> Sequence[str]:
        """Runs and checkpoints that rows start from."""
        return ()

    def check_first(  # noqa: B027 - most kinds have nothing to see
        self, folder: Path, rows: Sequence[Row], keys: Sequence[Key], say: Say
    ) -> None:
        """Refuse what can be seen from the rows that a folder has, before the others are begun."""

    def in_order(self, rows: list[Row]) -> list[Row]:
        """Rows as the table has them; seed after seed where the design says its lines."""
        return rows_in_order(self.design, rows)

    @abstractmethod
    def page(self, folder: Path) -> Page:
        """The page of the folder as it is now."""


@dataclass
class TrialResult:
    """What came out.

    Attributes
    ----------
    design : Design
    rows : list of dict
        seed, setting and arm by the words of the trial, scores, seconds.
    report : Path
        The page.
    left_out : list of str
        Rows that cannot be, and why.
    """

    design: Design
    rows: list[Row]
    report: Path
    left_out: list[str] = field(default_factory=list)

    @property
    def table(self) -> list[dict[str, Any]]:
        """A setting and arm a line: seeds, mean and sample sd of each score, and of each factor."""
        return summarise(self.design, self.rows)

    @property
    def verdicts(self) -> list[Verdict]:
        """A claim, a setting and a score each."""
        return judge(self.design, self.rows)

    def summary(self) -> dict[str, Any]:
        """JSON values."""
        return {"rows": len(self.rows), "table": self.table, "report": str(self.report)}

    def text(self) -> str:
        """The tables and the verdicts, to print."""
        return text_of(self.design, self.rows, self.left_out)


def run_trial(
    maker: Maker, out: str | Path, seeds: Sequence[int], say: Say | None = None
) -> TrialResult:
    """Make the rows that a folder lacks, and its tables and page.

    Parameters
    ----------
    maker : Maker
    out : path
        A new folder, or one that was begun with the same plan.
    seeds : sequence of int
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    TrialResult
        Of all rows that the folder has and the design asks for, those of other seeds too.

    Raises
    ------
    TrainingError
        If the folder holds another trial, or something else.
    EpilmError
        If another process writes it.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    folder, design = Path(out), maker.design
    words = design.words
    left_out = [f"{_name(*missing)}: {why}" for missing, why in maker.left_out.items()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder), maker.around():
        claim_folder(folder, maker, design)
        for text in left_out:
            say(f"left out: {text}")
        rows = rows_of(folder, design)
        done = {key_of(design, row) for row in scored(rows)}
        wanted = [key for key in maker.keys(seeds) if key[1:] not in maker.left_out]
        drawn = spent = 0.0
        try:
            missing = [key for key in wanted if key not in done]
            for key, made in maker.make_all(missing, folder, say):
                row = append_row(folder / words.rows, named_row(design, key) | dict(made))
                rows = [*(old for old in rows if not _outdated(design, old, row)), row]
                done.add(key)
                say(told_of(design, row))
                if (begun := time.monotonic()) >= drawn + _REST * spent:
                    write_tables(folder, design, rows)
                    write_page(maker.page(folder), folder / PAGE)
                    drawn = time.monotonic()
                    spent = drawn - begun
        except KeyboardInterrupt:
            there = sum(key in done for key in wanted)
            say(f"stopped after {there} of {len(wanted)} rows: the same command goes on from there")
            raise
        finally:
            rows = maker.in_order(rows_of(folder, design))
            write_tables(folder, design, rows)
            page = write_page(maker.page(folder), folder / PAGE)
    return TrialResult(design, rows, page, left_out)


def rows_in_order(design: Design, rows: list[Row]) -> list[Row]:
    """Rows as the table has them; seed after seed where the design says its lines."""
    order = {(cell.setting, cell.arm): at for at, cell in enumerate(design.cells)}
    if not order:
        return rows
    return sorted(rows, key=lambda row: (row["seed"], order[design.place(row)]))


def seeds_of(seeds: int | Sequence[int], first: int = FIRST_SEED) -> list[int]:
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
    wanted = list(range(first, first + seeds)) if isinstance(seeds, int) else list(seeds)
    if not wanted or min(wanted) < 0:
        raise UsageError(
            "impossible value",
            where="--seeds",
            found=seeds,
            expected="at least one seed, none negative",
        )
    return wanted


def key_of(design: Design, row: Mapping[str, Any]) -> Key:
    """What makes a row one of a kind."""
    return (int(row["seed"]), *design.place(row))


def rows_of(folder: Path, design: Design) -> list[Row]:
    """Rows that a folder holds and the design asks for.

    That a whole setting failed (a row without an arm) is forgotten when one of its rows came later.
    """
    cells = {(cell.setting, cell.arm) for cell in design.cells}
    rows = read_rows(
        folder / design.words.rows,
        lambda row: key_of(design, row),
        lambda row: not cells or design.place(row) in cells,
    )
    last = {design.place(row)[0]: at for at, row in enumerate(rows) if design.place(row)[1]}
    return [
        row
        for at, row in enumerate(rows)
        if design.place(row)[1] or at > last.get(design.place(row)[0], -1)
    ]


def claim_folder(folder: Path, maker: Maker, design: Design) -> None:
    """Take a new folder, or one that was begun with the maker's plan.

    Raises
    ------
    TrainingError
        If the folder holds another trial, or something else.
    """
    words, path = design.words, folder / design.words.plan
    plan: Mapping[str, Any] = maker.plan()
    if path.is_file():
        before = load_json(path)
        if not isinstance(before, dict):
            raise TrainingError(
                "the plan of the folder cannot be read", where=str(path), do=words.cure
            )
        if other := other_values(before, plan, maker.usual):
            named = (f"{key} was {old!s:.60}, is {new!s:.60}" for key, old, new in other[:3])
            raise TrainingError(
                words.other, where=str(folder), found="; ".join(named), do=words.cure
            )
        plan = _with_kept(before, plan, words.kept)
    elif folder.exists() and (there := [p for p in folder.iterdir() if p.name[0] != "."]):
        raise TrainingError(
            f"the folder holds something that is not {words.noun}",
            where=str(folder),
            found=", ".join(sorted(p.name for p in there)[:5]),
            do="Choose another --out.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, dict(plan))


def _with_kept(
    before: Mapping[str, Any], plan: Mapping[str, Any], kept: Iterable[str]
) -> dict[str, Any]:
    """Keep what a folder has rows of and this call does not name."""
    out = dict(plan)
    for key in kept:
        if isinstance(out[key], Mapping):
            out[key] = before[key] | out[key]
        else:
            named = {item["name"] for item in out[key]}
            out[key] = [item for item in before[key] if item["name"] not in named] + out[key]
    return out


def other_values(
    before: Mapping[str, Any], now: Mapping[str, Any], usual: Mapping[str, Any] | None = None
) -> list[tuple[str, Any, Any]]:
    """Name the keys of two plans that differ and make other rows, with both values.

    Models, arms, controls and settings are told apart by their names: what the old plan has not is
    a row more. Titles, claims, what the page says about the data, and the settings an arm is for
    change no row. What the old plan does not name had the value of `usual`, where that has one.

    Examples
    --------
    >>> old = {"epochs": 3, "claims": [], "arms": [{"name": "a", "lr": 1, "title": "A"}]}
    >>> other_values(old, {"epochs": 3, "arms": [{"name": "a", "lr": 1}, {"name": "b", "lr": 2}]})
    []
    >>> other_values(old, {"epochs": 3, "arms": [{"name": "a", "lr": 2}]})
    [('arms.a.lr', 1, 2)]
    >>> usual = {"settings": {"lr": 1, "ema": 0.0}}
    >>> other_values({"settings": {"lr": 2}}, {"settings": {"lr": 2, "ema": 0.9}}, usual)
    [('settings.ema', 0.0, 0.9)]
    """

    def keyed(table: Mapping[str, Any]) -> dict[str, Any]:
        # Dataclasses hold tuples where JSON has lists.
        out: dict[str, Any] = {}
        for key, value in table.items():
            if isinstance(value, Mapping):
                value = keyed(value)
            elif isinstance(value, list | tuple):
                value = list(value)
                if key in _NAMED and all(isinstance(item, Mapping) for item in value):
                    value = {item["name"]: keyed(item) for item in value}
            if key not in ("claims", "about", "title", "only"):
                out[key] = value
        return out

    old, new = flat(keyed(before)), flat(keyed(now))
    unsaid = keyed({"plan": usual} if "plan" in before else usual) if usual else {}
    old = flat(unsaid) | old
    plain = {key.removeprefix("plan."): (old[key], new[key]) for key in old if key in new}
    return [(key, was, now) for key, (was, now) in plain.items() if was != now]


def _outdated(design: Design, old: Row, new: Row) -> bool:
    """Whether a row that failed is answered by a new one of its place, or of its setting."""
    (setting, arm), (new_setting, new_arm) = design.place(old), design.place(new)
    return bool(old.get("failed")) and setting == new_setting and arm in ("", new_arm)


def named_row(design: Design, key: Key) -> Row:
    """A row without scores: its seed, setting and arm under the words of the trial."""
    seed, setting, arm = key
    words = design.words
    return {"seed": seed, **({words.setting: setting} if words.setting else {}), words.arm: arm}


def _name(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def told_of(design: Design, row: Row) -> str:
    """A line on a row that was made."""
    if why := row.get("failed"):
        return f"{_name(*design.place(row))}: FAILED: {why}"
    values = [(score, row.get(score)) for score in design.words.printed[:3]]
    scores = ", ".join(f"{s} -" if v is None else f"{s} {v:.4f}" for s, v in values)
    seed, *key = key_of(design, row)
    alarm = f" COLLAPSE: {row['collapse']}" if row.get("collapse") else ""
    return f"seed {seed}, {_name(*key)}: {scores} ({row['seconds']:.0f} s){alarm}"

"""What a trial's table is made of, and what its rows add up to: means and deviations.

A factor may have no score in an arm (no motif of it is known): that row's mean is over fewer
factors, which the table says. A row may have failed: it has a reason in place of scores, and counts
for nothing but itself. Pure functions; `verdicts` judges, `trial_text` writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

import numpy as np

from epilm.metrics.bin_scores import HEADS, METRICS
from epilm.metrics.ranking import rank_models


@dataclass(frozen=True)
class Words:
    """What a kind of trial calls its things, in files and messages.

    Attributes
    ----------
    noun : str
        With its article.
    plan, rows : str
        Files of the folder: what it was begun with, and a line a row.
    setting, arm : str
        Keys of a row; `setting` is "" where there is one alone.
    lines : str
        The table's key in table.json; "" where the file is the table alone.
    scores : tuple of str
        Of the table, the one that decides first.
    judged : tuple of str
        Scores on which claims are judged.
    printed : tuple of str
        Scores that are printed.
    other : str
        What is wrong with a folder of another one, and `cure`.
    kept : tuple of str
        Keys of the plan of which the folder keeps what a later call does not name.
    """

    noun: str
    plan: str
    rows: str
    setting: str
    arm: str
    lines: str
    scores: tuple[str, ...]
    judged: tuple[str, ...]
    printed: tuple[str, ...]
    other: str
    cure: str = "Choose another --out."
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A line of the table: an arm in a setting, and the factors that its score is a mean over."""

    setting: str
    arm: str
    title: str = ""
    factors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """What one row should be to another: above it, or not above it, by two standard errors."""

    say: str
    more: str
    less: str
    kind: Literal["above", "not_above"] = "above"


@dataclass(frozen=True)
class Design:
    """What a table is made of.

    Attributes
    ----------
    words : Words
    cells : tuple of Cell
        In the order of the table; where there are none, the rows say them as they come.
    claims : tuple of Claim
        Judged in every setting.
    trivial : frozenset of str
        Arms without a network, or without pre-training: what the others must beat.
    controls : frozenset of str
        Arms that need not beat anything.
    published : mapping
        (setting, arm) -> score -> a paper's value, which stands beside ours; arms that only the
        paper has may be among them.
    source, note : str
        Of what is published.
    groups : mapping of str to tuple of str
        Several pre-trainings of one recipe: a name for all, and the arm of each. They are lines of
        their own, and one more of all rows.
    fixed : frozenset of str
        Arms without chance: one row says all.
    """

    words: Words
    cells: tuple[Cell, ...] = ()
    claims: tuple[Claim, ...] = ()
    trivial: frozenset[str] = frozenset()
    controls: frozenset[str] = frozenset()
    published: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    source: str = ""
    note: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()

    def place(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """Setting and arm of a row."""
        return str(row.get(self.words.setting, "")), str(row[self.words.arm])

    def lines(self, rows: Iterable[Mapping[str, Any]]) -> dict[Cell, list[Mapping[str, Any]]]:
        """Sort rows into the lines of the table that have any."""
        groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault(self.place(row), []).append(row)
        cells = self.cells or [Cell(setting, arm, arm) for setting, arm in groups]
        if self.groups:
            cells = [cell for one in cells for cell in self._with_group(one, groups)]
        known = {cell: groups.get((cell.setting, cell.arm), []) for cell in cells}
        return {cell: mine for cell, mine in known.items() if mine}

    def _with_group(
        self, cell: Cell, rows: dict[tuple[str, str], list[Mapping[str, Any]]]
    ) -> list[Cell]:
        """A line, and behind the last of a group the line of all; `rows` gets its rows."""
        for group, arms in self.groups.items():
            there = [arm for arm in arms if (cell.setting, arm) in rows]
            if cell.arm in there and cell.arm == there[-1] and len(there) > 1:
                rows[cell.setting, group] = [r for arm in there for r in rows[cell.setting, arm]]
                return [cell, Cell(cell.setting, group, f"{group}, {len(there)} pre-trainings")]
        return [cell]

    @property
    def one_of_several(self) -> frozenset[str]:
        """Arms that are a pre-training of a group."""
        return frozenset(arm for arms in self.groups.values() for arm in arms)


def spread(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of what is known; None where there is too little.

    Examples
    --------
    >>> spread([1.0, 3.0, None]), spread([2.0]), spread([])
    ((2.0, 1.4142135623730951), (2.0, None), (None, None))
    """
    known = np.array([value for value in values if is_number(value)], np.float64)
    if not len(known):
        return None, None
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else None


def is_number(value: float | None) -> TypeGuard[float]:
    """Undefined where a factor has no bound bin; None in a row read back from JSON."""
    return value is not None and bool(np.isfinite(value))


def summarise(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give mean and sample sd over seeds of each line of the table.

    Returns
    -------
    list of dict
        Setting and arm by their words, title, seeds, `<score>_mean` and `<score>_sd` (None with one
        seed). Of cells with factors: n_factors (that have a score, the fewest of all seeds),
        of_factors, factors: factor -> the same two of each score and positives, n; seconds: mean;
        notes. Of others: `<score>_lo` and `<score>_hi` where rows have a bootstrap interval over
        their test rows (means over seeds: the rows are the same, so more seeds make it no
        narrower), collapsed (how many seeds), chosen (a seed each). `failed` holds the reasons of
        rows that have no score, which are not among the seeds.

    Examples
    --------
    >>> words = Words("a comparison", "", "", "set", "who", "", ("auroc",), (), ("auroc",), "")
    >>> rows = [{"set": "a", "who": "x", "seed": s, "auroc": v} for s, v in enumerate([0.8, 0.9])]
    >>> (line,) = summarise(Design(words), rows)
    >>> line["seeds"], round(line["auroc_mean"], 3), round(line["auroc_sd"], 4)
    (2, 0.85, 0.0707)
    """
    words, table = design.words, []
    for cell, every in design.lines(rows).items():
        mine = scored(every)
        line: dict[str, Any] = {words.setting: cell.setting} if words.setting else {}
        line |= {words.arm: cell.arm, "title": cell.title or cell.arm, "seeds": len(mine)}
        line |= _spreads(mine, words.scores)
        if failed := [str(row["failed"]) for row in every if row.get("failed")]:
            line["failed"] = failed
        if cell.factors:
            counted = [row.get("n_factors", len(row["factors"])) for row in mine]
            line |= {"n_factors": min(counted), "of_factors": len(cell.factors), "factors": {}}
            for factor in cell.factors:
                known = [t for row in mine if (t := row["factors"].get(factor)) is not None]
                counts = {key: known[0].get(key) if known else None for key in ("n", "positives")}
                line["factors"][factor] = _spreads(known, words.scores) | counts
            line["seconds"] = float(np.mean([row["seconds"] for row in mine]))
            line["notes"] = list(dict.fromkeys(n for row in mine for n in row.get("notes", ())))
        else:
            for score in words.scores:
                for end in (f"{score}_lo", f"{score}_hi"):
                    if (mean := spread(row.get(end) for row in mine)[0]) is not None:
                        line[end] = mean
            line["collapsed"] = sum(bool(row.get("collapse")) for row in mine)
            line["chosen"] = [row.get("chosen") for row in mine]
        table.append(line)
    return table


def scored(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows that did not fail."""
    return [row for row in rows if not row.get("failed")]


def over_settings(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sum up many settings: of each arm the quartiles and the mean of each setting's mean score.

    Returns
    -------
    list of dict
        Arm by its word, then settings (that have a score), failed, collapsed (settings in which a
        seed has), and of each printed score `<score>_q1`, `_median`, `_q3`, `_mean`. The arm "" is
        of settings that could not be read at all.

    Examples
    --------
    >>> words = Words("a comparison", "", "", "set", "who", "", ("auroc",), (), ("auroc",), "")
    >>> rows = [
    ...     {"set": name, "who": "x", "seed": 0, "auroc": value, "collapse": value == 0.5}
    ...     for name, value in (("a", 0.5), ("b", 0.7), ("c", 0.8))
    ... ]
    >>> (line,) = over_settings(Design(words), [*rows, {"set": "d", "who": "x", "failed": "no"}])
    >>> line["settings"], line["failed"], line["collapsed"], line["auroc_median"]
    (3, 1, 1, 0.7)
    """
    word, out = design.words.arm, []
    table = summarise(design, rows)
    for arm in dict.fromkeys(line[word] for line in table):
        lines = [line for line in table if line[word] == arm]
        made: dict[str, Any] = {
            word: arm,
            "settings": sum(bool(line["seeds"]) for line in lines),
            "failed": sum("failed" in line for line in lines),
            "collapsed": sum(bool(line.get("collapsed")) for line in lines),
        }
        for score in design.words.printed:
            known = [v for line in lines if (v := line[f"{score}_mean"]) is not None]
            parts = np.quantile(known, (0.25, 0.5, 0.75)).tolist() if known else [None] * 3
            made |= dict(zip((f"{score}_{q}" for q in ("q1", "median", "q3")), parts, strict=True))
            made[f"{score}_mean"] = spread(known)[0]
        out.append(made)
    return sorted(out, key=lambda line: line[word] == "")


def said_over_settings(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line an arm on all settings; none where there is one setting alone."""
    settings = {design.place(row)[0] for row in rows}
    if len(settings) < 2 or not design.words.setting:
        return []
    noun, lead = design.words.setting, design.words.scores[0]
    out = [f"over {len(settings)} {noun}s:"]
    for line in over_settings(design, rows):
        if not (arm := line[design.words.arm]):
            out.append(f"{line['failed']} could not be used: the reason is in its row")
            continue
        said = f"{arm}: {line['settings']} {noun}s"
        if line["settings"] and line[f"{lead}_median"] is None:
            said += f", no {HEADS.get(lead, lead)}: one class alone in every test part"
        elif line["settings"]:
            said += (
                f", median {HEADS.get(lead, lead)} {line[f'{lead}_median']:.4f} (quartiles"
                f" {line[f'{lead}_q1']:.4f} to {line[f'{lead}_q3']:.4f})"
            )
        said += f", {line['collapsed']} collapsed"
        out.append(said + (f", {line['failed']} failed" if line["failed"] else ""))
    return out


def beside_paper(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ours beside what is published: the lines of every setting that the paper has.

    Returns
    -------
    list of dict
        Setting and arm by their words, title, seeds, and of each score that is published ours as
        `<score>_mean` and `<score>_sd`, and the paper's as `<score>_published`; None where one has
        none.
    """
    words, out = design.words, []
    scores = published_scores(design)
    lines: dict[tuple[str, str], Mapping[str, Any]] = {
        (str(line.get(words.setting, "")), line[words.arm]): line
        for line in summarise(design, rows)
    }
    if "mean_rank" in scores:
        lines = _with_ranks(design, lines)
    titles = {(cell.setting, cell.arm): cell.title or cell.arm for cell in design.cells}
    for setting in dict.fromkeys(setting for setting, _ in (*lines, *design.published)):
        theirs = [key for key in design.published if key[0] == setting]
        if not theirs or (not design.cells and not any(key[0] == setting for key in lines)):
            continue
        mine = [key for key in (titles or lines) if key[0] == setting]
        for key in dict.fromkeys((*mine, *theirs)):
            line = lines.get(key, {})
            made: dict[str, Any] = {words.setting: setting} if words.setting else {}
            made |= {words.arm: key[1], "title": titles.get(key, key[1])}
            made["seeds"] = line.get("seeds", 0)
            for score in scores:
                made |= {f"{score}_{what}": line.get(f"{score}_{what}") for what in ("mean", "sd")}
                made[f"{score}_published"] = design.published.get(key, {}).get(score)
            out.append(made)
    return out


def _with_ranks(
    design: Design, lines: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Add to lines the mean of their ranks in four metrics, among the published arms of a setting
    that all have a score.
    """
    out = dict(lines)
    for setting in dict.fromkeys(setting for setting, _ in design.published):
        keys = [key for key in design.published if key[0] == setting]
        scores = {
            key[1]: {metric: lines.get(key, {}).get(f"{metric}_mean") for metric in METRICS}
            for key in keys
        }
        if any(value is None for row in scores.values() for value in row.values()):
            continue
        ranked = rank_models({setting: scores}).dataset_scores
        assert ranked is not None
        for key, rank in zip(keys, ranked[0].tolist(), strict=True):
            out[key] = {**lines[key], "mean_rank_mean": rank, "mean_rank_sd": None}
    return out


def published_scores(design: Design) -> list[str]:
    """Scores that the paper gives, in the order of the trial's own where it has them."""
    named = dict.fromkeys(score for row in design.published.values() for score in row)
    order = (*design.words.printed, *design.words.scores)
    return sorted(named, key=lambda score: (*order, score).index(score))


def _spreads(tables: Sequence[Mapping[str, Any]], scores: Sequence[str]) -> dict[str, float | None]:
    out = {}
    for score in scores:
        out[f"{score}_mean"], out[f"{score}_sd"] = spread(table.get(score) for table in tables)
    return out

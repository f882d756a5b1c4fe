"""What the rows of a trial add up to: means, deviations, paired differences, verdicts.

Rows of one seed share its data, split and randomness, so two arms are compared by differences
within seeds: a claim shows where the mean difference is above two of its standard errors (sample
sd over seeds / sqrt(seeds)). A factor may have no score in an arm (no motif of it is known): that
row's mean is over fewer factors, which the table says, and two rows are compared over the factors
that both have. Pure functions but for the writing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np

from epilm.atomic import atomic_file, write_json
from epilm.metrics.bin_scores import HEADS
from epilm.training.log import plain

ERRORS = 2.0  # standard errors that a difference has to exceed
MOST_SAID = 12  # lines on arms that a baseline is as good as
FEWEST = 3  # seeds; with two, two standard errors are exceeded by chance every third time


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
    """

    words: Words
    cells: tuple[Cell, ...] = ()
    claims: tuple[Claim, ...] = ()
    trivial: frozenset[str] = frozenset()
    controls: frozenset[str] = frozenset()

    def place(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """Setting and arm of a row."""
        return str(row.get(self.words.setting, "")), str(row[self.words.arm])

    def lines(self, rows: Iterable[Mapping[str, Any]]) -> dict[Cell, list[Mapping[str, Any]]]:
        """Sort rows into the lines of the table that have any."""
        groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault(self.place(row), []).append(row)
        cells = self.cells or [Cell(setting, arm, arm) for setting, arm in groups]
        known = {cell: groups.get((cell.setting, cell.arm), []) for cell in cells}
        return {cell: mine for cell, mine in known.items() if mine}


@dataclass(frozen=True)
class Verdict:
    """A claim, judged on one score.

    Attributes
    ----------
    say : str
        The claim in words.
    more, less : str
        Rows of the table; the difference is more - less.
    kind : str
        "above" shows where mean > 2 se; "not_above" where it is not.
    score : str
    seeds : int
        With both rows.
    mean, se : float
        Of the paired differences; `se` NaN with one seed.
    shown : bool or None
        None: too few seeds to say.
    differences : tuple of float
        A seed each.
    """

    say: str
    more: str
    less: str
    kind: str
    score: str
    seeds: int
    mean: float
    se: float
    shown: bool | None
    differences: tuple[float, ...]

    @property
    def word(self) -> str:
        """The verdict for a table."""
        return {True: "shown", False: "not shown", None: "too few seeds"}[self.shown]


def paired(differences: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error of paired differences.

    Parameters
    ----------
    differences : sequence of float
        One a seed.

    Returns
    -------
    mean, se : float
        se = sample sd / sqrt(n); NaN with fewer than two.

    Examples
    --------
    >>> mean, se = paired([0.1, 0.2, 0.3])
    >>> round(mean, 3), round(se, 4)
    (0.2, 0.0577)
    """
    mean, sd = spread(differences)
    se = float("nan") if sd is None else sd / float(np.sqrt(len(differences)))
    return float("nan") if mean is None else mean, se


def spread(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of what is known; None where there is too little.

    Examples
    --------
    >>> spread([1.0, 3.0, None]), spread([2.0]), spread([])
    ((2.0, 1.4142135623730951), (2.0, None), (None, None))
    """
    known = np.array([value for value in values if _known(value)], np.float64)
    if not len(known):
        return None, None
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else None


def _known(value: float | None) -> TypeGuard[float]:
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
        narrower), collapsed (how many seeds), chosen (a seed each).

    Examples
    --------
    >>> words = Words("a comparison", "", "", "set", "who", "", ("auroc",), (), ("auroc",), "")
    >>> rows = [{"set": "a", "who": "x", "seed": s, "auroc": v} for s, v in enumerate([0.8, 0.9])]
    >>> (line,) = summarise(Design(words), rows)
    >>> line["seeds"], round(line["auroc_mean"], 3), round(line["auroc_sd"], 4)
    (2, 0.85, 0.0707)
    """
    words, table = design.words, []
    for cell, mine in design.lines(rows).items():
        line: dict[str, Any] = {words.setting: cell.setting} if words.setting else {}
        line |= {words.arm: cell.arm, "title": cell.title or cell.arm, "seeds": len(mine)}
        line |= _spreads(mine, words.scores)
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


def _spreads(tables: Sequence[Mapping[str, Any]], scores: Sequence[str]) -> dict[str, float | None]:
    out = {}
    for score in scores:
        out[f"{score}_mean"], out[f"{score}_sd"] = spread(table.get(score) for table in tables)
    return out


def judge(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Judge every claim in every setting on every score; claims without a seed that has both rows
    are left out.
    """
    lines = design.lines(rows)
    out = []
    for setting in dict.fromkeys(cell.setting for cell in lines):
        arms = {cell.arm: mine for cell, mine in lines.items() if cell.setting == setting}
        for claim in design.claims:
            named = replace(claim, say=f"{setting}: {claim.say}") if setting else claim
            out += _judged(named, arms, design.words.judged)
    return out


def over_baselines(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Compare each arm with the best trivial baseline of its setting, on the score that decides.

    A baseline without chance has one row, which stands beside every seed of the arm.
    """
    lines, (score, *_) = design.lines(rows), design.words.scores
    out = []
    for setting in dict.fromkeys(cell.setting for cell in lines):
        arms = {cell.arm: mine for cell, mine in lines.items() if cell.setting == setting}
        means = {arm: spread(r.get(score) for r in arms[arm])[0] for arm in arms}
        known = {arm: mean for arm, mean in means.items() if mean is not None}
        best = max(
            (arm for arm in known if arm in design.trivial), key=known.__getitem__, default=""
        )
        for arm in arms if best else ():
            if arm not in design.trivial | design.controls:
                say = f"{setting}: {arm} above {best}" if setting else f"{arm} above {best}"
                out += _judged(Claim(say, arm, best), arms, (score,))
    return out


def said_level(verdicts: Iterable[Verdict]) -> list[str]:
    """Say of which arms a trivial baseline is as good.

    Examples
    --------
    >>> said_level([Verdict("", "cnn", "kmer", "above", "ap", 3, 0.01, 0.02, False, ())])
    ['cnn is level with a trivial baseline, kmer: ap +0.0100 +- 0.0200']
    """
    out = []
    for verdict in verdicts:
        if verdict.shown or (verdict.shown is None and verdict.mean > 0):
            continue
        below = verdict.mean < 0 and not -verdict.mean <= ERRORS * verdict.se  # without an se too
        setting = verdict.say.rpartition(": ")[0]
        out.append(
            f"{setting + ': ' if setting else ''}{verdict.more} is"
            f" {'below' if below else 'level with'} a trivial baseline, {verdict.less}:"
            f" {verdict.score} {_gap(verdict)}"
        )
    return out


def _judged(
    claim: Claim, arms: Mapping[str, Sequence[Mapping[str, Any]]], scores: Sequence[str]
) -> list[Verdict]:
    """Judge one claim over the seeds and factors that both rows have."""
    pair = _scored(arms.get(claim.more, ())), _scored(arms.get(claim.less, ()))
    factors = _common(*pair)
    more, less = ({row["seed"]: _means(row, factors, scores) for row in side} for side in pair)
    if len(less) == 1 and len(more) > 1 and not factors:  # a baseline without chance
        less = dict.fromkeys(more, *less.values())
    out = []
    for score in scores:
        both = [(more[s].get(score), less[s].get(score)) for s in sorted(more) if s in less]
        gaps = tuple(a - b for a, b in both if _known(a) and _known(b))
        if gaps:
            mean, se = paired(gaps)
            shown = bool(mean > ERRORS * se) == (claim.kind == "above")
            enough = shown if len(gaps) >= FEWEST else None
            made = (claim.say, claim.more, claim.less, claim.kind, score, len(gaps), mean, se)
            out.append(Verdict(*made, enough, gaps))
    return out


def _scored(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows in which some factor has a score; all where rows have no factors."""
    return [
        row for row in rows if "factors" not in row or any(map(_defined, row["factors"].values()))
    ]


def _defined(table: Mapping[str, Any] | None) -> bool:
    return table is not None and _known(table["ap"])


def _common(*sides: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Factors that all rows have a score of; None where rows have no factors."""
    rows = [row for side in sides for row in side]
    if not rows or "factors" not in rows[0]:
        return None
    tables = [row["factors"] for row in rows]
    return [factor for factor in tables[0] if all(_defined(table.get(factor)) for table in tables)]


def _means(
    row: Mapping[str, Any], factors: Sequence[str] | None, scores: Sequence[str]
) -> Mapping[str, Any]:
    if factors is None:
        return row
    tables = [row["factors"][factor] for factor in factors]
    return {s: float(np.mean([t[s] for t in tables])) if tables else None for s in scores}


def write_tables(folder: Path, design: Design, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write table.json, table.tsv, claims.tsv and, where there are factors, factors.tsv."""
    words, table, lead = design.words, summarise(design, rows), design.words.scores[0]
    verdicts = judge(design, rows) if words.lines else over_baselines(design, rows)
    lines = [plain(line) for line in table]
    if not words.setting:  # the table of worlds has a number a factor
        for line in lines:
            line["factors"] = {f: of[f"{lead}_mean"] for f, of in line["factors"].items()}
    claims = [plain(asdict(v) | {"verdict": v.word}) for v in verdicts]
    value: Any = {words.lines: lines, "claims": claims} if words.lines else lines
    write_json(folder / "table.json", value)
    scores = [f"{score}_{what}" for score in words.scores for what in ("mean", "sd")]
    names = [*([words.setting] if words.setting else []), words.arm]
    factors = list(dict.fromkeys(f for line in table for f in line.get("factors", ())))
    if words.lines and words.setting:
        heads = [*names, "seeds", "n_factors", *scores, "seconds"]
    elif words.lines:
        heads = [*names, "seeds", *scores, *(f"{lead}_{factor}" for factor in factors)]
        table = [
            line | {f"{lead}_{f}": of[f"{lead}_mean"] for f, of in line["factors"].items()}
            for line in table
        ]
    else:
        ends = [f"{score}_{end}" for score in words.scores for end in ("lo", "hi")]
        ends = [end for end in ends if any(end in line for line in table)]
        heads = [*names, "seeds", *scores, "collapsed", *ends]
    _write_tsv(folder / "table.tsv", heads, table)
    if factors:
        split = [
            {"factor": factor, **{name: line[name] for name in (*names, "seeds")}, **of}
            for line in table
            for factor, of in line["factors"].items()
        ]
        heads = [*names, "factor", "seeds", "n", "positives", *scores]
        _write_tsv(folder / "factors.tsv", heads, split)
    heads = ["claim", "more", "less", "score", "seeds", "difference", "se", "verdict"]
    named = [
        asdict(v) | {"claim": v.say, "difference": v.mean, "verdict": v.word} for v in verdicts
    ]
    _write_tsv(folder / "claims.tsv", heads, named)


def _write_tsv(path: Path, heads: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> None:
    """Write columns by their heads; what is not known stays empty."""

    def text(value: Any) -> str:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return ""
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    with atomic_file(path) as new, open(new, "w", encoding="utf-8", newline="\n") as out:
        out.write("\t".join(heads) + "\n")
        for line in lines:
            out.write("\t".join(text(line.get(head)) for head in heads) + "\n")


def name_of(line: Mapping[str, Any]) -> str:
    """A row's title, with the number of factors where it is not all."""
    scored, known = line.get("n_factors", 0), line.get("of_factors", 0)
    return line["title"] + (f" ({scored} of {known} factors)" if scored < known else "")


def shown(line: Mapping[str, Any], score: str, digits: int = 4, sign: str = "+-") -> str:
    """Mean and sd of a score, for reading.

    Examples
    --------
    >>> shown({"ap_mean": 0.25, "ap_sd": 0.01}, "ap"), shown({"ap_mean": None, "ap_sd": None}, "ap")
    ('0.2500 +- 0.0100', '-')
    """
    mean, sd = line[f"{score}_mean"], line[f"{score}_sd"]
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + ("" if sd is None else f" {sign} {sd:.{digits}f}")


def best_line(table: Sequence[Mapping[str, Any]], score: str) -> int | None:
    """Which line has the best mean, among those over the most factors.

    Examples
    --------
    >>> lines = [{"n_factors": 1, "ap_mean": 0.9}, {"n_factors": 2, "ap_mean": 0.4}]
    >>> best_line(lines, "ap")
    1
    """
    most = max((line.get("n_factors", 0) for line in table), default=0)
    means = {
        number: mean
        for number, line in enumerate(table)
        if line.get("n_factors", 0) == most and (mean := line[f"{score}_mean"]) is not None
    }
    return max(means, key=means.__getitem__, default=None)


def text_of(design: Design, rows: Sequence[Mapping[str, Any]], left_out: Sequence[str] = ()) -> str:
    """Print the table, of each factor too; what is claimed, what is level, what is left out."""
    words, table, lead = design.words, summarise(design, rows), design.words.scores[0]
    width = max([10, *(len(name_of(line)) for line in table)]) + 2
    column = max([8, *(len(str(line.get(words.setting, ""))) for line in table)]) + 2
    lines: list[str] = []

    def block(mine: Sequence[Mapping[str, Any]], heads: str, *, named: bool) -> None:
        titles = "".join(f"{HEADS.get(score, score):>20}" for score in words.printed)
        bounded = any(f"{lead}_lo" in line for line in mine)
        title = f"{f'95 % of {HEADS.get(lead, lead)}':>20}" if bounded else ""
        lines.append(f"{heads}{'seeds':>6}{titles}{title}")
        for line in mine:
            start = f"{line[words.setting]:<{column}}" if named else ""
            cells = "".join(f"{shown(line, score):>20}" for score in words.printed)
            flag = f"  {line['collapsed']} collapsed" if line.get("collapsed") else ""
            if f"{lead}_lo" in line:
                cells += f"{line[f'{lead}_lo']:.4f} to {line[f'{lead}_hi']:.4f}".rjust(20)
            elif bounded:
                cells += " " * 20
            lines.append(f"{start}{name_of(line):<{width}}{line['seeds']:>6}{cells}{flag}")

    if words.lines:
        for setting in dict.fromkeys(line.get(words.setting, "") for line in table):
            mine = [line for line in table if line.get(words.setting, "") == setting]
            block(mine, f"{setting:<{width}}", named=False)
            factors = "".join(f"{factor:>20}" for factor in mine[0]["factors"])
            lines.append(f"{HEADS[lead]:<{width + 6}}{factors}")
            for line in mine:
                cells = "".join(f"{shown(of, lead):>20}" for of in line["factors"].values())
                lines.append(f"{line['title']:<{width + 6}}{cells}")
            lines.append("")
    else:
        block(table, f"{words.setting:<{column}}{words.arm:<{width}}", named=True)
    verdicts = judge(design, rows)
    wide = max([10, *(len(v.say) for v in verdicts)]) + 2
    lines += [f"{v.say:<{wide}}{v.score:<10}{_gap(v)}  {v.word}" for v in verdicts]
    level = said_level(over_baselines(design, rows))
    lines += level[:MOST_SAID]
    if len(level) > MOST_SAID:
        lines.append(f"and {len(level) - MOST_SAID} more such: claims.tsv")
    lines += [f"left out: {text}" for text in left_out]
    return "\n".join(lines).rstrip()


def _gap(verdict: Verdict) -> str:
    return f"{verdict.mean:+.4f}" + ("" if np.isnan(verdict.se) else f" +- {verdict.se:.4f}")

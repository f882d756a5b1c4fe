"""Whether what a trial claims shows: differences within seeds, judged by their standard errors.

Rows of one seed share its data, split and randomness, so two arms are compared by differences
within seeds: a claim shows where the mean difference is above two of its standard errors (sample
sd over seeds / sqrt(seeds)). Two rows are compared over the factors that both have. Pure functions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from epilm.trials.trial_table import Claim, Design, is_number, scored, spread

ERRORS = 2.0  # standard errors that a difference has to exceed
FEWEST = 3  # seeds; with two, two standard errors are exceeded by chance every third time


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

    A baseline without chance has one row, which stands beside every seed of the arm. Of several
    pre-trainings of one recipe the group is judged, not each.
    """
    lines, (score, *_) = design.lines(rows), design.words.scores
    apart = (
        design.trivial | design.controls | {a for group in design.groups.values() for a in group}
    )
    out = []
    for setting in dict.fromkeys(cell.setting for cell in lines):
        arms = {cell.arm: mine for cell, mine in lines.items() if cell.setting == setting}
        means = {arm: spread(r.get(score) for r in arms[arm])[0] for arm in arms}
        known = {arm: mean for arm, mean in means.items() if mean is not None}
        best = max(
            (arm for arm in known if arm in design.trivial), key=known.__getitem__, default=""
        )
        for arm in arms if best else ():
            if arm not in apart:
                say = f"{setting}: {arm} above {best}" if setting else f"{arm} above {best}"
                out += judge_pair(design, Claim(say, arm, best), arms, (score,))
    return out


def judge_pair(
    design: Design,
    claim: Claim,
    arms: Mapping[str, Sequence[Mapping[str, Any]]],
    scores: Sequence[str],
) -> list[Verdict]:
    """Judge one claim of arms, or of a group against an arm, on each score.

    Of several pre-trainings the mean of each (over its fine-tunings) is one number. The standard
    error is that of these numbers and that of the other side's seeds, added as squares: nothing
    pairs a pre-training with a seed. `Verdict.differences` are of each pre-training; `seeds` is how
    many there are.

    Examples
    --------
    >>> from epilm.trials.trial_table import Words
    >>> words = Words("a comparison", "", "", "set", "who", "", ("auroc",), (), ("auroc",), "")
    >>> arms = {"lab.1": [0.8, 0.9], "lab.2": [0.9, 0.9], "lab.3": [0.95, 0.95], "cnn": [0.7, 0.8]}
    >>> rows = {k: [{"seed": n, "auroc": v} for n, v in enumerate(v)] for k, v in arms.items()}
    >>> design = Design(words, groups={"lab": ("lab.1", "lab.2", "lab.3")})
    >>> (verdict,) = judge_pair(design, Claim("", "lab", "cnn"), rows, ("auroc",))
    >>> verdict.seeds, round(verdict.mean, 3), round(verdict.se, 4)  # of .85, .9, .95 and of .7, .8
    (3, 0.15, 0.0577)
    """
    if claim.more not in design.groups:
        return _judged(claim, arms, scores)
    out = []
    for score in scores:
        parts = [spread(r.get(score) for r in arms.get(a, ())) for a in design.groups[claim.more]]
        means = [mean for mean, _ in parts if mean is not None]
        other = [value for row in scored(arms[claim.less]) if is_number(value := row.get(score))]
        if not means or not other:
            continue
        base, _ = spread(other)
        assert base is not None
        gaps = tuple(mean - base for mean in means)
        mean, se = paired(gaps)
        fixed = claim.less in design.fixed
        if not fixed:  # NaN with one seed
            se = float(np.hypot(se, paired(other)[1]))
        shown = bool(mean > ERRORS * se) == (claim.kind == "above")
        enough = len(gaps) >= FEWEST and (fixed or len(other) >= FEWEST)
        made = (claim.say, claim.more, claim.less, claim.kind, score, len(gaps), mean, se)
        out.append(Verdict(*made, shown if enough else None, gaps))
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
            f" {verdict.score} {gap_text(verdict)}"
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
        gaps = tuple(a - b for a, b in both if is_number(a) and is_number(b))
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
        row
        for row in scored(rows)
        if "factors" not in row or any(map(_defined, row["factors"].values()))
    ]


def _defined(table: Mapping[str, Any] | None) -> bool:
    return table is not None and is_number(table["ap"])


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


def gap_text(verdict: Verdict) -> str:
    """Difference and standard error, for reading."""
    return f"{verdict.mean:+.4f}" + ("" if np.isnan(verdict.se) else f" +- {verdict.se:.4f}")

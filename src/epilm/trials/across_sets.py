"""Many sets on one page: a row a set, a column a model, and what stands between them.

Of each score one table: baselines, the twin without pre-training, the models (several pre-trainings
of one recipe as one column), how far each model is above its twin and above the best baseline
without a past, and what others have reached. Pure functions over rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epilm.trials.trial_table import Claim, Design, spread
from epilm.trials.verdicts import ERRORS, Verdict, judge_pair, paired

TWIN = "random"  # the first model's network without pre-training
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SetTable:
    """One score of all sets.

    Attributes
    ----------
    score : str
    heads : list of str
        The set first.
    cells : list of list of str
    said : list of str
        What the differences add up to, a sentence a model and opponent.
    of : str
        What was scored.
    """

    score: str
    heads: list[str]
    cells: list[list[str]]
    said: list[str]
    of: str = "of the test rows"


def set_table(design: Design, rows: Rows, score: str, models: Sequence[str]) -> SetTable:
    """Lay out one score of all sets.

    Parameters
    ----------
    design : Design
        Of a comparison: `fixed`, `groups` and `published` are read.
    rows : sequence of mapping
    score : str
    models : sequence of str
        Competitors that were pre-trained; those of a group by the group's name. All others are
        baselines.

    Returns
    -------
    SetTable

    Examples
    --------
    >>> from epilm.trials.trial_page import COMPARED
    >>> made = {"kmer": [0.7], TWIN: [0.7, 0.8, 0.9], "lab": [0.8, 0.9, 1.0]}
    >>> rows = [
    ...     {"set": "a", "competitor": who, "seed": seed, "auroc": value, "n": 50}
    ...     for who, values in made.items()
    ...     for seed, value in enumerate(values)
    ... ]
    >>> table = set_table(COMPARED, rows, "auroc", ["lab"])
    >>> table.heads
    ['set', 'test rows', 'kmer', 'random', 'lab', 'lab - random', 'lab - best other']
    >>> table.cells[0][2:5]
    ['0.700', '0.800 ± 0.100', '**0.900 ± 0.100**']
    >>> table.cells[0][5:]
    ['**+0.100** (0.000)', '**+0.200** (0.058), kmer']
    """
    words, arms = design.words, _arms(design, rows)
    hidden = design.one_of_several
    named = [arm for mine in arms.values() for arm in mine if arm not in hidden]
    others = [arm for arm in dict.fromkeys(named) if arm not in models]
    others.sort(key=lambda arm: (arm == TWIN, arm not in design.fixed))
    models = [arm for arm in models if arm in named]
    pairs = [(model, TWIN) for model in models if TWIN in others]
    rules = [arm for arm in others if arm != TWIN]
    pairs += [(model, "") for model in models if rules]
    who = [name for key, of in design.published.items() if score in of for name in key[1:]]
    published = list(dict.fromkeys(who))
    heads = [words.setting, "test rows", *others, *models]
    heads += [f"{model} - {other or 'best other'}" for model, other in pairs] + published
    gaps: dict[tuple[str, str], list[Verdict]] = {pair: [] for pair in pairs}
    cells = []
    for setting, mine in arms.items():
        means = {arm: spread(r.get(score) for r in of)[0] for arm, of in mine.items()}
        known = {arm: mean for arm, mean in means.items() if mean is not None}
        shown = [arm for arm in (*others, *models) if arm in known]
        best = max(shown, key=known.__getitem__, default="")
        count = next((row["n"] for of in mine.values() for row in of if "n" in row), None)
        line = [setting, "-" if count is None else f"{count:,}"]
        line += [_cell(mine.get(arm, ()), score, arm == best) for arm in (*others, *models)]
        rule = max((arm for arm in shown if arm in rules), key=known.__getitem__, default="")
        for model, other in pairs:
            claim = Claim("", model, other or rule)
            there = claim.more in known and claim.less in known
            made = judge_pair(design, claim, mine, (score,)) if there else []
            gaps[model, other] += made
            line.append(_gap_cell(made[0], not other) if made else "-")
        theirs = [design.published.get((setting, name), {}).get(score) for name in published]
        cells.append(line + ["-" if value is None else f"{value:.3f}" for value in theirs])
    said = [_said(*pair, made, words.setting) for pair, made in gaps.items() if made]
    return SetTable(score, heads, cells, said)


def _arms(design: Design, rows: Rows) -> dict[str, dict[str, Rows]]:
    """Setting -> arm -> its rows that have a score."""
    out: dict[str, dict[str, Rows]] = {}
    for cell, mine in design.lines([row for row in rows if not row.get("failed")]).items():
        out.setdefault(cell.setting, {})[cell.arm] = mine
    return out


def _cell(rows: Rows, score: str, best: bool) -> str:
    mean, sd = spread(row.get(score) for row in rows)
    if mean is None:
        return "-"
    text = f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
    return f"**{text}**" if best else text


def _above(verdict: Verdict) -> bool:
    """By more than two standard errors, over as many numbers as there are."""
    return bool(verdict.mean > ERRORS * verdict.se)


def _gap_cell(verdict: Verdict, named: bool) -> str:
    text = f"{verdict.mean:+.3f}"
    if not np.isnan(verdict.se):
        text = (f"**{text}**" if _above(verdict) else text) + f" ({verdict.se:.3f})"
    return f"{text}, {verdict.less}" if named else text


def _said(model: str, other: str, made: Sequence[Verdict], noun: str) -> str:
    """What the differences of one pair add up to over the sets."""
    above = sum(one.mean > 0 for one in made)
    who = other or "the best of the others"
    text = f"{model} is above {who} on {above} of {len(made)} {noun}s"
    if any(not np.isnan(one.se) for one in made):
        sure = sum(_above(one) for one in made)
        text += f", by more than two standard errors on {sure}"
    mean, se = paired([one.mean for one in made])
    if len(made) > 1:
        text += f"; in the mean {mean:+.3f} (standard error over the {noun}s {se:.3f})"
    return text

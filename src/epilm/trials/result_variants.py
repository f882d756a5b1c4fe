"""Scores of the same variants by several models, beside what needs none, as a part of a page.

A score is judged twice (`variants.judging`): by its size against the size of the effect, and with
its sign. Where variants come in groups a table has a row a group, and what a model is worth is said
over the groups.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from epilm.errors import InputError
from epilm.trials.across_sets import SetTable
from epilm.trials.result_lines import Line, Part
from epilm.trials.trial_table import spread
from epilm.trials.verdicts import ERRORS, paired
from epilm.variants.judging import ALL, TruthScores
from epilm.variants.kept_judgement import Judged, read_judgement

SIGNED = {"signed_auroc": "AUROC, signed", "signed_spearman": "Spearman, signed"}
_WITHOUT_MODEL = ("baseline ", "motif")  # how scores begin that no model has part in
_MEASURES = ("auroc", "spearman", *SIGNED)


class _Key(NamedTuple):
    """Where a number stands."""

    truth: str
    group: str
    name: str


def judged_parts(files: Sequence[Path]) -> list[Part]:
    """A part a set of variants; models that differ by their seeds alone are one line of it.

    Parameters
    ----------
    files : sequence of path
        Of `epilm score-variants --truth`.

    Raises
    ------
    InputError
        If a file was compared with nothing, or two are of one model and its seeds.
    """
    by_variants: dict[str, dict[Path, Judged]] = {}
    for file in files:
        judged = read_judgement(file)
        by_variants.setdefault(judged.variants, {})[file] = judged
    return [_part(of) for of in by_variants.values()]


def _part(judged: Mapping[Path, Judged]) -> Part:
    found: dict[_Key, list[TruthScores]] = {}
    for title, mine in _titled(judged).items():
        for one in mine:
            for row in one.rows:
                alone = row.score.startswith(_WITHOUT_MODEL)
                name = row.score if alone or not title else f"{title}: {row.score}"
                rows = found.setdefault(_Key(row.truth, row.group, name), [])
                if not alone or row not in rows:  # the same for every model
                    rows.append(row)
    first = next(iter(judged.values()))
    truths = list(dict.fromkeys(row.truth for row in first.rows))
    groups = list(dict.fromkeys(row.group for row in first.rows))
    apart = [group for group in groups if group != ALL] or [ALL]
    names = _ordered(dict.fromkeys(key.name for key in found))
    lines = [
        _line(key, found[key])
        for truth in truths
        for group in groups
        for name in names
        if (key := _Key(truth, group, name)) in found
    ]
    part = Part(
        f"Variants: {first.table}",
        "\n".join(one.command for one in judged.values() if one.command),
        tuple(sorted({score for line in lines for score in line.values}, key=_MEASURES.index)),
        _facts(first, truths, groups, judged),
        lines,
        per="models",
        pooled=frozenset(f"{truth}, {ALL}" for truth in truths if apart != [ALL]),
    )
    if apart == [ALL]:
        part.said = [_alone(truth, names, found) for truth in truths]
    else:
        part.tables = [
            _table(truth, score, groups, names, found)
            for truth in truths
            for score in part.scores
            if score != "signed_auroc"  # of labels, whose effect has no direction
            and any(score in _values(rows) for key, rows in found.items() if key.truth == truth)
        ]
    return part


def _titled(judged: Mapping[Path, Judged]) -> dict[str, list[Judged]]:
    """Models by what is said of them, those that differ by their seeds together."""
    alike: dict[str, dict[str, tuple[Path, Judged]]] = {}
    for path, one in judged.items():
        mine = alike.setdefault(str(one.model.get("alike", "")), {})
        seed = str(one.model.get("seed", ""))
        if seed in mine:
            raise InputError(
                "two files are of one model on the same variants",
                where=f"{mine[seed][0]}, {path}",
                do="Name one of them.",
            )
        mine[seed] = (path, one)
    names = [str(next(iter(mine.values()))[1].model.get("name", "")) for mine in alike.values()]
    out = {}
    for name, mine in zip(names, alike.values(), strict=True):
        path = next(iter(mine.values()))[0]
        title = f"{name}, {path.name}" if names.count(name) > 1 else name
        out[title] = [one for _, one in mine.values()]
    return out


def _ordered(names: Sequence[str] | Mapping[str, None]) -> list[str]:
    """Models first, then what needs none."""
    return sorted(names, key=lambda name: name.startswith(_WITHOUT_MODEL))


def _values(rows: Sequence[TruthScores]) -> dict[str, list[float | None]]:
    """Measure -> a number a model."""
    measure = rows[0].measure
    return {
        measure: [row.of_size if np.isfinite(row.of_size) else None for row in rows],
        f"signed_{measure}": [row.signed if np.isfinite(row.signed) else None for row in rows],
    }


def _line(key: _Key, rows: Sequence[TruthScores]) -> Line:
    return Line(f"{key.truth}, {key.group}", key.name, _values(rows))


def _facts(
    first: Judged, truths: Sequence[str], groups: Sequence[str], judged: Mapping[Path, Judged]
) -> list[tuple[str, str]]:
    said = []
    for truth in truths:
        row = next(row for row in first.rows if (row.truth, row.group) == (truth, groups[0]))
        of = f", {row.positives:,} of them 1" if row.measure == "auroc" else ""
        said.append(f"{truth} ({row.n:,} variants{of})")
    seeds: dict[str, list[str]] = {}
    for one in judged.values():
        if one.model:
            seeds.setdefault(str(one.model["name"]), []).append(str(one.model["seed"]))
    facts = [("Known", "; ".join(said)), ("Groups", f"{len(groups) - 1}" if groups[1:] else "")]
    facts += [(f"Model {name}", f"seed {'; '.join(of)}") for name, of in seeds.items() if any(of)]
    facts += [("Scores", "of size, signs left out on both sides; signed, with them")]
    return [fact for fact in facts if fact[1]]


def _mean(rows: Sequence[TruthScores], score: str) -> float | None:
    return spread(_values(rows).get(score, ()))[0]


def _table(
    truth: str,
    score: str,
    groups: Sequence[str],
    names: Sequence[str],
    found: Mapping[_Key, Sequence[TruthScores]],
) -> SetTable:
    """A row a group, a column a score; what models are worth, over the groups."""
    cells, means = [], {}
    for group in groups:
        here = {name: found.get(_Key(truth, group, name), ()) for name in names}
        known = {
            name: mean
            for name, rows in here.items()
            if rows and (mean := _mean(rows, score)) is not None
        }
        if not known:
            continue
        if group != ALL:
            means[group] = known
        best = max(known, key=known.__getitem__)
        count = max(rows[0].n for rows in here.values() if rows)
        cells.append([group, f"{count:,}"])
        for name in names:
            numbers = _values(here[name]).get(score, ()) if here[name] else ()
            mean, sd = spread(numbers)
            text = "-" if mean is None else f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
            cells[-1].append(f"**{text}**" if name == best else text)
    shown = [
        at for at, _ in enumerate(["group", "variants", *names]) if any(r[at] != "-" for r in cells)
    ]
    heads = ["group", "variants", *names]
    return SetTable(
        score,
        [heads[at] for at in shown],
        [[row[at] for at in shown] for row in cells],
        _over_groups(means, names),
        f"against {truth}",
    )


def _over_groups(means: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> list[str]:
    """A sentence a model's score: against what needs no model and is best over the groups."""
    whole = [name for name in names if all(name in known for known in means.values())]
    over = {name: float(np.mean([known[name] for known in means.values()])) for name in whole}
    rules = [name for name in whole if name.startswith(_WITHOUT_MODEL)]
    best = max(rules, key=over.__getitem__, default=None)
    if best is None:
        return []
    said = []
    for name in whole:
        if name in rules:
            continue
        gaps = [known[name] - known[best] for known in means.values()]
        mean, se = paired(gaps)
        error = "" if np.isnan(se) else f" (standard error over the groups {se:.3f})"
        above = sum(gap > 0 for gap in gaps)
        said.append(
            f"{name} is above {best} on {above} of {len(gaps)} groups; in the mean"
            f" {mean:+.3f}{error}"
        )
    return said


def _alone(truth: str, names: Sequence[str], found: Mapping[_Key, Sequence[TruthScores]]) -> str:
    """One group: how far the best score of a model is from the best of what needs none."""
    here = {name: rows for name in names if (rows := found.get(_Key(truth, ALL, name)))}
    measure = next(iter(here.values()))[0].measure
    known = {name: _mean(rows, measure) for name, rows in here.items()}
    means = {name: mean for name, mean in known.items() if mean is not None}
    models = [name for name in means if not name.startswith(_WITHOUT_MODEL)]
    rules = [name for name in means if name not in models]
    if not models or not rules:
        return f"{truth}: nothing to compare with"
    model, rule = (max(each, key=means.__getitem__) for each in (models, rules))
    gap, errors = means[model] - means[rule], [here[name][0].se for name in (model, rule)]
    level = abs(gap) <= ERRORS * math.hypot(*errors)
    return (
        f"{truth}: the best score of a model, {model}, is {gap:+.3f} from {rule} by size (standard"
        f" errors {errors[0]:.3f}, {errors[1]:.3f}, of the same variants)"
        + (": level" if level else "")
    )

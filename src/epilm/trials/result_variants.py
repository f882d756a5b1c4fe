"""Scores of the same variants by several models, beside what needs none, as a part of a page.

A score is judged twice (`variants.judging`): by its size against the size of the effect, and with
its sign. Where variants come in groups a table has a row a group, and what a model is worth is said
over the groups.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
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


class _Name(NamedTuple):
    """A row of a page."""

    text: str
    alone: bool  # needs no model


class _Key(NamedTuple):
    """Where numbers stand."""

    truth: str
    group: str
    name: _Name


_Found = Mapping[_Key, Sequence[TruthScores]]


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
    titled = _titled(judged)
    found = _found(titled)
    truths, groups = _each(key.truth for key in found), _each(key.group for key in found)
    groups.sort(key=lambda group: group != ALL)
    names = sorted(_each(key.name for key in found), key=lambda name: name.alone)
    lines = [
        Line(f"{truth}, {group}", name.text, _values(found[key]))
        for truth in truths
        for group in groups
        for name in names
        if (key := _Key(truth, group, name)) in found
    ]
    apart = {truth: [g for g in groups if g != ALL and _any(found, truth, g)] for truth in truths}
    first = next(iter(judged.values()))
    part = Part(
        f"Variants: {first.table}",
        "\n".join(one.command for one in judged.values() if one.command),
        tuple(sorted({score for line in lines for score in line.values}, key=_MEASURES.index)),
        _facts(found, truths, groups, titled),
        lines,
        [_alone(truth, names, found) for truth in truths if not apart[truth]],
        per="models",
        pooled=frozenset(f"{truth}, {ALL}" for truth in truths if apart[truth]),
    )
    if any(apart.values()):
        tables = [
            _table(truth, score, groups, names, found)
            for truth in truths
            for score in part.scores
            if score != "signed_auroc"  # of labels, whose effect has no direction
            and any(score in _values(rows) for key, rows in found.items() if key.truth == truth)
        ]
        part.tables = [table for table in tables if table.cells]
    return part


def _each(values: Iterable) -> list:
    return list(dict.fromkeys(values))


def _any(found: _Found, truth: str, group: str) -> bool:
    return any((key.truth, key.group) == (truth, group) for key in found)


def _titled(judged: Mapping[Path, Judged]) -> dict[str, list[Judged]]:
    """Models by what is said of them, those that differ by their seeds together."""
    alike: dict[str, dict[str, tuple[Path, Judged]]] = {}
    for path, one in judged.items():
        what = json.dumps([one.model.get("alike", ""), one.reading], sort_keys=True)
        mine, seed = alike.setdefault(what, {}), str(one.model.get("seed", ""))
        if seed in mine:
            raise InputError(
                "two files are of one model on the same variants, read in one way",
                where=f"{mine[seed][0]}, {path}",
                do="Name one of them.",
            )
        mine[seed] = (path, one)
    firsts = [next(iter(mine.values())) for mine in alike.values()]
    names = [str(one.model.get("name", "")) for _, one in firsts]
    out: dict[str, list[Judged]] = {}
    for (path, one), name, mine in zip(firsts, names, alike.values(), strict=True):
        same = [each for each, also in zip(firsts, names, strict=True) if also == name]
        ways = {json.dumps(other.reading, sort_keys=True) for _, other in same}
        if len(ways) == len(same):
            told = ", ".join(f"{k} {v}" for k, v in one.reading.items()) or "as it reads unasked"
        else:
            told = _told_apart(path, [other for other, _ in same])
        title = name if len(same) == 1 else f"{name} ({told})"
        out[title] = [judged_by for _, judged_by in mine.values()]
    return out


def _told_apart(path: Path, paths: Sequence[Path]) -> str:
    """As much of a path's end as no other one of these has.

    Examples
    --------
    >>> _told_apart(Path("r/a/scored.tsv"), [Path("r/a/scored.tsv"), Path("r/b/scored.tsv")])
    'a/scored.tsv'
    """
    for count in range(1, len(path.parts) + 1):
        end = path.parts[-count:]
        if sum(other.parts[-count:] == end for other in paths) == 1:
            return "/".join(end)
    return str(path)


def _found(titled: Mapping[str, Sequence[Judged]]) -> dict[_Key, list[TruthScores]]:
    """Numbers by where they stand. What needs no model stands once; where files say it differently
    (other motifs, other variants left out) once beside each of them.
    """
    found: dict[_Key, list[TruthScores]] = {}
    alone: dict[str, dict[tuple[str, ...], str]] = {}  # score -> what is said -> beside which model
    for title, mine in titled.items():
        for one in mine:
            by_score: dict[str, list[TruthScores]] = {}
            for row in one.rows:
                by_score.setdefault(row.score, []).append(row)
            for score, rows in by_score.items():
                if not score.startswith(_WITHOUT_MODEL):
                    name = _Name(f"{title}: {score}", False)
                else:
                    said, known = tuple(map(str, rows)), alone.setdefault(score, {})
                    if said in known:
                        continue
                    known[said] = title
                    beside = f", beside {title}" if len(known) > 1 else ""
                    number = list(known.values()).count(title)
                    beside += f", {number}" if number > 1 and beside else ""
                    name = _Name(f"{score}{beside}", True)
                for row in rows:
                    found.setdefault(_Key(row.truth, row.group, name), []).append(row)
    return found


def _values(rows: Sequence[TruthScores]) -> dict[str, list[float | None]]:
    """Measure -> a number a model."""
    measure = rows[0].measure
    return {
        measure: [row.of_size if np.isfinite(row.of_size) else None for row in rows],
        f"signed_{measure}": [row.signed if np.isfinite(row.signed) else None for row in rows],
    }


def _facts(
    found: _Found,
    truths: Sequence[str],
    groups: Sequence[str],
    titled: Mapping[str, Sequence[Judged]],
) -> list[tuple[str, str]]:
    said = []
    for truth in truths:
        rows = [row for key, of in found.items() if key[:2] == (truth, groups[0]) for row in of]
        count = {row.n for row in rows}
        n = f"{min(count):,}" if len(count) == 1 else f"{min(count):,} to {max(count):,}"
        of = f", {rows[0].positives:,} of them 1" if rows[0].measure == "auroc" else ""
        said.append(f"{truth} ({n} variants{of})")
    facts = [("Known", "; ".join(said)), ("Groups", f"{len(groups) - 1}" if groups[1:] else "")]
    for title, mine in titled.items():
        seeds = "; ".join(seed for one in mine if (seed := str(one.model.get("seed", ""))))
        facts.append((f"Model {title}", f"seed {seeds}" if seeds else ""))
    facts.append(("Scores", "of size, signs left out on both sides; signed, with them"))
    return [fact for fact in facts if fact[1]]


def _mean(rows: Sequence[TruthScores], score: str) -> float | None:
    return spread(_values(rows).get(score, ()))[0] if rows else None


def _table(
    truth: str, score: str, groups: Sequence[str], names: Sequence[_Name], found: _Found
) -> SetTable:
    """A row a group, a column a score; what models are worth, over the groups."""
    cells: list[list[str]] = []
    means: dict[str, dict[_Name, float]] = {}
    for group in groups:
        here = {name: found.get(_Key(truth, group, name), ()) for name in names}
        known = {
            name: mean for name, rows in here.items() if (mean := _mean(rows, score)) is not None
        }
        if not known:
            continue
        if group != ALL:
            means[group] = known
        best = max(known, key=known.__getitem__)
        counts = {row.n for rows in here.values() for row in rows}
        cells.append([group, f"{max(counts):,}"])
        for name in names:
            mean, sd = spread(_values(here[name]).get(score, ()) if here[name] else ())
            text = "-" if mean is None else f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
            cells[-1].append(f"**{text}**" if name == best else text)
    heads = ["group", "variants", *(name.text for name in names)]
    shown = [at for at in range(len(heads)) if any(row[at] != "-" for row in cells)]
    return SetTable(
        score,
        [heads[at] for at in shown],
        [[row[at] for at in shown] for row in cells],
        _over_groups(means, names),
        f"against {truth}",
    )


def _over_groups(means: Mapping[str, Mapping[_Name, float]], names: Sequence[_Name]) -> list[str]:
    """A sentence a model's score: against what needs no model and is best over the groups, of what
    is known in half of them or more.
    """
    over = {name: [known[name] for known in means.values() if name in known] for name in names}
    rules = [name for name in names if name.alone and 2 * len(over[name]) >= max(len(means), 1)]
    if not means or not rules:
        return []
    best = max(rules, key=lambda name: float(np.mean(over[name])))
    said = []
    for name in names:
        both = [known for known in means.values() if name in known and best in known]
        if name.alone or not both:
            continue
        gaps = [known[name] - known[best] for known in both]
        mean, se = paired(gaps)
        error = "" if np.isnan(se) else f" (standard error over the groups {se:.3f})"
        above, left = sum(gap > 0 for gap in gaps), len(means) - len(both)
        said.append(
            f"{name.text} is above {best.text} on {above} of {len(gaps)} groups; in the mean"
            f" {mean:+.3f}{error}" + (f"; {left} groups know one of the two alone" if left else "")
        )
    return said


def _alone(truth: str, names: Sequence[_Name], found: _Found) -> str:
    """One group: how far the best score of a model is from the best of what needs none."""
    here = {name: rows for name in names if (rows := found.get(_Key(truth, ALL, name)))}
    measure = next(iter(here.values()))[0].measure
    known = {name: _mean(rows, measure) for name, rows in here.items()}
    means = {name: mean for name, mean in known.items() if mean is not None}
    models = [name for name in means if not name.alone]
    rules = [name for name in means if name.alone]
    if not models or not rules:
        return f"{truth}: nothing to compare with"
    model, rule = (max(each, key=means.__getitem__) for each in (models, rules))
    gap, errors = means[model] - means[rule], [here[name][0].se for name in (model, rule)]
    level = abs(gap) <= ERRORS * math.hypot(*errors)
    return (
        f"{truth}: the best score of a model, {model.text}, is {gap:+.3f} from {rule.text} by size"
        f" (standard errors {errors[0]:.3f}, {errors[1]:.3f}, of the same variants)"
        + (": level" if level else "")
    )

"""What folders of runs have to say: a part a trial or cohort, and fine-tuned runs by their rows.

A folder of `compare` or `ablate` is a part of its own; runs of `finetune` on the same rows are one
part, those that differ by their seeds alone, pre-training's too, one line of it; scores of the same
variants are one part. Read from the folders alone; `results` lays the parts out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from epilm.cohorts.designs import load_design
from epilm.errors import InputError
from epilm.finetuning.finetuned_page import (
    METRICS,
    NAMES,
    about_run,
    beside_of,
    command_of,
    start_of,
    tables_of,
)
from epilm.finetuning.run_folder import alike_settings
from epilm.metrics.bin_scores import HEADS
from epilm.plots.page import load_json
from epilm.trials.across_sets import Rows, set_table
from epilm.trials.descriptions import kept_design
from epilm.trials.result_lines import Line, Part
from epilm.trials.result_variants import judged_parts
from epilm.trials.study import STUDY_PLAN, kept_study
from epilm.trials.study_page import study_command
from epilm.trials.trial import rows_of
from epilm.trials.trial_page import (
    COMPARED,
    ablation_command,
    compared_of,
    comparison_command,
    design_of,
    model_text,
    settings_of,
)
from epilm.trials.trial_table import Design
from epilm.trials.verdicts import Verdict, judge, over_baselines, said_level
from epilm.variants.scored_files import is_scored, scored_in

_ABLATIONS = ("ablation.json", "ablation_data.json")
_TOLD = (  # settings
    "epochs",
    "lr",
    "batch_size",
    "both_strands",
    "patience",
    "freeze",
    "lora",
    "dropout",
    "ema",
)
_THRESHOLDS = {
    "half": "",
    "valid": "each model's and baseline's own, by MCC on its valid rows",
}
_OVER_SETS = ("auroc", "ap", "mcc")  # a table each, where sets are many
_COHORT = ("macro_precision", "macro_recall", "auroc", "ap")


def collect(folders: Sequence[Path]) -> list[Part]:
    """Read the parts of a page: trials and cohorts as they come, then fine-tuned runs by rows.

    Parameters
    ----------
    folders : sequence of path
        See `write_results`.
    """
    if not folders:
        raise InputError(
            "no run is named",
            do="Give folders of finetune, compare, ablate or risk, or scored variants.",
        )
    parts: list[Part] = []
    runs: list[Path] = []
    scored: list[Path] = []
    for folder in dict.fromkeys(folders):
        if any((folder / name).is_file() for name in _ABLATIONS):
            parts.append(_ablation(folder))
        elif (folder / STUDY_PLAN).is_file():
            parts.append(_study(folder))
        elif (folder / COMPARED.words.rows).is_file():
            parts.append(_comparison(folder))
        elif (folder / "risk.json").is_file():
            parts.append(_cohort(folder))
        elif (folder / "run.json").is_file() or (folder / "task.json").is_file():
            runs.append(folder)
        elif (table := scored_in(folder) if folder.is_dir() else folder) and is_scored(table):
            scored.append(table)
        else:
            raise InputError(
                "there are no results in this folder",
                where=str(folder),
                found="none of their files" if folder.exists() else "no such folder or file",
                expected="a folder of `epilm finetune`, `compare`, `ablate` or `risk`, or a table"
                " of `epilm score-variants --truth`",
                do="Give what was passed to --out.",
            )
    return parts + _finetuned(runs) + judged_parts(scored)


def _trial_lines(design: Design, rows: Sequence[Mapping[str, Any]]) -> list[Line]:
    """A line an arm and setting; of rows with factors also one a factor."""
    scores = design.words.scores
    out: list[Line] = []
    for cell, mine in design.lines(rows).items():
        ordered = sorted(mine, key=lambda row: int(row["seed"]))
        name, many = cell.title or cell.arm, bool(cell.factors)
        setting = f"{cell.setting}, mean of factors" if many else cell.setting
        setting = setting.removeprefix(", ")
        out.append(Line(setting, name, {s: [row.get(s) for row in ordered] for s in scores}))
        for factor in cell.factors:
            tables = [row["factors"].get(factor) or {} for row in ordered]
            where = f"{cell.setting}, {factor}".removeprefix(", ")
            out.append(Line(where, name, {s: [t.get(s) for t in tables] for s in scores}))
    order = list(dict.fromkeys(line.setting for line in out))
    return sorted(out, key=lambda line: order.index(line.setting))


def _seeds(rows: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(str(seed) for seed in sorted({int(row["seed"]) for row in rows}))


def _need_rows(folder: Path, rows: Sequence[Any]) -> None:
    if not rows:
        raise InputError(
            "no row of this trial is done",
            where=str(folder),
            do="Give the command that began it again; it goes on where it was.",
        )


def _comparison(folder: Path) -> Part:
    plan = load_json(folder / COMPARED.words.plan, {})
    design = compared_of(plan)
    rows = rows_of(folder, design)
    _need_rows(folder, rows)
    order = {name: at for at, name in enumerate(plan.get("sets", {}))}
    rows.sort(key=lambda row: order.get(row["set"], -1))
    settings = settings_of(plan, rows)
    facts = _set_facts(dict(plan.get("sets", {})))
    # An ensemble's minutes are those of its members.
    joined = {model["name"] for model in plan.get("models", []) if model.get("members")}
    facts += [(f"Model {model['name']}", model_text(model)) for model in plan.get("models", [])]
    facts += [
        ("Settings", ", ".join(f"{k} {settings[k]}" for k in _TOLD if settings.get(k))),
        ("Threshold", _THRESHOLDS[settings.get("threshold", "half")]),
        ("Seeds", _seeds(rows)),
        ("Time", _times([row for row in rows if row["competitor"] not in joined])),
    ]
    collapsed = [
        f"{row['set']}, {row['competitor']}, seed {row['seed']}: {row['collapse']}"
        for row in rows
        if row.get("collapse")
    ]
    failed = [
        f"{row['set']}{', ' * bool(row['competitor'])}{row['competitor']}: {row['failed']}"
        for row in rows
        if row.get("failed")
    ]
    part = Part(
        f"Comparison: {folder.name}",
        comparison_command(plan, rows, folder),
        (*design.words.scores[:2], "macro_precision", "macro_recall", "mcc"),
        [fact for fact in facts if fact[1]],
        _trial_lines(design, rows),
        [*said_level(over_baselines(design, rows)), *collapsed, *failed],
        members=frozenset(design.one_of_several),
    )
    models = [model.get("group") or model["name"] for model in plan.get("models", [])]
    if len({row["set"] for row in rows}) > 1:
        tables = [set_table(design, rows, s, [*dict.fromkeys(models)]) for s in _OVER_SETS]
        part.tables = [table for table in tables if table.cells]
    return part


def _set_facts(sets: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What the sets are; of those of a manifest what they have in common."""
    of_manifest = [about["about"] for about in sets.values() if "about" in about]
    if not of_manifest:
        return [(f"Set {name}", _set_text(about)) for name, about in sets.items()]
    given = [{"task": about["task"], **about["given"]} for about in of_manifest]
    common = {}
    for key in dict.fromkeys(key for one in given for key in one):
        values = {str(one.get(key)) for one in given}
        if len(values) == 1:
            common[key] = values.pop()
    said = ", ".join(f"{key} {value}" for key, value in common.items())
    return [("Sets", f"{len(given)} ({said})")]


def _times(rows: Rows) -> str:
    """Minutes of each competitor, over its rows."""
    spent: dict[str, list[float]] = {}
    for row in rows:
        if row.get("competitor") and "seconds" in row:
            spent.setdefault(row["competitor"], []).append(float(row["seconds"]))
    said = (f"{name} {sum(s) / 60:.1f} minutes for {len(s)}" for name, s in spent.items())
    return "; ".join(said)


def _set_text(about: Mapping[str, Any]) -> str:
    counts = about.get("counts", {})
    parts = [f"{name} {sum(numbers):,}" for name, numbers in counts.items()]
    text = f"{about.get('rows', 0):,} rows ({', '.join(parts)})"
    return f"{text}, fingerprint {about['fingerprint']}" if about.get("fingerprint") else text


def _ablation(folder: Path) -> Part:
    plan, about = kept_design(folder)
    design = design_of(plan)
    rows = rows_of(folder, design)
    _need_rows(folder, rows)
    seeds = sorted({int(row["seed"]) for row in rows})
    claims = _claims(design, rows)
    facts = [(key.capitalize(), str(value)) for key, value in about.items()]
    if plan.world:
        facts.append(("Data", f"playground, size {plan.world}: **simulated**, a world a seed"))
    return Part(
        f"Ablation: {plan.title or plan.name}",
        ablation_command(plan, about, folder, seeds),
        design.words.scores,
        [*facts, ("Seeds", _seeds(rows))],
        _trial_lines(design, rows),
        [*map(_sentence, claims), *said_level(over_baselines(design, rows))],
        claims=claims,
    )


def _claims(design: Design, rows: Rows) -> list[Verdict]:
    """Each claim by the score that decides."""
    return [v for v in judge(design, rows) if v.score == design.words.judged[0]]


def _sentence(claim: Verdict) -> str:
    return (
        f"{claim.say}: {HEADS.get(claim.score, claim.score)} {claim.mean:+.4f}"
        + ("" if len(claim.differences) < 2 else f" (standard error {claim.se:.4f})")
        + f", **{claim.word}**"
    )


def _study(folder: Path) -> Part:
    """A table of a paper: ours, and below it what the paper has of these rows."""
    study, kept = kept_study(folder)
    design = study.design(kept["names"])
    rows = rows_of(folder, design)
    _need_rows(folder, rows)
    about = dict(kept["about"])
    facts = [(key.capitalize(), str(value)) for key, value in about.items()]
    if study.world:
        facts.append(("Data", f"playground, size {study.world}: **simulated**"))
    spent = sum(float(row["seconds"]) for row in rows)
    facts += [("Seeds", _seeds(rows)), ("Time of rows", f"{spent / 60:.1f} minutes")]
    titles = {arm.name: arm.title or arm.name for arm in study.arms}
    published = [
        Line(f"{name} as published".strip(), titles[arm], {s: [v] for s, v in scores.items()})
        for (name, arm), scores in design.published.items()
    ]
    claims = _claims(design, rows)
    said = [*map(_sentence, claims), *said_level(over_baselines(design, rows))]
    said += dict.fromkeys(f"{r['arm']}: {r['collapse']}" for r in rows if r.get("collapse"))
    said += [f"Published: {text}" for text in (design.source, design.note) if text]
    return Part(
        study.title or study.name,
        study_command(study, about, folder, sorted({int(row["seed"]) for row in rows})),
        design.words.printed,
        facts,
        [*_trial_lines(design, rows), *published],
        said,
        claims=claims,
    )


def _cohort(folder: Path) -> Part:
    kept = load_json(folder / "risk.json", {})
    about = kept.get("about", {})
    lines = [
        Line("", arm, {score: [fold.get(score) for fold in folds] for score in _COHORT})
        for arm, folds in dict(kept.get("folds", {})).items()
    ]
    facts = [
        ("Genotypes", str(about.get("genotypes", ""))),
        ("People", f"{about.get('cases', '?')} cases, {about.get('controls', '?')} controls"),
        ("Data", "**simulated**" if about.get("simulated") else ""),
    ]
    said = [
        f"model above {arm}: AUROC {gap['auroc']:+.4f} (standard error {gap['error']:.4f})"
        + (", level" if gap["level"] else "")
        for arm, gap in dict(kept.get("differences", {})).items()
    ]
    if "like" in about:
        design = load_design(about["like"])
        lines += [
            Line(
                "as published, of other people",
                row.model,
                {
                    "macro_precision": [row.macro_precision],
                    "macro_recall": [row.macro_recall],
                    "auroc": [row.auroc],
                },
            )
            for row in design.published
        ]
        said.append(f"Published rows: {design.source}.")
    facts = [fact for fact in facts if fact[1]]
    title = f"Disease risk: {folder.name}"
    return Part(title, "", _COHORT, facts, lines, said, per="folds")


def _finetuned(runs: Sequence[Path]) -> list[Part]:
    """Parts of the same rows; in each a line for runs that differ by their seeds alone."""
    grouped: dict[tuple[str, ...], dict[str, list[Path]]] = {}
    for run in runs:
        about, given = about_run(run), load_json(run / "run.json", {})
        if not load_json(run / "metrics.json", {}):
            raise InputError(
                "the run is not finished",
                where=str(run),
                do="Give its command again; it goes on after its last whole epoch.",
            )
        task, kept = str(about.get("task", given.get("task", "?"))), load_json(run / "task.json")
        rows = str(given.get("examples") or (kept or {}).get("data", ""))
        what = [_origin(run), _settings(run), about.get("signals"), about.get("head")]
        mine = grouped.setdefault((task, rows), {})
        mine.setdefault(json.dumps(what, sort_keys=True, default=str), []).append(run)
    return [_same_rows(task, list(groups.values())) for (task, _), groups in grouped.items()]


def _settings(run: Path) -> dict[str, Any]:
    """What a run was fine-tuned with, but for its seed and where it was computed."""
    given, kept = load_json(run / "run.json", {}), load_json(run / "task.json", {})
    return alike_settings(given.get("settings") or kept.get("settings", {}))


def _origin(run: Path) -> tuple[str, str]:
    """Where a run's weights came from: pre-trainings of one recipe are one origin."""
    about = about_run(run)
    start = start_of(about or load_json(run / "run.json", {}))
    made = about.get("made_by")
    return (start, "") if not made else (str(about.get("init")), str(made["alike"]))


def _pretraining_of(run: Path) -> int | None:
    """The seed of the pre-training that a run began with, where it is known."""
    about = about_run(run)
    made = about.get("made_by") if about.get("init") == "checkpoint" else None
    return None if not made else made["seed"]


def _is_twin(run: Path) -> bool:
    """Whether a run began with random weights in the shape of a pre-training."""
    about = about_run(run)
    return about.get("init") == "random" and "made_by" in about


def _same_start(one: Path, other: Path) -> bool:
    return about_run(one).get("checkpoint") == about_run(other).get("checkpoint")


def _seed_of(run: Path) -> int:
    given, kept = load_json(run / "run.json", {}), load_json(run / "task.json", {})
    return int((given.get("settings") or kept.get("settings", {})).get("seed", 0))


def _same_rows(task: str, groups: Sequence[Sequence[Path]]) -> Part:
    lines: list[Line] = []
    said: list[str] = []
    part = "test"
    tables = {run: tables_of(load_json(run / "metrics.json", {})) for g in groups for run in g}
    if not all("test" in table for table in tables.values()):
        part = "valid"
        said.append("Scores are of the validation rows, which chose the epoch: they flatter.")
    titles = _titles(groups)
    for title, runs in zip(titles, groups):
        by_seed: dict[tuple[int, int], Path] = {}  # of pre-training and its own
        for run in runs:
            both = (_pretraining_of(run) or 0, _seed_of(run))
            if both in by_seed and _is_twin(run) and not _same_start(run, by_seed[both]):
                said.append(
                    f"{run.name} is the random start that {by_seed[both].name} is: not counted"
                )
                continue
            if both in by_seed:
                raise InputError(
                    "two runs are the same one: task, rows, start, settings and seed",
                    where=f"{by_seed[both]}, {run}",
                    do="Name one of them, or fine-tune with another --seed.",
                )
            by_seed[both] = run
        ordered = [tables[by_seed[seed]].get(part, {}) for seed in sorted(by_seed)]
        for output in dict.fromkeys(name for table in ordered for name in table):
            scores = [table.get(output, {}) for table in ordered]
            keys = dict.fromkeys(key for table in scores for key in table if key in NAMES)
            values = {key: [table.get(key) for table in scores] for key in keys}
            lines.append(Line(output, title, values))
        for run in runs:
            notes = load_json(run / "metrics.json", {}).get("notes") or load_json(
                run / "task.json", {}
            ).get("notes", [])
            loud = [str(note) for note in notes if f" {part}" in str(note)[:24]]
            said += [f"{run.name}: {note}" for note in loud]
    lines += _baseline_lines(titles, groups, part)
    order = list(dict.fromkeys(line.setting for line in lines))
    lines.sort(key=lambda line: order.index(line.setting))
    present = {key for line in lines for key in line.values}
    measured = [key for key in (*METRICS, *NAMES) if key in present and key not in _COUNTS]
    first = groups[0][0]
    kept = load_json(first / "task.json", {})
    seeds = sorted({_seed_of(run) for runs in groups for run in runs})
    before = {seed for runs in groups for seed in map(_pretraining_of, runs) if seed is not None}
    facts = [
        ("Data", str(kept.get("data", ""))),
        ("Scored", f"{part} rows"),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Seeds of pre-training", ", ".join(map(str, sorted(before)))),
    ]
    return Part(
        f"Fine-tuning: {task}",
        "\n".join(command_of(run) for runs in groups for run in runs),
        tuple(dict.fromkeys(measured)),
        [fact for fact in facts if fact[1]],
        lines,
        said,
    )


_COUNTS = ("n", "positives")


def _baseline_lines(
    titles: Sequence[str], groups: Sequence[Sequence[Path]], part: str
) -> list[Line]:
    """A line an output and baseline that stood beside the runs.

    Scores that are the same in all runs, as those of the same rows are, stand once. Where settings
    made other rows, a baseline has a line beside each of them.
    """
    known: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for title, runs in zip(titles, groups):
        for run in runs:
            for name, tables in beside_of(load_json(run / "metrics.json", {}), part).items():
                for output, table in tables.items():
                    scores = {key: table[key] for key in table if key in NAMES}
                    seen = known.setdefault((name, output), {}).setdefault(title, [])
                    if scores not in seen:
                        seen.append(scores)
    out = []
    for (name, output), by_title in known.items():
        first: dict[str, list[dict[str, Any]]] = {}  # titles whose scores are no other's
        for title, mine in by_title.items():
            if mine not in first.values():
                first[title] = mine
        for title, mine in first.items():
            words = f"baseline: {name}" + (f", beside {title}" if len(first) > 1 else "")
            values = {key: [scores.get(key) for scores in mine] for key in mine[0]}
            out.append(Line(output, words, values))
    return out


def _start_of(runs: Sequence[Path]) -> str:
    """Where the weights of runs that differ by their seeds came from, in words."""
    about = [about_run(run) for run in runs]
    starts = {start_of(a or load_json(run / "run.json", {})) for a, run in zip(about, runs)}
    if len(starts) == 1:
        return starts.pop()
    recipe = about[0]["made_by"]["recipe"]
    if about[0].get("init") == "random":
        return f"random weights, shape of {recipe}"
    count = len({_pretraining_of(run) for run in runs})
    return f"pre-trained: {recipe}" + (f", {count} pre-trainings" if count > 1 else "")


def _titles(groups: Sequence[Sequence[Path]]) -> list[str]:
    """Start of each group, with the settings in which those of one start differ."""
    starts = [_start_of(group) for group in groups]
    out = []
    for start, runs in zip(starts, groups):
        same = [_settings(g[0]) for s, g in zip(starts, groups) if s == start]
        keys = sorted({key for table in same for key in table})
        differ = [key for key in keys if any(t.get(key) != same[0].get(key) for t in same)]
        mine = _settings(runs[0])
        words = ", ".join(f"{key} {mine.get(key)}" for key in differ)
        out.append(f"{start} ({words})" if words else start)
    doubled = {title for title in out if out.count(title) > 1}
    return [
        f"{title}, {runs[0].name}" if title in doubled else title
        for title, runs in zip(out, groups)
    ]

"""What a report says about fine-tuned models: one of them, or several side by side.

Reads the folders that `finetune` writes (task.json, metrics.json, metrics.jsonl, predictions.tsv).
"""

import csv
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from epilm.finetuning.outline_pictures import outline_pictures, outlines_of
from epilm.hub.provenance import held_out
from epilm.metrics.bin_scores import HEADS
from epilm.metrics.outlines import PR_COLUMNS, ROC_COLUMNS, outline
from epilm.plots.line_plots import pr_curves, roc_curves, training_curve
from epilm.plots.page import (
    SIMULATED,
    Page,
    Picture,
    PictureNumbers,
    Section,
    Table,
    bar_numbers,
    footer,
    load_json,
    read_lines,
    show,
)
from epilm.plots.pictures import metric_bars
from epilm.plots.style import as_image, figure
from epilm.tasks import TASKS, find_task
from epilm.tasks.label_kinds import spoken
from epilm.training.learning import option_name

# metric -> (heading, what guessing gives on balanced classes or None = the share of positives)
METRICS: dict[str, str] = {
    "auroc": "AUROC",
    "ap": "AP",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "mcc": "MCC",
    "accuracy": "accuracy",
}
SCORES = HEADS | {
    "top_k": "top-k",
    "positives": "positives",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "r2": "R2",
    "difference_pearson": "Pearson of differences",
    "difference_r2": "R2 of differences",
    "row_pearson": "Pearson in a row",
    "row_spearman": "Spearman in a row",
    "n": "rows",
}
NAMES = SCORES | METRICS  # of a score standing alone
# Notes that a reader must not miss.
LOUD = ("COLLAPSE", "LEVEL", "also in train")
CARDS = ("auroc", "ap", "macro_f1", "mcc")


def scores_of(path: Path, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of class 1 of one split of a predictions.tsv; empty where there are
    none.
    """
    labels, scores = [], []
    if path.is_file():
        with open(path, newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                if row["split"] == split and "p_1" in row:
                    labels.append(int(row["label"]))
                    scores.append(float(row["p_1"]))
    return np.array(labels, np.int64), np.array(scores, np.float64)


def finetuned_page(run: Path) -> Page:
    """Make the page of a run of `epilm finetune`, finished or not."""
    about, given = about_run(run), load_json(run / "run.json", {})
    kept = load_json(run / "metrics.json", {})
    tables = tables_of(kept)
    part = "test" if "test" in tables else "valid"
    many = len(tables.get(part, {})) > 1
    cards = [
        (name if many else NAMES.get(key, key), f"{table[key]:.3f}", _card(key, part, many))
        for name, table in tables.get(part, {}).items()
        for key in (_metric(given, table),) + (() if many else CARDS)
        if table.get(key) is not None
    ]
    task = str(about.get("task", given.get("task", "task")))
    pretrained = load_json(Path(str(about.get("checkpoint", ""))) / "store.json", {})
    known = f"{about.get('set', '')} {about.get('assembly', '')} {pretrained.get('assembly', '')}"
    of = f": {', '.join(about['factors'])}" if about.get("factors") else ""
    return Page(
        f"{task}: fine-tuning",
        f"Run {run.name}{of}, {start_of(about or given)}",
        banner=SIMULATED if "simulated" in known.lower() else "",
        cards=list(dict.fromkeys(cards))[:6],
        sections=[finetuning(run), _reproduce(run)],
        footer=footer(),
    )


def about_run(run: Path) -> dict[str, Any]:
    """What the run's model remembers; of a run before version 0.2 what stood in its place."""
    extra = load_json(run / "model/spec.json", {}).get("extra", {})
    return dict(extra.get("task") or extra.get("binding") or load_json(run / "task.json", {}))


def tables_of(kept: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Part -> output -> scores, from metrics.json of any version."""
    if "tables" in kept:
        return dict(kept["tables"])
    parts = {name: kept[name] for name in ("train", "valid", "test") if name in kept}
    return {name: {"": table} if "n" in table else dict(table) for name, table in parts.items()}


def _metric(given: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    wanted = str(given.get("settings", {}).get("metric", "auroc"))
    named = (key for key in table if key in NAMES and key != "n")  # of rows there is no score
    return next((key for key in (wanted, "ap") if key in table), next(named, next(iter(table))))


def _card(key: str, part: str, many: bool) -> str:
    return f"{NAMES.get(key, key)}, {part} rows" if many else f"{part} rows"


def finetuning(run: Path, title: str = "Fine-tuning") -> Section:
    """The section of one fine-tuned model."""
    about, given = about_run(run), load_json(run / "run.json", {})
    kept, task = load_json(run / "metrics.json", {}), load_json(run / "task.json", {})
    history = [row for row in read_lines(run / "metrics.jsonl") if "epoch" in row]
    notes = [str(note) for note in kept.get("notes", task.get("notes", []))]
    loud = [note for note in notes if any(word in note for word in LOUD)]
    section = Section(title, facts=_facts(about, given, task, kept, history), warnings=loud)
    settings = given.get("settings", task.get("settings", {}))
    if not kept:
        section.warnings.append(
            f"The run is not finished: {len(history)} of {settings.get('epochs', '?')} epochs. The"
            " same command goes on from there."
        )
    if quiet := [note for note in notes if note not in loud]:
        section.details.append(("Notes on the data", "\n".join(quiet)))
    section.tables += _score_tables(tables_of(kept), kept.get("best_epoch"))
    beside, judged = _beside(given, kept)
    section.tables += beside
    section.text += judged
    section.pictures += _learning_curves(history)
    kept_out = _kept_for_test(about, settings)
    if kept_out and kept and "test" not in tables_of(kept):
        section.text.append(
            f"{', '.join(kept_out)}: kept for the test, and not read here. The last command of this"
            " page scores it and prints the scores; the run does not keep them."
        )
    outlines = outlines_of(run)
    if part := next((name for name in ("test", "valid") if name in outlines), None):
        section.pictures += outline_pictures(outlines[part], part)
    section.details.append(("The settings", json.dumps(settings, indent=2)))
    return section


def _kept_for_test(about: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Chromosomes and cell types that a run on places of a store did not read."""
    chroms = [str(name) for name in about.get("test_chroms", [])]
    return [*chroms, *map(str, settings.get("test_cells", []))] if chroms else []


def _facts(
    about: Mapping[str, Any],
    given: Mapping[str, Any],
    task: Mapping[str, Any],
    kept: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> list[tuple[str, str]]:
    settings, rows = given.get("settings", task.get("settings", {})), task.get("set", {})
    before = about.get("pretraining") or {}
    lengths = " to ".join(f"{n}" for n in dict.fromkeys(rows.get("length_bp", [])))
    window = (
        f"{about['window_bp']} bp around places of {about['width']} bp"
        if about.get("window_bp")
        else ""
    )
    best = kept.get("best_epoch")
    frozen = settings.get("freeze", "none")
    facts = [
        ("Task", str(about.get("task", given.get("task", "?")))),
        ("Data", f"{Path(str(task['data'])).name}" if task.get("data") else ""),
        ("Sequences", f"{rows['rows']:,} of {lengths} bp" if rows.get("rows") else ""),
        ("Factors", ", ".join(about.get("factors", []))),
        ("Learned in", ", ".join(about.get("cells", []))),
        ("Learned on", ", ".join(about.get("train_chroms", []))),
        ("Epoch chosen on", ", ".join(about.get("valid_chroms", []))),
        ("Never read", ", ".join(_kept_for_test(about, settings))),
        ("Window", window),
        ("Signals", ", ".join(":".join(signal) for signal in about.get("signals", []))),
        ("Start", start_of(about or given)),
        ("Head", str((about.get("head") or {}).get("name", ""))),
        ("Held out of pre-training", ", ".join([*held_out(before), *held_out(before, "cells")])),
        (
            "Epochs",
            f"{len(history)} of {settings.get('epochs', '?')}"
            + (f", the best {best}" if best else ""),
        ),
        ("Batch", str(settings.get("batch_size", ""))),
        (
            "Learning rate",
            f"{settings.get('lr', 0):g}" + ("" if frozen == "none" else f", {frozen} frozen"),
        ),
        ("Seed", show(settings.get("seed"))),
        *(
            (f"Rows, {name}", " + ".join(f"{n:,}" for n in numbers))
            for name, numbers in rows.get("counts", {}).items()
        ),
    ]
    return [(name, value) for name, value in facts if value]


def _score_tables(
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]], best: int | None
) -> list[Table]:
    """Scores: parts across where there is one output, outputs down where there are several."""
    parts = [name for name in ("train", "valid", "test") if tables.get(name)]
    if not parts:
        return []
    if all(set(tables[part]) == {""} for part in parts):
        last = tables[parts[-1]][""]
        rows = [
            [name, *(tables[part][""].get(key) for part in parts)]
            for key, name in METRICS.items()
            if key in last
        ]
        return [Table(["metric", *parts], rows, "Scores")]
    elsewhere = "" if "test" in parts else "; test scores come from epilm evaluate"
    out = []
    for part in parts:
        keys = [key for key in SCORES if any(key in t for t in tables[part].values())]
        caption = (
            f"Validation rows, epoch {best}: they chose the epoch, so they flatter{elsewhere}"
            if part == "valid"
            else f"{part} rows"
        )
        rows = [[name, *(table.get(key) for key in keys)] for name, table in tables[part].items()]
        out.append(Table(["output", *(SCORES[key] for key in keys)], rows, caption))
    return out


def beside_of(kept: Mapping[str, Any], part: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Baseline -> output -> scores of the baselines that were fitted beside a model."""
    beside = {name: parts.get(part) for name, parts in kept.get("beside", {}).items()}
    return {name: dict(tables) for name, tables in beside.items() if tables}


def _beside(given: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[list[Table], list[str]]:
    """The model and its baselines on the rows that judge it, and a line an output on which of them
    it is above.
    """
    tables = tables_of(kept)
    part = "test" if tables.get("test") else "valid"
    baselines = beside_of(kept, part)
    if not baselines:
        return [], []
    said = spoken(tables[part])
    keys = [key for key in NAMES if any(t.get(key) is not None for t in said.values())]
    rows: list[list[Any]] = []
    lines = []
    for output, own in said.items():
        every = {"the model": own} | {b: of.get(output, {}) for b, of in baselines.items()}
        rows += [[output, who, *(t.get(key) for key in keys)] for who, t in every.items()]
        key = _metric(given, own)
        values = {who: t[key] for who, t in every.items() if t.get(key) is not None}
        mine = values.pop("the model", None)
        if mine is not None and values:
            above = [name for name, value in values.items() if mine > value]
            rest = [f"{name} ({value:.3f})" for name, value in values.items() if mine <= value]
            words = [f"above {', '.join(above)}"] if above else []
            words += [f"not above {', '.join(rest)}"] if rest else []
            of = f" {output}," if output else ""
            name = NAMES.get(key, key)
            lines.append(f"Beside baselines:{of} {name} {mine:.3f}, {'; '.join(words)}.")
    heads = ["output", "row", *(NAMES[key] for key in keys)]
    if set(said) == {""}:
        heads, rows = heads[1:], [row[1:] for row in rows]
    return [Table(heads, rows, f"Beside baselines, {part} rows")], lines


def _learning_curves(history: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Loss of training and the score that chose the epoch, over epochs."""
    if not history:
        return []
    chosen = next((k for k in history[0] if k.startswith("valid_") and k != "valid_seconds"), None)
    chance = 0.5 if chosen == "valid_auroc" else None
    wanted: list[tuple[str, str, str, float | None]] = [("loss", "train", "Loss of training", None)]
    if chosen is not None:
        name = chosen.removeprefix("valid_")
        wanted.append((chosen, "valid", f"{NAMES.get(name, name)}, valid rows", chance))
    out = []
    for key, split, title, level in wanted:
        points = [
            {"step": row["epoch"], "split": split, key: row[key]}
            for row in history
            if row.get(key) is not None
        ]
        if points:
            with figure() as (fig, (ax,)):
                training_curve(ax, points, key, title=title, chance=level)
                ax.set_xlabel("epoch")
                rows = [(row["step"], row[key]) for row in points]
                numbers = PictureNumbers(f"epochs.{key}", ("epoch", key), rows)
                alt = f"{title} over epochs"
                out.append(Picture(as_image(fig), alt=alt, numbers=(numbers,)))
    return out


_KINDS = ("random", "ebert", "dbert", "cnn", "factornet", "dilated")  # starts without a past


def command_of(run: Path) -> str:
    """The lines that make a run again, as far as its folder says."""
    about, given = about_run(run), load_json(run / "run.json", {})
    kept = load_json(run / "task.json", {})
    task = str(about.get("task", given.get("task", "task")))
    settings = given.get("settings", kept.get("settings", {}))
    words = [f"--{name} {settings[name]}" for name in ("epochs", "lr", "seed") if name in settings]
    named = dict(kept.get("named", {}))
    placed = bool(about.get("factors"))
    data, store = str(kept.get("data", "DATA")), str(named.pop("store", "STORE"))
    if placed:
        named.pop("factor", None)
    words += _changed(task, named | settings)
    where = f" --store {store} --factor {' '.join(about.get('factors', ()))}" if placed else ""
    start = str(about.get("checkpoint", given.get("checkpoint", "RUN")))
    shape = kept.get("init", given.get("init")) == "random" and start not in _KINDS
    code = (
        f"epilm finetune {task} --data {data}{where} --checkpoint {start}"
        f"{' --init random' * shape}{_start_words(kept)} {' '.join(words)} --out {run}"
    )
    if placed:
        cells = " ".join(settings.get("test_cells", [])) or "CELL"
        code += f"\nepilm evaluate {run} --data {data} --store {store} --cell {cells} --controls"
    return code


def _start_words(kept: Mapping[str, Any]) -> str:
    """What was said of the start beside its checkpoint: size, k, head, preset."""
    return "".join(f" --{name} {value}" for name, value in dict(kept.get("start", {})).items())


def _changed(task: str, settings: Mapping[str, Any]) -> list[str]:
    """Options of a run that are not those of its task where nothing is said; of a task that is not
    known here none.
    """
    names = {name for known in TASKS.values() for name in (known.name, *known.aliases)}
    if task not in names:
        return []
    words = []
    spec = find_task(task).options_of("finetune")
    for option in fields(spec):
        value = settings.get(option.name)
        usual = list(option.default) if isinstance(option.default, tuple) else option.default
        if option.name in ("epochs", "lr", "seed", "device") or value in (None, usual, []):
            continue
        name = option_name(spec, option.name)
        if isinstance(value, bool):
            words.append(name if value else f"--no-{name.removeprefix('--')}")
        else:
            several = value if isinstance(value, list) else [value]
            words.append(" ".join([name, *(shlex.quote(str(each)) for each in several)]))
    return words


def _reproduce(run: Path) -> Section:
    return Section(
        "How to reproduce",
        text=[
            "The options are those of the run that differ from the defaults, data and genome by the"
            " names that were given. What was passed from Python as an opened object has none (a"
            " digest of what was read is kept)."
        ],
        code=command_of(run),
    )


def start_of(task: Mapping[str, Any]) -> str:
    """Say where a model's weights came from."""
    checkpoint, init = str(task.get("checkpoint", "?")), task.get("init")
    bare = {
        "cnn": "small CNN, from scratch",
        "factornet": "FactorNet's kind, from scratch",
        "dilated": "SpliceAI's dilated CNN, from scratch",
    }
    if checkpoint in ("random", "ebert", "dbert"):
        return "random weights"
    if checkpoint in bare:
        return bare[checkpoint]
    name = Path(checkpoint).name
    return f"random weights, shape of {name}" if init == "random" else f"pre-trained: {name}"


def _curves(sets: Mapping[str, tuple[Any, Any]], title: str, stem: str) -> list[Picture]:
    outlines = {name: outline(*pair) for name, pair in sets.items()}
    numbers = tuple(
        PictureNumbers(
            f"{stem}.{key}",
            ("model", *columns),
            [(name, *row) for name, of in outlines.items() for row in of[key]],
        )
        for key, columns in (("roc", ROC_COLUMNS), ("precision_recall", PR_COLUMNS))
    )
    with figure(5.2, 3.1, columns=2) as (fig, (left, right)):
        roc_curves(left, sets, f"{title}: ROC")
        pr_curves(right, sets, f"{title}: precision and recall")
        return [Picture(as_image(fig), "Dashed: chance.", wide=True, numbers=numbers)]


def comparison(
    title: str,
    models: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
    runs: Mapping[str, Path] | None = None,
    text: Sequence[str] = (),
) -> Section:
    """The section that puts models side by side on one task.

    Parameters
    ----------
    title : str
    models : sequence of (name, scores of each seed)
        Scores as `score_table` gives them, on the same test rows.
    runs : mapping, optional
        Name -> a folder with predictions.tsv, for the curves.
    text : sequence of str
    """
    present = [m for m in METRICS if any(m in s for _, seeds in models for s in seeds)]
    rows: list[list[Any]] = []
    means: list[list[float]] = []
    for name, seeds in models:
        cells: list[Any] = [name]
        mean_row = []
        for metric in present:
            values = np.array([s[metric] for s in seeds if s.get(metric) is not None], np.float64)
            mean = float(values.mean()) if len(values) else float("nan")
            mean_row.append(mean)
            if len(values) > 1:
                cells.append(f"{mean:.3f} ± {values.std(ddof=1):.3f}")
            else:
                cells.append(f"{mean:.3f}" if np.isfinite(mean) else None)
        rows.append(cells)
        means.append(mean_row)
    best = frozenset(
        (int(np.nanargmax(column)), i + 1)
        for i, column in enumerate(np.array(means).T)
        if len(means) > 1 and np.isfinite(column).any()
    )
    count = max((len(seeds) for _, seeds in models), default=1)
    size = next((s.get("n") for _, seeds in models for s in seeds if s.get("n")), None)
    caption = f"Test rows{f' ({size:,})' if size else ''}" + (
        f", mean ± sd over {count} seeds" if count > 1 else ""
    )
    section = Section(title, text=list(text))
    section.tables.append(Table(["model", *(METRICS[m] for m in present)], rows, caption, best))
    for name, seeds in models:
        for scores in seeds:
            if scores.get("collapse"):
                section.warnings.append(f"{name}: collapsed, {scores['collapse']}")
    with figure(5.2, 0.5 + 0.34 * len(models), columns=2) as (fig, (left, right)):
        for ax, metric, chance in ((left, "auroc", 0.5), (right, "ap", _prevalence(models))):
            bars = {
                name: [float(s[metric]) for s in seeds if s.get(metric) is not None]
                for name, seeds in models
            }
            low = 0.4 if metric == "auroc" else 0.0
            metric_bars(ax, bars, title=METRICS[metric], chance=chance, limits=(low, 1.0))
        right.set_yticklabels([])
        numbers = bar_numbers(
            f"{title}.scores",
            [
                (name, metric, [s.get(metric) for s in seeds])
                for name, seeds in models
                for metric in ("auroc", "ap")
            ],
        )
        section.pictures.append(
            Picture(as_image(fig), "Dashed: chance.", wide=True, numbers=(numbers,))
        )
    sets = {name: scores_of(path / "predictions.tsv") for name, path in (runs or {}).items()}
    sets = {name: pair for name, pair in sets.items() if len(set(pair[0].tolist())) == 2}
    if sets:
        section.pictures += _curves(sets, "Test rows", title)
    return section


def _prevalence(models: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> float:
    shares = [
        s["prevalence"] for _, seeds in models for s in seeds if s.get("prevalence") is not None
    ]
    return float(shares[0]) if shares else 0.5

"""What a report says about fine-tuned models: one of them, or several side by side.

Reads the folders that `finetune` writes (task.json, metrics.json, metrics.jsonl, predictions.tsv).
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.plots.curves import pr_curves, roc_curves, training_curve
from epilm.plots.page import Picture, Section, Table, load_json, read_lines, show
from epilm.plots.pictures import metric_bars
from epilm.plots.style import as_image, figure

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


def finetuning(run: Path, title: str = "Fine-tuning") -> Section:
    """The section of one fine-tuned model."""
    task, tables = load_json(run / "task.json", {}), load_json(run / "metrics.json", {})
    settings, held = task.get("settings", {}), task.get("set", {})
    counts = held.get("counts", {})
    facts = [
        ("Task", str(task.get("task", "?"))),
        ("Data", f"{Path(str(task.get('data', '?'))).name}, {held.get('rows', 0):,} sequences"),
        ("Length", " to ".join(f"{n}" for n in dict.fromkeys(held.get("length_bp", []))) + " bp"),
        ("Start", start_of(task)),
        ("Epochs", f"{settings.get('epochs', '?')}, batch {settings.get('batch_size', '?')}"),
        ("Learning rate", f"{settings.get('lr', 0):g}"),
        ("Seed", show(settings.get("seed"))),
        *(
            (f"Rows, {name}", " + ".join(f"{n:,}" for n in numbers))
            for name, numbers in counts.items()
        ),
    ]
    notes = [str(note) for note in task.get("notes", [])]
    loud = [note for note in notes if note.startswith("COLLAPSE") or "also in train" in note]
    section = Section(title, facts=facts, warnings=loud)
    if quiet := [note for note in notes if note not in loud]:
        section.details.append(("Notes on the data", "\n".join(quiet)))
    splits = [name for name in ("train", "valid", "test") if name in tables]
    if splits:
        rows = [
            [METRICS[m], *(tables[s].get(m) for s in splits)]
            for m in METRICS
            if m in tables[splits[-1]]
        ]
        section.tables.append(Table(["metric", *splits], rows, "Scores"))
    history = [
        {**row, "step": row["epoch"], "split": "train"}
        for row in read_lines(run / "metrics.jsonl")
        if "epoch" in row
    ]
    valid = [row | {"split": "valid", "auroc": row.get("valid_auroc")} for row in history]
    if history:
        with figure() as (fig, (ax,)):
            training_curve(ax, history, "loss", title="Training loss")
            ax.set_xlabel("epoch")
            section.pictures.append(Picture(as_image(fig)))
    if any(row["auroc"] is not None for row in valid):
        with figure() as (fig, (ax,)):
            training_curve(ax, valid, "auroc", title="AUROC on the validation rows", chance=0.5)
            ax.set_xlabel("epoch")
            section.pictures.append(Picture(as_image(fig)))
    labels, scores = scores_of(run / "predictions.tsv")
    if len(set(labels.tolist())) == 2:
        section.pictures += _curves({"this model": (labels, scores)}, "Test rows")
    section.details.append(("task.json", json.dumps(task, indent=2)))
    return section


def start_of(task: Mapping[str, Any]) -> str:
    """Say where a classifier's weights came from."""
    checkpoint, init = str(task.get("checkpoint", "?")), task.get("init")
    if checkpoint in ("random", "cnn"):
        return {"random": "random weights", "cnn": "small CNN, from scratch"}[checkpoint]
    name = Path(checkpoint).name
    return f"random weights, shape of {name}" if init == "random" else f"pre-trained: {name}"


def _curves(sets: Mapping[str, tuple[Any, Any]], title: str) -> list[Picture]:
    with figure(5.2, 3.1, columns=2) as (fig, (left, right)):
        roc_curves(left, sets, f"{title}: ROC")
        pr_curves(right, sets, f"{title}: precision and recall")
        return [Picture(as_image(fig), "Dashed: chance.", wide=True)]


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
        section.pictures.append(Picture(as_image(fig), "Dashed: chance.", wide=True))
    sets = {name: scores_of(path / "predictions.tsv") for name, path in (runs or {}).items()}
    sets = {name: pair for name, pair in sets.items() if len(set(pair[0].tolist())) == 2}
    if sets:
        section.pictures += _curves(sets, "Test rows")
    return section


def _prevalence(models: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> float:
    found = [
        s["prevalence"] for _, seeds in models for s in seeds if s.get("prevalence") is not None
    ]
    return float(found[0]) if found else 0.5

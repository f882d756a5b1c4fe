"""The page of a fine-tuning on binding: what it learned from, its epochs, its validation scores
factor by factor.

Test scores are not there: `epilm evaluate --task dream` makes them, of any cell type and
chromosome.
"""

import json
from pathlib import Path
from typing import Any

from epilm.hub.provenance import held_out
from epilm.metrics.binding import HEADS
from epilm.plots.curves import training_curve
from epilm.plots.page import Page, Picture, Section, Table, load_json, read_lines
from epilm.plots.style import as_image, figure

SCORES = HEADS | {"positives": "bound", "n": "bins"}


def is_binding_folder(run: Path) -> bool:
    """Say whether a folder is a run of `epilm finetune dream`, finished or not."""
    return (run / "run.json").is_file() and "labels" in load_json(run / "run.json", {})


def binding_page(run: Path, banner: str, footer: str) -> Page:
    """Make the page of a run of `epilm finetune dream`.

    Parameters
    ----------
    run : Path
    banner : str
        What stands above everything where the data are simulated.
    footer : str
    """
    about: dict[str, Any] = (
        load_json(run / "model/spec.json", {}).get("extra", {}).get("binding", {})
    )
    found: dict[str, Any] = load_json(run / "metrics.json", {})
    given: dict[str, Any] = load_json(run / "run.json", {})
    settings, valid = given.get("settings", {}), found.get("valid", {})
    metric = str(settings.get("metric", "auprc_dg"))
    cards = [
        (factor, f"{table[metric]:.3f}", f"{SCORES.get(metric, metric)}, validation")
        for factor, table in valid.items()
        if table.get(metric) is not None
    ][:6]
    assembly = str(about.get("assembly", ""))
    return Page(
        "Binding: fine-tuning",
        f"Run {run.name}: {', '.join(about.get('factors', valid)) or 'not finished'}",
        banner=banner if "simulated" in assembly.lower() else "",
        cards=cards,
        sections=[_learning(run, about, found, given, metric), _reproduce(run, about, given)],
        footer=footer,
    )


def _learning(
    run: Path, about: dict[str, Any], found: dict[str, Any], given: dict[str, Any], metric: str
) -> Section:
    settings, valid, rows = (
        given.get("settings", {}),
        found.get("valid", {}),
        read_lines(run / "metrics.jsonl"),
    )
    section = Section("What was learned", facts=_facts(about, found, given, len(rows)))
    notes = [str(note) for note in found.get("notes", [])]
    section.warnings += [note for note in notes if "COLLAPSE" in note]
    if not found:
        section.warnings.append(
            f"The run is not finished: {len(rows)} of {settings.get('epochs', '?')} epochs. The"
            " same command goes on from there."
        )
    section.text += [f"{note[0].upper()}{note[1:]}." for note in notes if "COLLAPSE" not in note]
    if valid:
        section.tables.append(
            Table(
                ["factor", *SCORES.values()],
                [[factor, *(table.get(key) for key in SCORES)] for factor, table in valid.items()],
                f"Validation bins, epoch {found.get('best_epoch')}: they chose the epoch, so they"
                " flatter; test scores come from epilm evaluate --task dream",
            )
        )
    for key, split, title in (
        ("loss", "train", "Loss of training"),
        (
            f"valid_{metric}",
            "valid",
            f"{SCORES.get(metric, metric)}, validation, mean of the factors",
        ),
    ):
        points = [
            {"step": row["step"], "split": split, key: row[key]}
            for row in rows
            if row.get(key) is not None
        ]
        if points:
            with figure() as (fig, (ax,)):
                training_curve(ax, points, key, title=title)
                section.pictures.append(Picture(as_image(fig), alt=f"{title} over optimiser steps"))
    section.details.append(("The settings", json.dumps(settings, indent=2)))
    return section


def _facts(
    about: dict[str, Any], found: dict[str, Any], given: dict[str, Any], epochs: int
) -> list[tuple[str, str]]:
    settings = given.get("settings", {})
    before = about.get("pretraining") or {}
    facts = [
        ("Factors", ", ".join(about.get("factors", []))),
        ("Learned in", ", ".join(about.get("cells", []))),
        ("Learned on", ", ".join(about.get("train_chroms", []))),
        ("Epoch chosen on", ", ".join(about.get("valid_chroms", []))),
        ("Never read", ", ".join(about.get("test_chroms", []))),
        (
            "Window",
            (
                f"{about['window_bp']} bp around bins of {about['width']} bp"
                if "window_bp" in about
                else ""
            ),
        ),
        ("Signals", ", ".join(":".join(signal) for signal in about.get("signals", [])) or "none"),
        ("Start", f"{given.get('checkpoint', '?')} ({given.get('init', '?')})"),
        (
            "Held out of pre-training",
            ", ".join([*held_out(before), *held_out(before, "cells")]),
        ),
        (
            "Epochs",
            f"{epochs} of {settings.get('epochs', '?')}, the best {found.get('best_epoch', '?')}",
        ),
        (
            "Learning rate",
            (
                f"{settings.get('lr', '?')}, encoder"
                f" {'frozen' if settings.get('freeze') == 'encoder' else 'learned'}"
            ),
        ),
        ("Seed", str(settings.get("seed", "?"))),
        ("Store", str(about.get("store", ""))[:12]),
    ]
    return [(name, value) for name, value in facts if value]


def _reproduce(run: Path, about: dict[str, Any], given: dict[str, Any]) -> Section:
    factors = " ".join(about.get("factors", ["FACTOR"]))
    cells = " ".join(given.get("settings", {}).get("test_cells", [])) or "CELL"
    code = (
        f"epilm finetune dream --data LABELS --store STORE --factor {factors} --checkpoint"
        f" {given.get('checkpoint', 'RUN')} --out {run}\nepilm evaluate {run} --task dream --data"
        f" LABELS --store STORE --cell {cells} --controls"
    )
    return Section(
        "How to reproduce",
        text=[
            "What differs from the defaults stands in the settings above; LABELS and STORE are"
            " those of the run (a digest of both is kept)."
        ],
        code=code,
    )

"""Baselines that are fitted on the rows of a fine-tuning and scored beside the model."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from epilm.finetuning.teacher import tallied
from epilm.motifs.formats import read_collection
from epilm.motifs.motif import Motif
from epilm.store.motifs import motifs_of_store
from epilm.tasks.label_kinds import Classes, spoken
from epilm.tasks.lesson import TaskLesson

Say = Callable[[str], None]


def check_beside(lesson: TaskLesson, options: Any) -> None:
    """Refuse baselines that are not known or do not fit, before anything is learned.

    Raises
    ------
    UsageError
    """
    from epilm.baselines.baseline_table import check_baseline

    motifs = _motifs_beside(lesson, options)
    for name in options.beside:
        check_baseline(name, lesson, motifs)


def _motifs_beside(lesson: TaskLesson, options: Any) -> Sequence[Motif] | None:
    """The motifs that baselines may read: those given, else those of the store."""
    if (given := getattr(options, "motifs", None)) is not None:
        return read_collection(given)
    return None if lesson.store is None else motifs_of_store(lesson.store)


def fit_beside(
    lesson: TaskLesson, options: Any, say: Say, notes: list[str]
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Fit the baselines that are asked for and score every part but the training rows."""
    if not options.beside:
        return {}
    from epilm.baselines.baseline_table import fit_baseline

    motifs = _motifs_beside(lesson, options)
    out: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for name in options.beside:
        fitted, left_out = fit_baseline(name, lesson, motifs)
        notes += left_out
        out[name] = {}
        labels = lesson.labels
        if options.threshold == "valid":  # as the model has its own
            classes, rows = cast(Classes, labels), lesson.valid
            true = lesson.examples.labels_of(rows)
            labels = classes.with_threshold(true, fitted.score(lesson.examples, rows))
        for part, rows in lesson.parts.items():
            if part == "train":
                continue
            if lesson.labels.per_base:
                tables = tallied(lesson, rows, partial(fitted.score, lesson.examples)).tables()
            else:
                true = lesson.examples.labels_of(rows)
                tables = labels.scores(true, fitted.score(lesson.examples, rows))
            out[name][part] = tables
            for output, table in spoken(tables).items():
                of = f", {output}" if output else ""
                say(f"baseline {name}, {part}{of}: {score_line(table)}")
    return out


def score_line(table: Mapping[str, Any]) -> str:
    """The scores of a table that people ask for first.

    Examples
    --------
    >>> score_line({"auroc": 0.5, "mcc": 0.0, "n": 10})
    'auroc 0.5000, mcc 0.0000'
    """
    names = (
        "top_k",
        "auroc",
        "ap",
        "auprc_dg",
        "accuracy",
        "macro_f1",
        "mcc",
        "pearson",
        "r2",
        "difference_pearson",
        "row_pearson",
    )
    return ", ".join(f"{name} {table[name]:.4f}" for name in names if table.get(name) is not None)

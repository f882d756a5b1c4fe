"""The page of a risk run: scores beside the baselines, folds, what was left out, how it was done.

Reads the folder alone, so that `epilm report` can draw it again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from epilm.cohorts.designs import load_design
from epilm.cohorts.scoring import AT_PREVALENCE, SCORES
from epilm.plots.page import (
    SIMULATED,
    Page,
    Picture,
    Section,
    Table,
    bar_numbers,
    footer,
    load_json,
    show,
)
from epilm.plots.pictures import metric_bars
from epilm.plots.style import as_image, figure

CROSS_VALIDATED = "Mean ± sample sd over folds; people are tested by what did not learn from them."


def risk_page(folder: Path) -> Page:
    """Collect the page of a risk run's folder."""
    kept = load_json(folder / "risk.json", {})
    about, scores = kept["about"], kept["scores"]
    cards = [
        (f"AUROC, {arm}", show(each["auroc"]["mean"]), f"± {show(each['auroc']['sd'])} over folds")
        for arm, each in scores.items()
    ]
    sections = [_scores(kept), _folds(kept), *_published(about), _how(kept)]
    return Page(
        "Disease risk from genotypes",
        f"{about['cases']} cases, {about['controls']} controls, {about['variants']} variants",
        banner=SIMULATED if about["simulated"] else "",
        cards=cards,
        sections=sections,
        footer=footer(),
    )


def _spread(value: Mapping[str, Any]) -> str:
    return f"{show(value['mean'])} ± {show(value['sd'])}"


def _scores(kept: Mapping[str, Any]) -> Section:
    scores = kept["scores"]
    names = [name for name in (*SCORES, *AT_PREVALENCE) if name in next(iter(scores.values()))]
    titles = SCORES | AT_PREVALENCE
    rows = [
        [arm, kept["columns"][arm], *(_spread(each[name]) for name in names)]
        for arm, each in scores.items()
    ]
    above = [
        [arm, f"{show(value['auroc'])} ± {show(value['error'])}", word_of(value)]
        for arm, value in kept["differences"].items()
    ]
    with figure(5.2, 0.45 * len(scores) + 0.9) as (fig, axes):
        values = {
            arm: [t["auroc"] if t["auroc"] is not None else np.nan for t in tables]
            for arm, tables in kept["folds"].items()
        }
        metric_bars(axes[0], values, title="AUROC of each fold", chance=0.5)
        numbers = bar_numbers("folds", [(arm, "auroc", each) for arm, each in values.items()])
        text = "Whisker: sample sd over folds."
        picture = Picture(as_image(fig), text, alt="AUROC by arm", numbers=(numbers,))
    section = Section(
        "Scores",
        text=[
            CROSS_VALIDATED,
            "Covariates and components, where there are any, are in every arm but the constant."
            " The first three scores are those of GeneBERT's Table 3.",
        ],
        tables=[
            Table(["arm", "numbers of a person", *(titles[name] for name in names)], rows),
            Table(
                ["against", "AUROC of the model above it", "verdict"],
                above,
                "Within folds; the error is a jackknife over tenths of the people, groups whole."
                " Fewer than two errors are level.",
            ),
        ],
        pictures=[picture],
    )
    section.warnings += [f"{arm}: {alarm}" for arm, alarm in kept["alarms"].items()]
    return section


def word_of(difference: Mapping[str, Any]) -> str:
    """Say "above", "level" or "below".

    Examples
    --------
    >>> word_of({"auroc": -0.2, "error": 0.05, "level": True})
    'below'
    """
    value, error = difference["auroc"], difference["error"]
    if value is None or error is None:
        return "undefined"
    if value < -2 * error:
        return "below"
    return "level" if difference["level"] else "above"


def _folds(kept: Mapping[str, Any]) -> Section:
    rows = [
        [
            arm,
            number + 1,
            table["n"],
            show(table["auroc"]),
            show(table["macro_precision"]),
            show(table["macro_recall"]),
            show(kept["penalties"][arm][number]),
        ]
        for arm, tables in kept["folds"].items()
        for number, table in enumerate(tables)
    ]
    head = ["arm", "fold", "people", "AUROC", "macro precision", "macro recall", "penalty"]
    text = ["Penalty: C of the logistic regression (smaller is stronger), alpha of the MLP."]
    return Section("Folds", text=text, tables=[Table(head, rows)])


def _published(about: Mapping[str, Any]) -> list[Section]:
    """The paper's row of a set, never to be taken for a result of this cohort."""
    if "like" not in about:
        return []
    design = load_design(about["like"])
    rows = [
        [row.model, show(row.macro_precision), show(row.macro_recall), show(row.auroc)]
        for row in design.published
    ]
    caption = f"{design.title}, as published: of other people than those of this page."
    return [
        Section(
            "As published",
            text=[design.source + "."],
            tables=[Table(["model", "macro precision", "macro recall", "AUC"], rows, caption)],
            warnings=list(design.notes),
        )
    ]


def _how(kept: Mapping[str, Any]) -> Section:
    about = kept["about"]
    facts = [
        ("genotypes", about["genotypes"]),
        ("phenotypes", about["phenotypes"]),
        ("model", show(about["model"])),
        ("regions", show(about["regions"]) if about["regions"] else "all variants, one sum"),
        ("features", about["reading"]["features"]),
        ("window", f"{about['window_bp']} bp"),
        ("classifier", about["judging"]["classifier"]),
        ("groups", show(about["groups"])),
        ("prevalence", show(about["judging"]["prevalence"])),
        ("seed", show(about["judging"]["seed"])),
    ]
    return Section("How it was done", text=list(kept["notes"]), facts=facts)

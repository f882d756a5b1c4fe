"""One HTML file about a pre-training run, a fine-tuned model, a comparison, an ablation, or the
whole demo; or the results of several runs as one page of Markdown.

It is read from the files of the folder: what was run, the data, curves, tables,
pictures, warnings, how to do it again. Nothing is loaded from outside.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from epilm.errors import InputError, UsageError
from epilm.finetuning.finetuned_page import finetuned_page
from epilm.plots.page import (
    SIMULATED,
    Page,
    Section,
    footer,
    last,
    load_json,
    read_lines,
    write_page,
)
from epilm.pretraining import run_page as chapters

DEMO = "demo.json"
RISK = "risk.json"
STUDY = "study.json"
ABLATIONS = "ablation.json", "ablation_data.json"


def report(
    folder: str | Path | None = None,
    out: str | Path | None = None,
    *,
    results: Sequence[str | Path] = (),
) -> Path:
    """Write a self-contained HTML page about a run or a demo, or one page of several runs' results.

    Parameters
    ----------
    folder : path, optional
        A run of `pretrain` or `finetune`, or the folder of `compare`, `ablate`, `risk` or `demo`.
    out : path, optional
        The HTML file; `report.html` in the folder by default. With `results` a folder to appear,
        `results` by default.
    results : sequence of path, optional
        In place of `folder`: folders of `finetune`, `compare`, `ablate` and `risk`, whose tables
        are put together as Markdown (results.md), beside every number as results.tsv.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the folder is none of these.
    UsageError
        If both are given, or neither.
    """
    if (folder is None) == (not results):
        raise UsageError(
            "one run, or the results of several",
            found="neither" if folder is None else f"{folder}, and --results",
            expected="a folder, or --results and folders",
            do="epilm report RUN, or epilm report --results RUN RUN --out results",
        )
    if folder is None:
        from epilm.trials.results import write_results

        return write_results(results, "results" if out is None else out)
    folder = Path(folder)
    target = Path(out) if out is not None else folder / "report.html"
    if (folder / DEMO).is_file():
        from epilm.tour.demo_page import demo_page

        page = demo_page(folder)
    elif (folder / RISK).is_file():
        from epilm.cohorts.risk_page import risk_page

        page = risk_page(folder)
    elif any((folder / name).is_file() for name in ABLATIONS):
        from epilm.trials.trial_page import ablation_page

        page = ablation_page(folder)
    elif (folder / STUDY).is_file():
        from epilm.trials.study_page import study_page

        page = study_page(folder)
    elif (folder / "task.json").is_file() or (folder / "run.json").is_file():
        page = finetuned_page(folder)
    elif (folder / "runs.jsonl").is_file():
        from epilm.trials.trial_page import comparison_page

        page = comparison_page(folder)
    elif (folder / "recipe.json").is_file() and (folder / "metrics.jsonl").is_file():
        page = _pretraining_page(folder)
    else:
        there = sorted(p.name for p in folder.iterdir())[:6] if folder.is_dir() else None
        raise InputError(
            "there is no run to report on",
            where=str(folder),
            found="no such folder" if there is None else ", ".join(there) or "an empty folder",
            expected=(
                "a folder written by `epilm pretrain`, `finetune`, `compare`, `ablate`, `risk` or"
                " `demo`"
            ),
            do="Give the folder that was passed to --out.",
        )
    return write_page(page, target)


def is_simulated(store: Path | None) -> bool:
    """Say whether a store was made from the playground (its assembly is named so)."""
    info: dict[str, Any] = load_json(store / "store.json", {}) if store else {}
    return "simulated" in str(info.get("assembly", "")).lower()


def reproduce(run: Path, recipe: dict[str, Any]) -> Section:
    """The command that makes this run again."""
    store = load_json(run / "store.json", {})
    size = f" --size {recipe['size']}" if recipe.get("size") not in (None, "base") else ""
    code = (
        f"epilm pretrain {recipe.get('name', 'RECIPE')} --store {store.get('path', 'STORE')} --out"
        f" {run}{size}"
    )
    return Section(
        "How to reproduce",
        text=[
            "The resolved recipe above says every value; what differs from the shipped recipe goes"
            " behind --set."
        ],
        code=code,
    )


def _pretraining_page(run: Path) -> Page:
    recipe = load_json(run / "recipe.json", {})
    store = chapters.find_store(run)
    valid = last(read_lines(run / "metrics.jsonl"), "valid")
    cards = []
    for key, name in (
        ("masked_kmers/covered_accuracy", "Accuracy under [MASK]"),
        ("next_segment/accuracy", "Next-segment accuracy"),
        ("matching/recall@1", "Matching recall@1"),
        ("matching/recall@10", "Matching recall@10"),
    ):
        if valid.get(key) is not None:
            chance = valid.get(f"{key}_chance")
            cards.append(
                (
                    name,
                    f"{valid[key]:.3f}",
                    f"held-out; chance {chance:.3f}" if chance else "held-out",
                )
            )
    sections = [chapters.pretraining(run)]
    if store is not None:
        sections.append(chapters.data(store))
    sections.append(reproduce(run, recipe))
    return Page(
        f"{recipe.get('name', 'run')}: pre-training",
        f"Run {run.name}, size {recipe.get('size', '?')}",
        banner=SIMULATED if is_simulated(store) else "",
        cards=cards,
        sections=sections,
        footer=footer(),
    )

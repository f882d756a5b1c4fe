"""One HTML file about a pre-training run, a fine-tuned model, a comparison, an ablation, or the
whole demo.

It is read from the files of the folder: what was run, the data, curves, tables,
pictures, warnings, how to do it again. Nothing is loaded from outside.
"""

from pathlib import Path
from typing import Any

from epilm.errors import InputError
from epilm.finetuning.page import comparison, finetuned_page
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
from epilm.pretraining import page as chapters

DEMO = "demo.json"
ABLATION, DATA_ABLATION = "ablation.json", "ablation_data.json"


def report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write a self-contained HTML page about a run or a demo.

    Parameters
    ----------
    folder : path
        A run of `pretrain` or `finetune`, or the folder of `compare`, `ablate` or `demo`.
    out : path, optional
        The HTML file; `report.html` in the folder by default.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the folder is none of these.
    """
    folder = Path(folder)
    target = Path(out) if out is not None else folder / "report.html"
    if (folder / DEMO).is_file():
        from epilm.tour.page import demo_page

        page = demo_page(folder)
    elif (folder / ABLATION).is_file():
        from epilm.trials.ablation_report import ablation_page

        page = ablation_page(folder)
    elif (folder / DATA_ABLATION).is_file():
        from epilm.trials.ablation_data_report import data_ablation_page

        page = data_ablation_page(folder)
    elif (folder / "task.json").is_file() or (folder / "run.json").is_file():
        page = finetuned_page(folder)
    elif (folder / "runs.jsonl").is_file():
        page = _comparison_page(folder)
    elif (folder / "recipe.json").is_file() and (folder / "metrics.jsonl").is_file():
        page = _pretraining_page(folder)
    else:
        there = sorted(p.name for p in folder.iterdir())[:6] if folder.is_dir() else None
        raise InputError(
            "there is no run to report on",
            where=str(folder),
            found="no such folder" if there is None else ", ".join(there) or "an empty folder",
            expected=(
                "a folder written by `epilm pretrain`, `finetune`, `compare`, `ablate` or `demo`"
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


def _comparison_page(folder: Path) -> Page:
    plan = load_json(folder / "plan.json", {})
    sets: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in read_lines(folder / "runs.jsonl"):
        sets.setdefault(str(row["set"]), {}).setdefault(str(row["competitor"]), []).append(row)
    sections, cards = [], []
    for name, models in sets.items():
        sections.append(comparison(name, list(models.items())))
        means = {
            m: [s["auroc"] for s in seeds if s.get("auroc") is not None]
            for m, seeds in models.items()
        }
        top = max(
            (m for m in means if means[m]),
            key=lambda m: sum(means[m]) / len(means[m]),
            default=None,
        )
        if top is not None and len(sets) <= 8:
            cards.append((name, f"{sum(means[top]) / len(means[top]):.3f}", f"best AUROC: {top}"))
    seeds = {
        row.get("seed") for models in sets.values() for rows in models.values() for row in rows
    }
    settings = plan.get("settings", {})
    facts = [
        ("Sets", f"{len(sets)}"),
        ("Seeds", f"{len(seeds)}"),
        ("Learning rates tried", ", ".join(f"{rate:g}" for rate in plan.get("lrs", []))),
        *(
            (name.replace("_", " ").capitalize(), str(settings[name]))
            for name in ("epochs", "batch_size")
            if name in settings
        ),
        *((str(m["name"]), str(m["checkpoint"])) for m in plan.get("models", [])),
    ]
    text = [
        "Every model saw the same rows, the same split and the same tuning budget; the test rows"
        " were scored once a seed."
    ]
    sections.append(Section("What was run", text=text, facts=[f for f in facts if f[1]]))
    about = f"{len(sets)} sets, {len(seeds)} seeds" if len(seeds) > 1 else f"{len(sets)} sets"
    return Page("Comparison of models", about, cards=cards, sections=sections, footer=footer())


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

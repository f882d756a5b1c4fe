"""The page of an ablation on given data: a table and a picture a setting, each factor, the claims,
how it was done.
"""

from pathlib import Path
from typing import Any

import numpy as np

from epilm.metrics.binding import HEADS
from epilm.plots.page import SIMULATED, Page, Picture, Section, Table, duration, footer, load_json
from epilm.plots.paired import paired_points, size_of_points
from epilm.plots.style import as_image, figure
from epilm.pretraining import page as chapters
from epilm.recipes.recipe import Source, build_from
from epilm.trials.ablation_data import DATA_PLAN, DataAblation, Setting, read_data_rows
from epilm.trials.ablation_data_table import SCORES, judge, name_of, shown, summarise
from epilm.trials.ablation_report import claims_section


def data_ablation_page(folder: Path) -> Page:
    """Collect the page of such an ablation's folder."""
    kept = load_json(folder / DATA_PLAN, {})
    plan = build_from(DataAblation, kept["plan"], "", Source(str(folder / DATA_PLAN)))
    rows, about = read_data_rows(folder, plan), kept.get("about", {})
    seeds = sorted({row["seed"] for row in rows})
    table = summarise(plan, rows)
    found = [_setting(plan, setting, table, rows) for setting in plan.settings]
    if plan.claims:
        found.append(_claims(plan, rows))
    found.append(_what(plan, about, rows))
    for model in plan.models:
        run = folder / "runs" / model.name
        if (run / "metrics.jsonl").is_file():
            found.append(chapters.pretraining(run, f"Pre-training of {model.name}"))
    words = [
        f"--{key} {about[key]}"
        for key in ("store", "labels", "regions", "blacklist", "motifs", "rule")
        if key in about
    ]
    size = "" if plan.size == "base" else f" --size {plan.size}"
    code = (
        f"epilm ablate {plan.name}.yaml {' '.join(words)} --out {folder} --seeds {len(seeds)}{size}"
    )
    found.append(
        Section(
            "How to reproduce",
            text=["The same command goes on where a stopped one was."],
            code=code,
        )
    )
    simulated = "simulated" in str(about.get("assembly", "")).lower()
    return Page(
        plan.title or plan.name,
        f"Ablation on given data, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}",
        banner=SIMULATED if simulated else "",
        sections=found,
        footer=footer(),
    )


def _setting(
    plan: DataAblation, setting: Setting, table: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> Section:
    mine = [line for line in table if line["setting"] == setting.name]
    section = Section(
        setting.title or setting.name,
        text=[
            f"Learned from {', '.join(setting.train_cells)} on {', '.join(setting.train)}, the best"
            f" epoch (or penalty) chosen on {', '.join(setting.valid)}; tested in"
            f" {setting.test_cell} on {', '.join(setting.test)}, every {plan.bin_step} bp."
        ],
    )
    if not mine:
        section.text.append("No row is done yet.")
        return section
    best = int(np.argmax([line["auprc_dg_mean"] or 0.0 for line in mine]))
    count = max(line["seeds"] for line in mine)
    over = f"; mean ± sample sd over {count} seeds" if count > 1 else ""
    factors = plan.factors_of(setting)
    section.tables = [
        Table(
            ["row", "seeds", *(HEADS[score] for score in SCORES)],
            [
                [name_of(line), line["seeds"], *(shown(line, s, 3, "±") for s in SCORES)]
                for line in mine
            ],
            f"Mean over {len(factors)} factors{over}",
            frozenset({(best, 2)}),
        ),
        *(
            Table(
                ["row", *factors],
                [
                    [line["title"], *(shown(line["factors"][f], score, 3, "±") for f in factors)]
                    for line in mine
                ],
                f"{HEADS[score]} of each factor{over}",
            )
            for score in SCORES
        ),
    ]
    counts = [f"{f} {of['positives']:,} of {of['n']:,}" for f, of in _known(mine).items()]
    section.facts = [("Bound of the scored bins", "; ".join(counts))]
    columns = {
        line["title"]: {
            row["seed"]: row["auprc_dg"]
            for row in rows
            if (row["setting"], row["arm"]) == (setting.name, line["arm"])
            and row["auprc_dg"] is not None
        }
        for line in mine
    }
    if columns := {title: column for title, column in columns.items() if column}:
        chance = float(
            np.mean([of["positives"] / of["n"] for of in _known(mine).values()] or [0.0])
        )
        with figure(*size_of_points(len(columns))) as (fig, (ax,)):
            paired_points(ax, columns, title="auPRC of every seed", chance=chance)
            text = (
                "A dot a seed, lines join the rows of one seed, bars are means. Dashed: the share"
                " of bound bins."
            )
            section.pictures.append(Picture(as_image(fig), text, wide=True))
    met = dict.fromkeys(
        f"{row['arm']}: {row['met']}"
        for row in rows
        if row["setting"] == setting.name and row.get("met")
    )
    notes = dict.fromkeys(f"{line['arm']}: {note}" for line in mine for note in line["notes"])
    for title, lines in (("What training has met of the test", met), ("Notes", notes)):
        if lines:
            section.details.append((title, "; ".join(lines)))
    return section


def _known(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Counts of each factor, from the first row that has a score of it."""
    out: dict[str, dict[str, Any]] = {}
    for line in lines:
        for factor, of in line["factors"].items():
            if of["n"]:
                out.setdefault(factor, of)
    return out


def _claims(plan: DataAblation, rows: list[dict[str, Any]]) -> Section:
    return claims_section(
        judge(plan, rows),
        plan.titles(),
        HEADS,
        "A seed is the randomness of training; the data are the same. A claim is shown where the"
        " mean difference within seeds is above two of its standard errors, over the factors that"
        " both rows have. That is certainty about these data and no others: one test cell type and"
        " a part of one chromosome are one sample of the world.",
    )


def _what(plan: DataAblation, about: dict[str, Any], rows: list[dict[str, Any]]) -> Section:
    spec = plan.finetune
    positives = "all" if spec.positives_per_epoch is None else f"{spec.positives_per_epoch:,}"
    return Section(
        "How the rows were made",
        facts=[
            *((key.capitalize(), str(value)) for key, value in about.items()),
            ("Windows", f"{spec.window_bp} bp around bins of 200 bp"),
            (
                "Fine-tuning",
                (
                    f"{spec.epochs} epochs of {positives} bound windows and {spec.negatives}"
                    f" unbound ones for each, rate {spec.lr:g}, batch {spec.batch_size},"
                    f" {spec.strands} strands, all factors in one run"
                ),
            ),
            *(
                (
                    f"Model {m.name}",
                    m.run or f"{m.recipe}, size {m.size}, {m.pretrain}: {', '.join(m.set)}",
                )
                for m in plan.models
            ),
            (
                "Time of fine-tuning and prediction",
                duration(sum(row["seconds"] for row in rows)),
            ),
        ],
    )

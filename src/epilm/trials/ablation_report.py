"""The page of an ablation: rows over seeds, the claims with their verdicts, each factor, how it was
done.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.plots.page import SIMULATED, Page, Picture, Section, Table, duration, footer, load_json
from epilm.plots.paired import paired_gaps, paired_points, size_of_points
from epilm.plots.style import as_image, figure
from epilm.pretraining import page as chapters
from epilm.recipes.recipe import Source, build_from
from epilm.trials.ablation import PLAN, Ablation, read_rows
from epilm.trials.ablation_table import Verdict, judge, summarise

NAMES = {"auprc_dg": "auPRC (Davis-Goadrich)", "ap": "average precision"}


def ablation_page(folder: Path) -> Page:
    """Collect the page of an ablation's folder."""
    plan = read_plan(folder)
    rows = read_rows(folder, plan)
    seeds = sorted({row["seed"] for row in rows})
    found = ablation_sections(plan, rows)
    verdicts = [v for v in judge(plan, rows) if v.score == "auprc_dg"]
    cards = [(v.say, f"{v.mean:+.3f}", _error(v.se) + v.word) for v in verdicts]
    for seed in seeds[:1]:
        for model in plan.models:
            run = folder / f"seed{seed}/runs/{model.name}"
            if (run / "metrics.jsonl").is_file():
                found.append(
                    chapters.pretraining(run, f"Pre-training of {model.name}, seed {seed}")
                )
    size = "" if plan.size == "base" else f" --size {plan.size}"
    code = f"epilm ablate {plan.name} --out {folder}{size} --seeds {len(seeds)}"
    found.append(
        Section(
            "How to reproduce",
            text=["The same command goes on where a stopped one was."],
            code=code,
        )
    )
    return Page(
        plan.title or plan.name,
        f"Ablation, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}, size {plan.size}",
        banner=SIMULATED,
        cards=cards[:6],
        sections=found,
        footer=footer(),
    )


def read_plan(folder: Path) -> Ablation:
    """The description that a folder was made with."""
    return build_from(Ablation, load_json(folder / PLAN, {}), "", Source(str(folder / PLAN)))


def ablation_sections(plan: Ablation, rows: list[dict[str, Any]]) -> list[Section]:
    """Table and picture of the rows, the claims, and what was done."""
    table, titles = summarise(plan, rows), plan.titles()
    best = int(np.argmax([line["auprc_dg_mean"] for line in table])) if table else 0
    heads = ["row", "seeds", *NAMES.values(), "auROC", *plan.factors]
    lines = [
        [
            line["title"],
            line["seeds"],
            *(_spread(line, key) for key in ("auprc_dg", "ap", "auroc")),
            *line["factors"].values(),
        ]
        for line in table
    ]
    count = max((line["seeds"] for line in table), default=0)
    caption = (
        f"{plan.test_cell}, {', '.join(plan.test)}, mean over factors; the factors' columns are"
        " auPRC" + (f"; mean ± sample sd over {count} seeds" if count > 1 else "")
    )
    scores = Section(
        "Binding in an unseen cell type",
        text=[
            f"Where do {', '.join(plan.factors)} bind in {plan.test_cell} on"
            f" {' and '.join(plan.test)}? Its chromatin states and signals are known; its binding"
            " was learned from by nobody, nor was any binding on these chromosomes, which"
            " pre-training did not read either."
        ],
        tables=[Table(heads, lines, caption, frozenset({(best, 2)}))],
    )
    shares = [t["positives"] / t["n"] for row in rows for t in row["factors"].values() if t["n"]]
    columns = {
        title: {row["seed"]: row["auprc_dg"] for row in rows if row["arm"] == arm}
        for arm, title in titles.items()
    }
    columns = {title: column for title, column in columns.items() if column}
    if columns:
        with figure(*size_of_points(len(columns))) as (fig, (ax,)):
            paired_points(
                ax,
                columns,
                title="auPRC of every seed",
                chance=float(np.mean(shares)) if shares else None,
            )
            text = (
                "A dot a seed, lines join the rows of one seed, bars are means. Dashed: the share"
                " of bound bins."
            )
            scores.pictures.append(Picture(as_image(fig), text, wide=True))
    return [scores, _claims(plan, rows), _what(plan, rows)]


def claims_section(
    verdicts: Sequence[Verdict], titles: Mapping[str, str], heads: Mapping[str, str], text: str
) -> Section:
    """Claims with their differences and verdicts, and a picture of them where there is more than
    one seed.
    """
    lines = [
        [
            v.say,
            f"{titles[v.more]} − {titles[v.less]}",
            heads[v.score],
            v.mean,
            None if np.isnan(v.se) else v.se,
            v.word,
        ]
        for v in verdicts
    ]
    section = Section(
        "Claims",
        text=[text],
        tables=[
            Table(["claim", "difference", "score", "mean", "standard error", "verdict"], lines)
        ],
    )
    drawn = [(v.say, v.differences, v.mean, v.se) for v in verdicts if v.score == "auprc_dg"]
    if drawn and max(len(gaps) for _, gaps, _, _ in drawn) > 1:
        with figure(8.0, 0.8 + 0.42 * len(drawn)) as (fig, (ax,)):
            paired_gaps(ax, drawn, title="Differences in auPRC")
            section.pictures.append(Picture(as_image(fig), "", wide=True))
    return section


def _claims(plan: Ablation, rows: list[dict[str, Any]]) -> Section:
    return claims_section(
        judge(plan, rows),
        plan.titles(),
        NAMES,
        "All rows of a seed share its world, so differences are taken within seeds. A claim is"
        " shown where the mean difference is above two of its standard errors (sample sd over seeds"
        " / √seeds); a claim of “not above” where it is not. One seed has no standard error and"
        " shows nothing.",
    )


def _what(plan: Ablation, rows: list[dict[str, Any]]) -> Section:
    spec = plan.finetune
    seconds = sum(row["seconds"] for row in rows)
    return Section(
        "How the arms were made",
        text=[
            (
                "Each seed is an invented genome of its own. The models are toys: the table says"
                " which part of the system does what in a world where the truth is known, not how"
                " well any of it does on real data."
            ),
        ],
        facts=[
            (
                "World",
                (
                    f"playground, size {plan.world}, seeds"
                    f" {', '.join(str(s) for s in sorted({r['seed'] for r in rows}))}"
                ),
            ),
            ("Binding learned from", f"{', '.join(plan.train_cells)} on {', '.join(plan.train)}"),
            ("Best epoch chosen on", f"{', '.join(plan.train_cells)} on {', '.join(plan.valid)}"),
            ("Tested on", f"{plan.test_cell} on {', '.join(plan.test)}, every {plan.bin_step} bp"),
            ("Windows", f"{spec.window_bp} bp around bins of 200 bp"),
            (
                "Fine-tuning",
                (
                    f"{spec.epochs} epochs of {spec.positives_per_epoch} bound windows and"
                    f" {spec.negatives} unbound ones for each, rate {spec.lr:g}, batch"
                    f" {spec.batch_size}, {spec.strands} strands"
                ),
            ),
            *(
                (
                    f"Pre-training of {m.name}",
                    f"{m.recipe}, size {m.size}: {', '.join((*plan.set, *m.set))}",
                )
                for m in plan.models
            ),
            ("Time of fine-tuning and prediction", duration(seconds)),
        ],
    )


def _spread(line: dict[str, Any], key: str) -> str:
    sd = line[f"{key}_sd"]
    return f"{line[f'{key}_mean']:.3f}" + ("" if sd is None else f" ± {sd:.3f}")


def _error(se: float) -> str:
    return "" if np.isnan(se) else f"± {se:.3f} (se), "

"""The page of a table of a paper: ours, ours beside the paper's, claims, pictures, how it was made.

Reads the folder alone.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from epilm.finetuning.finetuned_page import NAMES
from epilm.metrics.bin_scores import HEADS
from epilm.plots.page import (
    SIMULATED,
    Page,
    Picture,
    PictureNumbers,
    Section,
    Table,
    duration,
    footer,
)
from epilm.plots.pictures import scatter
from epilm.plots.style import as_image, figure
from epilm.trials.descriptions import argument_of
from epilm.trials.row_files import Row
from epilm.trials.study import Study, kept_study, study_of
from epilm.trials.trial import rows_of
from epilm.trials.trial_page import paper_sections
from epilm.trials.trial_table import summarise
from epilm.trials.trial_text import shown
from epilm.trials.verdicts import judge, over_baselines, said_level


def study_page(folder: Path) -> Page:
    """Collect the page of a folder."""
    study, kept = kept_study(folder)
    design = study.design(kept["names"])
    rows = rows_of(folder, design)
    seeds = sorted({row["seed"] for row in rows})
    scores = design.words.printed
    cells = [
        [line["set"], line["title"], line["seeds"], *(shown(line, s, 3, "±") for s in scores)]
        for line in summarise(design, rows)
    ]
    heads = ["set", "row", "seeds", *(HEADS.get(s, NAMES.get(s, s)) for s in scores)]
    over = f"mean ± sample sd over {len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    alarms = dict.fromkeys(
        f"{row['arm']}: {row['collapse']}" for row in rows if row.get("collapse")
    )
    sections = [Section("Table", warnings=list(alarms), tables=[Table(heads, cells, over)])]
    sections += paper_sections(design, rows)
    if study.expected and not design.published:
        sections.append(Section("What the paper says", text=[study.expected]))
    if verdicts := judge(design, rows):
        lines = [
            [v.say, HEADS.get(v.score, v.score), v.mean, v.se if v.se == v.se else None, v.word]
            for v in verdicts
        ]
        heads = ["claim", "score", "mean difference", "standard error", "verdict"]
        text = ["Shown where the mean paired difference is above two of its standard errors."]
        sections.append(Section("Claims", text=text, tables=[Table(heads, lines)]))
    if level := said_level(over_baselines(design, rows)):
        text = [f"{line}." for line in level]
        sections.append(Section("What a baseline does as well", text=text))
    if pictures := _pictures(folder, study, seeds):
        sections.append(Section("Regions of one cell type alone", pictures=pictures))
    sections.append(_how(study, kept, rows))
    simulated = study.world or "simulated" in str(kept["about"].get("assembly", "")).lower()
    return Page(
        study.title or study.name,
        f"{len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}"
        + ("" if study.size == "base" else f", size {study.size}"),
        banner=SIMULATED if simulated else "",
        sections=sections,
        footer=footer(),
    )


def _pictures(folder: Path, study: Study, seeds: list[int]) -> list[Picture]:
    out = []
    for arm in study.arms:
        for seed in seeds[:1]:
            path = folder / f"seed{seed}" / f"{arm.name}.tsne.tsv"
            if not path.is_file():
                continue
            with open(path, encoding="utf-8", newline="") as lines:
                points = list(csv.DictReader(lines, delimiter="\t"))
            with figure(6.4, 4.2) as (fig, (ax,)):
                places = [(float(point["x"]), float(point["y"])) for point in points]
                title = arm.title or arm.name
                scatter(ax, places, [point["cell_type"] for point in points], title)
                numbers = PictureNumbers(
                    f"{arm.name}.tsne", list(points[0]), [list(point.values()) for point in points]
                )
                text = f"t-SNE. {title}, seed {seed}, {len(points)} regions."
                out.append(Picture(as_image(fig), text, numbers=(numbers,)))
    return out


def study_command(
    study: Study, about: Mapping[str, str], folder: str | Path, seeds: Sequence[int]
) -> str:
    """The command that makes the folder of a paper's table."""
    words = [f"--{key} {value}" for key, value in about.items() if key != "assembly"]
    words += [] if study.size == "base" else [f"--size {study.size}"]
    words += [f"--seeds {len(seeds)}", f"--out {folder}"]
    return " ".join(["epilm ablate", argument_of(study, study_of), *words])


def _how(study: Study, kept: dict, rows: list[Row]) -> Section:
    spec = study.finetune
    facts = [(key.capitalize(), str(value)) for key, value in kept["about"].items()]
    if study.world:
        facts.append(("World", f"playground, size {study.world}: toys, of which nothing follows"))
    if study.measure == "labels":
        words = f"{spec.epochs} epochs, rate {spec.lr:g}, batch {spec.batch_size}"
        facts.append(("Fine-tuning", words))
    made_of = []
    for model in study.models:
        recipe, size, changes = study.recipe_of(model)
        made = f"{recipe}, size {size or 'base'}, {model.pretrain}: {', '.join(changes)}"
        made_of.append(f"{model.name}: {model.run or made}")
    facts.append(("Time of rows", duration(sum(row["seconds"] for row in rows))))
    code = study_command(study, kept["about"], "FOLDER", sorted({row["seed"] for row in rows}))
    details = [("The models", "\n".join(made_of))]
    return Section("How the rows were made", facts=facts, code=code, details=details)

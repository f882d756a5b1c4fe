"""The demo's page: the two tasks side by side, both pre-trainings, the pictures, the commands."""

import csv
from pathlib import Path
from typing import Any

from epilm.explaining.explain_page import draw_region, map_numbers
from epilm.explaining.kept_explanation import load_explanation
from epilm.finetuning.finetuned_page import comparison, scores_of
from epilm.metrics.curves import auroc
from epilm.metrics.level import difference
from epilm.plots.line_plots import retrieval_curve
from epilm.plots.page import (
    SIMULATED,
    Page,
    Picture,
    PictureNumbers,
    Section,
    Table,
    duration,
    footer,
    last,
    load_json,
    read_lines,
)
from epilm.plots.pictures import metric_bars, scatter
from epilm.plots.style import as_image, figure
from epilm.pretraining import run_page as chapters
from epilm.tasks.sequence_scores import read_predictions
from epilm.tour.ending import EXPLAINED, EXPLORER, TABLE, TRUTH, VARIANTS, WHY
from epilm.tour.tasks import DEMO, MODELS, PART_TWO

STARTS = {
    "genebert": "GeneBERT, pre-trained",
    "dnabert": "sequence only, pre-trained",
    "random": "same network, random start",
    "genebert_frozen": "GeneBERT, frozen encoder",
    "dnabert_frozen": "sequence only, frozen encoder",
    "random_frozen": "random start, frozen encoder",
    "kmer": "k-mer logistic regression",
    "motif": "best motif score",
    "motifs": "best scores of all motifs",
}
FROZEN = (
    "Where the encoder is frozen only a classifier on top of it learns: the score says what the"
    " encoder knew before. These are single runs: what another seed would give is not in the"
    " standard errors."
)
CURVES = ("genebert", "dnabert", "random")


def demo_page(folder: Path) -> Page:
    """Collect the page of a demo folder."""
    done = load_json(folder / DEMO, {})
    truth = load_json(folder / "data/truth.json", {})
    tasks = {
        f"Binding of {factor} in {done.get('cell')}": (
            factor,
            (
                f"Is this 101 bp window of an accessible region of {done.get('cell')} bound by"
                f" {factor}? Few sites are known to learn from. Pre-training was shown where motifs"
                " have their sites, in sequence without labels; a random start has to find the"
                " motif in the few labels."
            ),
        )
        for factor in done.get("factors", ())
    }
    sections = [_what(done, truth)]
    tables = {name: _models(folder / "tasks" / task) for name, (task, _) in tasks.items()}
    for name, (task, text) in tasks.items():
        home = folder / "tasks" / task
        runs = {
            title: home / key
            for key, title in STARTS.items()
            if key in CURVES and (home / key).is_dir()
        }
        if tables[name]:
            worth = _worth(home)
            sections.append(comparison(name, tables[name], runs, [text, *worth, FROZEN]))
    sections += [*_locus(folder, done), *_variants(folder, done)]
    sections += [
        chapters.pretraining(folder / "runs" / key, f"Pre-training: {title}")
        for key, (_, title) in MODELS.items()
    ]
    if pictures := _pictures(folder):
        sections.append(pictures)
    sections += _part_two(folder / PART_TWO)
    sections.append(chapters.data(folder / "store"))
    sections.append(_reproduce(done))
    return Page(
        "epilm demo",
        "From raw files to a scored model, every step a command of the toolkit.",
        banner=SIMULATED,
        cards=_cards(folder, done, tables),
        sections=sections,
        footer=footer(),
    )


def _worth(home: Path) -> list[str]:
    """What pre-training was worth on the test rows, in words; nothing where a run is missing."""
    paths = [home / start / "predictions.tsv" for start in ("genebert", "random")]
    if not all(path.is_file() for path in paths):
        return []
    ours, twin = (read_predictions(path) for path in paths)
    test = ours.split == "test"
    gain = difference(ours.labels[test], ours.said[test, 1], twin.said[test, 1], auroc)
    said = "no more than chance gives" if gain.level else "more than two standard errors"
    return [
        f"Pre-trained GeneBERT minus the same network from random weights: {gain.value:+.3f} AUROC"
        f" (standard error over test rows {gain.error:.3f}), {said}."
    ]


def _locus(folder: Path, done: dict[str, Any]) -> list[Section]:
    """A site of the first factor: letters, every change, and the explorer."""
    home = folder / EXPLAINED
    truth = load_json(home / TRUTH)
    if truth is None:
        return []
    explained = load_explanation(home / WHY)
    each = explained.maps[0]
    region, factor = each.region, done["factors"][0]
    of = f"{region.chrom}:{region.start:,}-{region.end:,}"
    counted = (
        f"Of the {truth['planted']} bases that count most, {truth['best_in_site']} lie in the"
        f" planted site of {factor} ({truth['planted']} of {truth['bases']} bases)"
        + (f"; auPRC of bases {truth['auprc']:.2f}." if truth["auprc"] is not None else ".")
    )
    picture = Picture(
        draw_region(each, explained.about),
        "Letters as high as what each base is worth; below, what each change of a base does.",
        wide=True,
        alt=f"map of {of}",
        numbers=(map_numbers(each),),
    )
    return [
        Section(
            "An explained locus",
            text=[
                "The window of the test chromosomes that the model fine-tuned from GeneBERT is"
                f" surest of, {of}: each of its bases was changed to the three others and scored."
                f" {counted} Nobody told the model where in a window the site lies.",
            ],
            links=[
                ("Open it in the explorer", f"{EXPLAINED}/{EXPLORER}"),
                ("All tables of the explanation", f"{EXPLAINED}/{WHY}/report.html"),
            ],
            pictures=[picture],
        )
    ]


BASELINES = {
    "pretrained": STARTS["genebert"],
    "random": STARTS["random"],
    "baseline motif": "the motif that changes most",
    "baseline motifs": "changes of all motifs, summed",
    "baseline gc": "change of G+C",
}


def _variants(folder: Path, done: dict[str, Any]) -> list[Section]:
    """Planted breaks against neutral changes: the models beside what needs no model."""
    path = folder / VARIANTS / TABLE
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as handle:
        rows = [r for r in csv.DictReader(handle, delimiter="\t") if r["row"] in BASELINES]
    if not rows:
        return []
    rows.sort(key=lambda row: list(BASELINES).index(row["row"]))
    titled = [(BASELINES[row["row"]], float(row["auroc"]), float(row["se"])) for row in rows]
    n, broken = int(rows[0]["n"]), int(rows[0]["positives"])
    factor = done["factors"][0]
    with figure(6.0, 0.8 + 0.32 * len(rows)) as (fig, (ax,)):
        bars = {name: [area] for name, area, _ in titled}
        title = "Which change breaks a site?"
        metric_bars(ax, bars, title=title, chance=0.5, limits=(0.3, 1.0))
        picture = Picture(
            as_image(fig),
            "AUROC by the size of the change of the score. Dashed: chance.",
            alt="AUROC of models and baselines",
            numbers=(
                PictureNumbers("variants", list(rows[0]), [list(row.values()) for row in rows]),
            ),
        )
    table = Table(
        ["row", "AUROC", "standard error"],
        [list(row) for row in titled],
        f"{n} changes of one base on the test chromosomes, {broken} of them break a site",
    )
    return [
        Section(
            "Variants with a known effect",
            text=[
                f"In {broken} planted, bound sites of {factor} the one base is changed that costs"
                " the motif most; beside each site the same letter, where no site lies, is changed"
                " in the same way."
                " Models that were fine-tuned to tell bound windows from others score both alleles:"
                " no variant was ever shown to them. The motif's own score cannot be beaten here:"
                " its matrix is what was planted.",
            ],
            links=[("All variants and their scores", f"{VARIANTS}/pretrained.html")],
            tables=[table],
            pictures=[picture],
        )
    ]


def _models(home: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """Test scores of every model of a task, in the order of STARTS."""
    known = {key: load_json(home / key / "metrics.json", {}).get("test") for key in STARTS}
    known |= load_json(home / "baselines.json", {})
    return [(title, [known[key]]) for key, title in STARTS.items() if known.get(key)]


def _what(done: dict[str, Any], truth: dict[str, Any]) -> Section:
    return Section(
        "What was run",
        text=[
            (
                "A genome was invented, with real motifs planted by known rules. Its raw files"
                " became a store; two models were pre-trained on it: one is shown sequence, factor"
                " matrix and where motifs have their sites, the other hides k-mers of the sequence."
                " Both, and a twin without pre-training, were fine-tuned on two tasks and scored on"
                " chromosomes that neither pre-training nor fine-tuning saw."
            ),
            (
                "The models are toys that learn within a minute. The page shows that every part"
                " works and what its output looks like, not how well such models do on real data."
                " Part two, further down, does the same for EBERT: one seed, toy size. Both parts"
                " together take seven to ten minutes on two cores, a part on each."
            ),
        ],
        facts=[
            (
                "Genome",
                f"{sum(truth.get('chromosomes', {}).values()):,} bp, seed {done.get('seed')}",
            ),
            (
                "Regions",
                f"{truth.get('regions', 0):,} in {len(truth.get('cell_types', []))} cell types",
            ),
            ("Epochs chosen on", ", ".join(done.get("valid", []))),
            ("Tested on", ", ".join(done.get("test", []))),
            ("Time", duration(done.get("seconds"))),
        ],
    )


def _cards(
    folder: Path, done: dict[str, Any], tables: dict[str, Any]
) -> list[tuple[str, str, str]]:
    cards = []
    for name, models in tables.items():
        values = {title: seeds[0].get("auroc") for title, seeds in models}
        ours, twin = values.get(STARTS["genebert"]), values.get(STARTS["random"])
        if ours is not None:
            note = f"AUROC; random start {twin:.3f}" if twin is not None else "AUROC"
            cards.append((name, f"{ours:.3f}", note))
    valid = last(read_lines(folder / "runs/genebert/metrics.jsonl"), "valid")
    for key, title in (
        ("matching/recall@10", "Matching recall@10"),
        ("next_segment/accuracy", "Next-segment accuracy"),
    ):
        if valid.get(key) is not None:
            cards.append(
                (
                    title,
                    f"{valid[key]:.3f}",
                    f"held-out; chance {valid.get(f'{key}_chance', 0):.3f}",
                )
            )
    cards.append(
        (
            "Whole demo",
            f"{(done.get('seconds') or 0) / 60:.1f} min",
            f"{len(done.get('stages', []))} steps",
        )
    )
    return cards


def _pictures(folder: Path) -> Section | None:
    home = folder / "pictures"
    if not home.is_dir():
        return None
    section = Section(
        "What the models see",
        text=[
            "Each dot is a distal region of the test chromosomes, embedded by the sequence encoder"
            " and coloured by the programme that was planted in it. The models were never told the"
            " programmes."
        ],
    )
    for key, (_, title) in MODELS.items():
        path = home / f"embedding.{key}.tsv"
        if path.is_file():
            with open(path, newline="", encoding="utf-8") as handle:
                rows = list(csv.DictReader(handle, delimiter="\t"))
            with figure(5.4, 3.6) as (fig, (ax,)):
                points = [(float(r["x"]), float(r["y"])) for r in rows]
                scatter(ax, points, [r["programme"] for r in rows], title=title)
                text = f"t-SNE of {len(rows)} held-out regions."
                numbers = PictureNumbers(
                    f"tsne.{key}", list(rows[0]), [list(r.values()) for r in rows]
                )
                section.pictures.append(Picture(as_image(fig, "png"), text, numbers=(numbers,)))
    if retrieval := load_json(home / "retrieval.json"):
        with figure(5.4, 3.4) as (fig, (ax,)):
            retrieval_curve(
                ax,
                {"GeneBERT": retrieval["ranks"]},
                retrieval["pool"],
                "Which factor matrix belongs to this sequence?",
            )
            caption = (
                f"Share of {retrieval['pool']} held-out samples whose own matrix is among the k"
                " nearest."
            )
            ranks = [(at, rank) for at, rank in enumerate(retrieval["ranks"])]
            numbers = PictureNumbers("retrieval", ("sample", "rank"), ranks)
            section.pictures.append(Picture(as_image(fig), caption, numbers=(numbers,)))
    return section


def _part_two(folder: Path) -> list[Section]:
    """The ablation of EBERT: its own page is in its folder."""
    from epilm.trials.descriptions import WORLD_PLAN, kept_design
    from epilm.trials.trial import rows_of
    from epilm.trials.trial_page import ablation_sections, design_of

    if not (folder / WORLD_PLAN).is_file():
        return []
    plan, _ = kept_design(folder)
    rows = rows_of(folder, design_of(plan))
    sections = ablation_sections(plan, rows)
    intro = (
        "Part two. EBERT reads a chromatin state with every k-mer, so that it can be asked about a"
        " cell type in which no binding was ever measured; DBERT reads the sequence alone; EBERT+"
        " sees accessibility and mappability too. This is one seed at toy size, made to fit into"
        " the demo: it shows that the parts run and which way they point, no more. The claims need"
        f" seeds: epilm ablate {plan.name} runs five, larger ones."
    )
    sections[0].text.insert(0, intro)
    sections[0].title = f"Part two: {sections[0].title[0].lower()}{sections[0].title[1:]}"
    return sections


def _reproduce(done: dict[str, Any]) -> Section:
    stages = done.get("stages", [])
    rows = [
        [
            s["name"] + (", beside the others" if s.get("beside") else ""),
            "–" if s["seconds"] is None else f"{s['seconds']:.1f}",
        ]
        for s in stages
    ]
    code = "\n\n".join(s["command"].replace(" --", " \\\n    --") for s in stages if s["command"])
    size = "" if done.get("size") == "small" else f" --size {done.get('size')}"
    seed = f" --seed {done.get('seed')}" if done.get("seed") else ""
    return Section(
        "How to reproduce",
        text=["The demo is one command; each step can also be run by itself."],
        tables=[Table(["step", "seconds"], rows, "Where the time went")],
        code=f"epilm demo{size}{seed}",
        details=[("All commands", code)],
    )


__all__ = ["STARTS", "demo_page", "scores_of"]

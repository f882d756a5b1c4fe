"""The page of a trial: a table and a picture a setting, the claims, what is level, how it was done.

Reads the folder alone, so that `epilm report` can draw it again at any time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from epilm.finetuning.finetuned_page import NAMES
from epilm.metrics.bin_scores import HEADS
from epilm.metrics.published import dream_internal_ranks, genebert_table
from epilm.plots.page import (
    SIMULATED,
    Page,
    Picture,
    PictureNumbers,
    Section,
    Table,
    duration,
    footer,
    load_json,
)
from epilm.plots.paired import paired_gaps, paired_points, size_of_points
from epilm.plots.style import as_image, figure
from epilm.pretraining import run_page as chapters
from epilm.trials.bench import LAB, WORLDS
from epilm.trials.choices import Networks
from epilm.trials.competitors import FROZEN
from epilm.trials.descriptions import Ablation, Setting, ablation_of, argument_of, kept_design
from epilm.trials.learn import WITHOUT_CHANCE, comparison
from epilm.trials.row_files import Row
from epilm.trials.trial import rows_of
from epilm.trials.trial_table import (
    Design,
    Words,
    beside_paper,
    published_scores,
    said_over_settings,
    summarise,
)
from epilm.trials.trial_text import MOST_SAID, best_line, name_of, shown
from epilm.trials.verdicts import Verdict, judge, over_baselines, said_level

CLASSIFIER_SCORES = ("auroc", "ap", "auprc_dg", "accuracy")
COMPARISON = Words(
    noun="a comparison",
    plan="plan.json",
    rows="runs.jsonl",
    setting="set",
    arm="competitor",
    lines="",
    scores=(*CLASSIFIER_SCORES, "macro_precision", "macro_recall", "macro_f1", "mcc"),
    judged=("auroc",),
    printed=("auroc", "ap", "macro_f1"),
    other="the folder holds a comparison of other data or settings",
    kept=("sets", "models"),
)
COMPARED = Design(
    COMPARISON,
    trivial=frozenset((*WITHOUT_CHANCE, "random")),
    controls=frozenset({"cnn"}),  # a baseline itself
    fixed=frozenset(WITHOUT_CHANCE),
)
FROZEN_TAKES = ("both_strands", "threshold", "device")  # settings, of a frozen model
_MANY = 8  # sets from which on a comparison has one table and no picture a set


def compared_of(plan: Mapping[str, Any]) -> Design:
    """What the table of a comparison is made of: with the paper's rows of the sets that are its,
    what the manifest says of others, and models that are pre-trainings of one recipe.
    """
    ours, theirs = genebert_table("2"), genebert_table("2_dnabert")
    published: dict[tuple[str, str], Mapping[str, float]] = {}
    sources: dict[str, str] = {}
    for name, kept in plan.get("sets", {}).items():
        about = kept.get("about", {})
        if (named := about.get("given", {}).get("published")) is not None:
            published[name, "GeneBERT, published"] = ours.rows[named]
            published[name, "DNABERT, published"] = theirs.rows[named]
            sources[ours.source] = ours.note
        for who, scores in about.get("beside", {}).items():
            published[name, who] = scores
            sources["columns of the manifest"] = ""
    groups: dict[str, tuple[str, ...]] = {}
    fixed = set(COMPARED.fixed)
    for model in plan.get("models", []):
        if group := model.get("group"):
            groups[group] = (*groups.get(group, ()), model["name"])
        if model.get("frozen") and model.get("init") != "random":
            fixed.add(model["name"])
    note = " ".join(filter(None, sources.values()))
    source = "; ".join(sources)
    return replace(
        COMPARED,
        published=published,
        source=source,
        note=note,
        groups=groups,
        fixed=frozenset(fixed),
    )


def paper_sections(design: Design, rows: Sequence[Row]) -> list[Section]:
    """A section of ours beside what is published; none where nothing is."""
    beside, scores = beside_paper(design, rows), published_scores(design)
    if not beside:
        return []
    words = design.words
    heads = [words.setting] if words.setting else []
    names = [HEADS.get(score, NAMES.get(score, score)) for score in scores]
    heads += ["row", "seeds", *(f"{name}{of}" for name in names for of in ("", ", paper"))]
    cells = [
        [
            *([line[words.setting]] if words.setting else []),
            line["title"],
            line["seeds"],
            *(cell for s in scores for cell in (shown(line, s, 3, "±"), line[f"{s}_published"])),
        ]
        for line in beside
    ]
    text = [f"{design.note}."] if design.note else []
    return [Section("Beside the paper", text=text, tables=[Table(heads, cells, design.source)])]


def design_of(plan: Ablation) -> Design:
    """What the table of an ablation is made of."""
    trivial = frozenset(arm.name for arm in plan.arms if arm.baseline)
    controls = frozenset(control.name for control in plan.controls)
    table, published = dream_internal_ranks(), {}
    for text in plan.ranks:
        arm, _, model = text.partition("=")
        for setting in plan.settings:
            dataset = setting.name.replace(".", ":", 1)
            if dataset in table.datasets:
                row = table.ranks[table.datasets.index(dataset)]
                rank = float(row[table.models.index(model)])
                published[setting.name, arm] = {"mean_rank": rank}
    return Design(
        WORLDS if plan.world else LAB,
        plan.cells(),
        plan.claims,
        trivial,
        controls,
        published,
        f"mean rank of four metrics among these rows; {table.source}" if published else "",
        plan.expected,
    )


def ablation_page(folder: Path) -> Page:
    """Collect the page of an ablation's folder."""
    plan, about = kept_design(folder)
    design = design_of(plan)
    rows = rows_of(folder, design)
    seeds = sorted({row["seed"] for row in rows})
    sections = ablation_sections(plan, rows, about)
    home = folder / f"seed{seeds[0]}/runs" if plan.world and seeds else folder / "runs"
    for model in plan.models:
        if (home / model.name / "metrics.jsonl").is_file():
            title = f"Pre-training of {model.name}" + (f", seed {seeds[0]}" if plan.world else "")
            sections.append(chapters.pretraining(home / model.name, title))
    code = ablation_command(plan, about, folder, seeds)
    text = "The same command goes on where a stopped one was."
    sections.append(Section("How to reproduce", text=[text], code=code))
    judged = [v for v in judge(design, rows) if v.score == "auprc_dg"]
    cards = [
        (v.say, f"{v.mean:+.3f}", ("" if np.isnan(v.se) else f"± {v.se:.3f} (se), ") + v.word)
        for v in judged
    ]
    kind = f"Ablation, size {plan.size}" if plan.world else "Ablation on given data"
    simulated = plan.world or "simulated" in str(about.get("assembly", "")).lower()
    return Page(
        plan.title or plan.name,
        f"{kind}, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}",
        banner=SIMULATED if simulated else "",
        cards=cards[:6],
        sections=sections,
        footer=footer(),
    )


def ablation_command(
    plan: Ablation, about: Mapping[str, Any], folder: Path, seeds: Sequence[int]
) -> str:
    """The command that makes an ablation's folder."""
    files = ("store", "labels", "regions", "blacklist", "motifs", "rule", "runs")
    words = [f"--{key} {about[key]}" for key in files if key in about]
    words += [f"--out {folder}", f"--seeds {len(seeds)}"]
    words += [] if plan.size == "base" else [f"--size {plan.size}"]
    return f"epilm ablate {argument_of(plan, ablation_of)} {' '.join(words)}"


def comparison_command(plan: Mapping[str, Any], rows: Sequence[Row], folder: Path) -> str:
    """The command that makes a comparison's folder; "" where it was not of a manifest."""
    manifest = plan.get("about", {}).get("manifest")
    if not manifest:
        return ""
    models = plan.get("models", [])
    starts = [
        f"{m.get('group') or m['name']}={m['checkpoint']}"
        + (f"@{m['fusion']}" if m.get("fusion", "none") != "none" else "")
        + (f"@{FROZEN}" if m.get("frozen") else "")
        + (f"@{m['head']}" if m.get("head") else "")
        for m in models
        if not m.get("members")
    ]
    names = {model["name"] for model in models}
    arms = dict.fromkeys(r["competitor"] for r in rows if r.get("competitor"))
    beside = [arm for arm in arms if arm not in names]
    words = [f"epilm compare --manifest {manifest}"]
    words += [f"--genome {path}" for path in plan["about"].get("genome", ())]
    words += [f"--models {' '.join(starts)}"] if starts else []
    words += ["--ensemble"] if any(m.get("members") for m in models) else []
    words += [f"--baselines {','.join(beside) or repr('')}"]
    given = settings_of(plan, rows)
    for option in fields(Networks):
        value = given.get(option.name)
        if option.name == "lr" or value in (None, option.default):
            continue
        flag = f"--{option.name.replace('_', '-')}"
        words.append(flag if value is True else f"{flag} {value}")
    if "lr" in given:
        words.append(f"--lr {' '.join(f'{rate:g}' for rate in plan.get('lrs') or [given['lr']])}")
    words.append(f"--seeds {len({row['seed'] for row in rows})} --out {folder}")
    return " ".join(words)


def model_text(model: Mapping[str, Any]) -> str:
    """What a model of a comparison is, in words."""
    if members := model.get("members"):
        return f"the mean of {', '.join(members)}"
    how = "frozen: a regression over its vectors" if model.get("frozen") else ""
    head = f", head {model['head']}" if model.get("head") else ""
    return f"{model['checkpoint']} ({how or model.get('init', 'checkpoint')}{head})"


def settings_of(plan: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Settings that some row of a comparison has learned by; where all models are frozen, few."""
    given = {"lr": 2e-4} | dict(plan.get("settings", {}))
    models = plan.get("models", [])
    learned = any(not m.get("frozen") for m in models) or any(
        row.get("competitor") in ("cnn", *(() if models else ("random",))) for row in rows
    )
    return given if learned else {key: given[key] for key in FROZEN_TAKES if key in given}


def ablation_sections(
    plan: Ablation, rows: list[Row], about: Mapping[str, Any] | None = None
) -> list[Section]:
    """A section a setting, the claims, and how the rows were made."""
    design = design_of(plan)
    table = summarise(design, rows)
    sections = [_setting(plan, design, setting, table, rows) for setting in plan.settings]
    sections += paper_sections(design, rows)
    if plan.expected and not design.published:
        sections.append(Section("What the paper says", text=[plan.expected]))
    if plan.claims:
        sections.append(_claims(plan, judge(design, rows)))
    return [*sections, _how(plan, about or {}, rows)]


def _setting(
    plan: Ablation, design: Design, setting: Setting, table: list[dict[str, Any]], rows: list[Row]
) -> Section:
    """Means over factors, each factor, a picture of every seed."""
    title = "Binding in an unseen cell type" if plan.world else setting.title or setting.name
    section = Section(
        title,
        text=[
            f"Learned from {', '.join(setting.train_cells)} on {', '.join(setting.train)}, the best"
            f" epoch (or penalty) chosen on {', '.join(setting.valid)}; tested in"
            f" {setting.test_cell} on {', '.join(setting.test)}, every {plan.bin_step} bp."
        ],
    )
    rows = [row for row in rows if design.place(row)[0] == setting.name]
    lines = [line for line in table if line.get(design.words.setting, "") == setting.name]
    if not lines:
        section.text.append("No row is done yet.")
        return section
    section.text += _level(design, rows)
    scores, factors = design.words.scores, plan.factors_of(setting)
    best = best_line(lines, scores[0])
    count = max(line["seeds"] for line in lines)
    over = f"; mean ± sample sd over {count} seeds" if count > 1 else ""
    section.tables.append(
        Table(
            ["row", "seeds", *(HEADS[score] for score in scores)],
            [
                [name_of(line), line["seeds"], *(shown(line, s, 3, "±") for s in scores)]
                for line in lines
            ],
            f"Mean over {len(factors)} factors{over}",
            frozenset() if best is None else frozenset({(best, 2)}),
        )
    )
    for score in scores:
        cells = [
            [line["title"], *(shown(line["factors"][f], score, 3, "±") for f in factors)]
            for line in lines
        ]
        section.tables.append(
            Table(["row", *factors], cells, f"{HEADS[score]} of each factor{over}")
        )
    bound: dict[str, dict[str, Any]] = {}  # counts, from the first row that has a score
    for line in lines:
        for factor, of in line["factors"].items():
            if of["n"]:
                bound.setdefault(factor, of)
    counts = [f"{f} {of['positives']:,} of {of['n']:,}" for f, of in bound.items()]
    section.facts = [("Bound of the scored bins", "; ".join(counts))]
    columns = {
        line["title"]: {
            row["seed"]: row[scores[0]]
            for row in rows
            if row["arm"] == line["arm"] and row[scores[0]] is not None
        }
        for line in lines
    }
    if columns := {name: column for name, column in columns.items() if column}:
        chance = float(np.mean([of["positives"] / of["n"] for of in bound.values()] or [0.0]))
        with figure(*size_of_points(len(columns))) as (fig, (ax,)):
            paired_points(ax, columns, title="auPRC of every seed", chance=chance)
            text = (
                "A dot a seed, lines join the rows of one seed, bars are means. Dashed: the share"
                " of bound bins."
            )
            seeds = [(name, s, v) for name, column in columns.items() for s, v in column.items()]
            stem = f"{setting.name}.seeds" if setting.name else "seeds"
            numbers = PictureNumbers(stem, ("row", "seed", scores[0]), seeds)
            section.pictures.append(Picture(as_image(fig), text, wide=True, numbers=(numbers,)))
    met = dict.fromkeys(f"{row['arm']}: {row['met']}" for row in rows if row.get("met"))
    notes = dict.fromkeys(f"{line['arm']}: {note}" for line in lines for note in line["notes"])
    for summary, details in (("What training has met of the test", met), ("Notes", notes)):
        if details:
            section.details.append((summary, "; ".join(details)))
    return section


def _level(design: Design, rows: Sequence[Row]) -> list[str]:
    """Sentences on arms that a baseline is as good as."""
    level = [f"{text}." for text in said_level(over_baselines(design, rows))]
    more = [f"And {len(level) - MOST_SAID} more such."] if len(level) > MOST_SAID else []
    return level[:MOST_SAID] + more


def _claims(plan: Ablation, verdicts: Sequence[Verdict]) -> Section:
    """Claims with differences and verdicts, and a picture where there is more than one seed."""
    titles = plan.titles()
    meant = (
        "Each seed is a world of its own, which all its rows share."
        if plan.world
        else "A seed is the randomness of training; the data are the same. Certainty is about these"
        " data and no others: one test cell type and a part of one chromosome are one sample of the"
        " world."
    )
    section = Section(
        "Claims",
        text=[
            f"{meant} Differences are taken within seeds, over the factors that both rows have."
            " A claim is shown where the mean difference is above two of its standard errors"
            " (sample sd over seeds / √seeds); a claim of “not above” where it is not. One seed has"
            " no standard error and shows nothing."
        ],
    )
    heads = ["claim", "difference", "score", "mean", "standard error", "verdict"]
    lines = [
        [
            v.say,
            f"{titles[v.more]} − {titles[v.less]}",
            HEADS[v.score],
            v.mean,
            None if np.isnan(v.se) else v.se,
            v.word,
        ]
        for v in verdicts
    ]
    section.tables.append(Table(heads, lines))
    drawn = [(v.say, v.differences, v.mean, v.se) for v in verdicts if v.score == "auprc_dg"]
    if max((len(gaps) for _, gaps, _, _ in drawn), default=0) > 1:
        with figure(8.0, 0.8 + 0.42 * len(drawn)) as (fig, (ax,)):
            paired_gaps(ax, drawn, title="Differences in auPRC")
            gaps = [
                (say, at, gap, mean, se)
                for say, seeds, mean, se in drawn
                for at, gap in enumerate(seeds)
            ]
            heads = ["claim", "number", "difference", "mean", "standard_error"]
            numbers = PictureNumbers("claims", heads, gaps)
            section.pictures.append(Picture(as_image(fig), "", wide=True, numbers=(numbers,)))
    return section


def _how(plan: Ablation, about: Mapping[str, Any], rows: Sequence[Row]) -> Section:
    """Data, settings of fine-tuning, pre-trained models, time."""
    spec = plan.finetune
    positives = "all" if spec.positives_per_epoch is None else f"{spec.positives_per_epoch:,}"
    facts = [(key.capitalize(), str(value)) for key, value in about.items()]
    text = []
    if plan.world:
        text = [
            "Each seed is an invented genome of its own. The models are toys: the table says which"
            " part of the system does what in a world where the truth is known, not how well any of"
            " it does on real data."
        ]
        seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
        facts.append(("World", f"playground, size {plan.world}, seeds {seeds}"))
    strands = "both strands" if spec.both_strands else "one strand"
    facts += [
        ("Windows", f"{spec.window_bp} bp around bins of 200 bp"),
        (
            "Fine-tuning",
            f"{spec.epochs} epochs of {positives} bound windows and {spec.negatives} unbound ones"
            f" for each, rate {spec.lr:g}, batch {spec.batch_size}, {strands}, all factors in one"
            " run",
        ),
    ]
    for model in plan.models:
        _, _, changes = plan.recipe_of(model)
        once = "per_seed" if plan.world else model.pretrain
        made = f"{model.recipe}, size {model.size}, {once}: {', '.join(changes)}"
        facts.append((f"Model {model.name}", model.run or made))
    seconds = duration(sum(row["seconds"] for row in rows))
    facts.append(("Time of fine-tuning and prediction", seconds))
    return Section("How the rows were made", text=text, facts=facts)


def comparison_page(folder: Path) -> Page:
    """Collect the page of a comparison's folder."""
    plan = load_json(folder / COMPARISON.plan, {})
    design, order = compared_of(plan), {name: at for at, name in enumerate(plan.get("sets", {}))}
    rows = sorted(rows_of(folder, design), key=lambda row: order.get(row["set"], -1))
    table = summarise(design, rows)
    sets: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.get("failed"):
            continue
        sets.setdefault(row["set"], {}).setdefault(row["competitor"], []).append(row)
    sections, cards = [], []
    if len(sets) > _MANY:
        sections.append(_all_sets(table))
    else:
        for name, models in sets.items():
            sections.append(comparison(name, list(models.items())))
            lines = [line for line in table if line["set"] == name]
            if (best := best_line(lines, "auroc")) is not None:
                line = lines[best]
                mean, who = f"{line['auroc_mean']:.3f}", line["competitor"]
                cards.append((name, mean, f"best AUROC: {who}"))
    if said := said_over_settings(design, rows):
        sections.insert(0, Section("All sets", text=[f"{line}." for line in said[1:]]))
    sections += paper_sections(design, rows)
    if level := _level(design, rows):
        sections.append(Section("What a baseline does as well", text=level))
    noted = dict.fromkeys(f"{r['set']}: {note}" for r in rows for note in r.get("notes", ()))
    if noted:
        sections.append(Section("What is doubtful", text=[f"{note}." for note in noted]))
    failures = [[r["set"], r["competitor"] or "all", r["failed"]] for r in rows if r.get("failed")]
    if failures:
        text = ["The same command tries these again."]
        failed = Table(["set", "competitor", "why"], failures)
        sections.append(Section("Without a score", text=text, tables=[failed]))
    seeds, settings = {row["seed"] for row in rows}, settings_of(plan, rows)
    facts = [
        ("Sets", f"{len(sets)}"),
        ("Seeds", f"{len(seeds)}"),
        ("Learning rates tried", ", ".join(f"{rate:g}" for rate in plan.get("lrs", []))),
        *(
            (name.replace("_", " ").capitalize(), str(settings[name]))
            for name in ("epochs", "batch_size")
            if name in settings
        ),
        *((str(m["name"]), model_text(m)) for m in plan.get("models", [])),
    ]
    text = [
        "Every model saw the same rows, the same split and the same tuning budget; the test rows"
        " were scored once a seed."
    ]
    sections.append(Section("What was run", text=text, facts=[f for f in facts if f[1]]))
    about = f"{len(sets)} sets, {len(seeds)} seeds" if len(seeds) > 1 else f"{len(sets)} sets"
    return Page("Comparison of models", about, cards=cards, sections=sections, footer=footer())


def _all_sets(table: list[dict[str, Any]]) -> Section:
    """Many sets in one table; the best mean of each set is marked."""
    cells = [
        [
            line["set"],
            line["competitor"],
            line["seeds"],
            *(shown(line, score, 3, "±") for score in CLASSIFIER_SCORES),
        ]
        for line in table
    ]
    best = set()
    for name in dict.fromkeys(line["set"] for line in table):
        mine = [number for number, line in enumerate(table) if line["set"] == name]
        top = best_line([table[number] for number in mine], "auroc")
        if top is not None:
            best.add((mine[top], 3))
    heads = ["set", "competitor", "seeds", *CLASSIFIER_SCORES]
    return Section("Sets", tables=[Table(heads, cells, "Test rows", frozenset(best))])

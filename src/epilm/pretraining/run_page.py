"""What a report says about a run and a store: files on disk in, sections of the page out.

Nothing is trained or scored here. A file that is not there leaves its part out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from epilm.objectives.table import OBJECTIVES
from epilm.plots.line_plots import training_curve
from epilm.plots.page import (
    Picture,
    PictureNumbers,
    Section,
    Table,
    duration,
    last,
    load_json,
    read_lines,
    show,
)
from epilm.plots.pictures import factor_heatmap
from epilm.plots.style import as_image, figure


def curves() -> dict[str, str]:
    """Metrics that a page draws, with their titles, in the order of the page.

    Examples
    --------
    >>> list(curves())[:2]
    ['loss', 'masked_kmers/loss']
    """
    titles = {
        f"{name}/{metric}": title
        for name, objective in OBJECTIVES.items()
        for metric, title in objective.titles.items()
    }
    return {"loss": "Total loss"} | titles


def _samples(model: dict[str, Any], samples: dict[str, Any]) -> str:
    if samples.get("unit") == "windows":
        return f"windows of {samples.get('window_bp', '?')} bp"
    return f"{samples.get('regions', '?')} regions, layout {model.get('layout', '?')}"


def _best(best: dict[str, Any]) -> str:
    """The best validation in words; nothing where there was none."""
    if not best:
        return ""
    early = ", ended early" if best["stopped_early"] else ""
    return (
        f"step {best['step']:,} ({best['score']} {show(best['value'])}){early}; model/ is of the"
        f" {best['model']} step"
    )


def _made_with(start: dict[str, Any], store: dict[str, Any]) -> list[tuple[str, str]]:
    """Versions, source and store of a run."""
    facts = []
    if versions := start.get("versions"):
        facts.append(
            (
                "Versions",
                ", ".join(
                    f"{n} {versions[n]}" for n in ("epilm", "torch", "numpy") if n in versions
                ),
            )
        )
    if git := start.get("git"):
        facts.append(
            ("Source", f"{git.get('commit', '')[:10]}{', changed' if git.get('changed') else ''}")
        )
    if mark := store.get("fingerprint"):
        facts.append(("Store", f"{Path(str(store.get('path', '?'))).name}, {mark[:12]}"))
    return facts


def run_facts(run: Path) -> list[tuple[str, str]]:
    """What a pre-training run was: recipe, model, objectives, data, versions."""
    recipe = load_json(run / "recipe.json", {})
    rows = read_lines(run / "metrics.jsonl")
    model, train, optim = recipe.get("model", {}), recipe.get("train", {}), recipe.get("optim", {})
    encoder, samples = model.get("encoder", {}), recipe.get("samples", {})
    starts = load_json(run / "versions.json", [])
    start = starts[-1] if isinstance(starts, list) and starts else {}
    store, summary = load_json(run / "store.json", {}), load_json(run / "summary.json", {})
    done = max((int(r["step"]) for r in rows), default=0)
    weights = {
        name: spec.get("weight", 0)
        for name, spec in recipe.get("objectives", {}).items()
        if isinstance(spec, dict) and spec.get("weight", 0)
    }
    facts = [
        ("Recipe", f"{recipe.get('name', '?')} ({recipe.get('size', '?')})"),
        ("Streams", " + ".join(model.get("streams", []))),
        (
            "Encoder",
            (
                f"{encoder.get('size', '?')}, {model.get('k', '?')}-mers, {model.get('max_tokens')}"
                " tokens"
            ),
        ),
        ("Samples", _samples(model, samples)),
    ]
    if "factors" in model.get("streams", []):
        facts.append(("Region tower", f"{model.get('tower', {}).get('name', '?')}"))
    if parameters := summary.get("parameters"):
        facts.append(("Parameters", show(parameters)))
    facts += [
        (
            "Objectives",
            ", ".join(f"{name} × {show(weight, 2)}" for name, weight in weights.items()),
        ),
        ("Steps", f"{done:,} of {train.get('steps', 0):,}, batch {train.get('batch_size', '?')}"),
        ("Peak learning rate", f"{optim.get('peak_lr', 0):g} ({optim.get('name', '')})"),
        ("Best held-out", _best(summary.get("best", {}))),
        (
            "Held out",
            ", ".join([*samples.get("holdout_chroms", []), *samples.get("holdout_cells", [])])
            or "nothing",
        ),
        ("Seed", show(train.get("seed"))),
        (
            "Time",
            duration(last(rows, "train").get("seconds") or last(rows, "valid").get("seconds")),
        ),
        (
            "Device",
            f"{start.get('device', train.get('device', '?'))}, {start.get('cpus', '?')} cores",
        ),
    ]
    facts += _made_with(start, store)
    return [(name, value) for name, value in facts if value]


def run_warnings(run: Path) -> list[str]:
    """What looks wrong: the run's own warnings, an unfinished run, metrics no better than
    chance.
    """
    rows = read_lines(run / "metrics.jsonl")
    summary = load_json(run / "summary.json", {})
    recipe = load_json(run / "recipe.json", {})
    out = [str(line) for line in summary.get("warnings", [])]
    steps = recipe.get("train", {}).get("steps", 0)
    done = max((int(r["step"]) for r in rows), default=0)
    if done < steps and not summary.get("best", {}).get("stopped_early"):
        out.append(
            f"The run is not finished: {done:,} of {steps:,} steps. The same command goes on from"
            " there."
        )
    valid = last(rows, "valid")
    if done and valid:
        finals = {
            f"{name}/{metric}": words
            for name, objective in OBJECTIVES.items()
            for metric, words in objective.finals.items()
        }
        for key, name in finals.items():
            value, chance = valid.get(key), valid.get(f"{key}_chance")
            if value is not None and chance is not None and value <= chance * 1.02:
                out.append(
                    f"{name} on held-out samples ({value:.3f}) is no better than chance"
                    f" ({chance:.3f})."
                )
    return out


def run_table(run: Path, name: str = "") -> Table | None:
    """Held-out metrics before and after training, beside chance."""
    rows = [r for r in read_lines(run / "metrics.jsonl") if r.get("split") == "valid"]
    if not rows:
        return None
    first, final = rows[0], rows[-1]
    lines: list[list[Any]] = []
    titles = curves()
    for key in (key for key in titles if key in final and key != "loss"):
        lines.append([titles[key], first.get(key), final.get(key), final.get(f"{key}_chance")])
    caption = f"Held-out samples{f', {name}' if name else ''} ({int(final.get('samples', 0))})"
    return Table(
        ["metric", f"step {first['step']}", f"step {final['step']}", "chance"], lines, caption
    )


def run_pictures(run: Path) -> list[Picture]:
    """Training curves of every objective, with chance lines."""
    rows = read_lines(run / "metrics.jsonl")
    titles = curves()
    present = [key for key in titles if any(r.get(key) is not None for r in rows)]
    if [key for key in present if key.endswith("/loss")] == [
        key for key in present if key != "loss"
    ][:1]:
        present = [
            key for key in present if key != "loss"
        ]  # one objective: the total is the same curve
    out = []
    for key in present:
        with figure() as (fig, (ax,)):
            training_curve(ax, rows, key, title=titles[key])
            drawn = [(r["step"], r.get("split"), r[key]) for r in rows if r.get(key) is not None]
            numbers = PictureNumbers(f"{run.name}.{key}", ("step", "split", key), drawn)
            alt = f"{titles[key]} over optimiser steps"
            out.append(Picture(as_image(fig), alt=alt, numbers=(numbers,)))
    return out


def pretraining(run: Path, title: str = "Pre-training") -> Section:
    """The section of one pre-training run."""
    section = Section(
        title, facts=run_facts(run), warnings=run_warnings(run), pictures=run_pictures(run)
    )
    if table := run_table(run):
        section.tables.append(table)
    speed = last(read_lines(run / "metrics.jsonl"), "train")
    if speed.get("tokens_per_second"):
        section.facts.append(("Speed", f"{speed['tokens_per_second']:,.0f} tokens/s"))
    if speed.get("memory_gb"):
        section.facts.append(("Memory", f"{speed['memory_gb']:.2f} GB"))
    if recipe := load_json(run / "recipe.json"):
        section.details.append(("The resolved recipe", json.dumps(recipe, indent=2)))
    return section


def find_store(run: Path) -> Path | None:
    """The store a run was trained on, if it still lies where it was, or beside the run."""
    path = load_json(run / "store.json", {}).get("path")
    if path is None:
        return None
    for candidate in (
        Path(path),
        run / path,
        run.parent / Path(path).name,
        run.parent.parent / Path(path).name,
    ):
        if (candidate / "store.json").is_file():
            return candidate
    return None


def data(store: Path) -> Section:
    """The section of a store: what is in it, what was dropped, the factor matrix."""
    from epilm.store.reader import Store

    opened = Store.open(store)
    info = opened.info
    width = opened.regions["end"] - opened.regions["start"]
    facts = [
        ("Assembly", info.assembly or "not named"),
        ("Genome", f"{sum(info.sizes):,} bp in {len(info.chroms)} chromosomes"),
        (
            "Regions",
            f"{info.n_regions:,}, mean {float(np.mean(width)):.0f} bp" if len(width) else "0",
        ),
        ("Cell types", f"{len(info.cell_types)}"),
        ("Factors", f"{info.n_factors}"),
        ("Fingerprint", info.fingerprint[:16]),
    ]
    if statistic := info.factors.get("statistic"):
        facts.append(("Motif statistic", str(statistic)))
    if dropped := sum(info.dropped.values()):
        facts.append(
            (
                "Dropped",
                f"{dropped:,} ({', '.join(f'{k}: {v:,}' for k, v in info.dropped.items() if v)})",
            )
        )
    rows: list[list[Any]] = []
    for cell in info.cell_types:
        count = int(np.asarray(opened.accessible(cell)).sum())
        rows.append([cell, count, f"{100 * count / max(info.n_regions, 1):.1f} %"])
    section = Section(
        "Data",
        facts=facts,
        tables=(
            [Table(["cell type", "accessible regions", "share"], rows)] if len(rows) <= 40 else []
        ),
        warnings=[str(note) for note in info.notes],
    )
    if opened.factors is not None and info.n_regions:
        shown = np.asarray(opened.factors[: min(200, info.n_regions)], np.float32)
        names = [str(m.get("name", "")) for m in opened.motifs]
        with figure(9.4, 3.6) as (fig, (ax,)):
            factor_heatmap(ax, shown, names, title=f"Factor matrix: the first {len(shown)} regions")
            caption = (
                "Best motif score of each region; red: more than the mean of the regions shown."
            )
            starts = opened.regions[: len(shown)]
            numbers = PictureNumbers(
                "factor_matrix",
                ("chrom", "start", "end", *names),
                [
                    (info.chroms[int(at["chrom"])], int(at["start"]), int(at["end"]), *row)
                    for at, row in zip(starts, shown.astype(float).tolist())
                ],
            )
            section.pictures.append(
                Picture(as_image(fig, "png"), caption, wide=True, numbers=(numbers,))
            )
    return section

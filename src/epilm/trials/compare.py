"""Several models and baselines on the same sets, over seeds, into one table.

Every competitor gets the same rows, the same split and the same tuning budget on the
valid split; the test split is scored once a seed. What is printed is the mean and the
sample standard deviation over seeds (a baseline without chance has one run). The rows
of one seed are written as they come, so that a stopped comparison goes on where it was.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from epilm.atomic import atomic_file, locked, write_json
from epilm.errors import TrainingError, UsageError, nearest
from epilm.finetuning.finetune import FinetuneSpec, finetune
from epilm.metrics.classification import score_table
from epilm.tasks import find_task
from epilm.tasks.base import LabelledSequences, describe
from epilm.tasks.options import typed_options
from epilm.tasks.splits import split_rows
from epilm.training.log import plain
from epilm.trials.manifest import read_manifest

BASELINES = ("kmer", "cnn", "motif", "motifs", "random")
SCORES = (
    "auroc",
    "ap",
    "auprc_dg",
    "accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "mcc",
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Competitor:
    """One row of the table: its name, what fine-tuning starts from, and how."""

    name: str
    checkpoint: str
    init: str = "checkpoint"
    fusion: str = "none"
    size: str = "small"  # of an encoder without a checkpoint
    k: int = 6


@dataclass(frozen=True)
class DataSet:
    """One labelled set with its split, and the factor whose motif is its baseline."""

    name: str
    rows: LabelledSequences
    task: str
    factor: str | None = None


def compare(
    sets: Sequence[DataSet],
    out: str | Path,
    *,
    models: Sequence[Competitor] = (),
    baselines: Sequence[str] = ("kmer", "cnn", "random"),
    seeds: Sequence[int] = (0, 1, 2),
    settings: FinetuneSpec | None = None,
    lrs: Sequence[float] = (),
    motifs: Any = None,
    say: Say | None = None,
) -> list[dict[str, Any]]:
    """Fine-tune and score everything on everything.

    Parameters
    ----------
    sets : sequence of DataSet
    out : path
        Folder; `runs.jsonl` (one line a set, competitor and seed), `table.tsv`, `table.json`.
        What `runs.jsonl` already holds is not done again.
    models : sequence of Competitor
    baselines : sequence of str
        Of "kmer" (logistic regression), "cnn", "motif" (the factor's own best score), "motifs" (all
        best scores), "random" (the first model's architecture, or a small encoder, without
        pre-training).
    seeds : sequence of int
    settings : FinetuneSpec, optional
        Of the networks; the CNN takes its own rate (1e-3) and three times the epochs.
    lrs : sequence of float
        Learning rates tried for each language model, chosen by valid AP; the one of `settings` if
        empty.
    motifs : path, "jaspar:2018" or sequence of Motif, optional
        For motif baselines and fusions.
    say : callable, optional

    Returns
    -------
    list of dict
        set, competitor, seeds, and of each score mean and sd (ddof 1; None with one run).

    Raises
    ------
    UsageError, InputError
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    settings = settings or FinetuneSpec()
    for name in baselines:
        if name not in BASELINES:
            raise UsageError("unknown baseline", found=name, do=nearest(name, BASELINES))
    if motifs is None and any(b.startswith("motif") for b in baselines):
        raise UsageError("the motif baselines need motifs", do="Pass --motifs FILE or jaspar:2018.")
    if motifs is not None:
        from epilm.motifs.formats import read_collection

        motifs = read_collection(motifs)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "compare"):
        plan = {
            "sets": {s.name: describe(s.rows) for s in sets},
            "settings": asdict(settings),
            "lrs": list(lrs),
            "models": [asdict(m) for m in models],
        }
        done = _done(folder, plan)
        for data in sets:
            for competitor, seed in _order(models, baselines, seeds):
                if (data.name, competitor, seed) in done:
                    continue
                started = time.monotonic()
                row = _one(data, competitor, seed, models, settings, lrs, motifs, say)
                row |= {"set": data.name, "competitor": competitor, "seed": seed}
                row["seconds"] = time.monotonic() - started
                done[(data.name, competitor, seed)] = row
                with open(folder / "runs.jsonl", "a", encoding="utf-8") as handle:
                    handle.write(json.dumps(plain(row)) + "\n")
                say(
                    f"{data.name} {competitor} seed {seed}: auroc {row['auroc']:.4f}, ap"
                    f" {row['ap']:.4f} ({row['seconds']:.0f} s)"
                )
                write_table(folder, summarise(list(done.values())))
    return summarise(list(done.values()))


def summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give mean and sample standard deviation over seeds of each set and competitor.

    Examples
    --------
    >>> runs = [
    ...     {"set": "a", "competitor": "x", "seed": s, "auroc": v} for s, v in enumerate([0.8, 0.9])
    ... ]
    >>> (row,) = summarise(runs)
    >>> row["seeds"], round(row["auroc_mean"], 3), round(row["auroc_sd"], 4)
    (2, 0.85, 0.0707)
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["set"], run["competitor"]), []).append(run)
    table = []
    for (name, competitor), rows in groups.items():
        line: dict[str, Any] = {"set": name, "competitor": competitor, "seeds": len(rows)}
        for score in SCORES:
            values = np.array([r[score] for r in rows if r.get(score) is not None], np.float64)
            if len(values):
                line[f"{score}_mean"] = float(values.mean())
                line[f"{score}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
        line["collapsed"] = sum(bool(r.get("collapse")) for r in rows)
        line["chosen"] = [r.get("chosen") for r in rows]
        table.append(line)
    return table


def write_table(folder: Path, table: Sequence[dict[str, Any]]) -> None:
    """Write table.json, and table.tsv for people."""
    write_json(folder / "table.json", [plain(row) for row in table])
    heads = [
        "set",
        "competitor",
        "seeds",
        *(f"{s}_{w}" for s in SCORES for w in ("mean", "sd")),
        "collapsed",
    ]
    with atomic_file(folder / "table.tsv") as new, open(new, "w", encoding="utf-8") as out:
        out.write("\t".join(heads) + "\n")
        for row in table:
            cells = ["" if row.get(h) is None else row[h] for h in heads]
            out.write(
                "\t".join(f"{c:.4f}" if isinstance(c, float) else str(c) for c in cells) + "\n"
            )


def text_of(
    table: Sequence[dict[str, Any]], scores: Sequence[str] = ("auroc", "ap", "macro_f1")
) -> str:
    """Print sets and competitors with mean +- sd."""
    width = max([12, *(len(r["competitor"]) for r in table)]) + 2
    sets = max([8, *(len(r["set"]) for r in table)]) + 2
    lines = [
        f"{'set':<{sets}}{'competitor':<{width}}{'seeds':>6}" + "".join(f"{s:>18}" for s in scores)
    ]
    for row in table:
        cells = []
        for score in scores:
            mean, sd = row.get(f"{score}_mean"), row.get(f"{score}_sd")
            spread = "" if sd is None else f" +- {sd:.4f}"
            cells.append("" if mean is None else f"{mean:.4f}{spread}")
        flag = f"  {row['collapsed']} collapsed" if row["collapsed"] else ""
        lines.append(
            f"{row['set']:<{sets}}{row['competitor']:<{width}}{row['seeds']:>6}"
            + "".join(f"{c:>18}" for c in cells)
            + flag
        )
    return "\n".join(lines)


def read_sets(manifest: str | Path, *, data_seed: int = 0, genome: Any = None) -> list[DataSet]:
    """Load the sets of a manifest; columns split, valid, test and factor are read here, the rest by
    the loader.

    Raises
    ------
    InputError
    """
    from epilm.tasks import TASKS
    from epilm.tasks.reference import open_reference

    opened: dict[str, Any] = {}
    sets = []
    for entry in read_manifest(manifest, tuple(TASKS)):
        options = dict(entry.options)
        how = {k: options.pop(k) for k in ("split",) if k in options}
        how = {"how": how["split"]} if how else {}
        places = {k: tuple(options.pop(k).split(",")) for k in ("valid", "test") if k in options}
        factor = options.pop("factor", None)
        path = options.pop("genome", None)
        if path is not None and path not in opened:
            opened[path] = open_reference(path)
        used = opened[path] if path is not None else genome
        load = find_task(entry.task).load
        rows = load(entry.data, genome=used, seed=data_seed, **typed_options(load, options))
        rows = split_rows(replace(rows, name=entry.name), seed=data_seed, **how, **places)  # type: ignore[arg-type]
        sets.append(DataSet(entry.name, rows, entry.task, factor))
    return sets


def _order(
    models: Sequence[Competitor], baselines: Sequence[str], seeds: Sequence[int]
) -> list[tuple[str, int]]:
    fixed = [(b, 0) for b in ("kmer", "motif", "motifs") if b in baselines]
    names = [b for b in ("cnn", "random") if b in baselines] + [m.name for m in models]
    return fixed + [(name, seed) for seed in seeds for name in names]


def _one(
    data: DataSet,
    competitor: str,
    seed: int,
    models: Sequence[Competitor],
    settings: FinetuneSpec,
    lrs: Sequence[float],
    motifs: Any,
    say: Say,
) -> dict[str, Any]:
    rows = data.rows
    train, valid, test = rows.part("train"), rows.part("valid"), rows.part("test")
    if competitor in ("kmer", "motif", "motifs"):
        from epilm.baselines import sequences as simple

        if competitor == "kmer":
            fitted: Any = simple.fit_kmer(train, valid)
        else:
            factor = (data.factor or data.name) if competitor == "motif" else None
            fitted = simple.fit_motif(train, valid, motifs=motifs, factor=factor)
        return score_table(test.labels, fitted.probabilities(test)) | {"chosen": fitted.chosen}
    quiet: Say = lambda line: None  # noqa: E731
    if competitor == "cnn":
        own = replace(settings, lr=1e-3, epochs=3 * settings.epochs, seed=seed, freeze="none")
        result = finetune(data.task, rows, checkpoint="cnn", settings=own, say=quiet)
        return result.metrics["test"] | {"chosen": {"lr": own.lr}}
    entry = next((m for m in models if m.name == competitor), None)
    if entry is None:  # "random": the twin of the first model
        first = models[0] if models else None
        entry = (
            Competitor("random", first.checkpoint, "random", first.fusion)
            if first
            else Competitor("random", "random")
        )
    best: tuple[float, dict[str, Any]] | None = None
    for lr in lrs or (settings.lr,):
        result = finetune(
            data.task,
            rows,
            checkpoint=entry.checkpoint,
            init=entry.init,  # type: ignore[arg-type]
            fusion=entry.fusion,  # type: ignore[arg-type]
            size=entry.size,  # type: ignore[arg-type]
            k=entry.k,
            motifs=motifs if entry.fusion != "none" else None,
            settings=replace(settings, lr=lr, seed=seed),
            say=quiet,
        )
        judged = result.metrics.get("valid", {}).get("ap", float("nan"))
        judged = -1.0 if np.isnan(judged) else judged
        if best is None or judged > best[0]:
            best = (judged, result.metrics["test"] | {"chosen": {"lr": lr, "valid_ap": judged}})
    assert best is not None
    return best[1]


def _done(folder: Path, plan: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """What an earlier start of the same comparison has finished."""
    path = folder / "plan.json"
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            n for n, s in plan["sets"].items() if n in before["sets"] and before["sets"][n] != s
        ]
        other = [
            m["name"]
            for m in plan["models"]
            for b in before["models"]
            if m["name"] == b["name"] and m != b
        ]
        if (
            changed
            or other
            or before["settings"] != plan["settings"]
            or before["lrs"] != plan["lrs"]
        ):
            raise TrainingError(
                "the folder holds a comparison of other data or settings",
                where=str(folder),
                found=", ".join(changed + other) or "other settings",
                do="Choose another --out.",
            )
        plan["sets"] = before["sets"] | plan["sets"]
        known = {m["name"] for m in plan["models"]}
        plan["models"] = [m for m in before["models"] if m["name"] not in known] + plan["models"]
    write_json(path, plan)
    runs = folder / "runs.jsonl"
    done = {}
    if runs.is_file():
        for line in runs.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # a line cut short by a kill
            done[(row["set"], row["competitor"], row["seed"])] = row
    return done

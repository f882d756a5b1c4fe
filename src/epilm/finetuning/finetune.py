"""Fine-tune: a pre-trained encoder (or a random twin, or the small CNN) learns a labelled set.

Data, start (`starts`), loop (`fitting`), scores on every split, and a folder that
appears whole or not at all. It says so when the model has collapsed to one answer, and
when test sequences were met in training.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file, atomic_folder, write_json
from epilm.device import Place, choose_place
from epilm.errors import TrainingError, UsageError
from epilm.finetuning.classifier import Classifier, Fusion
from epilm.finetuning.fitting import FinetuneSpec, Say, check_settings, fit_classifier
from epilm.finetuning.starts import prepare_classifier
from epilm.metrics.classification import score_table
from epilm.tasks import find_task
from epilm.tasks.base import LabelledSequences, describe
from epilm.tasks.options import typed_options
from epilm.tasks.splits import overlap_between, split_rows
from epilm.training.log import plain

__all__ = ["FinetuneSpec", "Result", "finetune", "write_predictions"]


@dataclass
class Result:
    """What fine-tuning made.

    Attributes
    ----------
    classifier : Classifier
        With the best weights, on the device.
    metrics : dict
        Split name -> table of scores.
    history : list of dict
        One row an epoch.
    probabilities : float64 (N, C)
        Of all rows, in the order of `rows`.
    rows : LabelledSequences
    out : Path or None
    """

    classifier: Classifier
    metrics: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    probabilities: NDArray[np.float64]
    rows: LabelledSequences
    out: Path | None = None
    notes: list[str] = field(default_factory=list)


def finetune(
    task: str,
    data: Any,
    out: str | Path | None = None,
    *,
    checkpoint: str | Path = "random",
    init: Literal["checkpoint", "random"] = "checkpoint",
    size: Literal["tiny", "small", "base", "large"] = "small",
    k: int | None = None,
    store: Any = None,
    factor: str | Sequence[str] = (),
    genome: Any = None,
    negative: str | Path | None = None,
    negatives: str | None = None,
    options: dict[str, Any] | None = None,
    split: Literal["auto", "random", "chromosome", "given"] = "auto",
    valid: Sequence[str] = (),
    test: Sequence[str] = (),
    data_seed: int = 0,
    fusion: Fusion = "none",
    motifs: Any = None,
    settings: Any = None,
    overwrite: bool = False,
    say: Say | None = None,
) -> Result:
    """Fine-tune a model on a labelled task and score it.

    Parameters
    ----------
    task : str
        Key of `epilm.tasks.TASKS`: promoter, tfbs, sequences; or dream, binding in bins of the
        genome in several cell types: then see `training.binding.finetune_binding`, which gets all
        arguments.
    data : path or LabelledSequences
        What the task reads; see `epilm ls`.
    out : path, optional
        Folder of the run; must not exist. None keeps the result in memory.
    checkpoint : path or "random" or "cnn"
        A pre-training run, a model folder, a DNABERT folder; "random" for an
        encoder of `size` without pre-training; "cnn" for the small CNN.
    init : {"checkpoint", "random"}
        "random" takes the architecture of `checkpoint` and not its weights: the twin to compare
        with.
    size, k
        Of a random encoder (and the k of a DNABERT folder); k is 6 where not given.
    store, factor
        Of the task dream alone: the genome and tracks, and which factors.
    genome, negative : optional
        For the task's loader.
    negatives : str, optional
        How the loader makes negatives (A22): shuffle, gc, flank, other_peaks of tfbs; deepromoter,
        tata, genomic of promoter.
    options : dict, optional
        More of the loader's arguments: length, window, other_peaks, ...
    split, valid, test
        See `epilm.tasks.splits.split_rows`.
    data_seed : int
        Of made negatives and random splits; kept apart from the seed of training.
    fusion : {"none", "concat", "cross_attention"}
        Also read the motif scores of the input itself (A20).
    motifs : path or sequence of Motif, optional
        For fusion, the collection the model was trained on; for dream's motif signals, the
        collection.
    settings : FinetuneSpec, optional
        BindingSpec for dream.
    overwrite : bool
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    Result
        BindingResult for dream.

    Raises
    ------
    InputError, CheckpointError, UsageError
        What is wrong with the data, the checkpoint, or the call.
    TrainingError
        If the loss is not a number.
    """
    if task == "dream":
        from epilm.finetuning.binding import finetune_binding

        if store is None:
            raise UsageError(
                "binding needs a store",
                do="Give --store, with the genome and the cell types' tracks.",
            )
        return finetune_binding(  # type: ignore[return-value]  # said above: of its own kind
            data,
            store,
            checkpoint,
            out,
            settings,
            factor=factor,
            init=init,
            size=size,
            k=k or 7,
            motifs=motifs,
            options=options,
            overwrite=overwrite,
            say=say,
        )
    if store is not None or factor:
        raise UsageError(
            "store and factor belong to the task dream", found=f"task {task}", do="Leave them out."
        )
    settings = settings or FinetuneSpec()
    check_settings(settings)
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    if out is not None and Path(out).exists() and not overwrite:
        raise TrainingError(
            "the run exists already",
            where=str(out),
            do="Choose another --out, or pass --overwrite.",
        )
    if isinstance(data, LabelledSequences):
        rows = data
    else:
        extra = dict(options or {})
        if negative is not None:
            extra["negative"] = negative
        if negatives is not None:
            extra |= typed_options(find_task(task).load, {"negatives": negatives})
        rows = find_task(task).load(data, genome=genome, seed=data_seed, **extra)
    rows = split_rows(rows, how=split, seed=data_seed, valid=valid, test=test)
    for note in rows.notes:
        say(f"{rows.name}: {note}")
    say(f"{rows.name}: {_counted(rows)}")
    classifier, notes = prepare_classifier(
        checkpoint,
        max(rows.n_labels, len(find_task(task).label_names)),
        init=init,
        size=size,  # type: ignore[arg-type]  # large works too
        k=k or 6,
        fusion=fusion,
        motifs=motifs,
        settings=settings,
    )
    for note in notes:
        say(note)
    classifier.about |= {"task": task, "label_names": list(find_task(task).label_names)}
    if out is None:
        return _run(task, classifier, rows, settings, say, None)
    with atomic_folder(out, overwrite=overwrite) as folder:
        result = _run(task, classifier, rows, settings, say, folder)
        _write(result, folder, task, data, checkpoint, init, settings)
    result.out = Path(out)
    return result


def _run(
    task: str,
    classifier: Classifier,
    rows: LabelledSequences,
    settings: FinetuneSpec,
    say: Say,
    folder: Path | None,
) -> Result:
    place = choose_place(settings.device, settings.precision)
    if (
        classifier.kind == "cnn"
        and place.bf16
        and place.device.type == "cpu"
        and settings.precision == "auto"
    ):
        place = _in_fp32(place)
    for line in place.said:
        say(line)
    train, valid = rows.part("train"), rows.part("valid")
    if not len(train):
        raise UsageError("the train split is empty", where=rows.name, do="Choose another split.")
    log = None if folder is None else folder / "metrics.jsonl"
    metric = find_task(task).metric
    history = fit_classifier(
        classifier, train, valid, settings, metric=metric, place=place, say=say, log=log
    )
    probabilities = classifier.probabilities(rows, settings.batch_size, autocast=place.autocast)
    metrics: dict[str, dict[str, Any]] = {}
    notes = list(rows.notes)
    for name in ("train", "valid", "test"):
        here = rows.split == name
        if not here.any():
            continue
        metrics[name] = score_table(rows.labels[here], probabilities[here])
        if alarm := metrics[name]["collapse"]:
            notes.append(f"COLLAPSE on {name}: {alarm}")
            say(
                f"WARNING, {notes[-1]}. Macro averages hide it; lower lr, more epochs, or another"
                " start."
            )
    for name, count in zip(("valid", "test"), overlap_between(rows)):
        if count:
            notes.append(f"{count} {name} sequences are also in train")
            say(f"WARNING: {notes[-1]}")
    for name in ("valid", "test"):
        if name in metrics:
            say(f"{name}: " + _line(metrics[name]))
    return Result(classifier, metrics, history, probabilities, rows, None, notes)


def _in_fp32(place: Place) -> Place:
    """The small CNN is faster in fp32 on a CPU."""
    return Place(place.device, False, (f"device {place.device.type}; precision fp32",))


def _write(
    result: Result,
    folder: Path,
    task: str,
    data: Any,
    checkpoint: str | Path,
    init: str,
    settings: FinetuneSpec,
) -> None:
    result.classifier.save(folder / "model")
    write_json(folder / "metrics.json", {s: plain(t) for s, t in result.metrics.items()})
    write_json(
        folder / "task.json",
        {
            "task": task,
            "data": str(data) if not isinstance(data, LabelledSequences) else data.name,
            "set": describe(result.rows),
            "checkpoint": str(checkpoint),
            "init": init,
            "settings": asdict(settings),
            "notes": result.notes,
            "about": result.classifier.about,
        },
    )
    write_predictions(
        folder / "predictions.tsv", result.rows, result.probabilities, ("valid", "test")
    )


def write_predictions(
    path: Path,
    rows: LabelledSequences,
    probabilities: NDArray[np.float64],
    splits: Sequence[str] = ("train", "valid", "test", ""),
) -> None:
    """Write one line a row: split, chrom, start, end, origin, label, p_0, p_1, ..."""
    with atomic_file(path) as new, open(new, "w", encoding="utf-8") as out:
        heads = [f"p_{c}" for c in range(probabilities.shape[1])]
        out.write("\t".join(["split", "chrom", "start", "end", "origin", "label", *heads]) + "\n")
        for i in np.flatnonzero(np.isin(rows.split, splits)):
            start = int(rows.start[i])
            end = start + int(rows.lengths[i]) if start >= 0 else -1
            values = [f"{p:.8g}" for p in probabilities[i]]
            cells = [
                rows.split[i],
                rows.chrom[i],
                start,
                end,
                rows.origin[i],
                rows.labels[i],
                *values,
            ]
            out.write("\t".join(map(str, cells)) + "\n")


def _counted(rows: LabelledSequences) -> str:
    parts = [f"{name} {' + '.join(map(str, counts))}" for name, counts in rows.counts().items()]
    return f"{len(rows)} sequences (by class: {', '.join(parts)})"


def _line(table: dict[str, Any]) -> str:
    names = ("auroc", "ap", "accuracy", "macro_precision", "macro_recall", "macro_f1", "mcc")
    return ", ".join(f"{n} {table[n]:.4f}" for n in names if n in table)

"""Fine-tune: a pre-trained encoder (or a random twin, or the small CNN) learns a labelled set.

A plain loop, the same for every task: tokenise once, shuffle by (seed, epoch),
batch by length, AdamW with warm-up and linear decay, score the valid split after
each epoch, keep the best weights. It stops on a loss that is no number, and says so
when the model has collapsed to one answer. The run's folder appears whole or not at all.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from epilm.atomic import atomic_file, atomic_folder, write_json
from epilm.errors import CheckpointError, TrainingError, UsageError, nearest
from epilm.metrics.classification import score_table
from epilm.models.build import build_model
from epilm.models.genebert import GeneBERT
from epilm.models.spec import EncoderSpec, ModelSpec
from epilm.tasks import find_task
from epilm.tasks.base import LabelledSequences, describe
from epilm.tasks.classifier import Classifier, Fusion, Inputs, new_classifier
from epilm.tasks.options import typed_options
from epilm.tasks.splits import overlap_between, split_rows
from epilm.training.device import Place, choose_place
from epilm.training.log import plain
from epilm.training.optim import Optimiser
from epilm.training.schedule import lr_at
from epilm.training.spec import OptimSpec

Say = Callable[[str], None]


@dataclass(frozen=True)
class FinetuneSpec:
    """How a classifier learns. Defaults are DNABERT's for promoter-core (protocols 1.5)."""

    epochs: int = 5
    lr: float = 2e-4
    batch_size: int = 32
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.01
    dropout: float = 0.1
    clip: float = 1.0
    freeze: str = "none"  # none | embeddings | encoder | layers:N (the lowest N)
    both_strands: bool = False  # learn from either strand, answer with the mean of both
    patience: int = 0  # epochs without a better valid score before stopping; 0 = never
    label_smoothing: float = 0.0
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


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
    data: str | Path | LabelledSequences,
    out: str | Path | None = None,
    *,
    checkpoint: str | Path = "random",
    init: Literal["checkpoint", "random"] = "checkpoint",
    size: Literal["tiny", "small", "base"] = "small",
    k: int = 6,
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
    settings: FinetuneSpec | None = None,
    overwrite: bool = False,
    say: Say | None = None,
) -> Result:
    """Fine-tune a model on a labelled task and score it.

    Parameters
    ----------
    task : str
        Key of `epilm.tasks.TASKS`: promoter, tfbs, sequences.
    data : path or LabelledSequences
        What the task reads; see `epilm ls`.
    out : path, optional
        Folder of the run; must not exist. None keeps the result in memory.
    checkpoint : path or "random" or "cnn"
        A pre-training run, a model folder, a DNABERT folder; "random" for an
        encoder of `size` without pre-training; "cnn" for the small CNN.
    init : {"checkpoint", "random"}
        "random" takes the architecture of `checkpoint` and not its weights: the twin to compare with.
    size, k
        Of a random encoder (and the k of a DNABERT folder).
    genome, negative : optional
        For the task's loader.
    negatives : str, optional
        How the loader makes negatives (A22): shuffle, gc, flank, other_peaks of tfbs; deepromoter, tata,
        genomic of promoter.
    options : dict, optional
        More of the loader's arguments: length, window, other_peaks, ...
    split, valid, test
        See `epilm.tasks.splits.split_rows`.
    data_seed : int
        Of made negatives and random splits; kept apart from the seed of training.
    fusion : {"none", "concat", "cross_attention"}
        Also read the motif scores of the input itself (A20).
    motifs : path or sequence of Motif, optional
        For fusion, the collection the model was trained on.
    settings : FinetuneSpec, optional
    overwrite : bool
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    Result

    Raises
    ------
    InputError, CheckpointError, UsageError
        What is wrong with the data, the checkpoint, or the call.
    TrainingError
        If the loss is not a number.
    """
    settings = settings or FinetuneSpec()
    _check(settings)
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    if out is not None and Path(out).exists() and not overwrite:
        raise TrainingError(
            "the run exists already", where=str(out), do="Choose another --out, or pass --overwrite."
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
        size=size,
        k=k,
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


def prepare_classifier(
    checkpoint: str | Path,
    n_labels: int,
    *,
    init: str = "checkpoint",
    size: Literal["tiny", "small", "base"] = "small",
    k: int = 6,
    fusion: Fusion = "none",
    motifs: Any = None,
    settings: FinetuneSpec | None = None,
) -> tuple[Classifier, list[str]]:
    """Build the classifier that fine-tuning starts from, and lines on where it comes from.

    Raises
    ------
    CheckpointError
        If the checkpoint is none, or fits not the motifs.
    """
    settings = settings or FinetuneSpec()
    if init not in ("checkpoint", "random"):
        raise UsageError("unknown init", found=init, do=nearest(init, ("checkpoint", "random")))
    if fusion not in get_args(Fusion):
        raise UsageError("unknown fusion", found=fusion, do=nearest(fusion, get_args(Fusion)))
    seed = settings.seed
    if checkpoint == "cnn":
        if fusion != "none":
            raise UsageError("the CNN reads bases alone", found=f"fusion={fusion}", expected="fusion=none")
        made = new_classifier("cnn", None, n_labels, dropout=max(settings.dropout, 0.3), seed=seed)
        made.about = {"checkpoint": "cnn"}
        return made, ["model: small CNN, from scratch"]
    collection = []
    if motifs is not None:
        from epilm.tasks.baselines import read_collection

        collection = read_collection(motifs)
    extra: dict[str, Any] = {}
    if checkpoint == "random":
        streams: tuple[Any, ...] = ("dna",) if fusion == "none" else ("dna", "factors")
        spec = ModelSpec(
            name="dnabert" if fusion == "none" else "genebert",
            streams=streams,
            k=k,
            encoder=EncoderSpec(size=size),
            factors=len(collection),
            next_segment="none",
        )
        model, where = build_model(spec, seed=seed), f"a random {size} encoder, k={k}"
    else:
        model, spec, extra, where = load_pretrained(checkpoint)
        if init == "random":
            model, where = build_model(spec, seed=seed), f"random weights in the shape of {where}"
    used, notes = _order_motifs(collection, spec, extra, fusion)
    made = new_classifier(
        model,
        spec,
        n_labels,
        fusion=fusion,
        dropout=settings.dropout,
        both_strands=settings.both_strands,
        motifs=used,
        seed=seed,
    )
    count = sum(p.numel() for p in made.module.parameters())
    made.about = {"checkpoint": str(checkpoint), "init": init, "pretraining": _pretraining(extra, init)}
    return made, [f"model: {where}; {count:,} weights", *notes]


def load_pretrained(checkpoint: str | Path) -> tuple[GeneBERT, ModelSpec, dict[str, Any], str]:
    """Open what a user calls a checkpoint: a run, a model folder, a DNABERT folder.

    Returns
    -------
    model, spec, extra, where
        `extra` is what the checkpoint keeps about its pre-training.

    Raises
    ------
    CheckpointError
    """
    from epilm.hub.load import load

    path = Path(checkpoint)
    if not path.exists():
        raise CheckpointError(
            "there is no such checkpoint",
            where=str(path),
            expected="the folder of a run or model, 'random' or 'cnn'",
        )
    loaded = load(path)
    if not isinstance(loaded.model, GeneBERT):
        raise CheckpointError(
            "this is no pre-trained model",
            where=str(path),
            found=type(loaded.model).__name__,
            expected="a run of epilm pretrain, or weights in BERT's layout",
            do="Give the checkpoint that the classifier was made from.",
        )
    return loaded.model, loaded.spec, dict(loaded.extra or {}), str(path)


def fit_classifier(
    classifier: Classifier,
    train: LabelledSequences,
    valid: LabelledSequences,
    settings: FinetuneSpec,
    *,
    metric: str = "ap",
    place: Place | None = None,
    say: Say = lambda line: None,
    log: Path | None = None,
) -> list[dict[str, Any]]:
    """Train a classifier in place; it is left with the weights of its best epoch.

    Parameters
    ----------
    classifier : Classifier
    train, valid : LabelledSequences
        With an empty `valid` the last weights stay.
    settings : FinetuneSpec
    metric : str
        The score of `score_table` that decides.
    place : Place, optional
    say : callable
    log : path, optional
        JSON lines: the loss each epoch, the scores on valid.

    Returns
    -------
    list of dict
        One row an epoch: epoch, step, loss, lr, seconds, and the scores on valid.

    Raises
    ------
    TrainingError
        If a loss or a gradient is not finite; says epoch, step and rows.
    """
    place = place or choose_place(settings.device, settings.precision)
    module = classifier.module.to(place.device)
    if classifier.fusion != "none" and not len(classifier.factor_sd):
        raw = classifier.scores(train)
        classifier.factor_mean, classifier.factor_sd = raw.mean(0), raw.std(0)
    inputs = classifier.inputs(train).to(place.device)
    checked = classifier.inputs(valid).to(place.device) if len(valid) else None
    if inputs.cropped:
        say(f"{inputs.cropped} sequences are longer than the model reads: their centre is used")
    labels = torch.from_numpy(train.labels).to(place.device)
    _freeze(classifier, settings.freeze)
    per_epoch = -(-len(train) // settings.batch_size)
    total = per_epoch * settings.epochs
    schedule = OptimSpec(
        peak_lr=settings.lr,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=settings.weight_decay,
        warmup_steps=int(settings.warmup * total),
    )
    optimiser = Optimiser(module, schedule)
    weights = optimiser.weights
    history: list[dict[str, Any]] = []
    best, best_state, waited, step = -np.inf, None, 0, 0
    gpus = [place.device.index or 0] if place.device.type == "cuda" else []
    # Dropout draws from torch's own generator: the caller's is given back as it was.
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(settings.seed * 7919 + 17)
        for epoch in range(settings.epochs):
            module.train()
            started, losses = time.monotonic(), []
            for at, strand in _batches(inputs, settings, epoch):
                lr = lr_at(step, schedule, total)
                rows = torch.from_numpy(at).to(place.device)
                with place.autocast():
                    logits = classifier.logits(inputs, rows, strand)
                loss = F.cross_entropy(logits.float(), labels[rows], label_smoothing=settings.label_smoothing)
                optimiser.zero_grad()
                loss.backward()
                norm = nn.utils.clip_grad_norm_(weights, settings.clip if settings.clip > 0 else float("inf"))
                if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
                    raise TrainingError(
                        "the loss or its gradient is not finite",
                        where=f"epoch {epoch + 1}, step {step + 1}",
                        found=f"loss {float(loss.detach()):g}, gradient norm {float(norm):g} in rows {', '.join(map(str, at[:8]))} (lr {lr:g})",
                        do="Lower --lr, raise --warmup, or look at these rows. Nothing was written.",
                    )
                optimiser.step(lr)
                losses.append(loss.detach())
                step += 1
            row: dict[str, Any] = {
                "epoch": epoch + 1,
                "step": step,
                "loss": float(torch.stack(losses).mean()),
                "lr": lr,
                "seconds": time.monotonic() - started,
            }
            score = None
            if checked is not None:
                said = classifier.probabilities(checked, autocast=place.autocast)
                row |= {f"valid_{k}": v for k, v in score_table(valid.labels, said).items() if k != "n"}
                score = row[f"valid_{metric}"]
            history.append(row)
            if log is not None:
                with open(log, "a", encoding="utf-8") as handle:
                    handle.write(json.dumps(plain(row)) + "\n")
            shown = "" if score is None else f", valid {metric} {score:.4f}"
            say(
                f"epoch {epoch + 1}/{settings.epochs}: loss {row['loss']:.4f}{shown} ({row['seconds']:.1f} s)"
            )
            if score is None or np.isnan(score):
                continue
            if score > best:
                best, waited = score, 0
                best_state = {n: t.detach().clone() for n, t in module.state_dict().items()}
            else:
                waited += 1
                if settings.patience and waited >= settings.patience:
                    say(f"stopped early: no better valid {metric} for {waited} epochs")
                    break
    if best_state is not None:
        module.load_state_dict(best_state)
    module.eval()
    return history


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
        place = replace_place(place)
    for line in place.said:
        say(line)
    train, valid = rows.part("train"), rows.part("valid")
    if not len(train):
        raise UsageError("the train split is empty", where=rows.name, do="Choose another split.")
    log = None if folder is None else folder / "metrics.jsonl"
    metric = find_task(task).metric
    history = fit_classifier(classifier, train, valid, settings, metric=metric, place=place, say=say, log=log)
    probabilities = classifier.probabilities(rows, autocast=place.autocast)
    metrics: dict[str, dict[str, Any]] = {}
    notes = list(rows.notes)
    for name in ("train", "valid", "test"):
        here = rows.split == name
        if not here.any():
            continue
        metrics[name] = score_table(rows.labels[here], probabilities[here])
        if alarm := metrics[name]["collapse"]:
            notes.append(f"COLLAPSE on {name}: {alarm}")
            say(f"WARNING, {notes[-1]}. Macro averages hide it; lower lr, more epochs, or another start.")
    for name, count in zip(("valid", "test"), overlap_between(rows)):
        if count:
            notes.append(f"{count} {name} sequences are also in train")
            say(f"WARNING: {notes[-1]}")
    for name in ("valid", "test"):
        if name in metrics:
            say(f"{name}: " + _line(metrics[name]))
    return Result(classifier, metrics, history, probabilities, rows, None, notes)


def replace_place(place: Place) -> Place:
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
    write_predictions(folder / "predictions.tsv", result.rows, result.probabilities, ("valid", "test"))


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
            cells = [rows.split[i], rows.chrom[i], start, end, rows.origin[i], rows.labels[i], *values]
            out.write("\t".join(map(str, cells)) + "\n")


def _batches(inputs: Inputs, settings: FinetuneSpec, epoch: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Rows of each step, a function of (seed, epoch); rows of like length together."""
    generator = np.random.default_rng([settings.seed, 0xF17E, epoch])
    order = generator.permutation(len(inputs))
    size = settings.batch_size
    lengths = inputs.lengths.cpu().numpy()
    if lengths.min() != lengths.max():
        bucket = size * 50
        order = np.concatenate(
            [
                piece[np.argsort(lengths[piece], kind="stable")]
                for piece in (order[i : i + bucket] for i in range(0, len(order), bucket))
            ]
        )
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    for number in generator.permutation(len(batches)):
        strand = int(generator.integers(0, len(inputs.ids)))
        yield batches[number], strand


def _freeze(classifier: Classifier, what: str) -> None:
    for weight in classifier.module.parameters():
        weight.requires_grad_(True)
    if what == "none":
        return
    encoder: Any = getattr(classifier.module, "encoder", None)
    if encoder is None:
        raise UsageError("the CNN has no encoder to freeze", found=f"freeze={what}", expected="none")
    parts: list[nn.Module] = [encoder.words, encoder.positions, encoder.types, encoder.norm]
    if what == "encoder":
        parts = [encoder]
    elif what.startswith("layers:"):
        count = int(what.split(":")[1])
        if count > len(encoder.blocks):
            raise UsageError(
                "fewer layers than to be frozen", found=count, expected=f"at most {len(encoder.blocks)}"
            )
        parts += list(encoder.blocks[:count])
    for part in parts:
        for weight in part.parameters():
            weight.requires_grad_(False)


def _check(settings: FinetuneSpec) -> None:
    rules: tuple[tuple[bool, str, Any, str], ...] = (
        (settings.epochs < 1, "epochs", settings.epochs, "at least 1"),
        (settings.batch_size < 1, "batch_size", settings.batch_size, "at least 1"),
        (not settings.lr > 0, "lr", settings.lr, "above 0"),
        (not 0 <= settings.warmup < 1, "warmup", settings.warmup, "a share of the steps, 0 to below 1"),
        (not 0 <= settings.dropout < 1, "dropout", settings.dropout, "0 to below 1"),
        (settings.weight_decay < 0, "weight_decay", settings.weight_decay, "at least 0"),
    )
    for broken, key, found, expected in rules:
        if broken:
            raise UsageError(
                "impossible value", where=f"--{key.replace('_', '-')}", found=found, expected=expected
            )
    layered = settings.freeze.startswith("layers:") and settings.freeze.split(":")[1].isdigit()
    if settings.freeze not in ("none", "embeddings", "encoder") and not layered:
        raise UsageError(
            "unknown freeze", found=settings.freeze, expected="none, embeddings, encoder, or layers:N"
        )


def _order_motifs(
    collection: list[Any], spec: ModelSpec, extra: dict[str, Any], fusion: str
) -> tuple[list[Any], list[str]]:
    """The motifs in the order of the model's factors, where the checkpoint says it."""
    if fusion == "none":
        return [], []
    ids = [str(i) for i in extra.get("factor_ids") or []]
    if not ids or not collection:
        return collection, []
    have = {m.id: m for m in collection}
    missing = [i for i in ids if i not in have]
    if missing:
        raise CheckpointError(
            "the motif collection lacks factors of the model",
            found=f"{len(missing)} missing, {', '.join(missing[:4])}",
            expected=f"the {len(ids)} motifs of the store it was trained on",
            do="Pass that collection with --motifs.",
        )
    return [have[i] for i in ids], []


def _pretraining(extra: dict[str, Any], init: str) -> dict[str, Any] | None:
    """What pre-training saw, for the leak report of an evaluation (A21); None where it saw nothing."""
    if init == "random" or not extra:
        return None
    keep = (
        "holdout_chroms",
        "holdout_cells",
        "store",
        "fingerprint",
        "chroms",
        "recipe",
        "steps",
        "step",
        "pretrained",
    )
    return {key: extra[key] for key in keep if key in extra}


def _counted(rows: LabelledSequences) -> str:
    parts = [f"{name} {' + '.join(map(str, counts))}" for name, counts in rows.counts().items()]
    return f"{len(rows)} sequences (by class: {', '.join(parts)})"


def _line(table: dict[str, Any]) -> str:
    names = ("auroc", "ap", "accuracy", "macro_precision", "macro_recall", "macro_f1", "mcc")
    return ", ".join(f"{n} {table[n]:.4f}" for n in names if n in table)


def with_seed(settings: FinetuneSpec, seed: int) -> FinetuneSpec:
    """The same settings with another seed.

    Examples
    --------
    >>> with_seed(FinetuneSpec(lr=1e-3), 7).seed
    7
    """
    return replace(settings, seed=seed)

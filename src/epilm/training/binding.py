"""Fine-tune EBERT to say where factors bind, in cell types it has labels of; and test it elsewhere.

The order of things: labels, parts that share no base, a trunk with or without its pre-trained weights,
epochs of all positives and fresh negatives, the best epoch by the validation chromosome (never a test one),
a model folder. State is written after every epoch, and the same call goes on from there with
the same weights as an uninterrupted run. FactorNet's kind of network learns in the same loop.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.atomic import atomic_file, locked, write_json
from epilm.batches.overlapping import OverlappingReader
from epilm.errors import TrainingError, UsageError, nearest
from epilm.metrics.binding import score_bins
from epilm.prediction_bins import BATCH, BindingRun, load_binding, logits_of, save_binding
from epilm.store.reader import Store
from epilm.tasks.dream.labels import BinLabels
from epilm.tasks.dream.load import load_bins
from epilm.tokens.random import hash_bits
from epilm.training.binding_data import (
    BindingRows,
    BinningSplit,
    Draw,
    join_labels,
    split_bins,
    validation_rows,
)
from epilm.training.binding_start import prepare_binding
from epilm.training.device import Place, choose_place
from epilm.training.log import plain
from epilm.training.optim import Optimiser
from epilm.training.schedule import lr_at
from epilm.training.spec import OptimSpec
from epilm.training.state import clean_leftovers, load_state, model_tensors, save_state, states

Say = Callable[[str], None]
STATES, RUN, RESULT, METRICS, MODEL = "checkpoints", "run.json", "metrics.json", "metrics.jsonl", "model"
_STRAND, _DROPOUT = 0xD4, 0xD5


@dataclass(frozen=True)
class BindingSpec:
    """How a binding model learns. Defaults are the paper's for TF binding (protocols 5.4, 5.8, 6.1)."""

    epochs: int = 15
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-5
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps; from 1 on, steps (the paper: 25 000)
    decay: Literal["linear", "cosine", "constant"] = "linear"
    clip: float = 1.0
    batch_size: int = 320
    micro_batch: int | None = None  # rows of a forward pass; the step is the same
    negatives: int = 10  # for each positive, drawn anew every epoch
    positives_per_epoch: int | None = None  # for small machines: the epochs walk through all positives
    valid_negatives: int | None = 100_000  # unbound bins that are scored after every epoch
    train_chroms: tuple[str, ...] = ()  # all that are neither validation nor test
    valid_chroms: tuple[str, ...] = ("chr11",)
    test_chroms: tuple[str, ...] = ("chr1", "chr8", "chr21")
    train_cells: tuple[str, ...] = ()  # all of the labels but the test ones
    valid_cells: tuple[str, ...] = ()  # those of training
    test_cells: tuple[str, ...] = ()
    window_bp: int = 1000
    signals: tuple[str, ...] = ()  # NAME or NAME:POOL:TRANSFORM; they make EBERT+
    patience: int = 3  # epochs without a better validation score; 0 = never stop early
    metric: Literal["auprc_dg", "ap", "auroc"] = "auprc_dg"
    conv_channels: tuple[int, ...] = (128, 128)
    kernel: int = 5
    activation: str = "relu"
    pool: str = "max"
    dense: int = 128
    dropout: float = 0.1
    freeze: str = "none"  # none | embeddings | encoder | layers:N
    strands: Literal["forward", "both"] = "forward"  # both: learn from either, answer with the mean
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


@dataclass
class BindingResult:
    """What fine-tuning made.

    Attributes
    ----------
    run : BindingRun
        With the weights of the best epoch.
    metrics : dict
        Factor -> scores on the validation part (`metrics.binding.score_bins`).
    history : list of dict
        One row an epoch.
    best_epoch : int
        Counted from 1.
    notes : list of str
        What was left out, sampled or doubtful.
    out : Path or None
    """

    run: BindingRun
    metrics: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    best_epoch: int
    notes: list[str] = field(default_factory=list)
    out: Path | None = None


def finetune_binding(
    data: str | Path | BinLabels | Sequence[BinLabels],
    store: str | Path | Store,
    checkpoint: str | Path = "random",
    out: str | Path | None = None,
    settings: BindingSpec | None = None,
    *,
    factor: str | Sequence[str] = (),
    init: Literal["checkpoint", "random"] = "checkpoint",
    size: Literal["tiny", "small", "base", "large"] = "small",
    k: int = 7,
    options: dict[str, Any] | None = None,
    overwrite: bool = False,
    say: Say | None = None,
) -> BindingResult:
    """Fine-tune a model on where one or several factors bind.

    Parameters
    ----------
    data : path, BinLabels, or several
        A label file of the challenge, a folder of peaks, or labels already read, one a factor.
    store : path or Store
        With the genome and the tracks of the cell types.
    checkpoint : path or {"random", "ebert", "dbert", "factornet"}
        A run of `epilm pretrain ebert_...` or `dbert_...`, or its model. A name: no pre-trained weights, a model
        of that kind and of `size` and `k`; "random" is "ebert" where the store has states, else "dbert".
    out : path, optional
        Folder of the run. One that holds this very run goes on after its last epoch. None: kept in memory.
    settings : BindingSpec, optional
    factor : str or sequence of str
        Where `data` is a path: which factors. Several are learned at once, each with an output of its own.
    init : {"checkpoint", "random"}
        "random" takes the architecture of `checkpoint` and not its weights: the twin to compare with (Figure S1).
    size, k
        Of a model without pre-trained weights.
    options : dict, optional
        More for `tasks.dream.labels.load_bins`: regions, blacklist.
    overwrite : bool
        Replace an existing run.
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    BindingResult

    Raises
    ------
    UsageError, InputError, StoreError, CheckpointError
        What is wrong with the call, the labels, the store, the checkpoint.
    TrainingError
        If the loss is not a number, or the folder holds something else.
    """
    settings = settings or BindingSpec()
    check_settings(settings)
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    opened = store if isinstance(store, Store) else Store.open(store)
    tables = _labels(data, factor, opened, options or {})
    notes = [note for table in tables for note in table.notes]
    plan = make_plan(tables, opened, settings)
    notes += plan.notes
    run, told = prepare_binding(
        checkpoint,
        opened,
        settings,
        factors=plan.rows.factors,
        width=plan.rows.width,
        init=init,
        size=size,
        k=k,
    )
    run.check(opened, sorted({plan.rows.cells[c] for c in (*plan.train_cells, *plan.valid_cells)}))
    place = choose_place(settings.device, settings.precision)
    for line in (*place.said, *told, *plan.said(), *notes):
        say(line)
    run.about |= plan.about() | {"store": opened.fingerprint, "assembly": opened.info.assembly}
    run.about["settings"] = asdict(settings)
    identity = json.loads(
        json.dumps(
            {
                "settings": asdict(settings) | {"device": None},
                "labels": _digest(plan.rows),
                "checkpoint": str(checkpoint),
                "init": init,
                "store": opened.fingerprint,
                "weights": _digest_of(model_tensors(run.model).values()),
            }
        )
    )
    if out is None:
        return _Loop(run, plan, opened, settings, place, say, None).fit(notes)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out):
        if overwrite and out.exists():
            shutil.rmtree(out)
        done = _begin(out, identity, say)
        if done is not None:
            return done
        result = _Loop(run, plan, opened, settings, place, say, out).fit(notes)
        save_binding(out / MODEL, result.run, overwrite=True)
        write_json(
            out / RESULT,
            {
                "task": "dream",
                "valid": {f: plain(t) for f, t in result.metrics.items()},
                "best_epoch": result.best_epoch,
                "history": [plain(row) for row in result.history],
                "notes": result.notes,
            },
        )  # last but one: it says that the run is complete
        shutil.rmtree(out / STATES, ignore_errors=True)
    result.out, result.run.path = out, out / MODEL
    say(f"the model of epoch {result.best_epoch} is in {out / MODEL}")
    return result


def _labels(data: Any, factor: str | Sequence[str], store: Store, options: dict[str, Any]) -> list[BinLabels]:
    if isinstance(data, BinLabels):
        return [data]
    if not isinstance(data, str | Path):
        return list(data)
    names = [factor] if isinstance(factor, str) else list(factor)
    if not names:
        raise UsageError("which factor?", where=str(data), do="Give --factor, e.g. --factor CTCF.")
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    return [load_bins(data, factor=name, sizes=sizes, **options) for name in names]


@dataclass(frozen=True)
class BindingPlan:
    """Rows, parts and draws of a run, checked before anything is learned."""

    rows: BindingRows
    split: BinningSplit
    train_cells: tuple[int, ...]
    valid_cells: tuple[int, ...]
    draw: Draw
    valid_rows: NDArray[np.int64]
    notes: tuple[str, ...]
    places: dict[str, tuple[str, ...]]

    def said(self) -> list[str]:
        """Lines that count what will be learned."""
        bound = ", ".join(f"{cell} {count:,}" for cell, count in self.draw.by_cell.items())
        valid = self.rows.take(self.valid_rows)[3]
        return [
            f"{', '.join(self.rows.factors)}: {len(self.split.train):,} training bins in {len(self.train_cells)} cell types, bound: {bound}",
            f"an epoch: {self.draw.n_positives:,} of {len(self.draw.positives):,} positives, {len(self.draw):,} rows; "
            f"validation: {len(self.valid_rows):,} rows, {int((valid == 1).any(1).sum()):,} bound",
        ]

    def about(self) -> dict[str, Any]:
        """What the model remembers of its training."""
        rows = self.rows

        def chroms(bins: NDArray[np.int64]) -> list[str]:
            return [rows.chroms[c] for c in np.unique(rows.chrom[bins])]

        return {
            "cells": [rows.cells[c] for c in self.train_cells],
            "valid_cells": [rows.cells[c] for c in self.valid_cells],
            "train_chroms": list(self.places["train"]) or chroms(self.split.train),
            "valid_chroms": list(self.places["valid"]),
            "test_chroms": list(self.places["test"]),
        }


def make_plan(tables: Sequence[BinLabels], store: Store, settings: BindingSpec) -> BindingPlan:
    """Join labels, divide them and draw up the rows.

    Raises
    ------
    UsageError
        If two parts overlap, or a cell type is for training and for test.
    InputError
        If a part has no bin, or no bound one.
    """
    both = sorted(set(settings.test_cells) & {*settings.train_cells, *settings.valid_cells})
    if both:
        raise UsageError(
            "a cell type is for test and for training or validation",
            found=", ".join(both),
            do="Take it out of one.",
        )
    wanted = (*settings.train_cells, *settings.valid_cells)
    if not settings.train_cells:
        known = dict.fromkeys(cell for table in tables for cell in table.cells)
        for cell in settings.test_cells:
            if cell not in known:
                raise UsageError(
                    "the labels have no such test cell type", found=cell, do=nearest(cell, known)
                )
        wanted = (*(cell for cell in known if cell not in settings.test_cells), *settings.valid_cells)
    rows = join_labels(
        tables, chroms=store.chroms, sizes=store.sizes, cell_types=store.cell_types, cells=wanted
    )
    places = {"train": settings.train_chroms, "valid": settings.valid_chroms, "test": settings.test_chroms}
    split = split_bins(rows, **places, window_bp=settings.window_bp)
    notes = [*rows.notes, *split.notes]
    bare = bins_of_n(store, rows)
    train, valid = split.train[~bare[split.train]], split.valid[~bare[split.valid]]
    if gone := len(split.train) + len(split.valid) - len(train) - len(valid):
        notes.append(f"{gone:,} training and validation bins hold N alone and are left out")
    if not len(train) or not len(valid):
        raise UsageError(
            "a part holds no bin with bases", found=f"{len(train)} training, {len(valid)} validation bins"
        )
    split = BinningSplit(train, valid, split.test, split.notes)
    chosen = [
        c for c, cell in enumerate(rows.cells) if not settings.train_cells or cell in settings.train_cells
    ]
    judged = [rows.cells.index(cell) for cell in settings.valid_cells] or chosen
    if settings.valid_cells and not settings.train_cells:
        chosen = [c for c in chosen if rows.cells[c] not in settings.test_cells]
    draw = Draw(rows, train, chosen, settings.negatives, settings.positives_per_epoch, settings.seed)
    valid_rows, said = validation_rows(
        rows, valid, judged, negatives=settings.valid_negatives, seed=settings.seed
    )
    notes += [*draw.notes, *said]
    return BindingPlan(rows, split, tuple(chosen), tuple(judged), draw, valid_rows, tuple(notes), places)


def bins_of_n(store: Store, rows: BindingRows) -> NDArray[np.bool_]:
    """Which bins lie in assembly gaps whole: nothing can be learned there."""
    from epilm.store.windows import unknown_runs

    runs = unknown_runs(store.genome)
    if not len(runs):
        return np.zeros(len(rows), bool)
    flat = store.offsets[rows.chrom] + rows.start
    run = np.searchsorted(runs[:, 0], flat, "right") - 1
    return (run >= 0) & (flat + rows.width <= runs[run, 1])


class _Loop:
    """Epochs of a run; see `finetune_binding`."""

    def __init__(
        self,
        run: BindingRun,
        plan: BindingPlan,
        store: Store,
        settings: BindingSpec,
        place: Place,
        say: Say,
        out: Path | None,
    ) -> None:
        self.run, self.plan, self.settings, self.place, self.say, self.out = (
            run,
            plan,
            settings,
            place,
            say,
            out,
        )
        self.store = near(store, place.device)
        self.reader: OverlappingReader = run.reader(self.store)
        self.model = run.model.to(place.device)
        freeze(self.model, settings.freeze)
        per_epoch = -(-len(plan.draw) // settings.batch_size)
        self.total = per_epoch * settings.epochs
        warmup = settings.warmup * self.total if settings.warmup < 1 else settings.warmup
        self.optim = OptimSpec(
            peak_lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            warmup_steps=int(warmup),
            decay=settings.decay,
            clip=settings.clip,
        )
        self.optimiser = Optimiser(self.model, self.optim)
        self.history: list[dict[str, Any]] = []
        self.tables: dict[str, dict[str, Any]] = {}
        self.best_epoch, self.best, self.waited, self.step = 0, -np.inf, 0, 0
        self.best_state: dict[str, Tensor] = {}

    def fit(self, notes: list[str]) -> BindingResult:
        settings, notes = self.settings, list(notes)
        gpus = [self.place.device.index or 0] if self.place.device.type == "cuda" else []
        # Dropout draws from torch's own generator: the caller's is given back as it was.
        with torch.random.fork_rng(devices=gpus):
            done = self._resume()
            for epoch in range(done, settings.epochs):
                if settings.patience and self.waited >= settings.patience:
                    break
                torch.manual_seed(int(hash_bits(settings.seed, _DROPOUT, epoch)))
                row = self._learn(epoch)
                self._judge(epoch, row)
                self._save(epoch)
        if settings.patience and self.waited >= settings.patience:
            self.say(f"stopped early: no better validation {settings.metric} for {self.waited} epochs")
        with torch.no_grad():
            for name, value in model_tensors(self.model).items():
                value.copy_(self.best_state[name])
        self.model.eval()
        for factor, table in self.tables.items():
            if alarm := table.get("collapse"):
                notes.append(f"COLLAPSE on validation, {factor}: {alarm}")
                self.say(f"WARNING: {notes[-1]}; lower --lr, more epochs, or another start")
        self.run.about |= {
            "best_epoch": self.best_epoch,
            "valid": {f: plain(t) for f, t in self.tables.items()},
        }
        self.run.about["notes"] = notes
        for factor, table in self.tables.items():
            shown = ", ".join(
                f"{key} {table[key]:.4f}" for key in ("auroc", "ap", "auprc_dg") if key in table
            )
            self.say(f"best epoch {self.best_epoch}, validation {factor}: {shown}")
        return BindingResult(self.run, self.tables, self.history, self.best_epoch, notes)

    def _learn(self, epoch: int) -> dict[str, Any]:
        """One pass over the rows of an epoch."""
        settings, rows = self.settings, self.plan.draw.epoch(epoch)
        self.model.train()
        if settings.freeze == "encoder" and hasattr(self.model, "trunk"):
            cast(nn.Module, self.model.trunk).eval()  # what does not learn is not shaken by dropout either
        started, losses, lr = time.monotonic(), [], 0.0
        for at in range(0, len(rows), settings.batch_size):
            lr = lr_at(self.step, self.optim, self.total)
            loss = self._step(rows[at : at + settings.batch_size], epoch, lr)
            losses.append(loss)
            self.step += 1
            if time.monotonic() - started > 60 * (1 + len(losses) // 10**9) and not hasattr(self, "_told"):
                speed = (at + settings.batch_size) / (time.monotonic() - started)
                self._told = True
                self.say(f"{speed:,.0f} rows/s; an epoch takes about {len(rows) / speed / 60:.0f} min")
        seconds = time.monotonic() - started
        return {
            "epoch": epoch + 1,
            "step": self.step,
            "loss": float(torch.stack(losses).mean()),
            "lr": lr,
            "rows": len(rows),
            "seconds": seconds,
            "rows_per_second": len(rows) / max(seconds, 1e-9),
        }

    def _step(self, rows: NDArray[np.int64], epoch: int, lr: float) -> Tensor:
        """Move the weights once. Micro-batches share one loss: the mean over all known labels of the step."""
        settings, device = self.settings, self.place.device
        cells, chroms, starts, labels = self.plan.rows.take(rows)
        starts = starts - (settings.window_bp - self.plan.rows.width) // 2
        strands = None
        if settings.strands == "both":
            strands = hash_bits(settings.seed, _STRAND, epoch, rows) & 1
        known = max(int((labels >= 0).sum()), 1)
        piece = settings.micro_batch or len(rows)
        self.optimiser.zero_grad()
        total = torch.zeros((), device=device)
        for at in range(0, len(rows), piece):
            here = slice(at, at + piece)
            windows = self.reader.plain(
                cells[here], chroms[here], starts[here], None if strands is None else strands[here]
            ).to(device)
            with self.place.autocast():
                logits = self.model(windows)
            loss = masked_bce(logits.float(), torch.from_numpy(labels[here]).to(device)) / known
            loss.backward()
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(
            self.optimiser.weights, settings.clip if settings.clip > 0 else float("inf")
        )
        if not bool(torch.isfinite(total) & torch.isfinite(norm)):
            where = [f"{self.plan.rows.chroms[c]}:{s}" for c, s in zip(chroms[:4], starts[:4], strict=True)]
            raise TrainingError(
                "the loss or its gradient is not finite",
                where=f"epoch {epoch + 1}, step {self.step + 1}",
                found=f"loss {float(total):g}, gradient norm {float(norm):g} in rows {', '.join(map(str, rows[:4]))} (windows {', '.join(where)}; lr {lr:g})",
                do="The weights were not moved. Lower --lr, raise --warmup, or look at these windows; the run goes on from its last epoch.",
            )
        self.optimiser.step(lr)
        return total

    def _judge(self, epoch: int, row: dict[str, Any]) -> None:
        """Score the validation rows, keep the weights if they are the best so far."""
        settings, plan = self.settings, self.plan
        started = time.monotonic()
        logits = score_rows(
            self.model, self.reader, plan.rows, plan.valid_rows, window_bp=settings.window_bp,
            both=settings.strands == "both" and not self.run.bases, place=self.place,
        )  # fmt: skip
        labels = plan.rows.take(plan.valid_rows)[3]
        tables = score_factors(labels, logits, plan.rows.factors)
        scores = [table[settings.metric] for table in tables.values()]
        score = float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")
        row |= {f"valid_{settings.metric}": score, "valid_seconds": time.monotonic() - started}
        for factor, table in tables.items():
            prefix = "valid_" if len(tables) == 1 else f"valid_{factor}_"
            row |= {prefix + key: table[key] for key in ("auroc", "ap", "auprc_dg") if key in table}
        self.history.append(row)
        if score > self.best:
            self.best, self.best_epoch, self.waited, self.tables = score, epoch + 1, 0, tables
            self.best_state = {n: t.detach().clone() for n, t in model_tensors(self.model).items()}
        else:
            self.waited += 1
        self.say(
            f"epoch {epoch + 1}/{settings.epochs}: loss {row['loss']:.4f}, valid {settings.metric} {score:.4f}"
            f"{' *' if self.best_epoch == epoch + 1 else ''} ({row['seconds']:.0f} s, {row['rows_per_second']:,.0f} rows/s)"
        )

    # -- what survives a kill

    def _save(self, epoch: int) -> None:
        if self.out is None:
            return
        root = self.out / STATES
        root.mkdir(parents=True, exist_ok=True)
        if self.best_epoch == epoch + 1:
            with atomic_file(root / f"best_{epoch + 1:04d}.safetensors") as new:
                save_file({name: t.cpu().contiguous() for name, t in self.best_state.items()}, new)
        extra = {
            "history": [plain(row) for row in self.history],
            "best": self.best if np.isfinite(self.best) else None,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "steps": self.step,
            "tables": {factor: plain(table) for factor, table in self.tables.items()},
        }
        save_state(root, epoch + 1, self.model, self.optimiser, extra, keep=1)
        for old in root.glob("best_*.safetensors"):
            if old.name != f"best_{self.best_epoch:04d}.safetensors":
                old.unlink()
        self._log()

    def _log(self) -> None:
        assert self.out is not None
        with atomic_file(self.out / METRICS) as new:
            new.write_text("".join(json.dumps(plain(row)) + "\n" for row in self.history), encoding="utf-8")

    def _resume(self) -> int:
        """Take back the state after the last whole epoch; the number of epochs done."""
        found = []
        if self.out is not None:
            clean_leftovers(self.out / STATES)
            found = states(self.out / STATES)
        if not found:
            self.best_state = {n: t.detach().clone() for n, t in model_tensors(self.model).items()}
            return 0
        kept = load_state(found[-1], self.model, self.optimiser)
        self.history, self.waited, self.step = kept["history"], kept["waited"], kept["steps"]
        self.best_epoch, self.best = kept["best_epoch"], -np.inf if kept["best"] is None else kept["best"]
        self.tables = {f: {k: float("nan") if v is None and k != "collapse" else v for k, v in t.items()} for f, t in kept["tables"].items()}  # fmt: skip
        best = self.out / STATES / f"best_{self.best_epoch:04d}.safetensors" if self.out else None
        if best is not None and best.is_file():
            self.best_state = load_file(best, device=str(self.place.device))
        else:
            self.best_state = {n: t.detach().clone() for n, t in model_tensors(self.model).items()}
        done = len(self.history)
        self.say(f"going on after epoch {done} of {self.settings.epochs}")
        return done


def masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross-entropies of the labels that are known.

    Parameters
    ----------
    logits : float (B, F)
    labels : integer (B, F)
        1, 0, or below 0 where nothing is known: no loss and no gradient there.

    Examples
    --------
    >>> round(float(masked_bce(torch.zeros(2, 2), torch.tensor([[1, -1], [0, -1]]))), 4)
    1.3863
    """
    known = labels >= 0
    return F.binary_cross_entropy_with_logits(logits[known], labels[known].to(logits.dtype), reduction="sum")


def score_rows(
    model: nn.Module,
    reader: OverlappingReader,
    table: BindingRows,
    rows: NDArray[np.int64],
    *,
    window_bp: int,
    both: bool = False,
    place: Place | None = None,
    batch: int = BATCH,
) -> NDArray[np.float32]:
    """Logits of rows, float32 (m, F), in their order; cell type by cell type, so that neighbours are read together."""
    device = place.device if place is not None else None
    autocast = place.autocast if place is not None else nullcontext
    was_training = model.training
    model.eval()
    width = len(table.cells)
    out = np.zeros((len(rows), len(table.factors)), np.float32)
    try:
        for c in np.unique(rows % width):
            mine = np.flatnonzero(rows % width == c)
            mine = mine[np.argsort(rows[mine], kind="stable")]
            number = int(table.cell_numbers[c])
            for at in range(0, len(mine), batch):
                here = mine[at : at + batch]
                _, chroms, starts, _ = table.take(rows[here])
                starts = starts - (window_bp - table.width) // 2
                windows = reader(number, chroms, starts)
                turned = reader(number, chroms, starts, reverse=True) if both else None
                out[here] = logits_of(model, windows, turned, device=device, autocast=autocast).cpu().numpy()
    finally:
        model.train(was_training)
    return out


def score_factors(
    labels: NDArray[np.int8], logits: NDArray[np.float32], factors: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Scores of each factor, with what looks collapsed."""
    out = {}
    for f, factor in enumerate(factors):
        table = dict(score_bins(labels[:, f], logits[:, f]))
        table["collapse"] = collapsed(logits[:, f])
        out[factor] = table
    return out


def collapsed(logits: NDArray[np.float32], spread: float = 1e-2) -> str | None:
    """Name a model that says the same of every bin; None where it does not.

    That nearly all bins are below one half is no sign here: nearly all are unbound.

    Examples
    --------
    >>> collapsed(np.full(20, -2.0, np.float32))
    'flat scores: standard deviation 0 of the logits over 20 bins'
    >>> collapsed(np.linspace(-4, -1, 20).astype(np.float32)) is None
    True
    """
    deviation = float(np.std(logits.astype(np.float64)))
    if len(logits) >= 10 and deviation < spread:
        return f"flat scores: standard deviation {deviation:.2g} of the logits over {len(logits)} bins"
    return None


def near(store: Store, device: torch.device) -> Store:
    """The store on a GPU that has room for it; batches are the same bits."""
    if device.type != "cuda":
        return store
    free, _ = torch.cuda.mem_get_info(device)
    return store.to(device) if sum(e["bytes"] for e in store.info.files.values()) < free / 3 else store


def freeze(model: nn.Module, what: str) -> None:
    """Stop parts of the trunk from learning: none, embeddings, encoder, or layers:N (the lowest N).

    Raises
    ------
    UsageError
        If the model has no trunk, or fewer layers.
    """
    if what == "none":
        return
    trunk: Any = getattr(model, "trunk", None)
    if trunk is None:
        raise UsageError("the model has no encoder to freeze", found=f"freeze={what}", expected="none")
    encoder = trunk.encoder
    parts: list[nn.Module] = [encoder.words, encoder.positions, encoder.types, encoder.norm]
    parts += [part for part in (trunk.states, trunk.join) if part is not None]
    if what == "encoder":
        parts = [trunk]
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


def check_settings(settings: BindingSpec) -> None:
    """Refuse impossible values, by their option's name.

    Raises
    ------
    UsageError
    """
    cap, layers = settings.positives_per_epoch, settings.freeze.removeprefix("layers:")
    rules: tuple[tuple[bool, str, Any, str], ...] = (
        (settings.epochs < 1, "epochs", settings.epochs, "at least 1"),
        (settings.batch_size < 1, "batch-size", settings.batch_size, "at least 1"),
        (settings.micro_batch is not None and settings.micro_batch < 1, "micro-batch", settings.micro_batch, "at least 1"),
        (settings.negatives < 1, "negatives-per-positive", settings.negatives, "at least 1"),
        (cap is not None and cap < 1, "positives-per-epoch", cap, "at least 1"),
        (not settings.lr > 0, "lr", settings.lr, "above 0"),
        (settings.warmup < 0, "warmup", settings.warmup, "a share of the steps below 1, or steps"),
        (not 0 <= settings.dropout < 1, "dropout", settings.dropout, "0 to below 1"),
        (settings.weight_decay < 0, "weight-decay", settings.weight_decay, "at least 0"),
        (settings.patience < 0, "patience", settings.patience, "at least 0"),
        (settings.metric not in ("auprc_dg", "ap", "auroc"), "metric", settings.metric, "auprc_dg, ap or auroc"),
        (settings.strands not in ("forward", "both"), "strands", settings.strands, "forward or both"),
        (settings.freeze not in ("none", "embeddings", "encoder") and not (settings.freeze.startswith("layers:") and layers.isdigit()),
         "freeze", settings.freeze, "none, embeddings, encoder, or layers:N"),
    )  # fmt: skip
    for broken, key, found, expected in rules:
        if broken:
            raise UsageError("impossible value", where=f"--{key}", found=found, expected=expected)


def _begin(out: Path, identity: dict[str, Any], say: Say) -> BindingResult | None:
    """Say what a folder is to this run; the finished result if there is nothing left to do."""
    if out.exists() and not out.is_dir():
        raise TrainingError("a file stands where the run's folder should be", where=str(out))
    held = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if held and RUN not in held:
        raise TrainingError(
            "the folder holds something that is not a run", where=str(out), found=", ".join(sorted(held)[:5]),
            do="Choose another folder with --out.",
        )  # fmt: skip
    if not held:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / RUN, identity)
        return None
    before = json.loads((out / RUN).read_text(encoding="utf-8"))
    flat = {f"settings.{k}": v for k, v in before.get("settings", {}).items()} | before
    now = {f"settings.{k}": v for k, v in identity["settings"].items()} | identity
    other = [key for key in now if key != "settings" and flat.get(key) != now[key]]
    if other:
        shown = [f"{key} was {flat.get(key)!s:.60}, is {now[key]!s:.60}" for key in other[:4]]
        raise TrainingError(
            "the folder holds another run", where=str(out), found="; ".join(shown),
            do="Choose another --out, or pass --overwrite.",
        )  # fmt: skip
    if RESULT not in held:
        return None
    kept = json.loads((out / RESULT).read_text(encoding="utf-8"))
    run = load_binding(out)
    say(f"the run is complete: best epoch {kept['best_epoch']}, the model is in {out / MODEL}")
    return BindingResult(run, kept["valid"], kept["history"], kept["best_epoch"], kept["notes"], out)


def _digest(rows: BindingRows) -> str:
    import hashlib

    found = hashlib.sha256()
    for array in (rows.chrom, rows.start, rows.values):
        found.update(np.ascontiguousarray(array).data)
    found.update(json.dumps([rows.cells, rows.factors, rows.chroms]).encode())
    return found.hexdigest()


def _digest_of(tensors: Iterable[Tensor]) -> str:
    import hashlib

    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()

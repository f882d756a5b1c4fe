"""Epochs of a binding run: learn, judge, keep the best, write the state.

What an epoch does is a function of (seed, epoch): rows, order, strands and dropout are drawn anew
from both, so a run that was killed goes on after its last whole epoch and ends with the same
weights. The labels that are not known count nowhere; a step of several micro-batches has the loss
of one.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.atomic import atomic_file
from epilm.batches.overlapping import OverlappingReader
from epilm.batches.placement import making_cost, place_store
from epilm.device import Place, batch_fits
from epilm.errors import TrainingError, UsageError
from epilm.finetuning.binding_data import BindingRows
from epilm.finetuning.binding_plan import BindingPlan
from epilm.finetuning.binding_run import BindingRun
from epilm.finetuning.binding_spec import BindingSpec
from epilm.finetuning.predict_bins import BATCH, logits_of
from epilm.metrics.binding import score_bins
from epilm.store.reader import Store
from epilm.tokens.random import hash_bits
from epilm.training.heap import kept_heap
from epilm.training.log import plain
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec
from epilm.training.schedule import lr_at
from epilm.training.state import clean_leftovers, load_state, model_tensors, save_state, states

Say = Callable[[str], None]
STATES, METRICS = "checkpoints", "metrics.jsonl"
_STRAND, _DROPOUT = 0xD4, 0xD5


class BindingLoop:
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
        self.store = near(store, run, plan, settings, place.device, say)
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
        self.optimiser = Optimiser(self.model, self.optim, rates_of(self.model, settings))
        self.history: list[dict[str, Any]] = []
        self.tables: dict[str, dict[str, Any]] = {}
        self.best_epoch, self.best, self.waited, self.step = 0, -np.inf, 0, 0
        self.told = False
        self.best_state: dict[str, Tensor] = {}

    def fit(self, notes: list[str]) -> list[str]:
        """Train to the end; the model is left with the weights of its best epoch. Gives the notes,
        with alarms.
        """
        settings, notes = self.settings, list(notes)
        gpus = [self.place.device.index or 0] if self.place.device.type == "cuda" else []
        # Dropout draws from torch's own generator: the caller's is given back as it was.
        with torch.random.fork_rng(devices=gpus), kept_heap(self.place.device):
            done = self._resume()
            for epoch in range(done, settings.epochs):
                if settings.patience and self.waited >= settings.patience:
                    break
                torch.manual_seed(int(hash_bits(settings.seed, _DROPOUT, epoch)))
                row = self._learn(epoch)
                self._judge(epoch, row)
                self._save(epoch)
        if settings.patience and self.waited >= settings.patience:
            self.say(
                f"stopped early: no better validation {settings.metric} for {self.waited} epochs"
            )
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
        return notes

    def _learn(self, epoch: int) -> dict[str, Any]:
        """One pass over the rows of an epoch."""
        settings, rows = self.settings, self.plan.draw.epoch(epoch)
        self.model.train()
        if settings.freeze == "encoder" and hasattr(self.model, "trunk"):
            cast(
                nn.Module, self.model.trunk
            ).eval()  # what does not learn is not shaken by dropout either
        started, losses, lr = time.monotonic(), [], 0.0
        for at in range(0, len(rows), settings.batch_size):
            lr = lr_at(self.step, self.optim, self.total)
            loss = self._step(rows[at : at + settings.batch_size], epoch, lr)
            losses.append(loss)
            self.step += 1
            spent = time.monotonic() - started
            if spent > 30 and not self.told:
                speed = (at + settings.batch_size) / spent
                self.told = True
                self.say(
                    f"{speed:,.0f} rows/s: an epoch takes about {len(rows) / speed / 60:.0f} min"
                )
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
        """Move the weights once. Micro-batches share one loss: the mean over all known labels of
        the step.
        """
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

        def backward(here: slice) -> Tensor:
            windows = self.reader.plain(
                cells[here], chroms[here], starts[here], None if strands is None else strands[here]
            ).to(device)
            with self.place.autocast():
                logits = self.model(windows)
            loss = masked_bce(logits.float(), torch.from_numpy(labels[here]).to(device)) / known
            loss.backward()
            return loss.detach()

        def trial(n: int) -> None:
            self.optimiser.zero_grad()
            backward(slice(0, n))

        for at in range(0, len(rows), piece):
            with batch_fits(
                min(piece, len(rows) - at),
                trial,
                option="--micro-batch",
                where=f"epoch {epoch + 1}, step {self.step + 1}",
                device=device,
            ):
                total += backward(slice(at, at + piece))
        norm = nn.utils.clip_grad_norm_(
            self.optimiser.weights, settings.clip if settings.clip > 0 else float("inf")
        )
        if not bool(torch.isfinite(total) & torch.isfinite(norm)):
            where = [
                f"{self.plan.rows.chroms[c]}:{s}"
                for c, s in zip(chroms[:4], starts[:4], strict=True)
            ]
            raise TrainingError(
                "the loss or its gradient is not finite",
                where=f"epoch {epoch + 1}, step {self.step + 1}",
                found=(
                    f"loss {float(total):g}, gradient norm {float(norm):g} in rows"
                    f" {', '.join(map(str, rows[:4]))} (windows {', '.join(where)}; lr {lr:g})"
                ),
                do=(
                    "The weights were not moved. Lower --lr, raise --warmup, or look at these"
                    " windows; the run goes on from its last epoch."
                ),
            )
        self.optimiser.step(lr)
        return total

    def _judge(self, epoch: int, row: dict[str, Any]) -> None:
        """Score the validation rows, keep the weights if they are the best so far."""
        settings, plan = self.settings, self.plan
        started = time.monotonic()
        logits = score_rows(
            self.model,
            self.reader,
            plan.rows,
            plan.valid_rows,
            window_bp=settings.window_bp,
            both=settings.strands == "both" and not self.run.bases,
            place=self.place,
        )
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
            f"epoch {epoch + 1}/{settings.epochs}: loss {row['loss']:.4f}, valid {settings.metric}"
            f" {score:.4f}{' *' if self.best_epoch == epoch + 1 else ''} ({row['seconds']:.0f} s,"
            f" {row['rows_per_second']:,.0f} rows/s)"
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
            new.write_text(
                "".join(json.dumps(plain(row)) + "\n" for row in self.history), encoding="utf-8"
            )

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
        self.best_epoch, self.best = (
            kept["best_epoch"],
            (-np.inf if kept["best"] is None else kept["best"]),
        )
        self.tables = {
            f: {k: float("nan") if v is None and k != "collapse" else v for k, v in t.items()}
            for f, t in kept["tables"].items()
        }
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
    return F.binary_cross_entropy_with_logits(
        logits[known], labels[known].to(logits.dtype), reduction="sum"
    )


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
    """Logits of rows, float32 (m, F), in their order; cell type by cell type, so that neighbours
    are read together.
    """
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
                out[here] = (
                    logits_of(model, windows, turned, device=device, autocast=autocast)
                    .cpu()
                    .numpy()
                )
    finally:
        model.train(was_training)
    return out


def score_factors(
    labels: NDArray[np.int8], logits: NDArray[np.float32], factors: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Scores of each factor, with what looks collapsed."""
    out = {}
    for f, factor in enumerate(factors):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a factor without bound bins: said in the plan
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
        return (
            f"flat scores: standard deviation {deviation:.2g} of the logits over {len(logits)} bins"
        )
    return None


def near(
    store: Store,
    run: BindingRun,
    plan: BindingPlan,
    settings: BindingSpec,
    device: torch.device,
    say: Say,
) -> Store:
    """Put the store on a GPU that has room for what binding reads; else say what reading it on the
    host costs. Batches are the same bits.
    """
    if device.type != "cuda":
        return store
    placed = place_store(store, device, ("dna", "states"), signals=store.signals)
    line = placed.said
    if not placed.on_device:
        cells, chroms, starts, _ = plan.rows.take(
            plan.draw.epoch(0)[: settings.micro_batch or settings.batch_size]
        )
        starts, reader = starts - (settings.window_bp - plan.rows.width) // 2, run.reader(store)
        cost = making_cost(
            lambda step: reader.plain(cells, chroms, starts, None),
            f"micro-batch of {len(starts)} windows",
        )
        line = f"{line}, {cost}, and none is made ahead"
    say(line)
    return placed.store


def rates_of(model: nn.Module, settings: BindingSpec) -> dict[str, float]:
    """Multiples of the learning rate, by the beginning of a weight's name; what is not named takes
    it as it is.

    Raises
    ------
    UsageError
        If the model is no encoder with a head, or has no shortcut, and a multiple of it is asked
        for.
    """
    head, shortcut = settings.head_lr_multiplier, settings.shortcut_lr_multiplier
    if head != 1 and not hasattr(model, "trunk"):
        raise UsageError(
            "the model has no head to learn at a rate of its own",
            where="--head-lr-multiplier",
            found=head,
            expected="1",
            do="Change --lr.",
        )
    if shortcut != 1 and getattr(model, "shortcut", None) is None:
        raise UsageError(
            "the model has no shortcut to learn at a rate of its own",
            where="--shortcut-lr-multiplier",
            found=shortcut,
            expected="1",
            do="Give --signals motifs, or --signals with --shortcut signals.",
        )
    rates = {f"{name}.": head for name, _ in model.named_children() if name != "trunk"}
    return rates | ({} if shortcut == 1 else {"shortcut.": head * shortcut})


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
        raise UsageError(
            "the model has no encoder to freeze", found=f"freeze={what}", expected="none"
        )
    encoder = trunk.encoder
    parts: list[nn.Module] = [encoder.words, encoder.positions, encoder.types, encoder.norm]
    parts += [part for part in (trunk.states, trunk.join) if part is not None]
    if what == "encoder":
        parts = [trunk]
    elif what.startswith("layers:"):
        count = int(what.split(":")[1])
        if count > len(encoder.blocks):
            raise UsageError(
                "fewer layers than to be frozen",
                found=count,
                expected=f"at most {len(encoder.blocks)}",
            )
        parts += list(encoder.blocks[:count])
    for part in parts:
        for weight in part.parameters():
            weight.requires_grad_(False)

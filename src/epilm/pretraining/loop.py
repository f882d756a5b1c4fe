"""The pre-training loop: resume or start, step, say, validate, save, stop when asked.

Everything a step depends on is the state (`training.state`) and the step's number,
so a run that was killed and one that was not end with the same weights, bit for
bit on a CPU. The order of a start: newest intact state, else the weights as given.
Needs torch, numpy, safetensors; the engine brings Lightning.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from epilm.device import Place, first_line, is_out_of_memory
from epilm.errors import TrainingError
from epilm.objectives.table import ObjectivesSpec
from epilm.pretraining.best import Best, check_score
from epilm.pretraining.step import Ahead, Figures, Maker, contrast_size, cut, optimiser_step
from epilm.pretraining.validate import validate
from epilm.training.compute import choose_compute, compiled, out_of_memory
from epilm.training.engine import GO_ON, fit
from epilm.training.failed_step import keep_failed
from epilm.training.fsdp import cut_up, let_go, whole
from epilm.training.heap import kept_heap
from epilm.training.log import METRICS, MetricLog, Progress, peak_memory, read_metrics
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec, TrainSpec
from epilm.training.ranks import Ranks, check_processes
from epilm.training.schedule import lr_at
from epilm.training.state import (
    clean_leftovers,
    load_model_tensors,
    load_state,
    model_tensors,
    newest_intact,
    save_state,
    step_of,
)

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Data:
    """What a run reads, as functions; nothing here knows a store.

    Attributes
    ----------
    train : device -> (rows, step) -> Batch
    rows_at : step -> int64 (batch_size,)
        A pure function of the step.
    valid : device -> (rows, step) -> Batch, or None
    valid_rows : int64 (N,)
    """

    train: Callable[[torch.device], Maker]
    rows_at: Callable[[int], np.ndarray]
    valid: Callable[[torch.device], Maker] | None = None
    valid_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass
class Outcome:
    """How a run went.

    Attributes
    ----------
    step : int
        Optimiser steps done.
    completed : bool
        False where the user stopped it.
    stopped_by : int
        GO_ON, or who stopped it: `engine.USER` or `engine.SCHEDULER`.
    early : bool
        True where `train.patience` ended it before its last step.
    best : Best
        The best validation; its step is None where there was none.
    seconds : float
        Of all starts together.
    train, valid : dict
        The last line of metrics of each.
    warnings : list of str
        Of the last validation.
    """

    step: int = 0
    completed: bool = False
    stopped_by: int = GO_ON
    early: bool = False
    best: Best = field(default_factory=Best)
    seconds: float = 0.0
    train: dict[str, Any] = field(default_factory=dict)
    valid: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class PretrainLoop:
    """What the engine runs; see `run_pretrain` for the parameters."""

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        objectives: ObjectivesSpec,
        optim: OptimSpec,
        train: TrainSpec,
        out: Path,
        place: Place,
        beside: Mapping[str, Any],
    ) -> None:
        self.model, self.data, self.objectives = model, data, objectives
        self.given = model  # what is left trained; `model` is what is trained
        self.cut = train.strategy == "fsdp"
        self.optim, self.train, self.out, self.place = optim, train, out, place
        self.beside = dict(beside)
        self.steps = train.steps
        self.outcome = Outcome(best=Best(train.best_by))
        self.window = Figures()
        self.window_seconds = 0.0

    # -- what the engine calls

    def begin(self, device: torch.device, ranks: Ranks) -> int:
        """Restore the newest intact state or start, on the device; return the first step to do."""
        check_processes(ranks.world, self.train.devices)
        self.ranks, self.place = ranks, self.place._replace(device=device)
        if self.cut:
            self.model = cut_up(self.given, device)
        self.optimiser = Optimiser(self.model, self.optim)
        self.make = Ahead(self.data.train(device), device)
        self.make_valid = (
            self.data.valid(device) if self.data.valid and len(self.data.valid_rows) else None
        )
        self.model.train()
        root = self.out / CHECKPOINTS
        if ranks.first:
            clean_leftovers(root)
        newest, passed_over = newest_intact(root) if ranks.first else (None, [])
        first = ranks.from_first(step_of(newest) if newest else 0, device)
        seconds, kept = 0.0, dict[str, Any]()
        if first > 0:
            kept = load_state(root / f"step_{first:08d}", self.model, self.optimiser)
            seconds = float(kept.get("seconds", 0.0))
            # The next line of metrics is a mean since the line before, stopped or not.
            if ranks.first:
                self.window = Figures.again(kept.get("window", {}), device)
                self.window_seconds = float(kept.get("window_seconds", 0.0))
            if "best" in kept:
                self.outcome.best = self._restored(Best(**kept["best"]))
                # Killed between its last state and its model: nothing is left to train.
                self.outcome.early = first < self.steps and self._spent()
                if self.outcome.early:
                    self.steps = first
        self.outcome.step, self.outcome.seconds = first, seconds
        self.started = time.monotonic() - seconds
        self.progress = Progress(self.steps, first, quiet=not ranks.first)
        self.log = MetricLog(self.out, first) if ranks.first else None
        for line in passed_over:
            self.progress.say(line)
        if first > 0:
            self.progress.say(f"going on from step {first} of {self.steps}")
        self.progress.say(choose_compute(self.model, self.train, device))
        if first == 0:
            self._validate(0)
        if first == self.steps and ranks.first:
            # Killed between its last state and its model: what is told of it was said before.
            for row in read_metrics(self.out) if (self.out / METRICS).is_file() else ():
                if row["split"] == "train":
                    self.outcome.train = row
                else:
                    self.outcome.valid = row
            self.outcome.warnings = list(kept.get("warnings", ()))
        if first >= self.steps:
            self._give_back()
        return first

    def _restored(self, best: Best) -> Best:
        if (self.out / CHECKPOINTS / f"step_{best.step:08d}").is_dir():
            return best
        return Best(best.score)  # its weights are gone: the best is looked for from here on

    def _spent(self) -> bool:
        return self.outcome.best.spent(self.train.patience)

    def step(self, step: int, stop: int) -> bool:
        """Do one optimiser step and what is due after it."""
        began = time.monotonic()
        lr = lr_at(step, self.optim, self.steps)
        self.window += self._optimiser_step(step, lr)
        self.window_seconds += time.monotonic() - began
        done, last = step + 1, step + 1 == self.steps
        self.outcome.step = done
        self.progress.step(done)
        stop = GO_ON if last else self.ranks.most(stop, self.place.device)
        self.outcome.stopped_by = stop
        if done % self.train.log_every == 0 or last or stop:
            self._log(done, lr)
        better = False
        if done % self.train.validate_every == 0 or last:
            better = self.ranks.any(self._validate(done), self.place.device)
            self.outcome.early = not last and self.ranks.any(self._spent(), self.place.device)
        if done % self.train.checkpoint_every == 0 or last or stop or better or self.outcome.early:
            self._save(done)
        going = stop == GO_ON and not self.outcome.early
        if last or not going:
            self._give_back()
        return going

    def _give_back(self) -> None:
        """Put weights that were cut up into the model that was given, while all processes are
        here.
        """
        if self.cut:
            load_model_tensors(self.given, whole(model_tensors(self.model)), "the trained model")

    def end(self, completed: bool) -> None:
        """Close the log."""
        self.outcome.completed = self.outcome.early or (
            completed and self.outcome.step >= self.steps
        )
        self.close()

    def close(self) -> None:
        """Leave terminal and files in order, also after an error."""
        if hasattr(self, "progress"):
            self.progress.close()
        if getattr(self, "log", None) is not None:
            self.log.close()  # type: ignore[union-attr]

    def _optimiser_step(self, step: int, lr: float) -> Figures:
        rows, failed = self.data.rows_at(step), None
        try:
            with compiled():
                return optimiser_step(
                    self.model,
                    self.make,
                    self.optimiser,
                    rows,
                    step=step,
                    lr=lr,
                    objectives=self.objectives,
                    train=self.train,
                    clip=self.optim.clip,
                    ranks=self.ranks,
                    place=self.place,
                    meanwhile=lambda: self._prepare(step + 1),
                    keep=lambda rows, batches: keep_failed(
                        self.out,
                        {"step": step, "lr": lr, "rows": rows},
                        batches,
                        self.ranks.rank,
                    ),
                )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failed = error.with_traceback(None)  # its frames hold the tensors that were too many
        self.make.forget()
        if self.cut:  # smaller batches cannot be tried by one process alone
            raise TrainingError(
                "out of memory",
                where=f"step {step}",
                found=f"micro-batch {self.train.micro_batch} on {self.place.device}"
                f" ({first_line(failed)})",
                do="Lower train.micro_batch, or raise train.devices; the same command goes on from"
                " the newest state.",
            ) from None
        raise out_of_memory(
            failed,
            self.model,
            self.make,
            self.optimiser,
            rows,
            step=step,
            objectives=self.objectives,
            micro=self.train.micro_batch,
            place=self.place,
        )

    def _prepare(self, step: int) -> None:
        """Make the batches of a coming step while the device works."""
        if step == self.steps:
            return
        group = contrast_size(self.objectives, self.train, self.ranks.world)
        rows = self.data.rows_at(step)
        for micros in cut(rows, group or len(rows), self.train.micro_batch, self.ranks):
            for micro in micros:
                self.make.prepare(micro.rows, step)

    # -- what is due now and then

    def _elapsed(self) -> float:
        self.outcome.seconds = time.monotonic() - self.started
        return self.outcome.seconds

    def _log(self, done: int, lr: float) -> None:
        values: dict[str, Any] = self.window.summed(self.ranks)
        spent = max(self.window_seconds, 1e-9)
        tokens, samples = values.pop("tokens"), values.pop("samples")
        values |= {
            "lr": lr,
            "tokens_per_second": tokens / spent,
            "samples_per_second": samples / spent,
            "step_seconds": spent / self.window.steps,
            "seconds": self._elapsed(),
            **peak_memory(self.place.device),
        }
        self.window, self.window_seconds = Figures(), 0.0
        if self.log is not None:
            self.outcome.train = self.log.write(done, "train", values)
            self.progress.figures(self.outcome.train, always=done == self.steps)

    def _validate(self, done: int) -> bool:
        """Score the held-out samples; say whether the score is the best so far.

        The first process does it alone; all of them where none has all weights.

        The random start is no candidate: nobody wants its weights.
        """
        before = self.outcome.best
        if self.make_valid is not None and (self.cut or self.log is not None):
            values, warnings = validate(
                self.model,
                self.make_valid,
                self.data.valid_rows,
                self.objectives,
                self.train.micro_batch,
                self.place,
            )
            let_go(self.model)
            if self.log is not None:
                self._take_in(done, values, warnings)
        self.ranks.wait()
        return self.outcome.best.step != before.step

    def _take_in(self, done: int, values: dict[str, float], warnings: list[str]) -> None:
        """Write and say what a validation gave, and hold it against the best so far."""
        assert self.log is not None
        self.outcome.warnings = warnings
        self.outcome.valid = self.log.write(done, "valid", values | {"seconds": self._elapsed()})
        self.progress.figures(self.outcome.valid, always=True)
        check_score(self.train.best_by, values)
        if done > 0:
            self.outcome.best = self.outcome.best.after(done, values)
            for line in warnings:
                self.progress.say(f"warning, step {done}: {line}")

    def _save(self, done: int) -> None:
        window, best = self.window.kept(self.ranks), self.outcome.best
        gathered = None
        if self.cut:
            weights, moments = model_tensors(self.model), self.optimiser.tensors()
            gathered = whole(weights, self.ranks.first), whole(moments, self.ranks.first)
        if self.ranks.first:
            save_state(
                self.out / CHECKPOINTS,
                done,
                self.model,
                self.optimiser,
                {
                    "seconds": self._elapsed(),
                    "window": window,
                    "window_seconds": self.window_seconds,
                    **({} if best.step is None else {"best": best.to_json()}),
                    **({"warnings": warned} if (warned := self.outcome.warnings) else {}),
                },
                self.train.keep_checkpoints,
                self.beside,
                spare=() if best.step is None else (best.step,),
                gathered=gathered,
            )
        self.ranks.wait()


def run_pretrain(
    model: nn.Module,
    data: Data,
    objectives: ObjectivesSpec,
    optim: OptimSpec,
    train: TrainSpec,
    out: str | Path,
    place: Place,
    *,
    beside: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train a model to its last step, from the newest state in `out/checkpoints` if there is one.

    Parameters
    ----------
    model : Module
        Batch to Outputs; moved to the device and changed in place.
    data : Data
        Batches and their order.
    objectives, optim, train : spec
    out : path
        The run's folder, which exists: `metrics.jsonl`, `checkpoints/`, `tensorboard/` go there.
    place : Place
        Device and number format (`device.choose_place`).
    beside : mapping, optional
        File name to JSON value, written into every state: `spec.json` makes it a checkpoint.

    Returns
    -------
    Outcome
        `completed` False where Ctrl-C, SIGTERM or SIGUSR1 ended it; the state is saved then.

    Raises
    ------
    TrainingError
        If a loss is not finite. What was saved before stays, and what the step read is kept in
        `out/failed_step` (`training.failed_step`).
    """
    loop = PretrainLoop(model, data, objectives, optim, train, Path(out), place, beside or {})
    gpus = list(range(torch.cuda.device_count())) if place.device.type == "cuda" else []
    try:
        # Dropout draws from torch's own generator: give the caller's back as it was.
        with torch.random.fork_rng(devices=gpus), kept_heap(place.device):
            fit(loop, place.device, train.devices, move=train.strategy == "ddp")
    finally:
        loop.close()
    return loop.outcome

"""Epochs of a fine-tuning: learn, judge, keep the best, write the state. One loop for every task.

What an epoch does is a function of (seed, epoch): rows, order, strands and dropout are drawn anew
from both, so a run that was killed goes on after its last whole epoch and ends with the same
weights; one that a signal ended goes on with the step it had come to. A step of several
micro-batches has the loss of one, and so has one of several processes (`engine.Team`): each takes
its share of the rows, and gradients are summed. A loss that is no number stops the run; memory that
runs out names the largest batch that fits.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epilm.atomic import atomic_file, plain
from epilm.device import Place, batch_fits
from epilm.errors import TrainingError
from epilm.tensor_files import bytes_of, load_tensors, save_tensors
from epilm.tokens.random import hash_bits
from epilm.training.averages import AveragedWeights
from epilm.training.engine import Team
from epilm.training.failed_step import keep_failed
from epilm.training.fsdp import sum_gradients
from epilm.training.heap import kept_heap
from epilm.training.learning import Learning, optim_of
from epilm.training.optim import Optimiser
from epilm.training.rates import Rest
from epilm.training.schedule import lr_at
from epilm.training.shared_norms import SharedNorms
from epilm.training.state import (
    clean_leftovers,
    load_averages,
    load_state,
    model_tensors,
    newest_intact,
    put_back,
    save_state,
)

Say = Callable[[str], None]
Rows = NDArray[np.int64]
STATES, METRICS = "checkpoints", "metrics.jsonl"
_STRAND, _DROPOUT = 0xD4, 0xD5


class Judged(NamedTuple):
    """What a judge says of the model as it is.

    Attributes
    ----------
    score : float
        What decides which epoch is best; higher is better, NaN where it is undefined.
    columns : mapping
        Numbers for the log's row of the epoch.
    tables : mapping
        Name of an output -> its table of scores, with `collapse` where it has collapsed.
    """

    score: float
    columns: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]


class Lesson(Protocol):
    """What the loop asks of whoever teaches."""

    metric: str

    def steps(self, epoch: int) -> list[Rows]:
        """Rows of each step of an epoch, in order: a function of the epoch alone."""

    def loss(
        self, rows: Rows, strands: NDArray[np.bool_] | None, epoch: int, place: Place
    ) -> Tensor:
        """Sum of the losses of rows (their known labels), with gradients."""

    def read(self, rows: Rows, strands: NDArray[np.bool_] | None, epoch: int) -> Any:
        """Give what the loss reads of rows: a bundle of tensors, or a tuple of them."""

    def known(self, rows: Rows) -> int:
        """Labels of rows that count in the loss."""

    def judge(self, place: Place) -> Judged | None:
        """Score the valid part; None where there is none. Of several processes all call it, and
        get the same.
        """

    def where(self, rows: Rows) -> str:
        """Say what rows are, for a message."""


@dataclass
class History:
    """What the epochs so far have said; JSON values, kept in the state."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: float = -np.inf
    best_epoch: int = 0  # counted from 1; 0: none was scored
    waited: int = 0
    steps: int = 0

    @property
    def collapse(self) -> str:
        """How the best epoch collapsed on the valid part; "" where an output did not.

        Examples
        --------
        >>> History(tables={"": {"collapse": "flat scores"}}).collapse
        'flat scores'
        >>> History(tables={"A": {"collapse": "flat scores"}, "B": {"collapse": None}}).collapse
        ''
        """
        alarms = [table.get("collapse") for table in self.tables.values()]
        return str(alarms[0]) if alarms and all(alarms) else ""


class Begun(NamedTuple):
    """What is done of an epoch that a signal ended in its middle; JSON values.

    Attributes
    ----------
    losses : list of float
        Of its steps so far.
    seconds : float
    """

    losses: Sequence[float] = ()
    seconds: float = 0.0


class Epochs:
    """The loop; after `run` the model has the weights of its best epoch.

    Parameters
    ----------
    model : nn.Module
        Moved to the device.
    lesson : Lesson
    spec : Learning
    place : Place
    rates : mapping of str to float
        Multiples of the learning rate, by the beginning of a weight's name.
    out : path or None
        Folder for the log and, while it runs, the state; None keeps both in memory.
    rest : Rest, optional
        What does not learn before `spec.thaw_after` epochs are over; never where that is 0.
    team : Team, optional
        The processes that learn together; the first alone writes.
    """

    def __init__(
        self,
        model: nn.Module,
        lesson: Lesson,
        spec: Learning,
        *,
        place: Place,
        say: Say,
        out: Path | None = None,
        rates: Mapping[str, float] | None = None,
        rest: Rest | None = None,
        team: Team | None = None,
    ) -> None:
        self.lesson, self.spec, self.place, self.say, self.out = lesson, spec, place, say, out
        self.team = team or Team()
        self.model, self.rest = model.to(place.device), rest or Rest()
        if not spec.thaw_after:
            for weight in self.rest.weights:
                weight.requires_grad_(False)
        self.total = len(lesson.steps(0)) * spec.epochs
        self.optim = optim_of(spec, self.total)
        self.optimiser = Optimiser(self.model, self.optim, dict(rates or {}))
        alone = self.team.ranks.world == 1
        self.norms = None if alone else SharedNorms(self.model, self.team.ranks)
        self.averages = AveragedWeights(self.model, spec.ema) if spec.ema else None
        self.history, self.begun = History(), Begun()
        self.best_weights: dict[str, Tensor] | None = None
        self._speed_said = False

    def run(self) -> History:
        """Train to the end, from the start or the last state on.

        Raises
        ------
        Stopped
            If someone asked for it; what was learned is in the state then.
        """
        spec = self.spec
        gpus = [self.place.device.index or 0] if self.place.device.type == "cuda" else []
        # Dropout draws from torch's own generator: the caller's is given back as it was.
        drawing = torch.random.fork_rng(devices=gpus)
        with drawing, kept_heap(self.place.device), self.team.listening():
            for epoch in range(self._resume(), spec.epochs):
                if spec.patience and self.history.waited >= spec.patience:
                    break
                row = self._learn(epoch)
                self._judge(epoch, row)
                self._save(epoch + 1)
                self.team.stop_if_asked(partial(self._say_stopped, f"after epoch {epoch + 1}"))
        if spec.patience and self.history.waited >= spec.patience:
            self.say(
                f"stopped early: no better valid {self.lesson.metric} for"
                f" {self.history.waited} epochs"
            )
        if self.best_weights is not None:
            put_back(self.model, self.best_weights)
        elif self.averages is not None:
            put_back(self.model, self._judged_weights())
        self.model.eval()
        return self.history

    def _say_stopped(self, when: str) -> None:
        kept = "" if self.out is None else "; the same command goes on from there"
        self.say(f"stopped {when}{kept}")

    def _asleep(self, epoch: int) -> bool:
        """Whether `rest` is at rest in an epoch, counted from 0."""
        return not self.spec.thaw_after or epoch < self.spec.thaw_after

    def _learn(self, epoch: int) -> dict[str, Any]:
        """One pass over the rows of an epoch, or what is left of it."""
        begun, self.begun = self.begun, Begun()
        if not begun.losses:  # else the generator is where the state says
            torch.manual_seed(int(hash_bits(self.spec.seed, _DROPOUT, epoch)))
        self.model.train()
        asleep = self._asleep(epoch)
        if self.spec.thaw_after:
            # The optimiser knows these weights, and passes over those without a gradient.
            for weight in self.rest.weights:
                weight.requires_grad_(not asleep)
            if epoch == self.spec.thaw_after:
                self.say(f"epoch {epoch + 1}: what was at rest learns from here on")
        if asleep and self.rest.part is not None:
            self.rest.part.eval()
        steps = self.lesson.steps(epoch)
        count = sum(len(rows) for rows in steps)
        started = time.monotonic() - begun.seconds
        lr = lr_at(max(self.history.steps - 1, 0), self.optim, self.total)
        losses = [torch.tensor(loss, device=self.place.device) for loss in begun.losses]
        done = sum(len(rows) for rows in steps[: len(losses)])

        def save() -> None:
            so_far = Begun([float(loss) for loss in losses], time.monotonic() - started)
            self._save(epoch, so_far)
            where = f"{len(losses):,} of {len(steps):,} steps"
            self._say_stopped(f"in epoch {epoch + 1}, after {where}")

        for rows in steps[len(losses) :]:
            lr = lr_at(self.history.steps, self.optim, self.total)
            losses.append(self._step(rows, epoch, lr))
            self.history.steps += 1
            done += len(rows)
            self.team.stop_if_asked(save)
            spent = time.monotonic() - started
            if spent > 30 and not self._speed_said:
                self._speed_said = True
                speed = done / spent
                self.say(f"{speed:,.0f} rows/s: an epoch takes about {count / speed / 60:.0f} min")
        seconds = time.monotonic() - started
        return {
            "epoch": epoch + 1,
            "step": self.history.steps,
            "loss": float(torch.stack(losses).mean()),
            "lr": lr,
            "rows": count,
            "seconds": seconds,
            "rows_per_second": count / max(seconds, 1e-9),
        }

    def _step(self, rows: Rows, epoch: int, lr: float) -> Tensor:
        """Move the weights once. Micro-batches, and the shares of several processes, have one loss:
        the mean over all known labels of the rows.
        """
        spec, lesson, ranks, device = self.spec, self.lesson, self.team.ranks, self.place.device
        share = ranks.share(len(rows))
        mine = rows[share]
        if ranks.world > 1:  # draws of its own for each share; alone they are those of the epoch
            drawn = (spec.seed, _DROPOUT, epoch, self.history.steps, share.start)
            torch.manual_seed(int(hash_bits(*drawn)))
        strands = None
        if spec.both_strands:
            strands = (hash_bits(spec.seed, _STRAND, epoch, mine) & 1).astype(bool)
        known = max(lesson.known(rows), 1)
        piece = spec.micro_batch or len(rows)

        def backward(here: slice) -> Tensor:
            turned = None if strands is None else strands[here]
            loss = lesson.loss(mine[here], turned, epoch, self.place) / known
            loss.backward()
            return loss.detach()

        def trial(n: int) -> None:
            self.optimiser.zero_grad()
            backward(slice(0, n))

        self.optimiser.zero_grad()
        total = torch.zeros((), device=device)
        step = f"epoch {epoch + 1}, step {self.history.steps + 1}"
        pieces = [slice(at, at + piece) for at in range(0, len(mine), piece)]
        for here in pieces:
            fitting = batch_fits(
                min(piece, len(mine) - here.start),
                trial,
                option="--micro-batch",
                where=step,
                device=device,
            )
            with fitting, self.norms.together() if self.norms else nullcontext():
                total += backward(here)
        if self.norms:
            most = -(-len(rows) // (ranks.world * piece))  # passes of the largest share
            self._keep_pace(self.norms, rows[:1], epoch, most - len(pieces))
        if ranks.world > 1:
            sum_gradients(self.optimiser.weights, total, ranks)
        longest = spec.clip if spec.clip > 0 else float("inf")
        norm = nn.utils.clip_grad_norm_(self.optimiser.weights, longest)
        if not bool(torch.isfinite(total) & torch.isfinite(norm)):
            kept = self._keep_failed(mine, strands, pieces, epoch, lr)
            raise self.team.alike(
                TrainingError(
                    "the loss or its gradient is not finite",
                    where=step,
                    found=(
                        f"loss {float(total):g}, gradient norm {float(norm):g} in rows"
                        f" {', '.join(map(str, rows[:4].tolist()))} ({lesson.where(rows[:4])}; lr"
                        f" {lr:g})"
                    ),
                    do=(
                        "The weights were not moved. Lower --lr, raise --warmup, or look at these"
                        f" rows; the run goes on from its last epoch.{kept}"
                    ),
                )
            )
        self.optimiser.step(lr)
        if self.averages is not None:
            self.averages.add()
        return total

    def _keep_pace(self, norms: SharedNorms, row: Rows, epoch: int, passes: int) -> None:
        """Go through a row for nothing while other processes have rows left: norms are of all."""
        strand = np.zeros(1, bool) if self.spec.both_strands else None
        for _ in range(passes):
            with norms.together(counts=False):
                (self.lesson.loss(row, strand, epoch, self.place) * 0.0).backward()

    def _keep_failed(
        self,
        rows: Rows,
        strands: NDArray[np.bool_] | None,
        pieces: list[slice],
        epoch: int,
        lr: float,
    ) -> str:
        """Keep what this process read of a step that failed; a sentence that says where."""
        if self.out is None:
            return ""
        read = [
            self.lesson.read(rows[here], None if strands is None else strands[here], epoch)
            for here in pieces
        ]
        cut = [rows[here].tolist() for here in pieces]
        about = {"epoch": epoch + 1, "step": self.history.steps + 1, "lr": lr, "rows": cut}
        return " " + keep_failed(self.out, about, read, self.team.ranks.rank)

    def _judged_weights(self) -> dict[str, Tensor]:
        """A copy of what is judged: the weights, or their averages."""
        with self.averages.in_place() if self.averages else nullcontext():
            tensors = model_tensors(self.model)
            return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def _judge(self, epoch: int, row: dict[str, Any]) -> None:
        """Score the valid part, keep the weights if they are the best so far."""
        history, metric = self.history, self.lesson.metric
        started = time.monotonic()
        with self.averages.in_place() if self.averages else nullcontext():
            verdict = self.lesson.judge(self.place)
        shown = ""
        if verdict is not None:
            row |= {
                f"valid_{metric}": verdict.score,
                "valid_seconds": time.monotonic() - started,
                **verdict.columns,
            }
            if verdict.score > history.best:
                history.best, history.best_epoch, history.waited = verdict.score, epoch + 1, 0
                history.tables = {name: dict(table) for name, table in verdict.tables.items()}
                self.best_weights = self._judged_weights()
            elif not (self.spec.thaw_after and self._asleep(epoch)):
                history.waited += 1
            star = " *" if history.best_epoch == epoch + 1 else ""
            shown = f", valid {metric} {verdict.score:.4f}{star}"
        history.rows.append(row)
        self.say(
            f"epoch {epoch + 1}/{self.spec.epochs}: loss {row['loss']:.4f}{shown}"
            f" ({row['seconds']:.1f} s, {row['rows_per_second']:,.0f} rows/s)"
        )

    # -- what survives a kill

    def _save(self, done: int, begun: Begun | None = None) -> None:
        """Write the state after so many epochs, and what is done of the next one."""
        if self.out is not None:
            self.team.first_does(lambda: self._write_state(done, begun))

    def _write_state(self, done: int, begun: Begun | None) -> None:
        assert self.out is not None
        root, history = self.out / STATES, self.history
        root.mkdir(parents=True, exist_ok=True)
        if begun is None and history.best_epoch == done and self.best_weights is not None:
            best = root / f"best_{done:04d}.safetensors"
            with atomic_file(best, wants=bytes_of(self.best_weights.values())) as new:
                save_tensors(new, self.best_weights)
        extra = {
            "history": [plain(row) for row in history.rows],
            "best": history.best if np.isfinite(history.best) else None,
            "best_epoch": history.best_epoch,
            "waited": history.waited,
            "steps": history.steps,
            "tables": {name: plain(table) for name, table in history.tables.items()},
            **({} if begun is None else {"begun": begun._asdict()}),
        }
        averages = None if self.averages is None else self.averages.tensors()
        save_state(root, done, self.model, self.optimiser, extra, keep=2, averages=averages)
        # Of the best weights those that the two states kept may name.
        for old in sorted(root.glob("best_*.safetensors"))[:-2]:
            old.unlink()
        write_log(self.out, history.rows)

    def _newest(self) -> tuple[str | None, list[str]]:
        """Find the newest state, and what is to be said of damaged ones."""
        assert self.out is not None
        clean_leftovers(self.out / STATES)
        newest, passed_over = newest_intact(self.out / STATES)
        return None if newest is None else newest.name, passed_over

    def _resume(self) -> int:
        """Take back the newest state; the number of whole epochs done."""
        if self.out is None:
            return 0
        root, team = self.out / STATES, self.team
        newest, passed_over = team.first_does(self._newest)
        for line in passed_over:
            self.say(line)
        if newest is None:
            return 0
        kept = load_state(root / newest, self.model, self.optimiser)
        if self.averages is not None:
            self.averages.load(load_averages(root / newest), str(root / newest))
        history = self.history
        history.rows, history.waited, history.steps = kept["history"], kept["waited"], kept["steps"]
        history.best_epoch = kept["best_epoch"]
        history.best = -np.inf if kept["best"] is None else kept["best"]
        history.tables = {
            name: {k: float("nan") if v is None and k != "collapse" else v for k, v in t.items()}
            for name, t in kept["tables"].items()
        }
        best = root / f"best_{history.best_epoch:04d}.safetensors"
        if team.first_does(best.is_file):
            self.best_weights = load_tensors(best, self.place.device)
        done, self.begun = len(history.rows), Begun(**kept.get("begun", {}))
        within = f", step {len(self.begun.losses):,} of the next" if self.begun.losses else ""
        self.say(f"going on after epoch {done} of {self.spec.epochs}{within}")
        # Killed behind a state, it lacks that epoch.
        team.first_does(partial(write_log, self.out, history.rows))
        return done


def write_log(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write the log of a run: a line an epoch."""
    with atomic_file(out / METRICS) as new:
        new.write_text("".join(json.dumps(plain(row)) + "\n" for row in rows), encoding="utf-8")

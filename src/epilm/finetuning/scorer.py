"""What a fine-tuned model says of examples: streamed, in bounded memory, whatever the batch.

Axes: N examples, B rows of a forward pass.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epilm.batch import Windows
from epilm.batches.reads import reads_of
from epilm.device import Place, batch_fits, choose_place
from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned, load_finetuned
from epilm.finetuning.windows import Reading, reading_of
from epilm.models.ensemble import Ensemble
from epilm.tasks.contract import Say
from epilm.tasks.labels import Labels
from epilm.tasks.lesson import Rows
from epilm.training.heap import kept_heap

BATCH = 256
CACHED = 10_000  # bases whose layers stay in a processor's cache: more at once take longer
PIECE = 1 << 16  # examples whose answers are in memory at a time
Autocast = Callable[[], AbstractContextManager[object]]


def logits_of_windows(
    network: nn.Module, windows: Windows, autocast: Autocast = nullcontext
) -> Tensor:
    """Score windows, float32 (B, outputs), or (B, bases, outputs) of what answers each base.

    A trunk runs in the number format of `autocast`, its head in float32: logits in bf16 have 256
    values between two powers of two, and millions of bins would tie.
    """
    if isinstance(network, Ensemble):
        return network.mean(lambda member: logits_of_windows(member, windows, autocast))
    trunk: Any = getattr(network, "trunk", None)
    if trunk is None:
        with autocast():
            logits: Tensor = network(windows)
        return logits.float()
    # What answers bases cuts windows before its trunk reads them.
    encode = getattr(network, "encode_windows", trunk.encode_windows)
    with autocast():
        hidden = encode(windows)
    scored: Tensor = network.head(hidden.float(), windows)  # type: ignore[operator]
    return scored


def logits_of(
    model: Finetuned,
    reading: Reading,
    rows: Rows,
    *,
    place: Place,
    batch: int = BATCH,
    both_strands: bool | None = None,
    option: str = "--batch-size",
) -> NDArray[np.float32]:
    """Score rows, float32 (len(rows), outputs) or (len(rows), bases, outputs), in their order.

    Parameters
    ----------
    batch : int
        Rows of a forward pass.
    both_strands : bool, optional
        The mean of both strands' logits; as the model learned where not given.
    option : str
        Which one to lower where memory runs out.

    Raises
    ------
    UsageError
        If memory runs out; with the largest batch that fits.
    """
    network = model.network
    out = np.zeros((len(rows), len(model.about["labels"]["names"])), np.float32)
    first = True
    was_training = network.training
    network.eval()
    try:
        with kept_heap(place.device):
            for at in reading.blocks(rows, batch):
                answers = logits_of_block(
                    model, reading, rows[at], place=place, both_strands=both_strands, option=option
                )
                if first and answers.ndim > out.ndim:
                    out = np.zeros((len(rows), *answers.shape[1:]), np.float32)
                first, out[at] = False, answers
    finally:
        network.train(was_training)
    return out


def logits_of_block(
    model: Finetuned,
    reading: Reading,
    here: Rows,
    *,
    place: Place,
    both_strands: bool | None,
    option: str = "--batch-size",
) -> NDArray[np.float32]:
    """Score one block of rows in one forward pass; the network is in evaluation mode. See
    `logits_of`.
    """
    network, device = model.network, place.device
    both = model.both_strands if both_strands is None else both_strands and not model.bases
    autocast: Autocast = nullcontext if model.bases else place.autocast

    def scored(n: int) -> Tensor:
        with torch.inference_mode():
            windows = reading.block(here[:n]).to(device)
            logits = logits_of_windows(network, windows, autocast)
            if both:
                turned = reading.block(here[:n], reverse=True).to(device)
                logits = (logits + logits_of_windows(network, turned, autocast)) / 2
            return logits.cpu()

    with batch_fits(
        len(here),
        scored,
        option=option,
        where="prediction",
        device=device,
        kind=UsageError,
    ):
        answers: NDArray[np.float32] = scored(len(here)).numpy()
    return answers


def rows_at_once(examples: Any) -> int:
    """Say of how many rows the answers are in memory at a time.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> rows_at_once(labelled(["ACGT"], [0]))
    65536
    """
    return max(1, PIECE // int(getattr(examples, "answers", 1)))


def said_of(labels: Labels, logits: NDArray[np.float32]) -> NDArray[Any]:
    """Give what is told to people, from logits."""
    said: NDArray[Any] = labels.probabilities(torch.from_numpy(logits)).numpy()
    return said


class ModelScorer:
    """A model as the function that tasks, controls and explanations are handed.

    Parameters
    ----------
    model : Finetuned
        On the place's device.
    place : Place
    batch : int
        Examples of a forward pass.
    both_strands : bool, optional
        As the model learned where not given.
    say : callable, optional
        Takes lines of progress, and on where the store lies.

    Attributes
    ----------
    about, reads
        See `tasks.contract.Scorer`.
    """

    def __init__(
        self,
        model: Finetuned,
        place: Place,
        *,
        batch: int = BATCH,
        both_strands: bool | None = None,
        say: Say | None = None,
    ) -> None:
        self.model, self.place, self.batch, self.both = model, place, batch, both_strands
        self.say = say
        self.about = model.about | {"path": str(model.path or ""), "read_notes": []}
        self.reads = reads_of(model.spec, self.about)

    def rows_of_a_pass(self, examples: Any) -> int:
        """Say how many rows a forward pass takes; fewer where each of them has many answers."""
        rows = min(self.batch, rows_at_once(examples))
        answers = int(getattr(examples, "answers", 1))
        if self.place.device.type == "cpu" and answers > 1:
            rows = min(rows, max(1, CACHED // answers))
        return rows

    def __call__(self, examples: Any, store: Any = None) -> Iterator[NDArray[Any]]:
        """Give probabilities block by block, in the examples' order."""
        reading = reading_of(self.model, examples, store, self.place.device, self.say)
        self.about["read_notes"] += [
            note for note in reading.notes if note not in self.about["read_notes"]
        ]
        began, told = time.monotonic(), 0.0
        piece = rows_at_once(examples)
        for first in range(0, len(examples), piece):
            rows = np.arange(first, min(first + piece, len(examples)))
            logits = logits_of(
                self.model,
                reading,
                rows,
                place=self.place,
                batch=self.rows_of_a_pass(examples),
                both_strands=self.both,
            )
            yield said_of(self.model.labels, logits)
            spent, done = time.monotonic() - began, first + len(rows)
            if self.say is not None and spent - told > 30 and done < len(examples):
                told = spent
                self.say(f"{done:,} of {len(examples):,}, {done / spent:,.0f} a second")


def open_scorer(
    model: str | Path | Finetuned,
    *,
    batch_size: int = BATCH,
    both_strands: bool | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    say: Say | None = None,
) -> ModelScorer:
    """Open a fine-tuned model on a device, ready to score.

    Raises
    ------
    CheckpointError, TrainingError
    """
    if batch_size < 1:
        raise UsageError("impossible value", where="--batch-size", found=batch_size, expected="1")
    machine = choose_place(device, precision)
    if say is not None:
        for line in machine.said:
            say(line)
    opened = model if isinstance(model, Finetuned) else load_finetuned(model)
    opened.network.to(machine.device)
    return ModelScorer(opened, machine, batch=batch_size, both_strands=both_strands, say=say)

"""What several objectives share: checks of what the model made, and of what it reads."""

from collections.abc import Iterator
from math import gcd
from typing import Any

from torch import Tensor

from epilm.errors import TrainingError
from epilm.objectives.objective import Misfit


def need(value: Tensor | None, objective: str, name: str) -> Tensor:
    """Return `value`, or say which objective misses which output.

    Raises
    ------
    TrainingError
        If `value` is None.
    """
    if value is None:
        raise TrainingError(
            f"objective {objective} is on, but the model (or the batch) gave no {name}",
            do=(
                f"Build the model with the stream and head that {objective} needs, or set"
                f" objectives.{objective}.weight to 0."
            ),
        )
    return value


def without_factors(objective: str, model: Any) -> Iterator[Misfit]:
    """Refuse a model that does not read the factor matrix."""
    if "factors" not in model.streams:
        yield Misfit(
            f"objectives.{objective}.weight",
            "the objective needs the factors stream",
            found=f"streams {list(model.streams)}",
            do="Add factors to model.streams, or set the weight to 0.",
        )


def idle_processes(
    samples: int, train: Any, what: str, whole: int | None = None
) -> Iterator[Misfit]:
    """Each process has a micro-batch of so many samples, or there are too many processes.

    Parameters
    ----------
    samples : int
        Dealt out at a time.
    train : TrainSpec
    what : str
        What they are, for the message.
    whole : int, optional
        What else is cut into whole micro-batches.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> train = SimpleNamespace(micro_batch=4, devices=3)
    >>> list(idle_processes(12, train, "micro-batches"))
    []
    >>> [(each.found, each.expected, each.do) for each in idle_processes(8, train, "micro-batches")]
    [(3, 'at most the 2 micro-batches', 'Set train.devices to 2, or train.micro_batch to 2.')]

    The last contrast of GeneBERT's paper, 80 beside whole ones of 128:

    >>> train = SimpleNamespace(micro_batch=16, devices=8)
    >>> next(idle_processes(80, train, "micro-batches", 128)).do
    'Set train.devices to 5, or train.micro_batch to 8.'
    """
    pieces = -(-samples // train.micro_batch)
    if train.devices <= pieces:
        return
    common = gcd(samples, whole or samples)
    fitting = [n for n in range(1, samples // train.devices + 1) if common % n == 0]
    smaller = f", or train.micro_batch to {fitting[-1]}" if fitting else ""
    yield Misfit(
        "train.devices",
        "a process would have nothing to do",
        found=train.devices,
        expected=f"at most the {pieces} {what}",
        do=f"Set train.devices to {pieces}{smaller}.",
    )

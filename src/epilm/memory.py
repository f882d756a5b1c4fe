"""Running out of memory, on a GPU or in the machine: find out, and name the batch that would have
fitted.

Needs torch only.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from epilm.errors import EpilmError, TrainingError


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory ran out, on a GPU or in the machine.

    Examples
    --------
    >>> (
    ...     is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")),
    ...     is_out_of_memory(RuntimeError("no")),
    ... )
    (True, False)
    """
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def first_line(error: BaseException) -> str:
    """What went wrong, short enough for a message.

    Examples
    --------
    >>> first_line(MemoryError()), first_line(RuntimeError("one\\ntwo"))
    ('MemoryError', 'one')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]


@contextmanager
def batch_fits(
    batch: int,
    again: Callable[[int], object],
    *,
    option: str,
    where: str,
    device: torch.device,
    kind: type[EpilmError] = TrainingError,
) -> Iterator[None]:
    """Turn running out of memory into a message that names the largest batch of which a trial fits.

    Parameters
    ----------
    batch : int
        Rows that are tried inside.
    again : function (rows)
        Does the same on the first rows, gradients included where there are any, and moves no
        weight.
    option : str
        What sets the batch, e.g. "--batch-size".
    where : str
        Epoch and step, or what is predicted.
    kind : type
        Of the error.

    Raises
    ------
    TrainingError
        Or `kind`.
    """
    try:
        yield
        return
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        first = first_line(error)
    # Outside of the handler: the error held the tensors of the step.
    fits = None
    for n in (batch >> shift for shift in range(1, batch.bit_length())):
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            again(n)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            continue
        fits = n
        break
    cure = (
        "Not even one row fits: take a smaller model."
        if fits is None
        else f"The largest that fitted in a trial is {fits}: set {option} to {fits}."
    )
    raise kind("out of memory", where=where, found=f"{batch} rows on {device} ({first})", do=cure)

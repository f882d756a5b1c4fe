"""How a step is computed, not what: kernels, packing, compilation, and what to say when memory runs
out.

What was asked for and does not work here ends the run with a cure, before the first step where that
can be known; nothing is swapped in silence. Needs torch only.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from epilm.batch import Batch
from epilm.device import Place, first_line, is_out_of_memory
from epilm.errors import TrainingError
from epilm.nn.attention import attention_backend
from epilm.nn.encoder import SequenceEncoder
from epilm.nn.norms import kernels_there, triton_there
from epilm.objectives.combine import combine
from epilm.objectives.table import OBJECTIVES, ObjectivesSpec
from epilm.training.fsdp import check_torch
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import TrainSpec

# Encoders as wide as this are compiled on CUDA: a program of narrow ones is not worth its making
# (half a minute).
WIDE = 512
MOST_PROGRAMS = 64  # more than a run has shapes: beyond it torch would go on uncompiled


def choose_compute(model: nn.Module, train: TrainSpec, device: torch.device) -> str:
    """Set every encoder to the recipe's kernel, packing and compilation; say which.

    Raises
    ------
    TrainingError
        If the kernel is not for this device, or what was asked to be compiled cannot be.
    """
    check_compute(model, train, device)
    kernels = attention_backend(str(device), train.attention)
    encoders = _encoders(model)
    wanted, said = _compiles(train, _widest(encoders), device)
    if wanted:
        # A program a shape: those with and without gradients, of whole and of last micro-batches,
        # of pairs.
        limit = "recompile_limit"
        setattr(
            torch._dynamo.config, limit, max(getattr(torch._dynamo.config, limit, 0), MOST_PROGRAMS)
        )
    for part in encoders:
        part.compute(train.attention, train.packing)
        if wanted:
            part.compile_blocks()
    norms = (
        ["norms fused"]
        if device.type == "cuda" and not wanted and kernels_there(device.index or 0)
        else []
    )
    return "; ".join([kernels.said, *norms, f"packing {train.packing}", f"compile {said}"])


def check_compute(model: nn.Module, train: TrainSpec, device: torch.device) -> None:
    """Refuse what a recipe asks of a device and cannot have there; the model is left as it is.

    Raises
    ------
    TrainingError
        As `choose_compute`, which asks this first.
    """
    attention_backend(str(device), train.attention)
    if train.strategy == "fsdp":
        check_torch()
    if _compiles(train, _widest(_encoders(model)), device)[0]:
        check_compiler(device)


def _encoders(model: nn.Module) -> list[SequenceEncoder]:
    return [part for part in model.modules() if isinstance(part, SequenceEncoder)]


def _widest(encoders: list[SequenceEncoder]) -> int:
    return max((part.hidden for part in encoders), default=0)


def _compiles(train: TrainSpec, hidden: int, device: torch.device) -> tuple[bool, str]:
    """Whether an encoder's blocks are compiled, and why."""
    if train.strategy == "fsdp":
        return False, "off (train.strategy fsdp)"
    if train.compile != "auto":
        return train.compile == "blocks", f"{train.compile} (train.compile)"
    if device.type != "cuda":
        return False, f"off ({device.type})"
    if kernels_there(device.index or 0):
        return False, "off (the fused kernels are faster)"
    if hidden < WIDE:
        return False, f"off (an encoder of width {hidden} is too narrow for it to pay)"
    if not triton_there():
        return False, "off (no triton here: pip install triton)"
    return True, "blocks"


def check_compiler(device: torch.device) -> None:
    """Compile and run a few operations, so that a compiler that is not there shows before the first
    step.

    Raises
    ------
    TrainingError
        Naming what failed.
    """

    def small(x: Tensor) -> Tensor:
        return (x.sin() * 2).sum()

    with compiled():
        x = torch.ones(8, device=device, requires_grad=True)
        torch.compile(small)(x).backward()


@contextmanager
def compiled() -> Iterator[None]:
    """Turn what a compiler raises into a message.

    Raises
    ------
    TrainingError
        In place of an error of dynamo or inductor.
    """
    try:
        yield
    except Exception as error:
        if not _is_compilers(error):
            raise
        raise TrainingError(
            "the model cannot be compiled here",
            where="train.compile",
            found=f"{type(error).__name__}: {first_line(error)}",
            do="Set train.compile to off; or install a C++ compiler (CPU), triton (CUDA).",
        ) from error


def _is_compilers(error: BaseException) -> bool:
    return any(
        kind.__module__.startswith(("torch._dynamo", "torch._inductor"))
        for kind in type(error).__mro__
    )


@contextmanager
def weights_fit() -> Iterator[None]:
    """Turn running out of memory while a model is built into a message: no batch is to blame.

    Raises
    ------
    TrainingError
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "out of memory while the model was built",
            found=first_line(error),
            do=(
                "The weights themselves do not fit, and no micro-batch helps: take a smaller"
                " --size, or lower model.encoder.hidden, ffn or layers."
            ),
        ) from None


def out_of_memory(
    error: BaseException,
    model: nn.Module,
    make: Callable[[np.ndarray, int], Batch],
    optimiser: Optimiser,
    rows: np.ndarray,
    *,
    step: int,
    objectives: ObjectivesSpec,
    micro: int,
    place: Place,
) -> TrainingError:
    """Find by trial which micro-batch would have fitted, and say it.

    Forward and backward pass of ever smaller divisors of the micro-batch, with room for the
    optimiser's state; weights are not moved. Divisors, so that batch and contrast stay whole
    micro-batches.

    Returns
    -------
    TrainingError
        To be raised.
    """
    fits: int | None = None
    for n in (n for n in range(micro // 2, 0, -1) if micro % n == 0):
        if _fits(model, make, optimiser, rows[:n], step, objectives, place):
            fits = n
            break
    keep = "" if _checkpoints(model) else " Or set model.encoder.checkpoint_activations to true."
    if fits is None:
        cure = f"Not even one sample fits: take a smaller size, or lower model.max_tokens.{keep}"
    else:
        cure = (
            f"The largest micro-batch that fitted in a trial is {fits}: set train.micro_batch to"
            f" {fits}; train.batch_size, and so what is learned, stays as it is, and a run that has"
            f" begun goes on with it.{keep}"
        )
    return TrainingError(
        "out of memory",
        where=f"step {step}",
        found=f"micro-batch {micro} on {place.device} ({first_line(error)})",
        do=cure,
    )


def _checkpoints(model: nn.Module) -> bool:
    return any(part.checkpoint_activations for part in _encoders(model))


def _fits(
    model: nn.Module,
    make: Callable[[np.ndarray, int], Batch],
    optimiser: Optimiser,
    rows: np.ndarray,
    step: int,
    objectives: ObjectivesSpec,
    place: Place,
) -> bool:
    optimiser.zero_grad()
    gc.collect()
    if place.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        moments = (
            []
            if optimiser.tensors()
            else [torch.empty_like(w) for w in optimiser.weights for _ in range(2)]
        )
        batch = make(rows, step)
        with place.autocast():
            # One sample alone has nothing to be contrasted with.
            alone = [name for name, part in OBJECTIVES.items() if part.contrasts]
            skip = alone if len(rows) < 2 else []
            total, _ = combine(model(batch), batch, objectives, skip=skip)
        total.backward()
        del moments
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        optimiser.zero_grad()
    return True

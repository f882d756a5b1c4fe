"""Where it computes, in which number format, and what to do when its memory runs out.

A device that was asked for and is not there is an error, not a slow run on
another one; a GPU that lies idle is said. bf16 is taken only where the chip has it.
Needs torch only.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from epilm.errors import EpilmError, TrainingError

Precision = Literal["auto", "fp32", "bf16"]


class Place(NamedTuple):
    """A device, a number format, and what the user should know about the choice."""

    device: torch.device
    bf16: bool
    said: tuple[str, ...]

    def autocast(self) -> AbstractContextManager[object]:
        """Open the forward pass's number format."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()


def choose_device(name: str = "auto", devices: int = 1) -> torch.device:
    """Turn a wish into a device that is there.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        `auto` takes a GPU where there is one.
    devices : int
        How many of them the run wants.

    Raises
    ------
    TrainingError
        If the device, or so many of it, are not there.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there.get(name, False):
        raise TrainingError(
            f"the run asks for {name}, which is not here",
            where="train.device",
            found=name,
            expected=", ".join(kind for kind, yes in there.items() if yes),
            do="Install a torch build for it, or pass --device auto.",
        )
    if name == "cuda" and devices > torch.cuda.device_count():
        raise TrainingError(
            "the run asks for more GPUs than there are",
            where="train.devices",
            found=devices,
            expected=f"at most {torch.cuda.device_count()}",
        )
    if name == "mps" and devices > 1:
        raise TrainingError(
            "there is one mps device", where="train.devices", found=devices, expected=1
        )
    return torch.device(name)


def choose_place(name: str = "auto", precision: Precision = "auto", devices: int = 1) -> Place:
    """Choose device and number format together, with a line on each choice.

    Raises
    ------
    TrainingError
        If the device is not there.

    Examples
    --------
    >>> place = choose_place("cpu", "fp32")
    >>> place.device.type, place.bf16
    ('cpu', False)
    """
    device = choose_device(name, devices)
    said = []
    if device.type == "cuda":
        label, able = (
            torch.cuda.get_device_name(),
            torch.cuda.is_bf16_supported(including_emulation=False),
        )
        reason = "the GPU has it" if able else "the GPU has no bf16"
    elif device.type == "cpu":
        instructions = cpu_bf16()
        label, able = f"cpu, {torch.get_num_threads()} threads", instructions is not None
        reason = (
            f"the processor has {instructions}"
            if instructions
            else "the processor has no bf16 instructions"
        )
    else:
        label, able, reason = device.type, False, "not used on this device"
    if precision == "auto":
        bf16 = able
        said.append(f"device {label}; precision {'bf16' if bf16 else 'fp32'} ({reason})")
    else:
        bf16 = precision == "bf16"
        slow = f" ({reason}: slower than fp32)" if bf16 and not able else ""
        said.append(f"device {label}; precision {precision}{slow}")
    if device.type != "cuda" and torch.cuda.is_available():
        said.append(
            f"{torch.cuda.device_count()} GPU here, not used: the run asks for {device.type}"
        )
    elif device.type == "cuda" and devices < torch.cuda.device_count():
        said.append(f"{torch.cuda.device_count()} GPUs here, {devices} used: train.devices says so")
    return Place(device, bf16, tuple(said))


def found_device(name: "torch.device | str") -> torch.device:
    """Give a device by its name; "auto" is a GPU where there is one.

    Raises
    ------
    EpilmError
        If it is not here.

    Examples
    --------
    >>> found_device("cpu")
    device(type='cpu')
    >>> found_device("abacus")
    Traceback (most recent call last):
    ...
    epilm.errors.EpilmError: the device is not here. Found abacus; expected cpu, cuda or mps, where
        torch has it. Pass auto, or cpu.
    """
    if str(name) == "auto":
        gpus = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        name = next((kind for kind, there in gpus.items() if there), "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        raise EpilmError(
            "the device is not here",
            found=name,
            expected="cpu, cuda or mps, where torch has it",
            do="Pass auto, or cpu.",
        ) from None


def to_device(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Give numbers of the host as a tensor on a device, without waiting for what a GPU still has to
    do.

    Parameters
    ----------
    values : Tensor, array or list
    device : torch.device
    dtype : torch.dtype, optional
        That of the values where not given.

    Examples
    --------
    >>> to_device([1, 2], torch.device("cpu"), torch.int32)
    tensor([1, 2], dtype=torch.int32)
    """
    tensor = torch.as_tensor(values, dtype=dtype)
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    # Only from pinned memory is a copy queued behind the device's work; else the host waits for all
    # of it.
    return tensor.pin_memory().to(device, non_blocking=True)


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Read the instructions that /proc/cpuinfo lists, and the vendor's name; empty where there is
    no such file.

    Examples
    --------
    >>> "amx_bf16" in cpu_flags() or cpu_bf16() != "amx_bf16"
    True
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()  # not Linux
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        word
        for key, _, words in lines
        if key.strip() in ("flags", "vendor_id")
        for word in words.split()
    )


@lru_cache(maxsize=1)
def cpu_bf16() -> str | None:
    """Name the processor's bf16 instructions, or None where it has none.

    Without them bf16 is emulated, slower than fp32.
    """
    return next((flag for flag in ("amx_bf16", "avx512_bf16") if flag in cpu_flags()), None)


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

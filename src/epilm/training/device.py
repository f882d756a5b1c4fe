"""Where a run computes and in which number format: asked for, checked, and said.

A device that was asked for and is not there is an error, not a slow run on
another one; a GPU that lies idle is said. bf16 is taken only where the chip has it.
Needs torch only.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch

from epilm.errors import TrainingError
from epilm.nn.processor import cpu_bf16

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
        found = cpu_bf16()
        label, able = f"cpu, {torch.get_num_threads()} threads", found is not None
        reason = f"the processor has {found}" if found else "the processor has no bf16 instructions"
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

"""The state of a run on disk: everything the next step depends on, whole or absent, never a pickle.

`RUN/checkpoints/step_00000120/` holds weights, optimiser state and generator states
as safetensors, and `state.json`: 120 optimiser steps are done. Row order, masks and
learning rate are functions of the step and need no saving. Every file has its checksums: a state
that is not as it was written is passed over, said, and the one before it taken.
Needs torch and safetensors.
"""

import os
import re
import shutil
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epilm.atomic import atomic_folder, read_checked, write_json
from epilm.errors import CheckpointError, DamagedError
from epilm.tensor_files import bytes_of, load_tensors, save_tensors
from epilm.training.fsdp import part_of
from epilm.training.optim import Optimiser

FORMAT = 1
STATE = "state.json"
PARTS = ("model", "optimiser", "generators")
AVERAGES = "averages"  # beside them where weights are averaged
_NAME = re.compile(r"step_(\d+)")


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Name every weight and saved buffer once, also those with two names (tied)."""
    out: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor) and id(value) not in seen:
            seen.add(id(value))
            out[name] = value.detach()
    return out


def copied(model: nn.Module) -> dict[str, Tensor]:
    """Weights and saved buffers as they are now, on the CPU, for `put_back`."""
    return {name: tensor.to("cpu", copy=True) for name, tensor in model_tensors(model).items()}


def put_back(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a model the weights and buffers that it had."""
    with torch.no_grad():
        for name, value in model_tensors(model).items():
            value.copy_(tensors[name])


def load_model_tensors(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy weights into a model that has the same names and shapes.

    Raises
    ------
    CheckpointError
        If a name or a shape differs.
    """
    mine = model_tensors(model)
    missing, extra = sorted(set(mine) - set(tensors)), sorted(set(tensors) - set(mine))
    if missing or extra:
        raise CheckpointError(
            "the weights are of another model",
            where=where,
            found=f"{len(missing)} missing {missing[:3]}, {len(extra)} unknown {extra[:3]}",
        )
    with torch.no_grad():
        for name, value in mine.items():
            if tensors[name].shape != value.shape:
                raise CheckpointError(
                    "a weight has another shape",
                    where=f"{where}, {name}",
                    found=tuple(tensors[name].shape),
                    expected=tuple(value.shape),
                )
            value.copy_(part_of(tensors[name], value))


def _generators(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def save_state(
    root: Path,
    step: int,
    model: nn.Module,
    optimiser: Optimiser,
    extra: Mapping[str, Any],
    keep: int,
    beside: Mapping[str, Any] | None = None,
    spare: Container[int] = (),
    gathered: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None = None,
    averages: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write the state after `step` steps, then remove all but the newest `keep`.

    States of later steps go too: the run went back before them, because they are damaged.

    Parameters
    ----------
    root : path
        The folder of checkpoints.
    step : int
        Optimiser steps done.
    extra : mapping
        JSON values to keep beside (fingerprints, figures).
    keep : int
        States to keep, this one included.
    beside : mapping, optional
        File name to JSON value: what makes the folder readable to others (`spec.json` of a
        checkpoint).
    spare : container of int
        Steps whose states stay, however old.
    gathered : tuple of mapping, optional
        Weights and optimiser's tensors, where those of `model` are cut up over processes
        (`fsdp.whole`).
    averages : mapping, optional
        Of the weights (`averages.AveragedWeights`).

    Returns
    -------
    Path
        The folder written.

    Raises
    ------
    EpilmError
        If the disk is full (with how much the state takes), or nothing can be written there.
    """
    folder = root / f"step_{step:08d}"
    device = next(model.parameters()).device
    weights, moments = gathered or (model_tensors(model), optimiser.tensors())
    parts = dict(zip(PARTS, (weights, moments, _generators(device)), strict=True))
    if averages is not None:
        parts[AVERAGES] = averages
    wants = sum(bytes_of(tensors.values()) for tensors in parts.values())
    with atomic_folder(folder, overwrite=True, wants=wants) as new:
        for name, tensors in parts.items():
            save_tensors(new / f"{name}.safetensors", tensors)
        for name, value in (beside or {}).items():
            write_json(new / name, value, checked=True)
        sizes = {path.name: path.stat().st_size for path in sorted(new.iterdir())}
        write_json(
            new / STATE,
            {"format": FORMAT, "step": step, "files": sizes, "extra": dict(extra)},
            checked=True,
        )
        for path in new.iterdir():  # on the disk before the rename says it is there
            with open(path, "rb") as handle:
                os.fsync(handle.fileno())
    for path in _folders(root):
        if step_of(path) > step:
            _remove(path)
    for old in states(root)[:-keep]:
        if step_of(old) not in spare:
            _remove(old)
    return folder


def _remove(folder: Path) -> None:
    """Remove a state; killed meanwhile, what is left of it has no state's name, and goes at the
    next start (`clean_leftovers`).
    """
    gone = folder.with_name(f".{folder.name}.gone")
    os.replace(folder, gone)
    shutil.rmtree(gone)


def states(root: Path) -> list[Path]:
    """List the complete states, oldest first; what is in their files is not looked at.

    One that lacks a file, or has one cut short, is not complete and not listed.
    """
    return [path for path in _folders(root) if _incomplete(path) is None]


def _folders(root: Path) -> list[Path]:
    """Everything that bears the name of a state, oldest first."""
    named = (
        [path for path in root.glob("step_*") if _NAME.fullmatch(path.name)]
        if root.is_dir()
        else []
    )
    return sorted(named, key=step_of)


def _incomplete(folder: Path) -> DamagedError | None:
    """Say what a state lacks; None where its files are there, at their full length."""
    try:
        sizes = read_checked(folder / STATE)["files"]
        short = [name for name, n in sizes.items() if (folder / name).stat().st_size != n]
    except DamagedError as error:
        return error
    except (OSError, ValueError, KeyError) as error:
        return DamagedError("the state cannot be read", where=str(folder), found=error)
    if short:
        return DamagedError("a file of the state is cut short", where=str(folder / short[0]))
    return None


def damage_of(folder: Path) -> DamagedError | None:
    """Say what is damaged in a state, by sizes and checksums; None where it is as it was written.

    Every file is read once. A state of an older epilm has no checksums: what can be read is
    taken for whole.
    """
    if (damage := _incomplete(folder)) is not None:
        return damage
    try:
        _read(folder)
        for path in sorted(folder.glob("*.json")):
            read_checked(path)
    except DamagedError as error:
        return error
    except ValueError as error:
        return DamagedError("not JSON", where=str(path), found=error)
    return None


def newest_intact(root: Path) -> tuple[Path | None, list[str]]:
    """Find the newest state that is as it was written.

    Returns
    -------
    folder : Path or None
        None where no state was ever saved there.
    said : list of str
        What is to be said to the user: one line a newer state that is damaged.

    Raises
    ------
    DamagedError
        If there are states and none is intact: to begin anew would lose the run unasked.
    """
    damaged: list[DamagedError] = []
    for folder in reversed(_folders(root)):
        if (damage := damage_of(folder)) is None:
            said = [f"warning: passed over a damaged state. {error}" for error in damaged]
            return folder, said
        damaged.append(damage)
    if damaged:
        raise DamagedError(
            "no state of the run is intact",
            where=str(root),
            found=f"{len(damaged)} damaged, the newest: {damaged[0]}",
            do="Copy one again from where it is whole, or remove this folder to begin anew.",
        )
    return None, []


def step_of(folder: Path) -> int:
    """Read the number of steps done from a state's name.

    Examples
    --------
    >>> step_of(Path("run/checkpoints/step_00000120"))
    120
    """
    match = _NAME.fullmatch(folder.name)
    assert match is not None
    return int(match[1])


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read a state's table and tensors, and look at their checksums.

    Raises
    ------
    DamagedError
    """
    try:
        table = read_checked(folder / STATE)
    except (OSError, ValueError) as error:
        raise DamagedError(
            "the state cannot be read",
            where=str(folder),
            found=error,
            do="Remove this folder; the run goes on from the state before it.",
        ) from None
    names = [*PARTS, *([AVERAGES] if f"{AVERAGES}.safetensors" in table["files"] else [])]
    return table, {name: load_tensors(folder / f"{name}.safetensors") for name in names}


def load_averages(folder: Path) -> dict[str, Tensor]:
    """Read the averages of the weights of a state that has them (`save_state`)."""
    return load_tensors(folder / f"{AVERAGES}.safetensors")


def load_state(folder: Path, model: nn.Module, optimiser: Optimiser) -> dict[str, Any]:
    """Restore weights, optimiser and generators; return the JSON values kept beside.

    Raises
    ------
    CheckpointError
        If it is of another model.
    DamagedError
        If a file is not as it was written; nothing is restored then.
    """
    table, parts = _read(folder)
    if table.get("format") != FORMAT:
        raise CheckpointError(
            "unknown format", where=str(folder), found=table.get("format"), expected=FORMAT
        )
    load_model_tensors(model, parts["model"], str(folder))
    optimiser.load(parts["optimiser"], str(folder))
    torch.set_rng_state(parts["generators"]["cpu"])
    device = next(model.parameters()).device
    if device.type == "cuda" and "cuda" in parts["generators"]:
        torch.cuda.set_rng_state(parts["generators"]["cuda"], device)
    return table["extra"]


def clean_leftovers(root: Path) -> int:
    """Remove what a killed process left half-written; return how many there were."""
    if not root.is_dir():
        return 0
    left = [path for path in root.iterdir() if path.name.startswith(".step_")]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)

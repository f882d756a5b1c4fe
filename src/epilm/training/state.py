"""The state of a run on disk: everything the next step depends on, whole or absent, never a pickle.

`RUN/checkpoints/step_00000120/` holds weights, optimiser state and generator states
as safetensors, and `state.json`: 120 optimiser steps are done. Row order, masks and
learning rate are functions of the step and need no saving. Needs torch and safetensors.
"""

import json
import os
import re
import shutil
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from epilm.atomic import atomic_folder, write_json
from epilm.errors import CheckpointError
from epilm.training.optim import Optimiser

FORMAT = 1
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
            value.copy_(tensors[name])


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
) -> Path:
    """Write the state after `step` steps, then remove all but the newest `keep`.

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

    Returns
    -------
    Path
        The folder written.
    """
    folder = root / f"step_{step:08d}"
    device = next(model.parameters()).device
    with atomic_folder(folder, overwrite=True) as new:
        for name, tensors in (
            ("model", model_tensors(model)),
            ("optimiser", optimiser.tensors()),
            ("generators", _generators(device)),
        ):
            save_file(
                {key: t.detach().cpu().contiguous() for key, t in tensors.items()},
                new / f"{name}.safetensors",
            )
        for name, value in (beside or {}).items():
            write_json(new / name, value)
        sizes = {path.name: path.stat().st_size for path in sorted(new.iterdir())}
        write_json(
            new / "state.json",
            {"format": FORMAT, "step": step, "files": sizes, "extra": dict(extra)},
        )
        for path in new.iterdir():  # on the disk before the rename says it is there
            with open(path, "rb") as handle:
                os.fsync(handle.fileno())
    for old in states(root)[:-keep]:
        if step_of(old) not in spare:
            shutil.rmtree(old)
    return folder


def states(root: Path) -> list[Path]:
    """List the complete states, oldest first.

    One that lacks a file, or has one cut short, is not complete and not listed.
    """
    found = (
        [path for path in root.glob("step_*") if _NAME.fullmatch(path.name)]
        if root.is_dir()
        else []
    )
    return sorted((path for path in found if _complete(path)), key=lambda path: step_of(path))


def _complete(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / "state.json").read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


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


def load_state(folder: Path, model: nn.Module, optimiser: Optimiser) -> dict[str, Any]:
    """Restore weights, optimiser and generators; return the JSON values kept beside.

    Raises
    ------
    CheckpointError
        If a file is damaged, or of another model.
    """
    try:
        table = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        parts = {
            name: load_file(folder / f"{name}.safetensors")
            for name in ("model", "optimiser", "generators")
        }
    except Exception as error:  # safetensors has an exception class of its own
        raise CheckpointError(
            "the state cannot be read",
            where=str(folder),
            found=error,
            do="Remove this folder; the run goes on from the state before it.",
        ) from None
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

"""An adapter on disk: what was learned beside a base that lies elsewhere, and the head with it.

A model folder as any other, but `model.safetensors` holds the pairs of LoRA, the head, and what the
adapted encoder said of fixed tokens. `spec.json` says where the base is and what its weights were.
It is opened whole: base, pairs added, head; a base that is gone or has changed is refused, and so
is a sum that does not say what the adapted encoder said.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epilm.device import found_device
from epilm.errors import CheckpointError
from epilm.hub.checkpoint import WEIGHTS, load_weights, read_spec, save_model, unique_tensors
from epilm.models.lora import (
    LoraPair,
    check_probe,
    merge,
    pair_tensors,
    pairs_of,
    probe,
    trunk_name,
)
from epilm.models.model_spec import ModelSpec
from epilm.models.networks import build_network
from epilm.nn.encoder import enlarge_positions
from epilm.tensor_files import digest_of, load_tensors

PROBE = "adapted.probe"  # beside names of weights, none of which begins so


def base_digest(network: nn.Module) -> str:
    """Give the SHA-256 of a network's trunk, before it is adapted."""
    return digest_of(unique_tensors(_trunk(network)).values())


def base_at(path: str | Path, network: nn.Module) -> dict[str, Any]:
    """Say where a base is and what it is; JSON values."""
    return {
        "path": str(path),
        "absolute": str(Path(path).resolve()),
        "sha256": base_digest(network),
    }


def save_adapter(
    folder: str | Path,
    network: nn.Module,
    spec: ModelSpec,
    extra: Mapping[str, Any],
    pairs: Mapping[str, LoraPair],
    *,
    overwrite: bool = False,
) -> Path:
    """Write pairs and head of a network, whole or not at all.

    Parameters
    ----------
    network : nn.Module
        With the pairs added to its matrices.
    extra : mapping
        As `save_model` takes it; its task has an "adapter" with its base (`base_at`), rank and
        alpha.
    pairs : mapping
        By the name of their layer.
    """
    task = dict(extra["task"])
    base = dict(task["adapter"]["base"])
    # Run and base may be moved together.
    base["relative"] = os.path.relpath(base["absolute"], Path(folder).resolve())
    task["adapter"] = task["adapter"] | {"base": base}
    tensors = {**_beside_trunk(network), **pair_tensors(pairs), PROBE: probe(network)}
    kept = {**extra, "task": task}
    return save_model(folder, network, spec, kept, overwrite=overwrite, tensors=tensors)


def open_adapter(
    folder: str | Path, open_base: Callable[[Path], Any], device: str | torch.device = "cpu"
) -> tuple[nn.Module, ModelSpec, dict[str, Any]]:
    """Open the whole model: base, pairs added to it, head.

    Parameters
    ----------
    folder : path
        What `save_adapter` wrote.
    open_base : function (path) -> Loaded
        `hub.load.load`.

    Returns
    -------
    network, spec, extra
        In evaluation mode. Written again it is an ordinary model: the adapter of its task has
        become what was "merged".

    Raises
    ------
    CheckpointError
        If the base is gone or has changed, or the sum does not say what it said when it was saved.
    DamagedError
        If a file is not as it was written.
    """
    folder, target = Path(folder), found_device(device)
    spec, extra = read_spec(folder)
    tensors = load_tensors(folder / WEIGHTS)
    task = dict(extra["task"])
    kept = task.pop("adapter")
    path = _find_base(kept["base"], folder)
    base = open_base(path)
    tile_positions(base.model, base.spec)
    if spec.encoder.max_positions > base.model.encoder.max_positions:  # --longer positions
        base.model.encoder.enlarge(spec.encoder.max_positions, "tile")
    network = build_network(base.model, task)
    if (now := base_digest(network)) != kept["base"]["sha256"]:
        raise CheckpointError(
            "the base of the adapter has changed",
            where=f"{folder}, base {path}",
            found=f"weights of SHA-256 {now[:12]}...",
            expected=f"{kept['base']['sha256'][:12]}..., on which the adapter was learned",
            do="Put those weights back, or fine-tune once more.",
        )
    pairs, said = pairs_of(tensors), tensors.pop(PROBE)
    merge(network, pairs, kept["alpha"] / kept["rank"])
    for name in pair_tensors(pairs):
        del tensors[name]
    beneath = f"{trunk_name(network)}."
    whole = {n: t for n, t in unique_tensors(network).items() if n.startswith(beneath)} | tensors
    load_weights(network, whole, str(folder / WEIGHTS))
    network.eval()
    check_probe(probe(network), said, str(folder))
    task["merged"] = kept
    return network.to(target), spec, extra | {"task": task}


def tile_positions(model: Any, spec: ModelSpec) -> list[str]:
    """Fill the rows of the position table that pre-training never used, from those it did (A1).

    Parameters
    ----------
    model : GeneBERT or EBERT
        Changed in place.

    Returns
    -------
    list of str
        A line where rows were filled.
    """
    trained, table = spec.max_tokens, model.encoder.positions.weight
    if trained >= len(table):
        return []
    with torch.no_grad():
        # Tiled whatever the spec says: stretching 60 rows to 512 would move the positions that were
        # learned.
        table.copy_(enlarge_positions(table[:trained], len(table), "tile"))
    return [f"pre-training used {trained} of {len(table)} positions: the others repeat them"]


def _find_base(base: Mapping[str, Any], folder: Path) -> Path:
    """Where the base is: as it was named, where it was, or where it was from the run."""
    named = [Path(base["path"]), Path(base["absolute"]), folder.resolve() / base["relative"]]
    for path in named:
        if path.exists():
            return path
    raise CheckpointError(
        "the base of the adapter is not there",
        where=str(folder),
        found=f"nothing at {base['path']} or {base['absolute']}",
        do=(
            "Put it back, or move run and base together. Where the base is, epilm export RUN OUT"
            " --to epilm writes the whole model."
        ),
    )


def _trunk(network: nn.Module) -> nn.Module:
    return network.get_submodule(trunk_name(network))


def _beside_trunk(network: nn.Module) -> dict[str, Tensor]:
    """The head, and whatever else is no part of the trunk."""
    beneath = f"{trunk_name(network)}."
    return {n: t for n, t in unique_tensors(network).items() if not n.startswith(beneath)}

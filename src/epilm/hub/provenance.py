"""What the weights of a checkpoint have read before: its memory, for the leak reports of
evaluations (protocols A21).

A run of pre-training keeps its store's chromosomes and cell types and what it held out. One that
began with the weights of another keeps that one's memory as well: what was held out of the second
alone was read by the first.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from epilm.hub.checkpoint import read_spec
from epilm.hub.load import find_checkpoint, is_bert_folder
from epilm.shards import digest

KEPT = (
    "holdout_chroms",
    "holdout_cells",
    "chroms",
    "cell_types",
    "before",
    "store",
    "assembly",
    "chrom_sizes",
    "state_names",
    "state_bin",
)

# Of a recipe: which of its pre-trainings it is, where it was computed, and what was written down.
_NOT_ALIKE = (
    *("seed", "device", "devices", "strategy"),
    *("checkpoint_every", "keep_checkpoints", "log_every"),
)


def _is_apart(folder: Path) -> bool:
    """Whether a folder of a run is not the model that the run ended with."""
    return folder.name == "best" or any(name.startswith("step_") for name in folder.parts[-2:])


def made_by(extra: Mapping[str, Any], path: str | Path | None = None) -> dict[str, Any]:
    """Say by which recipe weights were pre-trained, and which of its pre-trainings they are.

    Parameters
    ----------
    extra : mapping
        What a checkpoint keeps.
    path : path, optional
        Where it lies: a run's model is not alike its best one or one of its steps.

    Returns
    -------
    dict
        `recipe`, its name; `alike`, the same for pre-trainings of one recipe on one store whatever
        their seed; `seed`. Empty where weights were not pre-trained here.

    Examples
    --------
    >>> one, two = ({"name": "lab", "train": {"steps": 9, "seed": seed}} for seed in (1, 2))
    >>> made_by({"recipe": one})["alike"] == made_by({"recipe": two})["alike"]
    True
    >>> made_by({"recipe": two})["seed"], made_by({"task": {"task": "tfbs"}})
    (2, {})
    """
    recipe = extra.get("recipe")
    if not recipe or "task" in extra:
        return {}
    train = dict(recipe.get("train", {}))
    same = {key: value for key, value in train.items() if key not in _NOT_ALIKE}
    folder = None if path is None else find_checkpoint(path)
    what = [{**recipe, "train": same, "notes": ""}, extra.get("store")]
    if folder is not None and _is_apart(folder):
        what += [name for name in folder.parts[-2:] if name.startswith(("best", "step_"))]
    alike = digest([json.dumps(what, sort_keys=True, default=str).encode()])
    return {"recipe": str(recipe.get("name", "")), "alike": alike, "seed": train.get("seed")}


def memory(extra: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Take the memory out of what a checkpoint keeps; of weights from elsewhere nothing is known.

    Examples
    --------
    >>> memory({"holdout_chroms": ["chr8"], "metrics": {"steps": 9}}, "runs/a")
    {'checkpoint': 'runs/a', 'holdout_chroms': ['chr8']}
    >>> memory({}, "DNABERT")
    {'checkpoint': 'DNABERT', 'unknown': True}
    """
    kept = {key: extra[key] for key in KEPT if key in extra}
    if "holdout_chroms" not in kept:
        before = {"before": kept["before"]} if "before" in kept else {}
        return {"checkpoint": name, "unknown": True} | before
    return {"checkpoint": name} | kept


def memory_of(path: str | Path) -> list[dict[str, Any]]:
    """Give the memories of weights that a new run starts from, the oldest first.

    Parameters
    ----------
    path : path
        A run, a checkpoint, or weights of another program.
    """
    path = Path(path)
    known = path.exists() and not is_bert_folder(path)
    own = memory(read_spec(find_checkpoint(path))[1] if known else {}, path.name)
    return [*own.pop("before", ()), own]


def memories(pretraining: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the memories of a pre-training and of the weights it began with, the oldest first."""
    return [*pretraining.get("before", ()), pretraining]


def unknown_starts(pretraining: Mapping[str, Any]) -> list[str]:
    """Name the weights that a pre-training began with and of which nothing is known."""
    return [str(memory["checkpoint"]) for memory in memories(pretraining) if memory.get("unknown")]


def held_out(pretraining: Mapping[str, Any], what: str = "chroms") -> list[str]:
    """Give the chromosomes (or "cells") that no pre-training has read though they were there, in
    the last one's order.

    Examples
    --------
    >>> held_out({"holdout_chroms": ["chr8", "chr9"], "before": [{"holdout_chroms": ["chr9"]}]})
    ['chr9']
    """
    sets = [
        set(m.get(f"holdout_{what}") or ()) for m in memories(pretraining) if not m.get("unknown")
    ]
    return [
        name
        for name in pretraining.get(f"holdout_{what}") or ()
        if all(name in names for names in sets)
    ]


def chroms_seen(pretraining: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Choose the chromosomes that a pre-training, or one that it began with, has read.

    A memory without chromosomes (of an older version) counts as having had all of them.

    Examples
    --------
    >>> second = {
    ...     "holdout_chroms": ["chr2"],
    ...     "chroms": ["chr1", "chr2"],
    ...     "before": [{"holdout_chroms": ["chr1"]}],
    ... }
    >>> chroms_seen(second, ["chr1", "chr2", "chr3"])
    ['chr1', 'chr2', 'chr3']
    >>> chroms_seen(
    ...     {"holdout_chroms": ["chr2"], "chroms": ["chr1", "chr2"]}, ["chr1", "chr2", "chr3"]
    ... )
    ['chr1']
    """
    known = [m for m in memories(pretraining) if not m.get("unknown")]

    def read(memory: Mapping[str, Any], name: str) -> bool:
        there = memory.get("chroms") is None or name in memory["chroms"]
        return there and name not in (memory.get("holdout_chroms") or ())

    return [name for name in names if any(read(memory, name) for memory in known)]


def cell_seen(pretraining: Mapping[str, Any], cells: Iterable[str]) -> bool:
    """Say whether a pre-training, or one that it began with, has read the states of one of these
    cell types.

    Examples
    --------
    >>> cell_seen({"cell_types": ["K562", "HepG2"], "holdout_cells": ["HepG2"]}, ["HepG2"])
    False
    """
    return any(
        cell in (memory.get("cell_types") or ()) and cell not in (memory.get("holdout_cells") or ())
        for memory in memories(pretraining)
        if "state_names" in memory or memory is pretraining
        for cell in cells
    )

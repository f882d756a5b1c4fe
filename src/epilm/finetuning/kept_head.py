"""Going on with a fine-tuned model, head and all: `--head kept`.

What was learned from many labels answers from the first step, and what is read beside it now, as
accessibility that was measured on a part of the genome alone, begins at nothing. Needs torch alone.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned, about_at, load_finetuned
from epilm.models.networks import find_head
from epilm.tasks.lesson import TaskLesson

KEPT = "kept"
_TRUNK = ("trunk.", "encoder.")  # weights of a network that are not the head's
_FREE = frozenset({"dropout", "shortcut", "means", "middle"})  # of a head: what no weight hangs on
_SCALE = ("mean", "sd")  # of numbers: what an answer is told in


def kept_options(
    checkpoint: str | Path, init: str, given: Any, named: Mapping[str, Any]
) -> tuple[Any, dict[str, Any], str]:
    """Fill in what a kept head was made with, where it is not said.

    Parameters
    ----------
    checkpoint, init
        As `finetune` takes them.
    given : dataclass
        The task's options. A value that differs from the default was said.
    named : mapping
        Options said by name.

    Returns
    -------
    options, chosen, head
        `chosen` is what was filled in, `head` the name of the head.

    Raises
    ------
    UsageError
        If there is no head to keep.
    """
    kept = _taught_at(checkpoint, init)
    head, chosen = dict(kept["head"]), dict[str, Any]()
    made = (set(find_head(str(head["name"])).options) - _FREE) | {"window_bp"}
    for each in fields(given):
        at = getattr(given, each.name)
        value = kept["settings"].get(each.name)
        value = tuple(value) if isinstance(value, list) else value
        said = each.name in named or at != each.default
        if each.name in made and value is not None and value != at and not said:
            chosen[each.name] = value
    return replace(given, **chosen), chosen, str(head["name"])


def taught_with(
    checkpoint: str | Path, init: str, lesson: TaskLesson, about: dict[str, Any]
) -> Finetuned:
    """Open the fine-tuned model whose head is to be kept.

    Parameters
    ----------
    checkpoint, init
        As `finetune` takes them.
    lesson : TaskLesson
    about : dict
        What the new model remembers so far, with its signals.

    Raises
    ------
    UsageError
        If there is no head to keep, or one that answers or reads something else.
    """
    kept, asked = _taught_at(checkpoint, init), lesson.labels.described()
    for key, word in (("kind", "labels"), ("names", "outputs"), *((s, s) for s in _SCALE)):
        if kept["labels"].get(key) != asked.get(key):
            same = "Name the same outputs in the same order."
            raise UsageError(
                f"the head of {checkpoint} answers something else",
                where="--head kept",
                found=f"{word} {_short(asked.get(key))}",
                expected=_short(kept["labels"].get(key)),
                do=same if key == "names" else "Leave --head out for a new head.",
            )
    if kept["signals"] and kept["signals"] != about["signals"]:
        raise UsageError(
            f"the head of {checkpoint} reads other signals",
            where="--head kept",
            found=_named(about["signals"]),
            expected=_named(kept["signals"]),
            do="Give the same --signals; only a model without any can go on with some.",
        )
    return load_finetuned(checkpoint)


def _taught_at(checkpoint: str | Path, init: str) -> dict[str, Any]:
    """What a fine-tuned run with a head to keep remembers.

    Raises
    ------
    UsageError
        If it is none.
    """
    kept = about_at(checkpoint) if Path(checkpoint).is_dir() and init == "checkpoint" else None
    if kept is None or kept.get("kind") != "trunk" or kept.get("members"):
        raise UsageError(
            "there is no head to keep",
            where="--head kept",
            found=f"--checkpoint {checkpoint}" + f", --init {init}" * (init != "checkpoint"),
            expected="a run of epilm finetune: one model, with a trunk that was pre-trained or not",
            do="Give such a run, or leave --head out for a new one.",
        )
    return kept


def keep_head(network: nn.Module, about: dict[str, Any], taught: Finetuned) -> str:
    """Give a new network the head of a taught one; what reads new signals begins at nothing.

    Parameters
    ----------
    network : nn.Module
        With the taught one's trunk, and a head of its kind; changed in place.
    about : dict
        What the new model remembers.
    taught : Finetuned

    Returns
    -------
    str
        What was done, for people.

    Raises
    ------
    UsageError
        If the heads are not alike.
    """
    own, kept = json.loads(json.dumps(about["head"])), taught.about["head"]
    for key in sorted((own.keys() | kept.keys()) - _FREE):
        if own.get(key) != kept.get(key):
            window = f" (windows of {taught.about['window_bp']} bp)" if key == "around" else ""
            raise UsageError(
                f"the head of {taught.path} is of another make",
                where="--head kept",
                found=f"{key} {_short(own.get(key))}",
                expected=f"{_short(kept.get(key))}{window}",
                do="Give the options that it was learned with.",
            )
    there, new = _of_head(taught.network), _of_head(network)
    if there.keys() - new.keys():
        raise UsageError(
            f"the head of {taught.path} has a shortcut",
            where="--head kept",
            found="--shortcut none",
            expected="the shortcut that it was learned with",
            do="Give the --shortcut that it was learned with.",
        )
    with torch.no_grad():
        for name, weight in new.items():
            weight.copy_(there[name]) if name in there else weight.zero_()
    about["head_kept"] = True
    begun = new.keys() - there.keys()
    beside = f"; what reads {_named(about['signals'])} begins at nothing" if begun else ""
    return f"the head is kept too{beside}"


def _of_head(network: nn.Module) -> dict[str, torch.Tensor]:
    weights = network.state_dict()
    return {name: weights[name] for name in weights if not name.startswith(_TRUNK)}


def _named(signals: Any) -> str:
    return ", ".join(str(signal[0]) for signal in signals) or "no signals"


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) < 60 else f"{text[:57]}..."

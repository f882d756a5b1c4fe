"""Presets: what a lab with small models should take where it says nothing else.

The papers' values stay each task's defaults; a small model that a lab recipe made takes its preset
unasked, and that is said. A preset fills in what was not said, of what the task and the chosen head
know; the rest of the option's rules are those of every option.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from epilm.errors import EpilmError, UsageError, nearest
from epilm.hub.checkpoint import read_spec
from epilm.hub.load import find_checkpoint, is_bert_folder
from epilm.models.networks import NETWORKS, find_head
from epilm.models.sizes import encoder_size
from epilm.tasks.contract import Task


@dataclass(frozen=True)
class Preset:
    """Values by option's field.

    Attributes
    ----------
    values : mapping
        Taken where the task has the field and nothing else was said.
    steps : int
        Epochs are raised until there are so many.
    hidden : int
        Widest encoder that its rate is meant for.
    recipes : tuple of str
        What these pre-trained takes it where none is named.
    """

    values: Mapping[str, Any]
    steps: int
    hidden: int
    recipes: tuple[str, ...] = ()


PRESETS: dict[str, Preset] = {
    # Measured on CTCF from scratch: lr 1e-4 in batches of 320 has an auPRC of 0.019, 3e-3 in
    # batches of 64 0.294; without the other strand a fifth less. The best epoch is kept, so that
    # none has to stop a run before its steps are done.
    "lab": Preset(
        {
            "lr": 2e-3,
            "batch_size": 64,
            "both_strands": True,
            "patience": 0,
            # A bin and 40 bp beside it: over 1,000 bp a perfect motif's maximum says a third.
            "window_bp": 280,
            "pool": "max+bin",
            "jitter": 50,
        },
        steps=1200,
        hidden=256,
        recipes=("genebert_lab", "ebert_lab", "dnabert_lab"),
    )
}


def find_preset(name: str, checkpoint: str | Path) -> tuple[str, str]:
    """Which preset is meant, and the recipe that says so.

    Parameters
    ----------
    name : str
        auto: the preset of the recipe that pre-trained the checkpoint, if the encoder is as small
        as its rate is for; none where there is no such recipe. Any other is itself.
    checkpoint : path or name
        As `finetune` takes it. What is wrong with it is said by whoever opens it.

    Examples
    --------
    >>> find_preset("auto", "cnn"), find_preset("lab", "random")
    (('none', ''), ('lab', ''))
    """
    if name != "auto":
        return name, ""
    path = Path(checkpoint)
    try:
        if not path.is_dir() or is_bert_folder(path):
            return "none", ""
        spec, extra = read_spec(find_checkpoint(path))
    except EpilmError:
        return "none", ""
    recipe = extra.get("recipe", {}).get("name", "")
    for preset, each in PRESETS.items():
        if recipe in each.recipes and encoder_size(spec.encoder).hidden <= each.hidden:
            return preset, recipe
    return "none", ""


def with_preset(
    name: str,
    task: Task,
    given: Any,
    named: Mapping[str, Any],
    *,
    checkpoint: str,
    head: str | None,
) -> tuple[Any, dict[str, Any]]:
    """Fill in what a preset says and a user does not.

    Parameters
    ----------
    name : str
        Key of PRESETS; none leaves everything as it is.
    task : Task
    given : dataclass
        The task's options. A value that differs from the default was said.
    named : mapping
        Options said by name, be it with the default's value.
    checkpoint, head : str
        As `finetune` takes them: a pool is for the head of convolutions.

    Returns
    -------
    options, chosen
        `chosen` is what the preset filled in.

    Raises
    ------
    UsageError
        If the preset is unknown.

    Examples
    --------
    >>> from epilm.tasks import TASKS
    >>> task = TASKS["promoter"]
    >>> given = task.options_of("finetune")(epochs=3)
    >>> with_preset("lab", task, given, {"lr": 2e-4}, checkpoint="random", head=None)[1]
    {'batch_size': 64, 'both_strands': True}
    """
    if name == "none":
        return given, {}
    if name not in PRESETS:
        raise UsageError(
            "unknown preset",
            where="--preset",
            found=repr(name),
            do=nearest(name, ("auto", "none", *PRESETS)),
        )
    plain = type(given)()
    pooled = checkpoint not in NETWORKS and "pool" in find_head(head or task.head).options
    chosen: dict[str, Any] = {}
    for each in fields(given):
        at, default = getattr(given, each.name), getattr(plain, each.name)
        value = PRESETS[name].values.get(each.name, at)
        said = each.name in named or at != default
        if each.metadata.get("fixed"):
            continue
        if not said and value != at and (pooled or each.name != "pool"):
            chosen[each.name] = value
    return replace(given, **chosen), chosen


def with_steps(
    name: str, given: Any, named: Mapping[str, Any], steps: int
) -> tuple[Any, dict[str, Any]]:
    """Raise the epochs until there are as many steps as a preset asks for.

    Parameters
    ----------
    steps : int
        Of one epoch.

    Examples
    --------
    >>> from epilm.training.learning import Learning
    >>> with_steps("lab", Learning(), {}, 100)[1], with_steps("lab", Learning(), {}, 300)[1]
    ({'epochs': 12}, {})
    """
    if name == "none" or "epochs" in named or given.epochs != type(given)().epochs:
        return given, {}
    epochs = -(-PRESETS[name].steps // max(steps, 1))
    if epochs <= given.epochs:
        return given, {}
    return replace(given, epochs=epochs), {"epochs": epochs}


def check_width(name: str, chosen: Mapping[str, Any], hidden: int, where: str) -> None:
    """Refuse a preset's rate for an encoder that it is not meant for.

    Raises
    ------
    UsageError
    """
    if "lr" in chosen and hidden > PRESETS[name].hidden:
        raise UsageError(
            "the preset's rate is for small models",
            where=f"--preset {name}",
            found=f"an encoder {hidden} wide ({where}), lr {chosen['lr']:g}",
            expected=f"at most {PRESETS[name].hidden} wide",
            do="Give --lr, e.g. the task's default, or leave --preset out.",
        )

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


def find_preset(checkpoint: str | Path) -> tuple[str, str]:
    """Find the preset of the recipe that pre-trained a checkpoint, and that recipe; "none" and ""
    where there is none, or the encoder is wider than its rate is for.

    Parameters
    ----------
    checkpoint : path
        Of a folder. What is wrong with it is said by whoever opens it.
    """
    path = Path(checkpoint)
    try:
        if is_bert_folder(path):
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
        Key of PRESETS.
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
    {'batch_size': 64}
    """
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
        if each.metadata.get("fixed") or each.metadata.get("stranded"):
            continue
        if not said and value != at and (pooled or each.name != "pool"):
            chosen[each.name] = value
    return replace(given, **chosen), chosen


def on_one_strand(
    given: Any, chosen: Mapping[str, Any], direction: str
) -> tuple[Any, dict[str, Any], list[str]]:
    """Leave rows that have a direction on their strand, where a preset would read both; warn where
    a user asks for both.

    Parameters
    ----------
    given : dataclass
        The task's options.
    chosen : mapping
        What a preset filled in.
    direction : str
        See `TaskLesson.direction`.

    Returns
    -------
    options, chosen, warnings

    Examples
    --------
    >>> from epilm.training.learning import Learning
    >>> both = Learning(both_strands=True)
    >>> on_one_strand(both, {"both_strands": True}, "rows lie on one strand")[0].both_strands
    False
    >>> on_one_strand(both, {}, "rows lie on one strand")[2]
    ['rows lie on one strand, and --both-strands reads each from the wrong side as well: leave it
        out']
    """
    left = dict(chosen)
    if not direction or not given.both_strands:
        return given, left, []
    if left.pop("both_strands", False):
        return replace(given, both_strands=False), left, []
    return given, left, [both_strands_warning(direction)]


def both_strands_warning(direction: str) -> str:
    """Say what both strands do to rows that lie on one."""
    return f"{direction}, and --both-strands reads each from the wrong side as well: leave it out"


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
    if "epochs" in named or given.epochs != type(given)().epochs:
        return given, {}
    epochs = -(-PRESETS[name].steps // max(steps, 1))
    if epochs <= given.epochs:
        return given, {}
    return replace(given, epochs=epochs), {"epochs": epochs}


def preset_lines(name: str, chosen: Mapping[str, Any], recipe: str, steps: int) -> list[str]:
    """Say what a preset filled in, and which recipe asked for it.

    Examples
    --------
    >>> preset_lines("lab", {"lr": 0.002, "epochs": 12}, "", 1200)
    ['preset lab: lr 0.002, epochs 12 (1,200 steps)']
    """
    values = ", ".join(f"{each} {value}" for each, value in chosen.items())
    lines = [f"preset {name}: {values} ({steps:,} steps)"]
    if recipe:
        lines.append(f"{recipe} pre-trained it and says so; --preset none: the task's own values")
    return lines


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

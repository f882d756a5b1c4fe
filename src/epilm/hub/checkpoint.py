"""A model on disk: safetensors, JSON, vocabulary and a card, whole or absent, never a pickle.

A checkpoint says what it is without our code: `spec.json` holds the model's spec
and everything the run wants remembered (fingerprint of its store, order of the
factors, held-out chromosomes), `card.md` the same for a reader. `load_model`
builds the model from the spec and refuses weights that do not fit it, or that are not those that
were written (both files carry checksums; a checkpoint made before they did opens as it is).
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epilm.atomic import atomic_folder, read_checked, write_json
from epilm.device import found_device
from epilm.errors import CheckpointError, DamagedError, nearest
from epilm.models.model_spec import ModelSpec
from epilm.tensor_files import bytes_of, load_tensors, save_tensors
from epilm.tokens.kmers import vocabulary

FORMAT = 1
WEIGHTS, SPEC, VOCAB, CARD = "model.safetensors", "spec.json", "vocab.txt", "card.md"

Builder = Callable[[ModelSpec, Mapping[str, Any]], nn.Module]


def save_model(
    folder: str | Path,
    model: nn.Module,
    spec: ModelSpec,
    extra: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    tensors: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a model, whole or not at all.

    Parameters
    ----------
    folder : path
        The checkpoint; its parent is made when missing.
    model : nn.Module
        Weights that are tied are written once.
    spec : ModelSpec
        What `load_model` builds the model from.
    extra : mapping, optional
        JSON values to remember. "store" is the fingerprint of the store it was trained on,
        "card" (text) goes into the card; with "classifier" (n_labels, and the other arguments
        of `classifier_from`) the model is a `SequenceClassifier` made from the spec's model, with
        "binding" (signals, factors: their names; head: further arguments of `binding_from`) a
        `BindingModel`, or with kind "factornet" a `FactorNet`.
    overwrite : bool
        Replace an existing checkpoint.
    tensors : mapping, optional
        What is written of it; all weights and saved buffers where not given.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    EpilmError
        If the folder exists, another process writes it, or the disk is full.
    """
    extra = dict(extra or {})
    tensors = unique_tensors(model) if tensors is None else tensors
    with atomic_folder(folder, overwrite=overwrite, wants=bytes_of(tensors.values())) as out:
        save_tensors(out / WEIGHTS, tensors)
        write_json(
            out / SPEC,
            {
                "format": FORMAT,
                "epilm": _version(),
                "model": dataclasses.asdict(spec),
                "extra": extra,
            },
            checked=True,
        )
        (out / VOCAB).write_text("\n".join(vocabulary(spec.k)) + "\n", encoding="utf-8")
        (out / CARD).write_text(model_card(spec, extra, model), encoding="utf-8")
    return Path(folder)


def load_model(
    folder: str | Path, *, build: Builder | None = None, device: str | torch.device = "cpu"
) -> tuple[nn.Module, ModelSpec, dict[str, Any]]:
    """Read a model.

    Parameters
    ----------
    folder : path
        A checkpoint written by `save_model`.
    build : function (spec, extra) -> nn.Module, optional
        What makes the empty model; `models.from_spec.build_model` of the spec where not given.
    device : str or torch.device

    Returns
    -------
    model, spec, extra
        The model in evaluation mode.

    Raises
    ------
    CheckpointError
        If the weights are not those of the spec.
    DamagedError
        If a file is missing, cut short, or not as it was written.
    """
    folder, target = Path(folder), found_device(device)
    spec, extra = read_spec(folder)
    tensors = load_tensors(folder / WEIGHTS)
    model = (build or _build)(spec, extra)
    load_weights(model, tensors, str(folder / WEIGHTS))
    return model.to(target).eval(), spec, extra


def _build(spec: ModelSpec, extra: Mapping[str, Any]) -> nn.Module:
    task = extra.get("task")
    if isinstance(task, Mapping) and (members := task.get("members")):
        from epilm.models.ensemble import Ensemble

        scales = [member["scale"] for member in members]
        return Ensemble([_build_one(spec, extra) for _ in members], scales)
    return _build_one(spec, extra)


def _build_one(spec: ModelSpec, extra: Mapping[str, Any]) -> nn.Module:
    from epilm.models.from_spec import build_model
    from epilm.models.networks import NETWORKS, build_network

    task = extra.get("task")
    if isinstance(task, Mapping) and task.get("kind") in NETWORKS:
        return build_network(None, task)  # over bases: the spec's trunk is none of it
    # Weights that the recipe started from are not needed to open what was trained from them.
    bare = dataclasses.replace(
        spec,
        encoder=dataclasses.replace(spec.encoder, init=None),
        tower=dataclasses.replace(spec.tower, weights=None),
    )
    model = build_model(bare)
    if isinstance(task, Mapping):
        return build_network(model, task)
    if "classifier" in extra:
        from epilm.models.classifier import classifier_from

        return classifier_from(model, **extra["classifier"])
    if "binding" in extra:
        from epilm.models.baselines import FactorNet
        from epilm.models.binding_head import binding_from

        about = extra["binding"]
        head = dict(about.get("head", {}))
        if about.get("kind") == "factornet":
            return FactorNet(len(about["signals"]), len(about["factors"]), **head)
        return binding_from(
            model, signals=len(about["signals"]), outputs=len(about["factors"]), **head
        )
    return model


def read_spec(folder: str | Path) -> tuple[ModelSpec, dict[str, Any]]:
    """Read what a checkpoint is without its weights.

    Returns
    -------
    spec, extra

    Raises
    ------
    CheckpointError
        If there is no checkpoint, or a newer epilm wrote it.
    DamagedError
        If the file is not as it was written.
    """
    path = Path(folder) / SPEC
    try:
        table = read_checked(path)
        model, extra, number = table["model"], table["extra"], table["format"]
    except FileNotFoundError:
        raise CheckpointError(
            "this is no checkpoint",
            where=str(folder),
            expected=f"a folder with {SPEC} and {WEIGHTS}",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            "the checkpoint's spec cannot be read", where=str(path), found=error
        ) from error
    if number != FORMAT:
        raise CheckpointError(
            "the checkpoint has another format",
            where=str(path),
            found=number,
            expected=FORMAT,
            do="Open it with the epilm that wrote it.",
        )
    return spec_from_dict(ModelSpec, model, str(path)), extra


def is_adapter(folder: str | Path) -> bool:
    """Whether a model folder holds an adapter (`hub.adapters`) and not the whole model."""
    task = read_spec(folder)[1].get("task")
    return isinstance(task, Mapping) and "adapter" in task


def damage_of(folder: str | Path) -> DamagedError | None:
    """Say what is damaged in a checkpoint, by its checksums; None where it is as it was written.

    Reads the weights once, which takes about a second a gigabyte.

    Raises
    ------
    CheckpointError
        If it is no checkpoint, or a newer epilm wrote it.
    """
    folder = Path(folder)
    try:
        read_spec(folder)
        load_tensors(folder / WEIGHTS)
    except DamagedError as error:
        return error
    return None


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], where: str = "") -> None:
    """Copy weights into a model of exactly these names and shapes.

    Raises
    ------
    CheckpointError
        If a name or a shape differs.
    """
    mine = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    aliases = set(mine) - set(unique_tensors(model, copy=False))
    missing = sorted(set(mine) - set(tensors) - aliases)
    unknown = sorted(set(tensors) - set(mine))
    shapes = sorted(n for n in set(mine) & set(tensors) if mine[n].shape != tensors[n].shape)
    if missing or unknown or shapes:
        complaints = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for names, what in (
                (missing, "missing"),
                (unknown, "unknown"),
                (shapes, "of another shape"),
            )
            if names
        ]
        raise CheckpointError(
            "the weights are not those of the model that spec.json describes",
            where=where or None,
            found="; ".join(complaints),
            do="The checkpoint is of another version or was changed by hand.",
        )
    model.load_state_dict(dict(tensors), strict=False)  # names were checked above; tied ones follow


def unique_tensors(model: nn.Module, *, copy: bool = True) -> dict[str, Tensor]:
    """Name every weight and saved buffer once, on the CPU, also where two names share one (tied).

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> both = nn.ModuleList([layer, layer])
    >>> sorted(unique_tensors(both))
    ['0.bias', '0.weight']
    """
    seen: set[tuple[int, torch.Size]] = set()
    out = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            continue
        key = (value.data_ptr(), value.shape)
        if key in seen and value.numel():
            continue
        seen.add(key)
        out[name] = value.detach().cpu().contiguous() if copy else value
    return out


T = typing.TypeVar("T")


def spec_from_dict(kind: type[T], values: Any, where: str = "") -> T:
    """Make a spec dataclass from the plain values of its JSON.

    Raises
    ------
    CheckpointError
        If a key is unknown: a newer epilm wrote it.

    Examples
    --------
    >>> spec_from_dict(
    ...     ModelSpec, {"k": 3, "streams": ["dna"], "encoder": {"size": "tiny"}}
    ... ).encoder.size
    'tiny'
    """
    if not isinstance(values, Mapping):
        raise CheckpointError(
            "not a table of values", where=where or None, found=type(values).__name__
        )
    hints = typing.get_type_hints(kind)
    out = {}
    for key, value in values.items():
        if key not in hints:
            raise CheckpointError(
                "the checkpoint's spec has an unknown key; a newer epilm wrote it",
                where=where or None,
                found=key,
                do=nearest(key, hints),
            )
        out[key] = _value(hints[key], value, where)
    return kind(**out)


def _value(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next((arm for arm in typing.get_args(hint) if arm is not type(None)), hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return spec_from_dict(typing.cast(type, hint), value, where)
    return tuple(value) if isinstance(value, list) else value


def model_card(spec: ModelSpec, extra: Mapping[str, Any], model: nn.Module | None = None) -> str:
    """Describe a model for a reader, in Markdown.

    Examples
    --------
    >>> print(model_card(ModelSpec(k=3, streams=("dna",)), {"store": "a1"}).splitlines()[0])
    # genebert, 3-mers
    """
    weights = (
        f"{sum(p.numel() for p in model.parameters()):,} weights. " if model is not None else ""
    )
    lines = [
        f"# {spec.name}, {spec.k}-mers",
        "",
        f"{weights}Streams: {', '.join(spec.streams)}. Written by epilm {_version()}.",
        "",
        str(
            extra.get(
                "card", "Trained as recorded below; intended for research, not for diagnosis."
            )
        ),
        "",
        "## Remembered",
        "",
    ]
    for key, value in sorted(extra.items()):
        if key == "card":
            continue
        text = json.dumps(value)
        lines.append(f"- {key}: {text if len(text) <= 300 else text[:297] + '...'}")
    lines += [
        "",
        "## Model",
        "",
        "```json",
        json.dumps(dataclasses.asdict(spec), indent=2),
        "```",
        "",
    ]
    return "\n".join(lines)


def _version() -> str:
    try:
        return version("epilm")
    except PackageNotFoundError:  # PYTHONPATH=src on a machine where nothing can be installed
        import epilm

        return epilm.__version__

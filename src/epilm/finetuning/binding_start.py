"""What a binding model starts from: a pre-trained EBERT or DBERT, its random twin, or a model
without a past.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from epilm.batches.motif_signals import choose_motifs, is_motif
from epilm.errors import CheckpointError, InputError, UsageError, nearest
from epilm.finetuning.binding_run import BindingRun, parse_signal
from epilm.hub.provenance import memory
from epilm.models.baselines import FactorNet
from epilm.models.binding import binding_from
from epilm.models.build import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.motifs.formats import read_collection
from epilm.store.motifs import motifs_of_store
from epilm.store.reader import Store
from epilm.tokens.states import n_window_tokens

NAMES = ("random", "ebert", "dbert", "factornet")


def prepare_binding(
    checkpoint: str | Path,
    store: Store,
    settings: Any,
    *,
    factors: tuple[str, ...],
    width: int = 200,
    init: str = "checkpoint",
    size: Literal["tiny", "small", "base", "large"] = "small",
    k: int = 7,
    motifs: str | Path | Sequence[Any] | None = None,
) -> tuple[BindingRun, list[str]]:
    """Build the model that fine-tuning starts from, and lines on where it comes from.

    Parameters
    ----------
    checkpoint : path or one of "random", "ebert", "dbert", "factornet"
    store : Store
    settings : BindingSpec
    factors : tuple of str
        One output each.
    width : int
        Of a bin.
    init, size, k, motifs
        See `finetune_binding`.

    Raises
    ------
    CheckpointError
        If the checkpoint is none, of another kind, or of other states than the store's.
    """
    if init not in ("checkpoint", "random"):
        raise UsageError("unknown init", found=init, do=nearest(init, ("checkpoint", "random")))
    names, told = list(settings.signals), list[str]()
    matrices: dict[str, Any] = {}
    if any(map(is_motif, names)):
        collection = motifs_of_store(store) if motifs is None else read_collection(motifs)
        names, matrices, told = choose_motifs(names, factors, collection)
    signals = [parse_signal(text) for text in names]
    about: dict[str, Any] = {
        "kind": "ebert",
        "factors": list(factors),
        "window_bp": settings.window_bp,
        "width": width,
        "signals": [list(signal) for signal in signals],
        "strands": settings.strands,
        "checkpoint": str(checkpoint),
        "init": "random" if str(checkpoint) in NAMES else init,
        "pretraining": None,
    } | ({"motifs": matrices} if matrices else {})
    about["head"] = {
        "conv_channels": list(settings.conv_channels),
        "kernel": settings.kernel,
        "activation": settings.activation,
        "pool": settings.pool,
        "dense": settings.dense,
        "dropout": settings.dropout,
    }
    source: Any = None
    if str(checkpoint) in NAMES:
        name: Literal["ebert", "dbert"] = (
            "dbert" if checkpoint in ("dbert", "factornet") or store.states is None else "ebert"
        )
        if checkpoint == "ebert" and store.states is None:
            raise UsageError(
                "EBERT reads states and the store has none",
                where=str(store.path),
                do="Build the store with --states, or take --checkpoint dbert.",
            )
        spec = _new_spec(name, store, settings.window_bp, size, k)
        where = f"a random {size} {name}, k={k}"
        if checkpoint == "factornet":
            about |= {"kind": "factornet", "head": {"window_bp": settings.window_bp}}
            where = "FactorNet's kind of network, from scratch"
    else:
        source, spec, extra, where = _load(checkpoint)
        _check_states(spec, extra, store, where)
        if init == "random":
            where = f"random weights in the shape of {where}"
        else:
            about["pretraining"] = memory(extra, where)
    tokens = (
        n_window_tokens(settings.window_bp, spec.k, spec.stride, spec.tail)
        + 2 * spec.special_tokens
    )
    if about["kind"] == "ebert" and source is not None and tokens > source.encoder.max_positions:
        raise InputError(
            "the window is longer than the model reads",
            where=where,
            found=f"{tokens} tokens",
            expected=f"at most {source.encoder.max_positions}",
            do="Lower --window-bp.",
        )
    if "states" in spec.streams and store.states is not None:
        about |= {"state_names": list(store.states.names), "state_bin": int(store.states.bin)}
    short = [n for n, name in enumerate(names) if settings.shortcut == "signals" or is_motif(name)]
    if about["kind"] == "ebert" and short and settings.shortcut != "none":
        about["head"] |= {
            "shortcut": short,
            "means": [
                n for n in short if not is_motif(names[n])
            ],  # a site is a maximum; openness is a level
            "middle": bin_tokens(
                settings.window_bp, width, spec.stride, special=spec.special_tokens
            ),
        }
    seed = settings.seed * 7919 + 31  # trunk and head: functions of the seed
    model: torch.nn.Module
    if about["kind"] == "factornet":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = FactorNet(len(signals), len(factors), **about["head"])
    else:
        pretrained = source is not None and init == "checkpoint"
        trunk = source if pretrained else build_model(_bare(spec), seed=seed)
        model = binding_from(
            trunk, signals=len(signals), outputs=len(factors), **about["head"], seed=seed + 1
        )
    if about["kind"] == "ebert":
        _set_dropout(model, settings.dropout)
    count = sum(weight.numel() for weight in model.parameters())
    used = ", ".join(":".join(signal) for signal in signals)
    told.append(f"model: {where}; {count:,} weights" + (f"; signals {used}" if used else ""))
    return BindingRun(model, spec, about), told


def start_at_prior(model: torch.nn.Module, labels: NDArray[np.int8]) -> None:
    """Let a model with a shortcut begin at the log-odds of the labels it will see.

    A shortcut's values are at or above 0. From an output bias of 0, which is far above the log-odds
    of one bound bin in eleven, its weights would first turn negative, as a second bias, and rank
    bins the wrong way round for tens of steps.

    Parameters
    ----------
    model : BindingModel
    labels : int8 (n, F)
        Of an epoch: 1 bound, 0 unbound, -1 not known. A factor that has one of the two alone counts
        as having half of the other.

    Examples
    --------
    >>> from epilm.models.binding import BindingModel
    >>> from epilm.models.ebert import EBERT
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> trunk = EBERT(
    ...     SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    ... )
    >>> model = BindingModel(trunk, signals=1, shortcut=(0,), middle=(2, 4))
    >>> start_at_prior(model, np.array([[1], [0], [0], [0], [-1]], np.int8))
    >>> round(float(model.out.bias.detach()[0]), 4)  # ln(1/3)
    -1.0986
    """
    bound = np.maximum((labels == 1).sum(0), 0.5)
    unbound = np.maximum((labels == 0).sum(0), 0.5)
    with torch.no_grad():
        cast(torch.nn.Linear, model.out).bias.copy_(torch.from_numpy(np.log(bound / unbound)))


def bin_tokens(window_bp: int, width: int, stride: int, *, special: bool) -> tuple[int, int]:
    """Number the first token that begins in the bin in the middle of a window, or holds its first
    base, and the one after its last.

    Examples
    --------
    >>> bin_tokens(
    ...     1000, 200, 7, special=True
    ... )  # bases 400 to 600; token 57 holds base 400, token 85 base 599
    (58, 87)
    """
    first = (window_bp - width) // 2
    return first // stride + special, -(-(first + width) // stride) + special


def _new_spec(
    name: Literal["ebert", "dbert"], store: Store, window_bp: int, size: Any, k: int
) -> ModelSpec:
    tokens = n_window_tokens(window_bp, k, k) + 2
    streams: tuple[Any, ...] = ("dna", "states") if name == "ebert" else ("dna",)
    return ModelSpec(
        name=name,
        streams=streams,
        k=k,
        stride=k,
        max_tokens=max(tokens, 150),
        cells=len(store.cell_types),
        states=store.states.n_states if store.states is not None and name == "ebert" else 0,
        encoder=EncoderSpec(size=size, max_positions=max(512, tokens)),
        next_segment="none",
    )


def _bare(spec: ModelSpec) -> ModelSpec:
    """The spec without the weights its recipe started from."""
    return replace(spec, encoder=replace(spec.encoder, init=None))


def _load(checkpoint: str | Path) -> tuple[Any, ModelSpec, dict[str, Any], str]:
    from epilm.hub.load import load
    from epilm.models.ebert import EBERT

    path = Path(checkpoint)
    if not path.exists():
        raise CheckpointError(
            "there is no such checkpoint",
            where=str(path),
            expected=f"the folder of a run or model, or one of {', '.join(NAMES)}",
        )
    loaded = load(path)
    if not isinstance(loaded.model, EBERT):
        raise CheckpointError(
            "binding needs EBERT or DBERT",
            where=str(path),
            found=type(loaded.model).__name__,
            expected="a run of epilm pretrain ebert_... or dbert_...",
            do="Pre-train one, or use --task tfbs for sequence models.",
        )
    return loaded.model, loaded.spec, dict(loaded.extra or {}), str(path)


def _check_states(spec: ModelSpec, extra: dict[str, Any], store: Store, where: str) -> None:
    if "states" not in spec.streams or store.states is None:
        return  # what is missing is said where tracks are checked
    names, width = tuple(extra.get("state_names") or ()), extra.get("state_bin")
    mine = tuple(store.states.names), int(store.states.bin)
    if (names and (names, width) != mine) or spec.states not in (0, len(mine[0])):
        raise CheckpointError(
            "the states of the store are not those of the pre-training",
            where=where,
            found=f"{len(mine[0])} states ({', '.join(mine[0][:3])}, ...) in bins of {mine[1]} bp",
            expected=(
                f"{len(names) or spec.states} ({', '.join(names[:3])}, ...) in bins of {width} bp"
            ),
            do="Build the store with the same segmentation (--states).",
        )


def _set_dropout(model: torch.nn.Module, dropout: float) -> None:
    """One dropout for trunk and head, whatever pre-training used."""
    for part in model.modules():
        part = cast(Any, part)
        if isinstance(part, torch.nn.Dropout):
            part.p = dropout
        if hasattr(part, "attention_dropout"):
            part.attention_dropout = dropout

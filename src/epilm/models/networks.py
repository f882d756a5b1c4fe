"""What answers a task: a head on a trunk, or a network over bases that has no past.

`HEADS` and `NETWORKS` are the tables: a new one is a file and a line. All have one face,
`forward(windows) -> (B, outputs)`, or (B, bases, outputs) where they answer each base; a head with
a `head(hidden, windows)` of its own is computed in float32 where the trunk is not. A model folder
says which one it holds (`build_network`).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from epilm.errors import CheckpointError, UsageError, nearest
from epilm.models.baselines import FactorNet, SmallCNN
from epilm.models.binding_head import BindingModel, binding_from
from epilm.models.classifier import SequenceClassifier, classifier_from
from epilm.models.dilated import DilatedCNN
from epilm.models.grouping import Join
from epilm.models.per_base import per_base_from
from epilm.models.places import placed_from
from epilm.models.pooled import pooled_from
from epilm.models.seeds import seeded
from epilm.models.siamese import Combine, SiameseCNN, siamese_from


class Shape(NamedTuple):
    """What a network is built for.

    Attributes
    ----------
    outputs : int
        Numbers a row.
    signals : int
        Signals beside the tokens (or bases).
    window_bp : int
        Bases of a row; 0 where rows are of different lengths.
    states : bool
        Whether rows come with a cell type's states.
    width : int
        Bases of a row in the middle of its window; 0 where rows bring their own.
    loci : int
        Of a row: 2 where rows are pairs.
    """

    outputs: int
    signals: int = 0
    window_bp: int = 0
    states: bool = False
    width: int = 0
    loci: int = 1

    @property
    def context(self) -> int:
        """Bases of a window beside its row, both sides together."""
        return self.window_bp - self.width


class Head(NamedTuple):
    """A head for any trunk.

    Attributes
    ----------
    build : function (model, shape, seed, **options) -> nn.Module
        `model` is a pre-trained or random GeneBERT, DNABERT, EBERT or DBERT; it is copied.
    options : tuple of str
        Options of a task that the head reads.
    about : str
    per_base : bool
        Whether it answers each base of a row, in place of the row.
    loci : tuple of int
        How many loci a row may be.
    """

    build: Callable[..., nn.Module]
    options: tuple[str, ...]
    about: str
    per_base: bool = False
    loci: tuple[int, ...] = (1,)


def _refuse_signals(name: str, shape: Shape) -> None:
    if shape.signals:
        raise UsageError(
            f"the {name} head reads token vectors alone",
            where="--signals",
            do="Leave the signals out, or take --head convolutions.",
        )


def _linear(
    model: Any,
    shape: Shape,
    seed: int | None,
    *,
    fusion: str = "none",
    dropout: float = 0.1,
    join: Join = "mean",
) -> nn.Module:
    _refuse_signals("linear", shape)
    if shape.states:
        return pooled_from(model, shape.outputs, dropout=dropout, seed=seed)
    with torch.random.fork_rng():
        if seed is not None:
            torch.manual_seed(seed)
        how: Any = fusion  # the options have checked the word
        return classifier_from(model, shape.outputs, fusion=how, dropout=dropout, join=join)


def _convolutions(model: Any, shape: Shape, seed: int | None, **options: Any) -> nn.Module:
    options.pop("fusion", None)
    return binding_from(model, signals=shape.signals, outputs=shape.outputs, seed=seed, **options)


def _places(model: Any, shape: Shape, seed: int | None, *, dropout: float = 0.1) -> nn.Module:
    _refuse_signals("places", shape)
    return placed_from(model, shape.outputs, dropout=dropout, seed=seed)


def _bases(model: Any, shape: Shape, seed: int | None, **options: Any) -> nn.Module:
    return per_base_from(model, shape.outputs, context=shape.context, seed=seed, **options)


def _pair(model: Any, shape: Shape, seed: int | None, **options: Any) -> nn.Module:
    return siamese_from(model, shape.outputs, seed=seed, **options)


HEADS: dict[str, Head] = {
    "linear": Head(
        _linear,
        ("fusion", "dropout", "join"),
        "pooled vector and one layer (BERT's)",
    ),
    "convolutions": Head(
        _convolutions,
        ("conv_channels", "kernel", "activation", "pool", "dense", "dropout", "shortcut", "join"),
        "two convolutions over tokens and signals, two dense layers (EBERT's)",
    ),
    "places": Head(
        _places,
        ("dropout",),
        "what each of 16 parts of a row says, side by side: rows laid at a TSS or a summit",
    ),
    "bases": Head(
        _bases,
        ("dropout",),
        "one layer on each token, an answer a base: long inputs by chunks that overlap",
        per_base=True,
    ),
    "pair": Head(
        _pair,
        ("combine", "dropout", "join"),
        "two layers on what the pooled vectors of two loci have in common",
        loci=(2,),
    ),
}


class Network(NamedTuple):
    """A network over bases, trunk and head in one, always from scratch.

    Attributes
    ----------
    build : function (shape, **options) -> nn.Module
    both_strands : bool
        It reads both strands by itself, unless its options say that rows lie on one.
    about : str
    per_base : bool
        Whether it answers each base of a row, in place of the row.
    loci : tuple of int
        How many loci a row may be.
    """

    build: Callable[..., nn.Module]
    both_strands: bool
    about: str
    per_base: bool = False
    loci: tuple[int, ...] = (1,)


def _cnn(
    shape: Shape,
    *,
    dropout: float = 0.3,
    combine: Combine = "symmetric",
    both_strands: bool = True,
) -> nn.Module:
    if shape.loci == 2:
        return SiameseCNN(shape.outputs, combine, dropout)
    return SmallCNN(shape.outputs, dropout=dropout, both_strands=both_strands)


def _factornet(shape: Shape, *, window_bp: int = 0) -> nn.Module:
    width = window_bp or shape.window_bp
    if not width:
        raise UsageError(
            "FactorNet's kind of network reads windows of one width",
            found="sequences of different lengths",
            do="Take --checkpoint cnn.",
        )
    return FactorNet(shape.signals, shape.outputs, width)


def _dilated(shape: Shape) -> nn.Module:
    if shape.signals:
        raise UsageError(
            "the dilated network reads bases alone",
            where="--signals",
            do="Leave the signals out.",
        )
    return DilatedCNN(shape.outputs, shape.context)


NETWORKS: dict[str, Network] = {
    "cnn": Network(_cnn, True, "small CNN, from scratch", loci=(1, 2)),
    "factornet": Network(_factornet, True, "FactorNet's kind of network, from scratch"),
    "dilated": Network(
        _dilated, False, "SpliceAI's dilated CNN, from scratch: an answer a base", per_base=True
    ),
}


def find_head(name: str) -> Head:
    """Look a head up by name.

    Raises
    ------
    UsageError
        Naming the nearest known one.

    Examples
    --------
    >>> find_head("liner")
    Traceback (most recent call last):
    epilm.errors.UsageError: --head: unknown head. Found 'liner'. Did you mean linear? Known:
        bases, convolutions, linear, pair, places.
    """
    if name not in HEADS:
        raise UsageError(
            "unknown head", where="--head", found=repr(name), do=nearest(name, sorted(HEADS))
        )
    return HEADS[name]


def build_network(model: Any, about: Mapping[str, Any], seed: int | None = None) -> nn.Module:
    """Build the network that a model folder describes.

    Parameters
    ----------
    model : GeneBERT, EBERT or None
        Of the folder's spec; not needed for a network over bases.
    about : mapping
        What `finetuning.finetuned.Finetuned.about` keeps: kind, labels, signals, head, window_bp.
    seed : int, optional
        Of new weights.

    Raises
    ------
    CheckpointError
        If it is of a kind that this epilm does not know.
    """
    shape = Shape(
        len(about["labels"]["names"]),
        len(about.get("signals", ())),
        int(about.get("window_bp") or 0),
        "states" in about.get("streams", ()),
        int(about.get("width") or 0),
        int(about.get("loci", 1)),
    )
    options = dict(about.get("head", {}))
    name = options.pop("name", None)
    kind = about["kind"]
    if kind in NETWORKS and seed is None:
        return NETWORKS[kind].build(shape, **options)
    if kind in NETWORKS:
        with seeded(seed):
            return NETWORKS[kind].build(shape, **options)
    if name not in HEADS:
        raise CheckpointError(
            "the model has a head that is not known here",
            found=name,
            expected=f"one of {', '.join(sorted(HEADS))}",
            do="Open it with the epilm, or the code, that made it.",
        )
    return HEADS[name].build(model, shape, seed, **options)


__all__ = [
    "HEADS",
    "NETWORKS",
    "BindingModel",
    "Head",
    "Network",
    "SequenceClassifier",
    "Shape",
    "build_network",
    "find_head",
]

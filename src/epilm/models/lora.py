"""LoRA: the trunk rests, and beside the matrices of its blocks products of two thin ones learn.

A matrix W (N, K) reads as W + s B A, with A (R, K) drawn and B (N, R) at 0, so that learning begins
where the trunk is; s = alpha / R. The library peft (extra `lora`) wraps the layers while they
learn. What was learned is added to the matrices with torch alone: whoever opens the model needs no
peft, and the network is of the shape it had. "LoRA: Low-Rank Adaptation of Large Language Models",
2021. Axes: R rank, K inputs and N outputs of a layer.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from epilm.errors import CheckpointError, UsageError
from epilm.nn.encoder import SequenceEncoder

Layers = Literal["all", "attention"]
TARGETS: dict[str, tuple[str, ...]] = {
    "all": ("qkv", "out", "up", "down"),
    "attention": ("qkv", "out"),
}
PROBED = 24  # tokens of the input on which two encoders are compared
CLOSE = 1e-3  # of the largest number of the answer: rounding of another chip stays below a tenth


class LoraPair(NamedTuple):
    """What is added to one matrix: B A, times a scale.

    Attributes
    ----------
    a : float (R, K)
    b : float (N, R)
    """

    a: Tensor
    b: Tensor


def trunk_name(network: nn.Module, option: str = "--lora") -> str:
    """Name the child of a network that was, or could have been, pre-trained.

    Raises
    ------
    UsageError
        If the network is none of trunk and head.

    Examples
    --------
    >>> trunk_name(nn.Sequential(nn.Linear(2, 2)))
    Traceback (most recent call last):
    epilm.errors.UsageError: --lora: the network has no trunk whose layers could be adapted. Found
        Sequential; expected a head on a trunk of k-mers. Leave it out, or take a checkpoint with a
        trunk.
    """
    for name in ("trunk", "encoder"):
        if hasattr(network, name):
            return name
    raise UsageError(
        "the network has no trunk whose layers could be adapted",
        where=option,
        found=type(network).__name__,
        expected="a head on a trunk of k-mers",
        do="Leave it out, or take a checkpoint with a trunk.",
    )


def wrap(network: nn.Module, rank: int, alpha: float, layers: Layers, seed: int) -> int:
    """Let a network's trunk rest and its blocks learn by pairs; the head learns as a whole.

    Parameters
    ----------
    network : nn.Module
        A head on a trunk, changed in place.
    rank : int
        R, at least 1.
    alpha : float
        The product counts alpha / R times.
    layers : {"all", "attention"}
        Of each block: all four dense layers, or those of attention alone.
    seed : int
        The A are a function of it, and torch's own state is left as it was.

    Returns
    -------
    int
        Layers that were wrapped.

    Raises
    ------
    UsageError
        If peft is not installed, there is no trunk, or the rank is not below the layers' width.
    """
    trunk = trunk_name(network)
    encoder = _encoder(network)
    if rank >= encoder.hidden:
        raise UsageError(
            "the rank is no smaller than what it stands for",
            where="--lora",
            found=rank,
            expected=f"below the encoder's width, {encoder.hidden}",
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UsageError(
            "LoRA needs the library peft",
            where="--lora",
            do='pip install "epilm[lora]". To open what was learned it is not needed.',
        ) from None
    names = "|".join(TARGETS[layers])
    above = "encoder" if trunk == "encoder" else rf"{trunk}\.encoder"
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft says int and divides
        lora_dropout=0.0,  # the blocks have dropout of their own
        target_modules=rf"{above}\.blocks\.\d+\.({names})",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, network)
    for name, weight in network.named_parameters():
        weight.requires_grad_(".lora_" in name or not name.startswith(f"{trunk}."))
    return len(_wrapped(network))


def unwrap(network: nn.Module) -> dict[str, LoraPair]:
    """Take the pairs off a network that `wrap` changed, and give them by the name of their layer.

    The layers are those from before, unchanged; all weights may learn again.
    """
    pairs = {}
    for name, layer in _wrapped(network).items():
        pairs[name] = LoraPair(
            layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
        )
        above, _, own = name.rpartition(".")
        setattr(network.get_submodule(above), own, layer.get_base_layer())
    if hasattr(network, "peft_config"):  # which peft leaves on what it was given
        del network.peft_config
    for weight in network.parameters():
        weight.requires_grad_(True)
    return pairs


def merge(network: nn.Module, pairs: Mapping[str, LoraPair], scale: float) -> None:
    """Add what was learned to the matrices: W becomes W + scale B A.

    Raises
    ------
    CheckpointError
        If a pair belongs to no layer of the network, or has another shape.

    Examples
    --------
    >>> network = nn.ModuleDict({"up": nn.Linear(2, 1, bias=False)})
    >>> _ = nn.init.ones_(network["up"].weight)
    >>> merge(network, {"up": LoraPair(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0]]))}, 0.5)
    >>> network["up"].weight.tolist()
    [[4.0, 5.0]]
    """
    layers = dict(network.named_modules())
    for name, pair in pairs.items():
        layer: Any = layers.get(name)
        wanted = None if layer is None else tuple(layer.weight.shape)
        if wanted != (len(pair.b), pair.a.shape[1]) or pair.b.shape[1] != len(pair.a):
            raise CheckpointError(
                "the adapter is of another network",
                where=name,
                found=f"A {tuple(pair.a.shape)}, B {tuple(pair.b.shape)}",
                expected="no such layer" if wanted is None else f"a matrix {wanted}",
            )
        with torch.no_grad():
            layer.weight.add_(pair.b @ pair.a, alpha=scale)


@torch.no_grad()
def probe(network: nn.Module) -> Tensor:
    """What a network's encoder says of fixed tokens, float (PROBED, H): the same weights, the same
    numbers to rounding.

    The tokens are all different where the vocabulary has as many, so that every layer is heard.
    """
    encoder = _encoder(network)
    length = min(PROBED, encoder.max_positions)
    ids = torch.arange(length, device=encoder.words.weight.device) * 7 % (encoder.vocab - 5) + 5
    was = encoder.training
    encoder.eval()
    hidden, _ = encoder(ids[None])
    encoder.train(was)
    return hidden[0].float()


def check_probe(said: Tensor, expected: Tensor, where: str) -> None:
    """Refuse a merged network that does not say what the adapted one said.

    Raises
    ------
    CheckpointError
    """
    expected = expected.to(said.device)
    if said.shape == expected.shape:
        off, most = (said - expected).abs().max(), expected.abs().max()
        if bool(off <= CLOSE * most):
            return
        shown = f"a difference of {float(off):.2g} in numbers up to {float(most):.2g}"
    else:
        shown = f"{tuple(said.shape)} numbers, not {tuple(expected.shape)}"
    raise CheckpointError(
        "the merged model does not say what the adapted one said",
        where=where,
        found=shown,
        expected=f"at most {CLOSE:g} of the largest",
        do="Fine-tune once more; this folder or its base is not what was written.",
    )


def _encoder(network: nn.Module) -> SequenceEncoder:
    return next(part for part in network.modules() if isinstance(part, SequenceEncoder))


def _wrapped(network: nn.Module) -> dict[str, Any]:
    """The layers that peft stands in for, by name."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if hasattr(layer, "lora_A") and hasattr(layer, "get_base_layer")
    }


def pair_tensors(pairs: Mapping[str, LoraPair]) -> dict[str, Tensor]:
    """Name the tensors of pairs as they stand in a file.

    Examples
    --------
    >>> sorted(pair_tensors({"up": LoraPair(torch.ones(1, 2), torch.ones(3, 1))}))
    ['up.lora_a', 'up.lora_b']
    """
    return {
        f"{name}.lora_{which}": tensor
        for name, pair in pairs.items()
        for which, tensor in zip("ab", pair, strict=True)
    }


def pairs_of(tensors: Mapping[str, Tensor]) -> dict[str, LoraPair]:
    """Take the pairs out of the tensors of a file; the way back from `pair_tensors`."""
    names = [match[1] for key in tensors if (match := re.fullmatch(r"(.+)\.lora_a", key))]
    return {name: LoraPair(tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]) for name in names}

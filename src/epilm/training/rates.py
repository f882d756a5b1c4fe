"""What of a network rests while it is fine-tuned, and which weights learn at another rate.

Both go by the parts that a network has: an encoder with its blocks, a head beside it, a shortcut.
Needs torch only.
"""

from typing import Any, NamedTuple

from torch import nn

from epilm.errors import UsageError
from epilm.training.learning import Learning


class Rest(NamedTuple):
    """What does not learn, at first or ever.

    Attributes
    ----------
    weights : tuple of Parameter
    part : nn.Module or None
        At rest as a whole: it is not shaken by dropout either.
    """

    weights: tuple[nn.Parameter, ...] = ()
    part: nn.Module | None = None


def rest_of(network: nn.Module, spec: Learning) -> Rest:
    """Name the parts of the encoder that a spec lets rest.

    Parameters
    ----------
    network : nn.Module
        With an `encoder` of its own, or a `trunk` that has one.
    spec : Learning
        `freeze`: none, embeddings, encoder (the whole trunk), or layers:N (embeddings, a stem and
        the lowest N). With `thaw_after` none is the whole trunk too.

    Raises
    ------
    UsageError
        If there is no encoder, or it has fewer layers.
    """
    option, what = "--freeze", spec.freeze
    if what == "none":
        if not spec.thaw_after:
            return Rest()
        option, what = "--thaw-after", "encoder"
    trunk: Any = getattr(network, "trunk", None)
    encoder: Any = getattr(network, "encoder", None) if trunk is None else trunk.encoder
    if encoder is None:
        raise UsageError(
            "the network has no encoder to freeze",
            where=option,
            found=what if option == "--freeze" else spec.thaw_after,
            expected="none" if option == "--freeze" else "0",
        )
    resting = encoder if trunk is None else trunk
    parts: list[nn.Module] = [encoder.words, encoder.positions, encoder.types, encoder.norm]
    beside = (getattr(trunk, "states", None), getattr(trunk, "join", None), encoder.stem)
    parts += [part for part in beside if part is not None]
    if what == "encoder":
        parts = [resting]
    elif what.startswith("layers:"):
        count = int(what.split(":")[1])
        if count > len(encoder.blocks):
            raise UsageError(
                "fewer layers than to be frozen",
                where="--freeze",
                found=count,
                expected=f"at most {len(encoder.blocks)}",
            )
        parts += list(encoder.blocks[:count])
    weights = tuple(weight for part in parts for weight in part.parameters())
    return Rest(weights, resting if what == "encoder" else None)


def rates_of(network: nn.Module, options: Any) -> dict[str, float]:
    """Multiples of the learning rate, by the beginning of a weight's name; the rest takes it as is.

    Raises
    ------
    UsageError
        If the network is no trunk with a head, or has no shortcut, and a multiple is asked for.
    """
    head = options.head_lr_multiplier
    shortcut = getattr(options, "shortcut_lr_multiplier", 1.0)
    trunk = next((name for name in ("trunk", "encoder") if hasattr(network, name)), None)
    if head != 1 and trunk is None:
        raise UsageError(
            "the model has no head to learn at a rate of its own",
            where="--head-lr-multiplier",
            found=head,
            expected="1",
            do="Change --lr.",
        )
    if shortcut != 1 and getattr(network, "shortcut", None) is None:
        raise UsageError(
            "the model has no shortcut to learn at a rate of its own",
            where="--shortcut-lr-multiplier",
            found=shortcut,
            expected="1",
            do="Give --signals motifs, or --signals with --shortcut signals.",
        )
    rates = {f"{name}.": head for name, _ in network.named_children() if name != trunk}
    rates |= {} if shortcut == 1 else {"shortcut.": head * shortcut}
    return rates | layer_rates(network, options.layer_lr_decay)


def layer_rates(network: nn.Module, decay: float) -> dict[str, float]:
    """Multiples of the rate for the layers of an encoder: decay ** (depth - i) for layer i of
    1 to depth, and decay ** depth for all that lies below.

    The pooler lies above: it learns at the whole rate.

    Raises
    ------
    UsageError
        If the network has no encoder.

    Examples
    --------
    >>> from epilm.models.binding_head import BindingModel
    >>> from epilm.models.ebert import EBERT
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> encoder = SequenceEncoder(vocab=69, hidden=8, layers=2, heads=2, ffn=16, max_positions=16)
    >>> layer_rates(BindingModel(EBERT(encoder)), 0.5)
    {'trunk.': 0.25, 'trunk.encoder.blocks.0.': 0.5, 'trunk.encoder.blocks.1.': 1.0,
    'trunk.encoder.pooler.': 1.0}
    """
    if decay == 1:
        return {}
    top: Any = getattr(network, "trunk", None)
    encoder: Any = getattr(network, "encoder", None) if top is None else top.encoder
    if encoder is None:
        raise UsageError(
            "the model has no encoder whose layers could learn at rates of their own",
            where="--layer-lr-decay",
            found=decay,
            expected="1",
            do="Change --lr.",
        )
    name = "encoder." if top is None else "trunk.encoder."
    depth = len(encoder.blocks)
    blocks = {f"{name}blocks.{n}.": decay ** (depth - 1 - n) for n in range(depth)}
    return {name if top is None else "trunk.": decay**depth, **blocks, f"{name}pooler.": 1.0}

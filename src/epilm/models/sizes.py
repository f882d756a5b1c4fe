"""The named sizes of the sequence encoder, and the builder that reads them.

A size fills what an `EncoderSpec` leaves None; base and large are BERT's.
"""

from typing import NamedTuple

from epilm.errors import RecipeError, nearest
from epilm.models.model_spec import EncoderSpec
from epilm.models.stem import BaseStem
from epilm.nn.encoder import SequenceEncoder


class EncoderSize(NamedTuple):
    """Widths and depth of an encoder."""

    layers: int
    hidden: int
    heads: int
    ffn: int


ENCODER_SIZES: dict[str, EncoderSize] = {
    "tiny": EncoderSize(layers=2, hidden=64, heads=2, ffn=256),
    "small": EncoderSize(layers=4, hidden=128, heads=4, ffn=512),
    "base": EncoderSize(layers=12, hidden=768, heads=12, ffn=3072),
    "large": EncoderSize(layers=24, hidden=1024, heads=16, ffn=4096),
}


def encoder_size(spec: EncoderSpec) -> EncoderSize:
    """Say the sizes a spec means: its own where given, those of its name otherwise.

    Raises
    ------
    RecipeError
        If the name is unknown, a size is not positive, or hidden is no multiple of heads.

    Examples
    --------
    >>> encoder_size(EncoderSpec(size="tiny"))
    EncoderSize(layers=2, hidden=64, heads=2, ffn=256)
    >>> encoder_size(EncoderSpec(size="tiny", layers=3)).layers
    3
    """
    if spec.size not in ENCODER_SIZES:
        raise RecipeError(
            "unknown encoder size", found=spec.size, do=nearest(spec.size, ENCODER_SIZES)
        )
    named = ENCODER_SIZES[spec.size]
    size = EncoderSize(
        *(
            default if (own := getattr(spec, name)) is None else own
            for name, default in named._asdict().items()
        )
    )
    if min(size) < 1:
        raise RecipeError("encoder sizes must be at least 1", where="encoder", found=size)
    if size.hidden % size.heads:
        raise RecipeError(
            "encoder.hidden must be a multiple of encoder.heads",
            found=f"hidden {size.hidden}, heads {size.heads}",
        )
    return size


def encoder_from_spec(
    spec: EncoderSpec,
    vocab: int,
    segments: int = 2,
    max_positions: int | None = None,
    stem: BaseStem | None = None,
) -> SequenceEncoder:
    """Build the encoder a spec describes, with random weights.

    `spec.init` is not read here: `epilm.hub.load.initialise` loads
    weights into a model that stands.

    Parameters
    ----------
    spec : EncoderSpec
    vocab : int
        Token ids, 4**k + 5 for k-mers.
    segments : int
        Kinds of segment.
    max_positions : int, optional
        Rows of the position table; `spec.max_positions` where not given.
    stem : BaseStem, optional
        Of the encoder's width.

    Examples
    --------
    >>> encoder = encoder_from_spec(EncoderSpec(size="tiny"), vocab=69)
    >>> encoder.hidden, len(encoder.blocks), encoder.max_positions
    (64, 2, 512)
    """
    size = encoder_size(spec)
    return SequenceEncoder(
        vocab=vocab,
        hidden=size.hidden,
        layers=size.layers,
        heads=size.heads,
        ffn=size.ffn,
        max_positions=spec.max_positions if max_positions is None else max_positions,
        segments=segments,
        dropout=spec.dropout,
        attention_dropout=spec.attention_dropout,
        checkpoint_activations=spec.checkpoint_activations,
        rotary=spec.rotary,
        stem=stem,
    )

"""From a `ModelSpec` to a model: the one place that reads a spec and calls the parts.

MODELS has one builder a name; a spec is checked before anything is built.
"""

from collections.abc import Callable
from typing import get_args, get_type_hints

from torch import nn

from epilm.errors import RecipeError, nearest
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.grouping import ChunkPool
from epilm.models.model_spec import ModelSpec
from epilm.models.seeds import seeded
from epilm.models.sizes import encoder_from_spec, encoder_size
from epilm.models.stem import BaseStem
from epilm.models.token_heads import build_token_heads
from epilm.nn.encoder import init_weights
from epilm.nn.fusion import build_fusion
from epilm.nn.heads import ContactBias, ContactEncoder, FactorHead, PairHead, projection
from epilm.nn.region import build_region_tower, count_parameters
from epilm.nn.vocabulary import MaskedHead
from epilm.tokens.kmers import vocab_size
from epilm.tokens.state_tokens import N_SPECIAL_STATES, PAD_STATE

MOST_STATES = 254  # of a store: 255 is a bin without a state, and the limit is 254
Rule = tuple[bool, str, str, object, str]


def build_model(spec: ModelSpec, *, seed: int | None = None) -> GeneBERT | EBERT:
    """Build the model a spec describes, with random weights.

    `spec.encoder.init` is not read: `epilm.hub` loads weights into the model that stands.

    Parameters
    ----------
    spec : ModelSpec
        With `factors`, `cells` and `states` filled in where the model needs them.
    seed : int, optional
        The weights are a function of it, and torch's own state is left as it was. Not
        given: drawn from torch's state.

    Raises
    ------
    RecipeError
        If a value is impossible, or two do not go together.

    Examples
    --------
    >>> from epilm.models.model_spec import EncoderSpec
    >>> model = build_model(
    ...     ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))
    ... )
    >>> model.encoder.vocab, model.tower
    (69, None)
    >>> model = build_model(
    ...     ModelSpec(
    ...         name="ebert",
    ...         streams=("dna", "states"),
    ...         k=3,
    ...         states=36,
    ...         encoder=EncoderSpec(size="tiny"),
    ...     )
    ... )
    >>> model.states.num_embeddings
    39
    """
    check_spec(spec)
    with seeded(seed):
        return MODELS[spec.name](spec)


def _check_words(spec: ModelSpec) -> None:
    """Refuse a model, or a word of its spec, that is not known."""
    if spec.name not in MODELS:
        raise RecipeError(
            "unknown model", where="model.name", found=spec.name, do=nearest(spec.name, MODELS)
        )
    for key, hint in get_type_hints(ModelSpec).items():
        known = get_args(hint)
        value = getattr(spec, key)
        if known and all(isinstance(choice, str) for choice in known) and value not in known:
            raise RecipeError(
                "unknown value", where=f"model.{key}", found=value, do=nearest(str(value), known)
            )
    if not 3 <= spec.k <= 7:
        raise RecipeError(
            "k-mers of this width have no vocabulary",
            where="model.k",
            found=spec.k,
            expected="3 to 7",
        )
    streams = STREAMS[spec.name]
    if set(spec.streams) - set(streams) or "dna" not in spec.streams:
        raise RecipeError(
            (
                f"the streams must be dna, and {' and '.join(streams[1:])} where wanted"
                if streams[1:]
                else f"{spec.name} reads dna alone"
            ),
            where="model.streams",
            found=list(spec.streams),
            do=(
                f"Set model.streams to a choice of [{', '.join(streams)}], or model.name to another"
                " model."
            ),
        )


def check_spec(spec: ModelSpec) -> None:
    """Refuse a spec that cannot become a model.

    Raises
    ------
    RecipeError
        Naming the key, the value and the cure.
    """
    _check_words(spec)
    factors, states = "factors" in spec.streams, "states" in spec.streams
    rules: tuple[Rule, ...] = (
        (
            spec.stride < 1,
            "stride",
            "tokens must move on",
            spec.stride,
            "Use 1, or k for tokens side by side.",
        ),
        (
            spec.stride > spec.k,
            "stride",
            f"bases between two {spec.k}-mers would never be read",
            spec.stride,
            f"Set model.stride={spec.k} too (tokens side by side), or less.",
        ),
        (
            spec.max_tokens < 8,
            "max_tokens",
            "an input this short holds nothing",
            spec.max_tokens,
            "Use at least 8.",
        ),
        (
            spec.stem is not None and min(spec.stem.filters, spec.stem.width) < 1,
            "stem",
            "a stem needs filters, and bases that they read",
            spec.stem,
            "Use filters 64 and width 20, or null for none.",
        ),
        *(
            _window_rules(spec, states)
            if spec.name in WINDOW_MODELS
            else _region_rules(spec, factors)
        ),
    )
    for broken, key, what, wrong, do in rules:
        if broken:
            raise RecipeError(what, where=f"model.{key}", found=wrong, do=do)


def _window_rules(spec: ModelSpec, states: bool) -> tuple[Rule, ...]:
    """What must hold for a model of windows; (broken, key, what, found, cure)."""
    return (
        (
            spec.name == "ebert" and not states,
            "streams",
            "ebert reads dna and states",
            list(spec.streams),
            "Set model.streams to [dna, states], or model.name to dbert.",
        ),
        (
            states and spec.states < 1,
            "states",
            "the stream states needs chromatin states",
            spec.states,
            "Build the store with states, or set model.name to dbert and model.streams to [dna].",
        ),
        (
            spec.states > MOST_STATES,
            "states",
            "a state is one byte in a store",
            spec.states,
            f"At most {MOST_STATES} states.",
        ),
        (
            spec.cell_embedding,
            "cell_embedding",
            "a model of windows must not know the cell type it is asked about",
            True,
            "Switch cell_embedding off: the states say what is particular to a cell type.",
        ),
        (
            spec.fusion != "none",
            "fusion",
            "windows have no factor matrix",
            spec.fusion,
            "Set fusion to none.",
        ),
        (
            spec.masked_factors,
            "masked_factors",
            "windows have no factor matrix",
            True,
            "Switch it off.",
        ),
        (
            spec.contacts != "none",
            "contacts",
            "windows have no contacts",
            spec.contacts,
            "Set contacts to none.",
        ),
    )


def _region_rules(spec: ModelSpec, factors: bool) -> tuple[Rule, ...]:
    """What must hold for a model of accessible regions; (broken, key, what, found, cure)."""
    return (
        (
            spec.regions < 1,
            "regions",
            "a sample needs a region",
            spec.regions,
            "Set it to at least 1.",
        ),
        (
            factors and spec.factors < 1,
            "factors",
            "the stream factors needs a factor matrix",
            spec.factors,
            "Build the store with motifs, or drop factors from model.streams.",
        ),
        (
            spec.fusion != "none" and not factors,
            "fusion",
            "fusion joins dna and factors",
            spec.fusion,
            "Add factors to model.streams, or set fusion to none.",
        ),
        (
            spec.masked_factors and spec.fusion == "none",
            "masked_factors",
            "hidden factor entries are predicted from both streams, which fusion=none keeps apart",
            spec.fusion,
            "Set model.fusion to concat or cross_attention.",
        ),
        (
            spec.fusion != "none" and not spec.masked_factors,
            "fusion",
            "no objective would train the fusion",
            spec.fusion,
            (
                "Give objectives.masked_factors a weight above 0, or set fusion to none"
                " (fine-tuning has its own)."
            ),
        ),
        (
            spec.masked_factors and spec.tower.prepare == "channels",
            "tower.prepare",
            "hidden entries need the third colour for their mark",
            "channels",
            "Set tower.prepare to resize.",
        ),
        (
            (spec.contacts != "none") != ("contacts" in spec.streams),
            "contacts",
            "the stream contacts and its use must be given together",
            spec.contacts,
            "Add contacts to model.streams and set model.contacts to bias or encoder, or neither.",
        ),
        (
            spec.contacts == "bias" and spec.layout != "per_region",
            "contacts",
            "contacts between regions need one vector a region",
            spec.layout,
            "Set model.layout to per_region.",
        ),
        (
            spec.next_segment == "bi" and spec.layout != "per_region",
            "next_segment",
            "form bi compares regions encoded apart",
            spec.layout,
            "Set model.layout to per_region.",
        ),
        (
            spec.cell_embedding and spec.cells < 1,
            "cell_embedding",
            "there are no cell types",
            spec.cells,
            "Fill cells from the store, or switch cell_embedding off.",
        ),
        (
            spec.projection_dim < 1,
            "projection_dim",
            "must be at least 1",
            spec.projection_dim,
            "Use 256.",
        ),
    )


def _genebert(spec: ModelSpec) -> GeneBERT:
    size = encoder_size(spec.encoder)
    hidden, vocab, dropout = size.hidden, vocab_size(spec.k), spec.encoder.dropout
    encoder = encoder_from_spec(
        spec.encoder,
        vocab,
        segments=2 if spec.segment == "pair" else max(2, spec.regions),
        # No index ever goes beyond the table (A1).
        max_positions=max(spec.encoder.max_positions, spec.max_tokens),
        stem=_stem(spec),
    )
    words = encoder.words.weight
    assert isinstance(words, nn.Parameter)
    tower = None
    if "factors" in spec.streams:
        at = spec.tower
        tower = build_region_tower(
            at.name,
            regions=spec.regions,
            factors=spec.factors,
            prepare=at.prepare,
            patch=at.patch,
            embed=at.embed,
            depths=at.depths,
            heads=at.heads,
            window=at.window,
            weights=at.weights,
            channels=2 if spec.masked_factors else None,
        )
    shared = hidden if spec.projection == "none" else spec.projection_dim
    aligned = tower is not None or spec.contacts == "encoder"
    return GeneBERT(
        encoder,
        MaskedHead(hidden, vocab, words),
        layout=spec.layout,
        pooling=spec.pooling,
        chunks=ChunkPool(hidden, spec.chunk_pool) if spec.layout == "chunk_rnn" else None,
        tower=tower,
        seq_projection=projection(spec.projection, hidden, shared) if aligned else None,
        region_projection=(
            projection(spec.projection, tower.dim, shared) if tower is not None else None
        ),
        pair_head=(
            PairHead(hidden, spec.next_segment, dropout) if spec.next_segment != "none" else None
        ),
        fusion=build_fusion(
            spec.fusion, hidden, tower.dim if tower is not None else 0, size.heads, dropout
        ),
        factor_head=FactorHead(hidden, spec.factors) if spec.masked_factors else None,
        contact_bias=ContactBias(hidden, size.heads) if spec.contacts == "bias" else None,
        contact_encoder=(
            ContactEncoder(spec.regions, hidden, shared) if spec.contacts == "encoder" else None
        ),
        cells=_cell_vectors(spec.cells, hidden) if spec.cell_embedding else None,
        token_heads=build_token_heads(spec, hidden),
        regions=spec.regions,
    )


def _ebert(spec: ModelSpec) -> EBERT:
    vocab = vocab_size(spec.k)
    encoder = encoder_from_spec(
        spec.encoder,
        vocab,
        max_positions=max(spec.encoder.max_positions, spec.max_tokens),
        stem=_stem(spec),
    )
    hidden = encoder.hidden
    head = MaskedHead(hidden, vocab, encoder.words.weight)
    of_tokens = build_token_heads(spec, hidden)
    if "states" not in spec.streams:
        return EBERT(encoder, head, token_heads=of_tokens, pooling=spec.pooling)
    rows = spec.states + N_SPECIAL_STATES
    states = nn.Embedding(rows, hidden, padding_idx=PAD_STATE)
    states.apply(init_weights)
    own = nn.Embedding(rows, hidden) if spec.state_output == "own" else None
    if own is not None:
        own.apply(init_weights)
    return EBERT(
        encoder,
        head,
        states=states,
        state_head=MaskedHead(hidden, rows, states.weight if own is None else own.weight),
        state_table=own,
        token_heads=of_tokens,
        combine=spec.state_combine,
        pooling=spec.pooling,
    )


def _stem(spec: ModelSpec) -> BaseStem | None:
    if spec.stem is None:
        return None
    hidden = encoder_size(spec.encoder).hidden
    return BaseStem(spec.k, spec.stride, spec.stem.filters, spec.stem.width, hidden)


def _cell_vectors(cells: int, hidden: int) -> nn.Embedding:
    table = nn.Embedding(cells, hidden)
    nn.init.normal_(table.weight, std=0.02)
    return table


# DNABERT is GeneBERT without a second stream, DBERT is EBERT without one.
MODELS: dict[str, Callable[[ModelSpec], GeneBERT | EBERT]] = {
    "genebert": _genebert,
    "dnabert": _genebert,
    "ebert": _ebert,
    "dbert": _ebert,
}
# What each may read; dna always.
STREAMS: dict[str, tuple[str, ...]] = {
    "genebert": ("dna", "factors", "contacts"),
    "dnabert": ("dna",),
    "ebert": ("dna", "states"),
    "dbert": ("dna",),
}
WINDOW_MODELS = ("ebert", "dbert")


def parameter_table(model: nn.Module) -> dict[str, int]:
    """Trainable numbers of each part of a model, and "total" with shared ones once.

    Examples
    --------
    >>> parameter_table(nn.Sequential(nn.Linear(2, 2), nn.GELU()))
    {'0': 6, 'total': 6}
    """
    parts = {name: count_parameters(part) for name, part in model.named_children()}
    own = sum(p.numel() for p in model.parameters(recurse=False))
    parts |= {"own": own} if own else {}
    return {name: n for name, n in parts.items() if n} | {"total": count_parameters(model)}

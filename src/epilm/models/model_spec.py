"""What a model is, as plain values: the dataclasses that a checkpoint keeps as JSON.

Builders read a spec and call layers with plain arguments; no layer ever sees one.
Defaults are the project's reading of the paper (protocols A1..A28).
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class EncoderSpec:
    """A BERT-arithmetic sequence encoder. `size` sets what is left None."""

    size: Literal["tiny", "small", "base", "large"] = "base"
    hidden: int | None = None
    layers: int | None = None
    heads: int | None = None
    ffn: int | None = None
    dropout: float = 0.1
    attention_dropout: float | None = None  # on attention weights; None: as `dropout`, as BERT
    max_positions: int = 512
    # How 512 trained position rows serve longer inputs.
    enlarge_positions: Literal["tile", "interpolate"] = "tile"
    # Distances in the attention, beside BERT's position table; ours (docs/explanation/rotary.md)
    rotary: bool = False
    checkpoint_activations: bool = False
    init: str | None = None  # folder of a DNABERT-layout or epilm checkpoint


@dataclass(frozen=True)
class TowerSpec:
    """A 2-D region tower. Names are the keys of REGION_TOWERS (nn/region.py)."""

    name: str = "native"
    # How R x F becomes the tower's image (A10); native towers take the matrix as it is.
    prepare: Literal["resize", "pad", "fold", "native", "channels"] = "native"
    patch: tuple[int, int] = (1, 4)
    # Sizes of a native or reduced tower; None = the published ones of `name`.
    embed: int | None = None
    depths: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    window: int | None = None
    weights: str | None = None  # local folder of ImageNet weights


@dataclass(frozen=True)
class StemSpec:
    """A stem of base resolution beside the k-mers (`epilm.models.stem`); ours, in no paper."""

    filters: int = 64
    width: int = 20  # bases that a filter reads: most motifs have 6 to 20


@dataclass(frozen=True)
class ModelSpec:
    """Streams and parts of a model; the checkpoint's `spec.json`."""

    name: Literal["genebert", "dnabert", "ebert", "dbert"] = "genebert"
    streams: tuple[Literal["dna", "factors", "contacts", "states"], ...] = ("dna", "factors")
    k: int = 6
    stride: int = 1
    regions: int = 10  # R
    factors: int = 0  # F, filled from the store
    cells: int = 0  # T, filled from the store
    encoder: EncoderSpec = field(default_factory=EncoderSpec)
    stem: StemSpec | None = None  # null: k-mers alone, as the papers
    tower: TowerSpec = field(default_factory=TowerSpec)
    layout: Literal["per_region", "concat", "concat_budget", "chunk_rnn"] = "per_region"
    chunk_pool: Literal["lstm", "mean"] = "lstm"  # joins the pieces of layout chunk_rnn
    join: Literal["sep", "raw"] = "sep"
    segment: Literal["pair", "region_index"] = "pair"
    max_tokens: int = 512  # ids of one encoder input, special tokens included
    pooling: Literal["cls", "pooler", "mean"] = "cls"
    cell_embedding: bool = False
    projection: Literal["none", "linear", "mlp"] = "linear"
    projection_dim: int = 256
    fusion: Literal["none", "concat", "cross_attention"] = "none"
    contacts: Literal["none", "bias", "encoder"] = "none"
    next_segment: Literal["none", "cross", "bi"] = "cross"  # which head is built
    masked_factors: bool = False  # whether the entry head is built
    # Windows (ebert, dbert; protocols 5.5, 5.7)
    states: int = 0  # chromatin states, filled from the store
    motif_sites: int = 0  # M, motifs asked about (objectives.motif_sites), filled from the store
    # tied: states are scored by their input vectors; own: by a table of their own (unstated in the
    # paper)
    state_output: Literal["tied", "own"] = "tied"
    state_combine: Literal["sum", "concat"] = (
        "sum"  # concat: both, then a linear layer back to hidden
    )
    special_tokens: bool = True  # [CLS] before and [SEP] after the tokens of a window
    tail: Literal["drop", "pad"] = (
        "drop"  # a last k-mer that is not whole: left out, or filled with N
    )
    pad_to_max: bool = (
        False  # pad windows to max_tokens, as the paper's 150; the answer is the same
    )

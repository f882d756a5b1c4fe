"""What is learned, as plain values: one frozen dataclass an objective (protocols 1.3, 2.3, 2.6).

`weight` 0 switches an objective off. `matching.weight` is the paper's lambda.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class MaskSpec:
    """Masked k-mers (protocols 1.3)."""

    weight: float = 1.0
    scheme: Literal["dnabert_span", "iid"] = "dnabert_span"
    rate: float = 0.15
    late_rate: float = 0.20
    late_from_step: int = 100_000  # steps before it use `rate`
    rate_mode: Literal["nominal", "exact"] = "nominal"
    random_from: Literal["vocab", "kmers_only"] = "vocab"
    span_tokens: int | None = None  # default k; 2k - 1 hides k whole bases


@dataclass(frozen=True)
class NextSegmentSpec:
    """Next genome segment (A5, A6)."""

    weight: float = 1.0
    form: Literal["cross", "bi"] = "cross"
    unit: Literal["region", "sample", "halves"] = "region"
    negative: Literal["same_cell", "other_cell", "same_chrom"] = "same_cell"
    # Pairs drawn from each sample (form cross, unit region); form bi uses all neighbours.
    pairs: int = 1


@dataclass(frozen=True)
class MatchingSpec:
    """Sequence-region matching (A11, A12, A14, A17, 2.4). `weight` is lambda."""

    weight: float = 0.5
    form: Literal["symmetric", "infonce_rows", "infonce_cols", "pooled_exp", "literal"] = (
        "symmetric"
    )
    input: Literal["masked", "clean"] = "masked"
    temperature: float = 0.07
    learn_temperature: bool = True
    normalise: bool = True
    # Samples contrasted with each other, over all devices; None = one micro-batch a device.
    batch: int | None = 128
    forbid_shared: bool = True


@dataclass(frozen=True)
class MaskedFactorsSpec:
    """Masked factor entries (2.6); weight 0 = off."""

    weight: float = 0.0
    unit: Literal["entry", "region", "factor"] = "entry"
    rate: float = 0.15
    loss: Literal["mse", "bce"] = "mse"


@dataclass(frozen=True)
class ContactsSpec:
    """Alignment of the contact stream with the sequence; weight 0 = off."""

    weight: float = 0.0


@dataclass(frozen=True)
class MaskedStatesSpec:
    """Masked chromatin states (protocols 5.7); weight 0 = off, in EBERT 1 - alpha."""

    weight: float = 0.0
    # What is hidden around a centre: flank_bp on either side (the paper), its bin, its run of equal
    # states
    mode: Literal["flank", "whole_bin", "run"] = "flank"
    n_centres: int = 1  # of a window; each is hidden and predicted
    flank_bp: int = 100
    flank_round: Literal["floor", "ceil"] = "floor"
    # What stands where a state is hidden: always [MASK], or 80 / 10 / 10 as for DNA
    replace: Literal["mask", "bert"] = "mask"


@dataclass(frozen=True)
class MotifSitesSpec:
    """Which of the store's motifs have a site at a token (ours, in no paper); weight 0 = off."""

    weight: float = 0.0
    # Names or ids of the motifs asked about; all of the store where none is given
    factors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectivesSpec:
    masked_kmers: MaskSpec = field(default_factory=MaskSpec)
    next_segment: NextSegmentSpec = field(default_factory=NextSegmentSpec)
    matching: MatchingSpec = field(default_factory=MatchingSpec)
    masked_factors: MaskedFactorsSpec = field(default_factory=MaskedFactorsSpec)
    contacts: ContactsSpec = field(default_factory=ContactsSpec)
    masked_states: MaskedStatesSpec = field(default_factory=MaskedStatesSpec)
    motif_sites: MotifSitesSpec = field(default_factory=MotifSitesSpec)
    # EBERT's one number: masked_kmers.weight = alpha, masked_states.weight = 1 - alpha. None: the
    # weights as given.
    alpha: float | None = None

    def parts(self) -> dict[str, Any]:
        """Give the spec of each objective by its name.

        Examples
        --------
        >>> list(ObjectivesSpec().parts())
        ['masked_kmers', 'next_segment', 'matching', 'masked_factors', 'contacts', 'masked_states',
        'motif_sites']
        """
        return {name: part for name, part in vars(self).items() if hasattr(part, "weight")}

"""Which samples a run draws from a store, as plain values (A7, A10, A14..A16, A21)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SampleSpec:
    """Groups of consecutive accessible regions of one cell type."""

    regions: int = 10
    group_stride: int = 10
    tail: Literal["drop", "pad", "cross"] = "drop"
    holdout_chroms: tuple[str, ...] = ()
    holdout_cells: tuple[str, ...] = ()
    # z-score per motif over training regions, score / maximum of the motif, or as stored
    normalise_factors: Literal["zscore", "max", "none"] = "zscore"
    factor_order: Literal["store", "id", "family"] = "store"
    matrix_weight: Literal["none", "accessibility"] = "none"

"""Which samples a run draws from a store, as plain values (A7, A10, A14..A16, A21)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SampleSpec:
    """What a sample is: consecutive accessible regions of one cell type, or a window of the genome
    in one.
    """

    unit: Literal["regions", "windows"] = "regions"

    regions: int = 10
    group_stride: int = 10
    tail: Literal["drop", "pad", "cross"] = "drop"
    holdout_chroms: tuple[str, ...] = ()
    holdout_cells: tuple[str, ...] = ()
    # z-score per motif over training regions, score / maximum of the motif, or as stored
    normalise_factors: Literal["zscore", "max", "none"] = "zscore"
    factor_order: Literal["store", "id", "family"] = "store"
    matrix_weight: Literal["none", "accessibility"] = "none"
    # What is read of a region begins up to this many bp to either side, drawn each time
    region_jitter: int = 0
    # Windows (unit windows; protocols 5.4, 5.5)
    window_bp: int = 1000
    window_stride: int | None = None  # distance of the grid's windows in bp; None = window_bp
    window_jitter: int = (
        0  # a window begins 0 to this many bp after its place on the grid, drawn each time
    )
    window_max_n: float = 0.05  # windows with a larger share of N are in no sample
    strands: Literal["forward", "both"] = (
        "forward"  # both: every other window, or region, is read from the other strand
    )
    # Of the windows of a step, the share that stands on accessible regions rather than on the grid
    on_regions: float = 0.0
    # And the share whose bases are shuffled: motif sites alone are asked there
    shuffled: float = 0.0

"""What scores variants, as the rest of the house sees it: pairs of windows, or changes of a genome.

Which of two haplotypes is REF is told to no `PairScorer`, and both windows go through a network in
passes of one shape, each different window once (`variants.passes`). So the last bit of a score
depends on no neighbour, batch or order, and REF and ALT swapped negate it exactly.
Axes: N pairs or changes, W bases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from epilm.tasks.reference import Reference
from epilm.variants.haplotypes import Change, WindowPairs

Values = NDArray[np.float64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Said:
    """Scores of N pairs on one strand.

    Attributes
    ----------
    sides : dict of str to float64 (N, 2)
        A value of each haplotype, in the pair's order.
    between : dict of str to float64 (N,)
        A distance of the two, the same in either order.
    """

    sides: dict[str, Values]
    between: dict[str, Values]


class PairScorer(Protocol):
    """A way to score pairs.

    Attributes
    ----------
    sides, between : tuple of str
        Names of the scores it gives.
    width : int or None
        Bases of a window it must be given; None: any.
    widest : int or None
        Most bases of a window; None: any.
    symmetric : bool
        It says the same of both strands of a window, and is asked about one.
    notes : list of str
        What a reader must know.
    network : module or None
        What computes, if it has weights.
    device : torch.device
    """

    sides: tuple[str, ...]
    between: tuple[str, ...]
    width: int | None
    widest: int | None
    symmetric: bool
    notes: list[str]
    network: nn.Module | None

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def __call__(self, pairs: WindowPairs) -> Said:
        """Score pairs as they are read, on the strand they are read from."""


class ChangeScorer(Protocol):
    """A way to score normalised changes on the windows that it cuts itself.

    Attributes
    ----------
    columns : dict of str to str
        What it gives, and what each is.
    ranked : dict of str to str
        Columns that say how large an effect is, each with the name of its percentile.
    words : dict of str to tuple of str
        Columns whose values are numbers of words.
    notes : list of str
        What a reader must know.
    windows : str
        A line on what is read.
    device : torch.device or None
        Where a network computes, if there is one.
    """

    columns: dict[str, str]
    ranked: dict[str, str]
    words: dict[str, tuple[str, ...]]

    @property
    def notes(self) -> list[str]:
        """What a reader must know."""

    @property
    def windows(self) -> str:
        """What is read."""

    @property
    def device(self) -> torch.device | None:
        """Where a network computes."""

    def reason(self, bases: Codes, change: Change) -> str | None:
        """Say why a change of a chromosome cannot be scored, a key of `haplotypes.REASONS`; None
        where it can.
        """

    def identity(self) -> dict[str, Any]:
        """Give all that the scores depend on beside changes and genome, as JSON values."""

    def __call__(self, changes: Sequence[Change], genome: Reference) -> dict[str, Values]:
        """Give the columns, float64 (N,) each, of changes that can be scored."""

"""What motifs say of two haplotypes. Axes: N pairs, W bases, F motifs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from epilm.motifs.log_odds import log_odds
from epilm.motifs.motif import Motif
from epilm.motifs.scan import best_scores
from epilm.variants.haplotypes import WindowPairs
from epilm.variants.scorers import Said


class MotifScorer:
    """The best log-odds of each motif among the sites that touch the allele.

    Both strands of a site count, so both strands of a window say the same. Scores are floored at
    0, as in a store's factor matrix.

    Parameters
    ----------
    motifs : sequence of Motif
    largest : bool
        In place of a score a motif: the scores of the motif whose two are furthest apart,
        `motif_largest`, and how far they are apart over all motifs together, `motifs_changed`.
    """

    between: tuple[str, ...]
    width: int | None = None
    widest: int | None = None
    symmetric = False
    network: nn.Module | None = None
    device = torch.device("cpu")

    def __init__(self, motifs: Sequence[Motif], largest: bool = False) -> None:
        self.notes: list[str] = []
        self.motifs = list(motifs)
        self.pwms = [log_odds(motif) for motif in motifs]
        self.widths = np.array([motif.width for motif in motifs])
        names = [motif.name or motif.id for motif in motifs]
        ids = [motif.id for motif in motifs]
        once = len(set(names)) == len(names)
        self.largest = largest
        self.sides = tuple(f"motif_{name}" for name in (names if once else ids))
        self.between = ("motifs_changed",) if largest else ()
        if largest:
            self.sides = ("motif_largest",)

    def __call__(self, pairs: WindowPairs) -> Said:
        """See `PairScorer`."""
        n, _, width = pairs.codes.shape
        values = np.empty((2 * n, len(self.motifs)))
        offset = width * np.arange(2 * n)
        begin, ends = pairs.begin.reshape(-1), pairs.ends.reshape(-1)
        for motif_width in set(self.widths):
            reach = max(motif_width, 2) - 1  # a site of one base touches a junction beside it
            first = offset + np.maximum(begin - reach, 0)
            last = offset + np.minimum(ends + reach, width)
            of_width = np.flatnonzero(self.widths == motif_width)
            pwms = [self.pwms[f] for f in of_width]
            flat = pairs.codes.reshape(-1)
            values[:, of_width] = best_scores(flat, first, last, pwms, floor=True)
        values = values.reshape(n, 2, -1)
        if self.largest:
            # The same motif in either order of the two, and on either strand.
            apart = np.abs(values[:, 0] - values[:, 1])  # (N, F)
            most = values[np.arange(n), :, apart.argmax(1)]
            return Said({self.sides[0]: most}, {self.between[0]: apart.sum(1)})
        return Said({name: values[:, :, f] for f, name in enumerate(self.sides)}, {})


def motifs_from(path: str | Path, largest: bool = False) -> MotifScorer:
    """Make it of a file of motifs."""
    from epilm.motifs.formats import read_motifs

    return MotifScorer(read_motifs(path), largest)

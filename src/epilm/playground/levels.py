"""How much of each gene is there in each cell type, as transcripts per million.

A gene is high where the region of its promoter is open and sites near its start are bound, and
higher with a TATA box and with open distal regions within reach; the rest is noise. Distal regions
open by cell type, so that cell types differ by more than the promoter says.
Axes: N genes, T cell types.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.playground.bases import PlantedGene
from epilm.playground.ground_plan import DISTAL, Opening, generator

NEAR, REACH = 256, 10_000  # bp beside a start: bound sites, open distal regions
_LOWEST, _OPEN, _BOUND, _TATA, _ENHANCER, _NOISE = 0.5, 2.0, 0.4, 0.7, 0.3, 0.4
MOST = 6  # distal regions that count


def gene_levels(
    seed: int,
    chrom: int,
    genes: Sequence[PlantedGene],
    regions: pd.DataFrame,
    sites: pd.DataFrame,
    bound: NDArray[np.bool_],
    opening: Opening,
) -> NDArray[np.float64]:
    """Transcripts per million of the genes of a chromosome, float64 (N, T), before they are scaled.

    Parameters
    ----------
    regions, sites : DataFrame
        Of the chromosome, with start and end.
    bound : bool (S, T)
        Which site is bound in which cell type.
    """
    noise = generator(seed, "levels", chrom).normal(
        0, _NOISE, (len(genes), opening.strong.shape[1])
    )
    middle = ((sites["start"] + sites["end"]) // 2).to_numpy()
    centre = ((regions["start"] + regions["end"]) // 2).to_numpy()
    distal = regions["kind"].to_numpy() == DISTAL
    logs = noise + _LOWEST
    for row, gene in enumerate(genes):
        near = np.abs(middle - gene.tss) <= NEAR
        reached = distal & (np.abs(centre - gene.tss) <= REACH)
        logs[row] += _OPEN * opening.strong[gene.region] + _BOUND * bound[near].sum(0)
        logs[row] += _TATA * gene.tata + _ENHANCER * np.minimum(
            opening.strong[reached].sum(0), MOST
        )
    return np.exp(logs)


def level_lines(
    cells: Sequence[str], names: Sequence[str], levels: NDArray[np.float64]
) -> Iterator[str]:
    """Lines of a table genes x cell types; a cell type sums up to a million.

    Examples
    --------
    >>> list(level_lines(["a"], ["G1", "G2"], np.array([[1.0], [3.0]])))
    ['gene\\ta\\n', 'G1\\t250000.00\\n', 'G2\\t750000.00\\n']
    """
    yield "\t".join(["gene", *cells]) + "\n"
    for name, row in zip(names, levels / levels.sum(0) * 1e6, strict=True):
        yield "\t".join([name, *(f"{value:.2f}" for value in row)]) + "\n"

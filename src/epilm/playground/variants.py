"""Variants with a known effect: motifs broken, splice sites lost, promoters broken, and harmless
ones.

Needs the bases and the planted sites; used by simulate.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.playground.bases import CORE, PAIR, PROGRAMME_SITE, PROMOTER_SITE, PlantedGene
from epilm.playground.ground_plan import Opening, Size, generator
from epilm.playground.programmes import planted_motifs

EFFECTS = ("breaks_motif", "spares_motif", "donor", "acceptor", "tata", "initiator", "neutral")
_SHARE = (0.34, 0.1, 0.06, 0.06, 0.04, 0.04, 0.36)


def make_variants(
    size: Size,
    seed: int,
    chrom: int,
    codes: NDArray[np.uint8],
    regions: pd.DataFrame,
    sites: pd.DataFrame,
    genes: list[PlantedGene],
    opening: Opening,
) -> pd.DataFrame:
    """Draw the variants of one chromosome.

    Returns
    -------
    DataFrame sorted by position, positions unique
        pos (0-based), ref, alt, effect, causal (bool), factor, delta (change of the site's
        log-odds, alt - ref, natural log; 0 where none), cells (types in which the region is open).
    """
    rng = generator(seed, "variants", chrom)
    total = size.variants * size.chroms[chrom] // sum(size.chroms)
    number = dict(zip(EFFECTS, (max(1, int(total * share)) for share in _SHARE)))
    rows: list[tuple[int, str, str, str, bool, str, float, str]] = []
    taken: set[int] = set()
    covered = np.zeros(len(codes), np.bool_)
    for start, end in zip(sites["start"], sites["end"]):
        covered[start:end] = True
    for gene in genes:
        covered[gene.start - 60 : gene.end + 60] = True

    def add(
        pos: int, alt: int, effect: str, factor: str = ".", delta: float = 0.0, region: int = -1
    ) -> None:
        ref = int(codes[pos])
        if pos in taken or ref > 3 or ref == alt:
            return
        taken.add(pos)
        cells = (
            ".".join(size.cell_types[c] for c in np.flatnonzero(opening.strong[region]))
            if region >= 0
            else ""
        )
        causal = effect not in ("neutral", "spares_motif")
        rows.append(
            (
                pos,
                "ACGT"[ref],
                "ACGT"[alt],
                effect,
                causal,
                factor,
                delta,
                cells.replace(".", "|") or ".",
            )
        )

    kind = sites["kind"].to_numpy()
    columns = ("start", "end", "strand", "motif", "region")
    begin, finish, side, which, owner = (sites[name].to_numpy().astype(int) for name in columns)
    usable = np.flatnonzero(np.isin(kind, (PROGRAMME_SITE, PAIR, PROMOTER_SITE)))
    for effect in ("breaks_motif", "spares_motif"):
        for row in rng.permutation(usable)[: number[effect]].tolist():
            motif, plus = planted_motifs()[which[row]], side[row] > 0
            table = motif.log_odds
            here = codes[begin[row] : finish[row]]
            oriented = here if plus else 3 - here[::-1]
            loss = table[np.arange(motif.width), oriented][:, None] - table
            loss[np.arange(motif.width), oriented] = -np.inf if effect == "breaks_motif" else np.inf
            if effect == "breaks_motif":
                column, alt = np.unravel_index(int(loss.argmax()), loss.shape)
            else:
                column, alt = np.unravel_index(int(np.abs(loss).argmin()), loss.shape)
            delta = -float(loss[column, alt])
            pos = int(begin[row] + column) if plus else int(finish[row] - 1 - column)
            add(
                pos,
                int(alt) if plus else 3 - int(alt),
                effect,
                motif.name,
                round(delta, 3),
                owner[row],
            )
    spliced = [gene for gene in genes if len(gene.exons) > 1]
    for effect in ("donor", "acceptor"):
        for _ in range(number[effect] if spliced else 0):
            gene = spliced[int(rng.integers(len(spliced)))]
            gap = int(rng.integers(len(gene.exons) - 1))
            left, right = gene.exons[gap][1], gene.exons[gap + 1][0]
            at_left = (effect == "donor") == (gene.strand > 0)
            pos = (
                int(rng.integers(left, left + 2))
                if at_left
                else int(rng.integers(right - 2, right))
            )
            add(pos, int((codes[pos] + rng.integers(1, 4)) % 4), effect, region=gene.region)
    with_tata = np.flatnonzero(kind == CORE)
    for _ in range(number["tata"] if len(with_tata) else 0):
        pick = int(with_tata[int(rng.integers(len(with_tata)))])
        base = int(rng.integers(1, 7))
        pos = int(begin[pick] + base) if side[pick] > 0 else int(finish[pick] - 1 - base)
        add(pos, 2 if side[pick] > 0 else 1, "tata", "TBP", region=owner[pick])
    for _ in range(number["initiator"] if genes else 0):
        gene = genes[int(rng.integers(len(genes)))]
        add(gene.tss, 2 if gene.strand > 0 else 1, "initiator", region=gene.region)
    free = np.flatnonzero(~covered & (codes < 4))
    starts, ends = regions["start"].to_numpy(), regions["end"].to_numpy()
    for pos in rng.choice(free, number["neutral"], replace=False):
        hit = int(np.searchsorted(starts, pos, "right")) - 1
        inside = hit if hit >= 0 and pos < ends[hit] else -1
        add(int(pos), int((codes[pos] + rng.integers(1, 4)) % 4), "neutral", region=inside)
    table_ = pd.DataFrame(
        rows, columns=["pos", "ref", "alt", "effect", "causal", "factor", "delta", "cells"]
    )
    return table_.sort_values("pos", ignore_index=True)

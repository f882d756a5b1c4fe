"""What is measured in the invented genome: states, signals, bound sites, reads of cells, contacts.

Everything follows from the layout and the planted sites, with noise that a real
assay would have: a tenth of the active enhancers carry no state, primed ones do
although nothing binds there, relaxed peaks hold false ones.
Axes: R regions, T cell types, S sites, N bins of 200 bp.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from epilm.playground.bases import APART, PlantedGene
from epilm.playground.ground_plan import (
    DISTAL,
    EMPTY,
    GAP,
    GENE,
    INSULATOR,
    PROMOTER,
    SILENCER,
    Opening,
    Size,
    Slots,
    active_programmes,
    generator,
)

STATE_BIN = 200
# Roadmap's 15-state names (protocols 5.3); the number is part of the name in the files.
STATES = (
    "1_TssA",
    "2_TssAFlnk",
    "3_TxFlnk",
    "4_Tx",
    "5_TxWk",
    "6_EnhG",
    "7_Enh",
    "8_ZNF/Rpts",
    "9_Het",
    "10_TssBiv",
    "11_BivFlnk",
    "12_EnhBiv",
    "13_ReprPC",
    "14_ReprPCWk",
    "15_Quies",
)


def chromatin_states(
    size: Size,
    seed: int,
    chrom: int,
    slots: Slots,
    regions: pd.DataFrame,
    opening: Opening,
    genes: list[PlantedGene],
) -> NDArray[np.uint8]:
    """State 1..15 of each 200 bp bin in each cell type, 0 where the assembly has a gap.

    Returns
    -------
    uint8, shape (T, N)
        N = chromosome length // 200; a last partial bin is not covered, as in Roadmap's files.
    """
    rng = generator(seed, "states", chrom)
    n_bins, n_slots = size.chroms[chrom] // STATE_BIN, len(slots.kind)
    slot_of = np.minimum((np.arange(n_bins) * STATE_BIN + STATE_BIN // 2) // size.slot, n_slots - 1)
    active = active_programmes(size)
    on = opening.strong | opening.primed
    first = (regions["start"].to_numpy() + 60) // STATE_BIN
    last = np.minimum((regions["end"].to_numpy() - 61) // STATE_BIN, n_bins - 1)
    kind = regions["kind"].to_numpy()
    is_start = (kind == PROMOTER) | (kind == GENE)
    states = np.zeros((size.cells, n_bins), np.uint8)
    for cell in range(size.cells):
        domain_on = active[slots.programme, cell]
        dice = rng.random(n_slots)
        ground = np.where(domain_on, np.where(dice < 0.25, 5, 15), np.where(dice < 0.45, 14, 15))
        ground = np.where(~domain_on & (dice > 0.88), 13, ground)
        ground = np.where(slots.kind == EMPTY, np.where(dice < 0.5, 9, 8), ground)
        row = ground[slot_of].astype(np.uint8)
        for gene in genes:
            if len(gene.exons) > 1 and on[gene.region, cell]:
                row[gene.start // STATE_BIN : gene.end // STATE_BIN] = 4
        marked = np.where(on[:, cell], rng.random(len(on)) < 0.9, rng.random(len(on)) < 0.03)
        state = np.select(
            [kind == DISTAL, is_start, kind == SILENCER, kind == INSULATOR],
            [7, 1, 12, np.where(rng.random(len(on)) < 0.4, 7, 15)],
        ).astype(np.uint8)
        bivalent = is_start & ~marked & (rng.random(len(on)) < 0.5)
        state[bivalent] = 10
        marked |= bivalent
        for flank in (-1, 1):
            bins = np.clip(np.where(flank < 0, first - 1, last + 1), 0, n_bins - 1)[
                is_start & marked
            ]
            row[bins] = np.where(state[is_start & marked] == 10, 11, 2)
        for step in range(int((last - first).max(initial=0)) + 1):
            rows = np.flatnonzero(marked & (first + step <= last))
            row[first[rows] + step] = state[rows]
        noisy = rng.random(n_bins) < 0.02
        row[noisy] = rng.integers(1, len(STATES) + 1, int(noisy.sum()))
        row[slots.kind[slot_of] == GAP] = 0
        states[cell] = row
    return states


def state_runs(row: NDArray[np.uint8]) -> pd.DataFrame:
    """Runs of equal state as start, end, state; bins of state 0 are left out.

    Examples
    --------
    >>> state_runs(np.array([0, 7, 7, 15], np.uint8)).to_dict("list")
    {'start': [200, 600], 'end': [600, 800], 'state': ['7_Enh', '15_Quies']}
    """
    edges = np.flatnonzero(np.diff(row.astype(np.int16))) + 1
    start, end = np.append(0, edges), np.append(edges, len(row))
    code = row[start]
    keep = code > 0
    return pd.DataFrame(
        {
            "start": start[keep] * STATE_BIN,
            "end": end[keep] * STATE_BIN,
            "state": np.array(STATES, dtype=object)[code[keep].astype(int) - 1],
        }
    )


def accessibility(
    size: Size, regions: pd.DataFrame, height: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """A bell over every region that is not closed, in steps: start, end, value; nothing
    elsewhere.
    """
    rows = np.flatnonzero(height > 0.5)
    start, end = regions["start"].to_numpy()[rows], regions["end"].to_numpy()[rows]
    steps = -(-(end - start) // size.signal_step)
    owner = np.repeat(np.arange(len(rows)), steps)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(steps) - steps, steps)
    begin = start[owner] + number * size.signal_step
    finish = np.minimum(begin + size.signal_step, end[owner])
    middle, spread = (start + end)[owner] / 2, (end - start)[owner] / 4
    value = height[rows][owner] * np.exp(-0.5 * (((begin + finish) / 2 - middle) / spread) ** 2)
    return begin, finish, np.round(value, 2).astype(np.float32)


def mappability(
    length: int, codes: NDArray[np.uint8], repeats: pd.DataFrame
) -> list[tuple[int, int, float]]:
    """Mappability of a chromosome as sorted runs (start, end, value): 1, less in repeats, 0 in gaps
    (no run).
    """
    level = np.full(length, 100, np.int16)
    for start, end, family in zip(repeats["start"], repeats["end"], repeats["family"]):
        level[start:end] = 25 + 10 * family
    level[codes == 4] = 0
    edges = np.flatnonzero(np.diff(level)) + 1
    begin, finish = np.append(0, edges), np.append(edges, length)
    value = level[begin] / 100
    return [(int(b), int(f), float(v)) for b, f, v in zip(begin, finish, value) if v > 0]


def bound_sites(seed: int, chrom: int, sites: pd.DataFrame, opening: Opening) -> NDArray[np.bool_]:
    """Which site is bound in which cell type, bool (S, T): motif and open state, and for pairs the
    right spacing.
    """
    rng = generator(seed, "bound", chrom)
    region = sites["region"].to_numpy()
    kind = sites["kind"].to_numpy()
    chance = np.where(kind == APART, 0.12, 0.95)
    open_here = opening.strong[np.maximum(region, 0)] & (region >= 0)[:, None]
    return open_here & (rng.random(open_here.shape) < chance[:, None])


def chip_peaks(
    seed: int,
    chrom: int,
    motif: int,
    cell: int,
    regions: pd.DataFrame,
    sites: pd.DataFrame,
    bound: NDArray[np.bool_],
    opening: Opening,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Conservative and relaxed peaks of one factor in one cell type.

    Conservative: 96 % of the bound sites. Relaxed: those, the other bound ones, a third of the
    sites in primed regions, and 1.5 % of the open regions without the motif.

    Returns
    -------
    two DataFrames with start, end, summit (offset), signal; sorted
    """
    rng = generator(seed, f"chip {motif} {cell}", chrom)
    mine = (sites["motif"].to_numpy() == motif) & (sites["region"].to_numpy() >= 0)
    region = sites["region"].to_numpy()
    dice = rng.random((len(sites), 2))
    really = mine & bound[:, cell]
    weak = mine & opening.primed[np.maximum(region, 0), cell] & (dice[:, 0] < 0.33)
    has = np.zeros(len(regions), np.bool_)
    has[region[mine]] = True
    false = np.flatnonzero(opening.strong[:, cell] & ~has & (rng.random(len(regions)) < 0.015))
    middle = ((sites["start"] + sites["end"]) // 2).to_numpy()

    def table(at: NDArray[np.int64], signal: NDArray[np.float64]) -> pd.DataFrame:
        half = rng.integers(100, 141, (2, len(at)))
        summit = at + rng.integers(-8, 9, len(at))
        start = np.maximum(at - half[0], 0)
        rows = pd.DataFrame(
            {
                "start": start,
                "end": at + half[1],
                "summit": summit - start,
                "signal": np.round(signal, 3),
            }
        )
        return rows

    strength = opening.height[np.maximum(region, 0), cell] * (1 + sites["score"].to_numpy() / 20)
    rows = np.flatnonzero(really)
    sure = dice[rows, 1] < 0.96
    strong = table(middle[rows], strength[rows].astype(np.float64))
    faint_rows = np.flatnonzero(weak)
    faint = table(middle[faint_rows], strength[faint_rows].astype(np.float64) + 2)
    centre = ((regions["start"] + regions["end"]) // 2).to_numpy()[false]
    stray = table(centre, rng.uniform(2, 6, len(false)))
    order = ["start", "end"]
    conservative = strong[sure].sort_values(order, ignore_index=True)
    relaxed = pd.concat([strong, faint, stray]).sort_values(order, ignore_index=True)
    return conservative, relaxed


def cell_counts(size: Size, seed: int, chrom: int, opening: Opening) -> sparse.csr_matrix:
    """Reads of single cells over the regions of one chromosome, int32 (R, cells), cells of a type
    together.
    """
    rng = generator(seed, "counts", chrom)
    depth = generator(seed, "depth").lognormal(0, 0.3, (size.cells, size.cells_per_type))
    blocks = []
    for cell in range(size.cells):
        rate = np.where(opening.height[:, cell] > 1, opening.height[:, cell] * (0.25 / 20), 0.0003)
        blocks.append(sparse.csr_matrix(rng.poisson(rate[:, None] * depth[cell]).astype(np.int32)))
    return sparse.hstack(blocks, format="csr")


def contact_map(
    size: Size, seed: int, chrom: int, slots: Slots
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Raw contacts of one chromosome's bins, upper triangle: bin, bin, count (> 0).

    They fall with distance, and are 3 times as many inside a domain and 1.5 times between
    domains of one programme.
    """
    rng = generator(seed, "contacts", chrom)
    n = -(-size.chroms[chrom] // size.contact_bin)
    middle = np.minimum(
        np.arange(n) * size.contact_bin + size.contact_bin // 2, size.chroms[chrom] - 1
    )
    slot = np.minimum(middle // size.slot, len(slots.kind) - 1)
    programme, domain, gap = slots.programme[slot], slots.domain[slot], slots.kind[slot] == GAP
    one, two, count = [], [], []
    for distance in range(min(size.contact_reach, n)):
        a = np.arange(n - distance)
        b = a + distance
        expected = 80.0 / (1 + distance) ** 0.9
        factor = np.where(
            domain[a] == domain[b], 3.0, np.where(programme[a] == programme[b], 1.5, 1.0)
        )
        seen = rng.poisson(expected * factor * ~(gap[a] | gap[b]))
        keep = seen > 0
        one.append(a[keep])
        two.append(b[keep])
        count.append(seen[keep])
    first, second, number = np.concatenate(one), np.concatenate(two), np.concatenate(count)
    order = np.lexsort((second, first))
    return first[order], second[order], number[order]

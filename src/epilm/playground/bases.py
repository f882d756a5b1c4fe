"""The bases of the invented genome: background, planted sites, promoters, splice signals.

Background is a second-order Markov chain of its own for every programme, as
isochores differ; on it are written cassettes of motif sites, promoter cores,
genes with GT..AG introns, decoy sites in closed ground, and repeats.
Needs numpy; used by simulate. Axes: G bases of a chromosome, S sites.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.playground.ground_plan import (
    DISTAL,
    EMPTY,
    GAP,
    GENE,
    INSULATOR,
    PROMOTER,
    SILENCER,
    Size,
    Slots,
    generator,
)
from epilm.playground.programmes import (
    INSULATOR_FACTOR,
    N_PROGRAMMES,
    PROGRAMMES,
    PROMOTER_FACTORS,
    SILENCER_FACTOR,
    TATA_FACTOR,
    draw_sites,
    motif_index,
    planted_motifs,
    reverse_complement,
)

Codes = NDArray[np.uint8]
ISLAND = N_PROGRAMMES  # added to a programme: its chain inside CpG islands
SITE_COLUMNS = ("chrom", "start", "end", "strand", "motif", "region", "kind", "pair", "score")
# What a site is for. "pair" binds well, "apart" is the same pair at a wrong spacing and binds
# badly.
SITE_KINDS = ("programme", "pair", "apart", "promoter", "extra", "core", "decoy")
PROGRAMME_SITE, PAIR, APART, PROMOTER_SITE, EXTRA, CORE, DECOY = range(7)
_SLOTS_OF_CASSETTE = 6


def chains(seed: int) -> NDArray[np.float32]:
    """Transition edges of the background chains, float32 (2 P, 16, 3), cumulative over A, C, G.

    Rows P and above are those of CpG islands: the programme's own chain with more G and C,
    and CpG not depleted.
    """
    rng = generator(seed, "chains")
    gc = rng.permutation(np.linspace(0.34, 0.58, N_PROGRAMMES))
    base = np.stack([(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2], 1)
    tables = np.repeat(base[:, None], 16, 1)
    tables *= np.exp(rng.normal(0, 0.3, (N_PROGRAMMES, 16, 4)))
    islands = tables.copy()
    islands[:, :, 1:3] *= 1.35
    tables[:, 1::4, 2] *= 0.3  # CpG is rare outside islands
    tables = np.concatenate([tables, islands])
    tables /= tables.sum(2, keepdims=True)
    return tables.cumsum(2)[:, :, :3].astype(np.float32)


def background(size: Size, seed: int, chrom: int, chain: NDArray[np.int8]) -> Codes:
    """Draw the background, all slots side by side, base after base. Returns uint8 (G,)."""
    rng = generator(seed, "background", chrom)
    edges = chains(seed)
    n = len(chain)
    codes = np.empty((size.slot, n), np.uint8)
    codes[:2] = rng.integers(0, 4, (2, n))
    for row in range(2, size.slot):
        cut = edges[chain, codes[row - 2] * np.uint8(4) + codes[row - 1]]
        codes[row] = (rng.random(n, np.float32)[:, None] > cut).sum(1)
    flat = codes.T.reshape(-1)
    rest = size.chroms[chrom] - len(flat)
    return np.concatenate([flat, rng.integers(0, 4, rest).astype(np.uint8)])


def _choose_motifs(
    regions: pd.DataFrame, rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.int64], NDArray[np.int8]]:
    """Which motifs each region's cassette holds: motif, site kind, gap before, strand, each (R,
    6).
    """
    index = motif_index()
    n = len(regions)
    shape = (n, _SLOTS_OF_CASSETTE)
    motif = np.full(shape, -1, np.int16)
    kind = np.full(shape, PROGRAMME_SITE, np.int8)
    gap = rng.integers(3, 13, shape)
    strand = np.where(rng.random(shape) < 0.5, 1, -1).astype(np.int8)
    region_kind, programme = regions["kind"].to_numpy(), regions["programme"].to_numpy()
    for number, rule in enumerate(PROGRAMMES):
        rows = np.flatnonzero((region_kind == DISTAL) & (programme == number))
        m = len(rows)
        leads = np.array([index[name] for name in rule.leads], np.int16)
        # Up to three different leads besides the pair.
        picked = leads[rng.permuted(np.tile(np.arange(4), (m, 1)), axis=1)[:, :3]]
        keep = np.arange(3) < 1 + rng.binomial(2, 0.75, m)[:, None]
        motif[rows, 2:5] = np.where(keep, picked, -1)
        assert rule.pair is not None
        paired = rows[rng.random(m) < 0.55]
        good = rng.random(len(paired)) < 0.7
        wrong = (rule.gap + rng.integers(3, 16, len(paired))) % 19
        motif[paired, 0], motif[paired, 1] = index[rule.pair[0]], index[rule.pair[1]]
        gap[paired, 1] = np.where(good, rule.gap, wrong)
        strand[paired, 0] = 1
        side = 1 if rule.strands == "++" else -1
        strand[paired, 1] = np.where(good | (rng.random(len(paired)) < 0.5), side, -side)
        kind[paired[:, None], [0, 1]] = np.where(good, PAIR, APART)[:, None]
    house = np.array([index[name] for name in PROMOTER_FACTORS], np.int16)
    rows = np.flatnonzero(np.isin(region_kind, (PROMOTER, GENE)))
    picked = house[rng.permuted(np.tile(np.arange(len(house)), (len(rows), 1)), axis=1)[:, :3]]
    keep = np.arange(3) < 2 + (rng.random(len(rows)) < 0.4)[:, None]
    motif[rows, :3], kind[rows, :3] = np.where(keep, picked, -1), PROMOTER_SITE
    # Promoters and insulators often carry a lead factor of the domain they lie in.
    leads_of = np.array([[index[name] for name in rule.leads] for rule in PROGRAMMES], np.int16)
    near = np.flatnonzero(np.isin(region_kind, (PROMOTER, GENE, INSULATOR)) & (rng.random(n) < 0.6))
    motif[near, 3] = leads_of[
        regions["domain_programme"].to_numpy()[near], rng.integers(0, 4, len(near))
    ]
    motif[region_kind == INSULATOR, 0] = index[INSULATOR_FACTOR]
    motif[region_kind == SILENCER, 0] = index[SILENCER_FACTOR]
    # A factor of no programme, now and then.
    rows = np.flatnonzero((rng.random(n) < 0.25) & ~np.isin(region_kind, (PROMOTER, GENE)))
    motif[rows, 5] = rng.integers(0, len(planted_motifs()) - 1, len(rows))
    kind[rows, 5] = EXTRA
    return motif, kind, gap, strand


def cassettes(seed: int, chrom: int, regions: pd.DataFrame) -> pd.DataFrame:
    """Lay the sites of every region out around its centre (promoters: upstream of the start).

    Returns
    -------
    DataFrame of sites with SITE_COLUMNS, sequence not yet drawn (score 0)
        `pair` numbers the two members of a pair alike (-1 without).
    """
    rng = generator(seed, "cassettes", chrom)
    motif, kind, gap, strand = _choose_motifs(regions, rng)
    widths = np.array([m.width for m in planted_motifs()])
    used = motif >= 0
    width = np.where(used, widths[np.maximum(motif, 0)], 0)
    begin = np.cumsum(np.where(used, gap + width, 0), 1) - width
    first = np.argmax(used, 1)
    begin -= gap[np.arange(len(gap)), first][:, None]  # no gap before the first site
    total = np.where(used, begin + width, 0).max(1)
    # Half of the cassettes are mirrored: pairs are seen from both strands.
    mirror = (rng.random(len(regions)) < 0.5)[:, None]
    begin = np.where(mirror, total[:, None] - begin - width, begin)
    strand = np.where(mirror, -strand, strand)
    centre = ((regions["start"] + regions["end"]) // 2).to_numpy()
    tss, side = regions["tss"].to_numpy(), regions["strand"].to_numpy()
    jitter = rng.integers(-12, 13, len(regions))
    origin = np.where(
        tss < 0, centre - total // 2 + jitter, np.where(side > 0, tss - 48 - total, tss + 49)
    )
    row, column = np.nonzero(used)
    in_pair = np.isin(kind[row, column], (PAIR, APART))
    start = origin[row] + begin[row, column]
    return pd.DataFrame(
        {
            "chrom": regions["chrom"].to_numpy()[row],
            "start": start,
            "end": start + width[row, column],
            "strand": strand[row, column],
            "motif": motif[row, column],
            "region": row,
            "kind": kind[row, column],
            "pair": np.where(in_pair, row, -1),
            "score": np.float32(0),
        }
    )


def promoter_cores(
    seed: int, chrom: int, regions: pd.DataFrame, tata: NDArray[np.bool_]
) -> pd.DataFrame:
    """TATA boxes as sites: the box (index 1 of MA0108.2) starts 31 bp before the start of
    transcription.
    """
    motif = motif_index()[TATA_FACTOR]
    width = planted_motifs()[motif].width
    row = np.flatnonzero(tata)
    tss, side = regions["tss"].to_numpy()[row], regions["strand"].to_numpy()[row]
    start = np.where(side > 0, tss - 32, tss + 33 - width)
    return pd.DataFrame(
        {
            "chrom": np.int16(chrom),
            "start": start,
            "end": start + width,
            "strand": side.astype(np.int8),
            "motif": np.int16(motif),
            "region": row,
            "kind": np.int8(CORE),
            "pair": -1,
            "score": np.float32(0),
        }
    )


def decoys(size: Size, seed: int, chrom: int, slots: Slots) -> pd.DataFrame:
    """Motif sites in ground that is closed everywhere: the first bases of distal and empty
    slots.
    """
    rng = generator(seed, "decoys", chrom)
    slot = np.flatnonzero(np.isin(slots.kind, (EMPTY, DISTAL)))
    slot = slot[rng.random(len(slot)) < 0.7]
    motif = rng.integers(0, len(planted_motifs()) - 1, len(slot)).astype(np.int16)
    width = np.array([m.width for m in planted_motifs()])[motif]
    start = slot * size.slot + rng.integers(2, 20, len(slot))
    return pd.DataFrame(
        {
            "chrom": np.int16(chrom),
            "start": start,
            "end": start + width,
            "strand": rng.choice(np.array([1, -1], np.int8), len(slot)),
            "motif": motif,
            "region": -1,
            "kind": np.int8(DECOY),
            "pair": -1,
            "score": np.float32(0),
        }
    )


def write_sites(codes: Codes, sites: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw every site from its motif and write it into `codes`. Returns the log-odds scores
    (S,).
    """
    scores = np.zeros(len(sites), np.float32)
    start, strand = sites["start"].to_numpy(), sites["strand"].to_numpy()
    which = sites["motif"].to_numpy()
    for number, motif in enumerate(planted_motifs()):
        rows = np.flatnonzero(which == number)
        drawn, scores[rows] = draw_sites(motif, len(rows), rng)
        oriented = np.where((strand[rows] > 0)[:, None], drawn, reverse_complement(drawn))
        codes[start[rows][:, None] + np.arange(motif.width)] = oriented
    return scores


def put(codes: Codes, at: int, strand: int, word: Codes) -> None:
    """Write `word` so that its first base is at `at` on the plus strand, or at `at` reading
    leftwards on the minus strand.
    """
    if strand > 0:
        codes[at : at + len(word)] = word
    else:
        codes[at - len(word) + 1 : at + 1] = reverse_complement(word)


def draw_columns(table: NDArray[np.float64], rng: np.random.Generator) -> Codes:
    """Draw one base a column from probabilities (W, 4)."""
    return (rng.random(len(table))[:, None] > table.cumsum(1)[:, :3]).sum(1).astype(np.uint8)


def _consensus(text: str, sharp: float) -> NDArray[np.float64]:
    """IUPAC consensus to probabilities (W, 4): `sharp` of the mass on the allowed bases."""
    allowed = {
        "A": "A",
        "C": "C",
        "G": "G",
        "T": "T",
        "Y": "CT",
        "R": "AG",
        "W": "AT",
        "V": "ACG",
        "N": "ACGT",
    }
    table = np.zeros((len(text), 4))
    for row, letter in enumerate(text):
        members = ["ACGT".index(base) for base in allowed[letter]]
        table[row] = (1 - sharp) / 4
        table[row, members] += sharp / len(members)
    return table


INITIATOR = _consensus("YYANWYY", 0.85)  # the A is the first transcribed base
DOWNSTREAM = _consensus("RGWYV", 0.85)  # +28..+32, where there is no TATA box
# Donor, exon -3..-1 then intron +1..+6; acceptor, intron -20..-1 then exon +1 (frequencies of human
# sites, rounded).
DONOR = (
    np.array(
        [
            [33, 36, 19, 12],
            [60, 13, 13, 14],
            [8, 4, 81, 7],
            [0, 0, 100, 0],
            [0, 0, 0, 100],
            [49, 3, 45, 3],
            [71, 7, 12, 10],
            [6, 5, 84, 5],
            [15, 16, 21, 48],
        ]
    )
    / 100
)
ACCEPTOR = (
    np.array(
        [[10, 33, 10, 47]] * 16
        + [[25, 25, 25, 25], [5, 65, 2, 28], [100, 0, 0, 0], [0, 0, 100, 0], [23, 14, 52, 11]]
    )
    / 100
)
BRANCH = _consensus("TACTAAC", 0.85)
_MARGIN_OF_GENE = 90  # least distance in bp of the end of a gene from the end of its last slot
_EXON = np.array([0.25, 0.27, 0.27, 0.21])


@dataclass(frozen=True)
class PlantedGene:
    """A transcript; exons are 0-based half-open, in genomic order."""

    name: str
    chrom: int
    strand: int
    tss: int
    exons: tuple[tuple[int, int], ...]
    tata: bool
    region: int

    @property
    def start(self) -> int:
        return self.exons[0][0]

    @property
    def end(self) -> int:
        return self.exons[-1][1]


def write_genes(
    size: Size, seed: int, chrom: int, regions: pd.DataFrame, tata: NDArray[np.bool_], codes: Codes
) -> list[PlantedGene]:
    """Write promoter cores and gene bodies; return the genes in genomic order."""
    rng = generator(seed, "genes", chrom)
    genes: list[PlantedGene] = []
    for row in np.flatnonzero(regions["tss"].to_numpy() >= 0):
        region = regions.iloc[row]
        tss, side = int(region["tss"]), int(region["strand"])
        if rng.random() < 0.9:
            put(codes, tss - 2 * side, side, draw_columns(INITIATOR, rng))
        if not tata[row]:
            put(codes, tss + 28 * side, side, draw_columns(DOWNSTREAM, rng))
        # Lengths along the transcript; a promoter without a body has one short exon.
        lengths = [int(rng.integers(90, 120))]
        if region["kind"] == GENE:
            room = size.body * size.slot + size.slot // 2 - _MARGIN_OF_GENE
            lengths = [int(rng.integers(110, 160))]
            while True:
                intron, exon = int(rng.integers(130, 320)), int(rng.integers(90, 180))
                if sum(lengths) + intron + exon > room:
                    break
                lengths += [intron, exon]
        borders = np.cumsum([0, *lengths])
        exons = [(int(borders[i]), int(borders[i + 1])) for i in range(0, len(lengths), 2)]
        for number, (begin, end) in enumerate(exons):
            free = (begin + 1, end - 3) if number else (40, end - 3)
            word = draw_columns(np.tile(_EXON, (free[1] - free[0], 1)), rng)
            put(codes, tss + side * free[0], side, word)
            if number:
                put(codes, tss + side * (begin - 20), side, draw_columns(ACCEPTOR, rng))
                put(codes, tss + side * (begin - 32), side, draw_columns(BRANCH, rng))
            if number < len(exons) - 1:
                put(codes, tss + side * (end - 3), side, draw_columns(DONOR, rng))
        placed = [(tss + b, tss + e) if side > 0 else (tss - e + 1, tss - b + 1) for b, e in exons]
        name = f"SIM{chrom + 1}G{len(genes) + 1:05d}"
        genes.append(
            PlantedGene(name, chrom, side, tss, tuple(sorted(placed)), bool(tata[row]), int(row))
        )
    return genes


def repeats(size: Size, seed: int, chrom: int, slots: Slots, codes: Codes) -> pd.DataFrame:
    """Write mutated copies of six repeat families into empty slots; returns chrom, start, end,
    family.
    """
    shared = generator(seed, "repeat families")
    families = [
        shared.integers(0, 4, int(n)).astype(np.uint8) for n in shared.integers(120, 240, 6)
    ]
    rng = generator(seed, "repeats", chrom)
    rows = []
    for slot in np.flatnonzero(slots.kind == EMPTY):
        number = int(rng.integers(6))
        copy = families[number].copy()
        hit = rng.random(len(copy)) < 0.12
        copy[hit] = rng.integers(0, 4, int(hit.sum()))
        start = int(slot) * size.slot + 80 + int(rng.integers(0, size.slot - 90 - len(copy)))
        codes[start : start + len(copy)] = copy
        rows.append((chrom, start, start + len(copy), number))
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "family"])


@dataclass(frozen=True)
class WrittenChromosome:
    """A chromosome's bases and what was planted. `soft` marks repeats (lower case in the FASTA)."""

    codes: Codes
    soft: NDArray[np.bool_]
    sites: pd.DataFrame
    genes: list[PlantedGene]
    repeats: pd.DataFrame
    tata: NDArray[np.bool_]


def write_chromosome(
    size: Size, seed: int, chrom: int, slots: Slots, regions: pd.DataFrame
) -> WrittenChromosome:
    """Make all bases of one chromosome; `sites` come back sorted, with their scores."""
    rng = generator(seed, "sites", chrom)
    is_start = regions["tss"].to_numpy() >= 0
    tata = is_start & (rng.random(len(regions)) < 0.35)
    chain = slots.programme.copy()
    chain[regions["slot"].to_numpy()[is_start & ~tata]] += ISLAND
    codes = background(size, seed, chrom, chain)
    genes = write_genes(size, seed, chrom, regions, tata, codes)
    sites = pd.concat(
        [
            cassettes(seed, chrom, regions),
            promoter_cores(seed, chrom, regions, tata),
            decoys(size, seed, chrom, slots),
        ],
        ignore_index=True,
    )
    sites["score"] = write_sites(codes, sites, rng)
    copies = repeats(size, seed, chrom, slots, codes)
    soft = np.zeros(len(codes), np.bool_)
    for start, end in zip(copies["start"], copies["end"]):
        soft[start:end] = True
    for slot in np.flatnonzero(slots.kind == GAP):
        codes[slot * size.slot : (slot + 1) * size.slot] = 4
    sites = sites.sort_values(["start", "end", "motif"], kind="stable", ignore_index=True)
    return WrittenChromosome(codes, soft, sites[list(SITE_COLUMNS)], genes, copies, tata)

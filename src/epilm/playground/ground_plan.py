"""Where things are in the invented genome, and in which cell types they are open.

A chromosome is a row of equal slots. Runs of slots form domains that share a
programme, so neighbouring regions resemble each other; a slot holds one region
(distal, promoter, insulator, silencer), part of a gene, or nothing. A region is
open in a cell type when the programme is active there (with some noise); a
quarter of the active distal regions are only primed: their chromatin state says
enhancer, but accessibility is low and nothing binds.
Pure functions of (size, seed, chromosome). Axes: R regions, T cell types.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import UsageError, nearest
from epilm.playground.programmes import ACTIVE, CELL_TYPES, N_PROGRAMMES

# Slot kinds. Regions are those of REGION_KINDS.
EMPTY, DISTAL, PROMOTER, GENE, BODY, INSULATOR, SILENCER, GAP = range(8)
KIND_NAMES = ("empty", "distal", "promoter", "gene", "body", "insulator", "silencer", "gap")
REGION_KINDS = (DISTAL, PROMOTER, GENE, INSULATOR, SILENCER)
MARGIN = 50  # least distance in bp of a region from the edge of its slot


@dataclass(frozen=True)
class Size:
    """How big a playground is. Widths, bins and lengths in bp."""

    name: str
    chroms: tuple[int, ...]
    slot: int
    width: tuple[int, int, int]  # least, mean, most width of a region
    domain: tuple[int, int]  # slots of a domain
    body: int  # slots of a gene after its promoter
    cells: int  # cell types
    cells_per_type: int  # single cells of each
    chip: tuple[str, ...]  # factors with ChIP peaks
    contact_bin: int
    contact_reach: int  # longest contact, in bins
    variants: int
    signal_step: int

    @property
    def cell_types(self) -> tuple[str, ...]:
        return CELL_TYPES[: self.cells]

    @property
    def chrom_names(self) -> tuple[str, ...]:
        return tuple(f"chr{i + 1}" for i in range(len(self.chroms)))

    @property
    def validation_from(self) -> int:
        """Where the validation part of the last training chromosome begins, in bp; it goes on to
        its end.
        """
        length = self.chroms[-3]
        part = int(min(0.4 * length, 0.2 * sum(self.chroms[:-2])))
        return (length - part) // self.slot * self.slot

    @property
    def splits(self) -> dict[str, list[str]]:
        """Places to train, choose and test on; the last two chromosomes are for testing.

        Examples
        --------
        >>> size_of("small").splits
        {'train': ['chr1', 'chr2:0-720000'], 'validation': ['chr2:720000-1200000'], 'test': ['chr3',
        'chr4']}
        """
        names, cut, last = self.chrom_names, self.validation_from, self.chroms[-3]
        return {
            "train": [*names[:-3], f"{names[-3]}:0-{cut}"],
            "validation": [f"{names[-3]}:{cut}-{last}"],
            "test": list(names[-2:]),
        }


_CHIP = ("CTCF", "REST", "CEBPB", "FOXA1", "SPI1", "JUND", "MAX")
SIZES = {
    "tiny": Size(
        "tiny",
        (240_000, 100_000, 60_000),
        800,
        (320, 505, 640),
        (10, 22),
        2,
        3,
        20,
        ("CTCF", "CEBPB", "JUND"),
        5_000,
        40,
        150,
        25,
    ),
    "small": Size(
        "small",
        (1_600_000, 1_200_000, 800_000, 400_000),
        800,
        (320, 505, 640),
        (10, 22),
        2,
        5,
        60,
        _CHIP,
        5_000,
        100,
        1_500,
        25,
    ),
    "large": Size(
        "large",
        (20_000_000,) * 5,
        420,
        (220, 290, 318),
        (20, 44),
        4,
        8,
        25,
        _CHIP,
        10_000,
        100,
        20_000,
        40,
    ),
}


def size_of(name: str) -> Size:
    """Look a size up by name.

    Examples
    --------
    >>> size_of("tiny").cell_types
    ('typeA', 'typeB', 'typeC')
    >>> size_of("medium")
    Traceback (most recent call last):
    ...
    epilm.errors.UsageError: unknown playground size. Found 'medium'; expected large, small, tiny.
        Known: large, small, tiny.
    """
    if name not in SIZES:
        raise UsageError(
            "unknown playground size",
            found=repr(name),
            expected=", ".join(sorted(SIZES)),
            do=nearest(name, SIZES),
        )
    return SIZES[name]


def generator(seed: int, part: str, chrom: int = 0) -> np.random.Generator:
    """A random generator of its own for each part of the world, so that parts do not disturb each
    other.
    """
    return np.random.default_rng([seed, chrom, *part.encode()])


@dataclass(frozen=True)
class Slots:
    """One chromosome as slots. Arrays have one entry a slot.

    kind : int8; programme : int8, programme of the domain; domain : int32, running number in the
    chromosome; strand : int8, +1 or -1 of the promoter, gene or body in the slot.
    """

    kind: NDArray[np.int8]
    programme: NDArray[np.int8]
    domain: NDArray[np.int32]
    strand: NDArray[np.int8]


def plan_slots(size: Size, seed: int, chrom: int) -> Slots:
    """Cut a chromosome into domains and say what each slot holds."""
    rng = generator(seed, "slots", chrom)
    n = size.chroms[chrom] // size.slot
    kind = np.full(n, DISTAL, np.int8)
    programme = np.zeros(n, np.int8)
    domain = np.zeros(n, np.int32)
    strand = rng.choice(np.array([1, -1], np.int8), n)
    dice = rng.random(n)
    kind[dice < 0.29] = PROMOTER
    kind[dice < 0.09] = EMPTY
    kind[dice < 0.04] = SILENCER
    start, number, previous = 0, 0, -1
    while start < n:
        end = min(n, start + int(rng.integers(*size.domain)))
        here = int(rng.integers(N_PROGRAMMES - 1))
        here += here >= previous >= 0
        programme[start:end], domain[start:end] = here, number
        kind[start] = INSULATOR
        room = end - start - 1 - size.body
        if room > 3 and rng.random() < 0.9:
            first = start + 1 + int(rng.integers(room))
            side = int(strand[first])
            body = (
                slice(first + 1, first + 1 + size.body)
                if side > 0
                else slice(first, first + size.body)
            )
            gene = first if side > 0 else first + size.body
            kind[body], kind[gene], strand[first : first + size.body + 1] = BODY, GENE, side
        start, number, previous = end, number + 1, here
    # An assembly gap: the first slot, and one in the middle of the chromosome.
    kind[0] = GAP
    plain = np.flatnonzero((kind == DISTAL) | (kind == EMPTY))
    kind[plain[np.abs(plain - n // 2).argmin()]] = GAP
    return Slots(kind, programme, domain, strand)


def place_regions(size: Size, seed: int, chrom: int, slots: Slots) -> pd.DataFrame:
    """Give every region its interval, centre, kind and programme.

    Returns
    -------
    DataFrame, one row a region, sorted
        chrom (number), start, end, slot, kind, programme (of the region; -1 where it follows none),
        domain_programme, domain, strand, tss (-1 where there is none).
    """
    rng = generator(seed, "regions", chrom)
    slot = np.flatnonzero(np.isin(slots.kind, REGION_KINDS))
    n = len(slot)
    low, mean, high = size.width
    width = np.clip(rng.normal(mean, 0.18 * mean, n), low, high).astype(np.int64)
    room = (size.slot - 2 * MARGIN - width) // 2
    centre = (
        slot * size.slot
        + size.slot // 2
        + np.rint((rng.random(n) * 2 - 1) * room * 0.8).astype(np.int64)
    )
    kind, strand = slots.kind[slot], slots.strand[slot]
    starts_gene = np.isin(kind, (PROMOTER, GENE))
    other = rng.integers(0, N_PROGRAMMES, n)
    own = np.where(rng.random(n) < 0.85, slots.programme[slot], other)
    return pd.DataFrame(
        {
            "chrom": np.full(n, chrom, np.int16),
            "start": centre - width // 2,
            "end": centre - width // 2 + width,
            "slot": slot,
            "kind": kind,
            "programme": np.where(kind == DISTAL, own, -1).astype(np.int8),
            "domain_programme": slots.programme[slot],
            "domain": slots.domain[slot],
            "strand": strand,
            # Regions of promoters lie a little upstream of the start of transcription.
            "tss": np.where(starts_gene, centre + 40 * strand, -1),
        }
    )


@dataclass(frozen=True)
class Opening:
    """In which cell types regions are open: strong, primed bool (R, T), height float32 (R, T).

    `height` is the accessibility in reads of a bulk experiment, about 20 where a region is open.
    """

    strong: NDArray[np.bool_]
    primed: NDArray[np.bool_]
    height: NDArray[np.float32]


def active_programmes(size: Size) -> NDArray[np.bool_]:
    """Which programme is active in which cell type, bool (P, T)."""
    table = np.zeros((N_PROGRAMMES, size.cells), np.bool_)
    for cell in range(size.cells):
        table[list(ACTIVE[cell]), cell] = True
    return table


def open_regions(size: Size, seed: int, chrom: int, regions: pd.DataFrame) -> Opening:
    """Decide for each region and cell type whether it is open, primed or closed, and how high."""
    rng = generator(seed, "open", chrom)
    shape = (len(regions), size.cells)
    active = active_programmes(size)
    kind = regions["kind"].to_numpy()[:, None]
    domain_on = active[regions["domain_programme"].to_numpy()]
    own_on = active[np.maximum(regions["programme"].to_numpy(), 0)]
    chance = np.where(own_on, 0.93, 0.04)
    chance = np.where((kind == PROMOTER) | (kind == GENE), np.where(domain_on, 0.95, 0.55), chance)
    chance = np.where(kind == INSULATOR, 0.93, chance)
    chance = np.where(kind == SILENCER, np.where(domain_on, 0.9, 0.5), chance)
    on = rng.random(shape) < chance
    # Every region is open somewhere, or no peak file would know of it.
    lost = np.flatnonzero(~on.any(1))
    on[lost, rng.integers(0, size.cells, len(lost))] = True
    primed = on & (kind == DISTAL) & (rng.random(shape) < 0.25)
    stuck = np.flatnonzero((primed == on).all(1))
    primed[stuck] = False
    strong = on & ~primed
    region_height = rng.lognormal(0.0, 0.35, (shape[0], 1))
    height = 20.0 * region_height * rng.lognormal(0.0, 0.2, shape)
    height *= np.where(strong, 1.0, np.where(primed, 0.15, 0.01))
    return Opening(strong, primed, height.astype(np.float32))

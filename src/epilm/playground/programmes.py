"""What the invented world obeys: real motifs, and who works with whom.

A programme is a set of lead factors that open regions together, with one pair
that binds well only at its preferred spacing and orientation. A cell type is a
choice of active programmes. Names end in `_like`: nothing here is a claim about
real tissue. Needs numpy only; used by the other modules of the playground.
Axes: S sites, W motif width.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PlantedMotif:
    """A planted motif: JASPAR id, factor name, counts of shape (W, 4) in A, C, G, T order."""

    id: str
    name: str
    counts: NDArray[np.float64]

    @property
    def width(self) -> int:
        return len(self.counts)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Base frequencies (W, 4), pseudocount 1 spread evenly."""
        return (self.counts + 0.25) / (self.counts.sum(1, keepdims=True) + 1.0)

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """Natural log-odds (W, 4) against a uniform background."""
        return np.log(self.frequencies / 0.25)


@dataclass(frozen=True)
class Programme:
    """Lead factors that open regions together, and the pair with a preferred spacing.

    `pair` is (first, second); the second starts `gap` bp after the end of the first,
    both on the strand of `strands` ("++" or "+-"), or the whole thing mirrored.
    """

    name: str
    leads: tuple[str, ...]
    pair: tuple[str, str] | None = None
    gap: int = 0
    strands: str = "++"


PROGRAMMES: tuple[Programme, ...] = (
    Programme("liver_like", ("HNF4A", "FOXA1", "CEBPB", "HNF1A"), ("FOXA1", "HNF4A"), 5, "++"),
    Programme("myeloid_like", ("SPI1", "RUNX1", "CEBPB", "IRF1"), ("SPI1", "RUNX1"), 4, "+-"),
    Programme(
        "erythroid_like", ("GATA1::TAL1", "KLF4", "NFIX", "JUND"), ("GATA1::TAL1", "KLF4"), 6, "++"
    ),
    Programme("neural_like", ("NEUROD1", "SOX2", "RFX2", "ASCL1"), ("ASCL1", "SOX2"), 3, "+-"),
    Programme("epithelial_like", ("GRHL1", "TP53", "TEAD4", "JUND"), ("TEAD4", "JUND"), 7, "++"),
    Programme("muscle_like", ("MYOD1", "MEF2A", "TEAD4", "STAT3"), ("MYOD1", "MEF2A"), 8, "++"),
    Programme("lymphoid_like", ("EBF1", "PAX5", "IRF1", "SPI1"), ("EBF1", "PAX5"), 10, "+-"),
    Programme(
        "stem_like", ("Pou5f1::Sox2", "ESRRB", "KLF4", "FOXA1"), ("Pou5f1::Sox2", "ESRRB"), 2, "++"
    ),
)
N_PROGRAMMES = len(PROGRAMMES)
PROMOTER_FACTORS = ("SP1", "NRF1", "GABPA", "YY1", "USF1", "MAX", "E2F1", "EGR1")
INSULATOR_FACTOR, SILENCER_FACTOR, TATA_FACTOR = "CTCF", "REST", "TBP"
# Which programmes (by position) are active in the first, second, ... cell type: four each, every
# pair of types differs.
ACTIVE = (
    (0, 1, 2, 3),
    (2, 3, 4, 5),
    (4, 5, 6, 7),
    (0, 1, 6, 7),
    (0, 2, 5, 7),
    (1, 3, 4, 6),
    (0, 3, 5, 6),
    (1, 2, 4, 7),
)
CELL_TYPES = tuple(f"type{letter}" for letter in "ABCDEFGH")


@lru_cache(maxsize=1)
def planted_motifs() -> tuple[PlantedMotif, ...]:
    """Read the motifs shipped with the package, in file order.

    Examples
    --------
    >>> motifs = planted_motifs()
    >>> len(motifs), motifs[0].id, motifs[0].name, motifs[0].width
    (36, 'MA0114.3', 'HNF4A', 16)
    """
    motifs: list[PlantedMotif] = []
    rows: list[list[float]] = []
    head = ""
    for line in motif_text().splitlines():
        if line.startswith(">"):
            head, rows = line[1:], []
        elif line:
            rows.append(
                [float(word) for word in line[line.index("[") + 1 : line.index("]")].split()]
            )
            if len(rows) == 4:
                identifier, name = head.split("\t")
                motifs.append(PlantedMotif(identifier, name, np.array(rows).T))
    return tuple(motifs)


def motif_text() -> str:
    """The shipped JASPAR file as text."""
    return (files("epilm.playground") / "motifs.jaspar").read_text(encoding="ascii")


@lru_cache(maxsize=1)
def motif_index() -> dict[str, int]:
    """Factor name -> position in `planted_motifs`."""
    return {motif.name: i for i, motif in enumerate(planted_motifs())}


def draw_sites(
    motif: PlantedMotif, n: int, rng: np.random.Generator, floor: float = 0.6
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw binding sites from a motif, keeping those that a scan would find.

    Bases are drawn column by column; a site that scores below `floor` of the
    motif's best score is drawn again, up to 12 times, and is the consensus then.

    Parameters
    ----------
    motif : Motif
    n : int
        Number of sites.
    rng : Generator
    floor : float
        Share of the best log-odds score that a site must reach.

    Returns
    -------
    codes : uint8, shape (n, W)
        Forward strand, A=0 C=1 G=2 T=3.
    scores : float32, shape (n,)
        Log-odds of each site, natural log, uniform background.

    Examples
    --------
    >>> ctcf = planted_motifs()[motif_index()["CTCF"]]
    >>> codes, scores = draw_sites(ctcf, 3, np.random.default_rng(0))
    >>> codes.shape, bool((scores > 0.6 * ctcf.log_odds.max(1).sum()).all())
    ((3, 19), True)
    """
    edges = motif.frequencies.cumsum(1)[:, :3]
    table, columns = motif.log_odds, np.arange(motif.width)
    least = floor * table.max(1).sum()
    codes = np.empty((n, motif.width), np.uint8)
    scores = np.full(n, -np.inf, np.float32)
    todo = np.arange(n)
    for _ in range(12):
        if not len(todo):
            break
        fresh = (rng.random((len(todo), motif.width))[:, :, None] > edges).sum(2).astype(np.uint8)
        codes[todo], scores[todo] = fresh, table[columns, fresh].sum(1)
        todo = todo[scores[todo] < least]
    codes[todo], scores[todo] = table.argmax(1), table.max(1).sum()
    return codes, scores


def reverse_complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reverse complement along the last axis; N stays N.

    Examples
    --------
    >>> reverse_complement(np.array([0, 1, 2, 2, 4], np.uint8)).tolist()
    [4, 1, 1, 2, 3]
    """
    flipped = codes[..., ::-1]
    return np.where(flipped > 3, flipped, 3 - flipped).astype(np.uint8)

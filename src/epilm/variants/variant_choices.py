"""What a user chooses for scores of variants, as families of options: the command line flattens
each of these dataclasses and takes their docstrings as help.

Imports nothing heavy: `epilm score-variants --help` reads it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class VariantReading:
    """How a model reads the haplotypes."""

    scores: list[str] | None = None
    """Which of a pre-trained model's scores; all it gives where not given."""
    pooling: Literal["cls", "mean", "pooler"] | None = None
    """Which vector of a pre-trained model l2 and cosine are of; its own where not given."""
    motif_columns: Literal["each", "largest"] = "each"
    """Scores of every motif, or of the one that the variant changes most."""
    window: int | None = None
    """Bases of both windows; the model's own where it has one."""
    shifts: tuple[int, ...] = (0,)
    """Places of the variant off the window's middle, in bp; the mean counts."""
    grid: int = 1
    """Windows begin at multiples of so many bp: neighbours share REF, which is faster."""
    distance: int | None = None
    """Of splice sites: bases on either side of a variant that are compared. [50]"""
    genes: Path | None = None
    """Of splice sites: GTF, GFF3, genePred or BED; a variant is read on the strand of its gene.
    Both strands are, and the larger counts, where not given."""
    batch_size: int = 256
    """Haplotypes whose windows are in memory at a time; changes no bit."""


@dataclass(frozen=True)
class Ranking:
    """The null that scores are ranked among."""

    null: int = 0
    """Add each score's percentile among so many matched random variants."""
    null_seed: int = 0
    """Which ones are drawn."""


@dataclass(frozen=True)
class Against:
    """What is known of the variants, to compare the scores with."""

    truth: tuple[str, ...] = ()
    """Columns of the table of variants: effects, or labels 0 and 1."""
    group: str | None = None
    """Column whose values are compared apart (element, trait)."""
    tss: Path | None = None
    """Start sites (BED with strand, GTF, genePred): nearness as a baseline."""
    conservation: Path | None = None
    """bigWig or bedGraph (phyloP): its mean over the changed bases, as a column and a baseline."""

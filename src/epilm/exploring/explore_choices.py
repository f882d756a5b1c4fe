"""What a user chooses for a page of loci, as families of options: the command line flattens these
dataclasses and takes their docstrings as help; from Python they are passed whole.

Imports nothing heavy: `epilm explore --help` reads it.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sources:
    """Where the tracks come from."""

    store: Path | None = None
    """Genome, regions, states and signals; models of binding read it."""
    genome: Path | None = None
    """FASTA or .2bit, where there is no store."""
    genes: Path | None = None
    """GTF, GFF3, genePred or BED: drawn, and looked up for --loci GENE."""
    track: list[str] | None = None
    """More files, as FILE or NAME=FILE: BED or narrowPeak; bigWig or bedGraph; VCF, BCF or table
    of variants, with the scores of epilm score-variants."""
    attributions: list[str] | None = None
    """What epilm explain wrote (its folder), or bigWig or bedGraph of a number a base: drawn as
    letters."""
    motifs: str | None = None
    """Motif file or jaspar:2018 whose hits are shown; those of the store where not given, and
    none for no hits."""
    score: str | None = None
    """Which score of the variants is drawn; the first difference where not given."""


@dataclass(frozen=True)
class View:
    """How much is shown."""

    cells: list[str] | None = None
    """Cell types of the store; its first six where not given."""
    flank: int = 1000
    """Bases shown on either side of a locus."""
    most: int = 200
    """So many loci, the first ones."""
    max_mb: float = 20.0
    """Size of the page; loci that have no room are left out, and said."""
    motif_p: float = 1e-5
    """A hit of a motif is reached by chance with at most this probability, at a position of one
    strand."""
    stride: int | None = None
    """bp between a model's windows; 50 where not given."""
    window: int | None = None
    """bp of a window of models of sequences; as wide as what they learned from where not given."""

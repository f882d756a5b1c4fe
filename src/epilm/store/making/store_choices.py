"""What a user chooses for a store, as families of options: the command line flattens each of these
dataclasses and takes their docstrings as help. The stages of `build` know what they mean.

Imports nothing heavy: `epilm build --help` reads it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Statistic = Literal["best", "binary", "count", "sum", "occupancy", "neglog10p"]


@dataclass(frozen=True)
class Accessible:
    """Where regions are accessible: peaks, or a peak x cell matrix of counts."""

    peaks: list[str] | None = None
    """BED or narrowPeak files, or _peaks.xls of MACS, one a cell type: a folder, a pattern,
    NAME=FILE; may be repeated."""
    counts: Path | None = None
    """Instead of peaks: a peak x cell matrix, .h5ad, .h5 of 10x, .mtx(.gz), .npz or .RDS."""
    counts_peaks: Path | None = None
    """Peak list of the matrix, where it does not hold one."""
    counts_cells: Path | None = None
    """Cell table of the matrix, where it does not hold one."""
    label: str = "cell_type"
    """Column that says the cell type of a cell."""
    unlabelled: Literal["error", "drop"] = "error"
    """What to do with cells without a label."""
    layer: str | None = None
    """Of an .h5ad matrix: the layer that holds the counts, or raw."""
    min_count: float = 0
    """Counts: a region is accessible in a cell type with more counts than this."""
    min_cpm: float | None = None
    """Counts: and with more counts per million than this."""
    top_n: int | None = None
    """Counts: and among this many highest of the cell type."""


@dataclass(frozen=True)
class RegionRules:
    """Which regions are taken, and how."""

    blacklist: Path | None = None
    """BED; regions that touch it are left out."""
    overlaps: Literal["merge", "keep"] = "merge"
    """Merge overlapping regions, or keep each."""
    region_width: int | None = None
    """Cut wider regions into pieces of at most so many bp, what the model reads of one."""
    max_n_fraction: float = 0.05
    """Leave out regions with a larger share of N."""
    past_end: Literal["refuse", "cut"] = "refuse"
    """Peaks, regions of counts, states and signals past the end of a chromosome: refuse them, or
    cut them there, because the genome holds only the first part of its chromosomes or the caller of
    the peaks extended its reads."""
    strict: bool = False
    """Refuse unsorted and duplicate regions instead of sorting and counting them."""


@dataclass(frozen=True)
class Motifs:
    """The motifs, and what an entry of the factor matrix is."""

    motifs: str | None = None
    """Motif file (JASPAR, MEME, TRANSFAC) or jaspar:YEAR; none gives a store without a factor
    matrix."""
    statistic: Statistic = "best"
    """What an entry of the factor matrix is."""
    more_statistics: list[Statistic] | None = None
    """A further matrix of this statistic; may be repeated. Towers with prepare=channels need
    --more-statistics count --more-statistics sum."""
    p: float = 1e-4
    """p-value of a hit, for binary, count and sum."""
    pseudocount: float = 1.0
    """Added to each motif column."""
    background: Literal["uniform", "genome", "gc_bins"] = "uniform"
    """Base composition the motifs are scored against."""
    short: Literal["allow_best", "exact"] = "allow_best"
    """Whether the best word of a motif too short for p counts as a hit."""


@dataclass(frozen=True)
class Tracks:
    """States, signals and contacts: what lies along the genome, per cell type."""

    states: list[str] | None = None
    """Chromatin states, one track a cell type: BED or bigBed files, a folder, a pattern, CELL=FILE;
    an IDEAS .state table; a hub's trackDb.txt, on disk or a URL; may be repeated."""
    state_bin: int | None = None
    """Width of a state's bin in bp; found in the files by default."""
    cell_map: list[str] | None = None
    """CELL=TRACK, or a file of such pairs (tab): which track of states serves which cell type. A
    track of other cells is a proxy and said to be one. May be repeated."""
    accessibility: list[str] | None = None
    """bigWig or bedGraph, one a cell type: a folder, a pattern, CELL=FILE; may be repeated."""
    mappability: Path | None = None
    """bigWig or bedGraph for all cell types."""
    signal: list[str] | None = None
    """Further signals, NAME:CELL=FILE, or NAME:FILE for all cell types; may be repeated."""
    signal_resolution: int = 1
    """bp a value; 1 keeps every base."""
    signal_pool: list[str] | None = None
    """How bases become a coarser value: max (default), mean, min; or NAME=HOW for one signal."""
    signal_scale: list[str] | None = None
    """depth: each cell type's values are divided by their mean over the genome given; none
    (default); or NAME=HOW for one signal."""
    contacts: list[Path] | None = None
    """Contact maps (.cool, .mcool, text)."""
    contacts_resolution: int | None = None
    """Bin width in bp: which one of an .mcool; finer maps are joined to it."""

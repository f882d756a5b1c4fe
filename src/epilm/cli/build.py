"""`epilm build`: raw files to a store."""

from pathlib import Path
from typing import Literal


def build(
    *,
    genome: list[Path],
    out: Path,
    peaks: list[str] | None = None,
    counts: Path | None = None,
    counts_peaks: Path | None = None,
    counts_cells: Path | None = None,
    label: str = "cell_type",
    unlabelled: Literal["error", "drop"] = "error",
    layer: str | None = None,
    motifs: str | None = None,
    contacts: list[Path] | None = None,
    contacts_resolution: int | None = None,
    sizes: Path | None = None,
    assembly: str | None = None,
    blacklist: Path | None = None,
    overlaps: Literal["merge", "keep"] = "merge",
    region_width: int | None = None,
    max_n_fraction: float = 0.05,
    min_count: float = 0,
    min_cpm: float | None = None,
    top_n: int | None = None,
    statistic: Literal["best", "binary", "count", "sum", "occupancy", "neglog10p"] = "best",
    more_statistics: (
        list[Literal["best", "binary", "count", "sum", "occupancy", "neglog10p"]] | None
    ) = None,
    p: float = 1e-4,
    pseudocount: float = 1.0,
    background: Literal["uniform", "genome", "gc_bins"] = "uniform",
    short: Literal["allow_best", "exact"] = "allow_best",
    states: list[str] | None = None,
    state_bin: int | None = None,
    cell_map: list[str] | None = None,
    accessibility: list[str] | None = None,
    mappability: Path | None = None,
    signal: list[str] | None = None,
    signal_resolution: int = 1,
    signal_pool: list[str] | None = None,
    past_end: Literal["refuse", "cut"] = "refuse",
    strict: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Build a store from a genome, accessible regions and motifs, states and signals.

    For example:

    epilm build --genome hg19.fa.gz --peaks peaks/ --motifs jaspar:2018 --out my.store

    epilm build --genome hg19.2bit --counts atlas.h5ad --motifs jaspar.txt --out atlas.store

    epilm build --genome hg19.2bit --states hub/trackDb.txt --accessibility dnase/ \\
        --mappability map.bw --out ebert.store

    Parameters
    ----------
    genome
        FASTA (plain, gzip, bgzip) or .2bit; repeat it for several files of one genome.
    out
        Folder to make; nothing is left there when the build fails.
    peaks
        BED or narrowPeak files, or _peaks.xls of MACS, one a cell type: a folder, a pattern,
        NAME=FILE; may be repeated.
    counts
        Instead of peaks: a peak x cell matrix, .h5ad, .h5 of 10x, .mtx(.gz), .npz or .RDS.
    counts_peaks
        Peak list of the matrix, where it does not hold one.
    counts_cells
        Cell table of the matrix, where it does not hold one.
    label
        Column that says the cell type of a cell.
    unlabelled
        What to do with cells without a label.
    layer
        Of an .h5ad matrix: the layer that holds the counts, or raw.
    motifs
        Motif file (JASPAR, MEME, TRANSFAC) or jaspar:YEAR; none gives a store without a factor
        matrix.
    contacts
        Contact maps (.cool, .mcool, text).
    contacts_resolution
        Bin width in bp: which one of an .mcool; finer maps are joined to it.
    sizes
        chrom.sizes with the declared lengths; shorter records are filled with N.
    assembly
        Name of the genome, for people.
    blacklist
        BED; regions that touch it are left out.
    overlaps
        Merge overlapping regions, or keep each.
    region_width
        Cut wider regions into pieces of at most so many bp, what the model reads of one.
    max_n_fraction
        Leave out regions with a larger share of N.
    min_count
        Counts: a region is accessible in a cell type with more counts than this.
    min_cpm
        Counts: and with more counts per million than this.
    top_n
        Counts: and among this many highest of the cell type.
    statistic
        What an entry of the factor matrix is.
    more_statistics
        A further matrix of this statistic; may be repeated. Towers with prepare=channels need
        --more-statistics count --more-statistics sum.
    p
        p-value of a hit, for binary, count and sum.
    pseudocount
        Added to each motif column.
    background
        Base composition the motifs are scored against.
    short
        Whether the best word of a motif too short for p counts as a hit.
    states
        Chromatin states, one track a cell type: BED or bigBed files, a folder, a pattern,
        CELL=FILE; an IDEAS .state table; a hub's trackDb.txt, on disk or a URL; may be repeated.
    state_bin
        Width of a state's bin in bp; found in the files by default.
    cell_map
        CELL=TRACK, or a file of such pairs (tab): which track of states serves which cell type. A
        track of other cells is a proxy and said to be one. May be repeated.
    accessibility
        bigWig or bedGraph, one a cell type: a folder, a pattern, CELL=FILE; may be repeated.
    mappability
        bigWig or bedGraph for all cell types.
    signal
        Further signals, NAME:CELL=FILE, or NAME:FILE for all cell types; may be repeated.
    signal_resolution
        bp a value; 1 keeps every base.
    signal_pool
        How bases become a coarser value: max (default), mean, min; or NAME=HOW for one signal.
    past_end
        Peaks, regions of counts, states and signals past the end of a chromosome: refuse them, or
        cut them there, because the genome holds only the first part of its chromosomes or the
        caller of the peaks extended its reads.
    strict
        Refuse unsorted and duplicate regions instead of sorting and counting them.
    threads
        For the motif scan; default all cores.
    overwrite
        Replace an existing folder.
    quiet
        No progress bars and no notes.
    json
        Print what is in the store as JSON.
    """
    import sys

    from epilm.store.inspect import inspect, print_store
    from epilm.store.making.build import build as run

    store = run(
        genome=genome,
        out=out,
        peaks=peaks,
        counts=counts,
        counts_peaks=counts_peaks,
        counts_cells=counts_cells,
        label=label,
        unlabelled=unlabelled,
        layer=layer,
        motifs=motifs,
        contacts=contacts,
        contacts_resolution=contacts_resolution,
        sizes=sizes,
        assembly=assembly,
        blacklist=blacklist,
        overlaps=overlaps,
        region_width=region_width,
        max_n_fraction=max_n_fraction,
        min_count=min_count,
        min_cpm=min_cpm,
        top_n=top_n,
        statistic=statistic,
        more_statistics=more_statistics or (),
        p=p,
        pseudocount=pseudocount,
        background=background,
        short=short,
        states=states,
        state_bin=state_bin,
        cell_map=cell_map,
        accessibility=accessibility,
        mappability=mappability,
        signal=signal,
        signal_resolution=signal_resolution,
        signal_pool=signal_pool or "max",
        past_end=past_end,
        strict=strict,
        threads=threads,
        overwrite=overwrite,
        progress=not quiet,
    )
    if not quiet and not json:
        for note in store.info.notes:
            print(f"note: {note}", file=sys.stderr)
    print_store(inspect(store), json=json)

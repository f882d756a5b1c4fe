"""Raw files to a store: genome, accessible regions, states and signals per cell type, motifs,
contacts.

The only place where the floors `genome` and `motifs` meet the store. Cheap
checks come first, so that a mistake in a file name costs seconds and not the
scan. Whole or absent, as everything that writes here. Not on the training path.
"""

import platform
from collections.abc import Container, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from epilm import __version__
from epilm.atomic import atomic_folder
from epilm.errors import InputError
from epilm.genome.checks import check_intervals
from epilm.genome.chromosomes import PastEnd, few
from epilm.genome.contacts import read_contacts
from epilm.genome.counts import read_counts
from epilm.genome.fasta import Genome, open_genome
from epilm.genome.peaks import read_peaks
from epilm.motifs.formats import motif_files, read_motifs
from epilm.motifs.matrix import Background, MotifReport, Statistic, factor_matrices
from epilm.motifs.motif import Motif
from epilm.motifs.pwm import Short
from epilm.store.contacts import contact_table
from epilm.store.making.inputs import Peaks, peak_files, source
from epilm.store.making.progress import Bar, bars
from epilm.store.making.regions import (
    check_choice,
    check_thresholds,
    clean,
    cut,
    from_counts,
    from_peaks,
    narrower_than_motifs,
    no_regions,
)
from epilm.store.making.track_files import Written, write_signals, write_states
from epilm.store.making.track_inputs import (
    CellMap,
    near_names,
    read_cell_map,
    signal_sources,
    state_sources,
)
from epilm.store.making.writer import StoreWriter, all_cells, widen
from epilm.store.reader import Store

Files = str | Path | Sequence[str | Path]
# What is told apart in tools by a version: what could change a number of the store.
TOOLS = ("numpy", "pandas", "scipy", "numba")
PER_MOTIF = ("ids", "names", "thresholds", "minimum_p", "maximum_score")


def build(
    *,
    genome: Files,
    out: str | Path,
    peaks: Peaks | None = None,
    counts: str | Path | None = None,
    counts_peaks: str | Path | None = None,
    counts_cells: str | Path | None = None,
    label: str = "cell_type",
    unlabelled: Literal["error", "drop"] = "error",
    layer: str | None = None,
    motifs: str | Path | None = None,
    contacts: Files | None = None,
    contacts_resolution: int | None = None,
    sizes: str | Path | None = None,
    assembly: str | None = None,
    blacklist: str | Path | None = None,
    overlaps: Literal["merge", "keep"] = "merge",
    region_width: int | None = None,
    max_n_fraction: float = 0.05,
    min_count: float = 0,
    min_cpm: float | None = None,
    top_n: int | None = None,
    statistic: Statistic = "best",
    more_statistics: Sequence[Statistic] = (),
    p: float = 1e-4,
    pseudocount: float = 1.0,
    background: Background = "uniform",
    short: Short = "allow_best",
    states: Peaks | None = None,
    state_bin: int | None = None,
    cell_map: CellMap | None = None,
    accessibility: Peaks | None = None,
    mappability: str | Path | None = None,
    signal: Mapping[str, Any] | Sequence[str] | str | None = None,
    signal_resolution: int = 1,
    signal_pool: str | Mapping[str, str] | Sequence[str] = "max",
    past_end: PastEnd = "refuse",
    strict: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Store:
    """Build a store from raw files.

    Parameters
    ----------
    genome : path or list of paths
        FASTA (plain, gzip, bgzip with .fai) or .2bit; several files are one genome.
    out : path
        The folder to appear. Nothing is left there when the build fails.
    peaks : dict, folder, pattern, file or list of them
        Accessible regions, one BED or narrowPeak file a cell type (`inputs.peak_files`).
        Either this or `counts`; with neither the store has no regions, which is enough for
        recipes that read windows.
    counts : path
        Peak x cell matrix: .h5ad, .h5 of 10x, .mtx(.gz), .npz, .RDS.
    counts_peaks, counts_cells : path, optional
        Its peak list and cell table, where the matrix does not hold them.
    label : str
        Column of the cell table that says the cell type.
    unlabelled : {"error", "drop"}
        What to do with cells without a label.
    layer : str, optional
        Of an .h5ad matrix: the layer that holds the counts, or "raw".
    motifs : path or "jaspar:2018", optional
        JASPAR, MEME, TRANSFAC, a folder of such files; without motifs the store has no factor
        matrix. Without regions the motifs alone are kept, with their cuts, for motif sites.
    contacts : path or list of paths, optional
        .cool, .mcool or text.
    contacts_resolution : int, optional
        Bin width in bp: which one of an .mcool; finer maps are joined to it.
    sizes : path, optional
        Declared chromosome lengths (chrom.sizes); shorter records are filled with N.
    assembly : str, optional
        Name of the genome, for people; default its file name.
    blacklist : path, optional
        BED; regions that touch it are left out.
    overlaps : {"merge", "keep"}
        Overlapping regions become one, or each different one stays.
    region_width : int, optional
        Cut wider regions into pieces of at most so many bp (`regions.cut`): what a model reads of
        one (`epilm plan` says it), so that the factor matrix scores no base that it does not.
    max_n_fraction : float
        Regions with a larger share of N are left out (A27).
    min_count, min_cpm, top_n
        When a region is accessible, from counts (A9): more than `min_count` counts in
        the cell type, more than `min_cpm` per million, among the `top_n` highest.
    statistic, p, pseudocount, background, short
        Of the factor matrix, see `epilm.motifs.matrix.factor_matrix` (A8, protocols 4).
    more_statistics : sequence of str
        Further matrices of the same regions and motifs, made in the same pass. Towers with
        prepare=channels show three as colours: ("count", "sum") beside "best" (A10).
    states : dict, folder, pattern, "CELL=FILE", file, URL or list of them
        Chromatin states, one track a cell type: BED4/BED9 or bigBed, IDEAS `.state` tables,
        `trackDb.txt` of a hub (`track_inputs.state_sources`).
    state_bin : int, optional
        Bin width in bp; by default that of the files.
    cell_map : dict, "CELL=TRACK" words or TSV file, optional
        Which track of states serves which cell type (`track_inputs.read_cell_map`). A track that
        is not of that cell type is a proxy: kept in the store and said.
    accessibility : as `peaks`
        bigWig or bedGraph, one a cell type. Missing is 0.
    mappability : path
        bigWig or bedGraph, one for all cell types. Missing is 0.
    signal : dict of name to files, or "NAME:CELL=FILE" words
        Further signals.
    signal_resolution : int
        bp a value; 1 keeps every base (2 bytes each).
    signal_pool : {"max", "mean", "min"}, or {name: how}
        How bases become a value at coarser resolutions.
    past_end : {"refuse", "cut"}
        What to do with peaks, regions of counts, states and signals past the end of a chromosome:
        they are of another assembly, or the genome given holds only the first part of its
        chromosomes, or a caller extended its reads.
    strict : bool
        Refuse unsorted and duplicate regions and unknown chromosomes, which are else sorted,
        left out and counted.
    threads : int, optional
        For the motif scan; default all cores of the process.
    overwrite : bool
        Replace an existing folder.
    progress : bool
        Show bars on stderr.

    Returns
    -------
    Store
        Open. Its `info` says what was dropped and why.

    Raises
    ------
    InputError
        If a file cannot be used: named with line, what was found and what was expected.
    EpilmError
        If `out` exists, another process writes it, or the disk is full.
    """
    about_regions = {
        "contacts": contacts,
        "blacklist": blacklist,
        "region_width": region_width,
    }
    _check_regions(peaks, counts, about_regions)
    if layer is not None and counts is None:
        raise InputError("--layer is about counts, and none are given", do="Give --counts.")
    _check_motifs(motifs, peaks is None and counts is None, background, more_statistics)
    check_choice("overlaps", overlaps, ("merge", "keep"))
    check_choice("statistic", statistic, get_args(Statistic))
    statistics = _statistics(statistic, more_statistics, motifs is not None)
    check_choice("background", background, get_args(Background))
    check_choice("short", short, get_args(Short))
    check_thresholds(min_count, min_cpm, top_n, counts is not None)
    for name, value, low, high in (("max_n_fraction", max_n_fraction, 0, 1), ("p", p, 0, 1)):
        if not low <= value <= high or (name == "p" and value in (0, 1)):
            raise InputError(
                "the value is out of range", where=name, found=value, expected="between 0 and 1"
            )
    if pseudocount < 0:
        raise InputError(
            "the value is out of range", where="pseudocount", found=pseudocount, expected=">= 0"
        )
    check_choice("past_end", past_end, get_args(PastEnd))
    for name, least in (("state_bin", state_bin), ("signal_resolution", signal_resolution)):
        if least is not None and least < 1:
            raise InputError(
                "the value is out of range", where=name, found=least, expected="at least 1"
            )
    tracks = [] if states is None else state_sources(states)
    mapped = read_cell_map(cell_map)
    if mapped and not tracks:
        raise InputError("a cell map needs states", where="cell_map", do="Give --states.")
    signals = signal_sources(accessibility, mappability, signal, signal_pool)
    with atomic_folder(out, overwrite=overwrite) as folder, bars(progress) as bar:
        opened = open_genome(genome, sizes)
        sources = [source("genome", path) for path in _files(genome)]
        if sizes is not None:
            sources.append(source("sizes", sizes))
        read = None if motifs is None else read_motifs(motifs)
        if region_width is not None:
            _check_width(region_width, read or ())
        if peaks is not None:
            left_out: list[str] = []
            named = peak_files(peaks, left_out)
            regions = from_peaks(bar(named, "peaks"), opened.sizes, overlaps, strict, past_end)
            regions.notes += left_out
            sources += [source("peaks", path, cell_type=name) for name, path in named.items()]
            where = "the peaks"
        elif counts is None:
            regions, where = no_regions(), ""
        else:
            where = str(counts)
            regions = from_counts(
                read_counts(counts, counts_peaks, counts_cells, label, unlabelled, layer),
                opened.sizes,
                overlaps,
                strict,
                where,
                min_count=min_count,
                min_cpm=min_cpm,
                top_n=top_n,
                past_end=past_end,
            )
            given = (
                ("counts", counts),
                ("counts_peaks", counts_peaks),
                ("counts_cells", counts_cells),
                *regions.beside,
            )
            sources += [source(role, path) for role, path in given if path is not None]
        black = None
        if blacklist is not None:
            black = check_intervals(read_peaks(blacklist), opened.sizes, past_end=past_end).table
            sources.append(source("blacklist", blacklist))
        table = None
        if contacts is not None:
            maps = [
                read_contacts(path, contacts_resolution, finer=True) for path in _files(contacts)
            ]
            table = contact_table(maps, opened.sizes, contacts_resolution, regions.notes)
            sources += [source("contacts", path) for path in _files(contacts)]

        writer = StoreWriter(folder, tuple(opened.sizes), tuple(opened.sizes.values()))
        flat = _write_genome(writer, opened, bar)
        if region_width is not None:
            cut(regions, region_width)
        if where:
            clean(regions, _Flat(opened.sizes, flat, writer.offsets), black, max_n_fraction, where)
        in_bins = in_bases = Written()
        if tracks:
            in_bins = write_states(
                writer, tracks, mapped, bar, state_bin=state_bin, past_end=past_end
            )
        if signals:
            in_bases = write_signals(
                writer, signals, bar, resolution=signal_resolution, past_end=past_end
            )
        cells = all_cells(regions.cell_types, (in_bins.cells, in_bases.cells))
        rows = regions.structured(writer.chroms)
        writer.regions(rows)
        writer.access(widen(regions.accessible, len(cells)), widen(regions.counts, len(cells)))
        made: dict[str, Any] = {}
        if read is not None:
            report = _write_factors(
                writer,
                flat,
                rows,
                read,
                bar,
                statistics,
                p=p,
                pseudocount=pseudocount,
                background=background,
                short=short,
                threads=threads,
            )
            about = report.to_dict()
            without = PER_MOTIF if where else (*PER_MOTIF, "statistic", "more_statistics")
            made = {key: value for key, value in about.items() if key not in without}
            regions.notes += str(report).split("\n")[1:]
            regions.notes += narrower_than_motifs(rows, [(m.id, m.width) for m in read])
            sources += [source("motifs", path) for path in motif_files(motifs)]  # type: ignore[arg-type]
        if table is not None:
            writer.contacts(table[1], table[2])
        notes = [*opened.notes, *regions.notes, *in_bins.notes, *in_bases.notes, *near_names(cells)]
        lonely = [
            c for c, n in zip(regions.cell_types, regions.accessible.sum(0), strict=True) if n == 0
        ]
        if lonely:
            notes.append(f"cell types without an accessible region: {', '.join(lonely)}")
        notes += _without(cells, regions.cell_types if where else cells, "an accessible region")
        notes += _without(cells, in_bins.cells if tracks else cells, "states")
        for name, about in in_bases.about.items():
            notes += _without(cells, about["cell_types"] or cells, name)
        writer.finish(
            assembly=assembly or opened.path.name.split(".")[0],
            regions=rows,
            cell_types=cells,
            regionless=not where,
            access=_about_access(
                "peaks" if peaks is not None else "counts" if counts is not None else "none",
                {
                    "overlaps": overlaps,
                    "max_n_fraction": max_n_fraction,
                    **({} if region_width is None else {"region_width": region_width}),
                },
                {
                    "label": label,
                    **({} if layer is None else {"layer": layer}),
                    "min_count": min_count,
                    "min_cpm": min_cpm,
                    "top_n": top_n,
                },
            ),
            states=in_bins.about,
            signals=in_bases.about,
            factors=made,
            contacts=(
                {}
                if table is None
                else {"resolution": table[0], "value": "log1p(observed / expected)"}
            ),
            sources=sources,
            dropped={why: n for why, n in regions.dropped.items() if n},
            notes=notes,
            versions=_versions(),
        )
    return Store.open(out)


def _check_regions(peaks: Any, counts: Any, needing: Mapping[str, Any]) -> None:
    """Regions come from one side, or nothing that is about regions is asked for."""
    if peaks is not None and counts is not None:
        raise InputError(
            "regions come from peaks or from counts",
            found="both",
            expected="one of --peaks and --counts",
        )
    asked = [name for name, value in needing.items() if value is not None]
    if peaks is None and counts is None and asked:
        raise InputError(
            f"{' and '.join(asked)} are about accessible regions, and there are none",
            found="neither peaks nor counts",
            expected="one of --peaks and --counts",
            do="Give one; a store without regions holds a genome, states, signals and motifs.",
        )


def _check_motifs(motifs: Any, regionless: bool, background: str, more: Sequence[str]) -> None:
    """Without regions there is no matrix to be made from motifs, nor a composition of regions."""
    asked = (("background gc_bins", background == "gc_bins"), ("more_statistics", bool(more)))
    for name, is_asked in asked:
        if motifs is not None and regionless and is_asked:
            raise InputError(
                f"{name} is about accessible regions, and there are none",
                found="neither peaks nor counts",
                expected="one of --peaks and --counts",
                do="Give one, or leave the option out: the store then keeps the motifs alone.",
            )


def _check_width(region_width: int, motifs: Sequence[Motif]) -> None:
    """Refuse pieces that could not hold a motif."""
    longest = max(motifs, key=lambda motif: len(motif.matrix), default=None)
    least = 1 if longest is None else len(longest.matrix)
    if region_width < least:
        raise InputError(
            "the regions would be shorter than a motif" if longest else "the value is out of range",
            where="region_width",
            found=region_width,
            expected=f"at least {least}" + (f", the bases of {longest.id}" if longest else ""),
        )


def _about_access(source: str, usual: dict[str, Any], of_counts: dict[str, Any]) -> dict[str, Any]:
    """What `store.json` says about how accessibility was decided."""
    return {
        "from": source,
        **({} if source == "none" else usual),
        **(of_counts if source == "counts" else {}),
    }


def _without(all_of_them: Sequence[str], having: Container[str], what: str) -> list[str]:
    """One note about cell types that others of the store have something over."""
    bare = [cell for cell in all_of_them if cell not in having]
    return [f"cell types without {what}: {few(bare, 12)}"] if bare else []


def _statistics(first: Statistic, more: Sequence[Statistic], motifs: bool) -> tuple[Statistic, ...]:
    """All statistics in order, or a refusal of what no store can hold."""
    for name in more:
        check_choice("more_statistics", name, get_args(Statistic))
    if len({first, *more}) <= len(more):
        raise InputError(
            "a statistic stands twice",
            where="more_statistics",
            found=", ".join((first, *more)),
            do="Name in more_statistics only what is wanted beside `statistic`.",
        )
    if more and not motifs:
        raise InputError(
            "factor matrices need motifs",
            where="more_statistics",
            found=", ".join(more),
            do="Give --motifs.",
        )
    return (first, *more)


def _files(given: Files) -> list[str | Path]:
    return [given] if isinstance(given, str | Path) else list(given)


def _versions() -> dict[str, str]:
    found = {"epilm": __version__, "python": platform.python_version()}
    for tool in TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found


class _Flat:
    """The genome as it lies in the store: what `n_fraction` reads, without decoding the files
    again.
    """

    def __init__(self, sizes: Mapping[str, int], flat: np.ndarray, offsets: np.ndarray) -> None:
        self.sizes = dict(sizes)
        self._flat, self._begin = flat, dict(zip(sizes, offsets[:-1].tolist(), strict=True))

    def codes(self, chrom: str) -> np.ndarray:
        begin = self._begin[chrom]
        return self._flat[begin : begin + self.sizes[chrom]]


def _write_genome(writer: StoreWriter, genome: Genome, bar: Bar) -> np.ndarray:
    flat = writer.genome()
    for chrom, begin in zip(bar(writer.chroms, "genome"), writer.offsets[:-1], strict=True):
        flat[begin : begin + genome.sizes[chrom]] = genome.codes(chrom)
    flat.flush()
    return flat


def _write_factors(
    writer: StoreWriter,
    flat: np.ndarray,
    rows: np.ndarray,
    motifs: Sequence[Motif],
    bar: Bar,
    statistics: Sequence[Statistic],
    **switches: Any,
) -> MotifReport:
    starts = writer.offsets[rows["chrom"]] + rows["start"]
    ends = writer.offsets[rows["chrom"]] + rows["end"]
    names = (None, *statistics[1:]) if len(rows) else ()
    out = [writer.matrix((len(rows), len(motifs)), name) for name in names]
    with bar.counting("motifs", len(rows)) as done:
        _, report = factor_matrices(
            np.asarray(flat),
            starts,
            ends,
            motifs,
            statistics,
            out=out or None,
            progress=done,
            **switches,
        )
    for name, matrix in zip(names, out, strict=True):
        matrix.flush()
        writer.sums(matrix, rows["chrom"], name)
    about = report.to_dict()
    writer.motifs(
        [
            {
                "id": motif.id,
                "name": motif.name,
                "family": motif.family,
                "is_counts": motif.is_counts,
                "sites": motif.sites,
                "threshold": about["thresholds"][i],
                "minimum_p": about["minimum_p"][i],
                "maximum_score": about["maximum_score"][i],
                "matrix": motif.matrix.tolist(),
            }
            for i, motif in enumerate(motifs)
        ]
    )
    return report

"""Raw files to a store: genome, accessible regions, states and signals per cell type, motifs,
contacts.

The only place where the floors `genome` and `motifs` meet the store. `build` reads as the list of
its stages: what was asked (`asked`), what is read first (`raw`), then what is written, in the
order of the files' cost. Cheap checks come first, so that a mistake in a file name costs seconds
and not the scan. Whole or absent, as everything that writes here. Not on the training path.
"""

import platform
from collections.abc import Container, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from epilm import __version__
from epilm.atomic import atomic_folder
from epilm.errors import InputError
from epilm.genome.chromosomes import PastEnd, few
from epilm.genome.fasta import Genome
from epilm.motifs.matrix import Background, MotifReport, Statistic, factor_matrices
from epilm.motifs.motif import Motif
from epilm.motifs.pwm import Short
from epilm.shards import JoinedParts
from epilm.store.making.asked import Asked, Files, check
from epilm.store.making.factor_parts import fill_from, joined_scan, scan_request
from epilm.store.making.inputs import Peaks
from epilm.store.making.progress import Bar, bars
from epilm.store.making.raw import Raw, read_raw, sources
from epilm.store.making.regions import Regions, clean, cut, narrower_than_motifs
from epilm.store.making.track_files import Written, write_signals, write_states
from epilm.store.making.track_inputs import (
    CellMap,
    SignalSource,
    StateSource,
    near_names,
    read_cell_map,
    signal_sources,
    state_sources,
)
from epilm.store.making.writer import StoreWriter, all_cells, widen
from epilm.store.reader import Store

# What is told apart in tools by a version: what could change a number of the store.
TOOLS = ("numpy", "pandas", "scipy", "numba")
PER_MOTIF = ("ids", "names", "thresholds", "minimum_p", "maximum_score")
OF_MATRIX = ("statistic", "more_statistics")


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
    signal_scale: str | Mapping[str, str] | Sequence[str] = "none",
    past_end: PastEnd = "refuse",
    strict: bool = False,
    threads: int | None = None,
    from_parts: Sequence[str | Path] | None = None,
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
    signal_scale : {"none", "depth"}, or {name: how}
        depth: values of each cell type's track are divided by its mean over the genome given, so
        that counts of reads of cell types sequenced to another depth compare.
    past_end : {"refuse", "cut"}
        What to do with peaks, regions of counts, states and signals past the end of a chromosome:
        they are of another assembly, or the genome given holds only the first part of its
        chromosomes, or a caller extended its reads.
    strict : bool
        Refuse unsorted and duplicate regions and unknown chromosomes, which are else sorted,
        left out and counted.
    threads : int, optional
        For the motif scan; default all cores of the process.
    from_parts : sequence of path, optional
        Take the factor matrix from the parts that shards of the same command scanned
        (`build_shards.build_shard`); all else is made here, byte for byte as in one process.
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
    asked = Asked(**locals())  # the arguments and nothing else: no other name is local yet
    check(asked)
    track_files = _list_tracks(asked)
    with (
        joined_scan(from_parts) as parts,
        atomic_folder(out, overwrite=overwrite) as folder,
        bars(progress) as bar,
    ):
        raw = read_raw(asked, bar)
        writer = StoreWriter(folder, tuple(raw.genome.sizes), tuple(raw.genome.sizes.values()))
        bases = write_genome(writer, raw.genome, bar)
        clean_regions(asked, raw, bases, writer)
        if parts is not None:  # before the tracks, which may take hours
            rows = raw.regions.structured(writer.chroms)
            parts.check_request(scan_request(asked, raw.motifs, bases, rows, writer.chroms))
        tracks = _write_tracks(asked, track_files, writer, bar)
        cells, rows = _write_regions(raw.regions, tracks, writer)
        scanned = _write_factors(asked, raw.motifs, bases, rows, writer, bar, parts)
        if raw.contacts is not None:
            writer.contacts(raw.contacts[1], raw.contacts[2])
        writer.finish(
            assembly=assembly or raw.genome.path.name.split(".")[0],
            regions=rows,
            cell_types=cells,
            regionless=asked.regions_from == "none",
            access=_about_access(asked),
            states=tracks.states.about,
            signals=tracks.signals.about,
            factors=_about_factors(asked, scanned),
            contacts=_about_contacts(raw),
            sources=sources(asked, raw),
            dropped={why: n for why, n in raw.regions.dropped.items() if n},
            notes=_notes(asked, raw, scanned, tracks, cells, rows),
            versions=_versions(),
        )
    return Store.open(out)


class _TrackFiles(NamedTuple):
    """Where tracks come from, before any of them is opened."""

    states: list[StateSource]
    cell_map: dict[str, tuple[str, str]]
    signals: list[SignalSource]


class _Tracks(NamedTuple):
    """What was written of states, per bin, and of signals, per base; empty where there are none."""

    states: Written
    signals: Written


def _list_tracks(asked: Asked) -> _TrackFiles:
    states = [] if asked.states is None else state_sources(asked.states)
    cell_map = read_cell_map(asked.cell_map)
    if cell_map and not states:
        raise InputError("a cell map needs states", where="--cell-map", do="Give --states.")
    signals = signal_sources(
        asked.accessibility,
        asked.mappability,
        asked.signal,
        asked.signal_pool,
        asked.signal_scale,
    )
    return _TrackFiles(states, cell_map, signals)


# -- the stages that write


def write_genome(writer: StoreWriter, genome: Genome, bar: Bar) -> np.ndarray:
    """Write the flat genome; give it."""
    flat = writer.genome()
    for chrom, begin in zip(bar(writer.chroms, "genome"), writer.offsets[:-1], strict=True):
        flat[begin : begin + genome.sizes[chrom]] = genome.codes(chrom)
    flat.flush()
    return flat


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


def clean_regions(asked: Asked, raw: Raw, bases: np.ndarray, writer: StoreWriter) -> None:
    """Cut wide regions, leave out those on the blacklist and those of N, in place."""
    if asked.regions_from == "none":
        return
    if asked.region_width is not None:
        cut(raw.regions, asked.region_width)
    genome = _Flat(raw.genome.sizes, bases, writer.offsets)
    where = "the peaks" if asked.regions_from == "peaks" else str(asked.counts)
    clean(raw.regions, genome, raw.blacklist, asked.max_n_fraction, where)


def _write_tracks(asked: Asked, files: _TrackFiles, writer: StoreWriter, bar: Bar) -> _Tracks:
    states = signals = Written()
    if files.states:
        states = write_states(
            writer,
            files.states,
            files.cell_map,
            bar,
            state_bin=asked.state_bin,
            past_end=asked.past_end,
        )
    if files.signals:
        signals = write_signals(
            writer,
            files.signals,
            bar,
            resolution=asked.signal_resolution,
            past_end=asked.past_end,
        )
    return _Tracks(states, signals)


def _write_regions(
    regions: Regions, tracks: _Tracks, writer: StoreWriter
) -> tuple[list[str], np.ndarray]:
    """Write regions and where they are accessible; give all cell types, and the regions' rows."""
    cells = all_cells(regions.cell_types, (tracks.states.cells, tracks.signals.cells))
    rows = regions.structured(writer.chroms)
    writer.regions(rows)
    writer.access(widen(regions.accessible, len(cells)), widen(regions.counts, len(cells)))
    return cells, rows


def _write_factors(
    asked: Asked,
    motifs: Sequence[Motif] | None,
    bases: np.ndarray,
    rows: np.ndarray,
    writer: StoreWriter,
    bar: Bar,
    parts: JoinedParts | None,
) -> MotifReport | None:
    """Scan the regions with the motifs into one matrix a statistic, or take what parts scanned;
    None without motifs.

    Without regions there is no matrix: the motifs are kept with their cuts.
    """
    if motifs is None:
        return None
    names = (None, *asked.statistics[1:]) if len(rows) else ()
    out = [writer.matrix((len(rows), len(motifs)), name) for name in names]
    if parts is None:
        report = scan(asked, motifs, bases, rows, writer.offsets, bar, out=out or None)[1]
    else:
        nothing = np.zeros(0, np.int64)  # the cuts alone
        report = scan(asked, motifs, bases, rows, writer.offsets, bar, only=nothing)[1]
        fill_from(parts, out)
    for name, matrix in zip(names, out, strict=True):
        matrix.flush()
        writer.sums(matrix, rows["chrom"], name)
    writer.motifs(_motif_entries(motifs, report))
    return report


def scan(
    asked: Asked,
    motifs: Sequence[Motif],
    bases: np.ndarray,
    rows: np.ndarray,
    offsets: np.ndarray,
    bar: Bar,
    *,
    out: Sequence[np.ndarray] | None = None,
    only: np.ndarray | None = None,
) -> tuple[list[np.ndarray], MotifReport]:
    """Scan regions, or some of them, as asked; see `motifs.matrix.factor_matrices`."""
    begin = offsets[rows["chrom"]]
    with bar.counting("motifs", len(rows) if only is None else len(only)) as done:
        return factor_matrices(
            np.asarray(bases),
            begin + rows["start"],
            begin + rows["end"],
            motifs,
            asked.statistics,
            out=out,
            only=only,
            progress=done,
            p=asked.p,
            pseudocount=asked.pseudocount,
            background=asked.background,
            short=asked.short,
            threads=asked.threads,
        )


def _motif_entries(motifs: Sequence[Motif], report: MotifReport) -> list[dict[str, Any]]:
    """`motifs.json`: each motif with the threshold it was scanned at."""
    about = report.to_dict()
    return [
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


# -- what `store.json` says


def _about_access(asked: Asked) -> dict[str, Any]:
    """How accessibility was decided."""
    about: dict[str, Any] = {"from": asked.regions_from}
    if asked.regions_from != "none":
        about |= {"overlaps": asked.overlaps, "max_n_fraction": asked.max_n_fraction}
        about |= {} if asked.region_width is None else {"region_width": asked.region_width}
    if asked.regions_from == "counts":
        about |= {"label": asked.label}
        about |= {} if asked.layer is None else {"layer": asked.layer}
        about |= {"min_count": asked.min_count, "min_cpm": asked.min_cpm, "top_n": asked.top_n}
    return about


def _about_factors(asked: Asked, scanned: MotifReport | None) -> dict[str, Any]:
    about = {} if scanned is None else scanned.to_dict()
    # Motifs alone were scanned over nothing, by no statistic.
    without = OF_MATRIX if asked.regions_from == "none" else ()
    return {key: about[key] for key in about if key not in (*PER_MOTIF, *without)}


def _about_contacts(raw: Raw) -> dict[str, Any]:
    if raw.contacts is None:
        return {}
    return {"resolution": raw.contacts[0], "value": "log1p(observed / expected)"}


def _notes(
    asked: Asked,
    raw: Raw,
    scanned: MotifReport | None,
    tracks: _Tracks,
    cells: Sequence[str],
    rows: np.ndarray,
) -> list[str]:
    """What a person should know of this store, a line each."""
    accessible = raw.regions.accessible.sum(0)
    lonely = [c for c, n in zip(raw.regions.cell_types, accessible, strict=True) if n == 0]
    with_regions = cells if asked.regions_from == "none" else raw.regions.cell_types
    notes = [
        *raw.genome.notes,
        *raw.regions.notes,
        *([] if scanned is None else str(scanned).split("\n")[1:]),
        *narrower_than_motifs(rows, [(motif.id, motif.width) for motif in raw.motifs or ()]),
        *tracks.states.notes,
        *tracks.signals.notes,
        *near_names(cells),
        *([f"cell types without an accessible region: {', '.join(lonely)}"] if lonely else []),
        *_without(cells, with_regions, "an accessible region"),
        # A store without states has no cell type that lacks them.
        *_without(cells, tracks.states.cells if tracks.states.about else cells, "states"),
    ]
    for name, about in tracks.signals.about.items():
        notes += _without(cells, about["cell_types"] or cells, name)
    return notes


def _without(all_of_them: Sequence[str], having: Container[str], what: str) -> list[str]:
    """One note about cell types that others of the store have something over."""
    bare = [cell for cell in all_of_them if cell not in having]
    return [f"cell types without {what}: {few(bare, 12)}"] if bare else []


def _versions() -> dict[str, str]:
    versions = {"epilm": __version__, "python": platform.python_version()}
    for tool in TOOLS:
        try:
            versions[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return versions

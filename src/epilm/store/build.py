"""Raw files to a store: genome, accessible regions per cell type, motifs, contacts.

The only place where the floors `genome` and `motifs` meet the store. Cheap
checks come first, so that a mistake in a file name costs seconds and not the
scan. Whole or absent, as everything that writes here. Not on the training path.
"""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from epilm import __version__
from epilm.atomic import atomic_folder
from epilm.errors import InputError
from epilm.genome.checks import check_intervals
from epilm.genome.contacts import Contacts, read_contacts
from epilm.genome.counts import read_counts
from epilm.genome.fasta import Genome, open_genome
from epilm.genome.peaks import read_peaks
from epilm.motifs.formats import read_motifs
from epilm.motifs.matrix import Background, MotifReport, Statistic, factor_matrices
from epilm.motifs.motif import Motif
from epilm.motifs.pwm import Short
from epilm.store.contacts import contact_table
from epilm.store.inputs import Peaks, peak_files, source
from epilm.store.progress import Bar, bars
from epilm.store.reader import Store
from epilm.store.regions import check_choice, check_thresholds, clean, from_counts, from_peaks
from epilm.store.writer import StoreWriter

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
    motifs: str | Path | None = None,
    contacts: Files | None = None,
    contacts_resolution: int | None = None,
    sizes: str | Path | None = None,
    assembly: str | None = None,
    blacklist: str | Path | None = None,
    overlaps: Literal["merge", "keep"] = "merge",
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
        Either this or `counts`.
    counts : path
        Peak x cell matrix: .h5ad, .mtx(.gz), .npz, .RDS.
    counts_peaks, counts_cells : path, optional
        Its peak list and cell table, where the matrix does not hold them.
    label : str
        Column of the cell table that says the cell type.
    unlabelled : {"error", "drop"}
        What to do with cells without a label.
    motifs : path or "jaspar:2018", optional
        JASPAR, MEME, TRANSFAC; without motifs the store has no factor matrix.
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
    if (peaks is None) == (counts is None):
        raise InputError(
            "regions come from peaks or from counts",
            found="both" if peaks is not None else "neither",
            expected="one of --peaks and --counts",
        )
    check_choice("overlaps", overlaps, ("merge", "keep"))
    check_choice("statistic", statistic, get_args(Statistic))
    statistics = _statistics(statistic, more_statistics, motifs is not None)
    check_choice("background", background, get_args(Background))
    check_choice("short", short, get_args(Short))
    check_thresholds(min_count, min_cpm, top_n, counts is not None)
    for name, value, low, high in (("max_n_fraction", max_n_fraction, 0, 1), ("p", p, 0, 1)):
        if not low <= value <= high or (name == "p" and value in (0, 1)):
            raise InputError("the value is out of range", where=name, found=value, expected="between 0 and 1")
    if pseudocount < 0:
        raise InputError("the value is out of range", where="pseudocount", found=pseudocount, expected=">= 0")
    with atomic_folder(out, overwrite=overwrite) as folder, bars(progress) as bar:
        opened = open_genome(genome, sizes)
        sources = [source("genome", path) for path in _files(genome)]
        if sizes is not None:
            sources.append(source("sizes", sizes))
        read = None if motifs is None else read_motifs(motifs)
        if peaks is not None:
            named = peak_files(peaks)
            regions = from_peaks(bar(named, "peaks"), opened.sizes, overlaps, strict)
            sources += [source("peaks", path, cell_type=name) for name, path in named.items()]
            where = "the peaks"
        else:
            assert counts is not None
            where = str(counts)
            regions = from_counts(
                read_counts(counts, counts_peaks, counts_cells, label, unlabelled),
                opened.sizes,
                overlaps,
                strict,
                where,
                min_count=min_count,
                min_cpm=min_cpm,
                top_n=top_n,
            )
            given = (("counts", counts), ("counts_peaks", counts_peaks), ("counts_cells", counts_cells))
            sources += [source(role, path) for role, path in given if path is not None]
        black = None
        if blacklist is not None:
            black = check_intervals(read_peaks(blacklist), opened.sizes).table
            sources.append(source("blacklist", blacklist))
        table = None
        if contacts is not None:
            maps = [_read_contacts(path, contacts_resolution) for path in _files(contacts)]
            table = contact_table(maps, opened.sizes, contacts_resolution)
            sources += [source("contacts", path) for path in _files(contacts)]

        writer = StoreWriter(folder, tuple(opened.sizes), tuple(opened.sizes.values()))
        flat = _write_genome(writer, opened, bar)
        clean(regions, _Flat(opened.sizes, flat, writer.offsets), black, max_n_fraction, where)
        rows = regions.structured(writer.chroms)
        writer.regions(rows)
        writer.access(regions.accessible, regions.counts)
        made: dict[str, Any] = {}
        if read is not None:
            report = _write_factors(
                writer, flat, rows, read, bar, statistics, p=p, pseudocount=pseudocount,
                background=background, short=short, threads=threads,
            )  # fmt: skip
            about = report.to_dict()
            made = {key: value for key, value in about.items() if key not in PER_MOTIF}
            regions.notes += str(report).split("\n")[1:]
            sources.append(source("motifs", motifs))  # type: ignore[arg-type]
        if table is not None:
            writer.contacts(table[1], table[2])
        notes = [*opened.notes, *regions.notes]
        lonely = [c for c, n in zip(regions.cell_types, regions.accessible.sum(0), strict=True) if n == 0]
        if lonely:
            notes.append(f"cell types without an accessible region: {', '.join(lonely)}")
        writer.finish(
            assembly=assembly or opened.path.name.split(".")[0],
            regions=rows,
            cell_types=regions.cell_types,
            access={
                "from": "peaks" if peaks is not None else "counts",
                "overlaps": overlaps,
                "max_n_fraction": max_n_fraction,
                **(
                    {}
                    if counts is None
                    else {"label": label, "min_count": min_count, "min_cpm": min_cpm, "top_n": top_n}
                ),
            },
            factors=made,
            contacts={} if table is None else {"resolution": table[0], "value": "log1p(observed / expected)"},
            sources=sources,
            dropped={why: n for why, n in regions.dropped.items() if n},
            notes=notes,
            versions=_versions(),
        )
    return Store.open(out)


def _statistics(first: Statistic, more: Sequence[Statistic], motifs: bool) -> tuple[Statistic, ...]:
    """All statistics in order, or a refusal of what no store can hold."""
    for name in more:
        check_choice("more_statistics", name, get_args(Statistic))
    if len({first, *more}) <= len(more):
        raise InputError(
            "a statistic stands twice", where="more_statistics", found=", ".join((first, *more)),
            do="Name in more_statistics only what is wanted beside `statistic`.",
        )  # fmt: skip
    if more and not motifs:
        raise InputError(
            "factor matrices need motifs", where="more_statistics", found=", ".join(more), do="Give --motifs."
        )
    return (first, *more)


def _files(given: Files) -> list[str | Path]:
    return [given] if isinstance(given, str | Path) else list(given)


def _read_contacts(path: str | Path, resolution: int | None) -> Contacts:
    """Text has one resolution, which is found; an .mcool file is asked for the one wanted."""
    return read_contacts(path, resolution if Path(path).name.endswith(".mcool") else None)


def _versions() -> dict[str, str]:
    found = {"epilm": __version__, "python": platform.python_version()}
    for tool in TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found


class _Flat:
    """The genome as it lies in the store: what `n_fraction` reads, without decoding the files again."""

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
    names = (None, *statistics[1:])
    out = [writer.matrix((len(rows), len(motifs)), name) for name in names]
    with bar.counting("motifs", len(rows)) as done:
        _, report = factor_matrices(
            np.asarray(flat), starts, ends, motifs, statistics, out=out, progress=done, **switches
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
                "threshold": about["thresholds"][i],
                "minimum_p": about["minimum_p"][i],
                "maximum_score": about["maximum_score"][i],
                "matrix": motif.matrix.tolist(),
            }
            for i, motif in enumerate(motifs)
        ]
    )
    return report

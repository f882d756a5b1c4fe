"""Which bases are explained, and in which window a model reads each of them.

A region that fits into a window is read in one around its middle, as tasks cut their examples.
A longer one is read in windows on a grid of the genome, each base in the middle part of one: the
window of a base depends on its coordinate alone, so a region and a part of it agree.
Coordinates 0-based, half-open. Axes: W bases of a window, n of them explained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError
from epilm.genome.checks import check_ends
from epilm.genome.chromosomes import check_names, few
from epilm.genome.genes import read_genes
from epilm.genome.peaks import read_peaks
from epilm.tasks.base import encode_text
from epilm.tasks.reference import Reference
from epilm.tasks.sequences import read_records
from epilm.tasks.splits import parse_interval

MORE = 10  # bases behind a window, for deletions to pull in: as long as the longest deletion


class Region(NamedTuple):
    """Bases to be explained.

    Attributes
    ----------
    chrom : str
        Of a sequence without a place its name.
    start, end : int
    name : str
        Unique among the regions of a call.
    strand : int
        1 or -1; only models that read one strand ask for it.
    middle : int
        Where its window is centred: the summit where the file names one.
    where : str
        File and line.
    """

    chrom: str
    start: int
    end: int
    name: str
    strand: int = 1
    middle: int = -1
    where: str = ""


@dataclass(frozen=True)
class Frame:
    """A window as a model reads it, and which of its bases are explained.

    Attributes
    ----------
    chrom : str, start : int
        Where the window lies.
    codes : uint8 (W,)
        Its bases on the forward strand, A=0 C=1 G=2 T=3 N=4.
    more : uint8 (at most 10,)
        Bases behind it; none behind a sequence that brings its own.
    first, last : int
        The explained bases within the window, half-open.
    strand : int
        1 or -1.
    site, kind : int
        Of a model that answers each base: the base whose answer is explained, within the window,
        and which of its classes; -1 and 0 of other models.
    """

    chrom: str
    start: int
    codes: NDArray[np.uint8]
    more: NDArray[np.uint8]
    first: int
    last: int
    strand: int = 1
    site: int = -1
    kind: int = 0

    @property
    def width(self) -> int:
        """W."""
        return len(self.codes)


def read_regions(path: str | Path, genome: Reference) -> list[Region]:
    """Read intervals of a genome, in the order of the file.

    Raises
    ------
    InputError
        For a chromosome that the genome has not, or an end past one.
    """
    table = read_peaks(path)
    unknown = check_names(table["chrom"], genome.sizes, str(path))
    if unknown:
        raise InputError(
            "the genome has not all chromosomes of the regions",
            where=str(path),
            found=", ".join(unknown[:5]),
            expected=f"among {', '.join(list(genome.sizes)[:5])}",
            do="Give the genome that the regions lie on, or leave those lines out.",
        )
    check_ends(table, genome.sizes, str(path))
    plain = {
        name: table[name].tolist() if name in table else [absent] * len(table)
        for name, absent in (("name", "."), ("strand", "."), ("summit", -1))
    }
    names = unique_names(
        [
            f"{chrom}_{start}_{end}" if str(name) in (".", "nan", "") else str(name)
            for chrom, start, end, name in zip(
                table["chrom"], table["start"], table["end"], plain["name"]
            )
        ]
    )
    return [
        Region(
            str(chrom),
            int(start),
            int(end),
            name,
            -1 if strand == "-" else 1,
            int(summit) if summit >= 0 else (int(start) + int(end)) // 2,
            f"{path}, line {line}",
        )
        for chrom, start, end, name, strand, summit, line in zip(
            table["chrom"],
            table["start"],
            table["end"],
            names,
            plain["strand"],
            plain["summit"],
            table.index,
        )
    ]


def find_regions(
    named: Sequence[str], genes: str | Path | None, genome: Reference, flank: int = 0
) -> list[Region]:
    """Find genes and places of a genome, in the order given.

    Parameters
    ----------
    named : sequence of str
        Genes by name or id, or chrom:start-end (0-based, half-open).
    genes : path or None
        What genes are looked up in.
    genome : Reference
    flank : int
        Bases more on either side of a gene, as far as the chromosome goes.

    Raises
    ------
    InputError
        If there is no such gene, or the genome has no such place.
    UsageError
        If genes are named and none are given.
    """
    read = None if genes is None else read_genes(genes)
    out = []
    for name in named:
        if ":" in name:
            interval = parse_interval(name)
            chrom, start, end, strand, where = *interval, 1, f"--gene {name}"
        elif read is None:
            raise UsageError(
                "a gene is looked up in a file",
                where="--gene",
                found=name,
                do="Give --genes GTF, or its place as chrom:start-end.",
            )
        else:
            gene = read.find(name)
            chrom, strand, where = gene.chrom, -1 if gene.strand == "-" else 1, f"{genes}, {name}"
            start, end = max(gene.start - flank, 0), gene.end + flank
        if chrom not in genome.sizes:
            raise InputError(
                "the genome has no such chromosome",
                where=where,
                found=chrom,
                expected=f"one of {few(list(genome.sizes), 5)}",
            )
        if ":" not in name and end - flank <= genome.sizes[chrom]:
            end = min(end, genome.sizes[chrom])
        if end > genome.sizes[chrom]:
            raise InputError(
                "it ends past its chromosome",
                where=where,
                found=f"{chrom}:{start}-{end}",
                expected=f"an end of at most {genome.sizes[chrom]}",
                do="Give the genome that the genes were annotated on.",
            )
        out.append(Region(chrom, start, end, name, strand, (start + end) // 2, where))
    return [
        region._replace(name=name) for region, name in zip(out, unique_names([r.name for r in out]))
    ]


def read_sequences(path: str | Path) -> tuple[list[Region], list[NDArray[np.uint8]]]:
    """Read sequences that bring their bases: FASTA, or one a line.

    Returns
    -------
    regions : list of Region
        The place is that of a head such as `>chr1:5-9`; else its name from 0.
    codes : list of uint8 arrays
    """
    records = read_records(path)
    names = unique_names([record.name for record in records])
    regions, codes = [], []
    for record, name in zip(records, names):
        where = f"{path}, line {record.line}"
        bases = encode_text(record.sequence, where)
        chrom, start = record.place
        chrom, start = (chrom, start) if chrom else (name, 0)
        end = start + len(bases)
        regions.append(Region(chrom, start, end, name, 1, (start + end) // 2, where))
        codes.append(bases)
    return regions, codes


def unique_names(names: Sequence[str]) -> list[str]:
    """Number names that come twice.

    Examples
    --------
    >>> unique_names(["a", "b", "a"])
    ['a', 'b', 'a_2']
    """
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out


def frames_of(
    region: Region,
    bases: NDArray[np.uint8],
    window: int | None,
    *,
    first: int = 0,
    step: int | None = None,
) -> list[Frame]:
    """Cut the windows of a region.

    Parameters
    ----------
    region : Region
    bases : uint8 (chromosome,)
        All bases that there are, the first of them at `first`.
    window : int, optional
        Bases of a window; the region's own where not given.
    first : int
        Where `bases` begins; 0 for a chromosome.
    step : int, optional
        Explained bases of a window on the grid; half of the window.

    Raises
    ------
    InputError
        If the chromosome is shorter than a window, or all bases of the region are N.

    Examples
    --------
    A region of 6 bases in a window of 10, and one of 12 in windows of which the middle 4 count:

    >>> bases = np.zeros(100, np.uint8)
    >>> [(f.start, f.first, f.last) for f in frames_of(Region("c", 20, 26, "a", 1, 23), bases, 10)]
    [(18, 2, 8)]
    >>> [
    ...     (f.start, f.first, f.last)
    ...     for f in frames_of(Region("c", 22, 34, "a", 1, 28), bases, 10, step=4)
    ... ]
    [(17, 5, 7), (21, 3, 7), (25, 3, 7), (29, 3, 5)]
    """
    width = region.end - region.start if window is None else window
    here = bases[region.start - first : region.end - first]
    if (here > 3).all():
        raise InputError(
            "there is no base to explain",
            where=region.where or region.name,
            found=f"{region.chrom}:{region.start}-{region.end} is N in the genome given",
            do="Leave it out, or give the assembly that it lies on.",
        )
    if width > len(bases):
        raise InputError(
            "the window is wider than what there is",
            where=region.where or region.name,
            found=f"{len(bases)} bp",
            expected=f"at least {width} bp",
            do="Give a narrower --window, or leave it out.",
        )
    low, high = first, first + len(bases)
    if region.end - region.start <= width:
        start = min(max(region.middle - width // 2, low), high - width)
        if region.start < start or region.end > start + width:  # a summit near its end
            start = min(max((region.start + region.end) // 2 - width // 2, low), high - width)
        spans = [(start, region.start, region.end)]
    else:
        spans = list(_on_grid(region, width, step or max(width // 2, 1), low, high))
    return [
        Frame(
            region.chrom,
            start,
            bases[start - first : start - first + width],
            bases[start - first + width : start - first + width + MORE],
            a - start,
            b - start,
            region.strand,
        )
        for start, a, b in spans
    ]


def _on_grid(
    region: Region, width: int, step: int, low: int, high: int
) -> Iterator[tuple[int, int, int]]:
    """Windows whose middle `step` bases tile the genome: start, and the explained interval."""
    for tile in range(region.start // step, (region.end - 1) // step + 1):
        start = min(max(tile * step - (width - step) // 2, low), high - width)
        yield start, max(region.start, tile * step), min(region.end, (tile + 1) * step)


def window_of(region: Region, window: int | None, widest: int | None) -> int | None:
    """Choose the window's width: as asked, else the region's own, else the widest there is.

    Raises
    ------
    UsageError
        If the asked width is more than the model reads.

    Examples
    --------
    >>> (
    ...     window_of(Region("c", 0, 900, "a"), None, 515),
    ...     window_of(Region("c", 0, 90, "a"), None, 515),
    ... )
    (515, None)
    """
    if window is not None:
        if window < 1 or (widest is not None and window > widest):
            raise UsageError(
                "impossible value",
                where="--window",
                found=window,
                expected=f"1 to {widest} bp" if widest is not None else "at least 1 bp",
            )
        return window
    return widest if widest is not None and region.end - region.start > widest else None

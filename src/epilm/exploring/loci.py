"""Which places are shown: rows of a BED or VCF file, genes, or places in words.

A `Locus` is what a person clicks; a `Stretch` is a piece of the genome whose data the page holds.
Loci whose views overlap share a stretch, so nothing is drawn twice.
Coordinates 0-based, half-open.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from epilm.errors import InputError, UsageError, nearest
from epilm.genome.chromosomes import check_names, few
from epilm.genome.genes import Genes
from epilm.genome.peaks import read_peaks
from epilm.tasks.splits import parse_interval
from epilm.variants.variant_files import TSV_ENDINGS, VCF_ENDINGS, read_variants

WIDEST = 1_000_000  # bp of one view: a page is for places, not for chromosomes
_PLACE = re.compile(r"[^:\s]+:[\d,]+-[\d,]+")
_FILE = re.compile(r"[/\\]|\.(bed|narrowpeak|broadpeak|vcf|bcf|tsv|txt|gz)$", re.IGNORECASE)


class Locus(NamedTuple):
    """A place with a name.

    Attributes
    ----------
    name : str
    chrom : str
    start, end : int
        What was asked for.
    first, last : int
        What is shown: with flanks, within the chromosome.
    origin : str
        File and line, or the word that was given.
    """

    name: str
    chrom: str
    start: int
    end: int
    first: int
    last: int
    origin: str


class Stretch(NamedTuple):
    """A piece of the genome, with the widest view of the loci in it (bp)."""

    chrom: str
    start: int
    end: int
    view: int


@dataclass(frozen=True)
class Loci:
    """What is shown.

    Attributes
    ----------
    loci : tuple of Locus
        In the order given.
    stretches : tuple of Stretch
        By chromosome (in the genome's order) and start; they neither overlap nor touch.
    of : tuple of int
        Of each locus its stretch.
    notes : tuple of str
        What was left out.
    """

    loci: tuple[Locus, ...]
    stretches: tuple[Stretch, ...]
    of: tuple[int, ...]
    notes: tuple[str, ...] = ()


def find_loci(
    words: Sequence[str | Path],
    sizes: Mapping[str, int],
    *,
    genes: Genes | None = None,
    flank: int = 1000,
    most: int = 200,
) -> Loci:
    """Find what a user points at.

    Parameters
    ----------
    words : sequence of str or path
        Files (BED, narrowPeak; VCF, BCF, or a table with chrom, pos, ref, alt), places
        ("chr20:1000-2000", 0-based), or names of genes.
    sizes : dict of str to int
        Chromosomes of the genome.
    genes : Genes, optional
        Where names of genes are looked up.
    flank : int
        Bases shown on either side.
    most : int
        So many loci are kept, the first ones.

    Raises
    ------
    InputError
        If a place lies outside of its chromosome or on none of the genome, is too wide to be shown,
        or a gene is not known or known twice.
    UsageError
        If nothing is named, or genes are and there is no file of genes.

    Examples
    --------
    >>> made = find_loci(["chr1:400-500", "chr1:1,900-1,950"], {"chr1": 2000}, flank=100)
    >>> [(locus.first, locus.last) for locus in made.loci], len(made.stretches)
    ([(300, 600), (1800, 2000)], 2)
    """
    if flank < 0 or most < 1:
        raise UsageError(
            "impossible value",
            where="--flank" if flank < 0 else "--most",
            found=flank if flank < 0 else most,
            expected="at least 0 bp" if flank < 0 else "at least 1",
        )
    places = [named for word in words for named in _places(word, sizes, genes)]
    if not places:
        raise UsageError(
            "no locus is named", do="Give --loci a BED or VCF file, chrom:start-end, or a gene."
        )
    notes = []
    if len(places) > most:
        notes.append(
            f"{len(places) - most:,} of {len(places):,} loci are left out: the first {most:,} are"
            " shown (--most)"
        )
    loci = tuple(_shown(named, sizes, flank) for named in places[:most])
    stretches, of = _merge(loci, sizes)
    return Loci(loci, stretches, of, tuple(notes))


def kept_loci(loci: Loci, kept: Sequence[int]) -> Loci:
    """Give some of the loci, with the stretches that they need.

    Examples
    --------
    >>> made = find_loci(["chr1:400-500", "chr1:1900-1950"], {"chr1": 2000}, flank=100)
    >>> kept_loci(made, [1]).stretches
    (Stretch(chrom='chr1', start=1800, end=2000, view=200),)
    """
    needed = sorted({loci.of[i] for i in kept})
    number = {old: new for new, old in enumerate(needed)}
    return Loci(
        tuple(loci.loci[i] for i in kept),
        tuple(loci.stretches[s] for s in needed),
        tuple(number[loci.of[i]] for i in kept),
        loci.notes,
    )


Named = tuple[str, str, int, int, str]  # name, chrom, start, end, origin


def _places(word: str | Path, sizes: Mapping[str, int], genes: Genes | None) -> list[Named]:
    text = str(word)
    path = Path(word)
    if path.is_file():
        lower = path.name.lower()
        made = _variants(path) if lower.endswith((*VCF_ENDINGS, *TSV_ENDINGS)) else _intervals(path)
        _check(made, sizes, text)
        return made
    if _PLACE.fullmatch(text):
        chrom, start, end = parse_interval(text)
        made = [(text.replace(",", ""), chrom, start, end, "--loci")]
        _check(made, sizes, "--loci")
        return made
    if _FILE.search(text):
        raise InputError("there is no such file", where=text)
    if text in sizes:
        raise UsageError(
            "a whole chromosome is not a locus",
            where="--loci",
            found=text,
            expected=f"a part of it, such as {text}:0-{min(sizes[text], 10_000)}",
        )
    if genes is None:
        raise UsageError(
            "there is no such file; names of genes need the file of genes",
            where="--loci",
            found=text,
            do="Give --genes GTF, GFF3, genePred or BED; or a BED or VCF file, or chrom:start-end.",
        )
    gene = genes.find(text)
    made = [(gene.name, gene.chrom, gene.start, gene.end, f"gene {gene.ident}")]
    _check(made, sizes, genes.source)
    return made


def _intervals(path: Path) -> list[Named]:
    table = read_peaks(path)
    names = table["name"].astype(str).tolist() if "name" in table else [""] * len(table)
    rows = zip(
        table["chrom"].astype(str), table["start"].tolist(), table["end"].tolist(), strict=True
    )
    return [
        (name if name not in ("", ".") else f"{c}:{a}-{b}", c, a, b, f"{path}, line {line}")
        for name, (c, a, b), line in zip(names, rows, table.index.tolist(), strict=True)
    ]


def _variants(path: Path) -> list[Named]:
    made: dict[tuple[str, int, int], Named] = {}
    for allele in read_variants(path).alleles:
        span = allele.chrom, allele.start, allele.start + max(len(allele.ref), 1)
        name = allele.name if allele.name != "." else f"{allele.chrom}:{allele.start + 1}"
        change = f"{allele.ref[:12]}>{allele.alt[:12]}"
        if span in made:  # several ALTs of one record are one place
            made[span] = (f"{made[span][0]},{change.split('>')[1]}", *made[span][1:])
        else:
            made[span] = (f"{name} {change}", *span, allele.where)
    return list(made.values())


def _check(places: Sequence[Named], sizes: Mapping[str, int], where: str) -> None:
    unknown = check_names([chrom for _, chrom, _, _, _ in places], sizes, where)
    if unknown:
        raise InputError(
            "the genome has not all chromosomes of the loci",
            where=where,
            found=few(unknown),
            expected=few(list(sizes)),
            do=nearest(unknown[0], list(sizes)[:24]),
        )
    for _, chrom, start, end, origin in places:
        if end > sizes[chrom]:
            raise InputError(
                "the locus ends past its chromosome",
                where=origin,
                found=f"{chrom}:{start}-{end}",
                expected=f"an end of at most {sizes[chrom]}",
                do="Is it of another assembly? Give the genome or store that it belongs to.",
            )


def _shown(place: Named, sizes: Mapping[str, int], flank: int) -> Locus:
    name, chrom, start, end, origin = place
    first, last = max(start - flank, 0), min(end + flank, sizes[chrom])
    if last - first > WIDEST:
        raise InputError(
            "the locus is too wide for a page",
            where=origin,
            found=f"{name}, {last - first:,} bp with its flanks",
            expected=f"at most {WIDEST:,} bp",
            do="Give a part of it as chrom:start-end.",
        )
    return Locus(name, chrom, start, end, first, last, origin)


def _merge(
    loci: Sequence[Locus], sizes: Mapping[str, int]
) -> tuple[tuple[Stretch, ...], tuple[int, ...]]:
    """Views that overlap or touch as one stretch, and of each locus its stretch."""
    number = {chrom: i for i, chrom in enumerate(sizes)}
    order = sorted(range(len(loci)), key=lambda i: (number[loci[i].chrom], loci[i].first))
    stretches: list[Stretch] = []
    of = [0] * len(loci)
    for i in order:
        locus = loci[i]
        view = locus.last - locus.first
        last = stretches[-1] if stretches else None
        if last is not None and last.chrom == locus.chrom and locus.first <= last.end:
            stretches[-1] = Stretch(
                last.chrom, last.start, max(last.end, locus.last), max(last.view, view)
            )
        else:
            stretches.append(Stretch(locus.chrom, locus.first, locus.last, view))
        of[i] = len(stretches) - 1
    return tuple(stretches), tuple(of)

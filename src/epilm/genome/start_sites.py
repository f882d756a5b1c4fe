"""Where the transcripts of each gene begin, with all that the gene is called.

Of GTF and GFF3 a transcript each, and which is the gene's main one; of BED and genePred the rows of
`annotation.read_tss`. A site is the 0-based position of the first transcribed base.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from epilm.errors import InputError
from epilm.genome.transcripts import annotation_lines, attributes_of, closed_span, main_rank

WHAT = "start sites of genes: GTF, GFF3, genePred or BED with a strand"
# What a gene is called in GTF and GFF3, the id first.
_NAMES = ("gene_id", "gene_name", "Name", "gene", "ID")
_OF_GENE = re.compile(r"(^|_)(pseudo)?gene$", re.IGNORECASE)
_PIECES = ("exon", "cds", "start_codon", "stop_codon", "utr", "intron", "five_prime_utr")
_VERSION = re.compile(r"^(ENS[A-Z]*\d+)\.\d+$")
LAST = 1 << 30  # rank where a file does not say


class StartSite(NamedTuple):
    """Where one transcript begins.

    Attributes
    ----------
    names : tuple of str
        What its gene is called, the file's own id first.
    chrom : str
    site : int
    strand : {"+", "-"}
    rank : int
        The lower, the more it is the gene's main transcript.
    bases : int
        Of the transcript from end to end; 1 where the file has sites alone.
    line : int
    """

    names: tuple[str, ...]
    chrom: str
    site: int
    strand: str
    rank: int
    bases: int
    line: int


def plain_id(name: str) -> str:
    """Leave out the version of an Ensembl id.

    Examples
    --------
    >>> plain_id("ENSG00000102974.16"), plain_id("RP11-34P13.7")
    ('ENSG00000102974', 'RP11-34P13.7')
    """
    return _VERSION.sub(r"\1", name)


def read_starts(path: str | Path) -> list[StartSite]:
    """Read where transcripts begin; the format is told by the first line.

    Parameters
    ----------
    path : path
        GTF or GFF3 (transcripts; of a gene without any the gene itself), genePred, or BED with a
        strand, whose name is the gene's, as it is or with a number behind it (EPD's "CTCF_1").
        Plain or gzip.

    Returns
    -------
    list of StartSite
        In the order of the file.

    Raises
    ------
    InputError
        If the file is missing, of another format, or has no start site. Names the line.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.gtf"
    >>> _ = name.write_text(
    ...     'chr1\\tx\\ttranscript\\t11\\t20\\t.\\t-\\t.\\tgene_id "G1.2"; gene_name "CTCF"; '
    ...     'transcript_id "T1"; tag "MANE_Select";\\n'
    ... )
    >>> read_starts(name)[0][:5]
    (('G1.2', 'CTCF'), 'chr1', 19, '-', 0)
    """
    path = Path(path)
    lines = annotation_lines(path, WHAT)
    first = next(lines, None)
    if first is not None and len(first[1]) == 9 and first[1][6] in (*"+-.?",):
        sites = _annotation([first], lines, path)
    else:
        sites = _rows(path)
    if not sites:
        raise InputError("the file holds no start site", where=str(path), expected=WHAT)
    return sites


def _rows(path: Path) -> list[StartSite]:
    from epilm.genome.annotation import read_tss

    table = read_tss(path)
    columns = (table[name].tolist() for name in ("chrom", "start", "strand", "name", "gene"))
    return [
        StartSite(tuple(dict.fromkeys((name, gene))), chrom, site, strand, LAST, 1, line)
        for line, chrom, site, strand, name, gene in zip(table.index.tolist(), *columns)
    ]


class _Part:
    """A transcript or gene while a file is read."""

    def __init__(self, fields: list[str], line: int) -> None:
        self.chrom, self.strand, self.line = fields[0], fields[6], line
        self.spans: list[tuple[int, int]] = []
        self.names: tuple[str, ...] = ()
        self.gene, self.rank = "", LAST

    def site(self, names: tuple[str, ...]) -> StartSite:
        start, end = min(self.spans)[0], max(end for _, end in self.spans)
        site = start if self.strand == "+" else end - 1
        return StartSite(names, self.chrom, site, self.strand, self.rank, end - start, self.line)


def _annotation(
    first: Iterable[tuple[int, list[str]]], lines: Iterator[tuple[int, list[str]]], path: Path
) -> list[StartSite]:
    """GTF or GFF3: transcripts by their lines, or by their exons where there are no others."""
    genes: dict[str, _Part] = {}
    transcripts: dict[str, _Part] = {}
    for number, fields in (*first, *lines):
        where = f"{path}, line {number}"
        if len(fields) != 9:
            raise InputError(
                "the line is not one of GTF or GFF3",
                where=where,
                found=f"{len(fields)} columns",
                expected="nine, separated by tabs",
            )
        about = attributes_of(fields[8])
        span = closed_span(fields[3], fields[4], where)
        if _OF_GENE.search(fields[2]):
            name = about.get("ID") or about.get("gene_id", "")
            part = genes.setdefault(name, _Part(fields, number))
            part.spans.append(span)
            part.names = _names(about)
            continue
        own = about.get("transcript_id") if "Parent" not in about else about.get("ID")
        if not own or ("Parent" in about and fields[2].lower() in _PIECES):
            continue
        # One name at two places (the pseudoautosomal regions of RefSeq) is two transcripts.
        key = f"{own} {fields[0]} {fields[6]}"
        part = transcripts.setdefault(key, _Part(fields, number))
        part.spans.append(span)
        part.gene = about.get("Parent") or about.get("gene_id", "")
        part.names = part.names or _names(about)
        part.rank = min(part.rank, main_rank(about.get("tag", "")))
    sites = []
    told: set[str] = set()
    inner = {key.split(" ")[0] for key in transcripts} - set(genes)
    for part in transcripts.values():
        told.add(part.gene)
        if part.strand in ("+", "-") and part.gene not in inner:  # a microRNA within a transcript
            gene = genes.get(part.gene)
            sites.append(part.site(gene.names if gene is not None else part.names))
    sites += [
        part.site(part.names)
        for name, part in genes.items()
        if name not in told and part.strand in ("+", "-")
    ]
    return sorted(sites, key=lambda site: site.line)


def _names(about: dict[str, str]) -> tuple[str, ...]:
    """All that a gene is called, in GFF3 without the kind before it ("gene:ENSG...")."""
    given = (about.get(key, "").removeprefix("gene:") for key in _NAMES)
    return tuple(dict.fromkeys(name for name in given if name))

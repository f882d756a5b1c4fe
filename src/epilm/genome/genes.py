"""Genes of a GTF, GFF3, genePred or BED file: where each lies, and its exons.

A gene is drawn as one thing: the exons of all its transcripts, joined. Coordinates become 0-based,
half-open here. Start sites alone: `annotation.read_tss`.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from epilm.errors import InputError
from epilm.genome.chromosomes import few
from epilm.genome.files import blocks_of_lines

WHAT = "genes: GTF, GFF3, genePred (refGene.txt) or BED"
_NUMBER = re.compile(r"[0-9]{1,18}")
_GTF_PAIR = re.compile(r'(\w+) "?([^";]*)"?')
# What a gene is called in GFF3, beside "gene" itself: pseudogene, ncRNA_gene, tRNA_gene ...
_GENE_KINDS = re.compile(r"(^|_)(pseudo)?gene$", re.IGNORECASE)
Exons = list[tuple[int, int]]


@dataclass(frozen=True)
class Gene:
    """One gene.

    Attributes
    ----------
    name, ident : str
        As people say it ("CTCF"), and the file's own id ("ENSG00000102974.16"); the same where the
        file has one of them.
    chrom : str
    start, end : int
    strand : str
        "+", "-" or ".".
    exons : tuple of (start, end)
        Of all transcripts, joined; the gene itself where the file says none.
    """

    name: str
    ident: str
    chrom: str
    start: int
    end: int
    strand: str
    exons: tuple[tuple[int, int], ...]

    @property
    def place(self) -> str:
        """chrom:start-end."""
        return f"{self.chrom}:{self.start}-{self.end}"


@dataclass(frozen=True)
class Genes:
    """All genes of a file.

    Attributes
    ----------
    genes : tuple of Gene
        In the order of the file.
    source : str
    """

    genes: tuple[Gene, ...]
    source: str

    def __len__(self) -> int:
        return len(self.genes)

    def find(self, name: str) -> Gene:
        """Find a gene by its name or id, whatever the case; an id also without its version.

        Raises
        ------
        InputError
            If there is none (the nearest are named), or two lie at different places.

        Examples
        --------
        >>> one = Gene("CTCF", "ENSG1.2", "chr1", 5, 9, "+", ((5, 9),))
        >>> two = Gene("Y_RNA", "ENSG2.1", "chr1", 20, 29, "+", ((20, 29),))
        >>> far = Gene("Y_RNA", "ENSG3.1", "chr2", 5, 9, "+", ((5, 9),))
        >>> genes = Genes((one, two, far), "genes.gtf")
        >>> genes.find("ctcf").place, genes.find("ENSG3").place
        ('chr1:5-9', 'chr2:5-9')
        >>> genes.find("CTFC")
        Traceback (most recent call last):
        epilm.errors.InputError: genes.gtf: no gene has this name. Found CTFC; expected one of 3
            genes. The nearest: CTCF.
        """
        wanted = name.strip().upper()
        same = [gene for gene in self.genes if gene.name.upper() == wanted]
        same = same or [
            gene for gene in self.genes if wanted in (gene.ident.upper(), _plain(gene.ident))
        ]
        if len(same) == 1:
            return same[0]
        if same:
            shown = [f"{gene.ident} at {gene.place}" for gene in same]
            raise InputError(
                f"{len(same)} genes have this name",
                where=self.source,
                found=name,
                expected=f"one of {few(shown, 6)}",
                do="Give its id, or its place as chrom:start-end.",
            )
        near = self._near(wanted)
        raise InputError(
            "no gene has this name",
            where=self.source,
            found=name,
            expected=f"one of {len(self.genes):,} genes",
            do=f"The nearest: {', '.join(near)}" if near else "Is it the file of this genome",
        )

    def _near(self, wanted: str) -> list[str]:
        """Up to three names that are nearly it."""
        by_upper = {gene.name.upper(): gene.name for gene in self.genes}
        near = difflib.get_close_matches(wanted, list(by_upper), n=3, cutoff=0.6)
        return [by_upper[each] for each in near]

    def within(self, chrom: str, start: int, end: int) -> list[Gene]:
        """Genes that share a base with an interval, by their start."""
        chosen = [g for g in self.genes if g.chrom == chrom and g.start < end and g.end > start]
        return sorted(chosen, key=lambda gene: (gene.start, gene.end, gene.name))


def _plain(ident: str) -> str:
    """An id without its version: ENSG00000102974.16."""
    return re.sub(r"\.[0-9]+$", "", ident).upper()


def read_genes(path: str | Path) -> Genes:
    """Read genes.

    Parameters
    ----------
    path : path
        GTF, GFF3, UCSC genePred(Ext) with or without the bin column (refGene.txt), or BED with a
        name (12 columns: with exons). Plain or gzip.

    Returns
    -------
    Genes

    Raises
    ------
    InputError
        If the file is missing, empty or of another format, or a line has no place. Names the line.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.gtf"
    >>> _ = name.write_text(
    ...     'chr1\\tx\\texon\\t11\\t20\\t.\\t+\\t.\\tgene_id "G1"; gene_name "CTCF";\\n'
    ...     'chr1\\tx\\texon\\t31\\t40\\t.\\t+\\t.\\tgene_id "G1"; gene_name "CTCF";\\n'
    ... )
    >>> gene = read_genes(name).find("CTCF")
    >>> gene.place, gene.exons
    ('chr1:10-40', ((10, 20), (30, 40)))
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise InputError("the file holds no gene", where=str(path), expected=WHAT)
    number, fields = first
    everything = _with_first(first, rows)
    if len(fields) == 9 and fields[6] in (*"+-.?",) and not _NUMBER.fullmatch(fields[1]):
        gtf = _GTF_PAIR.match(fields[8].strip()) and "=" not in fields[8].split(" ")[0]
        genes = _gtf(everything, path) if gtf else _gff3(everything, path)
    elif len(fields) >= 10 and {fields[2], fields[3]} & {"+", "-"}:
        genes = _gene_pred(everything, int(fields[2] not in ("+", "-")), path)
    elif len(fields) >= 4 and all(map(_NUMBER.fullmatch, fields[1:3])):
        genes = _bed(everything, path)
    else:
        raise InputError(
            "wrong format",
            where=f"{path}, line {number}",
            found=f"{len(fields)} columns: {'; '.join(fields)[:60]!r}",
            expected=WHAT,
        )
    made = tuple(genes)
    if not made:
        raise InputError("the file holds no gene", where=str(path), expected=WHAT)
    return Genes(made, str(path))


Row = tuple[int, list[str]]


def _rows(path: str | Path) -> Iterator[Row]:
    """Lines that are no comment, with their numbers, split at tabs."""
    number = 0
    for block in blocks_of_lines(path, WHAT):
        for line in block.decode("utf-8", "replace").split("\n"):
            number += 1
            if line.strip() and not line.startswith(("#", "track", "browser")):
                yield number, line.rstrip("\r").split("\t")
        # A block ends with its last line's end: what follows that is no line.
        number -= block.endswith(b"\n")


def _with_first(first: Row, rest: Iterable[Row]) -> Iterator[Row]:
    yield first
    yield from rest


class _Parts:
    """Pieces of genes, gathered by who they belong to."""

    def __init__(self) -> None:
        self.spans: dict[tuple[str, str, str], Exons] = {}  # (id, chrom, strand)
        self.exons: dict[tuple[str, str, str], Exons] = {}
        self.names: dict[str, str] = {}

    def add(self, ident: str, chrom: str, strand: str, span: tuple[int, int], exon: bool) -> None:
        key = ident, chrom, strand
        self.spans.setdefault(key, []).append(span)
        if exon:
            self.exons.setdefault(key, []).append(span)

    def genes(self, apart: bool) -> Iterator[Gene]:
        """Genes in the order in which they came; with `apart`, pieces of one id that do not touch
        are genes of their own (genePred and BED know names alone, and a name may lie twice).
        """
        for (ident, chrom, strand), spans in self.spans.items():
            exons = _joined(self.exons.get((ident, chrom, strand), spans))
            whole = _joined(spans) if apart else [(min(spans)[0], max(e for _, e in spans))]
            for start, end in whole:
                inside = tuple((a, b) for a, b in exons if a < end and b > start)
                yield Gene(self.names.get(ident, ident), ident, chrom, start, end, strand, inside)


def _joined(spans: Exons) -> Exons:
    """Intervals that overlap or touch as one.

    Examples
    --------
    >>> _joined([(5, 9), (1, 3), (8, 12)])
    [(1, 3), (5, 12)]
    """
    out: Exons = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((start, end))
    return out


def _span(
    fields: Sequence[str], columns: tuple[int, int], base: int, where: str
) -> tuple[int, int]:
    """Start and end of a line, made 0-based."""
    given = [fields[c].strip() for c in columns]
    if not all(map(_NUMBER.fullmatch, given)) or not 0 <= int(given[0]) - base < int(given[1]):
        raise InputError(
            "the line says no interval",
            where=where,
            found=f"{given[0]!r} and {given[1]!r}",
            expected=f"start and end in columns {columns[0] + 1} and {columns[1] + 1}",
            do="Correct or remove the line.",
        )
    return int(given[0]) - base, int(given[1])


def _cut_short(fields: Sequence[str], least: int, where: str) -> None:
    if len(fields) < least:
        raise InputError(
            "the line is cut short",
            where=where,
            found=f"{len(fields)} columns",
            expected=f"at least {least} as in the first line",
            do="Correct or remove the line.",
        )


def _gtf(rows: Iterable[Row], path: str | Path) -> Iterator[Gene]:
    parts = _Parts()
    for number, fields in rows:
        where = f"{path}, line {number}"
        _cut_short(fields, 9, where)
        kind = fields[2]
        if kind not in ("gene", "transcript", "exon"):
            continue
        said = dict(_GTF_PAIR.findall(fields[8]))
        ident = said.get("gene_id") or said.get("gene_name") or ""
        if not ident:
            raise InputError(
                "the line names no gene",
                where=where,
                found=fields[8][:60],
                expected='gene_id "..."',
            )
        parts.add(ident, fields[0], fields[6], _span(fields, (3, 4), 1, where), kind == "exon")
        if said.get("gene_name"):
            parts.names[ident] = said["gene_name"]
    return parts.genes(apart=False)


def _gff3(rows: Iterable[Row], path: str | Path) -> Iterator[Gene]:
    """Exons reach their gene through their transcript (Parent=)."""
    parts, parent, later = (
        _Parts(),
        dict[str, str](),
        list[tuple[str, list[str], tuple[int, int]]](),
    )
    coding: list[tuple[str, list[str], tuple[int, int]]] = []
    for number, fields in rows:
        where = f"{path}, line {number}"
        if len(fields) == 1 and fields[0].startswith(">"):
            break  # the genome itself may follow
        _cut_short(fields, 9, where)
        pairs = (pair.partition("=") for pair in fields[8].split(";") if "=" in pair)
        said = {key.strip(): unquote(value.strip()) for key, _, value in pairs}
        if _GENE_KINDS.search(fields[2]) and said.get("ID"):
            ident = said["ID"]
            parts.add(ident, fields[0], fields[6], _span(fields, (3, 4), 1, where), False)
            parts.names[ident] = (
                said.get("Name") or said.get("gene_name") or said.get("gene") or ident
            )
        elif fields[2] in ("exon", "CDS") and said.get("Parent"):
            line = (said["Parent"], fields, _span(fields, (3, 4), 1, where))
            (later if fields[2] == "exon" else coding).append(line)
        elif said.get("ID") and said.get("Parent"):
            parent[said["ID"]] = said["Parent"].split(",")[0]
    for up, fields, span in later or coding:
        for owner in up.split(","):
            ident = parent.get(owner, owner)
            if (ident, fields[0], fields[6]) in parts.spans:
                parts.add(ident, fields[0], fields[6], span, True)
    for ident, name in list(parts.names.items()):
        parts.names[ident] = name.removeprefix("gene:")
    return parts.genes(apart=False)


def _gene_pred(rows: Iterable[Row], shift: int, path: str | Path) -> Iterator[Gene]:
    parts = _Parts()
    for number, fields in rows:
        where = f"{path}, line {number}"
        _cut_short(fields, shift + 10, where)
        chrom, strand = fields[shift + 1], fields[shift + 2]
        ident = fields[shift + 11] if len(fields) > shift + 11 else fields[shift]
        parts.add(ident, chrom, strand, _span(fields, (shift + 3, shift + 4), 0, where), False)
        starts, ends = (fields[shift + c].rstrip(",").split(",") for c in (8, 9))
        if len(starts) != len(ends):
            raise InputError(
                "the exons have not as many starts as ends",
                where=where,
                found=f"{len(starts)} and {len(ends)}",
            )
        for pair in zip(starts, ends, strict=True):
            parts.add(ident, chrom, strand, _span(pair, (0, 1), 0, where), True)
    return parts.genes(apart=True)


def _bed(rows: Iterable[Row], path: str | Path) -> Iterator[Gene]:
    parts = _Parts()
    for number, fields in rows:
        where = f"{path}, line {number}"
        _cut_short(fields, 4, where)
        start, end = _span(fields, (1, 2), 0, where)
        strand = fields[5].strip() if len(fields) > 5 else "."
        ident = fields[3].strip().strip(".") or f"{fields[0]}:{start}-{end}"
        parts.add(ident, fields[0], strand, (start, end), False)
        if len(fields) >= 12:
            widths, offsets = (fields[c].rstrip(",").split(",") for c in (10, 11))
            for width, offset in zip(widths, offsets):
                if not (_NUMBER.fullmatch(width) and _NUMBER.fullmatch(offset)):
                    raise InputError(
                        "the blocks are no whole numbers",
                        where=where,
                        found=f"{width!r} and {offset!r}",
                    )
                first = start + int(offset)
                parts.add(ident, fields[0], strand, (first, first + int(width)), True)
    return parts.genes(apart=True)

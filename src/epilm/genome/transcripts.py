"""Where transcripts are spliced: SpliceAI's table, GTF or GFF3, as one list of transcripts.

A splice site is one base of an exon: the last one before an intron, or the first one after it.
Both files count from 1 and close their intervals; here all is 0-based and half-open. Numpy only.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.genome.files import blocks_of_lines

WHAT = "transcripts: SpliceAI's table, GTF or GFF3"
Which = Literal["one", "union"]
Feature = Literal["exon", "CDS"]
_COLUMNS = "gene, paralog, chrom, strand, start, end, exon ends, exon starts"
_PAIR = re.compile(r'\s*([^\s=;"]+)(?:=|\s+)"?([^";]*)"?\s*(?:;|$)')
# The better the earlier: words that an annotation puts beside a gene's main transcript.
_MAIN = (
    ("mane_select", "mane select"),
    ("ensembl_canonical",),
    ("appris_principal", "appris_principal_1", "refseq select"),
)
_CODING = "protein_coding"
_GENES = ("gene", "pseudogene", "ncrna_gene")


class Transcript(NamedTuple):
    """One transcript, or the union of those of a gene.

    Attributes
    ----------
    gene : str
    chrom : str
    strand : {"+", "-"}
    start, end : int
        0-based, half-open.
    left, right : int64 (n,), (m,)
        Last base of an exon before an intron, and first base of the exon after it, both along the
        chromosome and rising: on the plus strand donors and acceptors, on the minus strand
        acceptors and donors.
    paralog : bool or None
        Whether the gene has one; None where the file does not say.
    line : int
        Where it stands in the file.
    """

    gene: str
    chrom: str
    strand: str
    start: int
    end: int
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    paralog: bool | None = None
    line: int = 0

    @property
    def donors(self) -> NDArray[np.int64]:
        """Last bases of exons along the transcript."""
        return self.left if self.strand == "+" else self.right

    @property
    def acceptors(self) -> NDArray[np.int64]:
        """First bases of exons along the transcript."""
        return self.right if self.strand == "+" else self.left


@dataclass
class Transcripts:
    """What a file says of splicing.

    Attributes
    ----------
    rows : list of Transcript
    path : Path
    notes : list of str
        What was left out, counted.
    """

    rows: list[Transcript]
    path: Path
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)


def read_transcripts(
    path: str | Path,
    *,
    transcripts: Which = "one",
    feature: Feature = "exon",
    coding: bool = True,
) -> Transcripts:
    """Read where transcripts are spliced; the format is told by the first line.

    Parameters
    ----------
    path : path
        SpliceAI's table (eight columns, no header), GTF or GFF3 (nine); plain or gzip.
    transcripts : {"one", "union"}
        Of GTF and GFF3. one: the gene's main transcript, tagged MANE Select, Ensembl canonical or
        APPRIS principal, else the one with the most exonic bases. union: the sites of all of them.
    feature : {"exon", "CDS"}
        Lines that are read as exons; CDS where an annotation of a small genome has no exons.
    coding : bool
        Of GTF and GFF3: genes that code for proteins alone, where the file says which do.

    Returns
    -------
    Transcripts
        In the order of the file; those without an intron are left out and counted.

    Raises
    ------
    InputError
        Naming file and line.
    UsageError
        If `transcripts` or `feature` is unknown.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "genes.txt"
    >>> _ = name.write_text("A\\t0\\tchr1\\t-\\t11\\t60\\t20,35,\\t31,50,\\n")
    >>> row = read_transcripts(name).rows[0]
    >>> row.start, row.end, row.donors.tolist(), row.acceptors.tolist()
    (10, 60, [30, 49], [19, 34])
    """
    for name, value, known in (
        ("--transcripts", transcripts, get_args(Which)),
        ("--feature", feature, get_args(Feature)),
    ):
        if value not in known:
            raise UsageError(
                "unknown value", where=name, found=repr(value), do=nearest(value, known)
            )
    path = Path(path)
    lines = annotation_lines(path)
    first = next(lines, None)
    if first is None:
        raise InputError("the file holds no record", where=str(path), expected=WHAT)
    number, fields = first

    def every() -> Iterator[tuple[int, list[str]]]:
        yield number, fields
        yield from lines

    if len(fields) == 9 and fields[6] in ("+", "-", ".", "?"):
        return _annotation(every(), path, transcripts, feature, coding)
    if len(fields) == 8 and fields[3] in ("+", "-"):
        return _table(every(), path)
    raise InputError(
        "wrong format",
        where=f"{path}, line {number}",
        found=f"{len(fields)} columns: {'; '.join(fields)[:60]!r}",
        expected=f"{WHAT} (tab-separated: {_COLUMNS})",
        do="The table has no header; columns are separated by tabs.",
    )


def annotation_lines(path: Path, what: str = WHAT) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines as fields; comments, and sequences at the end of a GFF3, are no lines."""
    number = 0
    for block in blocks_of_lines(path, what):
        for line in block.decode("utf-8", "replace").split("\n"):
            number += 1
            line = line.rstrip("\r")
            if line.startswith("##FASTA") or line.startswith(">"):
                return
            if line.strip() and not line.startswith("#"):
                yield number, line.split("\t")
        number -= 1  # a block ends in a newline: what follows it is no line


def _whole(text: str, where: str, what: str) -> int:
    if not text.isdigit() or not text.isascii():
        raise InputError(
            f"the {what} is not a whole number",
            where=where,
            found=repr(text[:40]),
            expected="digits",
            do="Correct or remove the line.",
        )
    return int(text)


def closed_span(start: str, end: str, where: str) -> tuple[int, int]:
    """A closed interval counted from 1, as a half-open one counted from 0."""
    first, last = _whole(start, where, "start"), _whole(end, where, "end")
    if not 1 <= first <= last:
        raise InputError(
            "the interval holds no base",
            where=where,
            found=f"{first}-{last}",
            expected="1 <= start <= end",
        )
    return first - 1, last


def _table(lines: Iterable[tuple[int, list[str]]], path: Path) -> Transcripts:
    """SpliceAI's table: one gene a line."""
    rows, without = [], 0
    for number, fields in lines:
        where = f"{path}, line {number}"
        if len(fields) != 8:
            raise InputError(
                "the line has another number of columns than the first",
                where=where,
                found=len(fields),
                expected=f"8: {_COLUMNS}",
            )
        gene, paralog, chrom, strand = fields[:4]
        if strand not in ("+", "-") or paralog not in ("0", "1"):
            raise InputError(
                "not a line of SpliceAI's table",
                where=where,
                found=f"paralog {paralog!r}, strand {strand!r}",
                expected="paralog 0 or 1, strand + or -",
            )
        start, end = closed_span(fields[4], fields[5], where)
        sites: list[NDArray[np.int64]] = []
        for column, what in ((6, "exon end"), (7, "exon start")):
            values = [_whole(t.strip(), where, what) - 1 for t in fields[column].split(",") if t]
            sites.append(np.unique(np.array(values, np.int64)))
            if len(sites[-1]) and not start <= sites[-1][0] <= sites[-1][-1] < end:
                wrong = next(v for v in values if not start <= v < end)
                raise InputError(
                    "the junction lies outside of its transcript",
                    where=where,
                    found=f"{what} {wrong + 1}",
                    expected=f"{start + 1} to {end}",
                    do="Are start and end those of the transcript, counted from 1?",
                )
        if not len(sites[0]) or not len(sites[1]):
            without += 1
            continue
        left, right = sites
        rows.append(
            Transcript(gene, chrom, strand, start, end, left, right, paralog == "1", number)
        )
    notes = [f"{without} genes without a junction left out"] if without else []
    return _some(Transcripts(rows, path, notes))


def _some(read: Transcripts) -> Transcripts:
    if not read.rows:
        raise InputError(
            "no transcript has an intron",
            where=str(read.path),
            found="; ".join(read.notes) or "no transcript",
            do="Give an annotation with exons of spliced transcripts.",
        )
    return read


@dataclass
class _Exons:
    """Exons of one transcript while a GTF or GFF3 is read."""

    chrom: str
    strand: str
    line: int
    spans: list[tuple[int, int]] = field(default_factory=list)
    gene: str = ""
    rank: int = len(_MAIN)
    kind: str = ""


def attributes_of(text: str) -> dict[str, str]:
    """Key -> value of GTF (`key "value";`) and of GFF3 (`key=value;`); tags are joined by commas.

    Examples
    --------
    >>> attributes_of('gene_id "G1"; tag "basic"; tag "MANE_Select";')
    {'gene_id': 'G1', 'tag': 'basic,MANE_Select'}
    >>> attributes_of("ID=rna1;Parent=gene1;tag=MANE Select")
    {'ID': 'rna1', 'Parent': 'gene1', 'tag': 'MANE Select'}
    """
    out: dict[str, str] = {}
    for key, value in _PAIR.findall(text):
        out[key] = f"{out[key]},{value}" if key in out else value
    return out


def main_rank(tags: str) -> int:
    """How much a transcript's tags say that it is its gene's main one: the lower, the more.

    Examples
    --------
    >>> main_rank("basic,MANE_Select"), main_rank("Ensembl_canonical"), main_rank("basic")
    (0, 1, 3)
    """
    words = {word.strip().lower() for word in tags.split(",")}
    return next((n for n, names in enumerate(_MAIN) if words.intersection(names)), len(_MAIN))


def _check_exon(name: str, fields: list[str], feature: Feature, where: str) -> None:
    """Refuse an exon of no transcript, or on no strand."""
    if not name:
        raise InputError(
            f"the {feature} names no transcript",
            where=where,
            found=repr(fields[8][:60]),
            expected='transcript_id "..." (GTF) or Parent=... (GFF3)',
        )
    if fields[6] not in ("+", "-"):
        raise InputError(
            f"the {feature} has no strand",
            where=where,
            found=repr(fields[6]),
            expected="+ or -",
        )


def _no_exons(seen: dict[str, int], feature: Feature, path: Path) -> InputError:
    """Say which lines there are instead."""
    other = "CDS" if feature == "exon" else "exon"
    cure = f"Read its {other} lines: --feature {other}." if seen.get(other) else None
    return InputError(
        f"the annotation has no line of {feature}",
        where=str(path),
        found=", ".join(f"{n} {name}" for name, n in list(seen.items())[:6]),
        expected=f"lines whose third column is {feature}",
        do=cure or "Give the annotation with exons: GENCODE's, RefSeq's or MANE's GTF or GFF3.",
    )


def _genes_of(
    by_gene: dict[tuple[str, str, str], list[_Exons]],
    genes: dict[str, tuple[str, str]],
    which: Which,
    coding: bool,
) -> tuple[list[Transcript], list[str]]:
    """One row a gene with its sites, and what was left out."""
    told = any(genes.get(key[0], ("", ""))[1] or m.kind for key, ms in by_gene.items() for m in ms)
    rows: list[Transcript] = []
    other_kinds, without = 0, 0
    for (gene, chrom, strand), members in by_gene.items():
        name, kind = genes.get(gene, (gene, ""))
        kind = kind or next((m.kind for m in members if m.kind), "")
        if coding and told and kind != _CODING:
            other_kinds += 1
            continue
        chosen = members
        if which == "one":
            chosen = [min(members, key=lambda m: (m.rank, -_bases(m.spans), m.line))]
        sites = [_sites(m.spans) for m in chosen]
        left = np.unique(np.concatenate([s[0] for s in sites]))
        right = np.unique(np.concatenate([s[1] for s in sites]))
        if not len(left):
            without += 1
            continue
        start = min(s for m in chosen for s, _ in m.spans)
        end = max(e for m in chosen for _, e in m.spans)
        line = min(m.line for m in chosen)
        rows.append(Transcript(name, chrom, strand, start, end, left, right, None, line))
    notes = [
        f"{count} genes {why} left out"
        for count, why in (
            (other_kinds, "that code for no protein"),
            (without, "without an intron"),
        )
        if count
    ]
    return rows, notes


def _by_gene(
    exons: dict[str, _Exons], parents: dict[str, tuple[str, int, str]]
) -> dict[tuple[str, str, str], list[_Exons]]:
    """Transcripts by gene, chromosome and strand; what a parent says is filled in."""
    by_gene: dict[tuple[str, str, str], list[_Exons]] = {}
    for name, mine in exons.items():
        gene, rank, kind = parents.get(name.split("@")[0], ("", len(_MAIN), ""))
        mine.gene = mine.gene or gene or name
        mine.rank, mine.kind = min(mine.rank, rank), mine.kind or kind
        by_gene.setdefault((mine.gene, mine.chrom, mine.strand), []).append(mine)
    return by_gene


def _annotation(
    lines: Iterable[tuple[int, list[str]]],
    path: Path,
    which: Which,
    feature: Feature,
    coding: bool,
) -> Transcripts:
    """GTF or GFF3: exons by transcript, transcripts by gene."""
    exons: dict[str, _Exons] = {}
    parents: dict[str, tuple[str, int, str]] = {}  # transcript -> gene, rank, kind
    genes: dict[str, tuple[str, str]] = {}  # gene's id -> its name and kind
    seen: dict[str, int] = {}
    for number, fields in lines:
        where = f"{path}, line {number}"
        if len(fields) != 9:
            raise InputError(
                "the line is not one of GTF or GFF3",
                where=where,
                found=f"{len(fields)} columns",
                expected="nine, separated by tabs",
            )
        seen[fields[2]] = seen.get(fields[2], 0) + 1
        about = attributes_of(fields[8])
        kind = _kind(about)
        if fields[2].lower() in _GENES:
            own = about.get("ID") or about.get("gene_id", "")
            genes[own] = (_named(about) or own, kind)
            continue
        if fields[2] != feature:
            if "ID" in about and "Parent" in about:  # of GFF3: what stands between exon and gene
                parents[about["ID"]] = (about["Parent"], main_rank(about.get("tag", "")), kind)
            elif fields[2] == "transcript" and "transcript_id" in about:
                parents[about["transcript_id"]] = (
                    about.get("gene_id", ""),
                    main_rank(about.get("tag", "")),
                    kind,
                )
            continue
        start, end = closed_span(fields[3], fields[4], where)
        names = about.get("Parent", "").split(",") if "Parent" in about else None
        for name in names or [about.get("transcript_id", "")]:
            _check_exon(name, fields, feature, where)
            mine = exons.setdefault(name, _Exons(fields[0], fields[6], number))
            if (mine.chrom, mine.strand) != (fields[0], fields[6]):
                # The pseudoautosomal regions of RefSeq: one name, two places.
                name = f"{name}@{fields[0]}{fields[6]}"
                mine = exons.setdefault(name, _Exons(fields[0], fields[6], number))
            mine.spans.append((start, end))
            if names is None:
                mine.gene = mine.gene or about.get("gene_id", "")
                mine.rank = min(mine.rank, main_rank(about.get("tag", "")))
                mine.kind = mine.kind or kind
                if mine.gene and "gene_name" in about:
                    genes.setdefault(mine.gene, (about["gene_name"], kind))
    if not exons:
        raise _no_exons(seen, feature, path)
    by_gene = _by_gene(exons, parents)
    rows, notes = _genes_of(by_gene, genes, which, coding)
    return _some(Transcripts(rows, path, notes))


def _kind(about: dict[str, str]) -> str:
    for key in ("gene_type", "gene_biotype", "biotype"):
        if key in about:
            return about[key]
    return ""


def _named(about: dict[str, str]) -> str:
    return about.get("gene_name") or about.get("Name") or about.get("gene") or ""


def _bases(spans: Sequence[tuple[int, int]]) -> int:
    return sum(end - start for start, end in spans)


def _sites(spans: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Last bases before introns and first bases after them; exons that touch are one.

    Examples
    --------
    >>> [s.tolist() for s in _sites([(30, 40), (0, 10), (40, 50), (60, 70)])]
    [[9, 49], [30, 60]]
    """
    ordered = sorted(spans)
    left, right = [], []
    reach = ordered[0][1]
    for start, end in ordered[1:]:
        if start > reach:
            left.append(reach - 1)
            right.append(start)
        reach = max(reach, end)
    return np.array(left, np.int64), np.array(right, np.int64)


def with_paralogs(read: Transcripts, path: str | Path) -> Transcripts:
    """Mark the genes that a list names as having a paralog, all others as having none.

    Parameters
    ----------
    path : path
        One gene a line, by the name that the annotation gives it.

    Raises
    ------
    InputError
        If none of them is in the annotation.
    """
    names = {fields[0].strip() for _, fields in annotation_lines(Path(path))}
    rows = [row._replace(paralog=row.gene in names) for row in read.rows]
    if not any(row.paralog for row in rows):
        raise InputError(
            "none of the genes with a paralog is in the annotation",
            where=str(path),
            found=", ".join(sorted(names)[:3]),
            expected=f"names such as {', '.join(row.gene for row in rows[:3])}",
        )
    return replace(read, rows=rows)

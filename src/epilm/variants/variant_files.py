"""Read variants of a VCF, BCF or TSV as they stand there: nothing is judged yet.

One `Allele` an ALT, in the file's order; a record without an ALT gives one too, so that nothing
that was read goes unsaid. Coordinates become 0-based here. VCF and BCF need pysam.
"""

import csv
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from epilm.errors import InputError, UsageError
from epilm.genome.blocks import is_bgzip
from epilm.genome.files import is_gzip
from epilm.genome.limits import LimitedGzip, open_text

VCF_ENDINGS = (".vcf", ".vcf.gz", ".bcf")
TSV_ENDINGS = (".tsv", ".tsv.gz", ".txt", ".txt.gz")
# Column of a table, lower case -> what it is. Positions are 1-based, as in a VCF.
COLUMNS = {
    "chrom": ("#chrom", "chrom", "chr", "chromosome"),
    "pos": ("pos", "position"),
    "ref": ("ref", "reference"),
    "alt": ("alt", "alternative"),
    "id": ("id", "rsid"),
}


@dataclass(frozen=True, slots=True)
class Allele:
    """One ALT of a record.

    Attributes
    ----------
    record, number : int
        Which record of the file, and which of its ALTs, from 0.
    chrom : str
    start : int
        0-based first base of `ref`.
    ref, alt : str
        As written, upper case; `alt` is "." where the record has none.
    name : str
        The record's ID; "." without one.
    where : str
        File and record, for messages.
    """

    record: int
    number: int
    chrom: str
    start: int
    ref: str
    alt: str
    name: str
    where: str


@dataclass(frozen=True)
class VariantFile:
    """All alleles of a file.

    Attributes
    ----------
    path : Path
    alleles : list of Allele
    records : int
    contigs : dict of str to int
        Lengths that a VCF's header declares.
    """

    path: Path
    alleles: list[Allele]
    records: int
    contigs: dict[str, int]


def kind_of(path: Path, what: str) -> str:
    """Tell "vcf" or "tsv" by a file's name.

    Raises
    ------
    UsageError
        If the name ends otherwise.

    Examples
    --------
    >>> kind_of(Path("a.VCF.gz"), "variants"), kind_of(Path("a.tsv"), "variants")
    ('vcf', 'tsv')
    """
    name = path.name.lower()
    if name.endswith(VCF_ENDINGS):
        return "vcf"
    if name.endswith(TSV_ENDINGS):
        return "tsv"
    raise UsageError(
        f"the format of the {what} is told by the name, and this one is unknown",
        found=path.name,
        expected=", ".join((*VCF_ENDINGS, *TSV_ENDINGS)),
    )


def pysam_module() -> Any:
    """Import pysam, or say how to get it.

    Raises
    ------
    UsageError
    """
    try:
        import pysam
    except ImportError:
        raise UsageError(
            "VCF and BCF need pysam",
            do='pip install "epilm[variants]", or give a table (.tsv) with chrom, pos, ref, alt.',
        ) from None
    pysam.set_verbosity(0)  # htslib's own lines; what matters is said by our errors
    return pysam


@contextmanager
def open_vcf(path: Path) -> Iterator[Any]:
    """Open a VCF or BCF for reading; one of plain gzip, which htslib cannot wind back, unpacked."""
    pysam = pysam_module()
    with tempfile.TemporaryDirectory() as folder:
        name = path
        if is_gzip(path) and not is_bgzip(path):
            name = Path(folder) / "plain.vcf"
            with LimitedGzip(path) as packed, open(name, "wb") as plain:
                shutil.copyfileobj(packed, plain)
        with pysam.VariantFile(str(name)) as file:
            yield file


def read_variants(path: str | Path) -> VariantFile:
    """Read all alleles of a file.

    Parameters
    ----------
    path : path
        VCF (plain, gzip, bgzip) or BCF, sorted and indexed or not; or a table with a header line
        and the columns chrom, pos (1-based), ref, alt, and if there is one id. In a table several
        ALTs stand between commas, and "-" is an allele without bases.

    Raises
    ------
    InputError
        If the file is missing, damaged, empty, or has a line that is no record.
    UsageError
        If its name tells no format, or pysam is not installed.
    """
    path = Path(path)
    kind = kind_of(path, "variants")
    if not path.is_file():
        raise InputError("there is no such file", where=str(path))
    contigs: dict[str, int] = {}
    rows = _vcf(path, contigs) if kind == "vcf" else _tsv(path)
    alleles: list[Allele] = []
    records = 0
    for chrom, start, ref, alts, name, line in rows:
        where = f"{path}, {line}"
        for number, alt in enumerate(alts or (".",)):
            alleles.append(
                Allele(records, number, chrom, start, ref.upper(), alt.upper(), name, where)
            )
        records += 1
    if not records:
        raise InputError("there are no variants in it", where=str(path))
    return VariantFile(path, alleles, records, contigs)


Row = tuple[str, int, str, tuple[str, ...], str, str]


def _vcf(path: Path, contigs: dict[str, int]) -> Iterator[Row]:
    at = 0
    try:
        with open_vcf(path) as file:
            for name, contig in file.header.contigs.items():
                if contig.length:
                    contigs[name] = int(contig.length)
            for at, record in enumerate(file, 1):
                line = f"record {at} ({record.chrom}:{record.pos})"
                alts = tuple(record.alts or ())
                yield record.chrom, record.start, record.ref or "", alts, record.id or ".", line
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            "not a VCF or BCF, or a damaged one",
            where=f"{path}, after record {at}",
            found=str(error).strip() or type(error).__name__,
            do="Check it, for example with bcftools view.",
        ) from None


def _tsv(path: Path) -> Iterator[Row]:
    line = 1
    try:
        with open_table(path) as file:
            csv.field_size_limit(1 << 30)
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            column = _columns(next(rows, []), path)
            for line, row in enumerate(rows, 2):
                if not row:
                    continue
                try:
                    chrom, pos, ref, alt = (row[column[c]] for c in ("chrom", "pos", "ref", "alt"))
                    start = int(pos) - 1
                    if start < 0:
                        raise ValueError
                except (IndexError, ValueError):
                    raise InputError(
                        "the line is no variant",
                        where=f"{path}, line {line}",
                        found="\t".join(row)[:80],
                        expected="chrom, pos (a whole number, 1-based), ref, alt",
                    ) from None
                alts = tuple(each for each in alt.split(",") if each)
                name = row[column["id"]] if column.get("id", len(row)) < len(row) else "."
                yield chrom, start, ref, alts, name or ".", f"line {line}"
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            "the file cannot be read", where=f"{path}, line {line}", found=error
        ) from None


def open_table(path: Path) -> IO[str]:
    """Open a table, plain or gzip."""
    return open_text(path, path.suffix == ".gz")


def _columns(header: list[str], path: Path) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    column = {
        what: next(names.index(name) for name in known if name in names)
        for what, known in COLUMNS.items()
        if any(name in names for name in known)
    }
    lacking = [what for what in ("chrom", "pos", "ref", "alt") if what not in column]
    if lacking:
        raise InputError(
            f"the table has no column {', '.join(lacking)}",
            where=f"{path}, line 1",
            found=", ".join(header[:8]) or "nothing",
            expected="a header line with chrom, pos (1-based), ref, alt",
        )
    return column

"""Genotypes of people, from a VCF, a BCF or PLINK files: copies of each ALT, block by block.

One column an ALT, as in `variants.records`; what is not known is NaN, counted by its cause. PLINK
counts copies of A1, which may be REF or ALT: the genome decides, and a reversed one is turned.
Axes: N people, V columns (ALTs).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError
from epilm.genome.chromosomes import check_names
from epilm.genome.sequence import encode
from epilm.tasks.reference import Reference
from epilm.variants.haplotypes import Change, check_alleles
from epilm.variants.variant_files import VCF_ENDINGS, Allele, VariantFile, open_vcf, read_variants

BLOCK = 1024  # columns in memory at a time
_PLINK_MAGIC = b"\x6c\x1b"
ABSENT = -1  # a copy that is not known
# What a call can be; how many there were is said.
CALLS = {
    "missing": "not called",
    "half": "half-calls (one copy known): taken as missing",
    "haploid": "with one copy: 0 or 1 copies counted",
    "polyploid": "with more than two copies: taken as missing",
    "unphased": "heterozygous and unphased",
}


@dataclass(frozen=True)
class Calls:
    """Some columns of all people.

    Attributes
    ----------
    columns : int64 (v,)
        Which of the file's.
    dosages : float32 (N, v)
        Copies of ALT; NaN where they are not known.
    copies : int8 (N, v, 2)
        Copies of ALT (0 or 1) on the first and the second haplotype, -1 where not known. Of a
        person with one haplotype both are the same. Without a phase the order means nothing.
    unphased : bool (N, v)
        Two different copies of which nobody knows which is on which haplotype.
    """

    columns: NDArray[np.int64]
    dosages: NDArray[np.float32]
    copies: NDArray[np.int8]
    unphased: NDArray[np.bool_]


class Genotypes(Protocol):
    """A file of genotypes.

    Attributes
    ----------
    samples : tuple of str, length N
    variants : VariantFile
        Its `alleles` are the V columns. Of PLINK files REF and ALT as the genome has them.
    notes : list of str
        What a reader must know.
    counts : Counter
        Calls read so far, by the keys of CALLS; "calls" all of them.
    simulated : bool
        The file says of itself that it is simulated.
    """

    samples: tuple[str, ...]
    variants: VariantFile
    notes: list[str]
    counts: Counter[str]
    simulated: bool

    def blocks(self, columns: Sequence[int] | NDArray[np.int64]) -> Iterator[Calls]:
        """Read columns (ascending), BLOCK at a time."""


def counts_text(counts: Mapping[str, int]) -> str:
    """Say what calls there were.

    Examples
    --------
    >>> counts_text({"calls": 8, "missing": 1, "half": 2})
    '8 calls read; 1 not called; 2 half-calls (one copy known): taken as missing'
    """
    parts = [f"{counts.get('calls', 0):,} calls read"]
    parts += [f"{counts[kind]:,} {text}" for kind, text in CALLS.items() if counts.get(kind)]
    return "; ".join(parts)


def open_genotypes(path: str | Path, genome: Reference) -> Genotypes:
    """Open a file of genotypes.

    Parameters
    ----------
    path : path
        VCF (plain, gzip, bgzip), BCF; or PLINK 1: NAME.bed, or NAME, with NAME.bim and NAME.fam.
    genome : Reference
        Decides which of two PLINK alleles is REF.

    Raises
    ------
    InputError
        If it is missing, damaged, has no people, or is of another assembly.
    UsageError
        If it is of another format.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith(VCF_ENDINGS):
        return VcfGenotypes(path)
    bed = path if name.endswith(".bed") else path.with_name(path.name + ".bed")
    if name.endswith((".bim", ".fam")):
        bed = path.with_suffix(".bed")
    if name.endswith((".pgen", ".pvar", ".psam", ".bgen", ".gen", ".ped")):
        raise UsageError(
            "genotypes are read from VCF, BCF or PLINK 1 .bed",
            found=path.name,
            do="Convert it, for example with plink2 --make-bed, or --export vcf.",
        )
    if not bed.is_file():
        raise InputError("there is no such file", where=str(bed if name.endswith("m") else path))
    return PlinkGenotypes(bed, genome)


# A call: copies by ALT number, -1 unknown, and what kind it is.
@dataclass(frozen=True)
class _Call:
    first: int
    second: int
    phased: bool
    kind: str


def parse_call(text: str) -> _Call:
    """Read a GT.

    Examples
    --------
    >>> parse_call("0|2")
    _Call(first=0, second=2, phased=True, kind='')
    >>> [parse_call(gt).kind for gt in ("./.", "./1", "1", "0/1/1", ".")]
    ['missing', 'half', 'haploid', 'polyploid', 'missing']
    """
    parts = text.replace("|", "/").split("/")
    known = [int(part) for part in parts if part != "."]
    phased = "/" not in text
    if not known:
        return _Call(ABSENT, ABSENT, phased, "missing")
    if len(parts) > 2:
        return _Call(ABSENT, ABSENT, phased, "polyploid")
    if len(known) < len(parts):
        return _Call(ABSENT, ABSENT, phased, "half")
    if len(parts) == 1:
        return _Call(known[0], known[0], True, "haploid")
    return _Call(known[0], known[1], phased, "")


class VcfGenotypes:
    """Genotypes (GT) of a VCF or BCF.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: Path) -> None:
        self.variants = read_variants(path)
        self.path = path
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()
        with open_vcf(path) as file:
            self.samples = tuple(file.header.samples)
            head = str(file.header).lower()
        self.simulated = "simulated" in head
        if not self.samples:
            raise InputError(
                "the file has variants and no people",
                where=str(path),
                do="Give a VCF with a column of genotypes a person.",
            )

    def blocks(self, columns: Sequence[int] | NDArray[np.int64]) -> Iterator[Calls]:
        """See `Genotypes`."""
        wanted: dict[int, list[tuple[int, int]]] = {}  # record -> (column, ALT's number from 1)
        for column in np.asarray(columns, np.int64).tolist():
            allele = self.variants.alleles[column]
            wanted.setdefault(allele.record, []).append((column, allele.number + 1))
        memory = _Memory(str(self.path))
        block: list[tuple[int, Any, Any, Any]] = []
        last = max(wanted, default=-1)
        with open_vcf(self.path) as file:
            for number, record in enumerate(file):
                if number > last:
                    break
                if number not in wanted:
                    continue
                first, second, phased, kinds = memory.calls(str(record), number + 1)
                self.counts["calls"] += len(self.samples)
                for kind, n in zip(*np.unique(kinds, return_counts=True)):
                    if KINDS[kind]:
                        self.counts[KINDS[kind]] += int(n)
                loose = ~phased & (first != second)
                self.counts["unphased"] += int(loose.sum())
                unknown, haploid = first == ABSENT, kinds == KINDS.index("haploid")
                for column, alt in wanted[number]:
                    one = np.where(unknown, ABSENT, first == alt).astype(np.int8)
                    two = np.where(unknown, ABSENT, second == alt).astype(np.int8)
                    dosage = np.where(haploid, one, one + two).astype(np.float32)
                    dosage[unknown] = np.nan
                    block.append((column, dosage, np.stack([one, two], 1), loose & (one != two)))
                if len(block) >= BLOCK:
                    yield _joined(block)
                    block = []
        if block:
            yield _joined(block)


KINDS = ("", "missing", "half", "haploid", "polyploid")


class _Memory:
    """Each spelling of a call is read once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.number: dict[str, int] = {}
        self.table = np.zeros((0, 4), np.int16)  # first, second, phased, kind

    def calls(self, line: str, record: int) -> tuple[Any, Any, Any, Any]:
        """First and second copy, phase and kind of a line's calls."""
        fields = line.rstrip("\n").split("\t")
        keys = fields[8].split(":") if len(fields) > 8 else []
        if "GT" not in keys:
            raise InputError(
                "the record has no genotypes",
                where=f"{self.path}, record {record} ({fields[0]}:{fields[1]})",
                found=f"FORMAT {fields[8]}" if keys else "no FORMAT",
                expected="GT",
            )
        texts = fields[9:]
        if len(keys) > 1:
            at = keys.index("GT")
            texts = [text.split(":")[at] for text in texts]
        for text in set(texts) - self.number.keys():
            call = parse_call(text)
            self.number[text] = len(self.table)
            row = [call.first, call.second, int(call.phased), KINDS.index(call.kind)]
            self.table = np.vstack([self.table, np.array([row], np.int16)])
        rows = self.table[[self.number[text] for text in texts]]
        return rows[:, 0], rows[:, 1], rows[:, 2] > 0, rows[:, 3]


def _joined(block: list[tuple[int, Any, Any, Any]]) -> Calls:
    columns, dosages, copies, unphased = zip(*block)
    return Calls(
        np.array(columns, np.int64),
        np.stack(dosages, 1),
        np.stack(copies, 1),
        np.stack(unphased, 1),
    )


class PlinkGenotypes:
    """Genotypes of PLINK 1 files; never phased.

    Parameters
    ----------
    bed : path
    genome : Reference
    """

    def __init__(self, bed: Path, genome: Reference) -> None:
        self.path = bed
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()
        bim, fam = bed.with_suffix(".bim"), bed.with_suffix(".fam")
        people = _rows(fam, 6, "family, person, father, mother, sex, phenotype")
        self.samples = tuple(row[1] for row in people)
        self.simulated = bool(people) and all(name.startswith("sim_") for name in self.samples)
        markers = _rows(bim, 6, "chromosome, name, cM, position, A1, A2")
        self._check(bed, len(people), len(markers))
        alleles = [_marker(row, number, bim) for number, row in enumerate(markers)]
        self.variants, self._turned = _oriented(alleles, bim, genome, self.notes)
        self._bed = bed_reader_module().open_bed(
            bed, iid_count=len(people), sid_count=len(markers), properties={}
        )

    def _check(self, bed: Path, people: int, markers: int) -> None:
        head = bed.open("rb").read(3)
        if head[:2] != _PLINK_MAGIC:
            raise InputError(
                "not PLINK's .bed (intervals have the same ending)",
                where=str(bed),
                found=f"first bytes {head[:2].hex()}",
                expected=_PLINK_MAGIC.hex(),
            )
        if head[2:] != b"\x01":
            raise InputError(
                "the .bed has a row a person, as PLINK wrote before 2009",
                where=str(bed),
                do="Convert it with plink --make-bed.",
            )
        expected = 3 + markers * (-(-people // 4))
        if bed.stat().st_size != expected:
            raise InputError(
                "the .bed does not fit its .bim and .fam",
                where=str(bed),
                found=f"{bed.stat().st_size} bytes",
                expected=f"{expected} for {people} people and {markers} variants",
                do="Take the three files of one data set; one of them may be cut short.",
            )

    def blocks(self, columns: Sequence[int] | NDArray[np.int64]) -> Iterator[Calls]:
        """See `Genotypes`."""
        wanted = np.asarray(columns, np.int64)
        for start in range(0, len(wanted), BLOCK):
            part = wanted[start : start + BLOCK]
            a1 = self._bed.read(index=np.s_[:, part], dtype="float32", num_threads=1)
            dosages = np.where(self._turned[part], 2 - a1, a1)
            unknown, unphased = np.isnan(dosages), dosages == 1
            self.counts["calls"] += dosages.size
            self.counts["missing"] += int(unknown.sum())
            self.counts["unphased"] += int(unphased.sum())
            copies = np.stack([dosages > 1, dosages > 0], 2).astype(np.int8)
            copies[unknown] = ABSENT
            yield Calls(part, dosages.astype(np.float32), copies, unphased)


def bed_reader_module() -> Any:
    """Import bed-reader, or say how to get it.

    Raises
    ------
    UsageError
    """
    try:
        import bed_reader
    except ImportError:
        raise UsageError(
            "PLINK files need bed-reader",
            do='pip install "epilm[risk]", or give a VCF (plink2 --export vcf).',
        ) from None
    return bed_reader


def _rows(path: Path, width: int, expected: str) -> list[list[str]]:
    if not path.is_file():
        raise InputError(
            "PLINK's three files lie side by side, and one is missing",
            where=str(path),
            do="Unpack it if it is gzipped.",
        )
    rows = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        row = line.split()
        if len(row) != width:
            raise InputError(
                "the line is not one of PLINK's",
                where=f"{path}, line {number}",
                found=line[:80],
                expected=expected,
            )
        rows.append(row)
    if not rows:
        raise InputError("the file is empty", where=str(path))
    return rows


def _marker(row: Sequence[str], number: int, bim: Path) -> Allele:
    """A line of the .bim with A2 as REF and A1, which is counted, as ALT."""
    where = f"{bim}, line {number + 1}"
    chrom, name, _, position, counted, other = row
    try:
        start = int(position) - 1
    except ValueError:
        raise InputError("the position is no whole number", where=where, found=position) from None
    alt = "." if counted in "0." else counted.upper()
    return Allele(number, 0, chrom, start, other.upper(), alt, name, where)


def _oriented(
    alleles: list[Allele], bim: Path, genome: Reference, notes: list[str]
) -> tuple[VariantFile, NDArray[np.bool_]]:
    """REF and ALT as the genome has them, and where the counted allele is REF."""
    check_names({allele.chrom for allele in alleles}, genome.sizes, str(bim))
    turned = np.zeros(len(alleles), bool)
    unclear = 0
    out = list(alleles)
    for row, allele in enumerate(alleles):
        if allele.chrom not in genome.sizes or allele.alt == ".":
            continue
        counted_is_there = _is_there(genome, allele.chrom, allele.start, allele.alt)
        other_is_there = _is_there(genome, allele.chrom, allele.start, allele.ref)
        if counted_is_there and other_is_there:  # A beside AT, where the genome has AT
            unclear += 1
            out[row] = replace(allele, alt="<UNCLEAR>")
        elif counted_is_there:
            turned[row] = True
            out[row] = replace(allele, ref=allele.alt, alt=allele.ref)
    if turned.any():
        notes.append(
            f"{bim}: A1, whose copies PLINK counts, is REF in {int(turned.sum()):,} of"
            f" {len(alleles):,} variants: turned, so that copies of ALT are counted"
        )
    if unclear:
        notes.append(
            f"{bim}: {unclear:,} insertions or deletions left out: the genome has both alleles"
            " there, and PLINK does not say which is REF"
        )
    return VariantFile(bim, out, len(out), {}), turned


def _is_there(genome: Reference, chrom: str, start: int, letters: str) -> bool:
    if not letters or set(letters) - set("ACGT"):
        return False
    bases = genome.codes(chrom)[max(start, 0) : start + len(letters)]
    return start >= 0 and np.array_equal(bases, encode(letters))


@dataclass
class GenotypeColumns:
    """The ALTs of a file that can be used.

    Attributes
    ----------
    numbers : int64 (V,)
        GenotypeColumns of the file, ascending.
    changes : list of Change, length V
        Normalised, no two the same.
    left_out : Counter
        ALTs by why they are not used.
    """

    numbers: NDArray[np.int64]
    changes: list[Change]
    left_out: Counter[str] = field(default_factory=Counter)


def usable_columns(genotypes: Genotypes, genome: Reference) -> GenotypeColumns:
    """Check REF against the genome, normalise, and keep the first of each haplotype.

    Raises
    ------
    InputError
        If more than 1 % of the alleles have a REF that the genome has not, or none can be used.
    """
    file = genotypes.variants
    checked = check_alleles(file, file.alleles, genome)
    left_out: Counter[str] = Counter()
    numbers: list[int] = []
    changes: list[Change] = []
    seen: set[Change] = set()
    for number, (change, reason) in enumerate(zip(checked.changes, checked.reasons)):
        if change is None:
            left_out[reason] += 1
        elif change in seen:
            left_out["written_twice"] += 1
        else:
            seen.add(change)
            numbers.append(number)
            changes.append(change)
    if not numbers:
        raise InputError(
            "no variant can be used",
            where=str(file.path),
            found=", ".join(f"{n} {reason}" for reason, n in left_out.items()),
        )
    return GenotypeColumns(np.array(numbers, np.int64), changes, left_out)

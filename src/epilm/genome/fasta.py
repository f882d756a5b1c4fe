"""A genome as base codes, from FASTA (plain, gzip, bgzip with .fai) or .2bit.

Plain FASTA, indexed bgzip and .2bit are read one chromosome at a time when it
is asked for; plain gzip has no way in but the front, so it is unpacked once and
kept as one byte a base. Nothing is written beside the user's files.
What was soft-masked, ambiguous or padded is counted, what a sizes file leaves
out or adds is said (`Genome.notes`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome import blocks
from epilm.genome.chromosomes import check_names, few, natural_key, read_sizes
from epilm.genome.files import check_file, is_gzip
from epilm.genome.records import (
    WHAT,
    iter_fasta,
    named_twice,
    open_plain,
    record_name,
    without_bases,
)
from epilm.genome.sequence import CODE_OF_BYTE, LETTERS, NOT_DNA, N

_ENDINGS = (".fa", ".fasta", ".fna", ".2bit")
_LOWER = np.array([chr(i).islower() for i in range(256)])
_CODE = np.frombuffer(CODE_OF_BYTE, dtype=np.uint8)
_NAMED = np.isin(np.arange(256), [ord(x) for x in LETTERS + LETTERS.lower() + "Uu"])


@dataclass
class Genome:
    """Chromosomes and their bases.

    Attributes
    ----------
    path : Path
        The file (of several: their folder).
    sizes : dict of str to int
        Chromosome lengths in bp, in the order of the file; the declared length where a sizes file
        was given.
    counts_by_chrom : dict of str to dict
        bases, soft_masked, non_acgt (N among them), other_iupac (letters that became N), padded: of
        every chromosome read so far.
    notes : list of str
        What differs from the plain reading, a printable line each.
    """

    path: Path
    sizes: dict[str, int]
    counts_by_chrom: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _read: Callable[[str], NDArray[np.uint8]] = field(
        default=lambda chrom: np.zeros(0, np.uint8), repr=False
    )
    _last: tuple[str, NDArray[np.uint8]] | None = field(default=None, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Sums of `counts_by_chrom` over the chromosomes read so far."""
        keys = ("bases", "soft_masked", "non_acgt", "other_iupac", "padded")
        return {key: sum(chrom[key] for chrom in self.counts_by_chrom.values()) for key in keys}

    def codes(self, chrom: str) -> NDArray[np.uint8]:
        """Return all bases of a chromosome.

        Parameters
        ----------
        chrom : str

        Returns
        -------
        uint8 array, shape (sizes[chrom],)
            A=0 C=1 G=2 T=3 N=4, not writable. The last chromosome asked for is kept.

        Raises
        ------
        InputError
            If the genome has no such chromosome, or its record holds a letter that is not DNA.
        """
        if self._last is not None and self._last[0] == chrom:
            return self._last[1]
        if chrom not in self.sizes:
            check_names([chrom], self.sizes, str(self.path))
        self._last = None
        codes = self._read(chrom)
        codes.flags.writeable = False
        self._last = (chrom, codes)
        return codes

    def fetch(self, chrom: str, start: int, end: int) -> NDArray[np.uint8]:
        """Return the bases of one interval.

        Parameters
        ----------
        chrom : str
        start, end : int
            0-based, half-open, inside the chromosome.

        Returns
        -------
        uint8 array, shape (end - start,)

        Raises
        ------
        InputError
            If the interval is not inside the chromosome.
        """
        codes = self.codes(chrom)
        if not 0 <= start <= end <= len(codes):
            raise InputError(
                "the interval is not inside the chromosome",
                where=str(self.path),
                found=f"{chrom}:{start}-{end}",
                expected=f"0 <= start <= end <= {len(codes)}",
            )
        return codes[start:end]


def open_genome(
    path: str | Path | Sequence[str | Path], sizes: str | Path | Mapping[str, int] | None = None
) -> Genome:
    """Open a genome; its format is told by its content.

    Parameters
    ----------
    path : path or list of paths
        FASTA plain, gzip, or bgzip (with its .fai beside it read at random, else unpacked once); or
        .2bit. Several files, or a folder of them, are one genome (chromosomes in the order given,
        in a folder by number).
    sizes : path or dict of str to int, optional
        Declared chromosome lengths (chrom.sizes). A record shorter than declared is padded with N
        at its end, and that is said; a longer one is another assembly. Records not declared are
        left out, and that is said.

    Returns
    -------
    Genome

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, of another format, holds two records of one name
        or a letter that is not DNA, or does not fit the declared sizes.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "g.fa"
    >>> _ = name.write_text(">chr1 first\\nACGT\\nnnR\\n")
    >>> genome = open_genome(name, {"chr1": 9})
    >>> genome.codes("chr1")
    array([0, 1, 2, 3, 4, 4, 4, 4, 4], dtype=uint8)
    >>> genome.counts
    {'bases': 9, 'soft_masked': 2, 'non_acgt': 5, 'other_iupac': 1, 'padded': 2}
    >>> genome.notes
    ['g.fa: chr1 holds 7 of the 9 declared bp: the rest is N']
    """
    paths = _paths(path)
    genome = Genome(paths[0] if len(paths) == 1 else Path(paths[0].parent), {})
    readers: dict[str, Callable[[str], bytes | NDArray[np.uint8]]] = {}
    lengths: dict[str, int] = {}
    for one in paths:
        of_file, reader = _open_one(one, genome)
        for name in of_file:
            if name in lengths:
                raise named_twice(name, one)
            readers[name] = reader
        lengths |= of_file
    declared = (
        read_sizes(sizes)
        if isinstance(sizes, str | Path)
        else dict(sizes)
        if sizes is not None
        else None
    )
    genome.sizes = _settle(lengths, declared, genome.path, genome.notes)

    def codes(chrom: str) -> NDArray[np.uint8]:
        sequence = readers[chrom](chrom)
        out = sequence if isinstance(sequence, np.ndarray) else _encode(sequence, chrom, genome)
        lacking = genome.sizes[chrom] - len(out)
        if lacking:
            counts = genome.counts_by_chrom[chrom]
            if not counts["padded"]:
                counts["padded"] = lacking
                counts["bases"] += lacking
                counts["non_acgt"] += lacking
            out = np.concatenate([out, np.full(lacking, N, dtype=np.uint8)])
        return out

    genome._read = codes
    return genome


def _paths(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """List the files of a genome: one, several, or those of a folder."""
    given = [path] if isinstance(path, str | Path) else list(path)
    paths: list[Path] = []
    for one in map(Path, given):
        if one.is_dir():
            inside = [
                p
                for p in one.iterdir()
                if p.name.removesuffix(".gz").endswith(_ENDINGS) and not p.name.startswith(".")
            ]
            if not inside:
                raise InputError(
                    "the folder holds no genome",
                    where=str(one),
                    expected="files " + ", ".join(f"*{x}[.gz]" for x in _ENDINGS),
                )
            paths += sorted(inside, key=lambda p: natural_key(p.name))
        else:
            paths.append(check_file(one, WHAT))
    if not paths:
        raise InputError("no genome is given", expected=WHAT)
    return paths


def _open_one(
    path: Path, genome: Genome
) -> tuple[dict[str, int], Callable[[str], bytes | NDArray[np.uint8]]]:
    with open(path, "rb") as handle:
        head = handle.read(4)
    if head in blocks.TWOBIT:
        return blocks.open_twobit(path)
    if is_gzip(path):
        fai = path.with_name(path.name + ".fai")
        if fai.exists() and blocks.is_bgzip(path):
            return blocks.open_bgzip(path, fai)
        return _open_gzip(path, genome)
    return open_plain(path)


def _settle(
    lengths: dict[str, int], declared: dict[str, int] | None, path: Path, notes: list[str]
) -> dict[str, int]:
    """Decide the chromosomes and their lengths from the records and what was declared."""
    if declared is None:
        return lengths
    left_out = check_names(lengths, declared, str(path), other="the sizes file")
    if left_out:
        notes.append(f"{path.name}: records not in the sizes file are left out: {few(left_out)}")
    absent = [chrom for chrom in declared if chrom not in lengths]
    if absent:
        notes.append(
            f"{path.name}: declared chromosomes without a record are left out: {few(absent)}"
        )
    sizes = {}
    for chrom, length in lengths.items():
        if chrom not in declared:
            continue
        if length > declared[chrom]:
            raise InputError(
                "the record is longer than the chromosome declared",
                where=f"{path}, record {chrom}",
                found=f"{length} bp",
                expected=f"at most {declared[chrom]} bp",
                do="FASTA and sizes file belong to different assemblies: give the pair of one.",
            )
        if length < declared[chrom]:
            notes.append(
                f"{path.name}: {chrom} holds {length} of the {declared[chrom]} declared bp: the"
                " rest is N"
            )
        sizes[chrom] = declared[chrom]
    return sizes


def _encode(raw: bytes, chrom: str, genome: Genome) -> NDArray[np.uint8]:
    """Turn the letters of a record (no line ends) into codes and count them."""
    letters = np.frombuffer(raw, dtype=np.uint8)
    seen = np.zeros(256, dtype=np.int64)
    for i in range(0, len(letters), 1 << 20):  # bincount widens to 8 bytes: in pieces
        seen += np.bincount(letters[i : i + (1 << 20)], minlength=256)
    wrong = np.flatnonzero((_CODE == NOT_DNA) & (seen > 0))
    if len(wrong):
        at = int(np.flatnonzero(np.isin(letters, wrong))[0])
        hint = (
            " It looks like protein." if set(map(int, wrong)) & set(b"EFILPQZJOefilpqzjo") else ""
        )
        raise InputError(
            "the record is not DNA",
            where=f"{genome.path}, record {chrom}",
            found=f"{chr(letters[at])!r} at base {at + 1}",
            expected="the letters A C G T N (or IUPAC R Y K M S W B D H V)",
            do=f"Give a nucleotide FASTA file.{hint}",
        )
    non_acgt = int(seen[_CODE == N].sum())
    genome.counts_by_chrom[chrom] = {
        "bases": len(letters),
        "soft_masked": int(seen[_LOWER].sum()),
        "non_acgt": non_acgt,
        "other_iupac": int(seen[~_NAMED].sum()),
        "padded": 0,
    }
    return np.frombuffer(bytearray(raw.translate(CODE_OF_BYTE)), dtype=np.uint8)


def _open_gzip(
    path: Path, genome: Genome
) -> tuple[dict[str, int], Callable[[str], NDArray[np.uint8]]]:
    """Unpack a gzip FASTA file once and keep it as base codes."""
    kept: dict[str, NDArray[np.uint8]] = {}
    for header, raw in iter_fasta(path):
        name = record_name(b">" + header.encode(), path)
        if name in kept:
            raise named_twice(name, path)
        if not raw:
            raise without_bases(name, path)
        kept[name] = _encode(raw, name, genome)
    return {name: len(codes) for name, codes in kept.items()}, kept.__getitem__

"""Names and lengths of chromosomes: their order, and whether two files mean the same ones."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from epilm.errors import InputError
from epilm.genome.files import read_text

# Of a file that goes past the end of a chromosome: it is of another assembly ("refuse"), or the
# genome given holds only the first part of its chromosomes ("cut" the file there).
PastEnd = Literal["refuse", "cut"]
FIRST_PART = (
    "If the genome given is only the first part of its chromosomes, say so (past_end='cut',"
    " --past-end cut)."
)


def natural_key(name: str) -> tuple[object, ...]:
    """Sort key that counts: chr2 before chr10 before chrX.

    Examples
    --------
    >>> sorted(["chr10", "chrX", "chr2"], key=natural_key)
    ['chr2', 'chr10', 'chrX']
    """
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    )


def _renaming(where: str, script: str) -> str:
    """Write the command that renames chromosomes in a file of this kind.

    Examples
    --------
    >>> _renaming("a.bed", "s/^/chr/"), _renaming("a.bw", "s/^/chr/")
    ("sed 's/^/chr/' a.bed", "bigWigToBedGraph a.bw /dev/stdout | sed 's/^/chr/' >
    renamed.bedGraph")
    """
    lower = where.lower()
    if lower.endswith((".gz", ".bgz")):
        return f"gzip -dc {where} | sed '{script}' | gzip > renamed.gz"
    for tool, endings, kind in (
        ("bigWigToBedGraph", (".bw", ".bigwig"), "bedGraph"),
        ("bigBedToBed", (".bb", ".bigbed"), "bed"),
    ):
        if lower.endswith(endings):
            return f"{tool} {where} /dev/stdout | sed '{script}' > renamed.{kind}"
    return f"sed '{script}' {where}"


def check_names(
    names: Iterable[str], known: Iterable[str], where: str, *, other: str = "the genome"
) -> list[str]:
    """Return the chromosome names that are unknown; refuse those that are merely spelled otherwise.

    Parameters
    ----------
    names : iterable of str
        Chromosomes of a file.
    known : iterable of str
        Chromosomes of the genome.
    where : str
        File, for the message.
    other : str
        What `known` belongs to, for the message.

    Returns
    -------
    list of str
        Names not known, in natural order. Empty when all are.

    Raises
    ------
    InputError
        If a name would be known with "chr" added or taken away (the mitochondrion alone is let
        pass), or if none is known.

    Examples
    --------
    >>> check_names(["chr1", "chrUn_7"], ["chr1", "chr2"], "a.bed")
    ['chrUn_7']
    >>> check_names(["20"], ["chr20"], "a.bed")
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: a.bed: the chromosomes are named differently than in the genome. Found
        20; expected chr20. Rename them in one of the two, for example: sed 's/^/chr/' a.bed.
    """
    known = list(known)
    have = set(known)
    unknown = sorted({str(name) for name in names} - have, key=natural_key)
    for name in unknown:
        bare = name[3:] if name.lower().startswith("chr") else name
        if bare in ("M", "MT"):
            # Only the mitochondrion differs (others are met in their turn): counted by the caller,
            # not worth a refusal.
            continue
        for form in (f"chr{bare}", bare, f"Chr{bare}"):
            if form in have and form != name:
                if form == f"chr{name}":
                    script = "s/^/chr/"
                elif name == f"chr{form}":
                    script = "s/^chr//"
                else:
                    script = f"s/^{name}\\t/{form}\\t/"
                raise InputError(
                    f"the chromosomes are named differently than in {other}",
                    where=where,
                    found=name,
                    expected=form,
                    do=f"Rename them in one of the two, for example: {_renaming(where, script)}",
                )
    if unknown and not have & {str(name) for name in names}:
        raise InputError(
            f"no chromosome of the file is in {other}",
            where=where,
            found=few(unknown),
            expected=few(sorted(have, key=natural_key)),
            do="Give the genome these regions belong to.",
        )
    return unknown


def check_length(
    what: str,
    where: str,
    chrom: str,
    found: int,
    length: int,
    past_end: PastEnd,
    *,
    exact: bool = True,
) -> None:
    """Refuse a file whose chromosome is not as long as the genome's.

    Parameters
    ----------
    what : str
        "signal", "segmentation": of what the chromosome is, for the message.
    where : str
        File, for the message.
    chrom : str
    found : int
        Length in bp the file says, or (not `exact`) the greatest end in it.
    length : int
        Length in bp in the genome.
    past_end : {"refuse", "cut"}
        "cut" lets a longer one pass.
    exact : bool
        Whether a shorter one is wrong too.

    Raises
    ------
    InputError
        For another length; the mitochondrion (16,571 bp in UCSC's hg19, 16,569 elsewhere) is let
        pass.

    Examples
    --------
    >>> check_length("signal", "a.bw", "chr1", 90, 100, "refuse")
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: a.bw: the signal's chromosome is shorter than the genome's. Found chr1
        of 90 bp; expected 100 bp. The signal belongs to another assembly: give the genome it was
        made on.
    """
    if chrom.removeprefix("chr") in ("M", "MT"):
        return
    longer = found > length
    if (longer and past_end == "refuse") or (exact and found < length):
        do = f"The {what} belongs to another assembly: give the genome it was made on."
        if longer:
            do += f" {FIRST_PART}"
        raise InputError(
            f"the {what}'s chromosome is {'longer' if longer else 'shorter'} than the genome's",
            where=where,
            found=f"{chrom} of {found} bp",
            expected=f"{length} bp",
            do=do,
        )


def few(names: Sequence[str], most: int = 5) -> str:
    """Name the first few of many.

    Examples
    --------
    >>> few(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def read_sizes(path: str | Path) -> dict[str, int]:
    """Read a chrom.sizes file (or a .fai): name, tab, length in bp.

    Parameters
    ----------
    path : path
        Text, plain or gzip; further columns are ignored.

    Returns
    -------
    dict of str to int
        In the order of the file.

    Raises
    ------
    InputError
        If a line has no name and positive length, or a name comes twice.
    """
    sizes: dict[str, int] = {}
    for number, line in enumerate(
        read_text(path, "a chromosome sizes file").decode("utf-8", "replace").split("\n"), 1
    ):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        where = f"{path}, line {number}"
        if len(fields) < 2 or not fields[1].strip().isdigit() or int(fields[1]) == 0:
            raise InputError(
                "not a chromosome and its length",
                where=where,
                found=repr(line[:60]),
                expected="name, tab, length in bp",
            )
        if fields[0] in sizes:
            raise InputError(
                "the chromosome is declared twice",
                where=where,
                found=fields[0],
                expected="every name once",
            )
        sizes[fields[0]] = int(fields[1])
    if not sizes:
        raise InputError(
            "no chromosome is declared",
            where=str(path),
            expected="lines of name, tab, length in bp",
        )
    return sizes

"""From alleles to two whole windows: trimmed, left-aligned, checked against the genome.

Two spellings of one haplotype become one `Change`, and one score. The windows of REF and ALT begin
at the same base, hold the same number of bases, and are chosen from both alleles alike: with REF
and ALT swapped (on the other haplotype's genome) they are the same two windows.
Coordinates 0-based. Axes: N pairs, W bases of a window.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import check_length, check_names
from epilm.genome.sequence import LETTERS, decode, encode, reverse_complement
from epilm.tasks.reference import Reference
from epilm.variants.variant_files import Allele, VariantFile

WRONG_AT_MOST = 0.01  # of the records: more is another assembly, or another counted allele
SWAPPED, MISMATCH = "ref_swapped", "ref_mismatch"
REASONS = {
    "no_alt": "the record has no ALT",
    "symbolic": "a symbolic ALT (<DEL>, <DUP>) names no bases",
    "star": "ALT * is a deletion told in another record",
    "breakend": "a breakend joins two places",
    "not_acgt": "an allele has other letters than A, C, G, T",
    "alt_is_ref": "ALT is REF",
    "contig_unknown": "the genome has no such chromosome",
    "past_contig_end": "REF ends past its chromosome",
    SWAPPED: "the genome has ALT there, not REF",
    MISMATCH: "the genome has other bases than REF there",
    "too_long": "an allele takes more than half of the window (of splice sites: 2 --distance)",
    "no_gene": "no gene of --genes holds it",
    "window_past_end": "the window ends past the chromosome",
    "n_in_window": "there is an N in the window",
}


class Change(NamedTuple):
    """A normalised variant: `ref` at `start` becomes `alt`; either may be empty, not both."""

    chrom: str
    start: int
    ref: str
    alt: str


def normalise(bases: NDArray[np.uint8], change: Change) -> Change:
    """Trim what both alleles share and move what is left as far left as it goes.

    Parameters
    ----------
    bases : uint8 (chromosome,)
        A=0 C=1 G=2 T=3 N=4, holding REF at `start`.
    change : Change

    References
    ----------
    Tan A, Abecasis GR, Kang HM. Unified representation of genetic variants. Bioinformatics 2015;
    here an allele may be empty in place of a base that both share.

    Examples
    --------
    A duplication of CA, written as an insertion at the end of the repeat:

    >>> normalise(encode("GCACAT"), Change("chr1", 4, "A", "ACA"))
    Change(chrom='chr1', start=1, ref='', alt='CA')
    """
    chrom, start, ref, alt = change
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref and alt and ref[0] == alt[0]:
        ref, alt, start = ref[1:], alt[1:], start + 1
    if bool(ref) != bool(alt):
        moved = ref or alt
        # Rolled one base at a time: the base before stands at the end of the allele.
        turns = 0
        while start and LETTERS[bases[start - 1]] == moved[-1 - turns % len(moved)]:
            start, turns = start - 1, turns + 1
        turns %= len(moved)
        moved = moved[len(moved) - turns :] + moved[: len(moved) - turns]
        ref, alt = (moved, "") if ref else ("", moved)
    return Change(chrom, start, ref, alt)


def reason_of_letters(allele: Allele) -> str | None:
    """Why an allele as it is written cannot be scored; None where it can."""
    alt = allele.alt
    if alt in (".", ""):
        return "no_alt"
    if alt == "*":
        return "star"
    if "[" in alt or "]" in alt or (len(alt) > 1 and (alt[0] == "." or alt[-1] == ".")):
        return "breakend"
    if alt.startswith("<"):
        return "symbolic"
    # "-" is an allele without bases, in tables; without a REF base nobody knows on which side.
    if not allele.ref or not set(allele.ref) <= set("ACGT"):
        return "not_acgt"
    if alt != "-" and not set(alt) <= set("ACGT"):
        return "not_acgt"
    return "alt_is_ref" if alt == allele.ref else None


@dataclass
class Checked:
    """What became of each allele.

    Attributes
    ----------
    changes : list of Change or None
        In the alleles' order; None where it is not scored.
    reasons : list of str
        "" where it is scored, else a key of REASONS.
    """

    changes: list[Change | None]
    reasons: list[str]

    def scored(self) -> list[Change | None]:
        """Give the changes that are scored; None for the others."""
        return [
            None if reason else change
            for change, reason in zip(self.changes, self.reasons, strict=True)
        ]

    def counts(self) -> dict[str, int]:
        """Count alleles by reason, in REASONS' order; "scored" first."""
        n = Counter(self.reasons)
        return {"scored": n[""]} | {reason: n[reason] for reason in REASONS if n[reason]}


def check_alleles(file: VariantFile, alleles: Sequence[Allele], genome: Reference) -> Checked:
    """Normalise alleles and check their REF against the genome.

    Raises
    ------
    InputError
        If the chromosomes are named or as long otherwise, or more than 1 % of the alleles that
        could be checked have a REF that the genome has not.
    """
    where = str(file.path)
    unknown = set(check_names({a.chrom for a in file.alleles}, genome.sizes, where))
    used = {a.chrom for a in alleles} - unknown
    for chrom, length in file.contigs.items():
        if chrom in used:
            check_length("VCF", where, chrom, length, genome.sizes[chrom], "refuse")
    changes: list[Change | None] = [None] * len(alleles)
    reasons = ["contig_unknown" if a.chrom in unknown else "" for a in alleles]
    for chrom in dict.fromkeys(a.chrom for a in alleles if a.chrom in used):
        bases = genome.codes(chrom)
        for row, allele in enumerate(alleles):
            if allele.chrom == chrom:
                reasons[row], changes[row] = _checked(bases, allele)
    _refuse_wrong(file, alleles, reasons)
    return Checked(changes, reasons)


def _checked(bases: NDArray[np.uint8], allele: Allele) -> tuple[str, Change | None]:
    reason = reason_of_letters(allele)
    if reason is not None:
        return reason, None
    start, ref = allele.start, allele.ref
    alt = "" if allele.alt == "-" else allele.alt
    if start < 0 or start + len(ref) > len(bases):
        return "past_contig_end", None
    there = decode(bases[start : start + len(ref)])
    if "N" in there:
        return "n_in_window", None
    if there != ref:
        swapped = alt and decode(bases[start : start + len(alt)]) == alt
        return (SWAPPED if swapped else MISMATCH), None
    return "", normalise(bases, Change(allele.chrom, start, ref, alt))


def _refuse_wrong(file: VariantFile, alleles: Sequence[Allele], reasons: Sequence[str]) -> None:
    n = Counter(reasons)
    judged = n[""] + n[SWAPPED] + n[MISMATCH] + n["past_contig_end"]
    wrong = judged - n[""]
    if wrong <= WRONG_AT_MOST * judged:
        return
    bad = (SWAPPED, MISMATCH, "past_contig_end")
    first = next(a for a, reason in zip(alleles, reasons) if reason in bad)
    raise InputError(
        "REF is not what the genome has",
        where=first.where,
        found=(
            f"{wrong} of {judged} alleles: {n[SWAPPED]} with REF and ALT swapped, {n[MISMATCH]}"
            f" with other bases, {n['past_contig_end']} past the chromosome's end"
        ),
        expected=f"at most {WRONG_AT_MOST:.0%}",
        do=(
            "Give the assembly the variants were called on; where most are swapped, put the"
            " genome's base into REF (bcftools norm --check-ref s)."
        ),
    )


@dataclass(frozen=True)
class WindowPairs:
    """N variants as two windows each, on one strand.

    Attributes
    ----------
    codes : uint8 (N, 2, W)
        Bases of the two haplotypes. Which is REF is not told: the one that sorts first comes
        first, so that swapping REF and ALT changes nothing of what is computed.
    begin, ends : int64 (N, 2)
        Where the two alleles begin and end in their window, in the direction it is read; equal
        for an empty one.
    chrom : tuple of str (N,), start : int64 (N,)
        Where the windows lie.
    cells : int64 (N, 2)
        Begin and end of the bases in which alleles of this length lie in all windows of a grid.
    reverse : bool
        The windows are read from the other strand.
    """

    codes: NDArray[np.uint8]
    begin: NDArray[np.int64]
    ends: NDArray[np.int64]
    chrom: tuple[str, ...]
    start: NDArray[np.int64]
    cells: NDArray[np.int64]
    reverse: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    def turned(self) -> "WindowPairs":
        """The same windows read from the other strand."""
        width = self.codes.shape[2]
        return WindowPairs(
            reverse_complement(self.codes),
            width - self.ends,
            width - self.begin,
            self.chrom,
            self.start,
            width - self.cells[:, ::-1],
            not self.reverse,
        )


class Windowing(NamedTuple):
    """Which windows are cut around a variant.

    Attributes
    ----------
    width : int
        Bases, W.
    shifts : tuple of int
        Places of the variant off the window's middle, in bp.
    grid : int
        Windows begin at multiples of it (and are shifted then), so that neighbours share the
        window of REF; 1: the variant stands in the middle.
    """

    width: int
    shifts: tuple[int, ...] = (0,)
    grid: int = 1


def window_start(change: Change, windowing: Windowing, shift: int = 0) -> int:
    """First base of the window: the longer allele in its middle, to the grid, moved `shift` bp to
    the right.

    Examples
    --------
    >>> window_start(Change("chr1", 100, "A", "G"), Windowing(21))
    90
    >>> [window_start(Change("chr1", at, "A", "G"), Windowing(21, grid=8)) for at in (97, 98, 105)]
    [88, 88, 96]
    """
    longest = max(len(change.ref), len(change.alt))
    start = change.start - (windowing.width - longest) // 2
    return (start + windowing.grid // 2) // windowing.grid * windowing.grid + shift


def window_cell(change: Change, windowing: Windowing, shift: int = 0) -> tuple[int, int]:
    """Bases of its window that hold a change of this length wherever in its cell of the grid it
    stands.

    Examples
    --------
    >>> window_cell(Change("chr1", 100, "A", "G"), Windowing(21))
    (10, 11)
    >>> window_cell(Change("chr1", 97, "A", "G"), Windowing(21, grid=8))  # as of 97 .. 104
    (6, 14)
    """
    longest = max(len(change.ref), len(change.alt))
    first = (windowing.width - longest) // 2 - windowing.grid // 2 - shift
    return first, first + windowing.grid - 1 + longest


def reason_of_window(bases: NDArray[np.uint8], change: Change, windowing: Windowing) -> str | None:
    """Why a change's windows cannot be read; None where they can."""
    width = windowing.width
    if max(len(change.ref), len(change.alt)) > width // 2:
        return "too_long"
    for shift in windowing.shifts:
        start = window_start(change, windowing, shift)
        end = start + width + max(len(change.ref) - len(change.alt), 0)
        if start < 0 or end > len(bases):
            return "window_past_end"
        if (bases[start:end] > 3).any():
            return "n_in_window"
    return None


def make_pairs(
    genome: Reference, changes: Sequence[Change], windowing: Windowing, shift: int = 0
) -> tuple[WindowPairs, NDArray[np.bool_]]:
    """Cut the windows of changes.

    Returns
    -------
    pairs : WindowPairs
    alt_first : bool (N,)
        Whether ALT is the first of the two.
    """
    n, width = len(changes), windowing.width
    codes = np.empty((n, 2, width), np.uint8)
    begin, ends = np.empty((n, 2), np.int64), np.empty((n, 2), np.int64)
    starts, alt_first = np.empty(n, np.int64), np.zeros(n, bool)
    cells = np.array([window_cell(change, windowing, shift) for change in changes]).reshape(n, 2)
    chroms = {chrom: genome.codes(chrom) for chrom in {change.chrom for change in changes}}
    for row, change in enumerate(changes):
        bases = chroms[change.chrom]
        start = window_start(change, windowing, shift)
        ref = bases[start : start + width]
        after = change.start + len(change.ref)
        left = change.start - start
        rest = width - left - len(change.alt)
        alt = np.concatenate(
            [bases[start : change.start], encode(change.alt), bases[after : after + rest]]
        )
        sizes = [len(change.ref), len(change.alt)]
        two = [ref, alt]
        if alt.tobytes() < ref.tobytes():
            two, sizes, alt_first[row] = two[::-1], sizes[::-1], True
        codes[row], starts[row] = two, start
        begin[row], ends[row] = left, [left + size for size in sizes]
    chrom = tuple(change.chrom for change in changes)
    return WindowPairs(codes, begin, ends, chrom, starts, cells), alt_first

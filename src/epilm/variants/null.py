"""Matched random variants: what a score is worth depends on what variants of that kind do anywhere.

A variant's stratum is its chromosome, its alleles' lengths, and for an SNV the three bases around
it and its ALT (both strands are one stratum), else the G+C of the 100 bp around it. The null of a
stratum is drawn from its own chromosome and is a function of (seed, stratum) and the genome: not of
the file, the order or the shard.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.genome.sequence import LETTERS, decode, encode, reverse_complement
from epilm.tokens.random import hash_bits
from epilm.variants.haplotypes import Change, normalise

Codes = NDArray[np.uint8]
AROUND = 50  # bp on either side whose G+C is matched
TENTHS = 10
_PLACE, _BASES = 0xA1, 0xA2  # which of a draw's numbers
_BLOCK, _BLOCKS = 1 << 13, 512  # places tried at a time, and how often before giving up


class Stratum(NamedTuple):
    """What a variant is matched on.

    Attributes
    ----------
    chrom : str
    ref, alt : int
        Bases of the alleles.
    context : str
        Of an SNV the three bases and the ALT, "ACG>T"; else the tenth of G+C around it.
    """

    chrom: str
    ref: int
    alt: int
    context: str


def stratum_of(bases: Codes, change: Change) -> Stratum:
    """Give a normalised variant's stratum.

    Examples
    --------
    The other strand of a place is the same stratum:

    >>> stratum_of(encode("AACGTT"), Change("chr1", 2, "C", "T")).context
    'ACG>T'
    >>> stratum_of(encode("AACGTT"), Change("chr1", 3, "G", "A")).context
    'ACG>T'
    >>> stratum_of(encode("AACGTT"), Change("chr1", 1, "", "GG"))
    Stratum(chrom='chr1', ref=0, alt=2, context='G+C 3/10')
    """
    chrom, start, ref, alt = change
    if len(ref) == len(alt) == 1:
        three, other = bases[start - 1 : start + 2], encode(alt)
        if ref in "GT":
            three, other = reverse_complement(three), reverse_complement(other)
        return Stratum(chrom, 1, 1, f"{decode(three)}>{decode(other)}")
    tenth = int(_gc_tenths(bases, np.array([start]), len(ref))[0])
    return Stratum(chrom, len(ref), len(alt), f"G+C {tenth}/{TENTHS}")


def _gc_tenths(bases: Codes, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Which tenth the G+C around alleles is in, 0 to 9."""
    at = starts[:, None] + np.arange(-AROUND, length + AROUND)
    inside = (at >= 0) & (at < len(bases))
    code = np.where(inside, bases[np.clip(at, 0, len(bases) - 1)], 4)
    strong = ((code == 1) | (code == 2)).sum(1)
    tenths: NDArray[np.int64] = strong * TENTHS // np.maximum((code < 4).sum(1), 1)
    return np.minimum(tenths, TENTHS - 1)


def draw_null(
    bases: Codes,
    stratum: Stratum,
    reason_of: Callable[[Codes, Change], str | None],
    count: int,
    seed: int = 0,
) -> list[Change]:
    """Draw different random variants of a stratum that can be scored.

    Parameters
    ----------
    bases : uint8 (chromosome,)
        Of the stratum's chromosome.
    stratum : Stratum
    reason_of : callable
        Why a change of the chromosome cannot be scored; None where it can.
    count : int
    seed : int

    Returns
    -------
    list of Change
        Normalised; fewer than `count` where the chromosome has no more.

    Examples
    --------
    >>> bases = encode("ACGTTGCATT" * 40)
    >>> stratum = Stratum("chr1", 1, 1, "ACG>T")
    >>> drawn = draw_null(bases, stratum, lambda bases, change: None, 3)
    >>> len(drawn), {stratum_of(bases, change) == stratum for change in drawn}
    (3, {True})
    """
    key = zlib.crc32("|".join(map(str, stratum)).encode())
    drawn: dict[Change, None] = {}
    for block in range(_BLOCKS):
        number = block * _BLOCK + np.arange(_BLOCK)
        at = hash_bits(seed, key, _PLACE, number) % len(bases)
        for i in _matching(bases, at, stratum):
            change = _change_at(bases, int(at[i]), stratum, seed, key, int(number[i]))
            if change is None or change in drawn:
                continue
            if reason_of(bases, change) is None:
                drawn[change] = None
                if len(drawn) == count:
                    return list(drawn)
        if block * _BLOCK > 8 * len(bases):  # every place was tried, most of them often
            break
    return list(drawn)


def _matching(bases: Codes, at: NDArray[np.int64], stratum: Stratum) -> NDArray[np.int64]:
    """Which of random places have the stratum's context."""
    if ">" in stratum.context:
        three = encode(stratum.context[:3])
        inside = (at > 0) & (at < len(bases) - 1)
        safe = np.clip(at, 1, len(bases) - 2)
        near = np.stack([bases[safe - 1], bases[safe], bases[safe + 1]], 1)
        same = (near == three).all(1) | (near == reverse_complement(three)).all(1)
        return np.flatnonzero(inside & same)
    tenths = _gc_tenths(bases, at, stratum.ref)
    inside = at + stratum.ref <= len(bases)
    return np.flatnonzero(inside & (tenths == int(stratum.context[4:].split("/")[0])))


def _change_at(
    bases: Codes, at: int, stratum: Stratum, seed: int, key: int, number: int
) -> Change | None:
    """The draw's variant at a place; None where it would be one of another stratum."""
    here = bases[at : at + stratum.ref]
    if (here > 3).any():
        return None
    if ">" in stratum.context:
        other = encode(stratum.context[-1])
        if here[0] != encode(stratum.context[1])[0]:
            other = reverse_complement(other)
        return Change(stratum.chrom, at, decode(here), decode(other))
    drawn = hash_bits(seed, key, _BASES, number, np.arange(stratum.alt)) & 3
    alt = "".join(LETTERS[code] for code in drawn)
    change = normalise(bases, Change(stratum.chrom, at, decode(here), alt))
    lengths = len(change.ref), len(change.alt)
    if lengths != stratum[1:3] or stratum_of(bases, change) != stratum:
        return None
    return change


def percentile(value: float, null: ArrayLike) -> float:
    """Say what share of a null lies below a value, in percent; ties count half.

    Parameters
    ----------
    value : float
    null : float (M,)

    Returns
    -------
    float
        NaN without a null.

    Examples
    --------
    >>> percentile(2, [0, 1, 2, 5]), percentile(9, [0, 1, 2, 5])
    (62.5, 100.0)
    """
    others = np.asarray(null, np.float64)
    if not len(others):
        return float("nan")
    return float(100 * ((others < value).sum() + (others == value).sum() / 2) / len(others))


def strata_text(drawn: Iterable[Sequence[Change]], count: int) -> str:
    """A line on a null: how many strata, and how many of them are short.

    Examples
    --------
    >>> strata_text([[1] * 5, [1] * 3], 5)
    'null: 2 kinds of variants, 5 random ones each; 1 kinds have fewer, down to 3'
    """
    sizes = [len(one) for one in drawn]
    short = [size for size in sizes if size < count]
    text = f"null: {len(sizes)} kinds of variants, {count} random ones each"
    return text + (f"; {len(short)} kinds have fewer, down to {min(short)}" if short else "")

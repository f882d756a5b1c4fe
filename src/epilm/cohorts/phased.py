"""Both haplotypes of a region read whole by the model, their vectors averaged.

Unlike a sum of single variants this sees what variants do together. It needs the phase: which
copies lie on one chromosome. Axes: N people, V variants of the region, D numbers of a haplotype.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.cohorts.columns import Floats
from epilm.cohorts.deltas import Reader
from epilm.cohorts.genotypes import ABSENT
from epilm.errors import InputError, UsageError
from epilm.genome.sequence import encode, reverse_complement
from epilm.tasks.reference import Reference
from epilm.variants.haplotypes import Change

PHASE_DO = (
    "Phase them first (SHAPEIT, Beagle, Eagle), or give --features deltas, which needs no phase."
)


class RegionSpan(NamedTuple):
    """A named part of the genome, 0-based, half-open."""

    chrom: str
    start: int
    end: int
    name: str


def check_phase(unphased: int, calls: int, where: str) -> None:
    """Refuse calls whose copies cannot be told apart.

    Raises
    ------
    InputError
    """
    if unphased:
        raise InputError(
            "the genotypes are not phased, and haplotypes were asked for",
            where=where,
            found=f"{unphased:,} of {calls:,} calls heterozygous and unphased in the regions",
            expected="0|1 and 1|0 in place of 0/1",
            do=PHASE_DO,
        )


def haplotype_bases(
    bases: NDArray[np.uint8], region: RegionSpan, changes: Sequence[Change]
) -> tuple[NDArray[np.uint8], int]:
    """Put variants into a region; of two that change the same bases the first.

    Parameters
    ----------
    bases : uint8 (chromosome,)
    region : RegionSpan
    changes : sequence of Change
        That lie on this haplotype.

    Returns
    -------
    uint8 (W,)
    int
        How many were not put in.

    Examples
    --------
    >>> from epilm.genome.sequence import decode
    >>> put, lost = haplotype_bases(
    ...     encode("AACCGGTT"),
    ...     RegionSpan("chr1", 1, 7, "r"),
    ...     [Change("chr1", 5, "", "TA"), Change("chr1", 2, "C", "G"), Change("chr1", 6, "T", "")],
    ... )
    >>> decode(put), lost
    ('AGCGTAG', 0)
    """
    parts, at, lost = [], region.start, 0
    for change in sorted(changes, key=lambda each: (each.start, len(each.ref))):
        if change.start < at:
            lost += 1
            continue
        parts += [bases[at : change.start], encode(change.alt)]
        at = change.start + len(change.ref)
    parts.append(bases[at : max(region.end, at)])
    return np.concatenate(parts), lost


def encode_region(
    reader: Reader,
    region: RegionSpan,
    changes: Sequence[Change],
    copies: NDArray[np.int8],
    genome: Reference,
) -> tuple[Floats, int, int]:
    """Read every different haplotype of a region once.

    Parameters
    ----------
    reader : Reader
        Of a pre-trained model.
    region : RegionSpan
    changes : sequence of Change, length V
    copies : int8 (N, V, 2)
        ABSENT where a call is missing.

    Returns
    -------
    float64 (N, D)
        Mean of a person's two haplotypes, both strands; NaN where a call of theirs is missing.
    int
        How many different haplotypes were read.
    int
        How many of them hold two variants of the same bases, of which the first was put in.
    """
    if reader.loaded is None:
        raise UsageError(
            "haplotypes are read by a pre-trained model",
            where="--features haplotypes",
            found="a fine-tuned model, or motifs alone",
            do="Give --model with a pre-trained run, or --features deltas.",
        )
    bases = genome.codes(region.chrom)
    lines = copies.transpose(0, 2, 1).reshape(-1, copies.shape[1])  # (2 N, V): person by person
    kinds, which = np.unique(lines, axis=0, return_inverse=True)
    known = ~(kinds == ABSENT).any(1)
    vectors = np.full((len(kinds), reader.loaded.encoder.hidden), np.nan)
    spelled: dict[bytes, int] = {}
    codes: list[NDArray[np.uint8]] = []
    number, clashes = np.full(len(kinds), -1), 0
    for row in np.flatnonzero(known):
        own = [change for change, on in zip(changes, kinds[row]) if on]
        line, lost = haplotype_bases(bases, region, own)
        clashes += lost > 0
        number[row] = spelled.setdefault(line.tobytes(), len(codes))
        if number[row] == len(codes):
            codes.append(line)
    if codes:
        forward = reader.loaded.embed(codes).astype(np.float64)
        turned = reader.loaded.embed([reverse_complement(line) for line in codes])
        both = (forward + turned.astype(np.float64)) / 2
        vectors[known] = both[number[known]]
    of_people = vectors[which.reshape(-1)].reshape(len(copies), 2, -1).mean(1)
    return of_people, len(codes), clashes

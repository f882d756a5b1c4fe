"""The windows of variants: each allele twice, as the genome has it and changed.

REF is explained where it lies on the genome. ALT's bases are no genome's: its haplotype is a
sequence of its own, named after the variant and counted from where REF's stretch begins.
Coordinates 0-based, half-open.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.explaining.frames import Frame, Region, unique_names
from epilm.genome.sequence import encode
from epilm.variants.haplotypes import REASONS, Change, check_alleles
from epilm.variants.variant_files import read_variants

FLANK = 25  # bases on either side of a variant that are explained where nothing is said
Cut = Callable[[Region, NDArray[np.uint8], int], tuple[Region, list[Frame]]]


def haplotype_frames(
    path: Path, genome: Any, cut: Cut, reach: int, flank: int, notes: list[str]
) -> list[tuple[Region, list[Frame]]]:
    """Read variants, and cut the windows of both haplotypes of each.

    Parameters
    ----------
    path : path
        VCF, BCF or a table (`read_variants`).
    genome : Reference
    cut : function of (region, bases, where the bases begin)
        The windows of a region.
    reach : int
        Bases on either side of the explained stretch that a window may need.
    flank : int
        Bases on either side of the variant that are explained; 0 means FLANK.
    notes : list of str
        Takes what was left out, counted.

    Returns
    -------
    list of (Region, list of Frame)
        REF and ALT of each allele in the file's order.

    Raises
    ------
    InputError
        If the file is no file of variants, or of another assembly, or nothing can be explained.
    """
    file = read_variants(path)
    checked = check_alleles(file, file.alleles, genome)
    names = unique_names(
        [
            f"{a.chrom}:{a.start + 1}:{a.ref}>{a.alt}" if a.name == "." else a.name
            for a in file.alleles
        ]
    )
    out: list[tuple[Region, list[Frame]]] = []
    bases, chrom = np.zeros(0, np.uint8), ""
    for allele, name, change in zip(file.alleles, names, checked.scored(), strict=True):
        if change is None:
            continue
        if change.chrom != chrom:
            chrom, bases = change.chrom, genome.codes(change.chrom)
        out += _both(name, allele.where, change, bases, cut, reach, flank or FLANK)
    left = {reason: n for reason, n in checked.counts().items() if reason != "scored"}
    if left:
        said = "; ".join(f"{n} {REASONS[reason]}" for reason, n in left.items())
        notes.append(f"left out, {sum(left.values())} of {len(file.alleles)} alleles: {said}")
    if not out:
        raise InputError(
            "no variant can be explained",
            where=str(path),
            found=notes[-1],
            do="Give variants whose REF the genome has and whose ALT names bases.",
        )
    return out


def _both(
    name: str,
    where: str,
    change: Change,
    bases: NDArray[np.uint8],
    cut: Cut,
    reach: int,
    flank: int,
) -> list[tuple[Region, list[Frame]]]:
    """REF's stretch and ALT's, each with its windows."""
    behind = change.start + len(change.ref)
    low, high = max(change.start - flank - reach, 0), min(behind + flank + reach, len(bases))
    first, last = max(change.start - flank, 0), min(behind + flank, len(bases))
    out = []
    for side, letters in (("ref", change.ref), ("alt", change.alt)):
        middle = encode(letters) if letters else np.zeros(0, np.uint8)
        haplotype = np.concatenate([bases[low : change.start], middle, bases[behind:high]])
        end = last + len(letters) - len(change.ref)
        region = Region(change.chrom, first, end, f"{name} {side}", 1, (first + end) // 2, where)
        whole, frames = cut(region, haplotype, low)
        # No tracks on the genome for bases that it has not.
        own = whole if side == "ref" else whole._replace(chrom=f"{name} alt")
        out.append((own, frames))
    return out

"""Which variants lie in which regions, and the calls of the people who are judged, read once.

Axes: N people, U variants in regions, S variants for components.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.cohorts.columns import Rows
from epilm.cohorts.genotypes import GenotypeColumns, Genotypes
from epilm.cohorts.people import People
from epilm.cohorts.phased import RegionSpan
from epilm.errors import InputError
from epilm.genome.checks import check_intervals
from epilm.genome.peaks import read_peaks
from epilm.tasks.reference import Reference

FOR_COMPONENTS = 4000  # variants, evenly over the file, from which components are made
WHOLE = "all"  # the group of all variants, where no regions are given


def read_spans(path: Any, genome: Reference) -> list[RegionSpan] | None:
    """Read regions of a BED, in order of place; named as they lie where they have no name."""
    if path is None:
        return None
    table = check_intervals(read_peaks(path, "bed"), genome.sizes).table
    names = table["name"] if "name" in table else [None] * len(table)
    return [
        RegionSpan(c, int(s), int(e), str(n) if n and n != "." else f"{c}:{s}-{e}")
        for c, s, e, n in zip(table["chrom"], table["start"], table["end"], names)
    ]


@dataclass(frozen=True)
class Members:
    """Which variants lie in which regions.

    Attributes
    ----------
    of_region : list of int64 arrays
        Numbers among the usable columns, one array a region; one array in all without regions.
    groups : dict of str to int64 array
        The same by region name.
    used : int64 (U,)
        All of them, ascending.
    """

    of_region: list[Rows]
    groups: dict[str, Rows]
    used: Rows


def members_of(columns: GenotypeColumns, spans: list[RegionSpan] | None) -> Members:
    """Say which variants lie wholly inside which region.

    Raises
    ------
    InputError
        If none does.
    """
    everything = np.arange(len(columns.changes))
    if spans is None:
        return Members([everything], {WHOLE: everything}, everything)
    chrom = np.array([change.chrom for change in columns.changes])
    start = np.array([change.start for change in columns.changes])
    end = start + np.array([len(change.ref) for change in columns.changes])
    of_region = [
        np.flatnonzero((chrom == span.chrom) & (start >= span.start) & (end <= span.end))
        for span in spans
    ]
    groups: dict[str, Rows] = {}
    for span, rows in zip(spans, of_region):
        if len(rows):
            before = groups.get(span.name, np.zeros(0, np.int64))
            groups[span.name] = np.union1d(before, rows)
    if not groups:
        raise InputError(
            "no variant lies in a region",
            found=f"{len(everything)} variants, {len(spans)} regions",
            do="Give --regions of the same assembly that cover them.",
        )
    return Members(of_region, groups, np.unique(np.concatenate(list(groups.values()))))


@dataclass
class PeopleCalls:
    """Calls of the people with a phenotype.

    Attributes
    ----------
    dosages : float32 (N, U)
        Of the variants in regions, in the order of `Members.used`.
    copies : int8 (N, U, 2) or None
        Where haplotypes are read.
    spread : float32 (N, S)
        Of some variants of the whole file, for components.
    unphased : int
        Calls in regions whose copies cannot be told apart.
    """

    dosages: NDArray[np.float32]
    copies: NDArray[np.int8] | None
    spread: NDArray[np.float32]
    unphased: int


def read_calls(
    genotypes: Genotypes,
    people: People,
    columns: GenotypeColumns,
    members: Members,
    components: int,
    features: str,
) -> PeopleCalls:
    """Read what is needed once, block by block."""
    v = len(columns.numbers)
    step = max(1, -(-v // FOR_COMPONENTS))
    for_axes = np.arange(0, v, step) if components else np.zeros(0, np.int64)
    needed = np.union1d(members.used, for_axes)
    at_used, at_axes = np.full(v, -1), np.full(v, -1)
    at_used[members.used] = np.arange(len(members.used))
    at_axes[for_axes] = np.arange(len(for_axes))
    n = len(people)
    dosages = np.empty((n, len(members.used)), np.float32)
    spread = np.empty((n, len(for_axes)), np.float32)
    copies = np.empty((n, len(members.used), 2), np.int8) if features == "haplotypes" else None
    usable = np.full(len(genotypes.variants.alleles), -1)
    usable[columns.numbers] = np.arange(v)
    unphased = 0
    for calls in genotypes.blocks(columns.numbers[needed]):
        mine = calls.dosages[people.rows]
        number = usable[calls.columns]
        here = at_used[number] >= 0
        dosages[:, at_used[number[here]]] = mine[:, here]
        if copies is not None:
            copies[:, at_used[number[here]]] = calls.copies[people.rows][:, here]
            unphased += int(calls.unphased[people.rows][:, here].sum())
        here = at_axes[number] >= 0
        spread[:, at_axes[number[here]]] = mine[:, here]
    return PeopleCalls(dosages, copies, spread, unphased)

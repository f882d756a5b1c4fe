"""Accessible regions of each cell type, from peak files or from a peak x cell matrix.

Both ways end in the same table: regions x cell types, true where accessible.
Everything left out on the way is counted. Needs pandas and `epilm.genome`; used
by `build` only.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from epilm.errors import InputError, nearest
from epilm.genome.checks import check_intervals
from epilm.genome.chromosomes import PastEnd
from epilm.genome.counts import Counts, accessible, pseudo_bulk
from epilm.genome.intervals import drop_blacklisted, n_fraction, union
from epilm.genome.peaks import read_peaks
from epilm.store.schema import region_type


@dataclass
class Regions:
    """The union of regions while it is being made.

    Attributes
    ----------
    table : DataFrame, R rows
        chrom, start, end; sorted in genome order.
    accessible : bool (R, T)
    cell_types : tuple of str
    counts : float64 (R, T) or None
        Pseudo-bulk counts.
    dropped : Counter
        Reason -> number.
    notes : list of str
    beside : list of (str, Path)
        Files that were found beside the matrix, with their roles.
    """

    table: pd.DataFrame
    accessible: np.ndarray
    cell_types: tuple[str, ...]
    counts: np.ndarray | None = None
    dropped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    beside: list[tuple[str, Path]] = field(default_factory=list)

    def keep(self, rows: np.ndarray, why: str) -> None:
        """Leave out the regions where `rows` is False, and count them under `why`."""
        lost = int((~rows).sum())
        self.dropped[why] += lost
        if lost:
            self.table = self.table[rows].reset_index(drop=True)
            self.accessible = self.accessible[rows]
            self.counts = None if self.counts is None else self.counts[rows]

    def structured(self, chroms: tuple[str, ...]) -> np.ndarray:
        """Regions as the store keeps them, `schema.region_type`."""
        out = np.zeros(len(self.table), region_type(len(chroms)))
        number = {name: i for i, name in enumerate(chroms)}
        out["chrom"] = self.table["chrom"].map(number).to_numpy()
        out["start"], out["end"] = self.table["start"].to_numpy(), self.table["end"].to_numpy()
        return out


def no_regions() -> Regions:
    """Regions of a store that has none: a genome, states and signals alone."""
    table = pd.DataFrame(
        {"chrom": pd.Series(dtype=str), "start": np.zeros(0, int), "end": np.zeros(0, int)}
    )
    return Regions(table, np.zeros((0, 0), bool), ())


def cut(regions: Regions, width_bp: int) -> None:
    """Cut regions wider than a width into pieces of about equal width, none wider, in place.

    Every base stays, in one piece; a piece is accessible where its region was, and has its
    counts. Narrower regions stay as they are.

    Parameters
    ----------
    regions : Regions
    width_bp : int
        At least 1.

    Examples
    --------
    >>> table = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [10, 50], "end": [40, 57]})
    >>> made = Regions(table, np.array([[True, False], [True, True]]), ("a", "b"))
    >>> cut(made, 12)
    >>> made.table[["start", "end"]].to_numpy().tolist()
    [[10, 20], [20, 30], [30, 40], [50, 57]]
    >>> made.notes
    ['1 regions wider than 12 bp cut into 3 pieces']
    """
    start = regions.table["start"].to_numpy(np.int64)
    width = regions.table["end"].to_numpy(np.int64) - start
    pieces = np.maximum(-(-width // width_bp), 1)
    row = np.repeat(np.arange(len(start)), pieces)
    number = np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    wide = int((pieces > 1).sum())
    if not wide:
        return
    begin = start[row] + number * width[row] // pieces[row]
    end = start[row] + (number + 1) * width[row] // pieces[row]
    made = regions.table.iloc[row].assign(start=begin, end=end)
    # Where regions overlap (overlaps keep), pieces of one may begin after those of the next.
    chrom = pd.factorize(made["chrom"])[0]
    order = np.lexsort((end, begin, chrom))
    regions.table = made.iloc[order].reset_index(drop=True)
    regions.accessible = regions.accessible[row][order]
    regions.counts = None if regions.counts is None else regions.counts[row][order]
    regions.notes.append(
        f"{wide:,} regions wider than {width_bp} bp cut into {int(pieces[pieces > 1].sum()):,}"
        " pieces"
    )


def from_peaks(
    files: Mapping[str, Path],
    sizes: Mapping[str, int],
    how: Literal["merge", "keep"],
    strict: bool,
    past_end: PastEnd = "refuse",
) -> Regions:
    """Unite the peaks of cell types.

    Parameters
    ----------
    files : dict of cell type to peak file
    sizes : dict
        Chromosome lengths, in genome order.
    how : {"merge", "keep"}
        "merge": overlapping peaks of any cell types become one region. "keep": each
        different peak stays a region, accessible in the cell types that have exactly it.
    strict : bool
        Refuse unsorted and duplicate peaks and unknown chromosomes instead of counting them.
    past_end : {"refuse", "cut"}
        Peaks past the end of their chromosome: refuse them, or cut them there.

    Raises
    ------
    InputError
        Naming file and line, if a file cannot be used or belongs to another assembly.
    """
    tables, dropped, notes = {}, Counter[str](), []
    for name, path in files.items():
        checked = check_intervals(read_peaks(path), sizes, strict=strict, past_end=past_end)
        tables[name] = checked.table
        dropped["peaks cut at the end of their chromosome (kept)"] += checked.counts["cut"]
        dropped["peaks past the end of their chromosome"] += checked.counts["past_end"]
        dropped["peaks on chromosomes the genome lacks"] += checked.counts["other_chromosomes"]
        dropped["duplicate peaks"] += checked.counts["duplicates"]
        dropped["peaks out of order (sorted, not dropped)"] += checked.counts["out_of_order"]
        notes += [note.replace(str(path), path.name) for note in checked.notes]
    both = union(tables, how, sizes)
    fewer = both.counts["merged" if how == "merge" else "duplicates"]
    dropped["peaks merged into another" if how == "merge" else "peaks equal to another"] += fewer
    return Regions(both.table, both.members, both.cell_types, None, dropped, notes)


class LeastCounts(NamedTuple):
    """What counts as accessible; see `genome.counts.accessible`."""

    min_count: float
    min_cpm: float | None
    top_n: int | None


def from_counts(
    counts: Counts,
    sizes: Mapping[str, int],
    how: Literal["merge", "keep"],
    strict: bool,
    where: str,
    least: LeastCounts,
    past_end: PastEnd = "refuse",
) -> Regions:
    """Sum cells to cell types and decide what is accessible (A9).

    Parameters
    ----------
    counts : Counts
    sizes, how, strict, past_end
        As in `from_peaks`; "merge" adds the counts of regions that overlap, and those of a region
        that is listed twice are added in any case.
    where : str
        Name of the matrix, for messages.
    least : LeastCounts

    Raises
    ------
    InputError
        If regions cannot be used, or no region is accessible.
    """
    checked = check_intervals(
        counts.regions,
        sizes,
        where=where,
        strict=strict,
        past_end=past_end,
        of_duplicates="their counts are added",
    )
    table = pd.DataFrame(checked.table[["chrom", "start", "end"]])
    per_row, cell_types = pseudo_bulk(counts)
    bulk = np.zeros((len(table), per_row.shape[1]))
    used = checked.went_to >= 0
    np.add.at(bulk, checked.went_to[used], per_row[used])
    dropped = Counter(
        {
            "regions on chromosomes the genome lacks": checked.counts["other_chromosomes"],
            "regions cut at the end of their chromosome (kept)": checked.counts["cut"],
            "regions past the end of their chromosome": checked.counts["past_end"],
            "duplicate regions (counts added)": checked.counts["duplicates"],
        }
    )
    if how == "merge":
        merged = union({"all": table}, "merge", sizes).table
        group = _group(table, merged, sizes)
        added = np.zeros((len(merged), bulk.shape[1]))
        np.add.at(added, group, bulk)
        dropped["regions merged into another"] += len(table) - len(merged)
        table, bulk = merged, added
    out = Regions(
        table,
        accessible(bulk, *least),
        cell_types,
        bulk,
        dropped,
        [*counts.notes, *checked.notes],
        counts.beside,
    )
    out.keep(np.asarray(out.accessible.any(axis=1)), "regions accessible in no cell type")
    if not len(out.table):
        raise InputError(
            "no region is accessible in any cell type",
            where=where,
            found=", ".join(
                f"{as_option(name)} {value}"
                for name, value in least._asdict().items()
                if value is not None
            ),
            do="Lower the thresholds.",
        )
    return out


def _group(table: pd.DataFrame, merged: pd.DataFrame, sizes: Mapping[str, int]) -> np.ndarray:
    """Row of the merged region that holds each region."""
    number = {name: i for i, name in enumerate(sizes)}
    step = max(sizes.values()) + 1

    def place(t: pd.DataFrame) -> np.ndarray:
        return t["chrom"].map(number).to_numpy(np.int64) * step + t["start"].to_numpy(np.int64)

    return np.searchsorted(place(merged), place(table), side="right") - 1


def clean(
    regions: Regions, genome: Any, blacklist: pd.DataFrame | None, max_n_fraction: float, where: str
) -> None:
    """Leave out blacklisted regions and those with too many N, in place.

    Parameters
    ----------
    regions : Regions
    genome
        Anything with `.sizes` and `.codes(chrom)`.
    blacklist : DataFrame, optional
    max_n_fraction : float
        Largest share of N (A27).
    where : str
        Name of the regions' source, for messages.

    Raises
    ------
    InputError
        If most regions are mostly N (another assembly), or none is left.
    """
    if blacklist is not None:
        _, kept = drop_blacklisted(regions.table, blacklist)
        regions.keep(kept, "regions touching the blacklist")
        _refuse_empty(regions, where, "the blacklist")
    share = n_fraction(genome, regions.table)
    if (share > 0.5).mean() > 0.5:
        raise InputError(
            "most regions are mostly N in this genome",
            where=where,
            found=f"{int((share > 0.5).sum())} of {len(share)} regions with more than half N",
            expected="regions that lie on bases",
            do=(
                "The regions belong to another assembly, or the FASTA holds other parts of the"
                " chromosomes."
            ),
        )
    regions.keep(share <= max_n_fraction, f"regions with more than {max_n_fraction:g} N")
    _refuse_empty(regions, where, "the N filter")


def _refuse_empty(regions: Regions, where: str, what: str) -> None:
    if not len(regions.table):
        raise InputError(f"no region is left after {what}", where=where)


def narrower_than_motifs(rows: np.ndarray, motifs: Sequence[tuple[str, int]]) -> list[str]:
    """Warn of regions in which a motif has no place, so that its score is 0 there.

    Parameters
    ----------
    rows : structured array (R,)
        The regions.
    motifs : sequence of (str, int)
        Name and width in bp of each motif.

    Returns
    -------
    list of str
        One note, or none.

    Examples
    --------
    >>> rows = np.array([(0, 5, 6), (0, 9, 109)], region_type(1))
    >>> narrower_than_motifs(rows, [("CTCF", 19), ("GATA1", 6)])
    ['1 of 2 regions are narrower than a motif (from 1 bp; 2 of 2 motifs, up to 19 bp): the motif
    has no place there and scores 0. Are these summits? Give the peaks']
    """
    width = rows["end"] - rows["start"]
    if not len(width) or not motifs:
        return []
    widest = max(motifs, key=lambda motif: motif[1])[1]
    narrow, wide = int((width < widest).sum()), sum(bp > width.min() for _, bp in motifs)
    if not narrow:
        return []
    return [
        f"{narrow:,} of {len(width):,} regions are narrower than a motif (from {width.min()} bp;"
        f" {wide:,} of {len(motifs):,} motifs, up to {widest} bp): the motif has no place there and"
        " scores 0" + (". Are these summits? Give the peaks" if width.min() < 10 else "")
    ]


def check_thresholds(
    min_count: float, min_cpm: float | None, top_n: int | None, counts: bool
) -> None:
    """Refuse thresholds that are out of range, or given without counts.

    Raises
    ------
    InputError
        Naming the switch.
    """
    for name, value, least in (
        ("min_count", min_count, 0),
        ("min_cpm", min_cpm, 0),
        ("top_n", top_n, 1),
    ):
        if value is not None and not value >= least:
            raise InputError(
                "the threshold is out of range",
                where=as_option(name),
                found=value,
                expected=f"at least {least}",
            )
    if not counts and (min_count != 0 or min_cpm is not None or top_n is not None):
        raise InputError(
            "--min-count, --min-cpm and --top-n apply to counts, and peaks have none",
            do="Give --counts, or leave the thresholds out (peak callers have their own).",
        )


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse an unknown word.

    Raises
    ------
    InputError
        Naming the nearest known one.
    """
    if value not in known:
        raise InputError(
            "unknown value", where=as_option(name), found=value, do=nearest(value, known)
        )


def as_option(name: str) -> str:
    """Spell an argument of `build` as the command line does.

    Examples
    --------
    >>> as_option("max_n_fraction")
    '--max-n-fraction'
    """
    return "--" + name.replace("_", "-")

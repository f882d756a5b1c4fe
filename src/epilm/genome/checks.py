"""Interval tables: the contract, and the check that every table from a file passes.

interval: (chrom, start, end), 0-based and half-open, start < end. A table of
them is a DataFrame with the columns chrom (str), start, end (int64) and any
others; functions take a table and return a new one. A table that came from a
file carries its name in `attrs["source"]` and the line of each row in an index
named "line", so that a late check can still name the line.
Nothing is dropped without being counted. What is done with tables: `intervals`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import FIRST_PART, PastEnd, check_names, few, natural_key
from epilm.genome.exponents import to_numbers

CORE = ["chrom", "start", "end"]


@dataclass(frozen=True)
class CheckedIntervals:
    """Intervals fit for use, and what it took.

    Attributes
    ----------
    table : DataFrame
        Sorted, unique, inside the genome; index 0..R-1; the input's other columns kept.
    rows : int64 array, shape (R,)
        Row of the input table (0-based) behind each row of `table`: reorder what runs beside it
        with this.
    went_to : int64 array, shape (given,)
        Row of `table` that each row of the input became, duplicates that of their first; -1 where
        dropped.
    counts : dict
        given, kept, out_of_order (rows that came before their place), duplicates,
        other_chromosomes, cut (ends), past_end (dropped).
    notes : list of str
        One printable line for everything changed or dropped.
    """

    table: pd.DataFrame
    rows: NDArray[np.int64]
    went_to: NDArray[np.int64]
    counts: dict[str, int]
    notes: list[str] = field(default_factory=list)


def make_table(
    chrom: Iterable[str], start: Iterable[int], end: Iterable[int], **others: Iterable[object]
) -> pd.DataFrame:
    """Make an interval table from columns.

    Examples
    --------
    >>> make_table(["chr1"], [5], [9])
      chrom  start  end
    0  chr1      5    9
    """
    table = pd.DataFrame(
        {
            "chrom": pd.Series(list(chrom), dtype=object),
            "start": np.asarray(list(start), dtype=np.int64),
            "end": np.asarray(list(end), dtype=np.int64),
        }
    )
    for name, values in others.items():
        table[name] = np.asarray(list(values))
    return table


def place(table: pd.DataFrame, row: int) -> str:
    """Name a row of a table for a message: file and line where known.

    Parameters
    ----------
    table : DataFrame
    row : int
        0-based position in the table.

    Examples
    --------
    >>> place(make_table(["chr1"], [5], [9]), 0)
    'row 1'
    """
    if table.index.name == "line":
        return f"line {int(table.index[row])}"
    return f"row {row + 1}"


def show(table: pd.DataFrame, row: int) -> str:
    """Write an interval as chrom:start-end.

    Examples
    --------
    >>> show(make_table(["chr1"], [5], [9]), 0)
    'chr1:5-9'
    """
    chrom, start, end = (table[name].iloc[row] for name in CORE)
    return f"{chrom}:{start}-{end}"


def _source(table: pd.DataFrame, where: str | None) -> str:
    return where or str(table.attrs.get("source", "intervals"))


# What `CheckedIntervals.counts` counts, in this order.
COUNTED = (
    "given",
    "kept",
    "out_of_order",
    "duplicates",
    "other_chromosomes",
    "cut",
    "past_end",
)


def _spans(table: pd.DataFrame, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends as whole numbers, each interval with a base at least."""
    missing = [column for column in CORE if column not in table.columns]
    if missing:
        raise InputError(
            "columns are missing",
            where=name,
            found=", ".join(map(str, table.columns)),
            expected=", ".join(CORE),
        )
    if not len(table):
        raise InputError(
            "there are no intervals", where=name, found="0 rows", expected="at least one interval"
        )
    start, end = whole_numbers(table, "start", name), whole_numbers(table, "end", name)
    _refuse(
        start < 0,
        table,
        name,
        "the start is negative",
        "a start of at least 0",
        "Coordinates are 0-based, half-open (BED); look for a shift that went too far.",
    )
    _refuse(
        start >= end,
        table,
        name,
        "the interval holds no base",
        "start < end",
        "Coordinates are 0-based, half-open (BED): the base at 1-based position p is (p - 1, p).",
    )
    return start, end


def _refuse_disorder(
    table: pd.DataFrame, name: str, descents: NDArray[np.bool_], twice: NDArray[np.bool_]
) -> None:
    """Refuse rows that are not sorted, and those that occur twice."""
    _refuse(
        descents,
        table,
        name,
        "the regions are not sorted",
        "chromosomes in blocks, starts ascending",
        f"Sort the file (sort -k1,1 -k2,2n {name}), or run without --strict.",
    )
    _refuse(
        twice,
        table,
        name,
        "the region occurs twice",
        "every region once",
        "Remove the duplicates (sort -u), or run without --strict.",
    )


def _where_rows_went(
    table: pd.DataFrame,
    rows: NDArray[np.int64],
    twice: NDArray[np.bool_],
    unique_by: Sequence[str],
) -> NDArray[np.int64]:
    """Say which row of the result each row became, -1: none; a duplicate goes with its first."""
    went_to = np.full(len(table), -1, dtype=np.int64)
    went_to[rows] = np.arange(len(rows))
    if twice.any():
        group = table.groupby(list(unique_by), sort=False).ngroup().to_numpy()
        first = np.unique(group, return_index=True)[1]
        went_to[twice] = went_to[first[group[twice]]]
    return went_to


def check_intervals(
    table: pd.DataFrame,
    sizes: Mapping[str, int] | None = None,
    where: str | None = None,
    strict: bool = False,
    unique_by: Sequence[str] = ("chrom", "start", "end"),
    past_end: PastEnd | None = None,
    of_duplicates: str = "first one kept",
) -> CheckedIntervals:
    """Check intervals against each other and the genome; sort them and drop duplicates.

    Parameters
    ----------
    table : DataFrame
        Interval table.
    sizes : dict of str to int, optional
        Chromosome lengths in bp; also the order of chromosomes.
    where : str, optional
        Name of the file for messages; default `table.attrs["source"]`.
    strict : bool
        Refuse unsorted, duplicate and foreign-chromosome rows instead of sorting, dropping and
        counting them. Sorted means: each chromosome in one block, starts ascending; any order of
        chromosomes.
    unique_by : sequence of str
        Columns that make two rows the same. Add "summit" to keep the several summits of one peak.
    past_end : {"refuse", "cut"}, optional
        What to do with intervals past the end of their chromosome; "cut" leaves out those that
        begin behind it. Without, the caller has no such switch: refused, and none is named.
    of_duplicates : str
        What becomes of duplicates, for the note.

    Returns
    -------
    CheckedIntervals

    Raises
    ------
    InputError
        For a missing column, no rows, start < 0, start >= end, an end past its chromosome (another
        assembly), chromosomes spelled otherwise (`chr20` against `20`) or all unknown; with
        `strict` also the above.

    Examples
    --------
    >>> table = make_table(["chr2", "chr1", "chr1"], [0, 7, 7], [5, 9, 9])
    >>> checked = check_intervals(table, {"chr1": 100, "chr2": 100})
    >>> checked.table
      chrom  start  end
    0  chr1      7    9
    1  chr2      0    5
    >>> checked.rows, checked.counts["duplicates"]
    (array([1, 0]), 1)
    """
    name = _source(table, where)
    start, end = _spans(table, name)
    codes, uniques = pd.factorize(table["chrom"])
    names = [str(value) for value in uniques]
    counts = dict.fromkeys(COUNTED, 0) | {"given": len(table)}
    notes: list[str] = list(table.attrs.get("notes", ()))
    keep = np.ones(len(table), dtype=bool)
    if sizes is not None:
        if unknown := check_names(names, sizes, name):
            lost = np.isin(codes, [names.index(chrom) for chrom in unknown])
            counts["other_chromosomes"] = int(lost.sum())
            if strict:
                _refuse(
                    lost,
                    table,
                    name,
                    "the chromosome is not in the genome",
                    few(list(sizes)),
                    "Remove these rows, or run without --strict to drop and count them.",
                )
            notes.append(
                f"{name}: {counts['other_chromosomes']} of {len(table)} regions are on chromosomes "
                f"the genome does not have ({few(unknown)}): dropped"
            )
            keep &= ~lost
        if past_end == "cut":
            table, end, gone = _cut_ends(table, sizes, start, end, name, counts, notes)
            keep &= ~gone
        else:
            check_ends(table, sizes, name, past_end=past_end)
    descents = _out_of_order(codes, start)
    twice = table.duplicated(subset=list(unique_by)).to_numpy()
    counts["out_of_order"], counts["duplicates"] = int(descents.sum()), int(twice.sum())
    if strict:
        _refuse_disorder(table, name, descents, twice)
    if descents.any():
        notes.append(
            f"{name}: {counts['out_of_order']} of {len(table)} regions were not in order: sorted"
        )
    if twice.any():
        notes.append(
            f"{name}: {counts['duplicates']} of {len(table)} regions occur more than once:"
            f" {of_duplicates}"
        )
    rank = chromosome_ranks(names, sizes)
    order = np.lexsort((np.arange(len(table)), end, start, rank[codes]))
    rows = order[(keep & ~twice)[order]].astype(np.int64)
    counts["kept"] = len(rows)
    went_to = _where_rows_went(table, rows, twice, unique_by)
    kept = table.iloc[rows].reset_index(drop=True)
    kept["start"], kept["end"] = start[rows], end[rows]
    kept.attrs = dict(table.attrs)
    return CheckedIntervals(kept, rows, went_to, counts, notes)


def _limits(table: pd.DataFrame, sizes: Mapping[str, int]) -> NDArray[np.int64]:
    """Length of each row's chromosome; without end where `sizes` has it not."""
    codes, names = pd.factorize(table["chrom"])
    lengths = [sizes.get(str(chrom), np.iinfo(np.int64).max) for chrom in names]
    return np.array(lengths, dtype=np.int64)[codes]


def _cut_ends(
    table: pd.DataFrame,
    sizes: Mapping[str, int],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    name: str,
    counts: dict[str, int],
    notes: list[str],
) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.bool_]]:
    """Cut intervals at the end of their chromosome; say which lie wholly behind it."""
    limit = _limits(table, sizes)
    gone, past = start >= limit, (end > limit) & (start < limit)
    counts["cut"], counts["past_end"] = int(past.sum()), int(gone.sum())
    if past.any():
        end = np.where(past, limit, end)
        table = table.assign(end=end)
        if "summit" in table:
            summit = table["summit"].to_numpy()
            table["summit"] = np.where(past, np.minimum(summit, limit - 1), summit)
        notes.append(
            f"{name}: {counts['cut']} of {len(table)} regions end past their chromosome: cut there"
        )
    if gone.any():
        notes.append(
            f"{name}: {counts['past_end']} of {len(table)} regions begin past the end of their"
            " chromosome: dropped"
        )
    return table, end, gone


# Peaks of reads that were extended, as callers make them, reach this far past an end at most.
OVERHANG = 1000


def check_ends(
    table: pd.DataFrame,
    sizes: Mapping[str, int],
    where: str | None = None,
    what: str = "region",
    past_end: PastEnd | None = None,
    do: str | None = None,
) -> None:
    """Refuse an interval that ends past its chromosome; those on chromosomes that `sizes` has not
    pass.

    Parameters
    ----------
    table : DataFrame
        Interval table.
    sizes : dict of str to int
        Chromosome lengths in bp.
    where : str, optional
        Name of the file for messages; default `table.attrs["source"]`.
    what : str
        What an interval of the table is called: region, peak.
    past_end : "refuse", optional
        The user can have them cut, with --past-end cut; without, no such option is named.
    do : str, optional
        The cure, where it is another one than that of a genome and regions.

    Raises
    ------
    InputError
        With the first such row. Where all end less than 1,000 bp past it the caller of the peaks
        may have done that; else intervals and genome are of two assemblies.

    Examples
    --------
    >>> check_ends(make_table(["chr1", "chrUn"], [5, 5], [9, 900]), {"chr1": 9})
    """
    name = _source(table, where)
    end = whole_numbers(table, "end", name)
    limit = _limits(table, sizes)
    past = end > limit
    if past.any():
        row = int(past.argmax())
        most = int((end - limit)[past].max())
        if do is not None:
            pass
        elif most <= OVERHANG:
            cut = (
                "cut them there with --past-end cut"
                if past_end is not None
                else "cut them there, for example: bedClip -truncate FILE chrom.sizes cut.bed"
            )
            do = (
                f"By at most {most:,} bp: callers that extend reads do that. If so, {cut}; if the"
                f" {what}s are of another assembly, pass the genome they were called on."
            )
        else:
            do = (
                f"The {what}s belong to another assembly: pass the genome they were called on, or"
                " lift them over."
            )
            if past_end is not None:
                do += f" {FIRST_PART}"
        raise InputError(
            f"the {what} ends past its chromosome; {int(past.sum()):,} of {len(table):,} do",
            where=f"{name}, {place(table, row)}",
            found=show(table, row),
            expected=(
                f"an end of at most {int(limit[row])} ({table['chrom'].iloc[row]} in the genome"
                " given)"
            ),
            do=do,
        )


def cut_ends(
    table: pd.DataFrame, sizes: Mapping[str, int], where: str | None, what: str, do: str
) -> tuple[pd.DataFrame, int]:
    """Cut intervals that reach a little past their chromosome, as callers make them.

    Parameters
    ----------
    table : DataFrame
        Interval table.
    sizes : dict of str to int
        Chromosome lengths in bp; intervals on others stay.
    where, what : str
        As in `check_ends`.
    do : str
        The cure where they reach farther.

    Returns
    -------
    table : DataFrame
        Without those that begin past the end.
    n : int
        How many were cut or left out.

    Raises
    ------
    InputError
        If one ends more than 1,000 bp past its chromosome: it is of another assembly.

    Examples
    --------
    >>> table, n = cut_ends(
    ...     make_table(["chr1"] * 2, [5, 9], [12, 11]), {"chr1": 9}, "a", "peak", ""
    ... )
    >>> table["end"].tolist(), n
    ([9], 2)
    """
    name = _source(table, where)
    start, end = (whole_numbers(table, column, name) for column in ("start", "end"))
    limit = _limits(table, sizes)
    past = end > limit
    if not past.any():
        return table, 0
    if (end[past] - limit[past]).max() > OVERHANG:
        check_ends(table, sizes, where, what, do=do)
    inside = start < limit
    return table.assign(end=np.minimum(end, limit))[inside], int(past.sum())


def whole_numbers(table: pd.DataFrame, column: str, name: str) -> NDArray[np.int64]:
    """Give a column as whole numbers.

    Raises
    ------
    InputError
        With the first row that holds none.

    Examples
    --------
    >>> whole_numbers(pd.DataFrame({"start": ["1e+05", "7"]}), "start", "a.bed")
    array([100000,      7])
    """
    values = table[column].to_numpy()
    if values.dtype.kind in "iu":
        return values.astype(np.int64, copy=False)
    numbers = to_numbers(values)
    wrong = ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"the {column} is not a whole number",
            where=f"{name}, {place(table, row)}",
            found=repr(values[row]),
            expected="a number of bp",
        )
    return numbers.astype(np.int64)


def _refuse(
    bad: NDArray[np.bool_], table: pd.DataFrame, name: str, what: str, expected: str, do: str
) -> None:
    if bad.any():
        row = int(bad.argmax())
        more = int(bad.sum()) - 1
        raise InputError(
            what + (f" (and so in {more} more rows)" if more else ""),
            where=f"{name}, {place(table, row)}",
            found=show(table, row),
            expected=expected,
            do=do,
        )


def _out_of_order(codes: NDArray[np.intp], start: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that stand before the previous row, or reopen a chromosome that was closed."""
    wrong = np.zeros(len(codes), dtype=bool)
    same = codes[1:] == codes[:-1]
    wrong[1:] = same & (start[1:] < start[:-1])
    # factorize numbers chromosomes by first appearance: a new block must open the next number.
    opens = np.flatnonzero(~same) + 1
    if len(opens):
        seen = np.maximum.accumulate(codes)
        wrong[opens] |= codes[opens] <= seen[opens - 1]
    return wrong


def chromosome_ranks(
    names: Sequence[str], sizes: Mapping[str, int] | None = None
) -> NDArray[np.int64]:
    """Number chromosome names in the order of `sizes`; the others after them, chr2 before chr10.

    Examples
    --------
    >>> chromosome_ranks(["chr10", "chr2"])
    array([1, 0])
    """
    order = list(sizes) if sizes is not None else []
    known = {chrom: i for i, chrom in enumerate(order)}
    rest = sorted((chrom for chrom in names if chrom not in known), key=natural_key)
    known.update({chrom: len(order) + i for i, chrom in enumerate(rest)})
    return np.array([known[chrom] for chrom in names], dtype=np.int64)

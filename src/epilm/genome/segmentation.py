"""Chromatin states of one cell type on a grid of bins, and one list of states for many.

A segmentation file names intervals; here each becomes the bins it covers. What
no interval covers is *unknown* (255), never state 0. Names stay as the file
writes them ("1_TssA"), with their leading number where they have one. Reading
the intervals themselves: `segments`; IDEAS `.state` text: `ideas`.

segment: an interval with a state; runs of equal bins are usually one segment.
bin: [i * bin_bp, (i + 1) * bin_bp) of a chromosome; the last one may be shorter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.checks import chromosome_ranks
from epilm.genome.chromosomes import (
    FIRST_PART,
    PastEnd,
    check_length,
    check_names,
    few,
    natural_key,
)
from epilm.genome.segments import Segments, read_segments
from epilm.genome.state_names import MOST_STATES, UNKNOWN, name_states

_SMALLEST_BIN = 10


@dataclass(frozen=True)
class States:
    """The chromatin states of one cell type.

    Attributes
    ----------
    cell : str
        The cell type.
    names : tuple of str, length S
        States as the file writes them, by number, else by name.
    numbers : tuple of int, length S, or None
        The leading number of each name ("1_TssA" 1, "E13" 13); None when the names have none.
    colours : tuple of str, length S
        "r,g,b", or "" where the file gives none.
    bin_bp : int
        Width of a bin.
    codes : dict of str to uint8 array, shape (ceil(size / bin_bp),)
        Per chromosome of the genome the number of each bin's state in `names`; 255 = unknown.
    notes : tuple of str
        One printable line for everything left out or put in order.
    """

    cell: str
    names: tuple[str, ...]
    numbers: tuple[int, ...] | None
    colours: tuple[str, ...]
    bin_bp: int
    codes: dict[str, NDArray[np.uint8]]
    notes: tuple[str, ...] = ()


def read_states(
    path: str | Path,
    sizes: Mapping[str, int],
    *,
    bin_bp: int | None = None,
    cell: str | None = None,
    past_end: PastEnd = "refuse",
) -> States:
    """Read the segmentation of one cell type.

    Parameters
    ----------
    path : path
        BED4, BED9 (plain or gzip) or bigBed.
    sizes : dict of str to int
        Chromosome lengths of the genome in bp.
    bin_bp : int, optional
        Width of the bins; by default the widest grid that all segments share. Segments lifted over
        from another assembly (adjoining, of whole bins, on no grid) give each bin the state of most
        of its bases; bins with more than one are counted in `notes`.
    cell : str, optional
        Name of the cell type; by default the file's name up to its endings.
    past_end : {"refuse", "cut"}
        What to do with segments past the end of a chromosome: the file is of another assembly
        ("refuse"), or the genome given holds only the first part of its chromosomes ("cut": they
        are cut there, and counted).

    Returns
    -------
    States
        For all chromosomes of `sizes`; what the file does not cover is unknown.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or no segmentation; for segments off the grid,
        overlapping, past the end of their chromosome, or on chromosomes named otherwise; for a
        number with two names, and for more than 254 states. The message names the line.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "liver.bed"
    >>> _ = name.write_text("chr1\\t0\\t400\\t1_TssA\\nchr1\\t600\\t950\\t2_Tx\\n")
    >>> states = read_states(name, {"chr1": 950})
    >>> states.cell, states.bin_bp, states.names, states.codes["chr1"].tolist()
    ('liver', 200, ('1_TssA', '2_Tx'), [0, 0, 255, 1, 1])
    """
    if past_end not in ("refuse", "cut"):
        raise ValueError(f"past_end must be 'refuse' or 'cut', not {past_end!r}")
    segments = read_segments(path)
    return states_of(segments, sizes, bin_bp=bin_bp, cell=cell or _stem(path), past_end=past_end)


def _stem(path: str | Path) -> str:
    name = Path(path).name
    for ending in (".gz", ".bgz", ".bed", ".bed9", ".bb", ".bigBed", ".bigbed", ".txt", ".tsv"):
        name = name.removesuffix(ending)
    return name


def states_of(
    segments: Segments,
    sizes: Mapping[str, int],
    *,
    bin_bp: int | None,
    cell: str,
    past_end: PastEnd = "refuse",
) -> States:
    """Lay segments on the bins of a genome.

    Parameters
    ----------
    segments : Segments
        In any order, not overlapping.
    sizes, bin_bp, cell, past_end
        As in `read_states`.

    Returns
    -------
    States

    Raises
    ------
    InputError
        As `read_states`.
    """
    notes: list[str] = []
    rows = _on_the_genome(segments, sizes, notes)
    for chrom, ends in (segments.sizes or {}).items():
        if chrom in sizes:
            check_length("segmentation", segments.source, chrom, ends, sizes[chrom], past_end)
    length = np.array([sizes.get(chrom, 0) for chrom in segments.chroms], dtype=np.int64)[
        segments.chrom[rows]
    ]
    start, end = segments.start[rows], segments.end[rows]
    lifted = _lifted_width(segments, rows, start, end, length, bin_bp)
    width = lifted or _width(segments, rows, start, end, length, bin_bp)
    names, numbers, colours, codes_of = name_states(segments, notes)
    end = _inside(segments, rows, start, end, length, width, past_end, notes)
    keep = end > start  # all false only where past_end cut a whole segment
    rows, start, end = rows[keep], start[keep], end[keep]
    rows, start, end = _in_order(segments, sizes, rows, start, end, notes)
    first = np.flatnonzero(np.diff(segments.chrom[rows], prepend=-1))
    state = codes_of[segments.label[rows]]
    shared = 0
    codes = {chrom: np.full(-(-size // width), UNKNOWN, np.uint8) for chrom, size in sizes.items()}
    for i, j in zip(first, [*first[1:], len(rows)]):
        chrom = segments.chroms[segments.chrom[rows[i]]]
        one = start[i:j], end[i:j], state[i:j]
        if lifted:
            codes[chrom], n = _majority(*one, sizes[chrom], width)
            shared += n
        else:
            codes[chrom] = _fill(one[0] // width, -(-one[1] // width), one[2], len(codes[chrom]))
    if lifted:
        known = sum(int((values != UNKNOWN).sum()) for values in codes.values())
        notes.append(
            f"{segments.source}: the segments are on no grid (lifted over from another assembly):"
            f" each bin of {width} bp has the state of most of its bases; {shared} of {known} bins"
            " with a state hold more than one"
        )
    bare = [chrom for chrom, values in codes.items() if not (values != UNKNOWN).any()]
    if bare:
        notes.append(f"{segments.source}: no states on {few(bare)}: unknown there")
    return States(cell, names, numbers, colours, width, codes, tuple(notes))


def _majority(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    state: NDArray[np.uint8],
    size: int,
    width: int,
) -> tuple[NDArray[np.uint8], int]:
    """The state most bases of each bin have, from sorted, disjoint segments on no grid; and how
    many bins with a state hold more than one.

    Bases without a segment count as a state of their own, unknown. Of two states with as many bases
    the one that begins first is taken, and any before unknown.
    """
    n = -(-size // width)
    full = np.clip(-(-start // width), 0, n), np.where(end == size, n, end // width)
    inside = full[0] < full[1]
    codes = np.full(n, UNKNOWN, np.uint8)
    if inside.any():
        codes = _fill(full[0][inside], full[1][inside], state[inside], n)
    # What is left are pieces: the begin and the end of each segment in bins it does not fill.
    first, last = start // width, (end - 1) // width
    row = np.arange(len(start))
    row = np.concatenate([row, row[last > first]])
    part = np.concatenate([first, last[last > first]])
    partial = ~((full[0][row] <= part) & (part < full[1][row]))
    row, part = row[partial], part[partial]
    if not len(row):
        return codes, 0
    bases = np.minimum(end[row], (part + 1) * width) - np.maximum(start[row], part * width)
    order = np.argsort(part * (1 << 32) + row, kind="stable")  # by bin, then along the chromosome
    row, part, bases = row[order], part[order], bases[order]
    key, begin, where = np.unique(
        part * 256 + state[row].astype(np.int64), return_index=True, return_inverse=True
    )
    total = np.bincount(where, weights=bases).astype(np.int64)
    bin_of, state_of = key // 256, (key % 256).astype(np.uint8)
    named = state_of != UNKNOWN
    best = np.lexsort((begin, -total, ~named, bin_of))
    bins, at = np.unique(bin_of[best], return_index=True)
    winner = best[at]
    covered = np.bincount(bin_of[named], weights=total[named], minlength=n)[bins]
    bare = np.minimum(width, size - bins * width) - covered
    codes[bins] = np.where(bare > total[winner], UNKNOWN, state_of[winner])
    several = np.bincount(bin_of[named], minlength=n)[bins] > 1
    return codes, int((several & (codes[bins] != UNKNOWN)).sum())


def _fill(
    first: NDArray[np.int64], last: NDArray[np.int64], state: NDArray[np.uint8], n: int
) -> NDArray[np.uint8]:
    """Codes of n bins from sorted, disjoint runs [first, last)."""
    runs = np.empty(2 * len(first) + 1, np.int64)
    runs[0:-1:2] = first - np.concatenate([[0], last[:-1]])  # unknown bins before each run
    runs[1::2] = last - first
    runs[-1] = n - last[-1]
    values = np.full(len(runs), UNKNOWN, np.uint8)
    values[1::2] = state
    return np.repeat(values, runs)


def _on_the_genome(
    segments: Segments, sizes: Mapping[str, int], notes: list[str]
) -> NDArray[np.int64]:
    """Rows on chromosomes the genome has; the others are counted."""
    unknown = check_names(segments.chroms, sizes, segments.source)
    lost = np.isin(segments.chrom, [segments.chroms.index(chrom) for chrom in unknown])
    if lost.any():
        notes.append(
            f"{segments.source}: {int(lost.sum())} of {len(lost)} segments are on chromosomes the"
            f" genome does not have ({few(unknown)}): left out"
        )
    return np.flatnonzero(~lost)


def _lifted_width(
    segments: Segments,
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    length: NDArray[np.int64],
    given: int | None,
) -> int:
    """The width of the bins of states that were lifted over from another assembly; 0 for others.

    Lifting moves stretches of segments by amounts of their own: the borders are on no grid any
    more, but segments still adjoin and are as long as some bins. UCSC's ChromHMM tracks of hg19
    are so (made on hg18).
    """
    if _grid(np.concatenate([start, end[end < length]])) >= _SMALLEST_BIN or len(rows) < 2:
        return 0
    same = np.diff(segments.chrom[rows]) == 0
    adjoining = (same & (start[1:] == end[:-1])).sum()
    width = _grid((end - start)[end < length])
    if 2 * adjoining < same.sum() or width < _SMALLEST_BIN:
        return 0  # peaks
    if given is not None and (given < 1 or width % given):
        return 0
    width = given or width
    return width if len(np.unique(start % width)) > 1 else 0  # else 1-based, for example


def _width(
    segments: Segments,
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    length: NDArray[np.int64],
    given: int | None,
) -> int:
    """The width of a bin: given, or the widest that (nearly) all borders share. Refuses what is off
    it.
    """
    if given is not None and given < 1:
        raise ValueError(f"bin_bp must be at least 1, not {given}")
    borders = np.concatenate([start, end[end < length]])
    width = given or _grid(borders)
    where = segments.source
    if width == 0:
        raise InputError(
            "the width of a bin cannot be found: every segment is a whole chromosome",
            where=where,
            do="Give it (state_bin, --state-bin), for example 200.",
        )
    off = (start % width != 0) | ((end % width != 0) & (end < length))
    if given is None and width < _SMALLEST_BIN:
        one_based = (
            int(np.gcd.reduce(np.concatenate([start - 1, end[end < length]]))) >= _SMALLEST_BIN
        )
        raise InputError(
            "the segments share no grid of bins",
            where=where,
            found=f"borders whose greatest common divisor is {width}",
            expected="starts that are multiples of one width, such as 200",
            do=(
                "The starts look 1-based: subtract 1 from column 2."
                if one_based
                else (
                    "Give a segmentation in bins (not peaks, not lifted over), or the width"
                    " (state_bin, --state-bin)."
                )
            ),
        )
    if off.any():
        row = int(off.argmax())
        shifted = np.unique(start % width)
        do = "Correct the segments; states lifted over from another assembly are on no grid."
        if len(shifted) == 1:
            do = (
                f"All starts are {int(shifted[0])} past a multiple: if they are 1-based,"
                " subtract 1."
            )
        elif given is None:
            do += (
                " If finer bins are meant, give their width"
                f" (state_bin={int(np.gcd.reduce(borders))})."
            )
        raise InputError(
            "the segment is off the grid of bins" + _more(off),
            where=segments.place(rows[row]),
            found=segments.show(rows[row]),
            expected=f"a start and an end that are multiples of {width}"
            + " (or the end of the chromosome)",
            do=do,
        )
    return int(width)


def _grid(borders: NDArray[np.int64]) -> int:
    """The widest grid that nine in ten borders lie on; 0 if all borders are 0.

    The exact common divisor would let one wrong border pass as a finer grid.
    """
    divisor = int(np.gcd.reduce(borders)) if len(borders) else 0
    if divisor == 0:
        return 0
    rest = borders[borders > 0] // divisor
    n, grown = len(rest), True
    while grown:
        grown = False
        for prime in (2, 3, 5, 7):
            fits = rest % prime == 0
            if n - int(fits.sum()) <= n // 10:
                rest, divisor, grown = rest[fits] // prime, divisor * prime, True
    return divisor


def _more(wrong: NDArray[np.bool_]) -> str:
    more = int(wrong.sum()) - 1
    return f" (and so are {more} more)" if more else ""


def _inside(
    segments: Segments,
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    length: NDArray[np.int64],
    width: int,
    past_end: PastEnd,
    notes: list[str],
) -> NDArray[np.int64]:
    """Ends cut to the chromosome; what passes it by more than its last bin is refused or
    counted.
    """
    whole = -(-length // width) * width
    past = end > whole
    if past.any() and past_end == "refuse":
        row = int(past.argmax())
        raise InputError(
            f"the segment ends past its chromosome; {int(past.sum())} of {len(past)} do",
            where=segments.place(rows[row]),
            found=segments.show(rows[row]),
            expected=(
                f"an end of at most {int(length[row])}"
                f" ({segments.chroms[segments.chrom[rows[row]]]} in the genome given)"
            ),
            do=(
                "The states belong to another assembly: give the genome they were made on."
                f" {FIRST_PART}"
            ),
        )
    if past.any():
        notes.append(
            f"{segments.source}: {int(past.sum())} of {len(past)} segments reach past the end of"
            " their chromosome in the genome given: cut there"
        )
    return np.minimum(end, length)


def _in_order(
    segments: Segments,
    sizes: Mapping[str, int],
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    notes: list[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sort by chromosome and start; refuse overlaps."""
    rank = chromosome_ranks(segments.chroms, sizes)[segments.chrom[rows]]
    key = rank * (1 << 40) + start
    steps = np.diff(segments.chrom[rows])
    falls = int(((np.diff(start) < 0) & (steps == 0)).sum())
    if (np.diff(key) < 0).any():
        if falls:
            notes.append(f"{segments.source}: {falls} segments were not in order: sorted")
        order = np.argsort(key, kind="stable")
        rows, start, end = rows[order], start[order], end[order]
    same = segments.chrom[rows][1:] == segments.chrom[rows][:-1]
    over = same & (start[1:] < end[:-1])
    if over.any():
        row = int(over.argmax())
        one, two = sorted((rows[row], rows[row + 1]))
        raise InputError(
            "two segments overlap" + _more(over),
            where=segments.place(two),
            found=(
                f"{segments.show(two)}, while {segments.unit} {int(segments.lines[one])} is"
                f" {segments.show(one)}"
            ),
            expected="at most one state at each base",
            do="Give one file per cell type; remove the wrong one of the two.",
        )
    return rows, start, end


def _check_alike(one: States, first: States, origin: str, before: str) -> None:
    """Refuse states of other bins than the first's, and numbers beside none."""
    if one.bin_bp != first.bin_bp:
        raise InputError(
            "the segmentations have bins of different width",
            where=origin,
            found=f"{one.bin_bp} bp",
            expected=f"{first.bin_bp} bp as for {before}",
            do=(
                "If they are one segmentation, give the width (state_bin, --state-bin"
                f" {int(np.gcd(one.bin_bp, first.bin_bp))}); else make two stores."
            ),
        )
    if (one.numbers is None) != (first.numbers is None):
        raise InputError(
            "the states of one cell type have numbers, those of another have none",
            where=origin,
            found=few(one.names, 3),
            expected=f"names as for {before}: {few(first.names, 3)}",
            do="Take all cell types from one segmentation.",
        )


def join_states(
    states: Sequence[States],
    files: Sequence[str] | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...], list[NDArray[np.uint8]]]:
    """Make one list of states for all cell types.

    Parameters
    ----------
    states : sequence of States
        Of the cell types, on bins of one width.
    files : sequence of str, as many, optional
        Where each was read from, for messages.

    Returns
    -------
    names : tuple of str, length S
        By number, else by name; at most 254.
    colours : tuple of str, length S
        Of the first cell type that has one; "" where none has.
    maps : list of uint8 array, shape (256,)
        Per cell type: index in `names` of each of its codes, 255 -> 255. `map[codes]` translates.

    Raises
    ------
    InputError
        If the bins differ in width, a number has two names, some names have numbers and others
        none, or there are more than 254 states.

    Examples
    --------
    >>> one = States("A", ("1_TssA", "3_Tx"), (1, 3), ("255,0,0", ""), 200, {})
    >>> two = States("B", ("2_Enh", "3_Tx"), (2, 3), ("", "0,128,0"), 200, {})
    >>> names, colours, maps = join_states([one, two])
    >>> names, colours
    (('1_TssA', '2_Enh', '3_Tx'), ('255,0,0', '', '0,128,0'))
    >>> maps[1][[0, 1, 255]].tolist()
    [1, 2, 255]
    """
    if not states:
        raise ValueError("join_states needs the states of at least one cell type")
    first = states[0]
    places = [one.cell for one in states]
    if files is not None:
        places = [f"{one.cell} ({file})" for one, file in zip(states, files, strict=True)]
    colours: dict[str, str] = {}
    owner: dict[str, str] = {}  # in the order the names are met
    named: dict[int, str] = {}
    for one, origin in zip(states, places, strict=True):
        _check_alike(one, first, origin, places[0])
        for i, name in enumerate(one.names):
            if one.numbers is not None:
                other = named.setdefault(one.numbers[i], name)
                if other != name:
                    raise InputError(
                        "one state number has two names",
                        where=origin,
                        found=repr(name),
                        expected=f"{other!r} as for {owner[other]}",
                        do="Take all cell types from one segmentation, or rename the states.",
                    )
            owner.setdefault(name, origin)
            colours[name] = colours.get(name) or one.colours[i]
    by_number = {name: number for number, name in named.items()}
    names = tuple(sorted(colours, key=lambda name: (by_number.get(name, 0), natural_key(name))))
    if len(names) > MOST_STATES:
        over = list(owner)[MOST_STATES]
        raise InputError(
            "there are too many states",
            where=f"{len(states)} cell types",
            found=(
                f"{len(names)} different names ({few(names, 3)}); name {MOST_STATES + 1} is"
                f" {over!r} in {owner[over]}"
            ),
            expected=f"at most {MOST_STATES}",
            do="Take all cell types from one segmentation.",
        )
    index = {name: i for i, name in enumerate(names)}
    maps = []
    for one in states:
        table = np.full(256, UNKNOWN, np.uint8)
        table[: len(one.names)] = [index[name] for name in one.names]
        maps.append(table)
    return names, tuple(colours[name] for name in names), maps

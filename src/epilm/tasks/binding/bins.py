"""Bins: 200 bp of the genome every 50 bp, the rows of the ENCODE-DREAM challenge.

A set of bins is two arrays (chromosome number, start) sorted as its file is, so that
50 million of them are 300 MB and a chromosome is one slice. Coordinates 0-based, half-open.
Axes: n bins. Numpy only; used by `labels`, `submission` and `baselines`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import few
from epilm.tasks.binding.lines import Lines, iter_lines
from epilm.tasks.splits import Interval, parse_interval

WIDTH, STEP = 200, 50
# The challenge's files begin at base 600 of every chromosome; how close they come to its end is not
# known.
MARGIN = 600
TRAIN, VALID, TEST, NONE = 0, 1, 2, -1
_WHAT = "a file of bins: chromosome, start, stop, tab-separated, plain or gzip"


@dataclass(frozen=True, eq=False)
class Bins:
    """n bins of one width, chromosome by chromosome, sorted by start.

    Attributes
    ----------
    chroms : tuple of str
        Names, in the order in which they come.
    chrom : int16 (n,), or int32 of more than 32,767 names
        Index into `chroms`, never falling (`chrom_type`).
    start : int32 (n,)
        First base; strictly rising within a chromosome.
    width : int
        In bp.
    """

    chroms: tuple[str, ...]
    chrom: NDArray[np.signedinteger[Any]]
    start: NDArray[np.int32]
    width: int = WIDTH

    def __post_init__(self) -> None:
        assert len(self.chrom) == len(self.start), "one chromosome for each start"

    def __len__(self) -> int:
        return len(self.start)

    def place(self, row: int) -> str:
        """Name a bin.

        Examples
        --------
        >>> grid({"chr1": 2000}).place(0)
        'chr1:600-800'
        """
        start = int(self.start[row])
        return f"{self.chroms[self.chrom[row]]}:{start}-{start + self.width}"

    def take(self, rows: ArrayLike | slice) -> "Bins":
        """Give chosen bins, by rising number, by a mask or as a slice; all names are kept."""
        chosen = rows if isinstance(rows, slice) else np.asarray(rows)
        return Bins(self.chroms, self.chrom[chosen], self.start[chosen], self.width)

    def runs(self) -> Iterator[tuple[str, int, int]]:
        """Yield (chromosome, first row, end row) for each chromosome that has bins."""
        edges = np.searchsorted(
            self.chrom, np.arange(len(self.chroms) + 1, dtype=chrom_type(len(self.chroms)))
        )
        for name, low, high in zip(
            self.chroms, edges[:-1].tolist(), edges[1:].tolist(), strict=True
        ):
            if high > low:
                yield name, low, high

    def counts(self) -> dict[str, int]:
        """Count the bins of each chromosome.

        Examples
        --------
        >>> grid({"chr1": 2000, "chr2": 1500}).counts()
        {'chr1': 13, 'chr2': 3}
        """
        return {name: high - low for name, low, high in self.runs()}

    def inside(self, places: Sequence[str | Interval]) -> NDArray[np.bool_]:
        """Say which bins lie wholly inside one of the places ("chr20" or "chr20:9000000-11095000").

        Raises
        ------
        InputError
            If a place names a chromosome that has no bin.

        Examples
        --------
        >>> grid({"chr1": 2000}).inside(["chr1:650-900"]).nonzero()[0].tolist()
        [1, 2]
        """
        return self._near(places, partly=False)

    def touching(self, places: Sequence[str | Interval], apart_bp: int = 0) -> NDArray[np.bool_]:
        """Say which bins share a base with one of the places, widened by `apart_bp` each side."""
        return self._near(places, partly=True, apart_bp=apart_bp)

    def _near(
        self, places: Sequence[str | Interval], *, partly: bool, apart_bp: int = 0
    ) -> NDArray[np.bool_]:
        out = np.zeros(len(self), bool)
        rows = {name: (low, high) for name, low, high in self.runs()}
        for text in places:
            interval = parse_interval(text) if isinstance(text, str) else text
            if interval.chrom not in rows:
                swapped = (
                    interval.chrom[3:]
                    if interval.chrom.startswith("chr")
                    else f"chr{interval.chrom}"
                )
                raise InputError(
                    "no bin lies on the chromosome",
                    found=interval.chrom,
                    expected=f"one of {few(list(rows), 24)}",
                    do=f"The bins call it {swapped}." if swapped in rows else "Choose among those.",
                )
            low, high = rows[interval.chrom]
            start = self.start[low:high]
            # As Python integers: the end of a whole chromosome does not fit an int32.
            first = interval.start - apart_bp - self.width + 1 if partly else interval.start
            last = interval.end + apart_bp - 1 if partly else interval.end - self.width
            out[low + _bisect(start, first) : low + _bisect(start, last + 1)] = True
        return out

    def overlaps(self, table: Any, need: ArrayLike = 1) -> NDArray[np.bool_]:
        """Say which bins share at least `need` bases with one single interval of a table.

        Parameters
        ----------
        table : DataFrame
            chrom, start, end; any order, may overlap itself.
        need : int, or int array of one value an interval
            Bases to share; an interval shorter than that reaches no bin.

        Examples
        --------
        >>> from epilm.genome.checks import make_table
        >>> bins = grid({"chr1": 2000})
        >>> bins.start[bins.overlaps(make_table(["chr1"], [800], [900]), need=51)].tolist()
        [700, 750, 800]
        """
        out = np.zeros(len(self), bool)
        chrom = np.asarray(table["chrom"]).astype(str)
        first, end = np.asarray(table["start"], np.int64), np.asarray(table["end"], np.int64)
        least = np.broadcast_to(np.asarray(need, np.int64), first.shape)
        usable = (end - first >= least) & (least <= self.width)
        for name, low, high in self.runs():
            chosen = usable & (chrom == name)
            if not chosen.any():
                continue
            # min(start + width, end) - max(start, first) >= need: start runs from one number to
            # another.
            start = self.start[low:high]
            begin = np.searchsorted(start, first[chosen] + least[chosen] - self.width, side="left")
            stop = np.searchsorted(start, end[chosen] - least[chosen], side="right")
            depth = np.bincount(begin, minlength=len(start) + 1) - np.bincount(
                stop, minlength=len(start) + 1
            )
            out[low:high] = np.cumsum(depth[:-1]) > 0
        return out

    def check_inside(
        self,
        sizes: Mapping[str, int],
        *,
        store: Any,
        what: str = "a bin",
        where: str | None = None,
        do: str,
    ) -> None:
        """Refuse bins past the end of their chromosome: such a one would be read from N alone.
        Chromosomes without a size are left alone.

        Parameters
        ----------
        sizes : dict of chromosome to bp
        store : anything
            Whose sizes they are, for the message.
        what, where, do : str
            What is refused, the file, and the cure.

        Raises
        ------
        InputError
            With the first such bin.

        Examples
        --------
        >>> one = Bins(("chr1",), np.array([0], np.int16), np.array([900], np.int32))
        >>> one.check_inside({"chr1": 1000}, store="s", do="Cut it.")
        Traceback (most recent call last):
        ...
        epilm.errors.InputError: a bin ends past its chromosome; 1 on chr1 do. Found chr1:900-1100;
            expected an end of at most 1000 (chr1 in the store s). Cut it.
        """
        for name, low, high in self.runs():
            if name not in sizes:
                continue
            past = self.start[low:high].astype(np.int64) + self.width > sizes[name]
            if past.any():
                raise InputError(
                    f"{what} ends past its chromosome; {int(past.sum()):,} on {name} do",
                    where=where,
                    found=self.place(low + int(past.argmax())),
                    expected=f"an end of at most {sizes[name]} ({name} in the store {store})",
                    do=do,
                )

    def differs(self, other: "Bins") -> int | None:
        """Give the first row in which two sets of bins are not the same, None if there is none.

        Examples
        --------
        >>> a = grid({"chr1": 2000})
        >>> a.differs(a), a.differs(a.take(slice(1, None))), a.differs(a.take(slice(0, 3)))
        (None, 0, 3)
        """
        n = min(len(self), len(other))
        # Numbers of chromosomes may differ where the names do not.
        index = {name: i for i, name in enumerate(self.chroms)}
        kind = chrom_type(len(self.chroms))
        number = np.array([index.get(name, -1) for name in other.chroms] or [-1], kind)
        unlike = (number[other.chrom[:n]] != self.chrom[:n]) | (self.start[:n] != other.start[:n])
        if self.width != other.width and n:
            return 0
        if unlike.any():
            return int(unlike.argmax())
        return None if len(self) == len(other) else n


def chrom_type(n_chroms: int) -> type[np.int16] | type[np.int32]:
    """Type of the numbers of so many chromosomes, and of their count: 2 bytes where they do.

    Examples
    --------
    >>> chrom_type(24), chrom_type(32_768)
    (<class 'numpy.int16'>, <class 'numpy.int32'>)
    """
    return np.int16 if n_chroms <= np.iinfo(np.int16).max else np.int32


def _bisect(start: NDArray[np.int32], value: int) -> int:
    return int(np.searchsorted(start, np.int64(min(max(value, -(2**62)), 2**62)), side="left"))


def grid(
    genome: Mapping[str, int] | Sequence[str] | Any,
    *,
    width: int = WIDTH,
    step: int = STEP,
    chroms: Sequence[str] | None = None,
    margin: int = MARGIN,
    blacklist: Any = None,
) -> Bins:
    """Lay bins over chromosomes or regions.

    Parameters
    ----------
    genome : dict of chromosome to bp; sequence of places; or DataFrame (chrom, start, end)
        Places are "chr20:60000-11095000". Regions that overlap or touch are one.
    width, step : int
        In bp. Starts are multiples of `step`.
    chroms : sequence of str, optional
        Only these, or parts of them ("chr20:9000000-11095000").
    margin : int
        Bases without a bin at either end of a chromosome (only with sizes; 600 as in the
        challenge's files).
    blacklist : DataFrame or path, optional
        Bins that share a base with it are left out.

    Returns
    -------
    Bins

    Raises
    ------
    InputError
        If no bin is left, or a chromosome is unknown.

    Examples
    --------
    >>> bins = grid({"chr1": 249250621})
    >>> bins.place(0), len(bins)
    ('chr1:600-800', 4984985)
    >>> len(grid(["chr20:60000-11095000", "chr22:16050000-22000000"]))
    339694
    """
    if isinstance(genome, Mapping):
        regions = [(name, margin, int(size) - margin) for name, size in genome.items()]
    else:
        table = genome if hasattr(genome, "columns") else _table(genome)
        united = joined(table)
        regions = list(zip(*(united[c].tolist() for c in ("chrom", "start", "end")), strict=True))
    names = list(dict.fromkeys(name for name, _, _ in regions))
    number = {name: i for i, name in enumerate(names)}
    parts: list[NDArray[np.int32]] = []
    owners: list[NDArray[np.signedinteger[Any]]] = []
    for name, start, end in regions:
        first = -(-start // step) * step
        made = np.arange(first, end - width + 1, step, dtype=np.int32)
        parts.append(made)
        owners.append(np.full(len(made), number[name], chrom_type(len(names))))
    out = Bins(tuple(names), np.concatenate(owners), np.concatenate(parts), width)
    if chroms is not None:
        out = out.take(out.inside(chroms))
    if blacklist is not None:
        out = out.take(~out.overlaps(read_intervals(blacklist)))
    if not len(out):
        longest = max((end - start for _, start, end in regions), default=0)
        raise InputError(
            "no bin fits",
            found=f"{len(regions)} regions of at most {longest} bp",
            expected=f"at least {width} bp (without {margin} bp at either end of a chromosome)",
        )
    return out


def _table(places: Sequence[str]) -> dict[str, list[Any]]:
    intervals = [parse_interval(text) for text in places]
    for interval in intervals:
        if interval.end >= 2**62:
            raise InputError(
                "a region needs a start and an end",
                found=interval.chrom,
                expected=f"{interval.chrom}:1000000-2000000",
                do="Or give chromosome sizes.",
            )
    return {
        name: [getattr(interval, name) for interval in intervals]
        for name in ("chrom", "start", "end")
    }


def joined(table: Any) -> dict[str, NDArray[Any]]:
    """Unite intervals that overlap or touch (bedtools sort | merge).

    Returns
    -------
    dict
        chrom (str), start, end (int64): chromosomes in the order in which they were met first,
        starts rising.

    Examples
    --------
    >>> {
    ...     k: v.tolist()
    ...     for k, v in joined(
    ...         {"chrom": ["b", "a", "b"], "start": [5, 0, 0], "end": [9, 2, 5]}
    ...     ).items()
    ... }
    {'chrom': ['b', 'a'], 'start': [0, 0], 'end': [9, 2]}
    """
    names, first, code = np.unique(
        np.asarray(table["chrom"]).astype(str), return_index=True, return_inverse=True
    )
    start, end = np.asarray(table["start"], np.int64), np.asarray(table["end"], np.int64)
    if not len(start):
        return {"chrom": names, "start": start, "end": end}
    rank = np.argsort(np.argsort(first))
    order = np.lexsort((end, start, rank[code]))
    code, start, end = code[order], start[order], end[order]
    # Chromosomes end to end, a gap between them, so that one running maximum serves all.
    shift = rank[code] * (int(end.max()) + 2)
    reach = np.maximum.accumulate(end + shift)
    new = np.flatnonzero(np.concatenate([[True], start[1:] + shift[1:] > reach[:-1]]))
    return {"chrom": names[code[new]], "start": start[new], "end": np.maximum.reduceat(end, new)}


def read_intervals(source: Any) -> Any:
    """Give an interval table: a table as it is, or that of a BED or narrowPeak file."""
    if isinstance(source, str | Path):
        from epilm.genome.peaks import read_peaks

        return read_peaks(source)
    return source


class BinOrder:
    """Turns the first three columns of successive blocks into bins, and refuses what is not in
    order.

    Parameters
    ----------
    width : int, optional
        Width that every bin must have; by default that of the first.
    """

    def __init__(self, width: int | None = None) -> None:
        self.width = width
        self.chroms: list[str] = []
        self._met: set[str] = set()
        self._last = -1

    def add(self, block: Lines) -> tuple[NDArray[np.signedinteger[Any]], NDArray[np.int32]]:
        """Give chromosome numbers and starts of a block of lines.

        Raises
        ------
        InputError
            For the first line whose width is another, whose start does not rise, or whose
            chromosome was left before.
        """
        start, stop = block.integers(1), block.integers(2)
        if self.width is None:
            self.width = int(stop[0] - start[0])
        wrong = stop - start != self.width
        if self.width < 1 or wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                "the bin has another width",
                where=block.place(row),
                found=(
                    f"{block.field(row, 0)}:{start[row]}-{stop[row]}, {stop[row] - start[row]} bp"
                ),
                expected=f"{max(self.width, 1)} bp as in the lines before",
                do="Give one line a bin, all of one width.",
            )
        if (far := start > 2**31 - 1 - self.width).any():
            row = int(far.argmax())
            raise InputError(
                "the start is no position on a chromosome",
                where=block.place(row),
                found=str(start[row]),
                expected="less than 2**31",
            )
        chrom = np.empty(len(block), np.int32)
        for name, low, high in block.runs():
            if not self.chroms or name != self.chroms[-1]:
                if name in self._met:
                    raise InputError(
                        "the bins are not sorted: the chromosome was left before",
                        where=block.place(low),
                        found=f"{name} after {self.chroms[-1]}",
                        expected="all bins of a chromosome together",
                        do="Sort the file: chromosome by chromosome, by start.",
                    )
                if not name.strip():
                    raise InputError(
                        "the chromosome has no name",
                        where=block.place(low),
                        found=repr(block.line(low)[:60]),
                    )
                self.chroms.append(name)
                self._met.add(name)
                self._last = -1
            here = start[low:high]
            falls = here <= np.concatenate([[self._last], here[:-1]])
            if falls.any():
                row = low + int(falls.argmax())
                before = int(start[row - 1]) if row > low else self._last
                raise InputError(
                    (
                        "the bin is there twice"
                        if start[row] == before
                        else "the bins are not sorted by start"
                    ),
                    where=block.place(row),
                    found=f"{name}:{start[row]} after {name}:{before}",
                    expected=f"a start above {before}",
                    do="Sort the file: chromosome by chromosome, by start, each bin once.",
                )
            self._last = int(here[-1])
            chrom[low:high] = len(self.chroms) - 1
        return chrom.astype(chrom_type(len(self.chroms))), start.astype(np.int32)


def read_bins(path: str | Path, *, chroms: Sequence[str] | None = None) -> Bins:
    """Read a file with one bin a line, such as the challenge's region files.

    Parameters
    ----------
    path : path
        BED, plain or gzip; columns after the third are left unread.
    chroms : sequence of str, optional
        Keep bins inside these chromosomes or parts of them.

    Raises
    ------
    InputError
        Naming file and line; if the widths differ, the file holds regions (see `grid`).
    """
    order = BinOrder()
    chrom, start = [], []
    for block in iter_lines(path, _WHAT):
        if block.columns < 3:
            raise InputError(
                "wrong format", where=block.place(0), found=repr(block.line(0)[:60]), expected=_WHAT
            )
        a, b = order.add(block)
        chrom.append(a)
        start.append(b)
    bins = Bins(
        tuple(order.chroms), np.concatenate(chrom), np.concatenate(start), order.width or WIDTH
    )
    return bins if chroms is None else bins.take(bins.inside(chroms))


def split_bins(
    bins: Bins,
    *,
    train: Sequence[str] = (),
    valid: Sequence[str] = ("chr11",),
    test: Sequence[str] = (),
    apart_bp: int = 0,
) -> NDArray[np.int8]:
    """Say which bins learn, which choose and which judge.

    Parameters
    ----------
    bins : Bins
    train, valid, test : sequences of str
        Chromosomes or parts of them. Test goes before valid, valid before train; without `train`
        everything else learns. A bin over the border of a part is in no split.
    apart_bp : int
        Training bins nearer than this to a valid or test part, and valid ones to a test part, are
        in no split: with windows that reach 400 bp beyond a bin, 800 keeps windows apart. Only
        matters where a chromosome is divided.

    Returns
    -------
    int8 (n,)
        0 train, 1 valid, 2 test, -1 none.

    Raises
    ------
    InputError
        If a chromosome has no bin, or a split that was asked for is empty.

    Examples
    --------
    >>> bins = grid({"chr1": 2000, "chr2": 1500})
    >>> np.bincount(split_bins(bins, valid=["chr1:600-1000"], test=["chr2"]) + 1).tolist()
    [3, 5, 5, 3]
    """
    split = np.full(len(bins), NONE if train else TRAIN, np.int8)
    for number, places in ((TRAIN, train), (VALID, valid), (TEST, test)):
        if not places:
            continue
        if number != TRAIN:
            split[bins.touching(places, apart_bp)] = NONE
        split[bins.inside(places)] = number
    for number, name, places in (
        (TRAIN, "train", train or ("the rest",)),
        (VALID, "valid", valid),
        (TEST, "test", test),
    ):
        if places and not (split == number).any():
            raise InputError(
                f"the {name} split has no bin", found=", ".join(map(str, places)), do="Widen it."
            )
    return split

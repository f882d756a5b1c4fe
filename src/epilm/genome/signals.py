"""A value per base: bigWig and bedGraph, one chromosome at a time.

What a file says nothing about is missing (NaN), never 0; what a missing value
means is the caller's business. A chromosome costs its length in float32 and
one block: bigWig is read in blocks, bedGraph once from end to end into a
temporary file of runs, so neither is ever held whole.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.errors import InputError
from epilm.genome.bbi import BIGBED, BIGWIG, damaged, open_bbi, refuse_packed
from epilm.genome.bedgraph import RUN, WHAT, read_runs
from epilm.genome.chromosomes import PastEnd, check_length, check_names, few, natural_key
from epilm.genome.files import check_file, first_bytes

BLOCK = 1 << 22
_NO_ROOM = 1 << 20  # bytes: with less, a file that is not whole is one that found no room
_STEP = 1 << 20  # bases asked of pybigtools at once: half the time of four times as many


class Signal(Protocol):
    """A signal file, opened.

    Attributes
    ----------
    source : str
        The file, for messages.
    sizes : dict of str to int, or None
        Chromosome lengths as the file says them (bigWig); None where it says none (bedGraph).
    chroms : tuple of str
        Chromosomes the file has.
    """

    source: str
    sizes: dict[str, int] | None
    chroms: tuple[str, ...]

    def read(self, chrom: str, length: int, past_end: PastEnd = "refuse") -> NDArray[np.float32]:
        """Values of a chromosome, base by base.

        Parameters
        ----------
        chrom : str
        length : int
            Of the chromosome in the genome, in bp.
        past_end : {"refuse", "cut"}
            What to do when the file's chromosome is longer: it is of another assembly, or the
            genome given holds only its first part.

        Returns
        -------
        float32 array, shape (length,)
            NaN where the file has no value.

        Raises
        ------
        InputError
            If the file does not have the chromosome, has it at another length, or is damaged.
        """
        ...

    def read_blocks(
        self, chrom: str, length: int, past_end: PastEnd = "refuse", block: int = BLOCK
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The same in pieces: (first base, values), from base 0 on without gaps."""
        ...

    def read_window(self, chrom: str, start: int, end: int, length: int) -> NDArray[np.float32]:
        """Values of some bases of a chromosome of a length, as `read` would give them; the rest is
        not read.
        """
        ...

    def past(self, chrom: str, length: int) -> int:
        """How many bases of a chromosome that the file says something about (bigWig: that it has)
        lie past a length.
        """
        ...

    def share(self, chroms: Iterable[str]) -> str:
        """What the file says about some of its chromosomes: "3 of 9 runs", "the values
        of 2 of 5 chromosomes".
        """
        ...


def open_signal(path: str | Path) -> Signal:
    """Open a bigWig or bedGraph file, told apart by the first bytes.

    Parameters
    ----------
    path : path
        bigWig, or bedGraph (plain or gzip): sorted by chromosome and start, not overlapping.

    Returns
    -------
    Signal

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or of another format; for bedGraph also for the
        first line that is out of order, overlaps the one before, or is no run of a value.

    Examples
    --------
    >>> name = Path(tempfile.mkdtemp()) / "a.bedGraph"
    >>> _ = name.write_text("chr1\\t1\\t3\\t2.5\\nchr1\\t3\\t4\\t1\\n")
    >>> open_signal(name).read("chr1", 5).tolist()
    [nan, 2.5, 2.5, 1.0, nan]
    """
    path = check_file(path, WHAT)
    magic = first_bytes(path, 4)
    refuse_packed(path, magic, WHAT)
    if magic in BIGBED:
        raise InputError(
            "wrong format",
            where=str(path),
            found="bigBed",
            expected=WHAT,
            do="It names intervals: as chromatin states give it to --states.",
        )
    return BigWig(path) if magic in BIGWIG else BedGraph(path)


def _lacking(source: str, chrom: str, chroms: tuple[str, ...]) -> InputError:
    """The message for a chromosome that is not in the file, or is named otherwise there."""
    try:
        check_names([chrom], chroms, source, other="the file")
    except InputError as error:
        if "named differently" in error.what:
            return InputError(
                "the chromosomes of the signal are named differently than in the genome",
                where=source,
                found=str(error.expected),
                expected=chrom,
                do="Rename them in one of the two.",
            )
    return InputError(
        "the signal does not have the chromosome",
        where=source,
        found=few(sorted(chroms, key=natural_key)) or "no chromosome",
        expected=chrom,
        do="Give the signal of the whole genome, or of the genome that was given.",
    )


class BigWig:
    """A bigWig file; see `Signal`."""

    def __init__(self, path: Path) -> None:
        self.source = str(path)
        self._file = open_bbi(path, "bigWig")
        self.sizes: dict[str, int] | None = {str(k): int(v) for k, v in self._file.chroms().items()}
        self.chroms = tuple(self.sizes)

    def read(self, chrom: str, length: int, past_end: PastEnd = "refuse") -> NDArray[np.float32]:
        values = np.full(length, np.nan, np.float32)
        for first, piece in self.read_blocks(chrom, length, past_end):
            values[first : first + len(piece)] = piece
        return values

    def read_blocks(
        self, chrom: str, length: int, past_end: PastEnd = "refuse", block: int = BLOCK
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        assert self.sizes is not None
        if chrom not in self.sizes:
            raise _lacking(self.source, chrom, self.chroms)
        have = self.sizes[chrom]
        check_length("signal", self.source, chrom, have, length, past_end, exact=True)
        for first in range(0, length, block):
            piece = np.full(min(block, length - first), np.nan, np.float32)
            last = min(first + block, length, have)
            for at in range(first, last, _STEP):
                to = min(at + _STEP, last)
                try:
                    piece[at - first : to - first] = self._file.values(chrom, at, to, fillna=None)
                except BaseException as error:
                    raise damaged("bigWig", self.source, error, f"{chrom}:{at}-{to}") from None
            yield first, piece

    def read_window(self, chrom: str, start: int, end: int, length: int) -> NDArray[np.float32]:
        assert self.sizes is not None
        if chrom not in self.sizes:
            raise _lacking(self.source, chrom, self.chroms)
        have = self.sizes[chrom]
        check_length("signal", self.source, chrom, have, length, "refuse", exact=True)
        values = np.full(end - start, np.nan, np.float32)
        try:
            values[: have - start] = self._file.values(chrom, start, min(end, have), fillna=None)
        except BaseException as error:
            raise damaged("bigWig", self.source, error, f"{chrom}:{start}-{end}") from None
        return values

    def past(self, chrom: str, length: int) -> int:
        assert self.sizes is not None
        return max(0, self.sizes[chrom] - length)

    def share(self, chroms: Iterable[str]) -> str:
        return f"the values of {len(list(chroms))} of {len(self.chroms)} chromosomes"


class BedGraph:
    """A bedGraph file, read once into a temporary file of runs; see `Signal`."""

    def __init__(self, path: Path, block: int = 1 << 24) -> None:
        self.source = str(path)
        self.sizes: dict[str, int] | None = None
        # Lives as long as we.
        self._runs: IO[bytes] = tempfile.TemporaryFile(prefix="epilm-bedgraph-")  # noqa: SIM115
        # Of each chromosome: first run, one past the last, greatest end.
        self._where: dict[str, list[int]] = {}
        n = 0
        for names, chrom, runs in read_runs(self.source, block):
            cuts = np.flatnonzero(np.diff(chrom, prepend=-1))
            for i, j in zip(cuts, [*cuts[1:], len(chrom)]):
                span = self._where.setdefault(names[chrom[i]], [n + int(i), 0, 0])
                span[1:] = [n + int(j), int(runs["end"][j - 1])]
            self._runs.write(runs.tobytes())
            n += len(runs)
        self._runs.flush()
        self.chroms = tuple(self._where)

    def read(self, chrom: str, length: int, past_end: PastEnd = "refuse") -> NDArray[np.float32]:
        values = np.full(length, np.nan, np.float32)
        for first, piece in self.read_blocks(chrom, length, past_end):
            values[first : first + len(piece)] = piece
        return values

    def read_blocks(
        self, chrom: str, length: int, past_end: PastEnd = "refuse", block: int = BLOCK
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        if chrom not in self._where:
            raise _lacking(self.source, chrom, self.chroms)
        row, stop, greatest = self._where[chrom]
        check_length("signal", self.source, chrom, greatest, length, past_end, exact=False)
        runs = np.zeros(0, RUN)
        for first in range(0, length, block):
            last = min(first + block, length)
            while row < stop and (not len(runs) or runs["end"][-1] < last):
                self._runs.seek(row * RUN.itemsize)
                more = np.frombuffer(self._runs.read(min(1 << 18, stop - row) * RUN.itemsize), RUN)
                row += len(more)
                runs = np.concatenate([runs, more])
            n = int(np.searchsorted(runs["start"], last))
            yield first, _spread(runs[:n], first, last)
            runs = runs[int(np.searchsorted(runs["end"], last, side="right")) :]

    def read_window(self, chrom: str, start: int, end: int, length: int) -> NDArray[np.float32]:
        if chrom not in self._where:
            raise _lacking(self.source, chrom, self.chroms)
        row, stop, greatest = self._where[chrom]
        check_length("signal", self.source, chrom, greatest, length, "refuse", exact=False)
        runs = np.memmap(self._runs, RUN, mode="r", offset=row * RUN.itemsize, shape=(stop - row,))
        first = int(np.searchsorted(runs["end"], start, side="right"))
        last = int(np.searchsorted(runs["start"], end, side="left"))
        return _spread(np.array(runs[first:last]), start, end)

    def past(self, chrom: str, length: int) -> int:
        row, stop, greatest = self._where[chrom]
        bases = 0
        while greatest > length and stop > row:  # from the last run back
            first = max(row, stop - (1 << 18))
            self._runs.seek(first * RUN.itemsize)
            runs = np.frombuffer(self._runs.read((stop - first) * RUN.itemsize), RUN)
            over = runs["end"].astype(np.int64) - np.maximum(runs["start"], length)
            bases += int(over[over > 0].sum())
            if runs["end"][0] <= length:
                break
            stop = first
        return bases

    def share(self, chroms: Iterable[str]) -> str:
        n = {chrom: last - first for chrom, (first, last, _) in self._where.items()}
        return f"{sum(n[chrom] for chrom in chroms)} of {sum(n.values())} runs"


def _spread(runs: NDArray[Any], first: int, last: int) -> NDArray[np.float32]:
    """Values of the bases [first, last) from sorted, disjoint runs that touch them."""
    start, end = np.maximum(runs["start"], first), np.minimum(runs["end"], last)
    lengths = np.empty(2 * len(runs) + 1, np.int64)
    lengths[0:-1:2] = start - np.concatenate([[first], end[:-1]])
    lengths[1::2] = end - start
    lengths[-1] = last - (end[-1] if len(runs) else first)
    values = np.full(len(lengths), np.nan, np.float32)
    values[1::2] = runs["value"]
    return np.repeat(values, lengths)


def write_bigwig(
    path: str | Path,
    sizes: Mapping[str, int],
    blocks: Iterable[tuple[str, Any, Any, Any]],
) -> None:
    """Write a bigWig from runs of a value, whole or not at all.

    Parameters
    ----------
    path : path
    sizes : dict of str to int
        Chromosome lengths in bp.
    blocks : iterable of (chrom, start, end, value)
        Each chromosome in one block, starts ascending, not overlapping. Start, end and value are
        numbers, or arrays of one length: many runs at once. Runs whose value is NaN are left out.

    Raises
    ------
    InputError
        If runs overlap, are not sorted or pass the end of their chromosome, or there is none.

    Examples
    --------
    >>> name = Path(tempfile.mkdtemp()) / "a.bw"
    >>> write_bigwig(
    ...     name, {"chr1": 9}, [("chr1", np.array([0, 4]), np.array([2, 6]), np.array([1.5, 2.0]))]
    ... )
    >>> open_signal(name).read("chr1", 9).tolist()
    [1.5, 1.5, nan, nan, 2.0, 2.0, nan, nan, nan]
    """
    import pybigtools

    # pybigtools prints what goes wrong in writing and returns as if all were well: checked and
    # counted here.
    failed: list[BaseException] = []
    covered = 0

    def rows() -> Iterator[tuple[str, int, int, float]]:
        nonlocal covered
        seen: list[str] = []
        before = 0
        try:
            for chrom, *columns in blocks:
                start, end, value = (np.atleast_1d(column) for column in columns)
                there = ~np.isnan(value)
                start, end, value = (
                    start[there].astype(np.int64),
                    end[there].astype(np.int64),
                    value[there],
                )
                if not len(start):
                    continue
                if not seen or chrom != seen[-1]:
                    _check_chromosome(path, chrom, seen, sizes)
                    seen.append(chrom)
                    before = 0
                wrong = (
                    (start < np.concatenate([[before], end[:-1]]))
                    | (start >= end)
                    | (end > sizes[chrom])
                )
                if wrong.any():
                    k = int(wrong.argmax())
                    raise InputError(
                        "the runs to write are not sorted, overlap or pass the end",
                        where=str(path),
                        found=(
                            f"{chrom}:{start[k]}-{end[k]} after base {end[k - 1] if k else before}"
                        ),
                        expected=f"ascending, disjoint runs within {sizes[chrom]} bp",
                    )
                before = int(end[-1])
                covered += int((end - start).sum())
                for row in zip(start.tolist(), end.tolist(), value.astype(np.float64).tolist()):
                    yield (chrom, *row)
        except (Exception, KeyboardInterrupt) as error:
            failed.append(error)
            raise
        if not seen:
            failed.append(
                InputError(
                    "there is no value to write", where=str(path), expected="at least one run"
                )
            )

    with atomic_file(path) as temporary:
        try:
            pybigtools.open(str(temporary), "w").write(dict(sizes), rows())
        except BaseException as error:  # a panic of Rust is no Exception
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
        if failed:
            raise failed[0]
        if shutil.disk_usage(temporary.parent).free < _NO_ROOM:  # the library does not say why
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = open_bbi(temporary, "bigWig").info()["summary"]["basesCovered"]
        if written != covered:
            raise InputError(
                "the bigWig was not written whole",
                where=str(path),
                found=f"{written} bases",
                expected=str(covered),
                do="Is the disk full?",
            )


def _check_chromosome(
    path: str | Path, chrom: str, seen: list[str], sizes: Mapping[str, int]
) -> None:
    """Refuse a chromosome that is not in the genome, or comes back."""
    if chrom not in sizes or chrom in seen:
        raise InputError(
            (
                "the chromosome to write comes back"
                if chrom in seen
                else "the chromosome to write is not in the genome"
            ),
            where=str(path),
            found=chrom,
            expected=f"each of {few(list(sizes))} in one block",
        )

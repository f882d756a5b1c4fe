"""Predictions of bins in the challenge's own file: chromosome, start, stop, probability.

No header, tabs, gzip, the bins of the region file in its order, probabilities in [0, 1].
Written from successive blocks of scores and read block by block: millions of lines in
bounded memory, whole or absent. Scores are written as the shortest text that reads back as
the same number, so no two of them tie on the way. Axes: n bins. Numpy only.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import check_names
from epilm.tasks.binding.bins import WIDTH, BinOrder, Bins
from epilm.tasks.binding.dream.write import decimals, digits, lines, open_rows, words
from epilm.tasks.binding.lines import Lines, iter_lines

_WHAT = (
    "a prediction file: chromosome, start, stop, probability, tab-separated, no header, plain or"
    " gzip"
)
_BLOCK = 1 << 17


class BinScores(NamedTuple):
    """Scores of bins.

    Attributes
    ----------
    bins : Bins
    scores : float64 (n,)
        0 to 1.
    """

    bins: Bins
    scores: NDArray[np.float64]


@dataclass
class BlockWriter:
    """Successive blocks of scores, matched with their bins; base of all writers.

    Parameters
    ----------
    bins : Bins
        All n of them, in the order in which scores will come.
    where : str
        The file, for messages.
    """

    bins: Bins
    where: str
    done: int = 0

    def check(self, scores: ArrayLike) -> NDArray[np.floating]:
        """Give a block as an array, and refuse what no probability is.

        Raises
        ------
        InputError
            For the first score that is NaN or outside [0, 1], or when there are more scores than
            bins.
        """
        block = np.asarray(scores)
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float32)
        if block.ndim != 1:
            raise ValueError(f"scores have {block.ndim} axes, not one")
        if self.done + len(block) > len(self.bins):
            raise InputError(
                "there are more scores than bins",
                where=self.where,
                found=f"{self.done + len(block)} or more",
                expected=f"{len(self.bins)}",
                do="Predict the bins that the file is opened for.",
            )
        wrong = ~((block >= 0) & (block <= 1))
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                "the score is no probability",
                where=f"{self.where}, {self.bins.place(self.done + row)}",
                found=f"{block[row]!s}"
                + (f", and {int(wrong.sum()) - 1} more in this block" if wrong.sum() > 1 else ""),
                expected="a number from 0 to 1",
                do="A model that gives NaN has diverged; a logit needs a sigmoid first.",
            )
        self.done += len(block)
        return block

    def finish(self) -> None:
        """Refuse to end early.

        Raises
        ------
        InputError
        """
        if self.done < len(self.bins):
            raise InputError(
                "there are fewer scores than bins",
                where=self.where,
                found=f"{self.done}",
                expected=f"{len(self.bins)}; the next is {self.bins.place(self.done)}",
                do="Nothing was written.",
            )


class SubmissionWriter(BlockWriter):
    """Write predictions block by block; the file appears whole when the `with` ends, or not at all.

    Parameters
    ----------
    path : path
        gzip if it ends in .gz; see `challenge.file_name`.
    bins : Bins

    Examples
    --------
    >>> import tempfile
    >>> from epilm.tasks.binding.bins import grid
    >>> name = Path(tempfile.mkdtemp()) / "F.MAX.liver.tab"
    >>> with SubmissionWriter(name, grid({"chr1": 1450})) as out:
    ...     out.write(np.array([0.5], np.float32))
    ...     out.write(np.array([1e-6], np.float32))
    >>> name.read_text()
    'chr1\\t600\\t800\\t0.5\\nchr1\\t650\\t850\\t1e-06\\n'
    """

    def __init__(self, path: str | Path, bins: Bins) -> None:
        super().__init__(bins, str(path))
        self._path = Path(path)
        self._stack = ExitStack()

    def __enter__(self) -> "SubmissionWriter":
        self._out = self._stack.enter_context(open_rows(self._path))
        return self

    def write(self, scores: ArrayLike) -> None:
        """Append the scores of the next bins.

        Raises
        ------
        InputError
            See `Checked.check`.
        """
        first = self.done
        block = self.check(scores)
        for at in range(0, len(block), _BLOCK):
            for text in _texts(
                self.bins.take(slice(first + at, first + min(at + _BLOCK, len(block)))),
                block[at : at + _BLOCK],
            ):
                self._out(text)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            try:
                self.finish()
            except InputError as early:
                # The file must vanish, so the context that makes it has to see the error.
                self._stack.__exit__(InputError, early, early.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)  # type: ignore[arg-type]


def _texts(bins: Bins, scores: NDArray[np.floating]) -> Iterator[bytes]:
    for name, low, high in bins.runs():
        start = bins.start[low:high].astype(np.int64)
        yield lines(
            [
                words(name, high - low),
                digits(start),
                digits(start + bins.width),
                decimals(scores[low:high]),
            ]
        )


def write_submission(
    path: str | Path, bins: Bins, scores: ArrayLike | Iterable[NDArray[np.floating]]
) -> None:
    """Write predictions at once: one array of n scores, or blocks of them."""
    blocks = [scores] if isinstance(scores, np.ndarray | list) else scores
    with SubmissionWriter(path, bins) as out:
        for block in blocks:  # type: ignore[union-attr]
            out.write(block)


def iter_submission(
    path: str | Path, bins: Bins | None = None
) -> Iterator[tuple[Bins, NDArray[np.float64]]]:
    """Read predictions block by block, checking each line.

    Parameters
    ----------
    path : path
    bins : Bins, optional
        The bins that must be there, in this order and no others.

    Yields
    ------
    bins, scores
        Of a block.

    Raises
    ------
    InputError
        Naming file and line: a header, another number of columns, a number that is none, a score
        that is NaN or outside [0, 1], bins that are not sorted or of another width, bins other than
        those expected, too few, too many.
    """
    order = BinOrder(None if bins is None else bins.width)
    done = 0
    for block in iter_lines(path, _WHAT):
        _check_head(block)
        chrom, start = order.add(block)
        here = Bins(tuple(order.chroms), chrom, start, order.width or WIDTH)
        if bins is not None:
            wanted = bins.take(slice(done, done + len(here)))
            row = wanted.differs(here)
            if row is not None:
                _refuse_bins(block, here, wanted, row, len(bins))
        scores = block.floats(3)
        wrong = ~((scores >= 0) & (scores <= 1))
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                "the score is NaN" if np.isnan(scores[row]) else "the score is outside [0, 1]",
                where=block.place(row),
                found=block.field(row, 3),
                expected="a number from 0 to 1",
                do="Make the predictions again; a logit needs a sigmoid first.",
            )
        done += len(here)
        yield here, scores
    if bins is not None and done < len(bins):
        raise InputError(
            "the predictions end early",
            where=str(path),
            found=f"{done} lines",
            expected=f"{len(bins)}; the next bin is {bins.place(done)}",
            do="Copy the file again, or predict the rest.",
        )


def _check_head(block: Lines) -> None:
    if block.columns != 4:
        raise InputError(
            "wrong format",
            where=block.place(0),
            found=f"{block.columns} columns: {block.line(0)[:60]!r}",
            expected=_WHAT,
        )
    if block.first == 1 and block.field(0, 1).lower() == "start":
        raise InputError(
            "the file has a header",
            where=block.place(0),
            found=repr(block.line(0)[:60]),
            expected=_WHAT,
            do="Remove the first line: the challenge's prediction files have none.",
        )


def _refuse_bins(block: Lines, here: Bins, wanted: Bins, row: int, total: int) -> None:
    if row >= len(wanted):
        raise InputError(
            "there are more predictions than bins",
            where=block.place(row),
            found=here.place(row),
            expected=f"the end of the file after {total} lines",
            do="Give the region file that these predictions were made for.",
        )
    raise InputError(
        "the predictions are of other bins",
        where=block.place(row),
        found=here.place(row),
        expected=wanted.place(row),
        do="Predict the bins of the labels, in their order (same chromosomes, same region file).",
    )


def read_submission(
    path: str | Path, bins: Bins | None = None, *, chroms: Sequence[str] | None = None
) -> BinScores:
    """Read all predictions of a file.

    Parameters
    ----------
    path : path
    bins : Bins, optional
        See `iter_submission`.
    chroms : sequence of str, optional
        Keep bins inside these chromosomes or parts of them (the challenge scores chr1, chr8,
        chr21).

    Returns
    -------
    BinScores
    """
    chrom, start, scores = [], [], []
    last = None
    for last, block in iter_submission(path, bins):
        chrom.append(last.chrom)
        start.append(last.start)
        scores.append(block)
    assert last is not None, "a file without lines is refused before"
    all_bins = Bins(last.chroms, np.concatenate(chrom), np.concatenate(start), last.width)
    out = BinScores(all_bins, np.concatenate(scores))
    if chroms is None:
        return out
    keep = all_bins.inside(chroms)
    return BinScores(all_bins.take(keep), out.scores[keep])


def scores_of(path: Path, bins: Bins) -> NDArray[np.float64]:
    """Read the scores of a prediction file for these bins, which may be some of the file's.

    Returns
    -------
    float64 (n,)

    Raises
    ------
    InputError
        If the file is of other bins, or lacks some.
    """
    predicted = read_submission(path)
    if predicted.bins.differs(bins) is None:
        return predicted.scores
    if predicted.bins.width != bins.width:
        raise InputError(
            "the predictions are of bins of another width",
            where=str(path),
            found=predicted.bins.width,
            expected=bins.width,
        )
    check_names(
        [name for name, _, _ in bins.runs()],
        predicted.bins.chroms,
        str(path),
        other="the predictions",
    )
    number = {name: c for c, name in enumerate(predicted.bins.chroms)}
    key = (predicted.bins.chrom.astype(np.int64) << 40) | predicted.bins.start
    chrom = np.array([number.get(name, -1) for name in bins.chroms] or [-1], np.int64)[bins.chrom]
    wanted = (chrom << 40) | bins.start
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    missing = (key[at] != wanted) | (chrom < 0)
    if missing.any():
        raise InputError(
            "the predictions lack bins of the labels",
            where=str(path),
            found=(
                f"{int(missing.sum()):,} of {len(bins):,} missing, the first"
                f" {bins.place(int(missing.argmax()))}"
            ),
            expected=f"bins such as {predicted.bins.place(0)}",
            do="Predict all bins that are scored, or name the chromosomes to score (--chroms).",
        )
    return predicted.scores[at]

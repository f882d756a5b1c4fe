"""Both strands of a chromosome as rows: every base of it is answered once on either strand.

Axes: B rows (blocks), W bases of a block.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.genome.sequence import reverse_complement
from epilm.tasks.splice.transcript_blocks import Codes, SpliceRows, window_of
from epilm.tasks.splits import Interval


class Answered(NamedTuple):
    """The bases of one row.

    Attributes
    ----------
    start, end : int
        On the chromosome, 0-based and half-open.
    strand : {"+", "-"}
    """

    start: int
    end: int
    strand: str


class ChromosomeBlocks:
    """Blocks of a chromosome, forward strand and reverse strand in turn.

    Parameters
    ----------
    place : Interval
        The chromosome or a part of it; `end` may lie beyond the chromosome's.
    codes : uint8 (n,)
        All of its bases: those beside a block are read too.
    context, block : int
        See `SpliceBlocks`.

    Attributes
    ----------
    answers : int
        W.
    skipped : int
        Bases in blocks of nothing but N, which are no rows.

    Examples
    --------
    >>> codes = np.array([0, 0, 1, 2, 3, 4, 4, 4], np.uint8)
    >>> blocks = ChromosomeBlocks(Interval("chr1", 0, 8), codes, context=2, block=3)
    >>> len(blocks), blocks.skipped, blocks.answered(3)
    (4, 2, Answered(start=3, end=6, strand='-'))
    >>> blocks.take([2, 3]).codes.tolist()
    [[1, 2, 3, 4, 4], [4, 4, 0, 1, 2]]
    """

    def __init__(self, place: Interval, codes: Codes, *, context: int, block: int) -> None:
        self.chrom, self.codes, self.context, self.answers = place.chrom, codes, context, block
        low, self._end = max(place.start, 0), min(place.end, len(codes))
        starts = np.arange(low, self._end, block, dtype=np.int64)
        known = np.array(
            [bool((codes[s : min(s + block, self._end)] < 4).any()) for s in starts], bool
        )
        ends = np.minimum(starts + block, self._end)
        self.skipped = int((ends - starts)[~known].sum())
        self.starts = starts[known]

    def __len__(self) -> int:
        return 2 * len(self.starts)

    def answered(self, row: int) -> Answered:
        """Which bases a row answers."""
        start = int(self.starts[row // 2])
        return Answered(start, min(start + self.answers, self._end), "+-"[row % 2])

    def take(self, rows: NDArray[np.int64]) -> SpliceRows:
        """Rows by number; their labels are not known."""
        width, half = self.answers + self.context, self.context // 2
        codes = np.empty((len(rows), width), np.uint8)
        for out, row in zip(codes, rows, strict=True):
            start = int(self.starts[row // 2]) - half
            window = window_of(self.codes, start, start + width)
            out[:] = window if row % 2 == 0 else reverse_complement(window)
        lengths = np.full(len(rows), width, np.int64)
        return SpliceRows(codes, lengths, self.labels_of(rows))

    def labels_of(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Nothing is known."""
        return np.full((len(rows), self.answers), -1, np.int8)

    def along_genome(
        self, row: int, said: NDArray[np.float64]
    ) -> tuple[Answered, NDArray[np.float64]]:
        """What was said of a row (W, C), base by base along the forward strand.

        The last block is filled up: what is said of bases beyond the end is dropped. Of the reverse
        strand it stands at the beginning.
        """
        where = self.answered(row)
        turned = said if where.strand == "+" else said[::-1]
        return where, turned[: where.end - where.start]

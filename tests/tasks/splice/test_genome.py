"""Both strands of a chromosome: every base answered once, ends and N, along the genome."""

import numpy as np
import pytest

from epilm.tasks.splice.genome import ChromosomeBlocks
from epilm.tasks.splits import Interval
from toy_splice import reverse


@pytest.mark.parametrize(("start", "end"), [(0, 2**62), (3, 20), (0, 23)])
def test_every_base_is_answered_once_on_either_strand(start, end):
    codes = np.random.default_rng(0).integers(0, 5, 23).astype(np.uint8)
    codes[:3] = 0
    blocks = ChromosomeBlocks(Interval("c", start, end), codes, context=4, block=5)
    rows = np.arange(len(blocks))
    taken = blocks.take(rows).codes
    there = {"+": [], "-": []}
    for row in rows:
        # what a network of no context would say: the base itself
        said = np.eye(5)[taken[row, 2:7]]
        where, mine = blocks.along_genome(row, said)
        expected = codes[where.start : where.end]
        expected = expected if where.strand == "+" else reverse(expected)[::-1]
        assert mine.argmax(-1).tolist() == expected.tolist()
        there[where.strand] += range(where.start, where.end)
    every = list(range(start, min(end, 23)))
    assert there["+"] == there["-"] == every


def test_windows_of_both_strands_are_each_other_s_reverse_and_n_beyond_the_ends():
    codes = np.array([0, 1, 2, 3, 0, 1], np.uint8)
    taken = (
        ChromosomeBlocks(Interval("c", 0, 6), codes, context=4, block=4).take(np.arange(4)).codes
    )
    assert taken[0].tolist() == [4, 4, 0, 1, 2, 3, 0, 1]
    assert taken[1].tolist() == reverse(taken[0]).tolist()
    assert taken[2].tolist() == [2, 3, 0, 1, 4, 4, 4, 4]


def test_blocks_of_nothing_but_n_are_no_rows_and_counted():
    codes = np.array([4] * 7 + [0] + [4] * 4, np.uint8)
    blocks = ChromosomeBlocks(Interval("c", 0, 12), codes, context=2, block=4)
    assert (len(blocks), blocks.skipped, blocks.answered(0)) == (2, 8, (4, 8, "+"))

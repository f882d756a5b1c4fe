"""Signals as bedGraph: order, and bad lines as one message."""

import gzip

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.signals import BedGraph, open_signal

from .track_lines import bedgraph


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("chr1 5 6 1", "chr1 2 3 1"),
            (
                "a.bedGraph, line 2: the lines are not sorted. Found chr1:2-3 after chr1:5-6;"
                " expected chromosomes in blocks, starts ascending. Sort it: sort -k1,1 -k2,2n"
            ),
        ),
        (
            ("chr1 5 6 1", "chr2 2 3 1", "#", "chr1 7 8 1"),
            "a.bedGraph, line 4: the lines are not sorted. Found chr1:7-8 after chr2:2-3",
        ),
        (
            ("chr1 2 6 1", "chr1 5 8 1"),
            (
                "a.bedGraph, line 2: two runs overlap. Found chr1:5-8 after chr1:2-6; expected one"
                " value at each base"
            ),
        ),
        (("chr1 2 6 1", "chr1 6 8"), "a.bedGraph, line 2: the line is cut short. Found 3 columns"),
        (
            ("chr1 2 6 1", "chr1 6 8 high"),
            "a.bedGraph, line 2: the value is not a finite number. Found 'high'",
        ),
        (("chr1 2 6 inf",), "a.bedGraph, line 1: the value is not a finite number. Found 'inf'"),
        (("chr1 2 6 1", "chr1 6 6 1"), "a.bedGraph, line 2: the run holds no base. Found chr1:6-6"),
        (
            ("chr1 2 6 1", "chr1 6.5 7 1"),
            "a.bedGraph, line 2: the start is not a whole number of at least 0. Found '6.5'",
        ),
        (
            ("fixedStep chrom=chr1 start=1 step=1", "1.5"),
            "a.bedGraph, line 1: wrong format. Found a wiggle file",
        ),
        (
            ("chr1 2 6 1", "chr1 6 7 1 2"),
            "a.bedGraph, line 2: the line has another number of columns. Found 5",
        ),
        (("track type=bedGraph",), "a.bedGraph: the file holds no value"),
    ],
)
def test_bad_bedgraphs_are_one_message_with_the_line(tmp_path, lines, message):
    with pytest.raises(InputError) as caught:
        open_signal(bedgraph(tmp_path, *lines))
    assert message in str(caught.value)


def test_order_is_checked_across_blocks_of_the_file(tmp_path):
    path = tmp_path / "long.bedGraph"
    lines = [f"chr1\t{10 * i}\t{10 * i + 5}\t{i % 7}" for i in range(300)]
    path.write_text("\n".join(lines) + "\n")
    for block in (7, 100, 1000):  # bytes: lines are cut anywhere
        values = BedGraph(path, block).read("chr1", 3000)
        np.testing.assert_array_equal(values[::10], (np.arange(300) % 7).astype(np.float32))
        assert np.isnan(values[5::10]).all()
    for last in ("chr1\t2980\t2990\t1", "chr1\t2994\t2999\t1"):
        path.write_text("\n".join([*lines, last]))
        for block in (7, 100, 1000):
            with pytest.raises(
                InputError, match=r"long.bedGraph, line 301: (the lines are not sorted|two runs)"
            ):
                BedGraph(path, block)


def test_real_bedgraphs_against_a_plain_loop(real_data):
    for path in sorted((real_data / "signal_hg19").glob("*.bedGraph.gz")):
        expected = np.full(22_000_000, np.nan, np.float32)
        with gzip.open(path, "rt") as handle:
            for line in handle:
                _, start, end, value = line.split()
                expected[int(start) : int(end)] = float(value)
        np.testing.assert_array_equal(open_signal(path).read("chr22", 22_000_000), expected)

"""Predictions in the challenge's file."""

import gzip

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from epilm.tasks.binding import grid
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.dream.submission import (
    SubmissionWriter,
    read_submission,
    write_submission,
)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
    st.lists(st.integers(1, 4000), min_size=40, max_size=40),
    st.integers(1, 40),
    st.booleans(),
)
def test_scores_written_are_scores_read(tmp_path_factory, scores, gaps, block, packed):
    n = len(scores)
    start = np.cumsum(np.array(gaps[:n]) * 50).astype(np.int32)
    bins = Bins(("chr10", "chr2"), (np.arange(n) >= n // 2).astype(np.int16), start)
    path = tmp_path_factory.mktemp("p") / ("F.MAX.liver.tab" + (".gz" if packed else ""))
    values = np.array(scores, np.float32)
    with SubmissionWriter(path, bins) as out:
        for at in range(0, n, block):
            out.write(values[at : at + block])
    found = read_submission(path, bins)
    assert found.bins.differs(bins) is None
    assert (found.scores.astype(np.float32) == values).all()


def test_the_file_is_the_challenge_s(tmp_path):
    bins = grid({"chr10": 1450, "chr2": 1400})
    write_submission(tmp_path / "F.MAX.liver.tab.gz", bins, np.array([0.5, 0.25, 1.0], np.float32))
    text = gzip.decompress((tmp_path / "F.MAX.liver.tab.gz").read_bytes()).decode()
    assert text == "chr10\t600\t800\t0.5\nchr10\t650\t850\t0.25\nchr2\t600\t800\t1.0\n"
    # No time stamp inside: the same predictions are the same bytes.
    write_submission(tmp_path / "b.tab.gz", bins, iter([np.array([0.5, 0.25]), np.array([1.0])]))
    assert (tmp_path / "b.tab.gz").read_bytes() == (tmp_path / "F.MAX.liver.tab.gz").read_bytes()

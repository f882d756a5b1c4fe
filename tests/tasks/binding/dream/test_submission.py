"""Prediction files: written whole or not at all, read with every line checked."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.tasks.binding import grid
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.dream.submission import (
    SubmissionWriter,
    iter_submission,
    read_submission,
    write_submission,
)


def three():
    return grid({"chr1": 1500})


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


def test_close_scores_do_not_tie_in_the_file(tmp_path):
    scores = np.array([1e-9, 1.0000001e-9, 1 - 2**-24], np.float32)
    write_submission(tmp_path / "a.tab", three(), scores)
    assert len(np.unique(read_submission(tmp_path / "a.tab").scores)) == 3


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            [0.1, np.nan, 0.2],
            "chr1:650-850: the score is no probability. Found nan; expected a number from 0 to 1",
        ),
        ([0.1, 0.2, 1.5], "chr1:700-900: the score is no probability. Found 1.5"),
        (
            [-0.1, -3, 0],
            "chr1:600-800: the score is no probability. Found -0.1, and 1 more in this block",
        ),
        ([0.1, 0.2, 0.3, 0.4], "there are more scores than bins. Found 4 or more; expected 3"),
        (
            [0.1, 0.2],
            "there are fewer scores than bins. Found 2; expected 3; the next is chr1:700-900",
        ),
    ],
)
def test_a_wrong_score_leaves_no_file(tmp_path, scores, message):
    path = tmp_path / "a.tab.gz"
    with pytest.raises(InputError) as error:
        write_submission(path, three(), np.array(scores, np.float32))
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def lines(*rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


GOOD = [("chr1", 600, 800, 0.5), ("chr1", 650, 850, 0.5), ("chr1", 700, 900, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            lines(*GOOD[:2], ("chr1", 750, 950, 0.5)),
            "line 3: the predictions are of other bins. Found chr1:750-950; expected chr1:700-900",
        ),
        (
            lines(*GOOD[:2], ("chr2", 700, 900, 0.5)),
            "line 3: the predictions are of other bins. Found chr2:700-900; expected chr1:700-900",
        ),
        (
            lines(*GOOD[:2]),
            "the predictions end early. Found 2 lines; expected 3; the next bin is chr1:700-900",
        ),
        (
            lines(*GOOD, ("chr1", 750, 950, 0.5)),
            (
                "line 4: there are more predictions than bins. Found chr1:750-950; expected the end"
                " of the file after 3 lines"
            ),
        ),
        (
            lines(*GOOD[:2], ("chr1", 700, 900, "nan")),
            "line 3: the score is NaN. Found nan; expected a number from 0 to 1",
        ),
        (
            lines(*GOOD[:2], ("chr1", 700, 900, "1.01")),
            "line 3: the score is outside [0, 1]. Found 1.01",
        ),
        (
            lines(*GOOD[:2], ("chr1", 700, 900, "-1e-9")),
            "line 3: the score is outside [0, 1]. Found -1e-9",
        ),
        (
            lines(*GOOD[:2], ("chr1", 700, 900, "high")),
            "line 3: not a number. Found 'high'; expected a number in column 4",
        ),
        (lines(*GOOD[:2], ("chr1", 700, 900, "")), "line 3: not a number. Found ''"),
        (
            lines(GOOD[1], GOOD[0]),
            "line 2: the bins are not sorted by start. Found chr1:600 after chr1:650",
        ),
        (lines(("chr", "start", "stop", "prob"), *GOOD), "line 1: the file has a header"),
        (lines(*(row[:3] for row in GOOD)), "line 1: wrong format. Found 3 columns"),
        (lines(*GOOD[:2], GOOD[2][:3]), "line 3: the line has another number of columns. Found 3"),
        (
            lines(*GOOD[:2], ("chr1", 700, 950, 0.5)),
            "line 3: the bin has another width. Found chr1:700-950, 250 bp; expected 200 bp",
        ),
    ],
)
def test_wrong_predictions_are_refused_by_line(tmp_path, text, message):
    path = tmp_path / "a.tab"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_submission(path, three())
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_bins_given_are_checked_block_by_block(tmp_path, monkeypatch):
    import epilm.tasks.binding.dream.submission as module

    small = module.iter_lines
    monkeypatch.setattr(module, "iter_lines", lambda path, what: small(path, what, size=50))
    bins = grid({"chr1": 3000, "chr2": 2000})
    scores = np.linspace(0, 1, len(bins))
    write_submission(tmp_path / "a.tab", bins, scores)
    blocks = list(iter_submission(tmp_path / "a.tab", bins))
    assert len(blocks) > 10
    assert (np.concatenate([s for _, s in blocks]) == scores).all()
    with pytest.raises(InputError, match="the predictions are of other bins"):
        list(iter_submission(tmp_path / "a.tab", bins.take(np.arange(len(bins)) != 20)))


def test_chosen_chromosomes_alone_are_kept(tmp_path):
    bins = grid({"chr1": 1500, "chr2": 1500})
    write_submission(tmp_path / "a.tab", bins, np.linspace(0, 1, 6))
    found = read_submission(tmp_path / "a.tab", chroms=["chr2"])
    assert found.bins.counts() == {"chr2": 3}
    assert found.scores.tolist() == np.linspace(0, 1, 6)[3:].tolist()

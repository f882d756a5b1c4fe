"""Prediction files: written whole or not at all, read with every line checked."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.tasks.binding import grid
from epilm.tasks.binding.dream.submission import (
    iter_submission,
    read_submission,
    write_submission,
)


def three():
    return grid({"chr1": 1500})


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

"""Predictions as bigWig and Parquet, against one bin at a time and their own readers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError, UsageError
from epilm.genome.signals import open_signal
from epilm.tasks.binding import grid
from epilm.tasks.binding.dream.track_writers import mean_per_step, open_predictions

SIZES = {"chr2": 2000, "chr10": 2030, "chr1": 3000}  # no order that a tool would choose


@given(st.lists(st.integers(1, 8), min_size=1, max_size=20), st.integers(0, 2**31))
def test_each_step_has_the_mean_of_the_bins_over_it(gaps, seed):
    start = np.cumsum(np.array(gaps) * 50)
    scores = np.random.default_rng(seed).random(len(start))
    first, values = mean_per_step(start, scores, 200, 50)
    for i, value in enumerate(values):
        base = first + 50 * i
        over = [s for at, s in zip(start, scores) if at <= base < at + 200]
        assert np.isnan(value) if not over else value == pytest.approx(np.mean(over), abs=1e-6)


def test_a_bigwig_of_blocks_is_the_mean_of_overlapping_bins(tmp_path):
    bins = grid({"chr10": 2030, "chr1": 3000, "chr2": 2000}).take(
        np.r_[0:10, 12:59]
    )  # a gap, another order
    scores = np.random.default_rng(1).random(len(bins)).astype(np.float32)
    with open_predictions(tmp_path / "a.bw", bins, sizes=SIZES) as out:
        for at in range(0, len(bins), 7):
            out.write(scores[at : at + 7])
    signal = open_signal(tmp_path / "a.bw")
    assert signal.sizes == SIZES
    for name, low, high in bins.runs():
        total, count = np.zeros(SIZES[name]), np.zeros(SIZES[name])
        for row in range(low, high):
            span = slice(int(bins.start[row]), int(bins.start[row]) + 200)
            total[span] += scores[row]
            count[span] += 1
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(signal.read(name, SIZES[name]), total / count, rtol=1e-6)


def test_parquet_holds_the_bins_their_scores_and_what_they_are(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    bins = grid({"chr10": 1500, "chr2": 1500})
    scores = np.linspace(0, 1, 6).astype(np.float32)
    with open_predictions(tmp_path / "a.parquet", bins, about={"factor": "MAX"}) as out:
        for at in range(0, 6, 4):
            out.write(scores[at : at + 4])
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table["chrom"].to_pylist() == ["chr10"] * 3 + ["chr2"] * 3
    assert table["start"].to_pylist() == bins.start.tolist()
    assert table["stop"].to_pylist() == (bins.start + 200).tolist()
    assert np.array_equal(table["score"].to_numpy(), scores)
    assert table.schema.metadata[b"epilm.factor"] == b"MAX"


@pytest.mark.parametrize("name", ["a.bw", "a.parquet", "a.tab.gz"])
def test_predictions_that_end_early_or_go_wrong_leave_no_file(tmp_path, name):
    bins = grid({"chr1": 1500})
    with (
        pytest.raises(InputError, match=r"there are fewer scores than bins. Found 2; expected 3"),
        open_predictions(tmp_path / name, bins, sizes=SIZES) as out,
    ):
        out.write(np.array([0.1, 0.2]))
    with (
        pytest.raises(InputError, match=r"chr1:650-850: the score is no probability. Found nan"),
        open_predictions(tmp_path / name, bins, sizes=SIZES) as out,
    ):
        out.write(np.array([0.1, np.nan, 0.2]))
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_no_kind_and_bins_beyond_the_genome_are_refused(tmp_path):
    bins = grid({"chr1": 3000})
    with pytest.raises(
        UsageError, match=r"unknown kind of prediction file. Found a.csv; expected .tab.gz"
    ):
        open_predictions(tmp_path / "a.csv", bins)
    with pytest.raises(UsageError, match="a bigWig needs chromosome sizes"):
        open_predictions(tmp_path / "a.bw", bins)
    with pytest.raises(
        InputError,
        match=(
            r"the bins do not fit the genome. Found chr1:2200-2400; expected an end of at most 1000"
        ),
    ):
        open_predictions(tmp_path / "a.bw", bins, sizes={"chr1": 1000})
    with pytest.raises(InputError, match=r"expected a chromosome of the genome"):
        open_predictions(tmp_path / "a.bw", bins, sizes={"chr2": 9000})

"""Splits: shares, equal sequences together, places, and the names that are not there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.tasks.base import labelled
from epilm.tasks.splits import chromosome_split, overlap_between, random_split, split_rows


def some_rows(count, repeats=0, seed=0):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("ACGT"), 12)) for _ in range(count)]
    texts += texts[:repeats]
    return labelled(texts, rng.integers(0, 2, len(texts)))


@settings(max_examples=25, deadline=None)
@given(st.integers(40, 120), st.integers(0, 30), st.integers(0, 99))
def test_equal_sequences_fall_on_one_side(count, repeats, seed):
    rows = random_split(some_rows(count, repeats, seed), seed)
    assert overlap_between(rows).tolist() == [0, 0]
    assert set(rows.split) == {"train", "valid", "test"}


def test_shares_by_class_and_seed():
    rows = labelled(
        ["".join(t) for t in np.random.default_rng(0).choice(list("ACGT"), (1000, 20))],
        [0] * 700 + [1] * 300,
    )
    split = random_split(rows, 1)
    assert split.counts() == {"train": [560, 240], "valid": [70, 30], "test": [70, 30]}
    assert (random_split(rows, 1).split == split.split).all()
    assert (random_split(rows, 2).split != split.split).any()


def test_chromosome_split_drops_what_crosses_a_border():
    rows = labelled(
        ["ACGTA"] * 5, [0, 1, 0, 1, 0], chrom=["chr20"] * 4 + ["chr22"], start=[0, 8, 10, 50, 0]
    )
    split = chromosome_split(rows, valid=["chr20:10-100"], test=["chr22"])
    assert split.split.tolist() == ["train", "valid", "valid", "test"]
    assert split.notes == ("1 rows on a border or in no split were left out",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("20", "Found 20; expected one of chr20, chr22. The data calls it chr20"),
        ("chr5", "Found chr5; expected one of chr20, chr22. Choose among those"),
        ("chr20:9-3", "ends before it starts"),
    ],
)
def test_a_chromosome_that_is_not_there(name, message):
    rows = labelled(["ACGTA"] * 2, [0, 1], chrom=["chr20", "chr22"], start=[0, 0])
    with pytest.raises(InputError, match=message):
        chromosome_split(rows, test=[name])


def test_places_are_needed_and_splits_not_empty():
    with pytest.raises(InputError, match="2 of 2 rows without one"):
        chromosome_split(labelled(["A", "C"], [0, 1]), test=["chr1"])
    rows = labelled(["ACGTA"] * 2, [0, 1], chrom=["chr20", "chr22"], start=[0, 0])
    with pytest.raises(InputError, match="the valid split is empty"):
        chromosome_split(rows, test=["chr22"], valid=["chr20:1000-2000"])
    with pytest.raises(InputError, match="too few distinct sequences of a class"):
        random_split(labelled(["ACGTA"] * 9, [0, 1] * 4 + [0]), 0)


def test_auto_keeps_a_given_split_and_cuts_valid_from_train():
    rows = some_rows(200)
    given_rows = split_rows(random_split(rows, 0))
    assert (given_rows.split == random_split(rows, 0).split).all()
    by_hand = labelled(
        [rows.text(i) for i in range(200)], rows.labels, split=["train"] * 150 + ["test"] * 50
    )
    cut = split_rows(by_hand)
    assert (cut.split[150:] == "test").all()
    assert 10 <= (cut.split == "valid").sum() <= 20
    assert "the valid split is a random tenth of train" in cut.notes


def test_what_is_made_of_each_other_stays_on_one_side():
    rng = np.random.default_rng(0)
    codes = list(rng.integers(0, 4, (60, 12)).astype(np.uint8))
    family = [*range(30), *range(30)]  # each positive with the negative that is made of it
    rows = labelled(codes, [1] * 30 + [0] * 30, family=family)
    for seed in range(5):
        out = random_split(rows, seed)
        assert (out.split[:30] == out.split[30:]).all()
        assert {part: sum(n) for part, n in out.counts().items()} == {
            "train": 48,
            "valid": 6,
            "test": 6,
        }
    assert "60 sequences that are made of each other kept on one side" in out.notes

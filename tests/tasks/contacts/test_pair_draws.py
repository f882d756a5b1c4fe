"""All pairs within reach, and as many of one kind as of the other in each group."""

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.tasks.contacts import pair_draws
from epilm.tasks.contacts.pair_draws import distance_bins, match, within_reach


def test_pairs_within_reach_are_those_of_a_double_loop():
    rng = np.random.default_rng(0)
    first, second = np.unique(rng.integers(0, 500, 40)), np.unique(rng.integers(0, 500, 30))
    a, b = within_reach(first, second, 20, 90)
    plain = [(i, j) for i, x in enumerate(first) for j, y in enumerate(second) if 20 <= y - x <= 90]
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == plain
    none = within_reach(first, np.zeros(0, np.int64), 20, 90)
    assert len(none[0]) == len(none[1]) == 0


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(pair_draws, "MOST_PAIRS", 5)
    with pytest.raises(UsageError, match="--max-distance: there are more pairs.*Found 6 pairs on"):
        within_reach(np.arange(4), np.arange(4), 1, 9)


@pytest.mark.parametrize("ratio", [1, 2, 0.5])
def test_each_group_has_its_share_and_those_without_a_partner_are_counted(ratio):
    rng = np.random.default_rng(1)
    yes, no = rng.integers(0, 9, 200), rng.integers(2, 12, 150)
    taken = match(yes, no, ratio, seed=4)
    lacking = 0
    for group in range(12):
        there = int((yes == group).sum())
        kept = int((yes[taken.yes] == group).sum())
        drawn = int((no[taken.no] == group).sum())
        assert drawn == min(round(kept * ratio), int((no == group).sum()))
        assert kept == min(there, int((no == group).sum() / ratio))
        lacking += there - kept
    assert taken.lacking == lacking > 0
    assert (np.diff(taken.yes) > 0).all()
    assert (np.diff(taken.no) > 0).all()
    again, other = match(yes, no, ratio, seed=4), match(yes, no, ratio, seed=5)
    np.testing.assert_array_equal(taken.no, again.no)
    assert taken.no.tolist() != other.no.tolist()


def test_a_sixteenth_of_a_doubling_is_one_distance():
    bins = distance_bins(np.array([1 << 14, 1 << 15, 1 << 16]))
    assert np.diff(bins).tolist() == [16, 16]

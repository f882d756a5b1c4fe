"""What is drawn: runs of equal values, order of groups, the value that a coarse view shows."""

import numpy as np
import pytest

from epilm.exploring.track import GROUPS, Level, Track, TrackSpan, coarse, in_order

NAN = float("nan")


def level(values, start=0, step=1):
    return Level(start, step, np.array(values, np.float32))


def test_runs_written_out_are_the_values_again():
    rng = np.random.default_rng(0)
    for step in (1, 3):
        values = rng.choice([0.0, 1.0, 2.0, np.nan], 50).astype(np.float32)
        end = 20 + step * 50 - 2
        bases = np.full(end, np.nan)
        before = 0
        for a, b, value in level(values, 20, step).runs(end):
            assert a >= before
            bases[a:b], before = value, b
        np.testing.assert_array_equal(bases[20:], np.repeat(values, step)[: end - 20])
    assert list(level([]).runs(5)) == []


def test_a_track_says_of_what_kind_it_is_and_whether_there_is_anything():
    spans = Track("peaks", "peaks", ((TrackSpan(1, 5),), ()))
    numbers = Track("signal", "signals", (level([NAN]), level([NAN, 1.0])))
    assert (spans.numeric, numbers.numeric) == (False, True)
    assert not spans.empty
    assert not numbers.empty
    assert spans.take([1]).empty
    assert numbers.take([0]).empty
    assert numbers.take([1, 0]).parts == numbers.parts[::-1]


def test_groups_stand_in_their_order_and_tracks_of_one_as_they_came():
    tracks = [Track(f"{group}{n}", group, ()) for n in range(2) for group in reversed(GROUPS)]
    names = [track.name for track in in_order(tracks)]
    assert names == [f"{group}{n}" for group in GROUPS for n in range(2)]


@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_a_coarse_view_shows_the_value_farthest_from_0(step):
    values = np.random.default_rng(1).normal(size=30)
    values[[4, 5]] = np.nan
    shown = coarse(values, step)
    for at, value in enumerate(shown.tolist()):
        here = values[at * step : (at + 1) * step]
        known = here[np.isfinite(here)]
        expected = known[np.abs(known).argmax()] if len(known) else np.nan
        assert value == pytest.approx(expected, nan_ok=True, rel=1e-6)


def test_equal_neighbours_are_one_run_and_the_unknown_none():
    level = Level(5, 10, np.array([2, 2, np.nan, np.nan, 7], np.float32))
    assert list(level.runs(52)) == [(5, 25, 2.0), (45, 52, 7.0)]
    assert list(Level(0, 1, np.zeros(0, np.float32)).runs(9)) == []

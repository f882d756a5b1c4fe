"""A dot a seed, joined within a seed; differences with two standard errors."""

import numpy as np
from matplotlib.figure import Figure

from epilm.plots.paired import MANY, paired_gaps, paired_points

VALUES = {"plain, small": {0: 0.2, 1: 0.4}, "best": {1: 0.8, 2: 0.6}, "none": {}}


def test_each_seed_has_its_dot_and_a_line_over_the_arms_that_it_is_in():
    ax = paired_points(Figure().subplots(), VALUES, title="t", chance=0.1)
    dots = [sorted(np.round(c.get_offsets()[:, 1], 6).tolist()) for c in ax.collections]
    assert dots == [[0.2, 0.4], [0.6, 0.8]]
    lines = [np.array(line.get_xydata()) for line in ax.get_lines()]
    seeds = {tuple(map(tuple, line.tolist())) for line in lines[:3]}
    assert seeds == {((0.0, 0.2),), ((0.0, 0.4), (1.0, 0.8)), ((1.0, 0.6),)}
    means = [text.get_text() for text in ax.texts]
    assert means == ["0.300", "0.700"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["plain,\nsmall", "best", "none"]
    assert any((line[:, 1] == 0.1).all() for line in lines[3:])


def test_names_of_many_arms_are_turned():
    arms = {f"arm {number}": {0: 0.5} for number in range(MANY + 1)}
    ax = paired_points(Figure().subplots(), arms)
    assert {text.get_rotation() for text in ax.get_xticklabels()} == {35.0}


def test_a_gap_has_two_standard_errors_each_way_and_none_where_there_is_one_seed():
    gaps = [("more states", [0.1, 0.3], 0.2, 0.05), ("one seed", [0.4], 0.4, float("nan"))]
    ax = paired_gaps(Figure().subplots(), gaps)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["more states", "one seed"]
    bars = [c for c in ax.collections if hasattr(c, "get_segments")]
    (segment,) = bars[0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [0.1, 0.3])
    assert len(bars) == 1
    top, bottom = ax.get_ylim()
    assert top > bottom  # the first claim stands above

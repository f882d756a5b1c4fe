"""Letters as high as their numbers, stacked outwards; maps coloured by their values."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from epilm.plots.logo import LETTERS_UP_TO, change_map, information, letter_logo


def extents(ax):
    """(first, last, low, high) of everything drawn, by (collection, letter)."""
    out = []
    for collection in ax.collections:
        for path in collection.get_paths():
            box = path.get_extents()
            out.append((box.x0, box.x1, box.y0, box.y1))
    return sorted(out)


def test_letters_are_as_high_as_their_numbers_and_the_larger_stands_farther_out():
    heights = np.zeros((4, 2))
    heights[:, 0] = [1.0, 3.0, -2.0, np.nan]
    heights[2, 1] = 0.5
    ax = letter_logo(Figure().subplots(), heights, start=10)
    spans = [(round(low, 6), round(high, 6)) for _, _, low, high in extents(ax)]
    assert sorted(spans) == [(-2, 0), (0, 0.5), (0, 1), (1, 4)]
    assert all(first > 9.5 and last < 11.5 for first, last, _, _ in extents(ax))
    assert ax.get_xlim() == (9.4, 11.6)
    low, high = ax.get_ylim()
    assert low < -2
    assert high > 4


def test_more_columns_than_can_be_read_are_bars_of_the_same_height():
    n = LETTERS_UP_TO + 1
    heights = np.zeros((4, n))
    heights[1] = np.linspace(0.1, 1, n)
    drawn = extents(letter_logo(Figure().subplots(), heights))
    assert len(drawn) == n
    assert [high for *_, high in drawn] == pytest.approx(heights[1].tolist())
    assert drawn[3][:2] == pytest.approx((2.5, 3.5))


def test_nothing_but_zeros_can_be_drawn():
    assert extents(letter_logo(Figure().subplots(), np.zeros((4, 3)))) == []


def test_a_map_is_symmetric_about_no_change_and_grey_where_nothing_is_known():
    table = np.array([[0.0, -4.0, np.nan], [2.0, 1.0, 0.0]])
    ax = change_map(Figure().subplots(), table, ["A", "C"], start=5, label="change")
    image = ax.get_images()[0]
    assert image.norm.vmin == -image.norm.vmax
    assert image.norm.vmax == pytest.approx(4.0, abs=0.5)
    assert np.ma.getmaskarray(image.get_array()).tolist() == [[0, 0, 1], [0, 0, 0]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["A", "C"]
    assert ax.figure.axes[1].get_ylabel() == "change"
    empty = change_map(Figure().subplots(), np.full((1, 2), np.nan), ["A"])
    assert empty.get_images()[0].norm.vmax == 1.0


def test_information_of_a_column_is_two_bits_less_its_entropy():
    heights = information([[2, 2, 0, 0], [0.7, 0.1, 0.1, 0.1]])
    assert heights[:, 0].tolist() == [0.5, 0.5, 0, 0]
    entropy = -(0.7 * np.log2(0.7) + 0.3 * np.log2(0.1))
    assert heights[:, 1].sum() == pytest.approx(2 - entropy)

"""Pictures of a leaderboard: every value is where the table says, what is unknown is not drawn."""

import numpy as np

from epilm.plots.rank_plots import dataset_points, gain_bars, model_against_model, rank_heatmap
from epilm.plots.style import figure

DATASETS = ["A:x", "B:y", "C:z"]
VALUES = np.array([[0.2, 0.3], [0.7, 0.6], [np.nan, 0.1]])


def test_each_model_has_a_mark_on_each_dataset_it_entered():
    with figure() as (_, (ax,)):
        dataset_points(ax, DATASETS, ["m", "n"], VALUES)
        assert [t.get_text() for t in ax.get_yticklabels()] == [
            "B:y",
            "A:x",
            "C:z",
        ]  # the best on top
        marks = {c.get_label(): c.get_offsets() for c in ax.collections}
        np.testing.assert_allclose(np.ma.filled(marks["m"][:, 0], np.nan), [0.7, 0.2, np.nan])
        np.testing.assert_allclose(marks["n"][:, 0], [0.6, 0.3, 0.1])
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["m", "n"]


def test_wins_are_counted_over_what_both_entered():
    with figure() as (_, (ax,)):
        model_against_model(ax, DATASETS, VALUES[:, 0], VALUES[:, 1], ("m", "n"))
        assert ax.get_title(loc="left") == "n is better on 1 of 2"
        assert ax.collections[0].get_offsets().tolist() == [[0.2, 0.3], [0.7, 0.6]]
        assert {t.get_text() for t in ax.texts} == {"A:x", "B:y"}


def test_names_are_left_out_rather_than_laid_over_points():
    crowd = [f"F{i}:liver" for i in range(30)]
    with figure() as (_, (ax,)):
        model_against_model(ax, crowd, np.full(30, 0.4), np.linspace(0.5, 0.52, 30), ("m", "n"))
        assert 0 < len(ax.texts) < 30


def test_gains_are_sorted_and_signed():
    with figure() as (_, (ax,)):
        gain_bars(ax, DATASETS, VALUES[:, 0], VALUES[:, 1], ("m", "n"))
        assert [t.get_text() for t in ax.texts] == ["+0.100", "-0.100"]
        assert [t.get_text() for t in ax.get_yticklabels()] == ["A:x", "B:y"]
        assert ax.get_title(loc="left") == "n minus m, median +0.000"
        assert np.allclose([p.get_width() for p in ax.patches], [0.1, -0.1])


def test_ranks_stand_in_their_cells_and_a_dash_where_there_is_none():
    for models in (["m", "n"], ["m", "a name that is rather long"]):
        with figure() as (fig, (ax,)):
            rank_heatmap(ax, DATASETS, models, [[1, 2], [2, 1], [np.nan, 1]], [2, 1])
            assert [t.get_text() for t in ax.texts] == ["1", "2", "2", "1", "–", "1", "2", "1"]
            assert [t.get_text() for t in ax.get_yticklabels()] == [*DATASETS, "overall"]
            fig.canvas.draw()  # nothing stands over the title
            title = ax._left_title.get_window_extent()
            assert not any(title.overlaps(t.get_window_extent()) for t in ax.get_xticklabels())

"""Curves: what is drawn is what the table says."""

import numpy as np
import pytest

from epilm.plots.line_plots import pr_points, retrieval_curve, roc_points, training_curve
from epilm.plots.style import figure

ROWS = [
    {"step": 0, "split": "valid", "loss": 3.0, "loss_chance": 2.5},
    *({"step": s, "split": "train", "loss": 3.0 - s / 10} for s in range(1, 6)),
    {"step": 5, "split": "valid", "loss": 2.6, "loss_chance": 2.5},
    {"step": 6, "split": "train", "loss": None},
]


def test_training_curve_draws_both_splits_and_chance_and_skips_missing_values():
    with figure() as (_, (ax,)):
        training_curve(ax, ROWS, "loss", title="Loss")
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert list(lines) == ["training", "held-out", "chance 2.5"]
        assert lines["training"].get_xdata().tolist() == [1, 2, 3, 4, 5]
        assert lines["held-out"].get_ydata().tolist() == [3.0, 2.6]
        assert lines["chance 2.5"].get_ydata() == [2.5, 2.5]
        assert ax.get_title(loc="left") == "Loss"


def test_one_epoch_is_a_point_that_can_be_seen_at_a_whole_number():
    with figure() as (fig, (ax,)):
        training_curve(ax, [{"step": 1, "split": "train", "loss": 0.5}], "loss")
        fig.canvas.draw()
        assert ax.lines[0].get_marker() == "o"
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1"]


def test_roc_and_pr_points_agree_with_scikit_learn_also_with_ties():
    from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 300)
    scores = np.round(labels * 0.3 + generator.random(300), 1)
    x, y = roc_points(labels, scores)
    assert auc(x, y) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    recall, precision = pr_points(labels, scores)
    theirs, ours_recall, _ = precision_recall_curve(labels, scores)
    assert precision == pytest.approx(theirs[:-1][::-1].tolist())
    assert recall == pytest.approx(ours_recall[:-1][::-1].tolist())


def test_retrieval_curve_ends_at_one():
    with figure() as (_, (ax,)):
        retrieval_curve(ax, {"model": [1, 3, 8]}, pool=10)
        line = ax.get_lines()[0]
        assert line.get_ydata()[0] == pytest.approx(1 / 3)
        assert line.get_ydata()[-1] == 1.0

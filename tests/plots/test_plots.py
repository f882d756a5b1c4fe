"""Pictures: what is drawn is what the table says, and the file is the same each time."""

import base64
import subprocess
import sys

import numpy as np
import pytest

from epilm.plots.curves import pr_points, retrieval_curve, roc_curves, roc_points, training_curve
from epilm.plots.pictures import factor_heatmap, metric_bars, project, scatter
from epilm.plots.style import as_image, figure

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


def test_bars_show_mean_and_seeds():
    with figure() as (_, (ax,)):
        metric_bars(ax, {"a": [0.8, 0.6], "b": [0.5]}, chance=0.5)
        assert [round(bar.get_width(), 3) for bar in ax.patches] == [0.7, 0.5]
        assert [text.get_text() for text in ax.texts] == ["0.700", "0.500"]


def test_retrieval_curve_ends_at_one():
    with figure() as (_, (ax,)):
        retrieval_curve(ax, {"model": [1, 3, 8]}, pool=10)
        line = ax.get_lines()[0]
        assert line.get_ydata()[0] == pytest.approx(1 / 3)
        assert line.get_ydata()[-1] == 1.0


def test_heatmap_and_scatter_hold_what_they_are_given():
    with figure(columns=2) as (fig, (left, right)):
        factor_heatmap(left, np.arange(12.0).reshape(4, 3), ["A", "B", "C"])
        assert left.images[0].get_array().shape == (4, 3)
        assert [t.get_text() for t in left.get_xticklabels()] == ["A", "B", "C"]
        scatter(right, [[0, 0], [1, 1], [2, 2]], ["x", "y", "x"])
        assert [len(c.get_offsets()) for c in right.collections] == [2, 1]
        assert base64.b64decode(as_image(fig, "png").split(",")[1])[:4] == b"\x89PNG"


def test_the_same_figure_gives_the_same_text():
    def draw() -> str:
        with figure() as (fig, (ax,)):
            roc_curves(ax, {"m": ([1, 0, 1], [0.9, 0.2, 0.4])})
            return as_image(fig)

    assert draw() == draw()


def test_projection_brings_separate_groups_apart():
    generator = np.random.default_rng(1)
    table = np.concatenate([generator.normal(0, 0.1, (20, 6)), generator.normal(5, 0.1, (20, 6))])
    points = project(table, "tsne")
    assert points.shape == (40, 2)
    centres = points[:20].mean(0), points[20:].mean(0)
    assert np.linalg.norm(centres[0] - centres[1]) > points[:20].std()


def test_matplotlib_is_imported_by_plots_alone():
    code = (
        "import sys, epilm.playground.simulate, epilm.plots.page; print('matplotlib' in"
        " sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

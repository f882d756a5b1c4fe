"""Pictures: what is drawn is what is given."""

import base64

import numpy as np

from epilm.plots.pictures import factor_heatmap, metric_bars, project, scatter
from epilm.plots.style import as_image, figure


def test_bars_show_mean_and_seeds():
    with figure() as (_, (ax,)):
        metric_bars(ax, {"a": [0.8, 0.6], "b": [0.5]}, chance=0.5)
        assert [round(bar.get_width(), 3) for bar in ax.patches] == [0.7, 0.5]
        assert [text.get_text() for text in ax.texts] == ["0.700", "0.500"]


def test_heatmap_and_scatter_hold_what_they_are_given():
    with figure(columns=2) as (fig, (left, right)):
        factor_heatmap(left, np.arange(12.0).reshape(4, 3), ["A", "B", "C"])
        assert left.images[0].get_array().shape == (4, 3)
        assert [t.get_text() for t in left.get_xticklabels()] == ["A", "B", "C"]
        scatter(right, [[0, 0], [1, 1], [2, 2]], ["x", "y", "x"])
        assert [len(c.get_offsets()) for c in right.collections] == [2, 1]
        assert base64.b64decode(as_image(fig, "png").split(",")[1])[:4] == b"\x89PNG"


def test_projection_brings_separate_groups_apart():
    generator = np.random.default_rng(1)
    table = np.concatenate([generator.normal(0, 0.1, (20, 6)), generator.normal(5, 0.1, (20, 6))])
    points = project(table, "tsne")
    assert points.shape == (40, 2)
    centres = points[:20].mean(0), points[20:].mean(0)
    assert np.linalg.norm(centres[0] - centres[1]) > points[:20].std()

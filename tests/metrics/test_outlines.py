"""Outlines against counts by hand and scikit-learn; thinning keeps a curve's ends and its area."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from epilm.metrics.outlines import (
    calibration,
    confusion_of,
    evenly,
    outline,
    outline_of_numbers,
)
from epilm.metrics.sites import SiteTally


def test_curves_are_scikit_learns_at_every_score_of_a_positive():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.random(60) + 0.3 * labels, 2)
    said = outline(labels, scores, probabilities=False)
    precision, recall, cuts = precision_recall_curve(labels, scores)
    theirs = dict(zip(cuts.tolist(), zip(recall, precision)))
    for r, p, cut in said["precision_recall"]:
        assert (r, p) == pytest.approx(theirs[cut])
    false, true, cuts = roc_curve(labels, scores, drop_intermediate=False)
    theirs = dict(zip(cuts.tolist(), zip(false, true)))
    for f, t, cut in said["roc"]:
        assert (f, t) == pytest.approx(theirs[cut])
    assert "calibration" not in said


def test_a_long_curve_keeps_its_ends_and_its_area():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 40_000)
    scores = rng.normal(size=40_000) + labels
    said = outline(labels, scores, probabilities=False)
    x, y, _ = np.array(said["roc"]).T
    assert len(x) <= 302
    assert (y[0] < 0.01, y[-1]) == (True, 1.0)
    false, true, _ = roc_curve(labels, scores)
    assert np.trapezoid(y, x) == pytest.approx(np.trapezoid(true, false), abs=2e-3)
    assert evenly(np.zeros(5), np.zeros(5), 3).tolist() == [0, 4]


def test_what_is_not_known_is_left_out_and_one_class_has_no_curve():
    said = outline([1, -1, 0, 0], [0.9, 0.8, 0.6, 0.1], ["chr2", "chr2", "chr10", ""])
    assert (said["n"], said["positives"]) == (3, 1)
    assert said["confusion"] == [[1, 1], [0, 1]]
    assert said["chroms"] == [["chr2", 1, 1, None, None], ["chr10", 1, 0, None, None]]
    one = outline([1, 1], [0.9, 0.8])
    assert "roc" not in one
    assert one["confusion"] == [[0, 0], [0, 2]]


def test_calibration_counts_each_row_once_the_last_bin_with_its_end():
    rows = calibration(np.array([True, True, False, False]), np.array([1.0, 0.95, 0.0, 0.5]), 2)
    assert rows == [[0.0, 0.5, 1, 0.0, 0.0], [0.5, 1.0, 3, pytest.approx(0.81667, 1e-4), 2 / 3]]


def test_numbers_have_points_and_a_correlation_a_chromosome():
    said = outline_of_numbers([1, 2, 3, np.nan], [2, 4, 6, 0], ["a", "a", "a", "b"])
    assert said["points"] == [[1, 2], [2, 4], [3, 6]]
    assert said["chroms"] == [["a", 3, pytest.approx(1.0)]]
    many = outline_of_numbers(np.arange(5000.0), np.arange(5000.0))
    assert (many["n"], len(many["points"])) == (5000, 1667)


def test_confusion_counts_true_by_likeliest():
    said = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])
    counts = confusion_of(np.array([0, 1, 1]), said, "abc")["counts"]
    assert counts == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_sites_block_by_block_are_outlined_as_all_at_once():
    rng = np.random.default_rng(2)
    labels = rng.integers(-1, 3, (6, 20)).astype(np.int8)
    said = rng.dirichlet((1, 1, 1), (6, 20))
    whole, pieces = (SiteTally(("neither", "acceptor", "donor")) for _ in range(2))
    chroms = ["chr1"] * 4 + ["chr2"] * 2
    whole.add(labels, said, chroms)
    for at in range(0, 6, 2):
        pieces.add(labels[at : at + 2], said[at : at + 2], chroms[at : at + 2])
    made, joined = whole.outlines(), pieces.outlines()
    assert joined["outputs"] == made["outputs"]
    assert joined["confusion"] == made["confusion"]
    np.testing.assert_allclose(joined["calibration"]["any site"], made["calibration"]["any site"])
    known = labels[labels >= 0]
    assert made["outputs"]["donor"]["positives"] == (known == 2).sum()
    assert sum(map(sum, made["confusion"]["counts"])) == len(known)
    assert [row[1] for row in made["outputs"]["donor"]["chroms"]] == [
        (labels[:4] >= 0).sum(),
        (labels[4:] >= 0).sum(),
    ]
    assert sum(row[2] for row in made["calibration"]["any site"]) == len(known)

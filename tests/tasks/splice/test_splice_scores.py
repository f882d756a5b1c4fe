"""The table that is printed, the rule of two letters beside it, and what is doubtful."""

import numpy as np

from epilm.metrics.sites import SiteTally
from epilm.tasks.splice.splice_scores import SpliceEvaluation, said_of_rule, warnings_of

NAMES = ("neither", "acceptor", "donor")


def tables(labels, said):
    tally = SiteTally(NAMES)
    tally.add(np.array(labels, np.int8), np.array(said))
    return tally.tables()


def test_the_rule_finds_gt_behind_donors_and_ag_before_acceptors():
    # A C|G T ... A G|C: the donor is base 1, the acceptor base 6
    codes = np.array([[0, 1, 2, 3, 0, 2, 1, 1]], np.uint8)
    said = said_of_rule(codes, 8)
    assert (said[0, :, 2] > 0.1).nonzero()[0].tolist() == [1]
    assert (said[0, :, 1] > 0.1).nonzero()[0].tolist() == [6]
    inner = said_of_rule(np.pad(codes, ((0, 0), (3, 3)), constant_values=4), 8)
    np.testing.assert_allclose(inner, said)


def test_a_table_prints_classes_their_mean_and_what_stands_beside():
    mine = tables([[0, 1, 2]], [[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.3, 0.2, 0.5]]])
    done = SpliceEvaluation({"test": mine}, {"GT..AG": {"test": mine}}, ["odd"], ["left out"])
    lines = done.text().splitlines()
    assert lines[0] == "test: 3 bases (of what stands beside: the mean)"
    assert lines[1].split() == ["acceptor", "donor", "mean", "GT..AG"]
    assert next(line for line in lines if line.startswith("top_k ")).split()[1:] == ["1.0000"] * 4
    assert lines[-2:] == ["WARNING: odd", "note: left out"]
    assert done.as_dict()["scores"]["test"]["mean"]["ap"] == 1.0


def test_collapse_ties_and_missing_sites_are_said():
    said = np.tile([0.8, 0.1, 0.1], (1, 30, 1))
    labels = np.zeros((1, 30), np.int8)
    labels[0, 4] = 1
    lines = warnings_of(tables(labels, said), "test")
    assert lines[0].startswith("COLLAPSE on test, acceptor: flat scores")
    assert lines[1].startswith("test, acceptor: 30 bases have the score of the cut of top-k")
    assert "test has no donor: top-k and AP are undefined" in lines

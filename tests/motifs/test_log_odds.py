"""Log-odds scores of a motif, by hand and against MOODS."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.motifs.formats import Motif
from epilm.motifs.log_odds import log_odds
from epilm.motifs.pwm import (
    reverse_complement,
)


@pytest.mark.parametrize(
    ("column", "scale", "pseudocount", "match", "mismatch"),
    [
        ([1, 0, 0, 0], 1.0, 1.0, 0.9163, -0.6931),
        ([100, 0, 0, 0], 1.0, 1.0, 1.3788, -4.6151),
        ([100, 0, 0, 0], np.log(2), 0.8, 1.9914, -6.9773),  # the last two in bits
    ],
)
def test_worked_log_odds(column, scale, pseudocount, match, mismatch):
    scores = log_odds([column], pseudocount=pseudocount)[0] / scale
    assert scores.round(4).tolist() == pytest.approx([match, *[mismatch] * 3], abs=1e-4)


def test_frequencies_of_known_sites_count_as_those_sites():
    frequencies = Motif("M1", "x", np.array([[1.0, 0, 0, 0]]), is_counts=False, sites=100)
    assert log_odds(frequencies)[0, 0] == pytest.approx(1.3788, abs=1e-4)
    unknown = Motif("M1", "x", np.array([[1.0, 0, 0, 0]]), is_counts=False)
    assert log_odds(unknown)[0, 0] == pytest.approx(0.9163, abs=1e-4)


def test_no_pseudocount_makes_the_impossible_minus_infinity():
    assert log_odds([[10, 0, 0, 0]], pseudocount=0).tolist() == [
        [np.log(4), -np.inf, -np.inf, -np.inf]
    ]


@pytest.mark.parametrize("bg", [[0.5, 0.5, 0, 0], [0.3, 0.3, 0.3, 0.3], [1, 2, 3], [np.nan] * 4])
def test_a_background_must_be_a_distribution(bg):
    with pytest.raises(InputError, match="four positive probabilities"):
        log_odds([[1, 0, 0, 0]], bg)


def test_log_odds_equal_moods():
    tools = pytest.importorskip("MOODS.tools")
    counts = np.random.default_rng(2).integers(0, 30, (7, 4)) + 1
    bg = [0.3, 0.2, 0.2, 0.3]
    peer = np.array(tools.log_odds(counts.T.astype(float).tolist(), bg, 0.7)).T
    np.testing.assert_allclose(log_odds(counts, bg, 0.7), peer, atol=1e-12)


def test_the_reverse_strand_reverses_columns_and_bases():
    pwm = np.arange(12.0).reshape(3, 4)
    assert reverse_complement(pwm)[0].tolist() == [11, 10, 9, 8]
    np.testing.assert_array_equal(reverse_complement(reverse_complement(pwm)), pwm)

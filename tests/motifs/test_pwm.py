"""Log-odds, backgrounds and cuts: worked numbers, brute force over all words, and MOODS where it is
there.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.motifs.formats import read_motifs
from epilm.motifs.log_odds import UNIFORM, log_odds
from epilm.motifs.pwm import (
    HEAD_WORDS,
    SLACK_NATS,
    PValues,
    base_background,
    gc_bins,
    tail_table,
    threshold,
    thresholds,
)

ONE_HOT = np.eye(4)[[0] * 12]


def test_a_negative_pseudocount_and_p_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"pseudocount must be at least 0. Found -1"):
        log_odds([[1, 0, 0, 0]], pseudocount=-1)
    for p in (0, 1, -0.1, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            threshold(ONE_HOT, p)
    with pytest.raises(InputError, match="allow_best or exact"):
        threshold(ONE_HOT, 0.1, short="both")


@pytest.mark.parametrize(
    ("width", "p", "cut"),
    [
        (8, 1e-4, 5.723),
        (8, 5e-5, 5.723),
        (8, 1e-7, 6.5256),
        (12, 1e-7, 9.389),
        (6, 1e-4, 4.693),
        (6, 5e-5, 4.693),
        (6, 1e-7, 4.693),
    ],
)
def test_worked_cuts_of_one_hot_frequencies(width, p, cut):
    pwm = log_odds(ONE_HOT[:width])
    assert pwm.max(axis=1).sum() == pytest.approx(
        {6: 5.4977, 8: 7.3303, 12: 10.9955}[width], abs=1e-4
    )
    assert threshold(pwm, p) == pytest.approx(cut, abs=0.003)
    exact = threshold(pwm, p, short="exact")
    assert exact == (np.inf if 0.25**width > p else threshold(pwm, p))


def test_the_report_of_motifs_that_cannot_reach_the_cut():
    cuts = thresholds([log_odds(ONE_HOT[:w]) for w in (6, 8, 12)], 1e-7)
    assert cuts.unreachable.tolist() == [True, True, False]
    np.testing.assert_allclose(cuts.minimum_p, [2.44e-4, 1.53e-5, 5.96e-8], rtol=0.01)


def all_words(pwm, bg):
    """Score and probability of every word of the motif's width."""
    words = np.array(list(itertools.product(range(4), repeat=len(pwm))))
    return pwm[np.arange(len(pwm)), words].sum(axis=1), np.asarray(bg)[words].prod(axis=1)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(
        st.lists(st.integers(0, 30), min_size=4, max_size=4).filter(sum), min_size=1, max_size=6
    ),
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=2),
    p=st.sampled_from([0.5, 0.1, 0.01, 1e-3, 1e-4]),
)
def test_a_cut_keeps_its_p_and_is_nearly_the_lowest_that_does(counts, weights, p):
    bg = np.array([weights[0], weights[1], weights[1], weights[0]]) / (2 * sum(weights))
    pwm = log_odds(counts, bg)
    scores, chance = all_words(pwm, bg)
    cut = thresholds([pwm], p, bg, short="exact")
    ceiling = scores.max()
    assert cut.minimum_p[0] == pytest.approx(chance[np.isclose(scores, ceiling)].sum())
    if cut.unreachable[0]:
        assert cut.scores[0] == np.inf
        return
    assert chance[scores >= cut.scores[0]].sum() <= p * (1 + 1e-9)
    lower = min(cut.scores[0] - SLACK_NATS - 1e-6, ceiling)
    assert (
        chance[scores >= lower].sum() > p * (1 - 1e-9) or cut.scores[0] <= scores.min() + SLACK_NATS
    )


def test_p_values_over_the_whole_range_match_all_words():
    rng = np.random.default_rng(0)
    bg = np.array([0.3, 0.2, 0.2, 0.3])
    pwm = log_odds(rng.integers(0, 20, (6, 4)) + np.eye(4)[rng.integers(0, 4, 6)], bg)
    scores, chance = all_words(pwm, bg)
    table, best, step = tail_table(pwm, bg)
    for score in np.quantile(scores, [0.01, 0.3, 0.9, 0.999, 1]):
        near = [chance[scores >= score + shift].sum() for shift in (3 * step, -3 * step)]
        assert near[0] - 1e-12 <= table[round((best - score) / step)] <= near[1] + 1e-12


@pytest.mark.parametrize("bg", [[0.25] * 4, [0.3, 0.2, 0.2, 0.3]], ids=["uniform", "AT"])
@pytest.mark.parametrize("width", [1, 3, 6, 7])
def test_p_values_of_the_best_words_are_exact(width, bg):
    """Counts of few sites give many words of one score, where rounded scores go astray."""
    rng = np.random.default_rng(width)
    for _ in range(4):
        counts = rng.multinomial(9, rng.dirichlet([0.5] * 4), size=width) + 0.0
        counts[0] = [3, 3, 0, 3]  # three bases of one score
        pwm = log_odds(counts, bg)
        scores, chance = all_words(pwm, np.array(bg))
        order = np.argsort(-scores)
        scores, tails = scores[order], np.cumsum(chance[order])
        last = np.searchsorted(-scores, -scores + 1e-7, side="right") - 1
        given = PValues(pwm, bg)(scores.astype(np.float32))
        head = slice(0, min(HEAD_WORDS, len(scores)) // 2)
        np.testing.assert_allclose(given[head], tails[last][head], rtol=1e-9)
        np.testing.assert_allclose(np.log10(given), np.log10(tails[last]), atol=0.03)
        assert (np.diff(given) >= -1e-12).all()


def test_a_motif_without_information_has_p_one_everywhere():
    assert PValues(log_odds(np.full((9, 4), 5.0)))(np.array([0.0])).tolist() == [1.0]


def test_impossible_words_are_not_counted():
    pwm = log_odds([[9, 1, 0, 0], [0, 9, 0, 1]], pseudocount=0)
    given = PValues(pwm)(np.array([pwm.max(axis=1).sum(), pwm[0, 1] + pwm[1, 3]]))
    assert given.tolist() == pytest.approx([1 / 16, 4 / 16])


def test_the_worked_case_of_a_short_motif(real_data):
    file = real_data / "motifs" / "JASPAR2018_CORE_vertebrates_non-redundant.counts.jaspar.gz"
    motif = next(one for one in read_motifs(file) if one.id == "MA0607.1")
    # Four of its 4**8 words score 8.2071 or more; a table of rounded scores gave 1.07e-4.
    assert PValues(log_odds(motif))(np.array([8.2071]))[0] == pytest.approx(4 / 4**8)


def test_moods_agrees_within_three_hundredths_of_a_bit():
    tools = pytest.importorskip("MOODS.tools")
    rng = np.random.default_rng(1)
    for width in (6, 9, 14, 20):
        weights = rng.dirichlet([0.3] * 4, size=width)
        pwm = log_odds(rng.multinomial(50, weights))
        peer = tools.threshold_from_p(pwm.T.tolist(), [0.25] * 4, 1e-4)
        assert threshold(pwm, 1e-4) == pytest.approx(peer, abs=0.03 * np.log(2))
        moods = np.array(
            tools.log_odds(rng.integers(1, 9, (4, width)).tolist(), [0.3, 0.2, 0.2, 0.3], 0.7)
        )
        assert moods.shape == (4, width)


def test_threads_change_nothing():
    rng = np.random.default_rng(3)
    pwms = [log_odds(rng.integers(0, 9, (w, 4)) + 1) for w in range(5, 25)]
    one, two = thresholds(pwms, 1e-4), thresholds(pwms, 1e-4, threads=2)
    np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(one.minimum_p, two.minimum_p)


def test_backgrounds_average_the_strands_and_ignore_n():
    codes = np.array([0] * 6 + [1] * 2 + [4] * 50, dtype=np.uint8)
    weak, strong = 6 / 2 + 1, 2 / 2 + 1
    assert base_background(codes).tolist() == pytest.approx(
        [weak / 12, strong / 12, strong / 12, weak / 12]
    )
    assert base_background(np.full(5, 4, dtype=np.uint8)).tolist() == UNIFORM.tolist()


def test_regions_fall_into_gc_quantiles_with_their_own_background():
    codes = np.concatenate(
        [np.full(10, 0), np.full(10, 1), np.tile([0, 1], 5), np.full(10, 4)]
    ).astype(np.uint8)
    starts = np.array([0, 10, 20, 30])
    group, backgrounds = gc_bins(codes, starts, starts + 10, bins=25)
    assert group[0] == group[3] == 0  # no GC, and nothing but N
    assert group.tolist() == [0, 2, 1, 0]
    assert backgrounds.shape == (3, 4)
    np.testing.assert_allclose(backgrounds.sum(axis=1), 1)
    assert backgrounds[2, 1] > backgrounds[1, 1] > backgrounds[0, 1]
    none, empty = gc_bins(codes, starts[:0], starts[:0])
    assert len(none) == len(empty) == 0

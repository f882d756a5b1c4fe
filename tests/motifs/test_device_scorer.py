"""Scores by products and by tables are those of the plain loop, on either strand, around every
N.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.motifs.device_scorer import DeviceScorer
from epilm.motifs.log_odds import log_odds
from epilm.motifs.scan import best_scores


def motifs(seed, n=9, pseudocount=0.1):
    rng = np.random.default_rng(seed)
    return [
        log_odds(rng.integers(0, 30, (int(rng.integers(4, 22)), 4)) + 1, pseudocount=pseudocount)
        for _ in range(n)
    ]


FORMS = [("product", "fp32"), ("product", "tf32x3"), ("lookup", "fp32")]


@pytest.mark.parametrize(("form", "kind"), FORMS)
def test_best_scores_are_those_of_the_scan(form, kind):
    rng = np.random.default_rng(1)
    codes = rng.choice(5, (23, 120), p=[0.24, 0.24, 0.24, 0.24, 0.04]).astype(np.uint8)
    codes[3] = 4
    pwms = motifs(2)
    starts = np.arange(23) * 120
    want = best_scores(codes.reshape(-1), starts, starts + 120, pwms, threads=1)
    got = (
        DeviceScorer(pwms, form=form, kind=kind, chunk_bytes=50_000)
        .best(torch.from_numpy(codes))
        .numpy()
    )
    assert np.array_equal(np.isinf(got), np.isinf(want))
    assert np.isinf(got[3]).all()
    held = np.isfinite(want)
    assert np.abs(got[held] - want[held]).max() < 1e-5


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.sampled_from(FORMS))
def test_any_sequence_gives_what_a_plain_loop_gives(bases, form):
    pwms = motifs(5, n=3)
    best = []
    for pwm in pwms:
        strands = [pwm, pwm[::-1, ::-1]]
        scores = [
            sum(strand[i, bases[at + i]] for i in range(len(pwm)))
            for strand in strands
            for at in range(len(bases) - len(pwm) + 1)
            if 4 not in bases[at : at + len(pwm)]
        ]
        best.append(max(scores, default=-np.inf))
    got = DeviceScorer(pwms, form=form[0], kind=form[1]).best(
        torch.tensor([bases], dtype=torch.uint8)
    )[0]
    np.testing.assert_allclose(got.numpy(), best, atol=1e-5)


@pytest.mark.parametrize(("form", "kind"), FORMS)
def test_an_impossible_base_stays_impossible(form, kind):
    pwm = log_odds([[5, 0, 0, 0]] * 6, pseudocount=0)
    scorer = DeviceScorer([pwm], form=form, kind=kind)
    found = scorer.best(torch.tensor([[0] * 7, [0, 0, 0, 1, 0, 0, 0]], dtype=torch.uint8))
    assert found[0, 0] == pytest.approx(6 * np.log(4), abs=1e-5)
    assert found[1, 0] == -np.inf


def test_what_is_no_score_matrix_is_refused():
    with pytest.raises(
        InputError, match=r"motif 1: a score matrix has another shape|another shape.*motif 1"
    ):
        DeviceScorer([np.zeros((3, 4)), np.zeros((3, 5))])

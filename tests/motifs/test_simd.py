"""Kinds of vector instructions give the same scores."""

import numpy as np
import pytest

from epilm.motifs.log_odds import log_odds
from epilm.motifs.pwm import thresholds
from epilm.motifs.scan import BestScorer, HitScanner
from epilm.motifs.simd import available_kinds, chosen_kind

from .reference import plain_best, plain_hits, random_motifs


def listed(hits):
    return list(
        zip(hits.motif.tolist(), hits.start.tolist(), hits.strand.tolist(), hits.score.tolist())
    )


def assert_same_hits(found, expected):
    assert [hit[:3] for hit in found] == [hit[:3] for hit in expected]
    np.testing.assert_allclose(
        [hit[3] for hit in found], [hit[3] for hit in expected], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("kind", available_kinds())
def test_every_kind_of_lookup_equals_the_plain_loop(kind):
    rng = np.random.default_rng(kind)
    widths = [1, 2, 3, 4, 6, 9, 11, 14, 18, 21, 25, 31, 40]
    pwms = [log_odds(m) for m in random_motifs(rng, widths)]
    codes = rng.choice(5, size=700, p=[0.25, 0.24, 0.25, 0.25, 0.01]).astype(np.uint8)
    cuts = thresholds(pwms, 0.02).scores
    found = HitScanner(pwms, cuts, kind=(0,) * kind).hits(codes, 0, len(codes), dedup=True)
    assert_same_hits(sorted(listed(found)), sorted(plain_hits(codes, pwms, cuts)))
    starts = np.array([0, 5, 100, 130, 600, 690, 7])
    ends = np.array([700, 50, 300, 133, 700, 700, 7])
    expected = plain_best(codes, starts, ends, pwms)
    for floor in (False, True):
        out = np.empty(expected.shape, dtype=np.float32)
        BestScorer(pwms, floor=floor, kind=(0,) * kind).best(codes, starts, ends, out)
        np.testing.assert_allclose(out, np.maximum(expected, 0) if floor else expected, rtol=1e-6)


def test_a_lesser_kind_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("EPILM_SIMD", "portable")
    assert chosen_kind() == ()
    monkeypatch.setenv("EPILM_SIMD", "nonsense")
    assert len(chosen_kind()) == available_kinds()[0]

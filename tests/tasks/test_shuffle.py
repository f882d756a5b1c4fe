"""The dinucleotide shuffle: protocols 10.1, its outcomes and their frequencies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.tasks import shuffle
from epilm.tasks.base import LETTERS, encode_text


def draw(text: str, times: int, n: str = "stretches") -> dict[str, int]:
    codes = encode_text(text, "test")
    rng = np.random.default_rng(1)
    met: dict[str, int] = {}
    for _ in range(times):
        key = LETTERS[shuffle.dinucleotide_shuffle(codes, rng, n=n)].tobytes().decode()
        met[key] = met.get(key, 0) + 1
    return met


@pytest.mark.parametrize(
    ("text", "other"), [("AGACTAC", "ACTAGAC"), ("ACGACTGA", "ACTGACGA"), ("ATATCATG", "ATCATATG")]
)
def test_both_outcomes_come_equally_often(text, other):
    met = draw(text, 10_000)
    assert set(met) == {text, other}
    assert met[text] / 10_000 == pytest.approx(0.5, abs=0.015)


def test_a_sequence_with_one_arrangement_comes_back():
    assert draw("AACGT", 50) == {"AACGT": 50}


@settings(max_examples=80, deadline=None)
@given(
    st.text("ACGTN", min_size=1, max_size=60),
    st.integers(0, 1000),
    st.sampled_from(["stretches", "letter"]),
)
def test_counts_and_ends_are_kept(text, seed, n):
    codes = encode_text(text, "test")
    out = shuffle.dinucleotide_shuffle(codes, np.random.default_rng(seed), n=n)
    assert len(out) == len(codes)
    assert (out[0], out[-1]) == (codes[0], codes[-1])
    assert (shuffle.dinucleotide_counts(out) == shuffle.dinucleotide_counts(codes)).all()
    if n == "stretches":
        assert ((out == 4) == (codes == 4)).all()


def test_every_arrangement_is_equally_likely_when_there_are_many():
    # All arrangements of a sequence by exhaustive search against the draws.
    text = "ACAGATCAGC"
    met = draw(text, 6_000)
    counts = shuffle.dinucleotide_counts(encode_text(text, "test"))

    def walks(done: str, left: np.ndarray) -> set[str]:
        if not left.any():
            return {done}
        a = "ACGTN".index(done[-1])
        found: set[str] = set()
        for b in range(4):
            if left[a, b]:
                rest = left.copy()
                rest[a, b] -= 1
                found |= walks(done + "ACGTN"[b], rest)
        return found

    possible = walks(text[0], counts)
    assert set(met) == possible
    expected = 6_000 / len(possible)
    chi2 = sum((met[k] - expected) ** 2 / expected for k in possible)
    assert chi2 < len(possible) + 5 * np.sqrt(2 * len(possible))


def test_rows_depend_on_seed_and_row_number_alone():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (6, 40)).astype(np.uint8)
    lengths = np.array([40, 40, 30, 40, 20, 40])
    whole = shuffle.shuffle_rows(codes, lengths, seed=5)
    first = shuffle.shuffle_rows(codes[:3], lengths[:3], seed=5)
    assert (whole.codes[:3] == first.codes).all()
    assert (whole.codes[2, 30:] == codes[2, 30:]).all()
    assert (shuffle.shuffle_rows(codes, lengths, seed=6).codes != whole.codes).any()


def test_low_diversity_falls_back_to_bases_or_is_flagged():
    codes = np.array([[0, 0, 1, 2, 3], [0, 0, 0, 0, 0]], np.uint8)
    lengths = np.array([5, 5])
    fallen = shuffle.shuffle_rows(codes, lengths, seed=1)
    assert fallen.fallback.tolist() == [True, True]
    assert fallen.unchanged.tolist() == [False, True]
    assert sorted(fallen.codes[0]) == [0, 0, 1, 2, 3]
    kept = shuffle.shuffle_rows(codes, lengths, seed=1, low_diversity="keep")
    assert kept.unchanged.all()
    assert not kept.fallback.any()


def test_compiled_and_plain_walks_draw_the_same():
    numba = pytest.importorskip("numba")
    codes = np.random.default_rng(2).integers(0, 4, 300).astype(np.uint8)
    plain, fast = np.empty_like(codes), np.empty_like(codes)
    shuffle._walk(codes, np.random.default_rng(9), plain)
    numba.njit(shuffle._walk)(codes, np.random.default_rng(9), fast)
    assert (plain == fast).all()

"""Windows that differ in a few bases are scored by what these reach; the plain loop agrees."""

import numpy as np
import pytest

from epilm.explaining.attribution import occlusion
from epilm.explaining.subject import stretches
from toy_explained import WIDTH, factornet, frame, site_frame, sites, subject


def cases():
    for strand, first in ((1, 0), (-1, WIDTH - 10)):  # at either end, and N
        part = (first, first + 10)
        yield subject("cnn"), frame(WIDTH, *part, n_at=(1, 57), strand=strand)
        yield factornet(), frame(WIDTH, *part, n_at=(7,), strand=strand)
        made = sites()
        yield made, site_frame(made, strand)


@pytest.mark.parametrize(("made", "where"), list(cases()))
def test_substitutions_are_those_of_the_plain_loop(made, where):
    made.batch = 5
    plain = np.full((4, where.last - where.first), np.nan)
    whole = made.score(where.codes[None], where)[0]
    for at in range(where.first, where.last):
        for base in range(4):
            if where.codes[at] < 4:
                window = where.codes.copy()
                window[at] = base
                plain[base, at - where.first] = made.score(window[None], where)[0] - whole
    ours = made.substitutions(where)
    assert np.nanmax(np.abs(plain)) > 1e-3
    # float32 sums of thousands of terms, in another order
    np.testing.assert_allclose(ours, plain, rtol=0, atol=2e-5 * np.nanmax(np.abs(plain)))


@pytest.mark.parametrize(("made", "where"), list(cases())[:3])
def test_hidden_stretches_are_those_of_whole_windows(made, where):
    ours = occlusion(made.of(where), where, 5, copies=2)
    plain = occlusion(lambda codes: made._whole(codes, where), where, 5, copies=2)
    np.testing.assert_allclose(ours, plain, rtol=0, atol=2e-5 * np.nanmax(np.abs(plain)))


def test_near_and_far_windows_keep_their_places():
    made, where = subject("cnn"), frame(WIDTH)
    rng = np.random.default_rng(1)
    codes = np.repeat(where.codes[None], 12, 0)
    codes[::3] = rng.integers(0, 4, (4, WIDTH))  # other windows altogether
    for row in (1, 2, 4, 7):
        codes[row, rng.integers(0, WIDTH)] = rng.integers(0, 4)
    np.testing.assert_allclose(made.score(codes, where), made._whole(codes, where), atol=1e-6)


def test_only_windows_near_the_frames_own_are_scored_by_what_changed(monkeypatch):
    made, where = subject("cnn"), frame(WIDTH)
    seen = []
    answer = made.network.answer_altered

    def counted(windows, start, bases):
        seen.append(tuple(bases.shape))
        return answer(windows, start, bases)

    monkeypatch.setattr(made.network, "answer_altered", counted)
    made.substitutions(where)
    assert sum(n for n, _ in seen) == 3 * WIDTH + 1
    assert {m for _, m in seen} == {1}
    seen.clear()
    made.score(where.codes[None], where)  # one window has nothing to share
    made.score(np.random.default_rng(0).integers(0, 4, (5, WIDTH)).astype(np.uint8), where)
    assert not seen


def test_a_stretch_runs_from_the_first_to_the_last_changed_base():
    own = np.zeros(6, np.uint8)
    codes = np.zeros((3, 6), np.uint8)
    codes[1, [2, 4]] = 1
    codes[2, 5] = 1
    begin, length = stretches(codes, own)
    assert length.tolist() == [0, 3, 1]
    assert begin[1:].tolist() == [2, 5]

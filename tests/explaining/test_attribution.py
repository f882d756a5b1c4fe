"""Gradients are those of the model; integrated ones add up; what hides a base tells its worth."""

import numpy as np
import pytest
import torch

from epilm.errors import UsageError
from epilm.explaining.attribution import (
    gradients,
    integrated_gradients,
    occlusion,
    shuffled_copies,
    soft_output,
)
from epilm.explaining.soft import one_hot
from epilm.tasks.shuffle import dinucleotide_counts
from toy_explained import frame, placed, subject
from toy_tracks import toy_track_store


@pytest.mark.parametrize("kind", ["dna", "stem", "cnn"])
def test_integrated_gradients_add_up_to_the_difference_of_the_outputs(kind):
    made, where = subject(kind), frame(20, n_at=(4,))
    done = integrated_gradients(made, where, 128)
    span = abs(done.output - done.baseline)
    assert done.error < 0.05 * max(span, 0.1)
    assert done.output == pytest.approx(made.score(where.codes[None], where)[0], abs=1e-5)
    assert np.isnan(done.scores[4])
    assert np.nansum(done.worth, 0) == pytest.approx(np.zeros(20), abs=1e-9)
    assert np.isnan(done.worth[:, 4]).all()


@pytest.mark.parametrize("kind", ["dna", "cnn"])
def test_a_gradient_is_the_slope_of_the_output(kind):
    made, where = subject(kind), frame(14)
    done = gradients(made, where)
    hot = one_hot(where.codes).double()
    step = 2e-3  # small: a maximum or a ReLU may change its mind on a longer way
    for at in (0, 6, 13):
        slopes = []
        for base in range(4):
            moved = torch.zeros(2, *hot.shape)
            moved[0] = moved[1] = hot
            moved[0, at, base] += step
            moved[1, at, base] -= step
            up, down = soft_output(made, where, moved).tolist()
            slopes.append((up - down) / (2 * step))
        expected = np.array(slopes) - np.mean(slopes)
        assert done.worth[:, at] == pytest.approx(expected, abs=5e-2 * np.abs(expected).max())
        assert done.scores[at] == done.worth[where.codes[at], at]


def test_both_strands_share_a_gradient():
    """What is read from the other strand comes back to its own base."""
    from epilm.explaining.frames import Frame
    from epilm.genome.sequence import reverse_complement

    made, where = subject("stem"), frame(16)
    other = Frame("c", 0, reverse_complement(where.codes), where.more, 0, 16)
    one, turned = integrated_gradients(made, where), integrated_gradients(made, other)
    assert turned.scores[::-1] == pytest.approx(one.scores, abs=1e-5)
    assert turned.worth[::-1, ::-1] == pytest.approx(one.worth, abs=1e-5)


def test_binding_has_gradients_too(tmp_path):
    store = toy_track_store(tmp_path / "s", n_share=0.0)
    made = placed(store, signals=[("accessibility", "max", "log1p")])
    where = frame(100, 40, 60)
    done = integrated_gradients(made, where, 64)
    assert done.scores.shape == (20,)
    assert done.error < 0.05 * max(abs(done.output - done.baseline), 0.05)


def test_occlusion_finds_the_base_that_counts():
    where = frame(30, 3, 27, seed=2)

    def score(windows):
        return (windows[:, 12] == where.codes[12]).astype(float)

    hidden = occlusion(score, where, 1, "n")
    assert hidden.tolist() == [float(at == 12) for at in range(3, 27)]
    wide = occlusion(score, where, 5, "n")
    assert np.argmax(wide) == 12 - 3
    assert wide[12 - 3] == 1
    assert np.flatnonzero(wide).tolist() == list(range(12 - 3 - 4, 12 - 3 + 5))
    mixed = occlusion(score, where, 1, "shuffled", copies=6, seed=1)
    assert np.flatnonzero(mixed).tolist() in ([], [9])
    assert (occlusion(score, where, 1, "shuffled", 6, 1) == mixed).all()


def test_shuffled_copies_keep_pairs_and_are_a_function_of_the_seed():
    codes = frame(60).codes
    copies = shuffled_copies(codes, 3, 5)
    assert all((dinucleotide_counts(c) == dinucleotide_counts(codes)).all() for c in copies)
    assert len({bytes(c) for c in copies}) == 3
    again = shuffled_copies(codes, 2, 5)
    assert bytes(again[1]) == bytes(copies[1])


def test_a_network_without_known_filters_is_refused():
    made = subject("cnn")
    made.network.motifs = torch.nn.Sequential(made.network.motifs)
    with pytest.raises(UsageError, match="no gradients reach the bases.*Take --method ism"):
        gradients(made, frame(20))

"""Motifs that are alike: by hand, from either strand, moved, and against all pairs one by one."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.motifs.clusters import clusters, similarity
from epilm.motifs.motif import Motif


def motif(word, name="m", sharp=20.0):
    matrix = np.ones((len(word), 4))
    matrix[np.arange(len(word)), ["ACGT".index(base) for base in word]] += sharp
    return Motif(name, name, matrix, True)


def slow(one, other):
    """Cosine of frequencies less 1/4, all ways to lay one along the other."""
    a = one.matrix / one.matrix.sum(1, keepdims=True) - 0.25
    best = -1.0
    for turned in (other.matrix, other.matrix[::-1, ::-1]):
        b = turned / turned.sum(1, keepdims=True) - 0.25
        for shift in range(-len(b) + 1, len(a)):
            pairs = [(i, i - shift) for i in range(len(a)) if 0 <= i - shift < len(b)]
            dot = sum(float(a[i] @ b[j]) for i, j in pairs)
            best = max(best, dot / np.sqrt((a**2).sum() * (b**2).sum()))
    return best


def test_similarity_is_that_of_all_ways_to_lay_them():
    rng = np.random.default_rng(0)
    motifs = [
        Motif(str(n), str(n), rng.dirichlet(np.full(4, 0.4), int(rng.integers(4, 12))), False)
        for n in range(9)
    ]
    found = similarity(motifs)
    for i, one in enumerate(motifs):
        for j, other in enumerate(motifs):
            assert found[i, j] == pytest.approx(slow(one, other), abs=1e-5)


def test_copies_moved_or_turned_are_one_cluster():
    motifs = [motif("GATTACA"), motif("CCGGCCTT"), motif("TGTAATC"), motif("GGATTACAG", sharp=9)]
    assert clusters(motifs, 0.8).tolist() == [0, 1, 0, 0]
    assert clusters(motifs, 1.0).tolist() == [0, 1, 0, 2]


def test_no_member_is_further_from_its_leader_than_asked():
    rng = np.random.default_rng(1)
    motifs = [Motif(str(n), str(n), rng.dirichlet(np.full(4, 0.4), 6), False) for n in range(40)]
    near, numbers = similarity(motifs), clusters(motifs, 0.6)
    assert 1 < numbers.max() + 1 < 40
    for number in range(numbers.max() + 1):
        members = np.flatnonzero(numbers == number)
        assert (near[np.ix_(members, members)] >= 0.6 - 1e-5).all(1).any()  # its leader


@pytest.mark.parametrize("alike", [0, -1, 1.2, float("nan")])
def test_a_likeness_out_of_range_is_refused(alike):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        clusters([motif("ACGT")], alike)

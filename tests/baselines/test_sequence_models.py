"""Baselines: k-mer counts by hand, motifs by name, and what each learns."""

from types import SimpleNamespace

import numpy as np
import pytest

from epilm.baselines import sequence_models as baselines
from epilm.errors import InputError
from epilm.tasks.base import labelled


def planted(count=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = rng.integers(0, 4, (count, 40)).astype(np.uint8)
    for i in np.flatnonzero(labels):
        at = rng.integers(0, 32)
        word = (
            [3, 2, 0, 1, 3, 1, 0] if rng.random() < 0.5 else [3, 2, 0, 2, 3, 1, 0]
        )  # TGACTCA, TGAGTCA
        rows[i, at : at + 7] = word
    return labelled(list(rows), labels)


def test_counts_by_hand_with_n_and_padding():
    rows = labelled(["ACGN", "ACACAC"], [0, 1])
    counts = baselines.kmer_counts(rows.codes, rows.lengths, 2)
    ac, ca, cg = 0 * 4 + 1, 1 * 4 + 0, 1 * 4 + 2
    assert counts[0].sum() == 2
    assert counts[0, [ac, cg]].tolist() == [1, 1]
    assert counts[1, [ac, ca]].tolist() == [3, 2]
    assert baselines.kmer_counts(rows.codes[:, :1], np.array([1, 1]), 2).sum() == 0


def test_both_strands_count_alike():
    rows = labelled(["AACGTC", "GACGTT"], [0, 1])  # each the other's reverse complement
    counts = baselines.kmer_counts(rows.codes, rows.lengths, 3, both_strands=True)
    assert (counts[0] == counts[1]).all()
    assert counts.sum() == 8


def test_kmer_regression_learns_and_says_what_it_chose():
    rows = planted(400)
    fitted = baselines.fit_kmer(
        rows.take(np.arange(300)), rows.take(np.arange(300, 400)), ks=(3, 4), penalties=(0.01,)
    )
    assert set(fitted.chosen) == {"k", "both_strands", "C", "valid_ap"}
    assert fitted.chosen["valid_ap"] > 0.75
    probabilities = fitted.probabilities(rows)
    assert probabilities.shape == (400, 2)
    assert np.allclose(probabilities.sum(1), 1)


def test_motif_regression_finds_the_planted_motif():
    from epilm.motifs.formats import Motif

    def motif(word, name):
        matrix = np.full((len(word), 4), 1.0)
        for i, base in enumerate(word):
            matrix[i, "ACGT".index(base)] = 97.0
        return Motif(id=f"M_{name}", name=name, matrix=matrix, is_counts=True)

    rows = planted(200)
    train, valid = rows.take(np.arange(150)), rows.take(np.arange(150, 200))
    both = [motif("TGACTCA", "FOS::JUN"), motif("GGGCGGGG", "SP1")]
    own = baselines.fit_motif(train, valid, motifs=both, factor="JUN")
    assert own.chosen["motifs"] == ["M_FOS::JUN FOS::JUN"]
    assert own.chosen["valid_ap"] > 0.9
    everything = baselines.fit_motif(train, valid, motifs=both)
    assert everything.chosen["motifs"] == "all 2"
    with pytest.raises(
        InputError,
        match=r"no motif of this factor in the collection. Found SP9; expected a name such as",
    ):
        baselines.fit_motif(
            train, valid, motifs=[*both, SimpleNamespace(id="x", name="SP9b")], factor="SP9"
        )

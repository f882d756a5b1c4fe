"""Controls of binding do what they say: shuffled states, mean of cells, sequence or motif alone."""

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.motifs.motif import Motif
from epilm.tasks.binding import grid
from epilm.tasks.binding.controls import controlled, most_common, motif_scores
from toy_binding import toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def test_shuffled_states_are_the_same_states_elsewhere_on_their_chromosome(store):
    before, other = store.states, controlled(store, "typeB", "shuffled_states").states
    one, two = before.of(1), other.of(1)
    for first, end in zip(before.offsets[:-1], before.offsets[1:], strict=True):
        assert sorted(one[first:end].tolist()) == sorted(two[first:end].tolist())
        assert np.array_equal(one[first:end] == 255, two[first:end] == 255)
    assert (one != two).mean() > 0.4
    assert other.rows.tolist() == [-1, 0, -1]
    again = controlled(store, "typeB", "shuffled_states").states.of(1)
    assert np.array_equal(again, two)
    assert not np.array_equal(
        controlled(store, "typeB", "shuffled_states", seed=1).states.of(1), two
    )


def test_the_mean_of_cell_types_is_their_commonest_state_and_mean_signal(store):
    other = controlled(store, "typeC", "mean_of_cells", cells=["typeA", "typeB", "typeC"])
    a, b = np.asarray(store.states.of(0)), np.asarray(store.states.of(1))
    plain = [
        min((x, y)) if x != 255 and y != 255 else min(x, y)
        for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert other.states.of(2).tolist() == plain
    where = np.array([0]), np.array([500])
    signals = [store.signals["accessibility"].windows(np.array([c]), *where, 50) for c in (0, 1)]
    mean = other.signals["accessibility"].windows(np.array([2]), *where, 50)
    assert np.allclose(mean, (signals[0] + signals[1]) / 2)
    assert other.signals["mappability"] is store.signals["mappability"]
    assert controlled(store, "typeA", "mean_of_cells", cells=["typeA"]) is None
    assert most_common([np.array([3], np.uint8)] * 300, 4).tolist() == [3]


def test_the_sequence_alone_has_no_state_and_no_signal_of_the_cell_type(store):
    other = controlled(store, "typeA", "sequence_only")
    assert (other.states.of(0) == 255).all()
    assert (
        not other.signals["accessibility"]
        .windows(np.array([0]), np.array([0]), np.array([0]), 100)
        .any()
    )
    with pytest.raises(
        UsageError, match=r"unknown control. Found shuffled. Did you mean shuffled_states"
    ):
        controlled(store, "typeA", "shuffled")


def test_the_motif_alone_finds_the_bins_that_hold_it(store):
    bins = grid(dict(zip(store.chroms, store.sizes, strict=True)), margin=0)
    word = np.array([2, 0, 3, 3, 0, 1, 0], np.uint8)  # GATTACA
    matrix = np.eye(4)[word] * 100
    scores = motif_scores(store, bins, "TF", [Motif("M1", "TF", matrix, True)])
    best = scores.max()
    for row in (int(scores.argmax()), int(scores.argmin())):
        chrom = store.chroms.index(bins.chroms[bins.chrom[row]])
        codes = store.bases(np.array([chrom]), bins.start[[row]].astype(np.int64), 200)[0]
        text = "".join("ACGTN"[c] for c in codes)
        assert ("GATTACA" in text or "TGTAATC" in text) == (scores[row] > best - 1e-3)
    assert motif_scores(store, bins, "CTCF", [Motif("M1", "TF", matrix, True)]) is None
    assert motif_scores(store, bins, "TF") is None  # the store has no motifs

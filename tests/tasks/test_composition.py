"""G+C content alone: its share against plain counting, the verdict on a model that has found
nothing else and on one that has.
"""

import numpy as np
import pytest

from epilm.finetuning.finetune import finetune
from epilm.metrics.bin_scores import score_bins
from epilm.tasks import labelled
from epilm.tasks.binding.rows import CellBins
from epilm.tasks.composition import gc_of, gc_scores
from toy_binding import toy_labels, toy_store


def test_the_share_of_a_window_is_counted_in_the_bases_around_the_bin(tmp_path):
    store = toy_store(tmp_path)
    labels = toy_labels(store)
    bins = labels.bins.take(slice(20, 80))
    examples = CellBins(bins, 0, tuple(store.chroms))
    share = gc_of(examples, np.arange(len(bins)), store, 600, bins.width)
    for row in (0, 20, 56):
        first = int(store.offsets[bins.chrom[row]]) + int(bins.start[row]) - 200
        codes = np.asarray(store.genome[first : first + 600])
        inside = codes[codes < 4]
        assert share[row] == pytest.approx(np.isin(inside, (1, 2)).mean(), abs=2e-3)


def test_sites_poor_in_gc_are_ranked_the_other_way_round():
    labels = np.array([1, 1, 0, 0, 0, -1], np.int8)
    share = np.array([0.1, 0.2, 0.6, 0.7, 0.8, 0.0], np.float32)
    assert gc_scores(labels, share)["ap"] == 1.0 == score_bins(labels, -share)["ap"]


def rows(rich, motif):
    """Sequences of two classes that differ in G+C, or by a word whose bases are shuffled in the
    other class.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    share = np.where(labels == 1, 0.5 + rich, 0.5)
    codes = [rng.choice(4, 60, p=[(1 - s) / 2, s / 2, s / 2, (1 - s) / 2]) for s in share]
    word = np.array([3, 1, 0, 1, 2, 3, 2, 0, 3, 0])
    if motif:
        for row, label in zip(codes, labels, strict=True):
            row[20:30] = word if label else rng.permutation(word)
    split = np.array(["train", "valid"])[(np.arange(600) >= 400).astype(int)]
    return labelled([c.astype(np.uint8) for c in codes], labels, split=split)


@pytest.mark.parametrize(("rich", "motif", "level"), [(0.12, False, True), (0.0, True, False)])
def test_a_model_that_found_gc_alone_is_called_that(rich, motif, level):
    said = []
    result = finetune(
        "sequences",
        rows(rich, motif),
        checkpoint="cnn",
        split="given",
        epochs=6,
        lr=3e-3,
        device="cpu",
        say=said.append,
    )
    notes = [note for note in result.notes if note.startswith("LEVEL on valid")]
    assert bool(notes) is level, said
    assert all("this is G+C content" in note for note in notes)
    assert any("G+C content alone" in line for line in said)

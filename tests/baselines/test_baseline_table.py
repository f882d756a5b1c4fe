"""Every baseline on every task it fits, with one face; a new one is a function and a line."""

import numpy as np
import pytest

from epilm.baselines.baseline_table import BASELINES, Baseline, fit_baseline
from epilm.errors import UsageError
from epilm.finetuning.finetune import finetune
from epilm.motifs.motif import Motif
from epilm.tasks import TASKS, labelled
from epilm.tasks.binding.binding_options import BindingOptions
from epilm.tasks.sequence_task import SequenceOptions
from toy_binding import toy_labels, toy_store

WORD = np.array([3, 1, 0, 1, 2, 3, 2, 0])  # TCACGTGA


def motif(name, word):
    return Motif(id=f"M{name}", name=name, matrix=np.eye(4)[word] * 98 + 0.5, is_counts=True)


@pytest.fixture(scope="module")
def sequences():
    """A word in class 1, its shuffled letters in class 0."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    codes = rng.integers(0, 4, (400, 50)).astype(np.uint8)
    for row, label in zip(codes, labels, strict=True):
        row[20:28] = WORD if label else rng.permutation(WORD)
    split = np.repeat(["train", "valid", "test"], [240, 80, 80])
    rows = labelled(list(codes), labels, split=split)
    return TASKS["sequences"].lesson(rows, SequenceOptions(split="given"), print)


@pytest.fixture(scope="module")
def bins(tmp_path_factory):
    """A factor bound wherever the bin's middle is in one state."""
    store = toy_store(tmp_path_factory.mktemp("store"))
    options = BindingOptions(
        store=store,
        valid_chroms=("chr2",),
        test_chroms=("chr3",),
        test_cells=("typeC",),
        negatives=2,
    )
    return TASKS["binding"].lesson(toy_labels(store), options, print)


def test_a_motif_finds_its_word_and_gc_does_not(sequences):
    motifs = [motif("MINE", WORD), motif("OTHER", np.array([0, 0, 0, 0, 3, 3, 3, 3]))]
    part = sequences.parts["test"]
    truth = sequences.examples.labels_of(part)
    scores = {}
    for name in ("gc", "kmer", "motifs"):
        fitted, notes = fit_baseline(name, sequences, motifs)
        said = fitted.score(sequences.examples, part)
        assert said.shape == (80, 2)
        assert not notes
        scores[name] = sequences.labels.scores(truth, said)[""]["auroc"]
    assert scores["motifs"] > 0.97
    assert scores["gc"] < 0.75
    fitted, notes = fit_baseline("motif", sequences, motifs)
    assert notes == ["motif: the set has no score, it has no motif in the collection"]
    assert (fitted.score(sequences.examples, part) == 0.5).all()


def test_states_say_where_a_factor_binds_and_kmers_do_not(bins):
    truth = bins.examples.labels_of(bins.valid)
    scores = {}
    for name in ("states", "kmer", "gc"):
        fitted, _ = fit_baseline(name, bins)
        said = fitted.score(bins.examples, bins.valid)
        assert said.shape == truth.shape
        scores[name] = bins.labels.scores(truth, said)["TF"]["auroc"]
    assert scores["states"] > 0.95
    assert max(scores["kmer"], scores["gc"]) < 0.7


def test_what_a_baseline_cannot_be_is_refused(sequences):
    with pytest.raises(
        UsageError, match="--beside: unknown baseline. Found kmers. Did you mean kmer"
    ):
        fit_baseline("kmers", sequences)
    with pytest.raises(UsageError, match="the baseline motif needs motifs"):
        fit_baseline("motif", sequences)


def test_baselines_stand_beside_the_model_and_one_from_outside_too(sequences, monkeypatch):
    def length(lesson, motifs):
        return [lambda examples, rows: examples.lengths[rows][:, None].astype(np.float32)]

    monkeypatch.setitem(BASELINES, "length", Baseline(length, False, "bases of a row"))
    said = []
    result = finetune(
        "sequences",
        sequences.examples,
        checkpoint="cnn",
        split="given",
        epochs=1,
        beside=("kmer", "length"),
        device="cpu",
        say=said.append,
    )
    assert set(result.beside) == {"kmer", "length"}
    assert result.beside["length"]["test"][""]["auroc"] == 0.5
    assert any(line.startswith("baseline kmer, test: auroc ") for line in said)

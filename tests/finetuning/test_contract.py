"""Every task with every trunk and every head that fit together; and a new task, head and network
from outside of the package, a few lines each.
"""

import tempfile
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from epilm.errors import UsageError
from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.scorer import open_scorer
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec
from epilm.models.networks import HEADS, NETWORKS, Head, Network
from epilm.models.pooled import trunk_of
from epilm.tasks import TASKS, labelled
from epilm.tasks.binding.rows import CellBins
from epilm.tasks.label_kinds import Numbers
from epilm.tasks.lesson import AllOnce, TaskLesson
from epilm.tasks.locus_pairs import paired
from epilm.tasks.sequence_task import SequenceOptions, SequenceTask
from toy_binding import toy_labels, toy_store
from toy_splice import SHORT, transcripts

CHROMS = {"chr1": 8_000, "chr2": 4_000, "chr3": 4_000}  # few bins: each is predicted three times
SMALL = EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=16, max_positions=256)
TRUNKS = ("genebert", "dnabert", "ebert", "dbert", "random", *NETWORKS)
SEQUENCES = ("promoter", "tfbs", "sequences", "expression")
PER_BASE = ("splice",)
PAIRS = ("contacts",)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), chroms=CHROMS)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, store):
    """A saved trunk of each family; "random" and the networks are names."""
    folder = tmp_path_factory.mktemp("trunks")
    plain = {"k": 3, "max_tokens": 100, "encoder": SMALL, "next_segment": "none"}
    tower = TowerSpec(embed=8, depths=(1, 1), heads=(1, 2))
    windows = plain | {"stride": 3, "max_tokens": 210}
    specs = {
        "genebert": ModelSpec(name="genebert", factors=40, tower=tower, **plain),
        "dnabert": ModelSpec(name="dnabert", streams=("dna",), **plain),
        "ebert": ModelSpec(
            name="ebert",
            streams=("dna", "states"),
            states=store.states.n_states,
            cells=len(store.cell_types),
            **windows,
        ),
        "dbert": ModelSpec(name="dbert", streams=("dna",), **windows),
    }
    for name, spec in specs.items():
        save_model(folder / name, build_model(spec, seed=1), spec, {})
    return {name: str(folder / name) if name in specs else name for name in TRUNKS}


def rows(classes=2, length=60, count=48):
    """Sequences whose class is their share of G."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    weights = [
        [(1 - 0.2 - 0.3 * c) / 3] * 2 + [0.2 + 0.3 * c] + [(0.8 - 0.3 * c) / 3] for c in labels
    ]
    codes = [rng.choice(4, length, p=w).astype(np.uint8) for w in weights]
    split = ["train", "train", "valid", "test"] * (count // 4)
    return labelled(codes, labels, split=sorted(split, key="train valid test".index))


def levels():
    """Sequences whose level in two cell types is their class and its opposite."""
    classes = rows()
    numbers = np.stack([classes.labels, 1 - classes.labels], 1).astype(np.float32)
    return replace(classes, labels=numbers, kind="numbers", label_names=("warm", "cold"))


def arguments(task, store):
    """Data and options of a toy lesson."""
    if task in PER_BASE:
        with tempfile.TemporaryDirectory() as folder:
            genome, read = transcripts(folder)
        return read, SHORT | {"genome": genome, "beside": ("dinucleotide",)}
    if task in PAIRS:
        order = np.random.default_rng(1).permutation(48).reshape(24, 2)
        numbers = rows()
        pairs = paired(numbers, order, (numbers.labels[order[:, 0]] == numbers.labels[order[:, 1]]))
        split = np.repeat(["train", "valid", "test"], (12, 6, 6))
        return replace(pairs, split=split), {"split": "given", "beside": ("gc",)}
    if task == "expression":
        return levels(), {"split": "given", "beside": ("mean", "cpg")}
    if task in SEQUENCES:
        return rows(3 if task == "sequences" else 2), {"split": "given"}
    options = {
        "store": store,
        "valid_chroms": ("chr2",),
        "test_chroms": ("chr3",),
        "test_cells": ("typeC",),
        "window_bp": 240,
        "positives_per_epoch": 8,
        "negatives": 1,
        "valid_negatives": 20,
        "patience": 0,
    }
    return toy_labels(store), options


def learn(task, store, checkpoint, out=None, **more):
    data, options = arguments(task, store)
    said = []
    result = finetune(
        task,
        data,
        out,
        checkpoint=checkpoint,
        size="tiny",
        say=said.append,
        **({"epochs": 1, "device": "cpu", "precision": "fp32"} | options | {"epochs": 1} | more),
    )
    return result, said


def fitting():
    """All triples that fit: a network over bases brings its own head, and both answer a row or each
    of its bases, and read one locus or two, as the task asks.
    """
    for task in TASKS:
        for trunk in TRUNKS:
            for head in (None,) if trunk in NETWORKS else tuple(HEADS):
                answers = NETWORKS[trunk] if head is None else HEADS[head]
                if answers.per_base != (task in PER_BASE):
                    continue
                if (2 if task in PAIRS else 1) not in answers.loci:
                    continue
                yield pytest.param(task, trunk, head, id=f"{task}-{trunk}-{head or 'own'}")


@pytest.mark.parametrize(("task", "trunk", "head"), fitting())
def test_every_trunk_and_head_learns_every_task_and_opens_again(
    tmp_path, store, checkpoints, task, trunk, head
):
    result, said = learn(task, store, checkpoints[trunk], tmp_path / "run", head=head)
    assert np.isfinite(result.history[0]["loss"])
    assert all(np.isfinite(values).all() for values in result.said.values())
    opened = load_finetuned(tmp_path / "run")
    assert opened.about["task"] == task
    assert opened.about["kind"] == (trunk if trunk in NETWORKS else "trunk")
    score = open_scorer(opened, batch_size=5, device="cpu")
    lesson = result.lesson
    again = np.concatenate(list(score(lesson.examples, lesson.store)))
    for part, rows_of_part in lesson.parts.items():
        if task in PER_BASE:  # they are too many to be kept: their scores are
            labels = lesson.examples.labels_of(rows_of_part)
            tables = lesson.labels.scores(labels, again[rows_of_part])
            for name, table in tables.items():
                for key in ("ap", "top_k"):
                    assert table[key] == pytest.approx(result.tables[part][name][key], abs=1e-3)
            continue
        np.testing.assert_allclose(again[rows_of_part], result.said[part], atol=2e-6)
    if trunk == "ebert" and task in (*SEQUENCES, *PER_BASE, *PAIRS):
        assert any("every state is unknown" in line for line in said)


def test_what_is_predicted_does_not_depend_on_the_batch_or_the_order(store, checkpoints):
    result, _ = learn("binding", store, checkpoints["ebert"], head="linear")
    bins = result.lesson.examples
    several = open_scorer(result.model, batch_size=64, device="cpu")
    one = open_scorer(result.model, batch_size=1, device="cpu")
    labels = toy_labels(store)
    cell = CellBins(labels.bins.take(slice(40, 60)), 1, tuple(store.chroms))
    first, second = (np.concatenate(list(s(cell, store))) for s in (several, one))
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert len(bins) == bins.n_bins * len(bins.cells)


def test_what_answers_rows_and_what_answers_bases_are_not_mixed_up(store, checkpoints):
    with pytest.raises(
        UsageError, match="the head linear gives one answer a row; expected one a base.*bases"
    ):
        learn("splice", store, checkpoints["dnabert"], head="linear")
    with pytest.raises(UsageError, match="cnn gives one answer a row.*--checkpoint dilated"):
        learn("splice", store, "cnn")
    with pytest.raises(UsageError, match="dilated gives one answer a base; expected one a row"):
        learn("promoter", store, "dilated")


def test_signals_on_the_linear_head_or_the_cnn_are_refused(store, checkpoints):
    with pytest.raises(UsageError, match="linear head reads token vectors alone"):
        learn("binding", store, checkpoints["dbert"], head="linear", signals=("accessibility",))
    with pytest.raises(UsageError, match="the small CNN reads bases alone"):
        learn("binding", store, "cnn", signals=("accessibility",))
    with pytest.raises(UsageError, match="cnn brings a head of its own"):
        learn("binding", store, "cnn", head="linear")


# -- from outside of the package: a task, a head and a network, each a few lines and a line


def rich_or_poor(data, *, genome=None, seed=0, repeat=1):
    """A loader: sequences named in a list, class 1 where G and C prevail."""
    texts = [text * repeat for text in data]
    share = [sum(base in "GC" for base in text) / len(text) for text in texts]
    return labelled(texts, [int(s > 0.5) for s in share])


@dataclass(frozen=True)
class RichOptions(SequenceOptions):
    repeat: int = 1
    """Times that each sequence is written."""


class Mean(nn.Module):
    """A head: the mean token vector and one layer."""

    def __init__(self, model, shape):
        super().__init__()
        self.trunk = trunk_of(model)
        self.out = nn.Linear(self.trunk.hidden, shape.outputs)

    def forward(self, windows):
        return self.head(self.trunk.encode_windows(windows), windows)

    def head(self, hidden, windows):
        return self.out((hidden * windows.mask[..., None]).sum(1) / windows.mask.sum(1)[:, None])


class CountBases(nn.Module):
    """A network over bases: their shares and one layer."""

    def __init__(self, shape):
        super().__init__()
        self.out = nn.Linear(5, shape.outputs)

    def forward(self, windows):
        return self.out(nn.functional.one_hot(windows.codes.long(), 5).float().mean(1))


@pytest.fixture
def outside(monkeypatch):
    monkeypatch.setitem(
        TASKS, "rich", SequenceTask("rich", rich_or_poor, ("poor", "rich"), options=RichOptions)
    )
    monkeypatch.setitem(
        HEADS, "mean", Head(lambda model, shape, seed, **_: Mean(model, shape), (), "mean")
    )
    monkeypatch.setitem(
        NETWORKS, "counts", Network(lambda shape, **_: CountBases(shape), False, "counts")
    )


def test_a_task_a_head_and_a_network_from_outside_travel_the_same_road(
    tmp_path, outside, checkpoints
):
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(60)]
    for n, more in enumerate(({"head": "mean"}, {})):
        checkpoint = checkpoints["dnabert"] if more else "counts"
        result = finetune(
            "rich",
            texts,
            tmp_path / f"run{n}",
            checkpoint=checkpoint,
            repeat=2,
            epochs=2,
            device="cpu",
            say=lambda line: None,
            **more,
        )
        assert result.lesson.examples.lengths.tolist() == [40] * 60
        assert load_finetuned(tmp_path / f"run{n}").labels.names == ("poor", "rich")
    with pytest.raises(
        UsageError, match="finetune rich: no such option. Found --repeats".replace(".", r"\.")
    ):
        finetune("rich", texts, repeats=2)


class Lengths(SequenceTask):
    """A task of numbers: another kind of labels in ten lines."""

    def lesson(self, data, options, say):
        examples = labelled(data, np.zeros(len(data)))
        numbers = np.array([[len(text) / 10] for text in data], np.float32)
        object.__setattr__(examples, "labels_of", lambda rows: numbers[rows])
        every = np.arange(len(data))
        return TaskLesson(
            examples,
            Numbers(("length",)),
            AllOnce(every, examples.lengths, options.seed),
            every,
            {"valid": every},
            "pearson",
        )


def test_numbers_are_learned_on_the_same_road(monkeypatch, checkpoints):
    monkeypatch.setitem(TASKS, "lengths", Lengths("lengths", rich_or_poor))
    texts = ["ACGT" * n for n in range(2, 22)] * 3
    result = finetune(
        "lengths",
        texts,
        checkpoint=checkpoints["dnabert"],
        epochs=30,
        lr=1e-2,
        batch_size=8,
        device="cpu",
        say=lambda line: None,
    )
    assert result.tables["valid"]["length"]["r2"] > 0.9  # not a correlation of flat scores
    assert not torch.isnan(torch.tensor(result.said["valid"])).any()

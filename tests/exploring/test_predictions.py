"""What models say along a stretch: the numbers that `epilm predict` gives of the same windows."""

import gzip
import shutil

import numpy as np
import pytest

from epilm.errors import CheckpointError, StoreError, UsageError
from epilm.exploring.loci import Stretch
from epilm.exploring.predictions import name_runs, prediction_tracks
from epilm.finetuning.predict import predict
from epilm.genome.sequence import decode
from epilm.store.reader import Store
from epilm.tasks.reference import StoreReference
from toy_binding import LARGE, toy_store
from toy_runs import binding_run, sequence_run

STRETCHES = (Stretch("chr2", 0, 700, 700), Stretch("chr3", 17_000, 20_000, 3000))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    store = toy_store(folder / "s", lonely=("lonely",), signals=(), chroms=LARGE)
    binding_run(folder / "binding", store)
    sequence_run(folder / "seq")
    return folder, store


def tracks(world, *names, notes=None, **options):
    folder, store = world
    given = {
        "store": store,
        "cells": ("typeA", "typeB"),
        "asked": True,
        "stride": None,
        "window": None,
        "batch_size": 64,
        "device": "cpu",
        "say": None,
        "notes": [] if notes is None else notes,
    }
    runs = name_runs([folder / name for name in names])
    reference = StoreReference(store.path)
    return list(prediction_tracks(runs, STRETCHES, reference, **(given | options)))


def test_binding_is_what_predict_says_of_the_same_bins(world, tmp_path):
    folder, store = world
    one, two = tracks(world, "binding")
    assert [one.name, two.name] == ["binding: TF in typeA", "binding: TF in typeB"]
    assert (one.low, one.high) == (0.0, 1.0)
    assert not np.array_equal(one.parts[1].values, two.parts[1].values)
    starts = [
        [p.start - 75 + 50 * i for i in range(len(p.values))] for p in one.parts
    ]  # the middle 50 of 200 bp
    assert starts[0][:2] == [0, 50]
    assert starts[1][-1] + 200 == 20_000  # the last whole bin of the chromosome
    bins = tmp_path / "bins.bed"
    rows = zip(("chr2", "chr3"), starts, strict=True)
    bins.write_text("".join(f"{c}\t{s}\t{s + 200}\n" for c, here in rows for s in here))
    out = tmp_path / "F.TF.typeA.tab.gz"
    predict(
        folder / "binding",
        out=out,
        store=store,
        cell="typeA",
        bins=bins,
        device="cpu",
        precision="fp32",
        say=lambda line: None,
    )
    with gzip.open(out, "rt") as text:
        expected = [float(line.split("\t")[3]) for line in text]
    np.testing.assert_allclose(np.concatenate([p.values for p in one.parts]), expected, atol=2e-6)


def test_a_model_of_sequences_slides_and_reaches_beyond_the_stretch(world):
    folder, store = world
    (track,) = tracks(world, "seq", stride=10, cells=())
    assert track.name == "seq: 1"  # of two classes the second
    bases = StoreReference(store.path).codes("chr3")
    part = track.parts[1]
    first = part.start - 15  # 40 bp windows, their middle 10 shown
    assert first < 17_000 <= part.start < 17_010
    last = first + 10 * (len(part.values) - 1)
    assert last + 40 == 20_000
    windows = [decode(bases[at : at + 40]) for at in range(first, last + 1, 10)]
    expected = predict(folder / "seq", windows, device="cpu").probabilities[:, 1]
    np.testing.assert_allclose(part.values, expected, atol=1e-6)


def test_a_wider_window_is_asked_for_and_a_silly_one_refused(world):
    (track,) = tracks(world, "seq", window=60, cells=())
    assert "windows of 60 bp every 50 bp" in track.about
    with pytest.raises(UsageError, match="shorter than one k-mer.*Found 2 bp"):
        tracks(world, "seq", window=2)
    with pytest.raises(UsageError, match="--stride: impossible value. Found 0"):
        tracks(world, "seq", stride=0)


def test_cell_types_that_a_model_cannot_read(world):
    with pytest.raises(StoreError, match="no track of states. Found lonely"):
        tracks(world, "binding", cells=("typeA", "lonely"))
    notes = []
    made = tracks(world, "binding", cells=("typeA", "lonely"), asked=False, notes=notes)
    assert [track.name for track in made] == ["binding: TF in typeA"]
    assert notes == ["binding reads tracks that lonely lack: not predicted there"]
    with pytest.raises(StoreError, match="no track of states"):
        tracks(world, "binding", cells=("lonely",), asked=False)


def test_a_store_that_is_not_given_is_another_or_changed(world, tmp_path):
    with pytest.raises(UsageError, match="binding: the model reads places of a store.*--store"):
        tracks(world, "binding", store=None)
    notes = []
    other = toy_store(tmp_path / "other", cells=("typeA", "typeB"), signals=(), chroms=LARGE)
    tracks(world, "binding", store=other, notes=notes)
    assert "binding learned from another store" in notes[0]
    states = toy_store(tmp_path / "states", n_states=3, signals=(), chroms=LARGE)
    with pytest.raises(CheckpointError, match="states of the store are not those"):
        tracks(world, "binding", store=states)
    shorter = {"chr1": 40_000, "chr2": 10_000, "chr3": 20_000}
    longer = toy_store(tmp_path / "longer", chroms=shorter, signals=())
    with pytest.raises(CheckpointError, match="another assembly"):
        tracks(world, "binding", store=longer)
    with pytest.raises(StoreError, match="no folder of that name"):
        Store.open(tmp_path / "gone")


def test_what_is_no_fine_tuned_run(world, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no fine-tuned model here"):
        tracks((tmp_path, world[1]), "empty")


def test_runs_of_one_name_are_told_apart_and_one_is_named_once(world, tmp_path):
    for above in ("a", "b"):
        shutil.copytree(world[0] / "seq", tmp_path / above / "seq")
    assert list(name_runs([tmp_path / "a/seq", tmp_path / "b/seq"])) == ["a/seq", "b/seq"]
    with pytest.raises(UsageError, match="named twice"):
        name_runs([tmp_path / "a/seq", tmp_path / "a/seq"])

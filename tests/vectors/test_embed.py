"""`epilm embed`: files written and read again, batches that change nothing, and what is refused."""

import json

import numpy as np
import pytest

from epilm.cli import main
from epilm.errors import EpilmError
from epilm.hub.checkpoint import save_model
from epilm.hub.load import load
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.vectors import embed as module
from epilm.vectors.embed import embed, fingerprint_of
from toy_store import toy_store
from toy_tracks import toy_track_store

SMALL = EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=16, max_positions=64)
DNA = ModelSpec(
    name="dnabert", streams=("dna",), k=3, encoder=SMALL, max_tokens=40, next_segment="none"
)
STATES = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=3,
    stride=3,
    states=5,
    cells=3,
    encoder=SMALL,
    max_tokens=40,
    next_segment="none",
)
FASTA = ">chr1:5-25\nACGTACGTACGTACGTACGT\n>b\nTTTTTGGGNA\n>c\n" + "ACGGT" * 30 + "\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("m") / "dna", build_model(DNA, seed=1), DNA, {})


@pytest.fixture
def fasta(tmp_path):
    (tmp_path / "a.fa").write_text(FASTA)
    return tmp_path / "a.fa"


def test_every_format_holds_the_same_vectors_and_what_they_are_of(tmp_path, model, fasta):
    import anndata
    import pandas as pd

    sequences = ["ACGTACGTACGTACGTACGT", "TTTTTGGGNA", "ACGGT" * 30]
    want = load(model).embed(sequences, pooling="max")
    for name in ("v.h5ad", "v.parquet", "v.npy"):
        made = embed(model, fasta, tmp_path / name, pool="max", batch_size=1, say=lambda line: None)
        assert made.vectors is None
        assert len(made) == 3
    table = anndata.read_h5ad(tmp_path / "v.h5ad")
    np.testing.assert_allclose(table.X, want, atol=1e-6)
    assert table.obs["chrom"].tolist() == ["chr1", "", ""]
    assert table.obs["pieces"].tolist() == [1, 1, 4]  # 148 k-mers, 38 an input
    about = json.loads(table.uns["epilm"])
    assert about["model"]["fingerprint"] == fingerprint_of(load(model))
    assert any("1 of 3 are longer than the model reads (38 k-mers)" in n for n in about["notes"])
    frame = pd.read_parquet(tmp_path / "v.parquet")
    np.testing.assert_array_equal(frame[[f"e{n}" for n in range(16)]], table.X)
    assert frame["name"].tolist() == ["chr1:5-25", "b", "c"]
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), table.X)
    lines = (tmp_path / "v.obs.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["name", "chrom", "start", "end", "pieces"]
    assert lines[1].split("\t") == ["chr1:5-25", "chr1", "5", "25", "1"]


def test_intervals_on_a_genome_in_blocks_are_the_sequences_themselves(tmp_path, model, monkeypatch):
    monkeypatch.setattr("epilm.tasks.sequence_predictions.PIECE", 2)
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGTTGCAAC" * 6 + "\n")
    (tmp_path / "p.bed").write_text("chr1\t0\t20\tx\nchr1\t10\t31\ty\nchr1\t33\t60\tx\n")
    made = embed(
        model, tmp_path / "p.bed", genome=tmp_path / "g.fa", by="name", say=lambda line: None
    )
    text = "ACGTTGCAAC" * 6
    want = load(model).embed([text[:20], text[10:31], text[33:60]])
    np.testing.assert_allclose(made.vectors, want, atol=1e-6)
    assert made.columns["end"] == [20, 31, 60]
    assert made.neighbours.labels == 2


def test_regions_of_a_store_without_a_cell_type(tmp_path, model):
    store = toy_store(tmp_path, per_chrom=(5, 4), cells=3, factors=0, contacts=False)
    said = []
    made = embed(model, store=store, say=said.append)
    assert len(made) == store.n_regions
    access = np.stack([store.accessible(cell) for cell in range(3)], 1)
    alone = access.sum(1) == 1
    assert [bool(cell) for cell in made.columns["cell_type"]] == alone.tolist()
    assert any("reads no cell type" in line for line in said)
    only = embed(model, store=store, cells=("cell0", "cell1"), specific=True, say=said.append)
    assert only.columns["start"] == [
        int(s) for s, row in zip(store.regions["start"], access) if row[0] != row[1]
    ]
    np.testing.assert_allclose(only.vectors, made.vectors[access[:, 0] != access[:, 1]], atol=1e-6)


def test_regions_in_each_cell_type_for_a_model_of_states(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    path = save_model(tmp_path / "eb", build_model(STATES, seed=1), STATES, {})
    store = toy_track_store(tmp_path / "s", lonely=("typeD",), regions=True)
    said = []
    made = embed(path, store=store, window=90, out=tmp_path / "v.h5ad", say=said.append)
    want = [c for c in store.cell_types for ok in store.accessible(c) if ok and c != "typeD"]
    assert made.columns["cell_type"] == want
    assert any("no track of states, left out: typeD" in line for line in said)
    assert {e - s for s, e in zip(made.columns["start"], made.columns["end"])} == {90}
    assert made.about["store"] == store.fingerprint


def test_the_command_prints_how_far_cell_types_lie_apart(tmp_path, model, capsys):
    store = toy_store(tmp_path, per_chrom=(20, 10), cells=2, factors=0, contacts=False)
    out = tmp_path / "v.npy"
    assert main(["embed", str(model), "--store", str(store.path), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "cell_type: of the 10 nearest neighbours" in shown
    assert "silhouette" in shown
    assert np.load(out).shape == (30, 16)
    words = ["embed", str(model), "--store", str(store.path), "--out", str(out), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["neighbours"]["labels"] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({}, "one thing is embedded at a time. Found nothing; expected --fasta, --bed"),
        ({"sequences": ["ACGT"], "cells": ("a",)}, "--cells: cell types are those of a store"),
        ({"sequences": ["ACGT", "AC"]}, "sequence 2: the sequence is shorter than one k-mer"),
        ({"sequences": ["ACGT"], "out": "v.csv"}, "--out: no format of vectors ends so"),
        ({"sequences": ["ACGT"], "pool": "sum"}, "unknown pooling. Found sum"),
        ({"sequences": ["ACGT"], "by": "nmae"}, "--by: no such column. Found nmae. Did you mean"),
        ({"sequences": ["ACXT"]}, "sequence 1: the sequence has a letter that is no base"),
        ({"sequences": ["ACGT"], "batch_size": 0}, "--batch-size: impossible value"),
    ],
)
def test_what_is_wrong_is_refused(model, call, message):
    with pytest.raises(EpilmError, match=message):
        embed(model, say=lambda line: None, **call)


def test_nothing_is_left_of_a_file_that_fails_late(tmp_path, model):
    (tmp_path / "a.fa").write_text(">a\nACGT\n>b\nAC\n")
    assert main(["embed", str(model), "--fasta", str(tmp_path / "a.fa"), "--out", "x/v.h5ad"]) == 1
    assert not list(tmp_path.glob("**/*.h5ad"))

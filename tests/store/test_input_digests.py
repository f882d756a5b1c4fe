"""What a command was told, as values that a part remembers."""

import os

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.store.input_digests import digest_of_input, told
from toy_store import toy_store


def test_options_files_and_their_fingerprints_are_told_apart(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\nACGT\n")
    (tmp_path / "v.tsv").write_text("chrom\n")
    given = {
        "genome": tmp_path / "g.fa",
        "tables": (str(tmp_path / "v.tsv"), tmp_path / "g.fa"),
        "motifs": "jaspar:2018",
        "window": 101,
        "cells": ("a", "b"),
        "store": None,
    }
    paths = ["genome", "tables", "motifs", "store"]
    said = told(given, paths, summed=["genome"])
    assert said["call"] == {"window": 101, "cells": ["a", "b"]}
    assert said["files"] == {
        "genome": str(tmp_path / "g.fa"),
        "tables": [str(tmp_path / "v.tsv"), str(tmp_path / "g.fa")],
        "motifs": "jaspar:2018",
    }
    assert set(said["data"]) == {"tables", "motifs"}
    (tmp_path / "v.tsv").write_text("chrom\tpos\n")
    again = told(given, paths, summed=["genome"])
    assert again["data"]["tables"] != said["data"]["tables"]
    assert again["data"]["motifs"] == said["data"]["motifs"]


def test_a_link_that_a_workflow_made_is_the_file_where_the_name_is_the_same(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.bed").write_text("chr1\t0\t5\n")
    for name in ("a.bed", "b.txt"):
        os.symlink(tmp_path / "real" / "a.bed", tmp_path / name)
    files = told({"one": tmp_path / "a.bed", "other": tmp_path / "b.txt"}, ["one", "other"])[
        "files"
    ]
    assert files["one"] == str((tmp_path / "real" / "a.bed").resolve())
    assert files["other"] == str(tmp_path / "b.txt")  # its ending says another format


def test_a_store_is_summed_up_by_its_fingerprint(tmp_path):
    store = toy_store(tmp_path, per_chrom=(3, 2), factors=0, contacts=False)
    assert digest_of_input(store.path) == store.fingerprint


def test_an_open_thing_cannot_be_remembered():
    with pytest.raises(UsageError, match="genome: a shard remembers names.*Found ndarray"):
        told({"genome": np.zeros(3)}, ["genome"])

"""What pre-training and training have met of a test of binding."""

import pytest

from epilm.tasks.binding import grid
from epilm.tasks.binding.leak import leak_of
from toy_binding import started, toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def test_what_pretraining_has_seen_is_said_of_chromosomes_and_cell_types(store):
    run, _ = started("ebert", store)
    run.about |= {
        "pretraining": {
            "holdout_chroms": ["chr8", "chr21"],
            "holdout_cells": ["typeC"],
            "cell_types": list(store.cell_types),
        },
        "train_chroms": ["chr2"],
        "valid_chroms": ["chr11"],
        "test_chroms": ["chr1", "chr8", "chr21"],
        "cells": ["typeA"],
    }
    paper = grid({"chr1": 4000, "chr8": 3000, "chr21": 2000})
    leak = leak_of(run.about, paper, "typeB", reads_states=True)
    assert leak["pretraining"]["chroms_seen"] == ["chr1"]  # as in the paper
    assert leak["pretraining"]["cell_seen"]
    assert leak["pretraining"]["bins_seen"] == paper.counts()["chr1"] / len(paper)
    assert "pre-training has seen the bases and states of" in leak["warnings"][0]
    assert not leak_of(run.about, paper, "typeC", reads_states=True)["pretraining"]["cell_seen"]
    unread = leak_of(run.about, paper, "typeB", reads_states=False)
    assert unread["pretraining"]["cell_seen"] is None

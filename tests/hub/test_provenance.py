"""What weights have read before: of a run, and of all that it began with."""

import pytest

from epilm.hub.checkpoint import save_model
from epilm.hub.provenance import cell_seen, chroms_seen, held_out, memory_of, unknown_starts
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec

FIRST = {
    "checkpoint": "first",
    "holdout_chroms": ["chr1"],
    "holdout_cells": [],
    "chroms": ["chr1", "chr2", "chr3"],
    "cell_types": ["K562"],
    "state_names": ["a"],
}
SECOND = {
    "holdout_chroms": ["chr1", "chr2"],
    "holdout_cells": ["K562", "HepG2"],
    "chroms": ["chr1", "chr2"],
    "cell_types": ["K562", "HepG2", "A549"],
    "state_names": ["a"],
}
BOTH = SECOND | {"before": [FIRST]}
FOREIGN = {"checkpoint": "bert", "unknown": True}


def test_what_only_the_last_one_held_out_was_read_before():
    assert held_out(SECOND) == ["chr1", "chr2"]
    assert held_out(BOTH) == ["chr1"]
    assert held_out(BOTH, "cells") == []
    names = ["chr1", "chr2", "chr3", "chr4"]
    assert chroms_seen(SECOND, names) == []
    assert chroms_seen(BOTH, names) == ["chr2", "chr3"]
    assert chroms_seen({"holdout_chroms": ["chr2"]}, names) == ["chr1", "chr3", "chr4"]


@pytest.mark.parametrize(
    ("pretraining", "cell", "seen"),
    [
        (SECOND, "A549", True),
        (SECOND, "K562", False),
        (BOTH, "K562", True),
        (BOTH, "HepG2", False),
        # One that read no states has seen nothing of a cell type.
        (SECOND | {"before": [{"cell_types": ["K562"], "holdout_cells": []}]}, "K562", False),
    ],
)
def test_a_cell_type_is_seen_where_its_states_were_read(pretraining, cell, seen):
    assert cell_seen(pretraining, [cell]) is seen


def test_of_weights_from_elsewhere_nothing_is_known():
    began = SECOND | {"before": [FOREIGN, FIRST]}
    assert unknown_starts(began) == ["bert"]
    assert unknown_starts(BOTH) == []
    assert held_out(began) == ["chr1"]


def test_a_checkpoint_hands_on_its_memory_and_what_it_began_with(tmp_path):
    encoder = EncoderSpec(size="tiny", hidden=8, layers=1, heads=1, ffn=8)
    spec = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=encoder, next_segment="none")
    network = build_model(spec, seed=0)
    save_model(tmp_path / "run", network, spec, BOTH | {"metrics": {"steps": 3}})
    first, second = memory_of(tmp_path / "run")
    assert first == FIRST
    assert second == {"checkpoint": "run"} | SECOND
    save_model(tmp_path / "plain", network, spec, {})
    assert memory_of(tmp_path / "plain") == [{"checkpoint": "plain", "unknown": True}]
    assert memory_of(tmp_path / "gone") == [{"checkpoint": "gone", "unknown": True}]

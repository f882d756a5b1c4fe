"""A model that one task taught as the start of the next: its trunk, and what is remembered."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.errors import CheckpointError
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.predict import predict
from epilm.hub.checkpoint import save_model
from epilm.hub.load import load
from epilm.hub.provenance import held_out, unknown_starts
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from toy_binding import quick as quick_bins
from toy_binding import toy_labels, toy_store
from toy_sequences import QUICK, planted, quick, said_of_all
from toy_splice import short_run

ONE = replace(QUICK, epochs=1)
SPEC = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run of sequences, from a pre-training that held chr22 out."""
    folder = tmp_path_factory.mktemp("taught")
    save_model(folder / "pre", build_model(SPEC, seed=3), SPEC, {"holdout_chroms": ["chr22"]})
    quick(planted(60), folder / "ft", checkpoint=folder / "pre", settings=ONE)
    return folder / "ft"


@pytest.mark.parametrize("head", ["linear", "convolutions"])
def test_the_encoder_is_that_of_the_run_and_the_head_is_new(taught, tmp_path, head):
    frozen = replace(ONE, freeze="encoder", dropout=0.0)
    own = {"checkpoint": taught, "settings": frozen, "head": head}
    result, lines = quick(planted(60, seed=5), tmp_path / "next", **own)
    assert any(
        "was fine-tuned on sequences: its trunk is taken and its head left" in s for s in lines
    )
    before = load(taught).model.state_dict()
    after = result.model.network.state_dict()
    prefix = "" if head == "linear" else "trunk."
    for name, value in before.items():
        if name.startswith("encoder."):
            assert torch.equal(after[prefix + name], value), name
    if head == "linear":
        assert not torch.equal(after["head.out.weight"], before["head.out.weight"])
    opened = load_finetuned(tmp_path / "next")
    said = predict(opened, result.lesson.examples, device="cpu").probabilities
    assert np.allclose(said, said_of_all(result), atol=1e-5)


def test_a_start_whose_pretraining_has_not_ended_is_said_with_its_step(tmp_path):
    run = tmp_path / "pre"
    for step in ("step_00000200", "step_00000400"):
        save_model(run / "checkpoints" / step, build_model(SPEC, seed=3), SPEC, {})
    own = {"checkpoint": run, "settings": ONE}
    _, lines = quick(planted(60), tmp_path / "half", **own)
    doubt = f"WARNING: {run} has not ended its pre-training: step_00000400 is taken"
    assert doubt in lines
    _, lines = quick(
        planted(60), tmp_path / "named", **own | {"checkpoint": run / "checkpoints" / step}
    )
    assert not any("has not ended" in line for line in lines)  # it was meant
    save_model(run / "model", build_model(SPEC, seed=3), SPEC, {})
    _, lines = quick(planted(60), tmp_path / "ended", **own)
    assert not any("has not ended" in line for line in lines)


def test_what_it_was_taught_from_counts_as_unknown_and_what_was_before_is_kept(taught, tmp_path):
    result, _ = quick(planted(60, seed=5), tmp_path / "next", checkpoint=taught, settings=ONE)
    seen = result.model.about["pretraining"]
    assert unknown_starts(seen) == [str(taught)]
    assert [each.get("holdout_chroms") for each in seen["before"]] == [["chr22"]]
    assert held_out(seen) == []  # rows of chr22 may have been taught


def test_a_trunk_that_reads_states_goes_on_reading_them(tmp_path):
    store = toy_store(tmp_path / "store")
    first, _ = quick_bins(store, out=tmp_path / "first", epochs=1)
    labels = toy_labels(store, factor="OTHER", state=2)
    own = {"checkpoint": tmp_path / "first", "epochs": 1, "freeze": "encoder"}
    second, lines = quick_bins(store, labels, tmp_path / "second", **own)
    assert any("was fine-tuned on binding" in line for line in lines)
    assert second.model.about["streams"] == ["dna", "states"]
    before, after = first.model.network.state_dict(), second.model.network.state_dict()
    assert torch.equal(before["trunk.encoder.words.weight"], after["trunk.encoder.words.weight"])
    load_finetuned(tmp_path / "second")


def test_positions_that_a_long_context_added_go_on_with_the_trunk(tmp_path):
    size = EncoderSpec(hidden=8, layers=1, heads=2, ffn=8, max_positions=60)
    spec = ModelSpec(name="dnabert", streams=("dna",), k=3, max_tokens=60, encoder=size)
    save_model(tmp_path / "pre", build_model(spec, seed=3), spec, {"holdout_chroms": []})
    splice, _ = short_run(tmp_path, tmp_path / "splice", str(tmp_path / "pre"))
    had = splice.model.network.trunk.encoder.max_positions
    assert had > 60
    result, _ = quick(planted(60), tmp_path / "next", checkpoint=tmp_path / "splice", settings=ONE)
    assert result.model.spec.encoder.max_positions == had
    said = predict(load_finetuned(tmp_path / "next"), result.lesson.examples, device="cpu")
    assert np.allclose(said.probabilities, said_of_all(result), atol=1e-5)


def test_a_network_without_a_trunk_is_refused(tmp_path):
    quick(planted(60), tmp_path / "cnn", checkpoint="cnn", settings=ONE)
    with pytest.raises(CheckpointError, match="has no trunk that was one"):
        quick(planted(60), checkpoint=tmp_path / "cnn", settings=ONE)

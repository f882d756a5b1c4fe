"""LoRA in a fine-tuning: saved small, opened whole, resumed, and refused where it means nothing."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from epilm.errors import UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.predict import predict
from epilm.hub.checkpoint import save_model
from epilm.hub.export import export
from epilm.hub.load import load
from epilm.models.from_spec import build_model
from epilm.models.model_spec import ModelSpec
from epilm.training.learning import Learning, check_learning
from toy_binding import quick as quick_bins
from toy_binding import toy_store
from toy_lora import LORA, SHAPE, SPEC, learned, same, weights
from toy_sequences import QUICK, planted, quick, said_of_all


@pytest.fixture
def base(tmp_path):
    """A pre-trained model; not all of its positions were learned."""
    save_model(tmp_path / "base", build_model(SPEC, seed=3), SPEC, {"holdout_chroms": ["chr9"]})
    return tmp_path / "base"


def test_pairs_and_head_are_saved_and_the_whole_is_opened(base, tmp_path):
    result, lines = learned(base, tmp_path / "ft")
    assert any(
        line.startswith("lora: rank 2, alpha 4 on 8 layers of the trunk, which rests")
        for line in lines
    )
    kept = load_file(tmp_path / "ft" / "model" / "model.safetensors")
    pairs = [
        f"encoder.blocks.{n}.{layer}" for n in (0, 1) for layer in ("qkv", "out", "up", "down")
    ]
    assert sorted(kept) == sorted(
        [f"{name}.lora_{which}" for name in pairs for which in "ab"]
        + ["head.out.weight", "head.out.bias", "adapted.probe"]
    )
    opened = load_finetuned(tmp_path / "ft")
    assert same(weights(opened), weights(result.model))
    said = predict(opened, result.lesson.examples, device="cpu").probabilities
    assert np.allclose(said, said_of_all(result), atol=1e-6)
    table = evaluate(tmp_path / "ft").table
    assert table["test"]["ap"] == pytest.approx(result.metrics["test"]["ap"], abs=1e-6)
    # What is not in a block is the base's; its learned layers are not.
    was = load_file(base / "model.safetensors")
    now = weights(opened)
    assert torch.equal(now["encoder.words.weight"], was["encoder.words.weight"])
    assert torch.equal(now["encoder.positions.weight"][20:40], was["encoder.positions.weight"][:20])
    moved = now["encoder.blocks.0.up.weight"] - was["encoder.blocks.0.up.weight"]
    assert moved.abs().max() > 0
    assert torch.linalg.matrix_rank(moved) == 2
    task = json.loads((tmp_path / "ft" / "task.json").read_text())
    assert task["about"]["adapter"]["base"]["path"] == str(base)
    assert task["settings"]["lora"] == 2


def test_whatever_opens_models_opens_it(base, tmp_path):
    result, _ = learned(base, tmp_path / "ft", both_strands=False)
    vectors = load(tmp_path / "ft").embed(["ACGTACGTTGACTCA"], pooling="cls")
    export(tmp_path / "ft", tmp_path / "bert")
    assert np.allclose(load(tmp_path / "bert").embed(["ACGTACGTTGACTCA"]), vectors, atol=1e-5)
    export(tmp_path / "ft", tmp_path / "whole", "epilm")
    shutil.rmtree(base)
    whole = load_finetuned(tmp_path / "whole")
    assert same(weights(whole), weights(result.model))
    assert whole.about["merged"]["rank"] == 2
    assert whole.about["pretraining"]["holdout_chroms"] == ["chr9"]
    whole.save(tmp_path / "again")
    assert same(weights(load_finetuned(tmp_path / "again")), weights(whole))


def test_stopped_between_two_epochs_it_ends_with_the_same_weights(base, tmp_path):
    rows = planted(60, ragged=True)
    whole, _ = learned(base, tmp_path / "whole", rows, epochs=3)

    class Stopped(Exception):
        pass

    def stop(line):
        if line.startswith("epoch 2/3"):
            raise Stopped  # as a kill there: nothing is written of this epoch

    own = {"checkpoint": base, "settings": replace(LORA, epochs=3)}
    with pytest.raises(Stopped):
        finetune("sequences", rows, tmp_path / "cut", say=stop, **own)
    again, lines = learned(base, tmp_path / "cut", rows, epochs=3)
    assert "going on after epoch 1 of 3" in lines
    assert same(weights(whole.model), weights(again.model))
    files = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "cut")]
    assert same(*(load_file(path) for path in files))
    done, lines = learned(base, tmp_path / "cut", rows, epochs=3)
    assert lines[-1].startswith("the run is complete")
    assert same(weights(done.model), weights(whole.model))


def test_a_trunk_without_a_past_is_kept_whole(base, tmp_path):
    result, lines = quick(
        planted(60), tmp_path / "twin", checkpoint=base, init="random", settings=LORA
    )
    assert "lora: the trunk's weights lie in no file, so the model is kept whole" in lines
    assert same(weights(load_finetuned(tmp_path / "twin")), weights(result.model))


def test_a_trunk_of_states_is_adapted_for_places_of_a_store(tmp_path):
    store = toy_store(tmp_path / "store")
    spec = ModelSpec(
        name="ebert",
        streams=("dna", "states"),
        k=7,
        stride=7,
        states=store.states.n_states,
        cells=len(store.cell_types),
        max_tokens=150,
        encoder=replace(SHAPE, max_positions=150),
        next_segment="none",
    )
    extra = {"state_names": list(store.states.names), "state_bin": int(store.states.bin)}
    save_model(tmp_path / "ebert", build_model(spec, seed=9), spec, extra)
    own = {"lora": 2, "lora_layers": "attention", "epochs": 1, "positives_per_epoch": 20}
    result, _ = quick_bins(store, out=tmp_path / "ft", checkpoint=tmp_path / "ebert", **own)
    kept = load_file(tmp_path / "ft" / "model" / "model.safetensors")
    assert "trunk.encoder.blocks.1.qkv.lora_a" in kept
    assert "out.weight" in kept
    assert not any(".up." in name or "states" in name for name in kept)
    assert same(weights(load_finetuned(tmp_path / "ft")), weights(result.model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"lora": 2, "freeze": "layers:1"},
            r"--freeze: .*Found layers:1; expected none, since",
        ),
        ({"lora": 2, "thaw_after": 1}, r"--thaw-after: .* expected 0, since with --lora"),
        ({"lora": -1}, r"--lora: impossible value. Found -1"),
        ({"lora_alpha": 4.0}, r"--lora-alpha: .*expected above 0, beside a rank with --lora"),
        ({"lora_layers": "attention"}, r"--lora-layers: .*all, where no rank is given"),
        ({"lora": 2, "lora_layers": "some"}, r"--lora-layers: .*expected all or attention"),
    ],
)
def test_what_goes_with_no_adapter_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        check_learning(Learning(**options))


def test_a_network_without_a_trunk_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="--lora: the network has no trunk.*Found SmallCNN"):
        quick(planted(40), tmp_path / "ft", checkpoint="cnn", settings=replace(QUICK, lora=2))
    assert not (tmp_path / "ft").exists()

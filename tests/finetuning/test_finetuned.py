"""A fine-tuned model as a folder: today's form, and the two that earlier versions wrote."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from epilm.errors import CheckpointError
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetuned import Finetuned, is_finetuned, load_finetuned
from epilm.finetuning.predict import predict
from epilm.hub.checkpoint import read_spec, save_model
from epilm.models.baselines import FactorNet, SmallCNN
from epilm.models.binding_head import binding_from
from epilm.models.classifier import classifier_from
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from toy_binding import started, toy_labels, toy_store
from toy_sequences import QUICK, planted, quick

WINDOWS = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=7,
    stride=7,
    states=4,
    cells=3,
    max_tokens=150,
    encoder=EncoderSpec(size="tiny"),
    next_segment="none",
)
BERT = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))


def same_weights(one, other):
    mine, its = one.state_dict(), other.state_dict()
    return mine.keys() == its.keys() and all(torch.equal(mine[n], its[n]) for n in mine)


def test_a_model_survives_the_disk(tmp_path):
    model, _ = started("ebert", toy_store(tmp_path / "store"), factors=("CTCF", "MAX"))
    model.save(tmp_path / "model")
    again = load_finetuned(tmp_path)
    assert same_weights(model.network, again.network)
    assert again.about == json.loads(json.dumps(model.about))
    assert again.labels.names == ("CTCF", "MAX")
    assert again.reads == model.reads
    assert read_spec(tmp_path / "model")[1]["task"]["head"]["name"] == "convolutions"


def test_a_network_over_bases_is_opened_without_a_trunk(tmp_path, monkeypatch):
    """The folder's spec says base size, of which a FactorNet has nothing."""
    model, _ = started("factornet", toy_store(tmp_path / "store"))
    model.save(tmp_path / "model")

    def too_large(*_):
        raise AssertionError("99 million weights for nothing")

    monkeypatch.setattr("epilm.models.from_spec.build_model", too_large)
    assert same_weights(model.network, load_finetuned(tmp_path).network)


def old_settings(**changes):
    """What `classifier.json` held."""
    return {
        "format": 1,
        "kind": "language_model",
        "n_labels": 2,
        "fusion": "none",
        "dropout": 0.1,
        "both_strands": True,
        "factor_mean": [],
        "factor_sd": [],
        "about": {"task": "promoter", "label_names": ["other", "promoter"], "pretraining": None},
    } | changes


def test_an_old_run_of_a_language_model_opens_and_predicts(tmp_path):
    """Its logits are the mean of both strands', as `both_strands` says."""
    network = classifier_from(build_model(BERT, seed=1), 2, fusion="none", dropout=0.1).eval()
    settings = old_settings()
    head = {"n_labels": 2, "fusion": "none", "dropout": 0.1}
    extra = {"classifier": head, **settings["about"]}
    save_model(tmp_path / "ft" / "model", network, BERT, extra)
    (tmp_path / "ft" / "model" / "classifier.json").write_text(json.dumps(settings))
    assert is_finetuned(tmp_path / "ft")
    model = load_finetuned(tmp_path / "ft")
    assert same_weights(model.network, network)
    assert model.about["task"] == "promoter"
    assert model.labels.names == ("other", "promoter")
    assert model.both_strands
    rows = planted(20)
    said = predict(tmp_path / "ft", rows, device="cpu")
    assert said.label_names == ("other", "promoter")
    turned = replace(rows, codes=3 - rows.codes[:, ::-1])
    assert np.allclose(predict(model, turned, device="cpu").probabilities, said.probabilities)
    one = predict(model, rows, device="cpu", both_strands=False).probabilities
    assert not np.allclose(one, said.probabilities)
    table = evaluate(tmp_path / "ft", data=rows, device="cpu", say=lambda line: None).table
    assert table["all"]["n"] == 20


def test_an_old_run_of_the_small_cnn_has_no_spec_and_opens(tmp_path):
    network = SmallCNN(2, dropout=0.3, both_strands=True).eval()
    folder = tmp_path / "ft" / "model"
    folder.mkdir(parents=True)
    save_file(dict(network.state_dict()), folder / "model.safetensors")
    settings = old_settings(kind="cnn", both_strands=False, dropout=0.3)
    (folder / "classifier.json").write_text(json.dumps(settings))
    model = load_finetuned(tmp_path / "ft")
    rows = planted(20)
    with torch.no_grad():
        codes, lengths = torch.from_numpy(rows.codes).int(), torch.from_numpy(rows.lengths)
        expected = network(codes, lengths).double().softmax(-1).numpy()
    assert np.allclose(predict(model, rows, device="cpu").probabilities, expected, atol=1e-6)
    (folder / "classifier.json").write_text(json.dumps(settings | {"format": 7}))
    with pytest.raises(CheckpointError, match=r"unknown format. Found 7; expected 1"):
        load_finetuned(tmp_path / "ft")
    (folder / "classifier.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"classifier.json: not JSON"):
        load_finetuned(tmp_path / "ft")


def old_binding(store, **changes):
    """What extra["binding"] held."""
    return {
        "kind": "ebert",
        "factors": ["TF"],
        "window_bp": 600,
        "width": 200,
        "signals": [["accessibility", "max", "log1p"]],
        "strands": "forward",
        "state_names": list(store.states.names),
        "state_bin": 200,
        "cells": ["typeA"],
        "test_chroms": ["chr3"],
        "pretraining": None,
    } | changes


def test_an_old_run_of_binding_opens_predicts_and_is_scored(tmp_path):
    store = toy_store(tmp_path / "store")
    head = {"conv_channels": [8, 8], "kernel": 3, "dense": 8}
    network = binding_from(build_model(WINDOWS, seed=1), signals=1, outputs=1, seed=2, **head)
    about = old_binding(store, head=head)
    save_model(tmp_path / "ft" / "model", network, WINDOWS, {"binding": about})
    model = load_finetuned(tmp_path / "ft")
    assert same_weights(model.network, network)
    assert model.about["task"] == "binding"
    assert (model.reads.window_bp, model.reads.states) == (600, True)
    labels = toy_labels(store)
    (table,) = evaluate(
        tmp_path / "ft",
        data=labels,
        store=store,
        cell="typeA",
        device="cpu",
        say=lambda line: None,
    )
    assert table.factor == "TF"
    assert table.scores["n"] == labels.bins.inside(["chr3"]).sum()


def test_an_old_factornet_opens(tmp_path):
    store = toy_store(tmp_path / "store")
    network = FactorNet(1, 1, 600)
    about = old_binding(store, kind="factornet", head={"window_bp": 600})
    save_model(tmp_path / "model", network, BERT, {"binding": about})
    model = load_finetuned(tmp_path / "model")
    assert model.bases
    assert not model.reads.states
    assert same_weights(model.network, network)


def test_what_is_no_fine_tuned_model_is_named(tmp_path):
    save_model(tmp_path / "plain", build_model(BERT), BERT)
    assert not is_finetuned(tmp_path / "plain")
    with pytest.raises(CheckpointError, match=r"no fine-tuned model here.*epilm finetune"):
        load_finetuned(tmp_path / "plain")
    assert not is_finetuned(tmp_path / "nothing")


def test_a_head_that_is_not_known_here_is_named(tmp_path):
    result, _ = quick(planted(40), settings=replace(QUICK, epochs=1))
    model = result.model
    odd = Finetuned(model.network, model.spec, model.about | {"head": {"name": "oracle"}})
    odd.save(tmp_path / "model")
    with pytest.raises(
        CheckpointError,
        match=r"not known here. Found oracle; expected one of bases, conv",
    ):
        load_finetuned(tmp_path / "model")

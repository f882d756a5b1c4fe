"""What is watched, validated and written down."""

import math

import numpy as np
import pytest
import torch

from epilm.device import Place
from epilm.pretraining.validate import pick_rows, validate
from toy_training import ToyModel, make_batch, toy_objectives

PLACE = Place(torch.device("cpu"), False, ())


def test_validation_leaves_the_model_as_it_was_and_gives_chance():
    model = ToyModel().train()
    values, warnings = validate(model, make_batch, np.arange(20), toy_objectives(8), 8, PLACE)
    assert model.training
    assert values["matching/recall@10_chance"] == 0.5
    assert values["matching/loss_chance"] == pytest.approx(math.log(20))
    parts = values["masked_kmers/loss"] + 0.5 * values["matching/loss"]
    assert values["loss"] == pytest.approx(parts)
    assert warnings == []


def test_validation_does_not_depend_on_the_micro_batch_for_retrieval():
    model = ToyModel()
    a, _ = validate(model, make_batch, np.arange(20), toy_objectives(8), 8, PLACE)
    b, _ = validate(model, make_batch, np.arange(20), toy_objectives(8), 5, PLACE)
    for key in ("matching/loss", "matching/recall@1", "matching/recall@10"):
        assert a[key] == pytest.approx(b[key], rel=1e-5)


def test_a_collapsed_encoder_is_named():
    model = ToyModel()
    with torch.no_grad():
        model.norm.weight.zero_()
        model.norm.bias.fill_(1.0)
    _, warnings = validate(model, make_batch, np.arange(8), toy_objectives(8), 4, PLACE)
    assert any("sequence embeddings are nearly equal" in line for line in warnings)


def test_no_two_validation_samples_share_a_region():
    regions = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [6, -1], [7, -1]])
    assert pick_rows(regions, 10, [1, 0, 3, 2, 4, 5]).tolist() == [1, 3, 4, 5]
    assert pick_rows(regions, 1, [2, 0]).tolist() == [2]

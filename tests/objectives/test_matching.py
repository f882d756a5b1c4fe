"""Sequence-region matching: worked numbers (protocols 2.4), the literal guard, recall, two
devices.
"""

import math
import warnings

import pytest
import torch

from epilm.batch import Outputs
from epilm.errors import RecipeError, TrainingError
from epilm.objectives.matching import (
    contrast,
    matching_loss,
    matching_objective,
    retrieval_recall,
    temperature_of,
)
from epilm.objectives.table import MatchingSpec
from two_devices import device, inputs, spawn

EYE = torch.eye(2, dtype=torch.float64)
S = torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=torch.float64)


def loss_of(scores, form):
    """Similarities exactly `scores`: <e_i, reg_j> with reg = scores'."""
    return float(matching_loss(EYE, scores.T, form=form, temperature=1.0, normalise=False))


@pytest.mark.parametrize(
    ("form", "want"),
    [
        ("literal", -math.log(5 / 6)),
        ("pooled_exp", -math.log((math.e**2 + math.e**3) / (math.e**2 + math.e + 1 + math.e**3))),
        ("infonce_rows", (0.31326 + 0.04859) / 2),
        ("infonce_cols", 0.12693),
        ("symmetric", 0.15393),
    ],
)
def test_the_worked_numbers(form, want):
    assert loss_of(S, form) == pytest.approx(want, abs=1e-5)


def test_literal_is_guarded_where_it_is_undefined_and_says_so():
    bad = torch.tensor([[2.0, -6.0], [0.0, 3.0]], dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"matched similarities sum to 5, all to -1.*softplus"):
        loss = matching_loss(
            EYE.requires_grad_(), bad.T, form="literal", temperature=1.0, normalise=False
        )
    soft = torch.nn.functional.softplus(bad)
    assert loss.item() == pytest.approx(-math.log((soft[0, 0] + soft[1, 1]) / soft.sum()))
    loss.backward()
    assert torch.isfinite(EYE.grad).all()
    EYE.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss_of(S, "literal")


def test_literal_does_not_push_matched_pairs_apart_where_both_sums_are_negative():
    # Both sums are negative, so their ratio is a number: -ln(-5 / -4) = -0.223, and falls as the
    # matched similarities do.
    scores = torch.tensor([[-2.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
    reg = scores.T.clone().requires_grad_()
    with pytest.warns(UserWarning, match=r"sum to -5, all to -4, .* both to be positive.*softplus"):
        loss = matching_loss(EYE, reg, form="literal", temperature=1.0, normalise=False)
    soft = torch.nn.functional.softplus(scores)
    assert loss.item() == pytest.approx(-math.log(float(soft.trace() / soft.sum())))
    loss.backward()
    assert (reg.grad.diagonal() < 0).all()  # a step down the gradient pulls them together


def test_literal_says_where_it_is_below_0():
    scores = torch.tensor([[2.0, -1.0], [0.0, 3.0]], dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"literal is below 0 here.*symmetric has a lower end"):
        assert loss_of(scores, "literal") == pytest.approx(-math.log(5 / 4))


@pytest.mark.parametrize(
    "form", ["literal", "pooled_exp", "infonce_rows", "infonce_cols", "symmetric"]
)
def test_only_literal_does_not_see_scale(form):
    assert (loss_of(2 * S, form) == pytest.approx(loss_of(S, form))) == (form == "literal")


def test_temperature_and_normalise_act():
    torch.manual_seed(0)
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    values = {
        (t, n): float(matching_loss(a, b, temperature=t, normalise=n))
        for t in (0.07, 1.0)
        for n in (True, False)
    }
    assert len({round(v, 6) for v in values.values()}) == 4
    assert float(matching_loss(5 * a, b)) == pytest.approx(float(matching_loss(a, b)), rel=1e-5)


def test_the_learned_temperature_is_clamped_and_the_fixed_one_is_as_said():
    learned = torch.tensor(math.log(1e-6), requires_grad=True)
    assert float(temperature_of(learned.detach(), MatchingSpec())) == pytest.approx(0.01)
    assert temperature_of(learned, MatchingSpec(learn_temperature=False, temperature=0.5)) == 0.5
    assert temperature_of(None, MatchingSpec(temperature=0.2)) == 0.2
    log = torch.tensor(math.log(0.07), requires_grad=True)
    torch.manual_seed(0)
    contrast(torch.randn(4, 3), torch.randn(4, 3), log, MatchingSpec())["loss"].backward()
    assert log.grad.abs() > 0


def test_recall_by_hand_and_a_collapsed_model_finds_nothing():
    seq = torch.eye(3)
    found = retrieval_recall(seq, seq, ks=(1,))
    assert float(found["recall@1"]) == 1.0
    assert float(retrieval_recall(torch.ones(8, 3), torch.ones(8, 3), ks=(1,))["recall@1"]) == 0.0
    # Rows: partners of 0 and 1 swapped, 2 right; second place always holds the partner or not.
    assert float(retrieval_recall(seq, seq[[1, 0, 2]], ks=(1,))["recall@1"]) == pytest.approx(1 / 3)
    assert float(retrieval_recall(seq, seq[[1, 0, 2]], ks=(10,))["recall@10"]) == 1.0
    assert (
        float(retrieval_recall(torch.full((4, 2), math.nan), torch.ones(4, 2), ks=(1,))["recall@1"])
        == 0.0
    )


def test_bfloat16_embeddings_are_compared_in_float32():
    a = torch.randn(4, 8).bfloat16()
    assert matching_loss(a, a).dtype == torch.float32


def test_wrong_use_says_so():
    with pytest.raises(RecipeError, match="Did you mean symmetric"):
        matching_loss(EYE, EYE, form="symetric")
    with pytest.raises(TrainingError, match=r"\(2, 2\) and \(2, 3\).*projection to linear"):
        matching_loss(EYE, torch.zeros(2, 3))
    with pytest.raises(
        TrainingError, match=r"gave no region_embedding.*objectives\.matching\.weight to 0"
    ):
        matching_objective(Outputs(seq_embedding=EYE), None, MatchingSpec())


@pytest.mark.parametrize("world", [2, 3, 4])
def test_several_devices_have_the_gradients_of_one(world, tmp_path):
    spawn(device, tmp_path / "out.pt", world)  # of six rows: 3 and 3; 2 each; 1, 2, 1, 2
    loss, grad, grad_log = torch.load(tmp_path / "out.pt", weights_only=True)
    seq, reg, weight, log = inputs()
    want = contrast(seq @ weight, reg @ weight, log, MatchingSpec())["loss"]
    want.backward()
    assert torch.allclose(loss, want.detach(), atol=1e-12)
    assert torch.allclose(grad, weight.grad, atol=1e-12)
    assert torch.allclose(grad_log, log.grad, atol=1e-12)

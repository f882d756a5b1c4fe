"""Masked states in the loss: the centres alone count, and alpha mixes two means."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from epilm.batch import Batch, Outputs, Sequences
from epilm.errors import TrainingError
from epilm.models.model_spec import ModelSpec
from epilm.objectives.combine import active, combine, weights
from epilm.objectives.states import masked_states_loss
from epilm.objectives.table import (
    MaskedStatesSpec,
    MaskSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)

OFF = ObjectivesSpec(MaskSpec(), NextSegmentSpec(weight=0), MatchingSpec(weight=0))
EBERT = ModelSpec(name="ebert", streams=("dna", "states"), states=5)


def outputs(kmers=21, states=1, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Outputs(
        masked_logits=torch.randn(kmers, 69, generator=g, requires_grad=True),
        masked_labels=torch.randint(5, 69, (kmers,), generator=g),
        state_logits=torch.randn(states, 8, generator=g, requires_grad=True),
        state_labels=torch.randint(3, 8, (states,), generator=g),
    )


def batch():
    ids = torch.zeros((1, 1), dtype=torch.int64)
    return Batch(ids[0], ids[0], ids[:, :0], Sequences(ids, ids, ids > 0), ids[0])


def test_loss_and_accuracy_are_those_of_the_centres():
    out = outputs(states=7)
    found = masked_states_loss(out, batch(), MaskedStatesSpec())
    assert found["loss"].item() == pytest.approx(
        F.cross_entropy(out.state_logits, out.state_labels).item()
    )
    right = (out.state_logits.argmax(1) == out.state_labels).double().mean()
    assert float(found["accuracy"]) == pytest.approx(float(right))
    assert int(found["states"]) == 7


def test_no_centre_is_a_loss_of_zero_with_a_gradient():
    out = outputs(states=0)
    found = masked_states_loss(out, batch(), MaskedStatesSpec())
    found["loss"].backward()
    assert found["loss"].item() == 0
    assert out.state_logits.grad is not None


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_alpha_mixes_the_two_means(alpha):
    """Each is averaged over its own first: 21 k-mers do not outvote one state."""
    out, spec = outputs(), replace(OFF, alpha=alpha)
    total, values = combine(out, batch(), spec)
    kmers = F.cross_entropy(out.masked_logits, out.masked_labels)
    states = F.cross_entropy(out.state_logits, out.state_labels)
    assert total.item() == pytest.approx((alpha * kmers + (1 - alpha) * states).item())
    assert "masked_states/loss" in values or alpha == 1


def test_alpha_decides_over_the_weights_and_its_ends_switch_one_off():
    assert weights(replace(OFF, alpha=0.3))["masked_states"] == pytest.approx(0.7)
    assert active(replace(OFF, alpha=1.0)) == ["masked_kmers"]
    assert active(replace(OFF, alpha=0.0)) == ["masked_states"]
    assert active(replace(OFF, masked_states=MaskedStatesSpec(weight=2.0))) == [
        "masked_kmers",
        "masked_states",
    ]
    assert weights(OFF)["masked_states"] == 0


def test_a_model_without_state_scores_is_told():
    with pytest.raises(
        TrainingError, match=r"masked_states is on, but the model .* gave no state_logits"
    ):
        combine(Outputs(), batch(), replace(OFF, alpha=0.0))

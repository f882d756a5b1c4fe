"""Which weights decay, which rule moves them, and that state survives a round trip."""

import pytest
import torch
from torch import nn

from epilm.errors import CheckpointError, RecipeError
from epilm.training.optim import Optimiser, decayed, orthogonalised
from epilm.training.optim_spec import OptimSpec
from toy_training import ToyModel


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(9, 4)
        self.up = nn.Linear(4, 8)
        self.norm = nn.LayerNorm(8)
        self.tower = nn.Conv2d(1, 2, 3)
        self.scale = nn.Parameter(torch.zeros(()))
        self.head = nn.Linear(4, 9)
        self.head.weight = self.words.weight


def test_biases_norms_and_scalars_do_not_decay():
    assert decayed(Both()) == {"words.weight", "up.weight", "tower.weight"}


def test_muon_moves_inner_matrices_only():
    assert orthogonalised(Both()) == {"up.weight"}


def test_the_longest_beginning_of_a_name_sets_the_rate():
    model = Both()
    optimiser = Optimiser(
        model, OptimSpec(tower_lr_multiplier=0.1), {"": 3.0, "tower.": 2.0, "tower.we": 4.0}
    )
    rates = {
        optimiser.names[w]: group["scale"]
        for part in optimiser.parts
        for group in part.param_groups
        for w in group["params"]
    }
    assert rates == {
        name: 4.0 if name == "tower.weight" else 2.0 if name.startswith("tower.") else 3.0
        for name in rates
    }


def test_the_tower_takes_its_multiplier():
    model = Both()
    optimiser = Optimiser(model, OptimSpec(tower_lr_multiplier=0.1))
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimiser.step(0.5)
    rates = {
        optimiser.names[weight]: group["lr"]
        for part in optimiser.parts
        for group in part.param_groups
        for weight in group["params"]
    }
    assert rates["tower.weight"] == pytest.approx(0.05)
    assert rates["tower.bias"] == pytest.approx(0.05)
    assert rates["up.weight"] == pytest.approx(0.5)


@pytest.mark.parametrize("rule", ["adamw", "muon"])
def test_state_goes_out_and_comes_back(rule):
    def run(model, optimiser, steps):
        for step in steps:
            optimiser.zero_grad()
            sum((weight * (step + 1)).square().sum() for weight in model.parameters()).backward()
            optimiser.step(1e-2)

    model = ToyModel()
    optimiser = Optimiser(model, OptimSpec(name=rule))
    run(model, optimiser, range(3))
    other = ToyModel()
    other.load_state_dict(model.state_dict())
    resumed = Optimiser(other, OptimSpec(name=rule))
    resumed.load({key: value.clone() for key, value in optimiser.tensors().items()})
    run(model, optimiser, range(3, 6))
    run(other, resumed, range(3, 6))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


def test_foreign_state_is_refused():
    optimiser = Optimiser(ToyModel(), OptimSpec())
    with pytest.raises(CheckpointError, match=r"weights the model has not.*nothing"):
        optimiser.load({"nothing.weight/exp_avg": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"another shape.*Found \(2,\); expected \(16, 16\)"):
        optimiser.load({"mix.weight/exp_avg": torch.zeros(2)})


def test_unknown_rule():
    with pytest.raises(RecipeError, match="Found sgd; expected adamw or muon"):
        Optimiser(ToyModel(), OptimSpec(name="sgd"))  # type: ignore[arg-type]

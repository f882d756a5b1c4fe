"""Weights that are cut up: alone nothing is; what torch lacks is named (a step, a run: test_step,
tests/flows/test_ranks.py).
"""

import pytest
import torch
from torch import nn

from epilm.errors import TrainingError
from epilm.recipes.recipe import load_recipe
from epilm.training.compute import check_compute
from epilm.training.fsdp import buffers_kept, check_torch, clip_gradients, part_of, whole
from epilm.training.ranks import Ranks

CUT = ("train.strategy=fsdp", "train.devices=2", "train.micro_batch=2")


def test_what_is_whole_stays_what_it_is():
    tensors = {"a": torch.arange(3.0), "b": torch.zeros(())}
    assert all(whole(tensors)[name] is tensor for name, tensor in tensors.items())
    assert whole(tensors, keep=False) == {}
    assert part_of(tensors["a"], torch.zeros(3)) is tensors["a"]


def test_without_a_limit_a_gradient_keeps_its_length():
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    assert float(clip_gradients([weight], 0.0, Ranks())) == 5.0
    assert weight.grad.tolist() == [3.0, 4.0]


def test_a_pass_that_does_not_count_leaves_no_statistics():
    norm = nn.BatchNorm1d(2).train()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with buffers_kept(norm):
        norm(torch.randn(4, 2))
        assert int(norm.num_batches_tracked) == 1
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def older(module, **options):
    """FSDP2 as torch 2.6 had it: no weights could be left out."""


@pytest.mark.parametrize(
    ("name", "value", "lacks"),
    [
        ("fully_shard", older, "without ignored_params of FSDP2"),
        ("FSDPModule", nn.Module, "without sums, factors of FSDP2"),
    ],
)
def test_a_torch_that_lacks_what_is_used_is_named_before_anything_begins(
    monkeypatch, name, value, lacks
):
    check_torch()
    monkeypatch.setattr(f"torch.distributed.fsdp.{name}", value)
    train = load_recipe("ebert_tiny", overrides=CUT).train
    with pytest.raises(TrainingError, match=lacks) as caught:
        check_compute(nn.Linear(1, 1), train, torch.device("cpu"))
    assert "train.strategy: this torch cannot cut a model up" in str(caught.value)
    assert "Install torch 2.11 or newer, or set train.strategy to ddp" in str(caught.value)

"""Kinds of labels: losses by hand, what is not known counts nowhere, a flat model is named."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from epilm.errors import UsageError
from epilm.tasks.label_kinds import Classes, Factors, Numbers, PoissonCounts, flat, labels_from


def test_classes_are_lost_as_cross_entropy():
    three = Classes(("a", "b", "c"))
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
    labels = torch.tensor([1, 2])
    by_hand = -(2.0 - math.log(sum(math.exp(v) for v in (1.0, 2.0, 0.5)))) + math.log(3)
    assert float(three.loss(logits, labels)) == pytest.approx(by_hand, rel=1e-6)
    smoothed = F.cross_entropy(logits, labels, label_smoothing=0.1) * 2
    assert float(three.loss(logits, labels, 0.1)) == pytest.approx(float(smoothed), rel=1e-6)
    assert three.known(np.array([0, 1])) == 2
    assert three.probabilities(logits).dtype == torch.float64
    table = three.scores(np.array([0, 1, 2, 0] * 5), np.tile([[0.2, 0.5, 0.3]], (20, 1)))[""]
    assert table["collapse"].startswith("constant prediction")


def test_a_label_that_is_not_known_has_no_loss_and_no_gradient():
    two = Factors(("A", "B"))
    logits = torch.randn(3, 2, requires_grad=True)
    labels = torch.tensor([[1, -1], [0, -1], [-1, 1]])
    loss = two.loss(logits, labels)
    loss.backward()
    assert (logits.grad != 0).tolist() == [[True, False], [True, False], [False, True]]
    known = labels >= 0
    by_one = F.binary_cross_entropy_with_logits(
        logits[known].detach(), labels[known].float(), reduction="sum"
    )
    assert float(loss) == pytest.approx(float(by_one))
    assert two.known(labels.numpy()) == 3
    with pytest.raises(UsageError, match="--label-smoothing: labels of several factors are not"):
        two.loss(logits, labels, 0.1)


def test_factors_are_scored_one_by_one_and_a_flat_one_is_named():
    labels = np.zeros((50, 2), np.int8)
    labels[:5] = 1
    said = np.stack([np.full(50, -2.3), np.linspace(4, -4, 50)], 1).astype(np.float32)
    tables = Factors(("A", "B")).scores(labels, said)
    assert "flat scores" in tables["A"]["collapse"]
    assert tables["B"]["collapse"] is None
    assert tables["B"]["auroc"] == 1.0


def test_that_nearly_all_is_below_one_half_is_no_collapse():
    assert flat(np.random.default_rng(0).normal(-4, 0.5, 50).astype(np.float32)) is None
    assert flat(np.zeros(9)) is None  # too few to say


def test_numbers_are_lost_as_squares_and_scored_by_rank_and_size():
    one = Numbers(("expression",))
    labels = torch.tensor([[1.0], [float("nan")], [4.0]])
    logits = torch.tensor([[2.0], [7.0], [2.0]], requires_grad=True)
    loss = one.loss(logits, labels)
    loss.backward()
    assert float(loss) == 1 + 4
    assert logits.grad[:, 0].tolist() == [2.0, 0.0, -4.0]
    table = one.scores(labels.numpy(), np.array([[1.0], [5.0], [9.0]], np.float32))["expression"]
    assert (table["n"], table["spearman"], table["mse"]) == (2, 1.0, 12.5)


def test_labels_come_back_from_what_a_folder_says():
    for kind in (Classes, Factors, Numbers):
        again = labels_from({"kind": kind.kind, "names": ["a", "b"]})
        assert type(again) is kind
        assert again.names == ("a", "b")
    with pytest.raises(UsageError, match=r"unknown kind of labels. Found clases. Did you mean cl"):
        labels_from({"kind": "clases", "names": []})


def test_weights_of_classes_and_of_a_yes():
    logits, labels = torch.randn(6, 2), torch.tensor([0, 0, 0, 1, 1, 0])
    weighed = Classes(("a", "b"), [0.5, 2.0])
    plain = F.cross_entropy(logits, labels, reduction="none")
    by_hand = (plain * torch.tensor([0.5, 2.0])[labels]).sum()
    assert float(weighed.loss(logits, labels)) == pytest.approx(float(by_hand), rel=1e-6)
    asked = Factors(("a", "b"), [3.0, 1.0])
    answers = torch.tensor([[1, 0], [0, 1], [-1, 1], [1, -1], [0, 0], [1, 1]])
    plain = F.binary_cross_entropy_with_logits(logits, answers.clamp(0).float(), reduction="none")
    weights = torch.where(answers == 1, torch.tensor([3.0, 1.0]), 1.0) * (answers >= 0)
    assert float(asked.loss(logits, answers)) == pytest.approx(float((plain * weights).sum()))
    again = labels_from(asked.described())
    assert (again.names, again.weights) == (("a", "b"), (3.0, 1.0))


def test_numbers_are_scaled_and_counts_are_rates():
    truth = torch.tensor([[12.0], [float("nan")], [8.0]])
    scaled = Numbers(("x",), [10.0], [2.0])
    logits = torch.tensor([[0.5], [7.0], [-1.0]])
    assert float(scaled.loss(logits, truth)) == pytest.approx(0.25)
    assert scaled.probabilities(logits).flatten().tolist() == [11.0, 24.0, 8.0]
    again = labels_from(scaled.described())
    assert (again.mean, again.sd) == ((10.0,), (2.0,))
    table = again.scores(truth.numpy(), np.array([[11.0], [0.0], [8.0]], np.float32))["x"]
    assert (table["n"], table["mse"], table["mse_of_mean"]) == (2, 0.5, 4.0)
    counts = PoissonCounts(("x",), [10.0])
    rates = counts.probabilities(logits)
    by_hand = sum(float(rates[r] - truth[r] * rates[r].log()) for r in (0, 2))
    assert float(counts.loss(logits, truth)) == pytest.approx(by_hand, rel=1e-5)
    with pytest.raises(UsageError, match="numbers are not smoothed"):
        counts.loss(logits, truth, 0.1)

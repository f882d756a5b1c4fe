"""Losses by hand, what each scores and what not, the weighted sum, refused values."""

import math
from dataclasses import replace

import pytest
import torch

from epilm.batch import Batch, Outputs, Sequences
from epilm.errors import TrainingError
from epilm.objectives.combine import active, combine
from epilm.objectives.contacts import contacts_loss
from epilm.objectives.factors import masked_factors_loss
from epilm.objectives.masked import HiddenKmers, count_right, masked_kmers_loss
from epilm.objectives.next_segment import next_segment_loss
from epilm.objectives.table import (
    OBJECTIVES,
    ContactsSpec,
    MaskedFactorsSpec,
    MaskSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)

ZERO = torch.zeros(2, dtype=torch.int64)
NOTHING = Sequences(ZERO[None], ZERO[None], ZERO[None].bool())


def batch(**parts):
    return Batch(rows=ZERO, cells=ZERO, regions=ZERO[:, None], dna=NOTHING, owner=ZERO, **parts)


def test_masked_kmers_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    out = Outputs(masked_logits=logits, masked_labels=torch.tensor([0, 1]))
    got = masked_kmers_loss(out, batch(), MaskSpec())
    assert float(got["loss"]) == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert float(got["accuracy"]) == 0.5
    assert int(got["tokens"]) == 2


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_right_rows_are_those_argmax_finds_with_many_equal_scores(kind):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 5, (400, 9), generator=generator).to(kind)  # every row has ties
    labels = torch.randint(0, 9, (400,), generator=generator)
    labels[::7] = -100
    expected = sum(
        int(label) == row.float().tolist().index(row.max())
        for row, label in zip(logits, labels, strict=True)
    )
    assert 20 < expected < 200
    assert int(count_right(logits, labels)) == expected


def test_no_masked_token_is_a_zero_loss_with_a_gradient():
    logits = torch.zeros(0, 5, requires_grad=True)
    got = masked_kmers_loss(
        Outputs(masked_logits=logits, masked_labels=torch.zeros(0, dtype=torch.int64)),
        batch(),
        MaskSpec(),
    )
    got["loss"].backward()
    assert float(got["loss"].detach()) == 0.0


def test_next_segment_by_hand():
    out = Outputs(
        pair_logits=torch.tensor([[0.0, 0.0], [0.0, 100.0]]), pair_labels=torch.tensor([0, 1])
    )
    got = next_segment_loss(out, batch(), NextSegmentSpec())
    assert float(got["loss"]) == pytest.approx(math.log(2) / 2)
    assert float(got["accuracy"]) == 1.0


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_visible_factor_entries_give_no_gradient(loss):
    torch.manual_seed(0)
    prediction = torch.randn(2, 3, 4, requires_grad=True)
    hidden = torch.rand(2, 3, 4) < 0.4
    given = batch(factor_hidden=hidden, factor_targets=torch.randn(2, 3, 4))
    out = Outputs(factor_prediction=prediction)
    masked_factors_loss(out, given, MaskedFactorsSpec(weight=1, loss=loss))["loss"].backward()
    assert (prediction.grad[~hidden] == 0).all()
    assert (prediction.grad[hidden] != 0).all()


def test_masked_factors_by_hand():
    given = batch(
        factor_hidden=torch.tensor([[[True, True, False]]]),
        factor_targets=torch.tensor([[[1.0, 0.0, 9.0]]]),
    )
    out = Outputs(factor_prediction=torch.tensor([[[2.0, -1.0, 0.0]]]))
    squared = masked_factors_loss(out, given, MaskedFactorsSpec(loss="mse"))
    assert float(squared["loss"]) == pytest.approx((1 + 1) / 2)
    assert float(squared["explained"]) == pytest.approx(1 - 2 / 0.5)
    binary = masked_factors_loss(out, given, MaskedFactorsSpec(loss="bce"))
    assert float(binary["loss"]) == pytest.approx(
        (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    )
    assert float(binary["accuracy"]) == 1.0


def test_contacts_align_with_the_sequence():
    x = torch.eye(3)
    good = contacts_loss(
        Outputs(seq_embedding=x, contact_embedding=x), batch(), ContactsSpec(weight=1)
    )
    bad = contacts_loss(
        Outputs(seq_embedding=x, contact_embedding=x[[1, 2, 0]]), batch(), ContactsSpec(weight=1)
    )
    assert float(good["loss"]) < 0.01 < float(bad["loss"])
    assert float(good["recall@1"]) == 1.0


def test_the_sum_is_weighted_and_can_leave_one_out():
    torch.manual_seed(0)
    out = Outputs(
        masked_logits=torch.randn(4, 5),
        masked_labels=torch.arange(4),
        pair_logits=torch.randn(2, 2),
        pair_labels=torch.tensor([0, 1]),
        seq_embedding=torch.randn(2, 3),
        region_embedding=torch.randn(2, 3),
        log_temperature=torch.tensor(0.0),
    )
    spec = ObjectivesSpec(
        MaskSpec(weight=2.0), NextSegmentSpec(weight=0.5), MatchingSpec(weight=0.25)
    )
    total, values = combine(out, batch(), spec)
    want = (
        2 * values["masked_kmers/loss"]
        + 0.5 * values["next_segment/loss"]
        + 0.25 * values["matching/loss"]
    )
    assert float(total) == pytest.approx(float(want))
    less, fewer = combine(out, batch(), spec, skip={"matching"})
    assert float(total - less) == pytest.approx(0.25 * float(values["matching/loss"]), rel=1e-5)
    assert set(values) - set(fewer) == {
        f"matching/{k}" for k in ("loss", "recall@1", "recall@10", "temperature", "samples")
    }
    assert set(active(spec)) < set(OBJECTIVES)


def test_a_missing_output_names_the_objective():
    with pytest.raises(
        TrainingError, match=r"next_segment is on, but the model .* gave no pair_logits"
    ):
        combine(Outputs(), batch(), replace(ObjectivesSpec(), masked_kmers=MaskSpec(weight=0)))


def test_chance_of_masked_kmers_counts_what_can_be_read_off():
    # Ten hidden k-mers: one stands unchanged, one is another k-mer, eight are covered; 7 is the
    # commonest of these.
    truth = torch.tensor([9, 9, 7, 7, 7, 5, 6, 8, 9, 9])
    shown = torch.tensor([9, 5, 4, 4, 4, 4, 4, 4, 4, 4])
    said = torch.tensor([9, 0, 7, 7, 0, 0, 0, 0, 0, 0])
    kept = HiddenKmers()
    for part in (slice(0, 3), slice(3, 10)):  # in two batches
        ids, labels = shown[None, part], truth[None, part]
        scores = torch.nn.functional.one_hot(said[part], 10).float()
        kept.add(
            Outputs(masked_logits=scores, masked_labels=truth[part]),
            replace(batch(), dna=Sequences(ids, ids, ids > 0, labels)),
        )
    values, warnings = kept.scores()
    assert values["accuracy_chance"] == pytest.approx((1 + 3) / 10)
    assert values["covered_accuracy"] == pytest.approx(2 / 8)
    assert values["covered_accuracy_chance"] == pytest.approx(3 / 8)
    assert warnings == []

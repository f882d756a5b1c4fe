"""Masked k-mers: the loss by hand, the right rows, the chance."""

import math
from dataclasses import replace

import pytest
import torch

from epilm.batch import Batch, Outputs, Sequences
from epilm.objectives.masked import HiddenKmers, count_right, masked_kmers_loss
from epilm.objectives.table import (
    MaskSpec,
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

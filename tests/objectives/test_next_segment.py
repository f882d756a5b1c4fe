"""Next segment: the loss by hand."""

import math

import pytest
import torch

from epilm.batch import Batch, Outputs, Sequences
from epilm.objectives.next_segment import next_segment_loss
from epilm.objectives.table import (
    NextSegmentSpec,
)

ZERO = torch.zeros(2, dtype=torch.int64)
NOTHING = Sequences(ZERO[None], ZERO[None], ZERO[None].bool())


def batch(**parts):
    return Batch(rows=ZERO, cells=ZERO, regions=ZERO[:, None], dna=NOTHING, owner=ZERO, **parts)


def test_next_segment_by_hand():
    out = Outputs(
        pair_logits=torch.tensor([[0.0, 0.0], [0.0, 100.0]]), pair_labels=torch.tensor([0, 1])
    )
    got = next_segment_loss(out, batch(), NextSegmentSpec())
    assert float(got["loss"]) == pytest.approx(math.log(2) / 2)
    assert float(got["accuracy"]) == 1.0

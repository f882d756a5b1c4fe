"""The sum of objectives is weighted, and names what is missing."""

import pytest
import torch

from epilm.batch import Batch, Outputs, Sequences
from epilm.objectives.combine import active, combine
from epilm.objectives.table import (
    OBJECTIVES,
    MaskSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)

ZERO = torch.zeros(2, dtype=torch.int64)
NOTHING = Sequences(ZERO[None], ZERO[None], ZERO[None].bool())


def batch(**parts):
    return Batch(rows=ZERO, cells=ZERO, regions=ZERO[:, None], dna=NOTHING, owner=ZERO, **parts)


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

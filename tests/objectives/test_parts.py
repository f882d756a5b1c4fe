"""What several objectives share: a missing output and a missing stream are named."""

from types import SimpleNamespace

import pytest
import torch

from epilm.batch import Batch, Outputs, Sequences
from epilm.errors import TrainingError
from epilm.objectives.combine import combine
from epilm.objectives.parts import need, without_factors
from epilm.objectives.table import MaskSpec, NextSegmentSpec, ObjectivesSpec

ZERO = torch.zeros(2, dtype=torch.int64)
NOTHING = Sequences(ZERO[None], ZERO[None], ZERO[None].bool())
BATCH = Batch(rows=ZERO, cells=ZERO, regions=ZERO[:, None], dna=NOTHING, owner=ZERO)


def test_what_is_there_is_given_back():
    value = torch.ones(2)
    assert need(value, "matching", "seq_embedding") is value


def test_a_missing_output_names_the_objective():
    spec = ObjectivesSpec(MaskSpec(weight=0), NextSegmentSpec(weight=1))
    with pytest.raises(
        TrainingError,
        match=r"next_segment is on, but the model .* gave no pair_logits.*"
        r"or set objectives.next_segment.weight to 0",
    ):
        combine(Outputs(), BATCH, spec)


def test_a_model_without_factors_does_not_go_with_an_objective_of_them():
    (misfit,) = without_factors("matching", SimpleNamespace(streams=("dna", "states")))
    assert misfit.key == "objectives.matching.weight"
    assert misfit.found == "streams ['dna', 'states']"
    assert not list(without_factors("matching", SimpleNamespace(streams=("dna", "factors"))))

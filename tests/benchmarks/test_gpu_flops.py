"""The operations that MFU divides by are those that torch counts on the same step."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.gpu_flops import step_flops
from benchmarks.gpu_subjects import make_subject, random_store
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from epilm.device import Place
from epilm.objectives.combine import combine


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return random_store(tmp_path_factory.mktemp("gpu"), tiny=True)


@pytest.mark.parametrize(
    ("recipe", "size", "share"), [("ebert_base", "tiny", 1e-6), ("genebert_native", "tiny", 0.01)]
)
def test_a_step_has_the_operations_that_torch_counts(store, recipe, size, share):
    place = Place(torch.device("cpu"), False, ())
    subject = make_subject(recipe, store, place, size=size, set=["model.encoder.dropout=0"])
    batch = subject.maker(np.arange(4), 0)
    assert batch.dna.mask.all()
    # The counter knows torch's own products alone, not oneDNN's (`nn.linear`), nor the CPU's
    # attention.
    plain = torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH)
    with plain[0], plain[1], FlopCounterMode(display=False) as counter:
        combine(subject.model(batch), batch, subject.recipe.objectives)[0].backward()
    assert step_flops(subject.model, batch) == pytest.approx(counter.get_total_flops(), rel=share)

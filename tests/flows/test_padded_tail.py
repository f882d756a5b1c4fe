"""samples.tail=pad: what stands in the place of a missing region reaches no embedding and no
loss.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.batches.maker import BatchMaker
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec
from epilm.objectives.combine import combine
from epilm.objectives.table import MaskedFactorsSpec, NextSegmentSpec, ObjectivesSpec
from epilm.store.sample_spec import SampleSpec
from epilm.tokens.kmers import CLS, PAD, SEP
from toy_store import toy_store

SAMPLES = SampleSpec(regions=4, group_stride=4, tail="pad")
SPEC = ModelSpec(
    k=3,
    encoder=EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=32, max_positions=40),
    tower=TowerSpec(embed=8, depths=(1, 1), heads=(1, 2), window=2, patch=(1, 2)),
    max_tokens=40,
    projection_dim=8,
)
MASKED_FACTORS = ObjectivesSpec(
    next_segment=NextSegmentSpec(weight=0), masked_factors=MaskedFactorsSpec(weight=1)
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def padded_batch(store, spec, objectives=ObjectivesSpec()):  # noqa: B008
    maker = BatchMaker(store, spec, objectives, SAMPLES, seed=0)
    short = np.flatnonzero((maker.table.regions < 0).any(1))
    assert len(short) >= 2
    return build_model(maker.spec, seed=0).eval(), maker(np.concatenate([short, [0]]), 3)


def with_nonsense(batch):
    """The same batch, and anything at all where there is no region."""
    empty = batch.regions < 0
    at = empty.flatten()
    ids = batch.dna.ids.clone()
    ids[at] = torch.randint(5, 69, ids[at].shape)
    mask = batch.dna.mask.clone()
    mask[at] = True
    factors = batch.factors.masked_fill(empty[(..., *[None] * (batch.factors.dim() - 2))], 77.0)
    return replace(batch, dna=replace(batch.dna, ids=ids, mask=mask), factors=factors)


@pytest.mark.parametrize(
    ("changes", "objectives"),
    [
        ({}, ObjectivesSpec()),
        ({"pooling": "mean"}, ObjectivesSpec()),
        ({"streams": ("dna", "factors", "contacts"), "contacts": "bias"}, ObjectivesSpec()),
        ({"next_segment": "none", "fusion": "concat", "masked_factors": True}, MASKED_FACTORS),
        (
            {"next_segment": "none", "fusion": "cross_attention", "masked_factors": True},
            MASKED_FACTORS,
        ),
        ({"next_segment": "bi"}, ObjectivesSpec(next_segment=NextSegmentSpec(form="bi"))),
    ],
)
def test_an_empty_region_counts_for_nothing(store, changes, objectives):
    model, batch = padded_batch(store, replace(SPEC, **changes), objectives)
    empty = (batch.regions < 0).flatten()
    assert (batch.dna.ids[empty][:, :2] == torch.tensor([CLS, SEP])).all()
    assert (batch.dna.ids[empty][:, 2:] == PAD).all()
    assert (batch.dna.labels[empty] == -100).all()  # nothing to guess there
    plain, other = model(batch), model(with_nonsense(batch))
    torch.testing.assert_close(other.seq_embedding, plain.seq_embedding)
    torch.testing.assert_close(other.region_embedding, plain.region_embedding)
    for name, value in combine(plain, batch, objectives)[1].items():
        torch.testing.assert_close(combine(other, batch, objectives)[1][name], value, msg=name)
    if batch.pair_index is not None:
        assert not empty[batch.pair_index].any()


@pytest.mark.parametrize("layout", ["concat", "concat_budget", "chunk_rnn"])
def test_joined_layouts_read_the_tail_as_a_shorter_sample(store, layout):
    _, batch = padded_batch(store, replace(SPEC, layout=layout), ObjectivesSpec())
    real = (batch.regions >= 0).sum(1)
    tokens = torch.zeros(len(batch), dtype=torch.int64).index_add_(
        0, batch.owner, (batch.dna.ids >= 4).sum(1)
    )
    separators = torch.zeros_like(real).index_add_(0, batch.owner, (batch.dna.ids == SEP).sum(1))
    pieces = torch.bincount(batch.owner, minlength=len(batch))
    assert (tokens > 0).all()
    if layout == "chunk_rnn":
        assert (separators == real - 1 + pieces).all()
    elif layout == "concat_budget":
        assert (separators == 1).all()
        assert (tokens <= real * (38 // 4)).all()


def test_the_embedding_of_a_tail_is_that_of_its_regions_alone(store):
    """The mean goes over real regions: a sample of as many regions as the tail has says the
    same.
    """
    model, batch = padded_batch(store, SPEC)
    row = int(((batch.regions >= 0).sum(1) < 4).nonzero()[0, 0])
    real = batch.regions[row] >= 0
    pooled = model.pool(model.read(batch.dna).tokens, batch.dna.mask).view(len(batch), 4, -1)[row]
    torch.testing.assert_close(model._match(batch)[2][row], pooled[real].mean(0))

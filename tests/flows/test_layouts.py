"""Store to losses for every layout, join and head: what batches make is what models read."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.batches.maker import BatchMaker
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec
from epilm.objectives.combine import active, combine
from epilm.objectives.table import (
    ContactsSpec,
    MaskedFactorsSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)
from epilm.store.sample_spec import SampleSpec
from toy_store import toy_store

ENCODER = EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=32, max_positions=16)
TOWER = TowerSpec(embed=8, depths=(1, 1), heads=(1, 2), window=2, patch=(1, 2))
SUMMARY = {"fusion": "cross_attention", "masked_factors": True, "next_segment": "none"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def run(store, spec, objectives, tail="drop"):
    samples = SampleSpec(regions=4, group_stride=4, tail=tail)
    maker = BatchMaker(store, spec, objectives, samples, seed=0)
    model = build_model(maker.spec, seed=0)
    # The last rows hold the padded tails.
    batch = maker(np.arange(len(maker) - 5, len(maker)), 3)
    total, values = combine(model(batch), batch, objectives)
    total.backward()
    assert torch.isfinite(total)
    assert {f"{name}/loss" for name in active(objectives)} <= set(values)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    return model, batch


@pytest.mark.parametrize("tail", ["drop", "pad"])
@pytest.mark.parametrize("join", ["sep", "raw"])
@pytest.mark.parametrize("segment", ["pair", "region_index"])
@pytest.mark.parametrize("layout", ["per_region", "concat", "concat_budget", "chunk_rnn"])
def test_every_layout_reaches_a_loss(store, layout, segment, join, tail):
    spec = ModelSpec(
        k=3,
        layout=layout,
        join=join,
        segment=segment,
        encoder=ENCODER,
        tower=TOWER,
        max_tokens=40,
        projection_dim=8,
    )
    run(store, spec, ObjectivesSpec(), tail)


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize(
    ("changes", "objectives"),
    [
        ({"next_segment": "bi"}, ObjectivesSpec(next_segment=NextSegmentSpec(form="bi"))),
        (
            SUMMARY,
            ObjectivesSpec(
                next_segment=NextSegmentSpec(weight=0), masked_factors=MaskedFactorsSpec(weight=1)
            ),
        ),
        (
            SUMMARY | {"fusion": "concat"},
            ObjectivesSpec(
                next_segment=NextSegmentSpec(weight=0),
                masked_factors=MaskedFactorsSpec(weight=1, unit="region", loss="bce"),
            ),
        ),
        ({"streams": ("dna", "factors", "contacts"), "contacts": "bias"}, ObjectivesSpec()),
        (
            {"streams": ("dna", "factors", "contacts"), "contacts": "encoder"},
            ObjectivesSpec(contacts=ContactsSpec(weight=1)),
        ),
        ({"cell_embedding": True, "pooling": "mean"}, ObjectivesSpec()),
    ],
)
def test_every_head_reaches_its_loss(store, changes, objectives, clean):
    spec = replace(
        ModelSpec(k=3, encoder=ENCODER, tower=TOWER, max_tokens=40, projection_dim=8), **changes
    )
    objectives = replace(objectives, matching=MatchingSpec(input="clean" if clean else "masked"))
    _, batch = run(store, spec, objectives, "pad")
    assert (batch.clean is not None) == clean


def test_the_embedding_stays_when_the_negatives_are_drawn_another_way(store):
    """A6, with the pairs that batches really draw."""
    spec = ModelSpec(k=3, encoder=ENCODER, tower=TOWER, max_tokens=40, projection_dim=8)
    samples = SampleSpec(regions=4, group_stride=4)
    embeddings, pairs = [], []
    for negative in ("same_cell", "other_cell"):
        objectives = ObjectivesSpec(next_segment=NextSegmentSpec(negative=negative))
        maker = BatchMaker(store, spec, objectives, samples, seed=0)
        batch = maker(np.arange(6), 0)
        embeddings.append(build_model(maker.spec, seed=0).eval()(batch).seq_embedding)
        pairs.append(batch.pairs.ids)
    assert torch.equal(*embeddings)
    assert not (pairs[0].shape == pairs[1].shape and torch.equal(*pairs))

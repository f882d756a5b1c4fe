"""Every entry of MODELS, REGION_TOWERS and OBJECTIVES at toy size: forward, backward, finite."""

from dataclasses import replace

import pytest
import torch

from epilm.models.from_spec import MODELS, build_model, parameter_table
from epilm.models.model_spec import StemSpec, TowerSpec
from epilm.nn.region import REGION_TOWERS
from epilm.objectives.combine import combine
from epilm.objectives.table import (
    OBJECTIVES,
    ContactsSpec,
    MaskedFactorsSpec,
    MaskedStatesSpec,
    MaskSpec,
    MatchingSpec,
    MotifSitesSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)

OFF = ObjectivesSpec(MaskSpec(weight=0), NextSegmentSpec(weight=0), MatchingSpec(weight=0))

# What each objective needs of a model.
NEEDS = {
    "masked_kmers": (OFF, {"next_segment": "none"}),
    "next_segment": (OFF, {}),
    "matching": (OFF, {"next_segment": "none"}),
    "masked_factors": (OFF, {"next_segment": "none", "fusion": "concat", "masked_factors": True}),
    "contacts": (
        OFF,
        {"next_segment": "none", "streams": ("dna", "contacts"), "contacts": "encoder"},
    ),
    "masked_states": (
        OFF,
        {"name": "ebert", "streams": ("dna", "states"), "states": 5, "next_segment": "none"},
    ),
    "motif_sites": (
        OFF,
        {"name": "dbert", "streams": ("dna",), "motif_sites": 4, "next_segment": "none"},
    ),
}
ON = {
    "masked_kmers": MaskSpec(),
    "next_segment": NextSegmentSpec(),
    "matching": MatchingSpec(),
    "masked_factors": MaskedFactorsSpec(weight=1.0),
    "contacts": ContactsSpec(weight=1.0),
    "masked_states": MaskedStatesSpec(weight=1.0),
    "motif_sites": MotifSitesSpec(weight=1.0),
}


def learn(toy, spec, objectives, size=3):
    torch.manual_seed(0)
    model = build_model(spec)
    batch = toy.batch(spec, size)
    total, values = combine(model(batch), batch, objectives)
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(v).all() for v in values.values())
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(torch.isfinite(g).all() for g in grads)
    assert any(g.abs().sum() > 0 for g in grads)
    return values


@pytest.mark.parametrize("name", MODELS)
def test_models(toy, name):
    kmers = replace(OFF, masked_kmers=MaskSpec())
    if name in ("dnabert", "dbert"):
        learn(toy, toy.spec(name=name, streams=("dna",), next_segment="none"), kmers)
    elif name == "ebert":
        learn(toy, toy.spec(**NEEDS["masked_states"][1]), replace(kmers, alpha=0.5))
    else:
        learn(toy, toy.spec(name=name), ObjectivesSpec())


@pytest.mark.parametrize("name", REGION_TOWERS)
def test_towers(toy, name):
    stages = REGION_TOWERS[name].family in ("native", "swin")
    prepare = "native" if name == "native" else "resize"
    sizes = {"depths": (1, 1), "heads": (1, 2)} if stages else {"depths": (1,), "heads": (2,)}
    tower = TowerSpec(name=name, prepare=prepare, embed=8, window=2, **sizes)
    learn(
        toy,
        toy.spec(tower=tower, next_segment="none"),
        replace(OFF, matching=MatchingSpec()),
        size=2,
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(toy, name):
    objectives, changes = NEEDS[name]
    values = learn(toy, toy.spec(**changes), replace(objectives, **{name: ON[name]}))
    assert set(values) >= {f"{name}/loss"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stride", [1, 3])
def test_every_model_takes_a_stem(toy, name, stride):
    streams = {"genebert": ("dna", "factors"), "ebert": ("dna", "states")}.get(name, ("dna",))
    spec = toy.spec(
        name=name,
        streams=streams,
        stride=stride,
        stem=StemSpec(filters=4, width=5),
        next_segment="none",
        states=5 if name == "ebert" else 0,
    )
    learn(toy, spec, replace(OFF, masked_kmers=MaskSpec()))
    grown = parameter_table(build_model(spec))["total"]
    bare = parameter_table(build_model(replace(spec, stem=None)))["total"]
    assert grown - bare == 4 * 5 * 4 + 4 + 4 * 16 + 16  # filters, and the layer to 16 wide


@pytest.mark.parametrize("name", ["genebert", "dnabert", "ebert"])
def test_every_model_can_be_asked_for_motif_sites(toy, name):
    streams = {"genebert": ("dna", "factors"), "dnabert": ("dna",), "ebert": ("dna", "states")}
    spec = toy.spec(
        name=name,
        streams=streams[name],
        motif_sites=4,
        next_segment="none",
        states=5 if name == "ebert" else 0,
    )
    learn(toy, spec, replace(OFF, motif_sites=ON["motif_sites"], masked_kmers=MaskSpec()))


@pytest.mark.parametrize("layout", ["per_region", "concat", "concat_budget", "chunk_rnn"])
@pytest.mark.parametrize("fusion", ["concat", "cross_attention"])
@pytest.mark.parametrize("pooling", ["cls", "pooler", "mean"])
def test_everything_at_once(toy, layout, fusion, pooling):
    spec = toy.spec(
        layout=layout,
        fusion=fusion,
        pooling=pooling,
        masked_factors=True,
        cell_embedding=True,
        streams=("dna", "factors", "contacts"),
        contacts="encoder",
    )
    objectives = ObjectivesSpec(masked_factors=ON["masked_factors"], contacts=ON["contacts"])
    assert len(learn(toy, spec, objectives)) > 12


@pytest.mark.parametrize("layout", ["per_region", "chunk_rnn"])
@pytest.mark.parametrize("fusion", ["concat", "cross_attention"])
def test_bfloat16_autocast(toy, layout, fusion):
    spec = toy.spec(
        layout=layout,
        fusion=fusion,
        masked_factors=True,
        cell_embedding=True,
        streams=("dna", "factors", "contacts"),
        contacts="bias" if layout == "per_region" else "encoder",
    )
    with torch.autocast("cpu", torch.bfloat16):
        learn(toy, spec, ObjectivesSpec(masked_factors=ON["masked_factors"]))

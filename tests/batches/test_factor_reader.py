from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.batches.factor_reader import (
    FactorReader,
    accessibility_levels,
    channel_statistics,
    factor_order,
)
from epilm.batches.maker import BatchMaker
from epilm.errors import RecipeError, StoreError
from epilm.models.model_spec import ModelSpec, TowerSpec
from epilm.objectives.table import MaskedFactorsSpec, ObjectivesSpec
from epilm.store.sample_spec import SampleSpec
from toy_store import toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("factors"), per_chrom=(40, 30), cells=2, factors=6)


REGIONS, CELLS = torch.tensor([[0, 5, 41, -1], [7, 8, 9, 10]]), torch.tensor([0, 1])


def read(store, hide=MaskedFactorsSpec(), **samples):  # noqa: B008
    return FactorReader(store, SampleSpec(**samples), hide, seed=0)


def raw(store):
    return np.asarray(store.factors, np.float64)


def test_as_stored_and_zero_where_there_is_no_region(store):
    matrix = read(store, normalise_factors="none")(REGIONS, CELLS)
    assert torch.equal(matrix[1], torch.from_numpy(np.array(store.factors[7:11])).float())
    assert (matrix[0, 3] == 0).all()
    assert matrix.dtype == torch.float32


def test_zscores_come_from_the_training_chromosomes_alone(store):
    matrix = read(store, holdout_chroms=("chr2",))(REGIONS, CELLS)
    train = raw(store)[store.regions["chrom"] == 0]
    expected = (raw(store)[[0, 5, 41]] - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(matrix[0, :3].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(matrix, read(store)(REGIONS, CELLS))


def test_max_scales_to_one(store):
    everything = torch.arange(70)[None]
    matrix = read(store, normalise_factors="max")(everything, torch.tensor([0]))
    np.testing.assert_allclose(matrix[0].amax(0).numpy(), 1.0, rtol=1e-6)


def test_a_factor_that_never_varies_stays_zero(tmp_path):
    store = toy_store(tmp_path, factors=2)
    path = store.path / "factors.f16.npy"
    flat = np.load(path)
    flat[:, 1] = 3
    from epilm.store.making.writer import factor_sums

    sums = factor_sums(flat, store.regions["chrom"].astype(int), 2)
    fixed = replace(store, factors=flat, sums=sums)
    assert (read(fixed)(REGIONS, CELLS)[..., 1] == 0).all()
    assert torch.isfinite(read(fixed)(REGIONS, CELLS)).all()


def test_orders_are_permutations_and_the_columns_follow(store):
    ids = [m["id"] for m in store.motifs]
    plain = read(store, normalise_factors="none")
    for how in ("id", "family"):
        ordered = read(store, normalise_factors="none", factor_order=how)
        assert sorted(ordered.ids) == sorted(ids)
        assert ordered.ids != ids
        columns = [ids.index(i) for i in ordered.ids]
        assert torch.equal(ordered(REGIONS, CELLS), plain(REGIONS, CELLS)[..., columns])
    assert read(store, factor_order="id").ids == sorted(ids)
    families = [store.motifs[i]["family"] for i in factor_order(store, "family")]
    assert families == sorted(families)


def test_family_order_needs_families(store):
    bare = replace(store, motifs=[{"id": m["id"]} for m in store.motifs])
    with pytest.raises(StoreError, match="no motif of the store has one"):
        factor_order(bare, "family")


def test_accessibility_weights_are_one_on_average_and_differ_between_cell_types(store):
    totals, levels = accessibility_levels(store)
    everything = torch.arange(70)[None]
    plain = read(store, normalise_factors="none")
    weighted = read(store, normalise_factors="none", matrix_weight="accessibility")
    for cell in (0, 1):
        cells = torch.tensor([cell])
        weight = (weighted(everything, cells) / plain(everything, cells).clamp(min=1e-6))[
            0, :, 0
        ].numpy()
        open_rows = store.accessible(cell)
        assert abs(weight[open_rows].mean() - 1) < 1e-3
        assert (weight[~open_rows] == 0).all()
        counts = np.asarray(store.counts[:, cell])
        expected = np.log1p(counts * 1e6 / totals[cell]) / levels[cell]
        np.testing.assert_allclose(weight, expected, rtol=1e-3)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    return toy_store(
        folder, per_chrom=(40, 30), cells=2, factors=6, statistics=("count", "sum", "binary")
    )


@pytest.mark.parametrize(
    "samples",
    [
        {"normalise_factors": "none"},
        {"normalise_factors": "zscore", "holdout_chroms": ("chr2",)},
        {"normalise_factors": "max", "factor_order": "family"},
        {"matrix_weight": "accessibility", "factor_order": "id"},
    ],
)
def test_channels_are_the_plain_matrices_side_by_side(three, samples):
    names = channel_statistics(three)
    assert names == ("given", "count", "sum")  # the first three of the store
    spec = SampleSpec(**samples)
    stacked = FactorReader(three, spec, MaskedFactorsSpec(), 0, names)(REGIONS, CELLS)
    assert stacked.shape == (2, 4, 6, 3)
    for channel, name in enumerate(names):
        stats = {name: three.more_sums[name]} if name in three.more_sums else {}
        alone = replace(three, factors=three.factors_of(name), sums=stats.get(name, three.sums))
        assert torch.equal(
            stacked[..., channel], FactorReader(alone, spec, MaskedFactorsSpec(), 0)(REGIONS, CELLS)
        )
    assert not torch.equal(stacked[..., 1], stacked[..., 2])
    assert (stacked[0, 3] == 0).all()
    moved = FactorReader(three.to("cpu"), spec, MaskedFactorsSpec(), 0, names)
    assert torch.equal(moved(REGIONS, CELLS), stacked)


def channels_maker(store, **objectives):
    spec = ModelSpec(k=3, max_tokens=40, tower=TowerSpec(name="swin_t_224", prepare="channels"))
    return BatchMaker(
        store, spec, ObjectivesSpec(**objectives), SampleSpec(regions=4, group_stride=4), seed=0
    )


def test_batches_hold_channels_where_the_tower_wants_them(three):
    maker = channels_maker(three)
    assert maker.statistics == ("given", "count", "sum")
    batch = maker(np.arange(5), 0)
    assert batch.factors.shape == (5, 4, 6, 3)
    one = BatchMaker(three, ModelSpec(k=3, max_tokens=40), ObjectivesSpec(), maker.samples, seed=0)
    assert one.statistics == ("given",)
    assert torch.equal(one(np.arange(5), 0).factors, batch.factors[..., 0])
    moved = channels_maker(three.to("cpu"))
    assert torch.equal(moved(np.arange(5), 0).factors, batch.factors)


def test_channels_need_three_statistics_and_hide_nothing(store, three):
    with pytest.raises(
        StoreError,
        match=r"prepare=channels shows three statistics.*Found given; expected three.*"
        "epilm build --statistic best --more-statistics count --more-statistics sum",
    ):
        channels_maker(store)
    with pytest.raises(
        RecipeError, match=r"model\.tower\.prepare: masked factors hide one score an entry"
    ):
        channels_maker(three, masked_factors=MaskedFactorsSpec(weight=1))
    with pytest.raises(StoreError, match="the store has no factor matrix"):
        channel_statistics(replace(store, factors=None))


@pytest.mark.parametrize("unit", ["entry", "region", "factor"])
def test_hidden_entries_have_the_units_shape_and_rate(store, unit):
    reader = read(store, MaskedFactorsSpec(weight=1, unit=unit, rate=0.3))
    rows = torch.arange(400)
    regions = torch.arange(4).expand(400, 4).clone()
    regions[:, 3] = -1
    hidden = reader.hidden(rows, regions, step=5)
    assert not hidden[:, 3].any()
    hidden = hidden[:, :3]
    assert abs(hidden.float().mean() - 0.3) < 0.04
    if unit == "region":
        assert (hidden.all(2) == hidden.any(2)).all()
    elif unit == "factor":
        assert (hidden.all(1) == hidden.any(1)).all()
    else:
        assert not (hidden.all(2) == hidden.any(2)).all()
    assert not torch.equal(hidden, reader.hidden(rows, regions, step=6)[:, :3])
    assert torch.equal(hidden[7:9], reader.hidden(rows[7:9], regions[7:9], step=5)[:, :3])


@pytest.mark.parametrize(
    ("hide", "message"),
    [
        (MaskedFactorsSpec(unit="row"), "objectives.masked_factors.unit"),
        (MaskedFactorsSpec(rate=0.0), "objectives.masked_factors.rate"),
    ],
)
def test_impossible_hiding_is_refused(store, hide, message):
    with pytest.raises(RecipeError, match=message):
        read(store, hide)

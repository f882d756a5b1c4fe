from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.batches import BatchMaker
from epilm.batches.pairs import PairDraws
from epilm.errors import RecipeError, TrainingError
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import NextSegmentSpec, ObjectivesSpec
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import make_samples
from epilm.tokens.kmers import CLS, SEP
from toy_store import toy_store

UNITS = ("region", "sample", "halves")
NEGATIVES = ("same_cell", "other_cell", "same_chrom")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("pairs"), per_chrom=(120, 90), cells=3, open_share=0.6)


def drawn(store, spec, samples_spec, steps=20):
    samples = make_samples(store, samples_spec)
    draws = PairDraws(store, samples, samples_spec, spec, seed=0)
    rows = torch.arange(len(samples))
    for step in range(steps):
        yield samples, draws.draw(rows, step)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("negative", NEGATIVES)
@pytest.mark.parametrize("stride", [4, 2])
def test_labels_say_who_follows_whom_in_the_cell_types_own_list(store, unit, negative, stride):
    size, half = 4, 2
    spec = NextSegmentSpec(unit=unit, negative=negative)
    seen = []
    for samples, pairs in drawn(store, spec, SampleSpec(regions=size, group_stride=stride)):
        for p in range(len(pairs.labels)):
            cell = int(samples.cells[pairs.owner[p]])
            own = np.flatnonzero(store.accessible(cell)).tolist()
            first, second = pairs.first[p].tolist(), pairs.second[p].tolist()
            at = own.index(first[0])
            n = {"region": 1, "sample": size, "halves": half}[unit]
            assert own[at : at + n] == first
            successor = own[at + n : at + 2 * n]
            assert (second == successor) == bool(pairs.labels[p])
            if pairs.labels[p] == 0:
                assert not set(second) & set(first)
                assert not set(second) & set(successor) or negative == "other_cell"
                if negative == "other_cell":
                    assert not any(store.accessible(cell)[second])
                else:
                    assert set(second) <= set(own)
                if negative == "same_chrom":
                    assert len(set(store.regions["chrom"][[*first, *second]])) == 1
            else:
                assert len(set(store.regions["chrom"][[*first, *second]])) == 1
        seen += pairs.labels.tolist()
    share = np.mean(seen)
    # A sample at the end of its chromosome has no successor, so unit sample leans to 0.
    assert 0.35 < share < 0.55 if unit == "sample" else 0.47 < share < 0.53


def test_the_same_two_regions_are_neighbours_in_one_cell_type_only(tmp_path):
    access = np.ones((12, 2), bool)
    access[1, 0] = False
    store = toy_store(tmp_path, per_chrom=(12,), accessible=access)
    truth = {}
    for samples, pairs in drawn(store, NextSegmentSpec(), SampleSpec(regions=10), steps=300):
        for owner, a, b, label in zip(
            pairs.owner, pairs.first, pairs.second, pairs.labels, strict=True
        ):
            truth.setdefault((int(samples.cells[owner]), int(a), int(b)), set()).add(int(label))
    assert truth[0, 0, 2] == {1}
    assert truth[1, 0, 2] == {0}


def test_negatives_reach_every_region_of_the_cell_type_but_the_two(tmp_path):
    store = toy_store(tmp_path, per_chrom=(7, 5), accessible=np.ones((12, 1), bool))
    held = {}
    for _, pairs in drawn(
        store, NextSegmentSpec(), SampleSpec(regions=3, group_stride=3), steps=600
    ):
        for a, b, label in zip(pairs.first, pairs.second, pairs.labels, strict=True):
            if label == 0:
                held.setdefault(int(a), []).append(int(b))
    for a, seconds in held.items():
        assert set(seconds) == set(range(12)) - {a, a + 1}
        counts = np.bincount(seconds)
        assert counts[counts > 0].min() > 0.25 * counts.max()


def test_a_held_out_region_is_never_a_negative(store):
    spec = SampleSpec(regions=3, group_stride=3, holdout_chroms=("chr2",), holdout_cells=("cell1",))
    for negative in NEGATIVES:
        for _, pairs in drawn(store, NextSegmentSpec(negative=negative), spec, steps=5):
            assert set(store.regions["chrom"][pairs.second.numpy().ravel()]) == {0}


def test_more_pairs_a_sample_are_other_pairs(store):
    for _, pairs in drawn(
        store, NextSegmentSpec(pairs=5), SampleSpec(regions=6, group_stride=6), steps=1
    ):
        assert pairs.owner.tolist()[:6] == [0, 0, 0, 0, 0, 1]
        assert len(set(pairs.first[:5, 0].tolist())) > 1


def objectives(**switches):
    return replace(ObjectivesSpec(), next_segment=NextSegmentSpec(**switches))


def test_512_ids_leave_255_kmers_for_a_and_254_for_b(tmp_path):
    store = toy_store(
        tmp_path, per_chrom=(12,), width=(600, 700), accessible=np.ones((12, 1), bool)
    )
    maker = BatchMaker(
        store, ModelSpec(streams=("dna",)), ObjectivesSpec(), SampleSpec(regions=4), seed=0
    )
    assert maker.pair_budget == (255, 254)
    clean = replace(ObjectivesSpec(), masked_kmers=replace(ObjectivesSpec().masked_kmers, weight=0))
    pairs = BatchMaker(store, ModelSpec(streams=("dna",)), clean, SampleSpec(regions=4), seed=0)(
        [0], 0
    ).pairs
    assert pairs.ids.shape == (1, 512)
    assert (pairs.ids[0] == SEP).nonzero().flatten().tolist() == [256, 511]
    assert pairs.ids[0, 0] == CLS
    assert pairs.segments[0].tolist() == [0] * 257 + [1] * 255
    assert pairs.labels is None


@pytest.mark.parametrize(("unit", "each"), [("sample", (25, 25)), ("halves", (51, 50))])
def test_parts_of_many_regions_share_the_budget(tmp_path, unit, each):
    store = toy_store(
        tmp_path, per_chrom=(40,), width=(100, 110), accessible=np.ones((40, 1), bool)
    )
    maker = BatchMaker(
        store, ModelSpec(streams=("dna",)), objectives(unit=unit), SampleSpec(), seed=0
    )
    pairs = maker([0], 0).pairs
    n = 10 if unit == "sample" else 5
    assert int(pairs.mask.sum()) == 3 + n * sum(each)
    assert int((pairs.segments == 0)[pairs.mask].sum()) == 2 + n * each[0]


@pytest.mark.parametrize("negative", NEGATIVES)
def test_form_bi_pairs_sequences_of_the_batch(store, negative):
    samples = SampleSpec(regions=4, group_stride=4)
    maker = BatchMaker(
        store,
        ModelSpec(streams=("dna",), next_segment="bi"),
        objectives(form="bi", negative=negative),
        samples,
        seed=0,
    )
    labels = []
    for step in range(10):
        batch = maker(np.arange(0, len(maker), 3), step)
        assert batch.pairs is None
        flat, owner = batch.regions.flatten(), batch.owner
        assert len(batch.pair_index) == 3 * len(batch)
        for (a, b), label in zip(
            batch.pair_index.tolist(), batch.pair_labels.tolist(), strict=True
        ):
            if label:
                assert b == a + 1
                assert owner[a] == owner[b]
                continue
            cell = int(batch.cells[owner[a]])
            assert flat[b] not in (flat[a], flat[a + 1])
            if negative == "other_cell":
                assert batch.cells[owner[b]] != cell
                assert not store.accessible(cell)[flat[b]]
            else:
                assert batch.cells[owner[b]] == cell
            if negative == "same_chrom":
                assert store.regions["chrom"][flat[a]] == store.regions["chrom"][flat[b]]
        labels += batch.pair_labels.tolist()
    assert 0.45 < np.mean(labels) < 0.55


def test_form_bi_leaves_padded_regions_out(tmp_path):
    store = toy_store(tmp_path, per_chrom=(7,), accessible=np.ones((7, 1), bool))
    samples = SampleSpec(regions=5, group_stride=5, tail="pad")
    maker = BatchMaker(
        store,
        ModelSpec(streams=("dna",), next_segment="bi"),
        objectives(form="bi"),
        samples,
        seed=0,
    )
    batch = maker(np.arange(2), 0)
    assert (batch.regions.flatten()[batch.pair_index] >= 0).all()
    assert len(batch.pair_index) == 4 + 1


@pytest.mark.parametrize(
    ("spec", "switches", "message"),
    [
        (
            {"layout": "concat"},
            {"form": "bi"},
            "form bi pairs regions that were encoded one by one",
        ),
        ({}, {"form": "bi", "unit": "sample"}, "unit sample"),
        ({}, {"form": "cros"}, "next_segment.form: unknown value. Found cros. Did you mean cross"),
        ({}, {"unit": "half"}, "next_segment.unit"),
        ({}, {"negative": "other"}, "next_segment.negative"),
        ({}, {"pairs": 0}, "next_segment.pairs"),
        ({}, {"pairs": 2, "unit": "halves"}, "next_segment.pairs"),
        ({"max_tokens": 6}, {"unit": "sample"}, "max_tokens: the value is too small"),
    ],
)
def test_switches_that_do_not_fit_are_refused(store, spec, switches, message):
    with pytest.raises(RecipeError, match=message):
        BatchMaker(
            store,
            ModelSpec(streams=("dna",), **spec),
            objectives(**switches),
            SampleSpec(regions=4),
            seed=0,
        )


def test_other_cell_needs_regions_that_are_closed_here(tmp_path):
    store = toy_store(tmp_path, per_chrom=(12,), accessible=np.ones((12, 2), bool))
    with pytest.raises(
        TrainingError, match=r"cell type cell0: negatives of other cell types need .* Found 0"
    ):
        list(drawn(store, NextSegmentSpec(negative="other_cell"), SampleSpec()))


def test_a_cell_type_without_any_pair_is_named(tmp_path):
    store = toy_store(tmp_path, per_chrom=(1,), accessible=np.ones((1, 1), bool))
    with pytest.raises(TrainingError, match=r"cell0.*neither a next segment nor a foreign one"):
        list(drawn(store, NextSegmentSpec(), SampleSpec(regions=1, group_stride=1)))


def test_halves_need_two_regions(store):
    with pytest.raises(RecipeError, match="has no halves"):
        list(drawn(store, NextSegmentSpec(unit="halves"), SampleSpec(regions=1)))

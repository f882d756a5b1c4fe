from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from epilm.batch import Sequences
from epilm.batches import BatchMaker, complete_spec
from epilm.errors import RecipeError, StoreError, TrainingError
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import (
    MaskedFactorsSpec,
    MaskSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec
from epilm.tokens.kmers import N_SPECIAL
from toy_store import toy_store

SAMPLES = SampleSpec(regions=4, group_stride=4, tail="pad")
EVERYTHING = ObjectivesSpec(
    matching=MatchingSpec(input="clean"), masked_factors=MaskedFactorsSpec(weight=1.0, rate=0.3)
)
ALL_STREAMS = ("dna", "factors", "contacts")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("maker"), per_chrom=(60, 40), cells=3)


def make(store, objectives=EVERYTHING, samples=SAMPLES, seed=0, **spec):
    spec = {"streams": ALL_STREAMS, "max_tokens": 64, **spec}
    return BatchMaker(store, ModelSpec(**spec), objectives, samples, seed=seed)


def flat(batch):
    out = {}
    for f in fields(batch):
        value = getattr(batch, f.name)
        if isinstance(value, Sequences):
            out |= {f"{f.name}.{g.name}": getattr(value, g.name) for g in fields(value)}
        else:
            out[f.name] = value
    return {k: v for k, v in out.items() if isinstance(v, torch.Tensor)}


def same(a, b):
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert value.dtype == b[key].dtype, key
        assert torch.equal(value, b[key]), key


@pytest.mark.parametrize("layout", ["per_region", "concat", "concat_budget", "chunk_rnn"])
@pytest.mark.parametrize("join", ["sep", "raw"])
def test_any_split_into_micro_batches_gives_the_same_samples_and_masks(store, layout, join):
    maker = make(store, layout=layout, join=join)
    rows = np.random.default_rng(0).permutation(len(maker))[:13]
    whole = flat(maker(rows, 7))
    for sizes in ([1] * 13, [5, 8], [12, 1]):
        parts, at = [], 0
        for n in sizes:
            part = flat(maker(rows[at : at + n], 7))
            part["owner"] = part["owner"] + at
            parts.append(part)
            at += n
        for key, value in whole.items():
            assert torch.equal(torch.cat([p[key] for p in parts]), value), key


@pytest.mark.parametrize("layout", ["per_region", "concat", "concat_budget", "chunk_rnn"])
@pytest.mark.parametrize("form", ["cross", "bi"])
def test_memory_maps_and_tensors_give_the_same_batches_bit_for_bit(store, layout, form):
    if form == "bi" and layout != "per_region":
        pytest.skip("form bi pairs single regions")
    objectives = replace(EVERYTHING, next_segment=NextSegmentSpec(form=form, negative="other_cell"))
    samples = replace(SAMPLES, matrix_weight="accessibility", factor_order="family")
    spec = {"layout": layout, "next_segment": form}
    mapped = make(store, objectives, samples, **spec)
    moved = make(store.to("cpu"), objectives, samples, **spec)
    assert isinstance(moved.store.genome, torch.Tensor)
    for step in range(3):
        same(mapped(np.arange(9), step), moved(np.arange(9), step))


def test_a_second_maker_continues_where_a_killed_one_stopped(store):
    rows = np.arange(6)
    first = [make(store)(rows, step) for step in range(4)]
    again = make(Store.open(store.path))
    for step in (2, 3):
        same(first[step], again(rows, step))


def test_masks_change_with_step_and_seed_but_not_samples(store):
    rows = np.arange(6)
    a, b, c = make(store)(rows, 0), make(store)(rows, 1), make(store, seed=1)(rows, 0)
    for other in (b, c):
        assert torch.equal(a.regions, other.regions)
        assert torch.equal(a.clean.ids, other.clean.ids)
        assert torch.equal(a.factor_targets, other.factor_targets)
        assert not torch.equal(a.dna.ids, other.dna.ids)
        assert not torch.equal(a.factor_hidden, other.factor_hidden)
        assert not torch.equal(a.pairs.ids, other.pairs.ids)


def test_pass_one_does_not_know_the_negative_pair(store):
    # A6: the input of E_seq stays the same when the negative changes
    rows = np.arange(12)
    near = make(store, replace(EVERYTHING, next_segment=NextSegmentSpec(negative="same_chrom")))(
        rows, 3
    )
    far = make(store, replace(EVERYTHING, next_segment=NextSegmentSpec(negative="other_cell")))(
        rows, 3
    )
    none = make(store, replace(EVERYTHING, next_segment=NextSegmentSpec(weight=0)))(rows, 3)
    assert not torch.equal(near.pairs.ids, far.pairs.ids)
    assert none.pairs is None
    assert none.pair_labels is None
    for other in (far, none):
        assert torch.equal(near.dna.ids, other.dna.ids)
        assert torch.equal(near.dna.labels, other.dna.labels)
        assert torch.equal(near.factors, other.factors)


def test_only_kmers_are_masked_and_labels_say_what_they_were(store):
    batch = make(store, layout="concat")(np.arange(12), 0)
    hidden = batch.dna.labels != -100
    assert 0.08 < hidden[batch.clean.ids >= N_SPECIAL].float().mean() < 0.2
    assert torch.equal(batch.dna.labels[hidden], batch.clean.ids[hidden])
    assert (batch.clean.ids[hidden] >= N_SPECIAL).all()
    assert torch.equal(batch.dna.ids[~hidden], batch.clean.ids[~hidden])
    assert torch.equal(batch.dna.mask, batch.clean.ids != 0)


def masked_share(store, step=0, **mask):
    batch = make(store, replace(EVERYTHING, masked_kmers=MaskSpec(**mask)))(np.arange(30), step)
    return float((batch.dna.labels != -100)[batch.clean.ids >= N_SPECIAL].float().mean())


def test_the_rate_rises_at_its_step(store):
    early, late = (
        masked_share(store, step=9, late_from_step=10),
        masked_share(store, step=10, late_from_step=10),
    )
    assert early < 0.165 < late


def test_mask_switches_reach_the_masks(store):
    rows = np.arange(20)

    def labels(**mask):
        return make(store, replace(EVERYTHING, masked_kmers=MaskSpec(**mask)))(rows, 0).dna.labels

    usual = labels()
    for mask in ({"scheme": "iid"}, {"rate_mode": "exact"}, {"span_tokens": 11}, {"rate": 0.4}):
        assert not torch.equal(usual, labels(**mask)), mask
    batch = make(store, replace(EVERYTHING, masked_kmers=MaskSpec(rate=0.5)))(rows, 0)
    kmers = make(
        store, replace(EVERYTHING, masked_kmers=MaskSpec(rate=0.5, random_from="kmers_only"))
    )(rows, 0)
    assert not torch.equal(batch.dna.ids, kmers.dna.ids)
    assert (
        make(store, replace(EVERYTHING, masked_kmers=MaskSpec(weight=0)))(rows, 0).dna.labels
        is None
    )


def test_clean_pass_only_where_matching_asks_for_it(store):
    assert make(store, replace(EVERYTHING, matching=MatchingSpec()))([0], 0).clean is None
    assert (
        make(store, replace(EVERYTHING, matching=MatchingSpec(weight=0, input="clean")))(
            [0], 0
        ).clean
        is None
    )
    clean = make(store)([0], 0).clean
    assert clean.labels is None


def test_streams_that_are_not_asked_for_are_none(store):
    batch = make(store, ObjectivesSpec(), streams=("dna",))([0], 0)
    assert batch.factors is None
    assert batch.contacts is None
    batch = make(store, ObjectivesSpec(), streams=("dna", "factors"))([0], 0)
    assert batch.factors.shape == (1, 4, 5)
    assert batch.factor_hidden is None


def test_the_spec_learns_its_sizes_from_the_data(store):
    spec = complete_spec(ModelSpec(), store, SAMPLES)
    assert (spec.regions, spec.factors, spec.cells) == (4, 5, 3)
    assert complete_spec(ModelSpec(streams=("dna",)), store, SAMPLES).factors == 0
    assert make(store).spec.factors == 5


def test_contacts_are_those_of_the_regions_bins(store):
    batch = make(store)(np.arange(10), 0)
    table = store.contacts
    held = dict(
        zip(np.asarray(table.keys).tolist(), np.asarray(table.values).tolist(), strict=True)
    )
    r = store.regions
    bins = table.bin_offsets[r["chrom"]] + (r["start"] + r["end"]) // 2 // table.resolution
    for b in range(10):
        rows = batch.regions[b].tolist()
        for i, x in enumerate(rows):
            for j, y in enumerate(rows):
                low, high = sorted((int(bins[x]), int(bins[y])))
                known = held.get(low * table.n_bins + high, 0.0) if min(x, y) >= 0 else 0.0
                assert batch.contacts[b, i, j] == np.float32(known)
    assert (batch.contacts > 0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"streams": ("dna",)}, "masked factors need the stream `factors`"),
        ({"layout": "concatt"}, "model.layout: unknown value. Found concatt. Did you mean concat"),
        ({"join": "x"}, "model.join"),
        ({"segment": "x"}, "model.segment"),
        ({"layout": "concat_budget", "max_tokens": 6}, "model.max_tokens"),
    ],
)
def test_impossible_models_name_their_key(store, change, message):
    with pytest.raises(RecipeError, match=message):
        make(store, **change)


def test_k_out_of_range_is_refused(store):
    from epilm.errors import InputError

    with pytest.raises(InputError, match="k is out of range"):
        make(store, k=40)
    with pytest.raises(InputError, match="stride is out of range"):
        make(store, stride=0)


@pytest.mark.parametrize(
    ("key", "switch"),
    [("masked_kmers", MaskSpec(scheme="spans")), ("matching", MatchingSpec(input="dirty"))],
)
def test_unknown_objective_switches_are_refused(store, key, switch):
    with pytest.raises(RecipeError, match=f"objectives.{key}"):
        make(store, replace(EVERYTHING, **{key: switch}))


def test_what_the_store_lacks_is_said(tmp_path):
    bare = toy_store(tmp_path, factors=0, contacts=False, counts=False)
    with pytest.raises(StoreError, match=r"no contacts.*--contacts"):
        make(bare, ObjectivesSpec(), streams=("dna", "contacts"))
    with pytest.raises(StoreError, match=r"no factor matrix.*--motifs"):
        make(bare, ObjectivesSpec(), streams=("dna", "factors"))
    with pytest.raises(StoreError, match="needs counts"):
        make(
            bare,
            ObjectivesSpec(),
            replace(SAMPLES, matrix_weight="accessibility"),
            streams=("dna",),
        )


def test_no_sample_is_an_error_that_says_why(store):
    with pytest.raises(TrainingError, match=r"there is no sample.*samples of 200 regions"):
        make(store, samples=SampleSpec(regions=200))
    with pytest.raises(TrainingError, match="held out: nothing"):
        BatchMaker(
            store, ModelSpec(streams=("dna",)), ObjectivesSpec(), SAMPLES, seed=0, subset="holdout"
        )


def forward_or_turned(ids, k=6):
    """Ids of the same bases from the other strand: the k-mers' complements, last one first."""
    from epilm.tokens.kmers import decode_ids

    letters = [decode_ids([int(i)], k)[0] for i in ids]
    pairs = str.maketrans("ACGT", "TGCA")
    return [letter.translate(pairs)[::-1] for letter in reversed(letters)], letters


@pytest.mark.parametrize("layout", ["per_region", "concat_budget"])
def test_regions_are_read_from_either_strand_at_places_drawn_anew(store, layout):
    clean = replace(EVERYTHING, masked_kmers=MaskSpec(weight=0.0))
    rows = np.arange(len(make(store, clean, layout=layout)))
    forward = make(store, clean, layout=layout)(rows, 3).dna.ids
    both = make(store, clean, replace(SAMPLES, strands="both"), layout=layout)
    shown = both(rows, 3).dna.ids
    assert not torch.equal(shown, forward)
    if layout == "per_region":
        turned = []
        for mine, before in zip(shown, forward, strict=True):
            a, b = mine[mine >= N_SPECIAL], before[before >= N_SPECIAL]
            other, _ = forward_or_turned(b.tolist())
            _, letters = forward_or_turned(a.tolist())
            turned.append(not torch.equal(a, b))
            assert letters == other or torch.equal(a, b)
        assert np.mean(turned) == pytest.approx(0.5, abs=0.15)
    # A function of seed, step and sample, however a step is cut, on whichever process.
    for samples in (replace(SAMPLES, strands="both", region_jitter=9),):
        maker = make(store, clean, samples, layout=layout)
        halves = [maker(part, 3).dna.ids for part in (rows[:3], rows[3:])]
        assert torch.equal(torch.cat(halves), maker(rows, 3).dna.ids)
        assert not torch.equal(maker(rows, 4).dna.ids, maker(rows, 3).dna.ids)


def test_jitter_moves_what_is_read_by_no_more_than_it_says(store):
    clean = replace(EVERYTHING, masked_kmers=MaskSpec(weight=0.0))
    maker = make(store, clean, replace(SAMPLES, region_jitter=5), max_tokens=40)
    rows = np.arange(len(maker))
    ids, regions = maker(rows, 1).dna.ids, maker.table.regions
    reader = maker._reader
    moved = set()
    for number, region in enumerate(regions.reshape(-1)):
        mine = ids[number][ids[number] >= N_SPECIAL]
        if region < 0:
            assert not len(mine)
            continue
        one = torch.tensor([int(region)])
        same = {}
        for shift in range(-5, 6):
            there, count = reader.shown(torch.tensor([shift]), None).tokens(one, 38)
            same[shift] = torch.equal(there[0, : int(count)], mine)
        assert any(same.values())
        moved |= {shift for shift, equal in same.items() if equal}
    assert moved == set(range(-5, 6))
    # It stays on its chromosome: the first region cannot begin before it.
    low = maker.store.flat_starts[0]
    far, _ = reader.shown(torch.tensor([-10_000]), None).bases(torch.tensor([0]), 30)
    expected = maker.store.windows(np.array([maker.store.offsets[0]]), 30)
    assert low >= 0
    assert far[0].tolist() == expected[0].tolist()

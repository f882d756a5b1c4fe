import numpy as np
import pytest
import torch

from epilm.batches import BatchMaker
from epilm.batches.layout import n_bases, n_kmers, pack, wrap
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import MaskSpec, NextSegmentSpec, ObjectivesSpec
from epilm.store.sample_spec import SampleSpec
from epilm.tokens.kmers import CLS, PAD, SEP, kmer_ids
from toy_store import toy_store

NO_MASK = ObjectivesSpec(masked_kmers=MaskSpec(weight=0), next_segment=NextSegmentSpec(weight=0))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("layout"), per_chrom=(30,), cells=2, width=(8, 60))


def maker_of(store, *, regions=4, **spec):
    samples = SampleSpec(regions=regions, group_stride=regions, tail=spec.pop("tail", "drop"))
    return BatchMaker(store, ModelSpec(streams=("dna",), **spec), NO_MASK, samples, seed=0)


def region_codes(store, row):
    c, a, b = store.regions[row]
    return np.asarray(store.genome[store.offsets[c] + a : store.offsets[c] + b])


def cropped(codes, bases):
    spare = max(len(codes) - bases, 0) // 2
    return codes[spare : spare + bases]


def tokens(codes, k, stride):
    return kmer_ids(codes, k, stride).tolist() if len(codes) >= k else []


def trimmed(ids):
    return [i for i in ids.tolist() if i != PAD]


def test_510_kmers_of_6_are_515_bases_and_505_bases_are_500_kmers():
    assert n_bases(510, 6, 1) == 515
    assert n_kmers(torch.tensor(505), 6, 1) == 500


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (6, 1), (6, 2), (4, 4), (6, 6)])
def test_per_region_crops_around_the_centre(store, k, stride):
    maker = maker_of(store, k=k, stride=stride, max_tokens=22)
    batch = maker(np.arange(5), 0)
    regions = batch.regions.flatten().tolist()
    for n, row in enumerate(regions):
        expected = tokens(cropped(region_codes(store, row), n_bases(20, k, stride)), k, stride)
        assert trimmed(batch.dna.ids[n]) == [CLS, *expected, SEP]
        assert batch.owner[n] == n // 4
    assert batch.dna.mask.sum() == (batch.dna.ids != PAD).sum()
    assert (batch.dna.segments == 0).all()


@pytest.mark.parametrize(("k", "stride"), [(6, 1), (3, 3)])
def test_concat_sep_tokenises_regions_apart(store, k, stride):
    batch = maker_of(store, k=k, stride=stride, layout="concat", max_tokens=10_000)(np.arange(5), 0)
    for b in range(5):
        expected = [CLS]
        for row in batch.regions[b].tolist():
            expected += [*tokens(region_codes(store, row), k, stride), SEP]
        assert trimmed(batch.dna.ids[b]) == expected


@pytest.mark.parametrize(("k", "stride"), [(6, 1), (4, 2)])
def test_concat_raw_makes_kmers_over_the_joints(store, k, stride):
    batch = maker_of(store, k=k, stride=stride, layout="concat", join="raw", max_tokens=10_000)(
        np.arange(5), 0
    )
    for b in range(5):
        joined = np.concatenate([region_codes(store, r) for r in batch.regions[b].tolist()])
        assert trimmed(batch.dna.ids[b]) == [CLS, *tokens(joined, k, stride), SEP]


def test_raw_gives_sum_minus_k_plus_one_tokens_and_sep_one_less_k_a_region(store):
    # A2: sum(len) - k + 1 against sum(len - k + 1)
    k, rows = 6, np.arange(5)
    raw = maker_of(store, k=k, layout="concat", join="raw", max_tokens=10_000)(rows, 0)
    sep = maker_of(store, k=k, layout="concat", join="sep", max_tokens=10_000)(rows, 0)
    widths = (store.regions["end"] - store.regions["start"])[raw.regions.numpy()]
    assert (raw.dna.mask.sum(1) - 2).tolist() == (widths.sum(1) - k + 1).tolist()
    assert (sep.dna.mask.sum(1) - 1 - 4).tolist() == (widths - k + 1).sum(1).tolist()


def test_concat_is_cut_at_the_right_end(store):
    whole = maker_of(store, layout="concat", max_tokens=10_000)(np.arange(3), 0)
    short = maker_of(store, layout="concat", max_tokens=50)(np.arange(3), 0)
    assert short.dna.ids.shape[1] == 50
    assert torch.equal(short.dna.ids[:, :49], whole.dna.ids[:, :49])
    assert (short.dna.ids[:, 49] == SEP).all()


def test_a_budget_of_512_leaves_51_kmers_for_each_of_ten_regions(tmp_path):
    store = toy_store(
        tmp_path, per_chrom=(20,), width=(100, 140), accessible=np.ones((20, 1), bool)
    )
    samples = SampleSpec()
    for join, each in (("sep", 51), ("raw", None)):
        spec = ModelSpec(streams=("dna",), layout="concat_budget", join=join)
        batch = BatchMaker(store, spec, NO_MASK, samples, seed=0)(np.arange(2), 0)
        ids = batch.dna.ids[0].tolist()
        parts = [
            cropped(region_codes(store, r), 56 if each else 51) for r in batch.regions[0].tolist()
        ]
        inner = (
            [t for p in parts for t in tokens(p, 6, 1)]
            if each
            else tokens(np.concatenate(parts), 6, 1)
        )
        assert ids[0] == CLS
        assert [i for i in ids if i != PAD][1:-1] == inner
        assert len(inner) == (510 if each else 505)


@pytest.mark.parametrize("join", ["sep", "raw"])
def test_chunks_are_the_long_string_in_pieces_of_max_tokens_minus_two(store, join):
    rows = np.arange(6)
    whole = maker_of(store, layout="concat", join=join, max_tokens=10_000)(rows, 0)
    chunked = maker_of(store, layout="chunk_rnn", join=join, max_tokens=32)(rows, 0)
    for b in range(6):
        long = trimmed(whole.dna.ids[b])[1:-1]
        pieces = [trimmed(ids) for ids in chunked.dna.ids[chunked.owner == b]]
        assert len(pieces) == -(-len(long) // 30)
        assert all(p[0] == CLS and p[-1] == SEP for p in pieces)
        assert [t for p in pieces for t in p[1:-1]] == long
    assert chunked.owner.tolist() == sorted(chunked.owner.tolist())


def test_an_exact_multiple_makes_no_empty_last_piece(tmp_path):
    # DNABERT-XL's floor(n / 510) + 1 would make one
    store = toy_store(tmp_path, per_chrom=(4,), width=(35, 36), accessible=np.ones((4, 1), bool))
    samples = SampleSpec(regions=2, group_stride=2)
    spec = ModelSpec(streams=("dna",), layout="chunk_rnn", max_tokens=63)
    batch = BatchMaker(store, spec, NO_MASK, samples, seed=0)(np.arange(2), 0)
    assert batch.dna.ids.shape == (2, 63)  # 30 + [SEP] + 30 = 61 tokens: one piece


@pytest.mark.parametrize("layout", ["per_region", "concat", "concat_budget", "chunk_rnn"])
def test_region_index_numbers_the_regions_of_a_sample(store, layout):
    batch = maker_of(store, layout=layout, segment="region_index", max_tokens=200)(np.arange(4), 0)
    plain = maker_of(store, layout=layout, max_tokens=200)(np.arange(4), 0)
    assert torch.equal(batch.dna.ids, plain.dna.ids)
    assert (plain.dna.segments == 0).all()
    assert set(batch.dna.segments.flatten().tolist()) == {0, 1, 2, 3}
    assert (batch.dna.segments[~batch.dna.mask] == 0).all()
    if layout != "per_region":
        inner = batch.dna.segments[batch.dna.mask & (batch.dna.ids > SEP)]
        counts = torch.bincount(inner, minlength=4)
        assert (counts > 0).all()


@pytest.mark.parametrize("layout", ["per_region", "concat", "concat_budget", "chunk_rnn"])
@pytest.mark.parametrize("join", ["sep", "raw"])
def test_padded_regions_hold_no_bases(store, layout, join):
    maker = maker_of(store, regions=4, layout=layout, join=join, tail="pad", max_tokens=100)
    short = np.flatnonzero((maker.table.regions < 0).any(1))
    assert len(short)
    batch = maker(short, 0)
    if layout == "per_region":
        empty = batch.regions.flatten() < 0
        assert (batch.dna.mask[empty].sum(1) == 2).all()
    k, real = 6, batch.regions[0][batch.regions[0] >= 0]
    budget = {"concat_budget": 24 if join == "sep" else 25, "per_region": 103}.get(layout, 1000)
    budget = n_bases(24, k, 1) if (layout, join) == ("concat_budget", "sep") else budget
    parts = [cropped(region_codes(store, int(r)), budget) for r in real]
    n = sum(max(len(p) - 5, 0) for p in parts)
    if join == "raw" and layout != "per_region":
        n = max(sum(map(len, parts)) - 5, 0)
    limit = 98 if layout in ("concat", "concat_budget") else 10_000
    held = batch.dna.ids[batch.owner == 0]
    inner_seps = len(real) - 1 if layout in ("concat", "chunk_rnn") and join == "sep" else 0
    assert int((held > SEP).sum()) in (min(n, limit), min(n + inner_seps, limit) - inner_seps)


def test_pack_and_wrap_at_their_edges():
    values, none = torch.zeros(2, 3, 0, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)
    string, _, total = pack(values, none, none.bool(), SEP, PAD, 4)
    assert string.tolist() == [[0] * 4] * 2
    assert total.tolist() == [0, 0]
    assert wrap(string, total, 4).tolist() == [[CLS, SEP, 0, 0]] * 2
    assert wrap(torch.arange(5, 9)[None], torch.tensor([4]), 4).tolist() == [[CLS, 5, 6, SEP]]

"""Bases from tokens, against the bases themselves; and that nothing hidden leaks through them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from epilm.batches import BatchMaker, WindowMaker
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec, StemSpec, TowerSpec
from epilm.models.stem import BaseStem, base_table, bases_of_tokens
from epilm.objectives.table import (
    MaskSpec,
    MatchingSpec,
    NextSegmentSpec,
    ObjectivesSpec,
)
from epilm.store.sample_spec import SampleSpec
from epilm.tokens.kmers import MASK, N_SPECIAL, SEP, kmer_ids, vocabulary, wrap
from toy_store import toy_store

ENCODER = EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=32, max_positions=64)


def tokens(codes, k, stride, pad_to=None):
    return wrap(kmer_ids(torch.as_tensor(codes), k, stride), pad_to=pad_to)


@pytest.mark.parametrize("k", [3, 6, 7])
def test_the_table_spells_the_vocabulary(k):
    words = vocabulary(k)
    table = base_table(k).numpy()
    assert len(table) == len(words)
    assert (table[:N_SPECIAL] == 4).all()
    spelled = ["".join("ACGT"[base] for base in row) for row in table[N_SPECIAL:]]
    assert spelled == list(words[N_SPECIAL:])


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (6, 1), (6, 4), (6, 6), (7, 7), (7, 3), (5, 2)])
def test_bases_of_tokens_are_those_that_were_read(k, stride):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (20, 61)).astype(np.uint8)
    codes[3, 30] = 4
    codes[4, 10:25] = 4
    ids, _ = tokens(codes, k, stride, pad_to=80)
    count = (61 - k) // stride + 1
    covered = (count - 1) * stride + k
    found = bases_of_tokens(ids, base_table(k), stride).numpy()
    assert (found[:, :stride] == 4).all()  # [CLS]
    read = found[:, stride : stride + covered]
    clean = (codes < 4).all(1)
    assert np.array_equal(read[clean], codes[clean][:, :covered])
    assert (found[:, stride + covered :] == 4).all()
    # Beside an N a base is known where a token without N holds it, and never wrong.
    for row in (3, 4):
        whole = np.zeros(covered, bool)
        for token in range(count):
            part = slice(token * stride, token * stride + k)
            if (codes[row, part] < 4).all():
                whole[part] = True
        assert np.array_equal(read[row], np.where(whole, codes[row, :covered], 4))


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (6, 1), (7, 3)])
def test_every_base_of_a_hidden_token_is_n_and_so_is_one_that_is_told_twice(k, stride):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (1, 61)).astype(np.uint8)
    ids, _ = tokens(codes, k, stride)
    before = bases_of_tokens(ids, base_table(k), stride)
    masked = ids.clone()
    masked[0, 5] = MASK
    after = bases_of_tokens(masked, base_table(k), stride)
    at = torch.arange(after.shape[1])
    under = (at >= 5 * stride) & (at < 5 * stride + k)
    assert (after[0, under] == 4).all()
    assert torch.equal(after[0, ~under], before[0, ~under])
    other = ids.clone()
    other[0, 5] = N_SPECIAL + (ids[0, 5] - N_SPECIAL + 1) % 4**k  # another last base
    told = bases_of_tokens(other, base_table(k), stride)
    assert told[0, 5 * stride + k - 1] == 4
    assert torch.equal(told[0, ~under], before[0, ~under])


def test_tokens_side_by_side_show_a_random_token_as_it_stands():
    ids, _ = tokens(np.zeros((1, 21), np.uint8), 7, 7)
    ids[0, 2] = N_SPECIAL + 1  # AAAAAAT
    found = bases_of_tokens(ids, base_table(7), 7)[0]
    assert found.tolist() == [4] * 7 + [0] * 13 + [3] + [0] * 7 + [4] * 7


def test_two_runs_are_told_apart():
    one, two = (kmer_ids(torch.full((8,), base, dtype=torch.uint8), 3) for base in (0, 2))
    ids = torch.cat([one, torch.tensor([SEP]), two])[None]
    found = bases_of_tokens(ids, base_table(3), 1)[0].tolist()
    assert found == [0] * 6 + [4] + [2] * 8  # A, N, G


@pytest.mark.parametrize("stride", [1, 3, 6])
def test_a_filter_finds_its_word_in_every_phase(stride):
    word = [2, 0, 3, 3, 0, 1, 0]
    stem = BaseStem(6, stride, filters=1, width=7, hidden=4)
    with torch.no_grad():
        stem.conv.weight.zero_()
        stem.conv.weight[0, word, torch.arange(7)] = 1
        stem.conv.bias.fill_(-6)  # 1 where all seven are right, else nothing
        stem.dense.weight.fill_(1)
        stem.dense.bias.zero_()
    for start in range(8, 30):
        codes = np.full((1, 60), 1, np.uint8)
        codes[0, start : start + 7] = word
        ids, _ = tokens(codes, 6, stride)
        added = stem(ids).detach()[0, :, 0]
        assert added.nonzero().flatten().tolist() == [1 + (start + 3) // stride]
        assert float(added.sum()) == 1
        # Padding and other sequences of the batch change nothing.
        longer, _ = tokens(codes, 6, stride, pad_to=ids.shape[1] + 5)
        both = stem(torch.cat([longer, longer.flip(1).clamp(max=1)])).detach()
        assert torch.equal(both[0, : ids.shape[1], 0], added)


def slow(stem, ids):
    """Token by token, in loops."""
    codes = bases_of_tokens(ids, stem.table, stem.stride)
    out = torch.zeros(*ids.shape, stem.dense.out_features)
    left = (stem.width - 1) // 2
    for n in range(len(ids)):
        for token in range(ids.shape[1]):
            if int(ids[n, token]) in (0, 2, 3):
                continue
            answers = []
            for base in range(token * stem.stride, (token + 1) * stem.stride):
                score = stem.conv.bias.clone()
                for w in range(stem.width):
                    at = base - left + w
                    if 0 <= at < codes.shape[1] and codes[n, at] < 4:
                        score = score + stem.conv.weight[:, int(codes[n, at]), w]
                answers.append(score.clamp(min=0))
            out[n, token] = F.linear(
                torch.stack(answers).amax(0), stem.dense.weight, stem.dense.bias
            )
    return out


@pytest.mark.parametrize(("k", "stride", "width"), [(4, 1, 5), (4, 4, 6), (5, 2, 1), (3, 3, 20)])
def test_the_stem_is_the_loop_it_stands_for(k, stride, width):
    torch.manual_seed(0)
    stem = BaseStem(k, stride, filters=3, width=width, hidden=5)
    ids, _ = tokens(np.random.default_rng(0).integers(0, 5, (3, 24)).astype(np.uint8), k, stride)
    ids[1, 3] = MASK
    assert torch.allclose(stem(ids), slow(stem, ids), atol=1e-6)


@pytest.mark.parametrize("given", [(6, 7, 4, 5), (6, 6, 0, 5), (6, 6, 4, 0)])
def test_an_impossible_stem_is_refused(given):
    with pytest.raises(ValueError, match="no stem of stride"):
        BaseStem(*given, hidden=8)


# -- in pre-training

OFF = ObjectivesSpec(
    MaskSpec(rate=0.3), next_segment=NextSegmentSpec(weight=0), matching=MatchingSpec(weight=0)
)
TOWER = TowerSpec(embed=8, depths=(1, 1), heads=(1, 2), window=2, patch=(1, 2))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def makers(name, store):
    common = {"encoder": ENCODER, "stem": StemSpec(filters=6, width=5), "max_tokens": 60}
    if name in ("dnabert", "genebert"):
        streams = ("dna",) if name == "dnabert" else ("dna", "factors")
        spec = ModelSpec(
            name=name, streams=streams, k=3, next_segment="none", tower=TOWER, **common
        )
        samples = SampleSpec(regions=3, group_stride=3)
        return lambda at: BatchMaker(at, spec, OFF, samples, seed=0, subset="all")
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, stride=3, next_segment="none", **common)
    samples = SampleSpec(unit="windows", window_bp=60, window_stride=60, window_jitter=0)
    objectives = replace(OFF, masked_kmers=MaskSpec(scheme="iid", rate=0.3))
    return lambda at: WindowMaker(at, spec, objectives, samples, seed=0, subset="all")


@pytest.mark.parametrize("name", ["dnabert", "genebert", "dbert"])
def test_a_hidden_base_moves_nothing_and_a_shown_one_does(store, name):
    make = makers(name, store)
    maker = make(store)
    rows = np.arange(2)
    batch = maker(rows, 1)
    model = build_model(maker.spec, seed=0).eval()
    with torch.no_grad():
        expected = model(batch)
    hidden = shown = 0
    for base in range(0, len(store.genome), max(1, len(store.genome) // 3000)):
        genome = np.array(store.genome)
        genome[base] = (genome[base] + 1) % 4 if genome[base] < 4 else 4
        other = make(replace(store, genome=genome))(rows, 1)
        if torch.equal(other.dna.labels, batch.dna.labels) and torch.equal(
            other.dna.ids, batch.dna.ids
        ):
            continue  # the base is not in these samples
        with torch.no_grad():
            found = model(other)
        same = torch.equal(found.masked_logits, expected.masked_logits)
        if torch.equal(other.dna.ids, batch.dna.ids):  # all its tokens are hidden
            hidden += 1
            assert same
            assert not torch.equal(found.masked_labels, expected.masked_labels)
        else:
            shown += 1
            assert not same
        if hidden >= 3 and shown >= 3:
            break
    assert hidden
    assert shown


def test_states_and_stem_are_added_up(store):
    spec = ModelSpec(
        name="ebert",
        streams=("dna", "states"),
        k=3,
        stride=3,
        states=4,
        next_segment="none",
        encoder=ENCODER,
        stem=StemSpec(6, 5),
    )
    model = build_model(spec, seed=0).eval()
    ids, mask = tokens(np.random.default_rng(0).integers(0, 4, (2, 30)).astype(np.uint8), 3, 3)
    states = torch.randint(3, 7, ids.shape)
    whole = model.embed_tokens(ids, mask, states)
    parts = model.encoder.words(ids) + model.states(states) + model.encoder.stem(ids)
    assert torch.allclose(whole, parts)
    # What reads sequences of no known state is the same model.
    alone = model.without_states()
    given, _ = alone(ids, None, None)
    assert torch.allclose(given, model.encode(ids, mask), atol=1e-5)

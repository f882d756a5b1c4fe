"""DNABERT's masking (protocols 1.3): its worked examples, a slow plain version, and its
independence.
"""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.tokens import _fused
from epilm.tokens.masking import (
    _mask_plain,
    draws,
    expected_rate,
    grow_spans,
    mask_span,
    mask_tokens,
    rate_at,
    rate_to_probability,
    span_offsets,
)
from epilm.tokens.random import integers, uniform

# DNABERT's own table, run_pretrain.py: offsets a centre selects besides itself.
DNABERT_OFFSETS = {
    3: [-1, 1],
    4: [-1, 1, 2],
    5: [-2, -1, 1, 2],
    6: [-2, -1, 1, 2, 3],
    7: [-3, -2, -1, 1, 2, 3],
}


def dnabert_by_hand(ids, maskable, centre_draws, fate_draws, random_draws, probability, offsets):
    """The algorithm as DNABERT's script states it, one list and one token at a time."""
    length = len(ids)
    last = max((i for i in range(length) if maskable[i]), default=-1)
    chosen = {i for i in range(length) if maskable[i] and centre_draws[i] < probability}
    for centre in sorted(chosen):
        for offset in offsets:
            at = centre + offset
            if 0 <= at <= last and maskable[at]:  # position 0 is [CLS], which is not maskable
                chosen.add(at)
    out, labels = list(ids), [-100] * length
    for i in chosen:
        labels[i] = ids[i]
        if fate_draws[i] < 0.8:
            out[i] = 4
        elif fate_draws[i] < 0.9:
            out[i] = random_draws[i]
    return out, labels


@pytest.mark.parametrize("k", DNABERT_OFFSETS)
def test_a_span_is_the_offsets_of_dnabert(k):
    left, right = span_offsets(k)
    assert [o for o in range(-left, right + 1) if o] == DNABERT_OFFSETS[k]


@pytest.mark.parametrize(
    ("k", "tokens", "centres", "hidden"),
    [
        (6, 20, [10], range(8, 14)),
        (6, 20, [1], range(1, 5)),
        (6, 20, [20], range(18, 21)),
        (6, 20, [10, 13], range(8, 17)),
        (3, 8, [4], [3, 4, 5]),
        (3, 8, [1], [1, 2]),
        (3, 8, [8], [7, 8]),
    ],
)
def test_worked_spans(k, tokens, centres, hidden):
    maskable = torch.ones(1, tokens + 2, dtype=torch.bool)
    maskable[:, [0, -1]] = False
    drawn = torch.zeros_like(maskable)
    drawn[0, centres] = True
    assert grow_spans(drawn, maskable, k)[0].nonzero().flatten().tolist() == list(hidden)


@pytest.mark.parametrize(
    ("k", "p15", "p20"),
    [(3, 0.05273, 0.07168), (4, 0.03982, 0.05426), (5, 0.03198, 0.04365), (6, 0.02672, 0.03651)],
)
def test_exact_rates(k, p15, p20):
    assert rate_to_probability(0.15, k, "exact") == pytest.approx(p15, abs=6e-6)
    assert rate_to_probability(0.20, k, "exact") == pytest.approx(p20, abs=6e-6)
    assert expected_rate(rate_to_probability(0.15, k, "exact"), k) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("k", "p", "percent"),
    [
        (6, 0.025, 14.09),
        (6, 0.2 / 6, 18.41),
        (3, 0.05, 14.26),
        (4, 0.0375, 14.18),
        (5, 0.03, 14.13),
    ],
)
def test_the_hidden_share_is_below_the_nominal_one_as_published(k, p, percent):
    assert 100 * expected_rate(p, k) == pytest.approx(percent, abs=0.005)
    rate = p * k
    assert rate_to_probability(rate, k) == pytest.approx(p)
    ids = torch.full((400, 600), 9)
    _, labels = mask_tokens(ids, ids > 0, k=k, rate=rate, keys=torch.arange(400), seed=1)
    inner = (labels != -100)[:, 10:-10].double().mean()
    assert 100 * inner == pytest.approx(percent, abs=0.5)


def test_the_rate_changes_at_step_100_000():
    spec = SimpleNamespace(rate=0.15, late_rate=0.20, late_from_step=100_000)
    assert rate_at(99_999, spec) == 0.15
    assert rate_at(100_000, spec) == 0.20


@given(
    st.lists(st.lists(st.integers(0, 68), min_size=9, max_size=9), min_size=1, max_size=4),
    st.integers(3, 7),
    st.sampled_from([0.1, 0.4, 0.9]),
    st.integers(0, 2**62),
    st.booleans(),
)
def test_the_slow_plain_version_gives_the_same_on_the_same_draws(rows, k, rate, seed, kmers_only):
    ids = torch.tensor(rows)
    maskable = ids >= 5  # special tokens, also inner ones, are never hidden
    keys = torch.arange(len(rows)) * 7 - 3
    source = "kmers_only" if kmers_only else "vocab"
    masked, labels = mask_tokens(
        ids, maskable, k=k, rate=rate, keys=keys, seed=seed, vocab=69, random_from=source
    )
    at = torch.arange(ids.shape[1])
    lowest = 5 if kmers_only else 0
    for n in range(len(rows)):
        draws = [uniform(seed, question, int(keys[n]), at).tolist() for question in (0, 1)]
        random_ids = (lowest + integers(69 - lowest, seed, 2, int(keys[n]), at)).tolist()
        expected = dnabert_by_hand(
            rows[n], maskable[n], *draws, random_ids, rate / k, DNABERT_OFFSETS[k]
        )
        assert (masked[n].tolist(), labels[n].tolist()) == expected


@given(st.integers(1, 12), st.integers(1, 40), st.floats(0, 0.9), st.integers(-(2**63), 2**63 - 1))
def test_compiled_and_plain_versions_agree_to_the_bit(span, length, rate, key):
    if not _fused.available():
        pytest.skip("numba is not there")
    ids = torch.randint(0, 69, (2, length), generator=torch.Generator().manual_seed(length))
    arguments = {
        "k": 3,
        "rate": rate,
        "keys": torch.tensor([key, 5]),
        "seed": 3,
        "span_tokens": span,
    }
    masked, labels = mask_tokens(ids, ids >= 5, **arguments)
    keys = arguments.pop("keys")
    plain = _mask_plain(ids, ids >= 5, keys, draws(**arguments))
    assert torch.equal(masked, plain[0])
    assert torch.equal(labels, plain[1])


def test_a_mask_does_not_depend_on_the_batch_nor_on_padding():
    ids = torch.randint(5, 4101, (6, 50), generator=torch.Generator().manual_seed(0))
    keys = torch.tensor([5, 1, 9, 2, 7, 3])
    whole = mask_tokens(ids, ids > 4, k=6, rate=0.3, keys=keys, seed=4)
    order = torch.tensor([3, 0, 5])
    part = mask_tokens(
        torch.nn.functional.pad(ids[order], (0, 9)),
        torch.nn.functional.pad(ids[order] > 4, (0, 9)),
        k=6,
        rate=0.3,
        keys=keys[order],
        seed=4,
    )
    for whole_table, part_table in zip(whole, part, strict=True):
        assert torch.equal(part_table[:, :50], whole_table[order])
    assert not torch.equal(whole[1], mask_tokens(ids, ids > 4, k=6, rate=0.3, keys=keys, seed=5)[1])


def test_without_numba_many_sequences_are_masked_the_same(monkeypatch):
    ids = torch.randint(0, 4101, (150, 30), generator=torch.Generator().manual_seed(0))
    arguments = {"k": 6, "rate": 0.3, "keys": torch.arange(150), "seed": 4}
    fast = mask_tokens(ids, ids > 4, **arguments)
    monkeypatch.setattr(_fused, "available", lambda: False)
    plain = mask_tokens(ids, ids > 4, **arguments)
    assert torch.equal(fast[0], plain[0])
    assert torch.equal(fast[1], plain[1])


def test_inputs_are_left_as_they_were():
    ids = torch.arange(5, 45)[None]
    before = ids.clone()
    mask_tokens(ids, ids > 4, k=3, rate=0.5, keys=torch.tensor([1]), seed=0)
    assert torch.equal(ids, before)


def test_special_tokens_and_padding_are_never_hidden():
    row = [2, *range(5, 25), 3, *range(30, 50), 3, 0, 0, 0]
    ids = torch.tensor([row] * 200)
    _, labels = mask_tokens(ids, ids >= 5, k=6, rate=0.9, keys=torch.arange(200), seed=0)
    assert (labels[ids < 5] == -100).all()
    assert (labels[:, 1] != -100).any()
    assert (labels[:, 20] != -100).any()


def large(**switches):
    ids = torch.randint(5, 4101, (300, 500), generator=torch.Generator().manual_seed(1))
    masked, labels = mask_tokens(
        ids, ids > 0, k=6, rate=0.15, keys=torch.arange(300), seed=9, **switches
    )
    return ids, masked, labels != -100


def test_of_the_hidden_tokens_80_percent_are_masked_and_10_percent_each_random_and_kept():
    ids, masked, hidden = large()
    share = [
        (masked == 4)[hidden].double().mean(),
        ((masked != 4) & (masked != ids))[hidden].double().mean(),
        (masked == ids)[hidden].double().mean(),
    ]
    assert share == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    assert torch.equal(masked[~hidden], ids[~hidden])


def test_random_ids_come_from_the_whole_vocabulary_or_from_kmers():
    for source, lowest in (("vocab", 0), ("kmers_only", 5)):
        ids, masked, hidden = large(random_from=source)
        drawn = masked[hidden & (masked != ids) & (masked != 4)]
        assert int(drawn.max()) > 4000
        assert (drawn < 5).any() == (lowest == 0)


def test_iid_hides_single_tokens_at_the_whole_rate():
    _, _, hidden = large(scheme="iid")
    assert hidden.double().mean() == pytest.approx(0.15, abs=0.005)
    neighbours = (hidden[:, 1:] & hidden[:, :-1]).double().mean()
    assert neighbours == pytest.approx(0.15**2, abs=0.003)


def test_exact_mode_hides_the_share_it_says():
    _, _, hidden = large(rate_mode="exact")
    assert hidden[:, 10:-10].double().mean() == pytest.approx(0.15, abs=0.005)


def test_long_spans_hide_whole_bases():
    assert mask_span(6, span_tokens=11) == 11
    _, _, hidden = large(span_tokens=11)
    padded = torch.nn.functional.pad(hidden, (1, 1))
    starts = (padded[:, 1:] & ~padded[:, :-1]).nonzero()
    ends = (~padded[:, 1:] & padded[:, :-1]).nonzero()
    inner = (starts[:, 1] > 0) & (ends[:, 1] < 500)
    assert int((ends[:, 1] - starts[:, 1])[inner].min()) >= 11
    assert hidden.double().mean() == pytest.approx(expected_rate(0.15 / 11, 11), abs=0.006)


@pytest.mark.parametrize(
    ("switch", "message"),
    [
        ({"scheme": "span"}, "unknown mask.scheme. Found span; expected dnabert_span or iid"),
        ({"rate_mode": "mean"}, "unknown mask.rate_mode. Found mean; expected nominal or exact"),
        (
            {"random_from": "all"},
            "unknown mask.random_from. Found all; expected vocab or kmers_only",
        ),
        ({"span_tokens": 0}, "mask.span_tokens is out of range. Found 0"),
        ({"rate": 1.0}, "the masking rate is out of range. Found 1.0; expected 0 or more, below 1"),
    ],
)
def test_an_impossible_switch_is_refused(switch, message):
    ids = torch.arange(5, 15)[None]
    with pytest.raises(InputError, match=message):
        mask_tokens(
            ids, ids > 4, **{"k": 6, "rate": 0.15, "keys": torch.tensor([1]), "seed": 0} | switch
        )


def test_nothing_is_hidden_at_rate_0():
    ids = torch.arange(5, 15)[None]
    masked, labels = mask_tokens(ids, ids > 4, k=6, rate=0.0, keys=torch.tensor([1]), seed=0)
    assert torch.equal(masked, ids)
    assert (labels == -100).all()

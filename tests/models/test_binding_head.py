"""The binding head: what it reads, what is cut out, the copies and twins, and the FactorNet-like
network.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from epilm.batch import Windows
from epilm.errors import InputError, RecipeError
from epilm.models.baselines import FactorNet
from epilm.models.binding_head import BindingModel, binding_from
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tokens.state_tokens import N_SPECIAL_STATES, PAD_STATE

STATES, TOKENS, SIGNALS = 5, 20, 2
ENCODER = EncoderSpec(
    size="tiny", hidden=16, layers=1, heads=2, ffn=32, max_positions=32, dropout=0.0
)
EB = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=3,
    stride=3,
    states=STATES,
    encoder=ENCODER,
    max_tokens=32,
)
DB = replace(EB, name="dbert", streams=("dna",), states=0)
HEAD = {"conv_channels": (6, 7), "kernel": 3, "dense": 9, "dropout": 0.0, "seed": 5}


def windows(n=4, *, special=True, pad=0, signals=SIGNALS, seed=0):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 69, (n, TOKENS), generator=g)
    states = torch.randint(2, N_SPECIAL_STATES + STATES, (n, TOKENS), generator=g)
    values = torch.rand(n, TOKENS, signals, generator=g) if signals else None
    if special:
        ids = F.pad(F.pad(ids, (1, 0), value=2), (0, 1), value=3)
        states = F.pad(states, (1, 1), value=PAD_STATE)
        values = None if values is None else F.pad(values, (0, 0, 1, 1))
    ids, states = F.pad(ids, (0, pad)), F.pad(states, (0, pad), value=PAD_STATE)
    values = None if values is None else F.pad(values, (0, 0, 0, pad))
    return Windows(ids, ids > 0, states, values)


def model(spec=EB, signals=SIGNALS, **changes):
    return binding_from(build_model(spec, seed=1), signals=signals, **(HEAD | changes)).eval()


def by_hand(m, hidden, signals):
    """The head on k-mers that were cut out first: plain layers on (B, T, H + S)."""
    weight, both = m.convolutions[0].weight, hidden
    if signals is not None:
        weight, both = (
            torch.cat([weight, m.signal_convolution.weight], 1),
            torch.cat([hidden, signals], -1),
        )
    x = F.relu(F.conv1d(both.transpose(1, 2), weight, m.convolutions[0].bias, padding="same"))
    x = F.relu(F.conv1d(x, m.convolutions[1].weight, m.convolutions[1].bias, padding="same"))
    return m.out(F.relu(m.dense(x.amax(-1))))


@pytest.mark.parametrize("pad", [0, 6])
@pytest.mark.parametrize("signals", [0, SIGNALS])
@pytest.mark.parametrize("kernel", [2, 5])
def test_special_tokens_and_padding_are_cut_out_before_the_convolutions(pad, signals, kernel):
    m, w = model(signals=signals, kernel=kernel), windows(pad=pad, signals=signals)
    hidden = m.trunk.encode_windows(w)
    values = None if not signals else w.signals[:, 1 : 1 + TOKENS]
    assert torch.allclose(m(w), by_hand(m, hidden[:, 1 : 1 + TOKENS], values), atol=1e-5)


AROUND = {"around": (8, 13)}


@pytest.mark.parametrize("pad", [0, 6])
def test_the_pools_of_the_bin_are_plain_maxima_side_by_side(pad):
    """Tokens 8 to 12 of a window with [CLS] are its k-mers 7 to 11."""
    w = windows(pad=pad)
    for pool, middles in (("bin", (slice(7, 12),)), ("max+bin", (slice(None), slice(7, 12)))):
        m = model(pool=pool, **AROUND)
        assert m.dense.in_features == 7 * len(middles)
        hidden = m.trunk.encode_windows(w)[:, 1 : 1 + TOKENS]
        x = torch.cat([hidden, w.signals[:, 1 : 1 + TOKENS]], -1).transpose(1, 2)
        weight = torch.cat([m.convolutions[0].weight, m.signal_convolution.weight], 1)
        x = F.relu(F.conv1d(x, weight, m.convolutions[0].bias, padding="same"))
        x = F.relu(F.conv1d(x, m.convolutions[1].weight, m.convolutions[1].bias, padding="same"))
        pooled = torch.cat([x[..., middle].amax(-1) for middle in middles], 1)
        assert torch.allclose(m(w), m.out(F.relu(m.dense(pooled))), atol=1e-5)


def test_the_pool_of_the_bin_does_not_see_what_lies_far_from_it():
    """Without an encoder between, a convolution of three tokens twice reaches two tokens."""
    w = windows()
    far = w.signals.clone()
    far[:, 1:6] += 3.0  # the bin begins at token 8
    near = w.signals.clone()
    near[:, 6] += 3.0
    bin_alone, both = model(pool="bin", **AROUND), model(pool="max+bin", **AROUND)
    assert torch.allclose(bin_alone(w), bin_alone(replace(w, signals=far)), atol=1e-6)
    assert not torch.allclose(bin_alone(w), bin_alone(replace(w, signals=near)), atol=1e-4)
    assert not torch.allclose(both(w), both(replace(w, signals=far)), atol=1e-4)


@pytest.mark.parametrize("pool", ["max", "mean", "attention", "bin", "max+bin"])
def test_padding_does_not_change_the_answer(pool):
    m = model(pool=pool, **AROUND)
    assert torch.allclose(m(windows()), m(windows(pad=7)), atol=1e-5)


def test_what_stands_beside_special_tokens_and_padding_is_not_read():
    m, w = model(), windows(pad=3)
    dirty = w.signals.clone()
    dirty[:, 0] = dirty[:, TOKENS + 1 :] = 1e6
    assert torch.equal(m(w), m(replace(w, signals=dirty)))


@pytest.mark.parametrize("pool", ["max", "mean", "attention"])
def test_signals_and_states_reach_the_answer(pool):
    m, w = model(pool=pool), windows()
    assert not torch.allclose(m(w), m(replace(w, signals=w.signals + 1)), atol=1e-4)
    other = torch.where(w.states > 2, 3 + (w.states - 2) % STATES, w.states)
    assert not torch.allclose(m(w), m(replace(w, states=other)), atol=1e-6)
    unknown = m(replace(w, states=None))  # the control that reads the sequence alone
    assert torch.isfinite(unknown).all()


def test_two_signals_are_heard_beside_many_numbers():
    """Both parts of the first convolution give numbers of the same size at the start."""
    spec = replace(EB, encoder=EncoderSpec(hidden=256, layers=1, heads=2, ffn=32, max_positions=32))
    m = model(spec, conv_channels=(64,))
    w = windows(32)
    of_vectors = m.convolutions[0](m.trunk.encode_windows(w).transpose(1, 2)).std()
    of_signals = m.signal_convolution(torch.randn(32, SIGNALS, TOKENS)).std()
    assert 1 / 3 < (of_signals / of_vectors).item() < 3


def test_a_window_alone_gives_what_it_gives_in_a_batch():
    m, w = model(), windows(5, pad=2)
    whole = m(w)
    for n in range(5):
        row = slice(n, n + 1)
        alone = Windows(w.ids[row], w.mask[row], w.states[row], w.signals[row])
        assert torch.allclose(m(alone)[0], whole[n], atol=1e-5)


def test_the_shortcut_adds_the_best_of_a_signal_over_window_and_bin():
    w, plain = windows(pad=4), model()
    short = model(shortcut=(1,), middle=(8, 13))
    assert torch.equal(
        short(w), plain(w)
    )  # its weights begin at 0, the others are those without it
    with torch.no_grad():
        short.shortcut.weight[:] = torch.tensor([[2.0, -3.0]])
    track = w.signals[..., 1]
    expected = plain(w)[:, 0] + 2 * track[:, 1 : 1 + TOKENS].amax(1) - 3 * track[:, 8:13].amax(1)
    assert torch.allclose(short(w)[:, 0], expected, atol=1e-6)
    noisy = w.signals.clone()
    noisy[:, 0] = noisy[:, TOKENS + 1 :] = 50.0  # beside [CLS], [SEP] and padding
    assert torch.equal(short(replace(w, signals=noisy)), short(w))


def test_means_of_a_signal_over_window_and_bin_go_the_same_way():
    w, plain = windows(pad=4), model()
    short = model(shortcut=(1,), means=(0,), middle=(8, 13))
    with torch.no_grad():
        short.shortcut.weight[:] = torch.tensor(
            [[0.0, 5.0, 0.0, -2.0]]
        )  # window: best, mean; bin: best, mean
    track = w.signals[..., 0]
    expected = plain(w)[:, 0] + 5 * track[:, 1 : 1 + TOKENS].mean(1) - 2 * track[:, 8:13].mean(1)
    assert torch.allclose(short(w)[:, 0], expected, atol=1e-5)


def test_both_strands_are_averaged():
    m, one, two = model(), windows(), windows(seed=9)
    assert torch.allclose(m(one, two), (m(one) + m(two)) / 2)


def test_several_factors_have_several_answers():
    assert model(outputs=4)(windows()).shape == (4, 4)


def test_the_model_given_is_left_as_it_was_and_its_weights_are_copied():
    source = build_model(EB, seed=1)
    before = {name: value.clone() for name, value in source.state_dict().items()}
    m = binding_from(source, signals=SIGNALS, **HEAD)
    assert torch.equal(m.trunk.states.weight, source.states.weight)
    assert not any(
        name.startswith(("trunk.masked_head", "trunk.state_head")) for name in m.state_dict()
    )
    loss = m(windows()).sum()
    loss.backward()
    with torch.no_grad():
        for p in m.parameters():
            p.add_(1.0)
    after = source.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert source.masked_head is not None


def test_the_random_twin_differs_in_the_trunk_alone():
    trained = build_model(EB, seed=1)
    one, two = (
        binding_from(t, signals=SIGNALS, **HEAD) for t in (trained, build_model(EB, seed=2))
    )
    mine, other = one.state_dict(), two.state_dict()
    assert mine.keys() == other.keys()
    for name, value in mine.items():
        if not name.startswith("trunk."):
            assert torch.equal(value, other[name]), name
    assert not torch.equal(one.trunk.encoder.words.weight, two.trunk.encoder.words.weight)


def test_every_weight_learns_but_the_pooler():
    m = model().train()
    m(windows()).square().sum().backward()
    still = [
        name for name, p in m.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert all("pooler" in name for name in still), still


def test_dbert_and_dnabert_have_heads_too():
    w = windows(signals=0)
    assert model(DB, 0)(w).shape == (4, 1)
    dna = build_model(ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=ENCODER), seed=1)
    assert binding_from(dna, **HEAD)(w).shape == (4, 1)


def test_without_special_tokens():
    m, w = model(), windows(special=False)
    hidden = m.trunk.encode_windows(w)
    assert torch.allclose(m(w), by_hand(m, hidden, w.signals), atol=1e-5)


def test_a_window_of_padding_alone_stays_finite():
    w = windows()
    w.mask[0] = False
    for pool in ("max", "mean", "attention", "bin", "max+bin"):
        assert torch.isfinite(model(pool=pool, **AROUND)(w)).all()


def test_windows_without_the_signals_are_refused():
    with pytest.raises(InputError, match="Found 0 signals; expected 2"):
        model()(windows(signals=0))
    with pytest.raises(InputError, match="Found 1 signals; expected 2"):
        model()(windows(signals=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": "sum"}, r"head\.pool.*Found sum"),
        ({"pool": "bin"}, r"head\.around: the pool looks at the bin, and no token of it is named"),
        ({"activation": "swish"}, r"head\.activation.*Found swish"),
        ({"conv_channels": ()}, "a convolution at least"),
        ({"kernel": 0}, "kernel 0"),
        ({"outputs": 0}, "outputs 0"),
        ({"shortcut": (2,), "middle": (8, 13)}, "impossible shortcut"),
        ({"shortcut": (0,)}, "a bin of one token at least"),
    ],
)
def test_impossible_heads_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        model(**changes)


def test_the_published_head_on_the_base_model():
    """H + 2 to 128, 128 to 128, kernel 5; 128 to 128 to 1."""
    with torch.device("meta"):
        trunk = build_model(replace(EB, encoder=EncoderSpec(size="base")))
    with torch.device("meta"):
        m = BindingModel(trunk, signals=2)
    head = sum(p.numel() for name, p in m.named_parameters() if not name.startswith("trunk."))
    assert head == (770 * 128 * 5 + 128) + (128 * 128 * 5 + 128) + (128 * 128 + 128) + (128 + 1)


# --- FactorNet's kind ----------------------------------------------------------


def bases(n=3, width=100, tracks=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    ids = torch.zeros(n, 1, dtype=torch.int64)
    codes = torch.randint(0, 5, (n, width), generator=g).to(torch.uint8)
    return Windows(
        ids,
        ids > 0,
        codes=codes,
        tracks=torch.rand(n, width, tracks, generator=g) if tracks else None,
    )


SMALL = {"window_bp": 100, "filters": 6, "lstm": 4, "dense": 5}


def turned(w):
    codes = w.codes.flip(1)
    other = torch.where(codes < 4, 3 - codes, codes)
    return replace(w, codes=other, tracks=None if w.tracks is None else w.tracks.flip(1))


@pytest.mark.parametrize("tracks", [0, 2])
def test_the_other_strand_gives_the_same_answer(tracks):
    torch.manual_seed(0)
    m, w = FactorNet(tracks, **SMALL).eval(), bases(tracks=tracks)
    assert torch.allclose(m(w), m(turned(w)), atol=1e-6)
    one = FactorNet(tracks, both_strands=False, **SMALL).eval()
    one.load_state_dict(m.state_dict())
    assert not torch.allclose(one(w), one(turned(w)), atol=1e-5)
    assert torch.allclose(m(w), (one(w) + one(turned(w))) / 2, atol=1e-6)


def test_an_unknown_base_is_none_of_the_four():
    torch.manual_seed(0)
    m, w = FactorNet(0, both_strands=False, **SMALL).eval(), bases(tracks=0)
    seen = []
    m.motifs.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    m(w)
    assert torch.equal(seen[0].sum(1), (w.codes < 4).float())


def test_factornet_has_the_published_widths():
    m = FactorNet(2, window_bp=1000)
    assert (m.motifs.out_channels, m.motifs.kernel_size, m.motifs.in_channels) == (128, (34,), 6)
    assert (m.lstm.hidden_size, m.lstm.bidirectional) == (64, True)
    assert m.dense.in_features == 2 * 64 * ((1000 - 33) // 17)


def test_factornet_learns_from_bases_and_tracks():
    m, w = FactorNet(2, **SMALL), bases()
    m(w).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in m.parameters())
    assert isinstance(m, nn.Module)


@pytest.mark.parametrize(
    ("w", "message"),
    [
        (bases(tracks=1), "Found 100 bp, 1 signals; expected 100 bp, 2 signals"),
        (bases(width=90), "Found 90 bp, 2 signals"),
        (replace(bases(), codes=None), "Found None bp"),
    ],
)
def test_factornet_refuses_other_windows(w, message):
    with pytest.raises(InputError, match=message):
        FactorNet(2, **SMALL)(w)
    with pytest.raises(InputError, match="too short for the filters"):
        FactorNet(2, window_bp=40)

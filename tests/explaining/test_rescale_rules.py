"""Each rule by hand, by a slow plain version, and adding up to the change of the output."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from epilm.errors import UsageError
from epilm.explaining.deeplift import multipliers
from epilm.explaining.soft import kmer_probabilities
from epilm.nn.encoder import SequenceEncoder


def lstm_of(*sizes, **options):
    return nn.LSTM(*sizes, **options).requires_grad_(False)


FIRST_STEPS, ROWS = lstm_of(6, 2), lstm_of(6, 2, batch_first=True)
PROJECTED, LEARNING = lstm_of(6, 4, proj_size=2, batch_first=True), nn.LSTM(6, 2)


def random(*shape, scale=1.0, seed=0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sums(function, inputs, references):
    """What contributions add up to, and the change of the output."""
    slopes, said = multipliers(function, inputs, references)
    assert torch.isfinite(slopes).all()
    return (slopes * (inputs - references)).flatten(1).sum(1), said[0] - said[1]


def test_each_factor_of_a_product_has_half_of_what_they_do_together():
    # 2 x 3 to 4 x 7: the first rose by 2, the second by 4; 2 (3 + 7) / 2 + 4 (2 + 4) / 2 = 22.
    inputs, references = torch.tensor([[4.0, 7.0]]), torch.tensor([[2.0, 3.0]])
    slopes, _ = multipliers(lambda x: x[:, 0] * x[:, 1], inputs, references)
    assert slopes.tolist() == [[5.0, 3.0]]
    squared, _ = multipliers(lambda x: (x * x).sum(1), inputs, references)
    assert squared.tolist() == [[6.0, 10.0]]  # x + x0
    # What is the same at both ends has its own slope.
    fixed = torch.tensor([[4.0, 3.0]])
    slopes, _ = multipliers(lambda x: x[:, 0] * x[:, 1], fixed, references)
    assert slopes.tolist() == [[3.0, 3.0]]


@pytest.mark.parametrize("multiply", [torch.matmul, torch.bmm, lambda a, b: a @ b])
def test_a_product_of_matrices_is_one_of_all_its_numbers(multiply):
    a, b, a0, b0 = (random(1, 2, 2, seed=seed) for seed in range(4))

    def read(x):
        return multiply(x[:, :2], x[:, 2:])[:, 0, 1]  # a00 b01 + a01 b11

    slopes, _ = multipliers(read, torch.cat([a, b], 1), torch.cat([a0, b0], 1))
    expected = torch.zeros(4, 2)
    expected[0] = (b + b0)[0, :, 1] / 2
    expected[2:, 1] = (a + a0)[0, 0] / 2
    assert torch.allclose(slopes[0], expected)


def test_a_softmax_of_two_is_a_sigmoid_of_their_difference():
    # 1/2 to 3/4 for a difference of 0 to ln 3.
    inputs, references = torch.tensor([[math.log(3) + 5, 5.0]]), torch.zeros(1, 2)
    slopes, _ = multipliers(lambda x: x.softmax(1)[:, 0], inputs, references)
    slope = (3 / 4 - 1 / 2) / math.log(3)
    assert slopes[0].tolist() == pytest.approx([slope, -slope])
    logs, _ = multipliers(lambda x: x.log_softmax(1)[:, 0], inputs, references)
    slope = (math.log(3 / 4) - math.log(1 / 2)) / math.log(3)
    assert logs[0].tolist() == pytest.approx([slope, -slope])


def test_a_softmax_by_hand():
    # Shares 1/2, 1/4, 1/4 to 1/8, 1/4, 5/8: logarithmic means of each.
    before, after = np.array([1 / 2, 1 / 4, 1 / 4]), np.array([1 / 8, 1 / 4, 5 / 8])
    m = np.array([(3 / 8) / math.log(4), 1 / 4, (3 / 8) / math.log(5 / 2)])
    expected = np.diag(m) - np.outer(m, m) / m.sum()
    inputs, references = (torch.tensor(p).log()[None].float() for p in (after, before))
    for number in range(3):
        slopes, _ = multipliers(
            lambda x, number=number: nn.functional.softmax(x, -1)[:, number], inputs, references
        )
        assert slopes[0].tolist() == pytest.approx(expected[number].tolist(), abs=1e-6)
    slopes, _ = multipliers(lambda x: x.logsumexp(1), inputs, references)
    assert slopes[0].tolist() == pytest.approx((m / m.sum()).tolist(), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0, 300.0])
def test_softmax_adds_up_however_far_apart_scores_are(scale):
    inputs, references = random(6, 2, 9, scale=scale), random(6, 2, 9, scale=scale, seed=1)
    hidden = torch.zeros(6, 2, 9, dtype=torch.bool)
    hidden[..., 4:6] = True
    hidden = torch.cat([hidden, hidden])
    weight = random(9, seed=2)
    for function in (
        lambda x: (x.softmax(-1) * weight).sum((1, 2)),
        lambda x: (x.masked_fill(hidden, -torch.inf).softmax(2) * weight).sum((1, 2)),
        lambda x: (x.softmax(1) * weight).sum((1, 2)),
        lambda x: (x.log_softmax(-1) * weight).sum((1, 2)),
        lambda x: x.masked_fill(hidden, -torch.inf).logsumexp(-1).sum(1),
    ):
        total, change = sums(function, inputs, references)
        assert torch.allclose(total, change, rtol=1e-5, atol=2e-5 * max(scale, 0.1))


def test_a_number_added_to_all_scores_is_worth_nothing():
    """Where every score rises by the same, softmax and layer norm do not change."""
    inputs, references = random(3, 5), random(3, 5, seed=1)
    weight = random(5, seed=2)
    for function in (
        lambda x: (x.softmax(-1) * weight).sum(1),
        lambda x: (nn.functional.layer_norm(x, (5,)) * weight).sum(1),
    ):
        slopes, _ = multipliers(function, inputs, references)
        assert slopes.abs().max() > 0.05
        assert slopes.sum(1).abs().max() < 1e-6


def test_a_layer_norm_by_hand():
    # (0, 4) to (3, 1): -1 to 1 in the first. Centred (-2, 2) to (1, -1), r 1/2 to 1, the means
    # (-1/2, 1/2) and 3/4, and (r r0)^2 / (r + r0) = 1/6: 3/4 - 1/24 and 1/24, less their mean.
    inputs, references = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.0, 4.0]])
    norm = nn.LayerNorm(2, eps=0.0).requires_grad_(False)
    slopes, said = multipliers(lambda x: norm(x)[:, 0], inputs, references)
    assert slopes[0].tolist() == pytest.approx([1 / 3, -1 / 3])
    assert said.flatten().tolist() == pytest.approx([1.0, -1.0])
    norm.weight.copy_(torch.tensor([2.0, 5.0]))
    slopes, _ = multipliers(lambda x: norm(x)[:, 0], inputs, references)
    assert slopes[0].tolist() == pytest.approx([2 / 3, -2 / 3])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_layer_norms_add_up(scale):
    inputs, references = random(4, 3, 8, scale=scale), random(4, 3, 8, seed=1)
    norm = nn.LayerNorm(8, eps=1e-12).requires_grad_(False)
    norm.weight.copy_(random(8, seed=2))
    norm.bias.copy_(random(8, seed=3))
    total, change = sums(lambda x: norm(x).sum((1, 2)), inputs, references)
    # Of small numbers each counts hundreds of times as much, and most of it takes itself away.
    assert torch.allclose(total, change, rtol=1e-5, atol=2e-6 / min(scale, 0.1))


def test_three_bases_share_what_takes_all_of_them():
    """AAA to CCC where CCC alone counts: a third each, whatever the order of the bases."""
    inputs, references = torch.zeros(1, 3, 4), torch.zeros(1, 3, 4)
    inputs[..., 1] = references[..., 0] = 1
    word = int(kmer_probabilities(inputs, 3, 1).argmax())
    slopes, _ = multipliers(lambda x: kmer_probabilities(x, 3, 1)[:, 0, word], inputs, references)
    assert slopes[0, :, 1].tolist() == pytest.approx([1 / 3] * 3)
    assert slopes[0, :, [0, 2, 3]].abs().max() == 0


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (2, 1), (3, 2), (4, 4)])
def test_kmers_are_the_mean_of_gradients_on_the_straight_line(k, stride):
    inputs, references = (random(2, 8, 4, seed=seed).softmax(-1) for seed in (0, 1))
    weight = random(4**k, seed=2)

    def read(x):
        return (kmer_probabilities(x, k, stride) * weight).sum((1, 2))

    slopes, _ = multipliers(read, inputs, references)
    steps = 50
    plain = torch.zeros(2, 8, 4, dtype=torch.float64)
    for step in range(steps):
        here = torch.lerp(references, inputs, (step + 0.5) / steps).requires_grad_()
        plain += torch.autograd.grad(read(here).sum(), here)[0] / steps
    assert torch.allclose(slopes.double(), plain, atol=1e-4)
    total, change = sums(read, inputs, references)
    assert torch.allclose(total, change, atol=1e-5)


def by_hand(query, keys, values, query0, keys0, values0):
    """One query over two tokens of one number each: what each of the five numbers counts."""

    def share(q, k):
        return 1 / (1 + math.exp(-q * (k[0] - k[1])))

    p, p0 = share(query, keys), share(query0, keys0)
    apart, apart0 = keys[0] - keys[1], keys0[0] - keys0[1]
    slope = (p - p0) / (query * apart - query0 * apart0)
    gain = slope * (values[0] - values[1] + values0[0] - values0[1]) / 2
    of_key = gain * (query + query0) / 2
    of_value = (p + p0) / 2
    return [gain * (apart + apart0) / 2, of_key, -of_key, of_value, 1 - of_value]


def test_attention_of_one_head_over_two_tokens_by_hand():
    inputs, references = (
        torch.tensor([[0.7, 1.0, -0.5, 2.0, -1.0]]),
        torch.tensor([[-0.4, 0.3, 0.9, 0.5, 1.5]]),
    )

    def attend(x):
        query, keys, values = (part[:, None, :, None] for part in x.split([1, 2, 2], 1))
        return nn.functional.scaled_dot_product_attention(query, keys, values)[:, 0, 0, 0]

    slopes, said = multipliers(attend, inputs, references)
    each = [(row[0], row[1:3], row[3:5]) for row in (inputs[0].tolist(), references[0].tolist())]
    assert slopes[0].tolist() == pytest.approx(by_hand(*each[0], *each[1]), abs=1e-6)
    with torch.no_grad():
        assert said[:, 0].tolist() == pytest.approx(
            [float(attend(inputs)), float(attend(references))]
        )


@pytest.mark.parametrize("kind", ["bool", "float", "none"])
def test_attention_is_the_kernels_and_adds_up(kind):
    inputs, references = random(3, 3, 2, 5, 4), random(3, 3, 2, 5, 4, seed=1)  # P, qkv, heads, L, D
    seen = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    seen[..., 3] = False
    mask = {"bool": seen, "float": torch.where(seen, 0.5, -torch.inf), "none": None}[kind]
    weight = random(5, 4, seed=2)

    def read(x):
        q, k, v = x.unbind(1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.7)
        return (mixed * weight).sum((1, 2, 3))

    slopes, said = multipliers(read, inputs, references)
    with torch.no_grad():
        assert torch.allclose(said[0], read(inputs), atol=1e-5)
    total, change = sums(read, inputs, references)
    assert torch.allclose(total, change, atol=2e-5)
    if kind != "none":
        assert (slopes[:, 1:, :, 3] == 0).all()  # the hidden token is neither key nor value


def test_padding_changes_nothing():
    torch.manual_seed(0)
    sizes = {"vocab": 69, "hidden": 8, "layers": 2, "heads": 2, "ffn": 16, "max_positions": 16}
    encoder = SequenceEncoder(**sizes, rotary=True).eval().requires_grad_(False)
    for weight in encoder.parameters():
        weight.copy_(0.4 * torch.randn_like(weight) if weight.ndim > 1 else weight)
    encoder.compute("sdpa", "off")
    inputs, references = random(3, 6, 8), random(3, 6, 8, seed=1)
    mask = (torch.arange(9) < 6).expand(6, 9)

    def bare(x):
        return (
            encoder(None, inputs_embeds=x)[0][:, :6].sum((1, 2))
            + encoder(None, inputs_embeds=x)[0][:, 0, 0]
        )

    def padded(x):
        wide = nn.functional.pad(x, (0, 0, 0, 3))
        said = encoder(None, None, mask, inputs_embeds=wide)[0][:, :6]
        return said.sum((1, 2)) + said[:, 0, 0]

    ours, plain = (multipliers(read, inputs, references)[0] for read in (padded, bare))
    assert plain.abs().max() > 0.01
    assert torch.allclose(ours, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "both", "bias"), [(1, False, True), (2, True, True), (1, True, False)]
)
def test_an_lstm_is_the_modules_and_adds_up(layers, both, bias):
    torch.manual_seed(0)
    lstm = lstm_of(3, 4, layers, bias=bias, batch_first=True, bidirectional=both)
    for weight in lstm.parameters():
        weight.copy_(torch.randn_like(weight))
    inputs, references = random(3, 6, 3, scale=2.0), random(3, 6, 3, seed=1)
    weight = random(6, 4 * (1 + both), seed=2)

    def read(x):
        steps, (hidden, cell) = lstm(x)
        return (steps * weight).sum((1, 2)) + hidden.sum((0, 2)) - 0.5 * cell.sum((0, 2))

    total, change = sums(read, inputs, references)
    assert torch.allclose(total, change, atol=1e-4)
    with torch.no_grad():
        assert torch.allclose(change, read(inputs) - read(references), atol=1e-4)


def test_rows_of_one_length_may_be_packed():
    torch.manual_seed(0)
    lstm = lstm_of(3, 4, batch_first=True, bidirectional=True)
    inputs, references = random(3, 5, 3, scale=2.0), random(3, 5, 3, seed=1)

    def packed(x):
        row = pack_padded_sequence(x, [5] * len(x), batch_first=True, enforce_sorted=False)
        return lstm(row)[1][0].sum((0, 2))

    ours, _ = multipliers(packed, inputs, references)
    plain, _ = multipliers(lambda x: lstm(x)[1][0].sum((0, 2)), inputs, references)
    assert torch.allclose(ours, plain, atol=1e-6)


def test_a_step_of_an_lstm_by_hand():
    """From no state the cell is sigmoid(i) tanh(g), what is shown sigmoid(o) tanh(cell)."""
    lstm = lstm_of(3, 1, batch_first=True)
    for weight in lstm.parameters():
        weight.zero_()
    lstm.weight_ih_l0[0, 0] = lstm.weight_ih_l0[2, 1] = lstm.weight_ih_l0[3, 2] = 1  # i, g, o
    x, x0 = [1.0, 0.5, -1.0], [-0.5, 1.5, 2.0]
    slopes, _ = multipliers(
        lambda x: lstm(x)[0][:, 0, 0], torch.tensor([[x]]), torch.tensor([[x0]])
    )

    def parts(x):
        cell = 1 / (1 + math.exp(-x[0])) * math.tanh(x[1])
        return 1 / (1 + math.exp(-x[0])), math.tanh(x[1]), cell, 1 / (1 + math.exp(-x[2]))

    (i, g, c, o), (i0, g0, c0, o0) = parts(x), parts(x0)
    up = (math.tanh(c) - math.tanh(c0)) / (c - c0) * (o + o0) / 2
    expected = [
        up * (g + g0) / 2 * (i - i0) / (x[0] - x0[0]),
        up * (i + i0) / 2 * (g - g0) / (x[1] - x0[1]),
        (math.tanh(c) + math.tanh(c0)) / 2 * (o - o0) / (x[2] - x0[2]),
    ]
    assert slopes[0, 0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_maximum_over_any_axis_is_that_over_the_last(axis):
    inputs, references = random(3, 4, 5, 6), random(3, 4, 5, 6, seed=1)
    order = [0, *(a for a in (1, 2, 3) if a != axis), axis]
    weight = random(*[inputs.shape[a] for a in order[1:-1]], seed=2)

    ours, _ = multipliers(lambda x: (x.amax(axis) * weight).sum((1, 2)), inputs, references)
    turned = [x.permute(order).flatten(1, 2) for x in (inputs, references)]
    theirs, _ = multipliers(lambda x: (x.amax(2) * weight.flatten()).sum(1), *turned)
    assert torch.equal(ours.permute(order).flatten(1, 2), theirs)
    kept, _ = multipliers(
        lambda x: (x.amax(axis, keepdim=True) * weight.unsqueeze(axis - 1)).sum((1, 2, 3)),
        inputs,
        references,
    )
    assert torch.equal(kept, ours)


def test_a_maximum_of_what_is_all_hidden_is_worth_nothing():
    inputs, references = random(2, 3, 4), random(2, 3, 4, seed=1)
    real = torch.ones(4, 1, 4, dtype=torch.bool)
    real[::2] = False
    slopes, _ = multipliers(
        lambda x: x.masked_fill(~real, -torch.inf).amax(2).masked_fill(~real.any(2), 0.0).sum(1),
        inputs,
        references,
    )
    assert (slopes[0] == 0).all()
    assert slopes[1].abs().sum() > 0


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: 1 / (2 + x.sum((1, 2))), "rdiv"),
        (lambda x: (x[:, :, 0].transpose(0, 1) @ x[:, :, 0]).sum(0), "matmul of 4 rows where 6"),
        (lambda x: (x[:, 0] @ x[:, 0].unflatten(1, (6, 1))).sum((1, 2)), "a product of"),
        (lambda x: x.amax((1, 2)), r"amax over axes \(1, 2\) of 3"),
        (lambda x: x.softmax(0).sum((1, 2)), "softmax over axes 0 of 3"),
        (lambda x: (x * x.sum((1, 2))[:, None]).sum((1, 2)), "a product of"),
        (lambda x: x.sort(2).values.sum((1, 2)), "sort"),
        (
            lambda x: nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True).sum(
                (1, 2)
            ),
            "attention with dropout, of what came before",
        ),
        (lambda x: FIRST_STEPS(x)[0].sum((1, 2)), "lstm whose first axis is not the rows"),
        (
            lambda x: ROWS(pack_padded_sequence(x, [4, 4, 4, 4, 1, 1], batch_first=True))[1][0].sum(
                (0, 2)
            ),
            "lstm of rows of unequal length",
        ),
        (lambda x: PROJECTED(x)[0].sum((1, 2)), "lstm with a projection"),
        (lambda x: LEARNING(x)[0].sum((1, 2)), "lstm;"),  # its weights change
    ],
)
def test_what_has_no_rule_is_named(function, said):
    with pytest.raises(UsageError, match=f"does not hold in this network. Found .*({said})"):
        multipliers(function, random(3, 4, 6), random(3, 4, 6, seed=1))

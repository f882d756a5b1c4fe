"""Tokens end to end give what the padded rows give, whatever the lengths and wherever the tokens
stand.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.nn import packing
from epilm.nn.attention import attention_weights
from epilm.nn.encoder import SequenceEncoder
from epilm.nn.packing import attend_packed, packed, takes_any_length

HEADS, WIDTH = 2, 4


def row_by_row(qkv, mask):
    """Attention of each row by itself, the plain way: (N, L, 3 H) to a list of (tokens, H)."""
    out = []
    for x, there in zip(qkv, mask, strict=True):
        q, k, v = x[there].view(-1, 3, HEADS, WIDTH).permute(1, 2, 0, 3)  # (heads, tokens, D)
        out.append((attention_weights(q[None], k[None], None)[0] @ v).transpose(0, 1).flatten(1))
    return out


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(any),
    scattered=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_token_sees_its_own_row_and_nothing_else(lengths, scattered, seed):
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(40) < torch.tensor(lengths)[:, None]
    if scattered:  # tokens need not stand at the front
        mask = torch.stack([row[torch.randperm(40, generator=g)] for row in mask])
    qkv = torch.randn(len(lengths), 40, 3 * HEADS * WIDTH, generator=g, dtype=torch.float64)
    pack = packed(mask)
    assert torch.equal(pack.at.sort().values, mask.flatten().nonzero()[:, 0])
    found = pack.spread(attend_packed(pack.take(qkv), pack, HEADS, 0.0))
    assert not found[~mask].any()
    for row, there, expected in zip(found, mask, row_by_row(qkv, mask), strict=True):
        torch.testing.assert_close(row[there], expected, rtol=1e-9, atol=1e-9)


def test_rows_of_one_length_need_no_mask_and_like_lengths_stand_together():
    lengths = torch.tensor([512, 70, 512, 0, 65, 512, 64])
    pack = packed(torch.arange(512) < lengths[:, None])
    assert [(g.rows, g.length, g.at is None) for g in pack.groups] == [
        (3, 512, True),
        (2, 70, False),
        (1, 64, True),
    ]
    assert pack.groups[1].mask[:, 0, 0].sum(1).tolist() == [70, 65]
    assert pack.ends.tolist() == [0, 512, 1024, 1536, 1606, 1671, 1735]
    assert pack.longest == 512
    assert [(g.start, g.stop) for g in pack.groups] == [(0, 1536), (1536, 1671), (1671, 1735)]


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_gradients_are_those_of_the_padded_rows(kind):
    g = torch.Generator().manual_seed(0)
    mask = torch.arange(40) < torch.tensor([40, 3, 17, 18, 1])[:, None]
    qkv = torch.randn(5, 40, 3 * HEADS * WIDTH, generator=g, dtype=torch.float64)
    weights = torch.randn(5, 40, HEADS * WIDTH, generator=g, dtype=torch.float64)
    pack = packed(mask)
    one, other = qkv.clone().requires_grad_(), qkv.to(kind).requires_grad_()
    plain = torch.cat(
        [(a * w[t]).sum()[None] for a, w, t in zip(row_by_row(one, mask), weights, mask)]
    ).sum()
    plain.backward()
    fast = (attend_packed(pack.take(other), pack, HEADS, 0.0).double() * pack.take(weights)).sum()
    fast.backward()
    tolerance = 1e-9 if kind == torch.float64 else 5e-2
    torch.testing.assert_close(fast, plain, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(other.grad.double(), one.grad, rtol=tolerance, atol=tolerance)
    assert not other.grad[~mask].any()


def test_attention_dropout_hides_its_share_in_every_group():
    pack = packed(torch.arange(64) < torch.tensor([64, 64, 20, 17])[:, None])
    hidden = 2
    qkv = torch.cat(
        [torch.zeros(165, 2 * hidden), torch.ones(165, hidden)], 1
    )  # even weights, values of one
    torch.manual_seed(0)
    out = torch.stack([attend_packed(qkv, pack, 1, 0.25) for _ in range(200)]).mean(0)
    assert out.mean().item() == pytest.approx(1, abs=0.01)
    assert out.std() > 0


def test_a_bias_on_the_scores_keeps_the_padding():
    """A bias is laid out as rows with their padding are."""
    torch.manual_seed(0)
    encoder = SequenceEncoder(69, 16, 1, 2, 32, max_positions=12).eval()
    mask = torch.arange(12) < torch.tensor([[12], [4]])
    ids = torch.randint(5, 69, (2, 12)) * mask
    bias = torch.randn(2, 1, 12, 12)
    found = {}
    for how in ("packed", "off"):
        encoder.compute(packing=how)
        found[how] = encoder(ids, None, mask, attention_bias=bias)[0][mask]
    assert torch.equal(found["packed"], found["off"])


def test_the_kernel_for_any_length_is_left_alone_where_it_cannot_work():
    assert not takes_any_length(torch.zeros(3, 24), 8, 0.0)
    assert not takes_any_length(torch.zeros(3, 24, dtype=torch.bfloat16), 8, 0.0)  # no CUDA device
    if torch.cuda.is_available():
        half = torch.zeros(3, 24, dtype=torch.bfloat16, device="cuda")
        assert not takes_any_length(half, 8, 0.1)
        assert not takes_any_length(half, 4, 0.0)


def test_the_kernel_for_any_length_is_called_as_it_wants_to_be(monkeypatch):
    """Without a card: torch's own rules on shapes and formats, forward and backward. Numbers:
    benchmarks/gpu_parity.py.
    """
    monkeypatch.setattr(
        packing, "takes_any_length", lambda x, width, dropout: x.device.type == "meta"
    )
    pack = packed(torch.arange(40) < torch.tensor([40, 3, 17])[:, None])
    there = pack._replace(ends=pack.ends.to("meta"))
    qkv = torch.empty(60, 3 * 2 * 64, dtype=torch.bfloat16, device="meta", requires_grad=True)
    out = attend_packed(qkv, there, 2, 0.0)
    assert (out.shape, out.dtype, out.device.type) == ((60, 128), torch.bfloat16, "meta")
    out.sum().backward()
    assert qkv.grad.shape == qkv.shape

"""Attention in blocks against the formula written out, with the weights that its own draw left."""

import pytest
import torch

from epilm.nn import attention_blocks
from epilm.nn.attention import attend
from epilm.nn.attention_blocks import BLOCK, attend_in_blocks
from epilm.nn.encoder import SequenceEncoder

M, L, D = 5, 12, 4


def qkv(dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    return [torch.randn(M, L, D, generator=g, dtype=dtype).requires_grad_() for _ in range(3)]


def table_of(q, k, rate, hidden=None, block=BLOCK):
    """The dropped table itself: what mixes unit vectors."""
    torch.manual_seed(3)
    return attend_in_blocks(
        q, k, torch.eye(L, dtype=q.dtype).expand(M, L, L).contiguous(), rate, hidden, block
    ).detach()


def written_out(q, k, v, kept, rate, hidden=None):
    scores = q @ k.transpose(1, 2) / D**0.5
    weights = (scores if hidden is None else scores.masked_fill(hidden, -torch.inf)).softmax(-1)
    return (weights * kept / (1 - rate)) @ v


# Pairs of a block: all five tables; two tables and the one that is left; five rows and the two
# left; one row.
@pytest.mark.parametrize("block", [M * L * L, 2 * L * L, 5 * L, 1])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_values_and_gradients_are_those_of_the_formula(block, padded, rate):
    hidden = (
        (torch.arange(L) >= torch.tensor([[12], [7], [3], [12], [1]]))[:, None] if padded else None
    )
    x = qkv()
    kept = table_of(x[0], x[1], rate, hidden, block) != 0
    if not padded:
        assert bool(kept.all()) is (rate == 0)
    torch.manual_seed(3)
    found = attend_in_blocks(*x, rate, hidden, block)
    expected = written_out(*x, kept, rate, hidden)
    torch.testing.assert_close(found, expected)
    slope = torch.randn(M, L, D, dtype=torch.float64)
    for ours, theirs in zip(
        *(torch.autograd.grad(out, x, slope) for out in (found, expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_weights_are_dropped_at_their_rate_each_for_itself():
    x = [part.detach() for part in qkv(torch.float32)]
    draws = torch.stack(
        [
            attend_in_blocks(*x[:2], torch.eye(L).expand(M, L, L).contiguous(), 0.3) != 0
            for _ in range(200)
        ]
    )
    sd = (0.3 * 0.7 / draws.numel()) ** 0.5
    assert draws.float().mean().item() == pytest.approx(0.7, abs=5 * sd)
    each = draws.float().mean(0)
    assert each.std().item() == pytest.approx((0.3 * 0.7 / 200) ** 0.5, rel=0.15)


def test_a_seed_gives_the_same_bits_and_a_byte_a_pair_is_kept():
    x = [part.requires_grad_() for part in qkv(torch.float32)]
    kept = []
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            out = attend_in_blocks(*x, 0.1)
        runs.append((out, *torch.autograd.grad(out.square().sum(), x)))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert sorted(t.element_size() * t.numel() for t in kept[:4]) == sorted(
        [M * L * L] + [4 * M * L * D] * 3
    )


def test_it_can_be_differentiated_once():
    x = qkv()
    (first,) = torch.autograd.grad(
        attend_in_blocks(*x, 0.0).square().sum(), x[0], create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_an_encoder_trains_through_it_with_and_without_padding(monkeypatch):
    """Checkpointed or not the same draws: the same gradients."""
    ids = torch.randint(5, 69, (3, 300), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(300) < torch.tensor(
        [[300], [299], [298]]
    )  # too little padding to be left out
    called = []
    real = attention_blocks._Blocks.apply
    monkeypatch.setattr(
        attention_blocks._Blocks, "apply", lambda *given: called.append(given[3]) or real(*given)
    )
    found = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        encoder = SequenceEncoder(
            69, 32, 2, 2, 64, max_positions=300, dropout=0.1, checkpoint_activations=checkpointed
        )
        torch.manual_seed(1)
        hidden, _ = encoder.train()(ids, None, mask)
        hidden.square().mean().backward()
        found.append([p.grad for p in encoder.parameters() if p.grad is not None])
    assert len(called) == 2 + 4  # a checkpointed block runs twice
    assert all(hidden.shape == (6, 1, 300) and hidden.sum() == 2 * 3 for hidden in called)
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)


def test_heads_and_sequences_come_back_where_they_were():
    """Dropout so small that none of the weights goes: as torch's own."""
    g = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 300, 3, 8, generator=g).transpose(2, 3).unbind(0)
    padding = (torch.arange(300) < torch.tensor([[300], [200]]))[:, None, None]
    torch.testing.assert_close(
        attend(q, k, v, padding, 1e-9),
        torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=padding),
    )


def test_long_rows_in_bf16_are_mixed_in_fp32_also_under_autocast():
    """Of a table that dropout left whole: against the formula in double."""
    x = [torch.randn(1, 2, 700, 8, requires_grad=True) for _ in range(3)]
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(*(part.bfloat16() for part in x), None, 1e-9)
    assert out.dtype == torch.bfloat16
    wide = [part.detach().bfloat16().double().requires_grad_() for part in x]
    scores = wide[0] @ wide[1].transpose(2, 3) / 8**0.5
    expected = scores.softmax(-1) @ wide[2]
    torch.testing.assert_close(out.double(), expected, atol=1e-2, rtol=1e-2)
    slope = torch.randn(out.shape)
    ours = torch.autograd.grad(out.float(), x, slope)
    theirs = torch.autograd.grad(expected, wide, slope.double())
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.double(), other, atol=2e-2, rtol=2e-2)

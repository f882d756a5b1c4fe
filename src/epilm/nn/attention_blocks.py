"""Attention with dropout on a CPU, in blocks whose tables of queries by keys stay in the cache.

torch's own kernel for CPUs takes no dropout: with it whole tables go through memory some ten times,
and three of them are kept for the way back, 12 bytes a pair of tokens. Here a byte a pair is kept,
which of them dropout left, and the table is computed again. Measured on an AVX2 machine, there and
back: twice as fast from 512 tokens on. Needs torch only. Axes: M = sequences x heads, L tokens, D
width of a head.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from epilm.nn.dropout import draw_kept

BLOCK = 1 << 17  # pairs of one block: a table of 512 KB


def attend_in_blocks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rate: float,
    hidden: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    """Mix values by attention, dropping a share of its weights.

    Parameters
    ----------
    q, k, v : float32 (M, L, D)
        On the CPU.
    rate : float
        Of dropout, below 1; drawn from torch's generator.
    hidden : bool (M, 1, L), optional
        True: a key that is not attended.
    block : int
        Pairs of queries and keys that are worked on at a time.

    Returns
    -------
    float32 (M, L, D)
        Can be differentiated once.

    Examples
    --------
    >>> x = torch.ones(1, 3, 2)
    >>> attend_in_blocks(x, x, x, 0.0).flatten().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    out: Tensor = _Blocks.apply(q, k, v, hidden, rate, block)
    return out


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        hidden: Tensor | None,
        rate: float,
        block: int,
    ) -> Tensor:
        out, (table, mixing) = torch.empty_like(v), _room(q, 2, block)
        kept = torch.empty(q.shape[0], q.shape[1], q.shape[1], dtype=torch.bool)
        for at, rows in _blocks(q.shape[0], q.shape[1], block):
            weights = _weights(q, k, hidden, at, rows, table)
            ctx.scale = draw_kept(kept[at, rows], rate)
            dropped = _shaped(mixing, weights).copy_(kept[at, rows].view(torch.uint8))
            dropped.mul_(ctx.scale).mul_(weights)
            torch.bmm(dropped, v[at], out=out[at, rows])
        ctx.save_for_backward(q, k, v, hidden, kept)
        ctx.block = block
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        q, k, v, hidden, kept = ctx.saved_tensors
        none, factor = q.new_empty(1, 1, 1), q.shape[2] ** -0.5
        to_q, to_k, to_v = (torch.empty_like(x) for x in (q, k, v))
        table, mixing, slopes = _room(q, 3, ctx.block)
        for at, rows in _blocks(q.shape[0], q.shape[1], ctx.block):
            weights = _weights(q, k, hidden, at, rows, table)
            dropping = _shaped(mixing, weights).copy_(kept[at, rows].view(torch.uint8))
            dropping.mul_(ctx.scale)
            slope = _shaped(slopes, weights)
            torch.bmm(grad[at, rows], v[at].transpose(1, 2), out=slope)
            slope.mul_(dropping)
            slope = torch._softmax_backward_data(slope, weights, -1, weights.dtype)
            torch.baddbmm(none, slope, k[at], beta=0, alpha=factor, out=to_q[at, rows])
            # Keys and values gather from every block of queries: the first one begins their sums.
            more = int(rows.start > 0)
            to_k[at].baddbmm_(slope.transpose(1, 2), q[at, rows], beta=more, alpha=factor)
            to_v[at].baddbmm_(dropping.mul_(weights).transpose(1, 2), grad[at, rows], beta=more)
        return to_q, to_k, to_v, None, None, None


def _blocks(m: int, length: int, block: int) -> Iterator[tuple[slice, slice]]:
    """Cut (M, L queries) into blocks of some `block` pairs: several tables, or some rows of one."""
    tables, rows = block // (length * length), max(1, block // length)
    if tables:
        yield from ((slice(i, min(m, i + tables)), slice(0, length)) for i in range(0, m, tables))
        return
    for i in range(m):
        yield from (
            (slice(i, i + 1), slice(j, min(length, j + rows))) for j in range(0, length, rows)
        )


def _room(q: Tensor, tables: int, block: int) -> list[Tensor]:
    """Make the memory that all blocks share."""
    m, length = q.shape[:2]
    return [q.new_empty(min(max(block, length), m * length * length)) for _ in range(tables)]


def _shaped(room: Tensor, like: Tensor) -> Tensor:
    return room[: like.numel()].view(like.shape)


def _weights(
    q: Tensor, k: Tensor, hidden: Tensor | None, at: slice, rows: slice, room: Tensor
) -> Tensor:
    """Softmax of the scaled products of a block's queries with all keys."""
    queries, keys = q[at, rows], k[at].transpose(1, 2)
    shape = (*queries.shape[:2], keys.shape[2])
    scores = room[: shape[0] * shape[1] * shape[2]].view(shape)
    torch.baddbmm(q.new_empty(1, 1, 1), queries, keys, beta=0, alpha=q.shape[2] ** -0.5, out=scores)
    if hidden is not None:
        scores.masked_fill_(hidden[at], -torch.inf)
    return scores.softmax(-1)

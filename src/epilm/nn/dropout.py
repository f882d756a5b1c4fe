"""Dropout. On a CPU the entries are drawn 16 bits each, a quarter of the time of torch's own draw,
and kept as bytes.

Needs torch only.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARES = 65536  # values of 16 bits: what a rate is rounded to
CPU_FORMATS = (torch.float32, torch.bfloat16)


def draw_kept(out: Tensor, rate: float) -> float:
    """Draw which entries stay, from torch's generator.

    Parameters
    ----------
    out : bool, any shape, contiguous, on the CPU
        Filled: True stays.
    rate : float, at least 0 and below 1
        The share that goes, rounded to 1 / 65536.

    Returns
    -------
    float
        What the entries that stay are multiplied with, so that the mean stays.

    Examples
    --------
    >>> kept = torch.empty(3, dtype=torch.bool)
    >>> draw_kept(kept, 0.0), kept.tolist()
    (1.0, [True, True, True])
    """
    n, limit = out.numel(), round(rate * SHARES)
    bits = (
        torch.empty((n + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:n]
    )
    torch.ge(bits.view(out.shape), limit - SHARES // 2, out=out)
    return 1 / (1 - limit / SHARES)


def as_numbers(kept: Tensor, dtype: torch.dtype) -> Tensor:
    """Make 1 and 0 of True and False.

    As bytes: torch makes numbers of bytes with vector instructions, of bool one by one (bf16 on
    Zen 5: an eighth of the time).

    Examples
    --------
    >>> as_numbers(torch.tensor([True, False]), torch.bfloat16)
    tensor([1., 0.], dtype=torch.bfloat16)
    """
    return kept.view(torch.uint8).to(dtype)


def drop(x: Tensor, rate: float) -> Tensor:
    """Set a share of the entries to 0 and scale up the rest.

    On a CPU in fp32 and bf16 by `draw_kept`; `rate` is then rounded to 1 / 65536. Elsewhere, and in
    programs of `torch.compile`, `torch.nn.functional.dropout`, bit for bit.

    Examples
    --------
    >>> drop(torch.ones(4), 0.0).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if rate == 0.0:
        return x
    quick = x.device.type == "cpu" and x.dtype in CPU_FORMATS and round(rate * SHARES) < SHARES
    if not quick or torch.compiler.is_compiling():
        return F.dropout(x, rate)
    out: Tensor = _Drop.apply(x, rate)
    return out


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` through `drop`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return drop(x, self.p) if self.training else x


class _Drop(torch.autograd.Function):
    """Keeps a byte an entry for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        kept = torch.empty(x.shape, dtype=torch.bool)
        ctx.scale = draw_kept(kept, rate)
        ctx.save_for_backward(kept)
        return as_numbers(kept, x.dtype).mul_(ctx.scale).mul_(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return as_numbers(kept, grads[0].dtype).mul_(ctx.scale) * grads[0], None

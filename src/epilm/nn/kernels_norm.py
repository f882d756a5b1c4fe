"""Residual sum, dropout and layer norm in one pass over memory, and one pass back: Triton kernels
for GPUs.

A row of H numbers is read and written once where torch's own operations, and the kernels
`torch.compile` makes of them, go over it several times. What is dropped is a hash of (seed, place),
so nothing is kept for the way back but the sum and two numbers a row. `epilm.nn.norms` decides when
this runs. Imported only where triton is there. Axes: M rows, H numbers of a row.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

# Rows a program holds at a time, threads in warps, programs a multiprocessor on the way back.
# The best of several on an H200 (benchmarks/gpu_tuning.py).
FORWARD_ROWS, FORWARD_WARPS = 2, 2
BACKWARD_ROWS, BACKWARD_WARPS, BACKWARD_PROGRAMS = 4, 4, 8


@triton.jit
def _kept(at, one, other, limit):
    """Whether the number at a place stays: two rounds of a 32-bit mixer over place and seed."""
    x = (at.to(tl.uint32) * 0x9E3779B9) ^ one
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    x = (x ^ (x >> 16)) ^ other
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    x = x ^ (x >> 16)
    return x >= limit


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    x_at,
    update_at,
    weight_at,
    bias_at,
    seed_at,
    sum_at,
    mean_at,
    scale_at,
    out_at,
    m,
    h,
    eps,
    limit,
    keep_scale,
    DROP: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDTH)
    inside = (rows[:, None] < m) & (columns[None, :] < h)
    at = rows[:, None].to(tl.int64) * h + columns[None, :]
    x = tl.load(x_at + at, inside, 0.0).to(tl.float32)
    update = tl.load(update_at + at, inside, 0.0).to(tl.float32)
    if DROP:
        one, other = tl.load(seed_at).to(tl.uint32), tl.load(seed_at + 1).to(tl.uint32)
        update = tl.where(_kept(at, one, other, limit.to(tl.uint32)), update * keep_scale, 0.0)
    # The sum as it is kept: the way back must see the numbers that were normalised here.
    total = (x + update).to(sum_at.dtype.element_ty)
    tl.store(sum_at + at, total, inside)
    total = total.to(tl.float32)
    mean = tl.sum(total, 1) / h
    centred = tl.where(inside, total - mean[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / h + eps)
    weight = tl.load(weight_at + columns, columns < h, 0.0).to(tl.float32)
    bias = tl.load(bias_at + columns, columns < h, 0.0).to(tl.float32)
    out = centred * scale[:, None] * weight[None, :] + bias[None, :]
    tl.store(out_at + at, out.to(out_at.dtype.element_ty), inside)
    tl.store(mean_at + rows, mean, rows < m)
    tl.store(scale_at + rows, scale, rows < m)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    grad_at,
    sum_at,
    mean_at,
    scale_at,
    weight_at,
    seed_at,
    dx_at,
    dupdate_at,
    dweight_at,
    dbias_at,
    m,
    h,
    limit,
    keep_scale,
    DROP: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    program, programs = tl.program_id(0), tl.num_programs(0)
    columns = tl.arange(0, WIDTH)
    weight = tl.load(weight_at + columns, columns < h, 0.0).to(tl.float32)
    dweight = tl.zeros((WIDTH,), tl.float32)
    dbias = tl.zeros((WIDTH,), tl.float32)
    for first in range(program * ROWS, m, programs * ROWS):
        rows = first + tl.arange(0, ROWS)
        inside = (rows[:, None] < m) & (columns[None, :] < h)
        at = rows[:, None].to(tl.int64) * h + columns[None, :]
        grad = tl.load(grad_at + at, inside, 0.0).to(tl.float32)
        total = tl.load(sum_at + at, inside, 0.0).to(tl.float32)
        mean, scale = (
            tl.load(mean_at + rows, rows < m, 0.0),
            tl.load(scale_at + rows, rows < m, 0.0),
        )
        normal = tl.where(inside, (total - mean[:, None]) * scale[:, None], 0.0)
        weighted = grad * weight[None, :]
        along = tl.sum(normal * weighted, 1) / h
        level = tl.sum(weighted, 1) / h
        dx = (weighted - normal * along[:, None] - level[:, None]) * scale[:, None]
        tl.store(dx_at + at, dx.to(dx_at.dtype.element_ty), inside)
        if DROP:
            one, other = tl.load(seed_at).to(tl.uint32), tl.load(seed_at + 1).to(tl.uint32)
            dupdate = tl.where(_kept(at, one, other, limit.to(tl.uint32)), dx * keep_scale, 0.0)
            tl.store(dupdate_at + at, dupdate.to(dupdate_at.dtype.element_ty), inside)
        dweight += tl.sum(grad * normal, 0)
        dbias += tl.sum(grad, 0)
    tl.store(dweight_at + program * h + columns, dweight, columns < h)
    tl.store(dbias_at + program * h + columns, dbias, columns < h)


def _dropping(rate: float) -> tuple[int, float]:
    """What a hash of 32 bits must reach to stay, and by how much what stays grows."""
    return min(round(rate * 2**32), 2**32 - 1), 1.0 / (1.0 - rate)


def _programs(device: torch.device) -> int:
    if device.type != "cuda":
        return 3
    return BACKWARD_PROGRAMS * torch.cuda.get_device_properties(device).multi_processor_count


class AddNorm(torch.autograd.Function):
    """norm(x + dropout(update)) of (M, H) rows in one format; `rate` 0 draws nothing."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, update: Tensor, weight: Tensor, bias: Tensor, rate: float, eps: float
    ) -> Tensor:
        m, h = x.shape
        total, out = torch.empty_like(x), torch.empty_like(x)
        mean, scale = (torch.empty(m, dtype=torch.float32, device=x.device) for _ in range(2))
        # From torch's generator, so that a seed of the run decides; read by the kernel alone.
        seed = (
            torch.randint(-(2**31), 2**31, (2,), dtype=torch.int32, device=x.device)
            if rate
            else mean
        )
        limit, keep_scale = _dropping(rate)
        with torch.cuda.device_of(x):
            _forward[(triton.cdiv(m, FORWARD_ROWS),)](
                x,
                update,
                weight,
                bias,
                seed,
                total,
                mean,
                scale,
                out,
                m,
                h,
                eps,
                limit,
                keep_scale,
                DROP=rate > 0,
                ROWS=FORWARD_ROWS,
                WIDTH=triton.next_power_of_2(h),
                num_warps=FORWARD_WARPS,
            )
        ctx.save_for_backward(total, mean, scale, weight, seed)
        ctx.rate, ctx.kinds = rate, (weight.dtype, bias.dtype)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total, mean, scale, weight, seed = ctx.saved_tensors
        grad = grads[0].contiguous()
        m, h = total.shape
        dx = torch.empty_like(total)
        dupdate = torch.empty_like(total) if ctx.rate else dx
        programs = min(_programs(total.device), triton.cdiv(m, BACKWARD_ROWS))
        parts = torch.empty(2, programs, h, dtype=torch.float32, device=total.device)
        limit, keep_scale = _dropping(ctx.rate)
        _backward[(programs,)](
            grad,
            total,
            mean,
            scale,
            weight,
            seed,
            dx,
            dupdate,
            parts[0],
            parts[1],
            m,
            h,
            limit,
            keep_scale,
            DROP=ctx.rate > 0,
            ROWS=BACKWARD_ROWS,
            WIDTH=triton.next_power_of_2(h),
            num_warps=BACKWARD_WARPS,
        )
        dweight, dbias = parts.sum(1)
        return dx, dupdate, dweight.to(ctx.kinds[0]), dbias.to(ctx.kinds[1]), None, None

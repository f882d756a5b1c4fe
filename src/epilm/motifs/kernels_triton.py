"""Best motif scores of regions in one kernel: one-hot bases made on the fly, multiplied, and only
their best kept.

A product writes every score to memory, 8 bytes a position and motif of both strands, and reads them
again for the maximum; here they never leave the multiprocessor. Score matrices come in three parts
of 8 bits, as in `device_scorer`, so only the sums round. Imported only where triton is there.
Axes: R regions, W bases of a region, P positions at a time, K = 4 letters x bases of a motif, C
columns (motif and strand).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# The best of five shapes on an H200 (benchmarks/gpu_tuning.py).
PLACES, COLUMNS, REGIONS, WARPS = 64, 64, 8, 4
WIDEST = 32  # bases of a motif


@triton.jit
def _best(  # type: ignore[no-untyped-def]
    codes_at,
    reach_at,
    table_at,
    width_at,
    out_at,
    regions,
    bases,
    columns,
    low,
    K: tl.constexpr,
    PLACES: tl.constexpr,
    COLUMNS: tl.constexpr,
    REGIONS: tl.constexpr,
):
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    k = tl.arange(0, K)
    at = table_at + k[:, None] * columns + column[None, :]
    first_part = tl.load(at)
    second_part = tl.load(at + K * columns)
    third_part = tl.load(at + 2 * K * columns)
    width = tl.load(width_at + column)
    letter = (k % 4)[None, :]
    step = (k // 4)[None, :]
    for number in range(REGIONS):
        region = tl.program_id(0) * REGIONS + number
        if region < regions:
            row = region.to(tl.int64) * bases
            best = tl.full((PLACES, COLUMNS), low, tl.float32)
            for begin in range(0, bases, PLACES):
                position = begin + tl.arange(0, PLACES)
                base = position[:, None] + step
                code = tl.load(codes_at + row + base, base < bases, 4)
                hot = (code == letter).to(table_at.dtype.element_ty)
                score = tl.dot(hot, first_part)
                score = tl.dot(hot, second_part, score)
                score = tl.dot(hot, third_part, score)
                reach = tl.load(reach_at + row + position, position < bases, 0)
                best = tl.maximum(best, tl.where(reach[:, None] >= width[None, :], score, low))
            tl.store(out_at + region.to(tl.int64) * columns + column, tl.max(best, 0))


def padded_columns(n: int) -> int:
    """Columns of a table, filled up to what a program takes."""
    return -(-n // COLUMNS) * COLUMNS


def room(width: int) -> int:
    """K for motifs of so many bases: a power of two."""
    return max(32, triton.next_power_of_2(4 * width))


def best_of_columns(
    codes: Tensor, reaches: Tensor, table: Tensor, widths: Tensor, low: float
) -> Tensor:
    """Best score of each column in each region: float32 (R, C).

    Parameters
    ----------
    codes : uint8 (R, W)
    reaches : int16 (R, W)
        `motifs.device_scorer.reach` of the codes, at most WIDEST.
    table : bf16 (3, K, C); fp32 under triton's interpreter
        Parts of the scores, rows base by base; 0 beyond a motif's end.
    widths : int16 (C,)
    low : float
        Given where no position is free of N.
    """
    regions, bases = codes.shape
    _, k, columns = table.shape
    out = torch.empty(regions, columns, dtype=torch.float32, device=codes.device)
    with torch.cuda.device_of(codes):
        _best[(triton.cdiv(regions, REGIONS), columns // COLUMNS)](
            codes,
            reaches,
            table,
            widths,
            out,
            regions,
            bases,
            columns,
            low,
            K=k,
            PLACES=PLACES,
            COLUMNS=COLUMNS,
            REGIONS=REGIONS,
            num_warps=WARPS,
        )
    return out

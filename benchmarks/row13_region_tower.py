"""Row 13: the region tower on 10 x 579 as it is, against the paper's resize to 224 x 224 with
`transformers` SwinModel.

Forward and backward in training mode, fp32, same widths, depths and heads (Swin-T), the same
stochastic depth. Checked: our window attention equals a plain dense one with a mask, outputs and
gradients, through the whole tower; both networks have the same size to 2 % and finite gradients
everywhere.

    python benchmarks/row13_region_tower.py [--threads 2] [--samples 4]
"""

import argparse
import math
import os
from unittest import mock

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from harness import RESULTS, compare, write_row
from torch.nn import functional as F
from transformers import SwinConfig, SwinModel

from epilm.nn.region import build_region_tower, count_parameters
from epilm.nn.towers.windowed import WindowAttention, WindowedTower

REGIONS, FACTORS = 10, 579


def dense_forward(layer: WindowAttention, x: torch.Tensor) -> torch.Tensor:
    """Window attention without windows: all tokens attend to all, other windows masked away."""
    b, columns, rows, dim = x.shape
    c, r = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="ij")
    c, r = c.flatten(), r.flatten()
    window = (c + layer.before[0]) // layer.window[0] * 1000 + (
        r + layer.before[1]
    ) // layer.window[1]
    same = window[:, None] == window[None, :]
    dc = (
        (c[:, None] - c[None, :]).clamp(-layer.window[0] + 1, layer.window[0] - 1)
        + layer.window[0]
        - 1
    )
    dr = (
        (r[:, None] - r[None, :]).clamp(-layer.window[1] + 1, layer.window[1] - 1)
        + layer.window[1]
        - 1
    )
    bias = layer.bias[:, dc * (2 * layer.window[1] - 1) + dr].masked_fill(~same, -math.inf)
    qkv = layer.qkv(x.flatten(1, 2)).view(b, columns * rows, 3, layer.heads, dim // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return layer.out(mixed.transpose(1, 2).reshape(b, columns, rows, dim))


def check_windows(patch: tuple[int, int]) -> str:
    """Our tower against the same tower with dense masked attention, in float64."""
    torch.manual_seed(0)
    tower = WindowedTower(REGIONS, FACTORS, patch=patch, embed=24, drop_path=0.0).double()
    x = torch.randn(1, REGIONS, FACTORS, 1, dtype=torch.float64)
    results = []
    for forward in (WindowAttention.forward, dense_forward):
        tower.zero_grad()
        with mock.patch.object(WindowAttention, "forward", forward):
            pooled, patches = tower.encode(x)
        (pooled.square().sum() + patches.square().mean()).backward()
        results.append(
            [pooled.detach(), patches.detach(), *(p.grad.clone() for p in tower.parameters())]
        )
    worst = max(float((a - b).abs().max()) for a, b in zip(*results, strict=True))
    assert worst < 1e-10, worst
    return (
        f"whole tower equals dense masked attention, outputs and gradients, to {worst:.0e} (fp64)"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--samples", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    matrix = torch.randn(given.samples, REGIONS, FACTORS)
    peer = SwinModel(
        SwinConfig(
            image_size=224,
            patch_size=4,
            embed_dim=96,
            depths=[2, 2, 6, 2],
            num_heads=[3, 6, 12, 24],
            window_size=7,
            drop_path_rate=0.1,
        )
    ).train()

    def run_peer() -> list[torch.Tensor]:
        peer.zero_grad(set_to_none=True)
        image = F.interpolate(
            matrix[:, None], size=(224, 224), mode="bilinear", align_corners=False
        )
        peer(image.expand(-1, 3, -1, -1)).pooler_output.square().mean().backward()
        return [p.grad for p in peer.parameters() if p.grad is not None]

    for patch, goal, stretch in (((1, 4), 1.6, None), ((2, 8), 1.6, 5.0)):
        windows = check_windows(patch)
        tower = build_region_tower("native", regions=REGIONS, factors=FACTORS, patch=patch).train()

        def run_ours(tower: torch.nn.Module = tower) -> list[torch.Tensor]:
            tower.zero_grad(set_to_none=True)
            tower(matrix).square().mean().backward()
            return [p.grad for p in tower.parameters()]

        sizes = count_parameters(tower), count_parameters(peer)

        def check(
            ours: list[torch.Tensor],
            theirs: list[torch.Tensor],
            sizes: tuple[int, int] = sizes,
            windows: str = windows,
        ) -> str:
            assert all(torch.isfinite(g).all() for g in (*ours, *theirs))
            assert abs(sizes[0] / sizes[1] - 1) < 0.02, sizes
            return (
                f"{windows}; {sizes[0] / 1e6:.1f} and {sizes[1] / 1e6:.1f} M parameters, all"
                " gradients finite"
            )

        row = compare(
            f"row 13: region tower on 10 x 579, patch {patch}, forward + backward",
            run_ours,
            run_peer,
            check=check,
            goal=goal,
            stretch=stretch,
            peer_name="transformers SwinModel (Swin-T) on the matrix resized to 224",
            setup_note=f"{given.samples} samples, fp32, {given.threads} threads",
            threads=given.threads,
        )
        write_row(row, RESULTS / f"row13_patch{patch[0]}x{patch[1]}.json")


if __name__ == "__main__":
    main()

"""T2T-ViT: tokens are made by re-reading overlapping neighbourhoods, then a deep narrow ViT.

In no library we can use, so it is here; the variant with plain attention in the
token stage (published as T2T-ViT_t). Axes: B samples, T tokens, D width, S pixels.

References
----------
Yuan et al. 2021, "Tokens-to-Token ViT: training vision transformers from scratch on ImageNet".
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.nn.towers.windowed import StochasticDepth, rising

# Kernel, stride and padding of the three soft splits: S/4, S/8, S/16 tokens a side.
SPLITS = ((7, 4, 2), (3, 2, 1), (3, 2, 1))


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b, tokens, _ = x.shape
        # (B, heads, T, D) each
        q, k, v = self.qkv(x).view(b, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # (B, T, heads * D)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, tokens, -1)
        return self.out(mixed), v.transpose(1, 2).reshape(b, tokens, -1)


class _Feed(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(dim, inner), nn.Linear(inner, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class _TokenBlock(nn.Module):
    """Attention from the wide unfolded tokens to `width`; the values are the residual path."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(width)
        self.attention, self.feed = _Attention(dim, 1, width), _Feed(width, width)

    def forward(self, x: Tensor) -> Tensor:
        mixed, values = self.attention(self.norm1(x))
        x = values + mixed
        return x + self.feed(self.norm2(x))


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, drop: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention, self.feed = _Attention(dim, heads, dim), _Feed(dim, 3 * dim)
        self.drop = StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.norm1(x))[0])
        return x + self.drop(self.feed(self.norm2(x)))


class T2TViT(nn.Module):
    """T2T-ViT on images.

    Parameters
    ----------
    size : int
        S, a multiple of 16.
    embed, depth, heads : int
        T2T-ViT-14: 384, 14, 6; T2T-ViT-24: 512, 24, 8.
    width : int
        Of the token stage, 64.
    drop_path : float
        Stochastic depth of the last block.

    Examples
    --------
    >>> tower = T2TViT(32, embed=16, depth=1, heads=2, width=8)
    >>> pooled, patches = tower.encode(torch.zeros(2, 3, 32, 32))
    >>> tuple(pooled.shape), tuple(patches.shape)
    ((2, 16), (2, 4, 16))
    """

    position: Tensor

    def __init__(
        self,
        size: int = 224,
        embed: int = 384,
        depth: int = 14,
        heads: int = 6,
        width: int = 64,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        first, second = 3 * SPLITS[0][0] ** 2, width * SPLITS[1][0] ** 2
        self.token_blocks = nn.ModuleList([_TokenBlock(first, width), _TokenBlock(second, width)])
        self.project = nn.Linear(width * SPLITS[2][0] ** 2, embed)
        self.cls = nn.Parameter(torch.zeros(1, 1, embed))
        self.register_buffer("position", sinusoids((size // 16) ** 2 + 1, embed), persistent=False)
        rates = rising(drop_path, depth)
        self.blocks = nn.Sequential(*(_Block(embed, heads, rate) for rate in rates))
        self.norm = nn.LayerNorm(embed)
        self.dim = embed
        nn.init.trunc_normal_(self.cls, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, S, S) to the [CLS] vector (B, dim) and the patches (B, T, dim)."""
        x = image
        for (kernel, stride, padding), block in zip(SPLITS, self.token_blocks, strict=False):
            tokens = F.unfold(x, kernel, stride=stride, padding=padding).transpose(
                1, 2
            )  # (B, T, C k k)
            tokens = block(tokens)
            side = math.isqrt(tokens.shape[1])
            x = tokens.transpose(1, 2).reshape(len(x), -1, side, side)
        kernel, stride, padding = SPLITS[2]
        x = self.project(
            F.unfold(x, kernel, stride=stride, padding=padding).transpose(1, 2)
        )  # (B, T, D)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.position
        x = self.norm(self.blocks(x))
        return x[:, 0], x[:, 1:]


def sinusoids(positions: int, dim: int) -> Tensor:
    """Fixed sine and cosine positions.

    Examples
    --------
    >>> sinusoids(2, 2)[0].tolist()
    [0.0, 1.0]
    """
    angle = torch.arange(positions, dtype=torch.float64)[:, None] / 10000 ** (
        2 * (torch.arange(dim, dtype=torch.float64) // 2) / dim
    )
    even = torch.arange(dim) % 2 == 0
    return torch.where(even, angle.sin(), angle.cos()).float()

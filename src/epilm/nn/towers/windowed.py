"""A Swin-like network on the R x F matrix as it is, without stretching it to a square.

Windows are set per axis: a window spans all regions (10 rows are fewer than Swin's
usual window) and some columns of factors. Tokens are kept column by column, so such a
window is a contiguous run of tokens and cutting windows costs nothing; a shifted window is
the same after padding by half a window. Columns are not interchangeable as pixels
are (column 7 is always the same motif), so a learned position is added to every patch.
Axes: B samples, R regions, F factors, C channels of the matrix, D width of a stage,
T tokens of a window. Needs torch only.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.nn.linear import Linear


class StochasticDepth(nn.Module):
    """Drop a residual branch for whole samples while training, and scale up the others.

    Parameters
    ----------
    rate : float
        Share of samples whose branch is dropped.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = torch.empty((len(x),) + (1,) * (x.dim() - 1), device=x.device, dtype=x.dtype)
        return x * keep.bernoulli_(1 - self.rate).div_(1 - self.rate)


def rising(last: float, n: int) -> list[float]:
    """n rates from 0 to `last` in equal steps.

    Examples
    --------
    >>> rising(0.5, 3)
    [0.0, 0.25, 0.5]
    """
    return [last * i / max(n - 1, 1) for i in range(n)]


class WindowAttention(nn.Module):
    """Attention inside windows of (columns, rows) tokens, with a learned bias per relative
    position.

    Parameters
    ----------
    dim, heads : int
        Width and attention heads.
    grid : (int, int)
        Columns and rows of tokens of the stage.
    window : (int, int)
        Columns and rows of a window; not above `grid`.
    shifted : bool
        Cut the windows half a window further along each axis that has several windows.
    """

    relative: Tensor
    padding: Tensor

    def __init__(
        self, dim: int, heads: int, grid: tuple[int, int], window: tuple[int, int], shifted: bool
    ) -> None:
        super().__init__()
        self.heads, self.grid, self.window = heads, grid, window
        self.before = tuple(
            w // 2 if shifted and w < g else 0 for g, w in zip(grid, window, strict=True)
        )
        self.count = tuple(
            math.ceil((g + b) / w) for g, w, b in zip(grid, window, self.before, strict=True)
        )
        self.after = tuple(
            n * w - g - b for n, w, g, b in zip(self.count, window, grid, self.before, strict=True)
        )
        self.qkv = Linear(dim, 3 * dim)
        self.out = Linear(dim, dim)
        columns, rows = window
        self.bias = nn.Parameter(torch.zeros(heads, (2 * columns - 1) * (2 * rows - 1)))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("relative", _relative_positions(columns, rows), persistent=False)
        self.register_buffer("padding", self._padding(), persistent=False)

    def _padding(self) -> Tensor:
        """0 where a window's token is real, -inf where it is padding: (windows, 1, 1, T)."""
        real = F.pad(torch.ones(1, *self.grid, 1), self._pad())
        keys = self._cut(real).squeeze(-1)  # (windows, T)
        return torch.zeros_like(keys).masked_fill(keys == 0, -math.inf)[:, None, None]

    def _pad(self) -> tuple[int, ...]:
        return (0, 0, self.before[1], self.after[1], self.before[0], self.after[0])

    def _cut(self, x: Tensor) -> Tensor:
        """(B, columns, rows, D), padded, -> (B * windows, T, D)."""
        (nc, nr), (wc, wr), dim = self.count, self.window, x.shape[-1]
        if nr > 1:
            x = x.view(-1, nc, wc, nr, wr, dim).transpose(2, 3)  # (B, nc, nr, wc, wr, D)
        return x.reshape(-1, wc * wr, dim)  # (B * windows, T, D)

    def _join(self, x: Tensor) -> Tensor:
        """Undo `_cut`."""
        (nc, nr), (wc, wr), dim = self.count, self.window, x.shape[-1]
        if nr > 1:
            x = x.view(-1, nc, nr, wc, wr, dim).transpose(2, 3)  # (B, nc, wc, nr, wr, D)
        return x.reshape(-1, nc * wc, nr * wr, dim)  # (B, columns, rows, D), padded

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, columns, rows, D) to the same shape."""
        dim = x.shape[-1]
        padded = any(self.before) or any(self.after)
        if padded:
            x = F.pad(x, self._pad())
        x = self._cut(x)  # (B * windows, T, D)
        tokens, windows = x.shape[1], self.count[0] * self.count[1]
        q, k, v = (
            self.qkv(x).view(-1, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        )
        bias = self.bias[:, self.relative].view(self.heads, tokens, tokens)  # (heads, T, T)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (B * windows, heads, T, T)
        if padded:
            scores = scores.view(-1, windows, self.heads, tokens, tokens) + (bias + self.padding)
            scores = scores.view(-1, self.heads, tokens, tokens)
        else:
            scores = scores + bias
        # (B * windows, T, D)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, tokens, dim)
        x = self._join(self.out(mixed))
        (left, top), (columns, rows) = self.before, self.grid
        return x[:, left : left + columns, top : top + rows] if padded else x


def _relative_positions(columns: int, rows: int) -> Tensor:
    """For every pair of tokens of a window, the row of the bias table: int64 (T * T,)."""
    c, r = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="ij")
    c, r = c.flatten(), r.flatten()
    dc = c[:, None] - c[None, :] + columns - 1
    dr = r[:, None] - r[None, :] + rows - 1
    return (dc * (2 * rows - 1) + dr).flatten()


class WindowBlock(nn.Module):
    """Pre-norm attention inside windows and a feed-forward of four times the width, as Swin's
    block.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        grid: tuple[int, int],
        window: tuple[int, int],
        shifted: bool,
        drop: float,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, heads, grid, window, shifted)
        self.ffn_norm = nn.LayerNorm(dim)
        self.up = Linear(dim, 4 * dim)
        self.down = Linear(4 * dim, dim)
        self.drop = StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.attention_norm(x)))
        return x + self.drop(self.down(F.gelu(self.up(self.ffn_norm(x)))))


class Merge(nn.Module):
    """Join 2 x 2 patches (2 x 1 where one row is left) and double the width."""

    def __init__(self, dim: int, rows: int) -> None:
        super().__init__()
        self.rows = 2 if rows > 1 else 1
        self.norm = nn.LayerNorm(2 * self.rows * dim)
        self.reduce = Linear(2 * self.rows * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, columns, rows, D) to (B, columns / 2, rows / 2, 2 D), rounded up."""
        b, columns, rows, dim = x.shape
        odd_columns, odd_rows = columns % 2, rows % self.rows
        if odd_columns or odd_rows:
            x = F.pad(x, (0, 0, 0, odd_rows, 0, odd_columns))
        columns, rows = (columns + odd_columns) // 2, (rows + odd_rows) // self.rows
        x = x.view(b, columns, 2, rows, self.rows, dim).transpose(2, 3)  # (B, c, r, 2, 2, D)
        return self.reduce(self.norm(x.reshape(b, columns, rows, 2 * self.rows * dim)))


class WindowedTower(nn.Module):
    """A Swin-like tower on (B, R, F, C).

    Parameters
    ----------
    regions, factors : int
        R and F. F is padded with zeros to a multiple of the patch, R likewise.
    channels : int
        C, values an entry has.
    patch : (int, int)
        Regions and factors of one patch.
    embed : int
        Width of the first stage; every further stage doubles it.
    depths, heads : tuple of int
        Blocks and attention heads of each stage.
    window : int
        Columns of a window; rows too where more than twice as many rows are there,
        else a window spans them all.
    drop_path : float
        Rate of stochastic depth of the last block, rising linearly from 0.

    Attributes
    ----------
    dim : int
        Width of what comes out, embed * 2 ** (stages - 1).

    References
    ----------
    Liu et al. 2021, "Swin Transformer"; windows per axis are ours.

    Examples
    --------
    >>> tower = WindowedTower(4, 30, patch=(1, 4), embed=8, depths=(1, 1), heads=(1, 2), window=3)
    >>> pooled, patches = tower.encode(torch.zeros(2, 4, 30, 1))
    >>> tuple(pooled.shape), tuple(patches.shape)
    ((2, 16), (2, 8, 16))
    """

    def __init__(
        self,
        regions: int,
        factors: int,
        channels: int = 1,
        patch: tuple[int, int] = (1, 4),
        embed: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        window: int = 7,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.patch = patch
        rows, columns = math.ceil(regions / patch[0]), math.ceil(factors / patch[1])
        self.missing = (rows * patch[0] - regions, columns * patch[1] - factors)
        self.embed = Linear(patch[0] * patch[1] * channels, embed)
        self.position = nn.Parameter(torch.zeros(columns, rows, embed))
        self.norm = nn.LayerNorm(embed)
        rates = iter(rising(drop_path, sum(depths)))
        layers: list[nn.Module] = []
        dim, grid = embed, (columns, rows)
        for stage, (depth, n_heads) in enumerate(zip(depths, heads, strict=True)):
            if stage > 0:
                layers.append(Merge(dim, grid[1]))
                dim, grid = 2 * dim, (math.ceil(grid[0] / 2), math.ceil(grid[1] / 2))
            span = (min(window, grid[0]), grid[1] if grid[1] <= 2 * window else window)
            layers += [
                WindowBlock(dim, n_heads, grid, span, shifted=i % 2 == 1, drop=next(rates))
                for i in range(depth)
            ]
        self.layers = nn.Sequential(*layers)
        self.last_norm = nn.LayerNorm(dim)
        self.dim = dim
        self.apply(_initialise)
        nn.init.trunc_normal_(self.position, std=0.02)

    def encode(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, R, F, C) to the mean (B, dim) and the patches of the last stage (B, P, dim)."""
        b, _, _, channels = matrix.shape
        x = (
            F.pad(matrix, (0, 0, 0, self.missing[1], 0, self.missing[0]))
            if any(self.missing)
            else matrix
        )
        ph, pw = self.patch
        rows, columns = x.shape[1] // ph, x.shape[2] // pw
        x = x.view(b, rows, ph, columns, pw, channels).permute(
            0, 3, 1, 2, 4, 5
        )  # (B, c, r, ph, pw, C)
        x = self.norm(self.embed(x.reshape(b, columns, rows, -1))) + self.position
        x = self.last_norm(self.layers(x)).flatten(1, 2)  # (B, c * r, dim)
        return x.mean(1), x


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

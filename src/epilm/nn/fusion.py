"""Sequence and region matrix joined: concatenation, or attention both ways (2.6, A20).

What is joined must never feed the matching loss: an embedding that has seen the
other modality matches it trivially. Axes: B samples, S sequence tokens of a sample,
P patches of the matrix, H hidden, D the tower's width.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.errors import RecipeError
from epilm.nn.encoder import init_weights


class ConcatFusion(nn.Module):
    """[E_seq; E_reg] through two layers; also for every region's own sequence vector.

    Parameters
    ----------
    hidden, region_dim : int
        H and D.

    Examples
    --------
    >>> fusion = ConcatFusion(4, 6)
    >>> fusion(torch.zeros(2, 3, 4), torch.zeros(2, 6)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, hidden: int, region_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(hidden + region_dim, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
        )
        self.apply(init_weights)

    def forward(self, states: Tensor, region: Tensor) -> Tensor:
        """Join (B, ..., H) sequence vectors with one (B, D) region vector a sample; (B, ..., H)."""
        region = region.view(len(region), *(1,) * (states.dim() - 2), -1).expand(
            *states.shape[:-1], -1
        )
        return self.layers(torch.cat([states, region], -1))  # of (B, ..., H + D)


class _Cross(nn.Module):
    """Queries of one modality over keys and values of the other, residual and norm."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.out = (
            nn.Linear(hidden, hidden),
            nn.Linear(hidden, 2 * hidden),
            nn.Linear(hidden, hidden),
        )
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
        b, n, hidden = x.shape
        q = self.q(x).view(b, n, self.heads, -1).transpose(1, 2)  # (B, heads, n, H / heads)
        # (B, heads, m, H / heads)
        k, v = self.kv(other).view(b, other.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        keys = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        mixed = mixed.transpose(1, 2).reshape(b, n, hidden)  # (B, n, H)
        return self.norm(x + self.dropout(self.out(mixed)))


class CrossAttentionFusion(nn.Module):
    """Sequence tokens look at the matrix's patches, and the patches at the tokens.

    Parameters
    ----------
    hidden, region_dim, heads : int
        H, D and attention heads.
    dropout : float

    Examples
    --------
    >>> fusion = CrossAttentionFusion(4, 6, 2)
    >>> tokens, patches = fusion(torch.zeros(2, 5, 4), None, torch.zeros(2, 3, 6))
    >>> tuple(tokens.shape), tuple(patches.shape)
    ((2, 5, 4), (2, 3, 4))
    """

    def __init__(self, hidden: int, region_dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.enter = nn.Linear(region_dim, hidden)
        self.to_region = _Cross(hidden, heads, dropout)
        self.to_sequence = _Cross(hidden, heads, dropout)
        self.apply(init_weights)

    def forward(
        self, tokens: Tensor, mask: Tensor | None, patches: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Exchange between (B, S, H) tokens and (B, P, D) patches.

        `mask` bool (B, S) is False on padding; every sample needs at least one token.
        Returns tokens (B, S, H) that saw the patches, and patches (B, P, H) that saw the tokens as
        they came.
        """
        entered = self.enter(patches)
        return self.to_region(tokens, entered, None), self.to_sequence(entered, tokens, mask)


def build_fusion(
    kind: Literal["none", "concat", "cross_attention"],
    hidden: int,
    region_dim: int,
    heads: int,
    dropout: float = 0.0,
) -> ConcatFusion | CrossAttentionFusion | None:
    """One of the fusions; None for "none".

    Raises
    ------
    RecipeError
        If `kind` is unknown.
    """
    if kind == "none":
        return None
    if kind == "concat":
        return ConcatFusion(hidden, region_dim)
    if kind == "cross_attention":
        return CrossAttentionFusion(hidden, region_dim, heads, dropout)
    raise RecipeError(
        "unknown fusion",
        where="model.fusion",
        found=kind,
        expected="none | concat | cross_attention",
    )

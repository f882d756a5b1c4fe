"""Small heads on top of encoders and towers: projections, pairs, factor entries, labels, contacts.

Axes: N inputs, P pairs, R regions, F factors, H hidden, D shared embedding width.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epilm.errors import RecipeError
from epilm.nn.encoder import init_weights


def projection(kind: Literal["none", "linear", "mlp"], wide: int, out: int) -> nn.Module:
    """From an encoder's width to the shared embedding of matching (A12).

    Parameters
    ----------
    kind : str
        "none" passes on, "linear" is one product, "mlp" two with gelu between.
    wide, out : int
        Input width and D; must be equal for "none".

    Raises
    ------
    RecipeError
        If "none" would leave another width than `out`, or `kind` is unknown.

    Examples
    --------
    >>> projection("linear", 8, 4)(torch.zeros(2, 8)).shape
    torch.Size([2, 4])
    """
    if kind == "none":
        if wide != out:
            raise RecipeError(
                "without a projection both embeddings must have the same width",
                where="model.projection",
                found=f"{wide} and {out}",
                do="Set projection to linear or mlp, or choose a tower as wide as the encoder.",
            )
        return nn.Identity()
    layers: nn.Module
    if kind == "linear":
        layers = nn.Linear(wide, out)
    elif kind == "mlp":
        layers = nn.Sequential(nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, out))
    else:
        raise RecipeError(
            "unknown projection",
            where="model.projection",
            found=kind,
            expected="none | linear | mlp",
        )
    return layers.apply(init_weights)


class PairHead(nn.Module):
    """Two scores for a pair: does B follow A?

    Parameters
    ----------
    hidden : int
        H.
    form : {"cross", "bi"}
        "cross" reads one vector of A and B seen together; "bi" two vectors a, b of regions
        encoded apart, as (a, b, |a - b|, a b).
    dropout : float

    Examples
    --------
    >>> PairHead(4, "bi")(torch.zeros(3, 4), torch.ones(3, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(self, hidden: int, form: Literal["cross", "bi"], dropout: float = 0.0) -> None:
        super().__init__()
        self.form = form
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(hidden if form == "cross" else 4 * hidden, 2)
        self.apply(init_weights)

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """Score (P, H) vectors, with `b` of the same shape for form bi; returns (P, 2)."""
        if self.form == "bi":
            assert b is not None
            a = torch.cat([a, b, (a - b).abs(), a * b], -1)  # (P, 4 H)
        return self.score(self.dropout(a))


class FactorHead(nn.Module):
    """A value for every factor of every region: (B, R, H) -> (B, R, F).

    Examples
    --------
    >>> FactorHead(4, 6)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 6])
    """

    def __init__(self, hidden: int, factors: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden, factors)
        self.apply(init_weights)

    def forward(self, states: Tensor) -> Tensor:
        return self.out(self.norm(F.gelu(self.dense(states))))


class LabelHead(nn.Module):
    """Dropout and one product: (N, H) -> (N, labels), BERT's classifier.

    In fp32 under autocast too: logits in bf16 have 256 values between two powers of two, and what
    is learned with them is not what is predicted.
    """

    def __init__(self, hidden: int, labels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, labels)
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.out(self.dropout(x.to(self.out.weight.dtype)))


class ContactBias(nn.Module):
    """One attention layer among the regions of a sample, pulled towards regions in contact (2.6).

    The contact of two regions, times a learned factor per head, is added to their attention score.
    The layer's result is added to what came in and starts near zero.

    Parameters
    ----------
    hidden, heads : int

    Examples
    --------
    >>> layer = ContactBias(8, 2)
    >>> layer(torch.zeros(2, 3, 8), torch.zeros(2, 3, 3), torch.ones(2, 3, dtype=torch.bool)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(hidden)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.apply(init_weights)
        self.strength = nn.Parameter(torch.ones(heads))

    def forward(self, states: Tensor, contacts: Tensor, region_mask: Tensor) -> Tensor:
        """Mix (B, R, H) states by (B, R, R) contacts; (B, R) False marks absent regions."""
        b, regions, hidden = states.shape
        q, k, v = (
            self.qkv(self.norm(states)).view(b, regions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )
        bias = self.strength.view(1, -1, 1, 1) * contacts[:, None].to(q.dtype)  # (B, heads, R, R)
        # A finite floor: a sample without any region must not become NaN.
        bias = bias.masked_fill(~region_mask[:, None, None], torch.finfo(q.dtype).min / 2)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)  # (B, heads, R, H / heads)
        return states + self.out(mixed.transpose(1, 2).reshape(b, regions, hidden))  # (B, R, H)


class ContactEncoder(nn.Module):
    """The contact sub-matrix of a sample as one vector: (B, R, R) -> (B, D).

    Reads the upper triangle with the diagonal (the matrix is symmetric) through two layers.

    Examples
    --------
    >>> ContactEncoder(3, 8, 4)(torch.zeros(2, 3, 3)).shape
    torch.Size([2, 4])
    """

    upper: Tensor

    def __init__(self, regions: int, hidden: int, out: int) -> None:
        super().__init__()
        rows, columns = torch.triu_indices(regions, regions)
        self.register_buffer("upper", rows * regions + columns, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(regions * (regions + 1) // 2, hidden),
            nn.GELU(),
            nn.LayerNorm(hidden),
            nn.Linear(hidden, out),
        )
        self.apply(init_weights)

    def forward(self, contacts: Tensor) -> Tensor:
        return self.layers(contacts.flatten(1)[:, self.upper])

"""Rotary positions: queries and keys turned by an angle that grows with the place, so that scores
see distances.

Beside BERT's position table, not in place of it: the table says where a token stands, the turn how
far apart two stand, which a small model does not learn from a table in the time it has
(docs/explanation/rotary.md). Source: Su et al., RoFormer, 2021. Axes: N rows, L or T tokens, D
width of a head.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from epilm.device import to_device

BASE = 10_000.0


class Turns(NamedTuple):
    """Cosines and sines of each token, float (tokens, D / 2)."""

    cos: Tensor
    sin: Tensor


def turns(length: int, width: int, device: torch.device, at: Tensor | None = None) -> Turns:
    """Angles of places 0 to length - 1, or of the places `at`.

    Parameters
    ----------
    length : int
        L.
    width : int
        D, even.
    device : torch.device
    at : int64 (T,), optional
        Places of packed tokens.

    Examples
    --------
    >>> turns(3, 4, torch.device("cpu")).sin[:, 0].round(
    ...     decimals=3
    ... ).tolist()  # the first pair turns by one radian a token
    [0.0, 0.8410000205039978, 0.9089999794960022]
    """
    # Made anew each time: a kept one could be of fake tensors (`plan`) or of inference, which no
    # backward pass takes.
    half = width // 2
    rates = BASE ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    table = Turns(to_device(angles.cos().float(), device), to_device(angles.sin().float(), device))
    return (
        table if at is None else Turns(table.cos.index_select(0, at), table.sin.index_select(0, at))
    )


def turned(qkv: Tensor, by: Turns, heads: int) -> Tensor:
    """Turn queries and keys; values stay.

    Parameters
    ----------
    qkv : float (N, L, 3 H) or (T, 3 H)
        Queries, keys and values side by side, heads one after the other in each.
    by : Turns
        Of the L or T tokens.
    heads : int

    Returns
    -------
    float, shape and type of qkv

    Examples
    --------
    >>> qkv = torch.tensor([[[1.0, 0.0, 1.0, 0.0, 5.0, 6.0]] * 3])  # one head of width 2
    >>> q, k, v = turned(qkv, turns(3, 2, torch.device("cpu")), 1)[0].view(3, 3, 2).unbind(1)
    >>> scores = q @ k.T  # of equal vectors: the cosine of the distance alone
    >>> (
    ...     torch.allclose(scores, torch.tensor([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]]).cos()),
    ...     v[2].tolist(),
    ... )
    (True, [5.0, 6.0])
    """
    x = qkv.unflatten(-1, (3, heads, -1))  # (..., 3, heads, D)
    first, second = x[..., :2, :, :].chunk(2, -1)
    cos, sin = (part[:, None, None].to(qkv.dtype) for part in by)
    parts = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
    return torch.cat([parts, x[..., 2:, :, :]], -3).flatten(-3)  # (..., 3 * heads * D)

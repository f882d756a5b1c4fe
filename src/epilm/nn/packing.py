"""Rows of unequal length without their padding: tokens end to end, attention among those of one
row.

Layers that look at one token work on (T, H) alone. Where tokens meet, rows of like length go
through one kernel call together: on CUDA in half precision without dropout torch's kernel for rows
of any length (`torch.nn.attention.varlen`, which has no dropout), elsewhere length by length
(`CLASSES` at most), without a mask where all rows of a length are full. The answers are those of
the padded rows. Needs torch only. Axes: N rows, L longest possible row, T tokens that are no
padding, H hidden, D width of a head.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from epilm.nn.attention import Attention, attend, split_heads

CLASSES, SHORTEST_CLASS = 8, 16  # rows of like length: L / 8 tokens apart, 16 at least


class Group(NamedTuple):
    """Rows of like length.

    Attributes
    ----------
    start, stop : int
        Their tokens among the T.
    rows, length : int
        How many they are, and the longest of them.
    at : int64 (stop - start,) or None
        Place of each token in the flattened (rows, length); None: every row is full.
    mask : bool (rows, 1, 1, length) or None
        True where there is a token.
    """

    start: int
    stop: int
    rows: int
    length: int
    at: Tensor | None
    mask: Tensor | None

    def spread(self, x: Tensor) -> Tensor:
        """(T, H) to this group's (rows, length, H), 0 on padding."""
        return _spread(x[self.start : self.stop], self.at, self.rows, self.length)

    def take(self, x: Tensor) -> Tensor:
        """(rows, length, H) to this group's tokens (stop - start, H)."""
        flat = x.flatten(0, 1)
        return flat if self.at is None else flat.index_select(0, self.at)


class Packed(NamedTuple):
    """Where T tokens stand in N rows of L, longest rows first.

    Attributes
    ----------
    at : int64 (T,)
        Place of each token in the flattened (N, L).
    rows, length : int
        N and L.
    groups : tuple of Group
        By falling length; rows without a token are in none.
    ends : int32 (rows with a token + 1,)
        Where each row begins and ends among the T.
    longest : int
        Tokens of the longest row.
    """

    at: Tensor
    rows: int
    length: int
    groups: tuple[Group, ...]
    ends: Tensor
    longest: int

    def take(self, x: Tensor) -> Tensor:
        """(N, L, H) to (T, H)."""
        return x.flatten(0, 1).index_select(0, self.at)

    def spread(self, x: Tensor) -> Tensor:
        """(T, H) to (N, L, H), 0 on padding."""
        return _spread(x, self.at, self.rows, self.length)

    def places(self, at: Tensor) -> Tensor:
        """Places in the flattened (N, L) to those among the T tokens; padding becomes the first
        token.
        """
        among = torch.zeros(self.rows * self.length, dtype=torch.int64, device=at.device)
        among[self.at] = torch.arange(len(self.at), device=at.device)
        return among[at]


def _spread(x: Tensor, at: Tensor | None, rows: int, length: int) -> Tensor:
    if at is None:
        return x.view(rows, length, x.shape[-1])
    out = x.new_zeros(rows * length, x.shape[-1])
    return out.index_copy(0, at, x).view(rows, length, x.shape[-1])


def packed(mask: Tensor) -> Packed:
    """Find the tokens of a mask; on a GPU this waits for the device once.

    Parameters
    ----------
    mask : bool (N, L)
        True where there is a token; tokens need not stand at the front.

    Examples
    --------
    >>> found = packed(torch.tensor([[True, False], [True, True]]))
    >>> found.at.tolist(), found.spread(torch.tensor([[1.0], [2.0], [3.0]])).flatten().tolist()
    ([2, 3, 0], [3.0, 0.0, 1.0, 2.0])
    >>> [(group.rows, group.length) for group in found.groups]
    [(2, 2)]
    """
    n, length = mask.shape
    sizes, order = mask.sum(1).sort(descending=True, stable=True)
    places = torch.arange(n * length, device=mask.device).view(n, length)[order][mask[order]]
    counts = sizes.tolist()
    step = max(SHORTEST_CLASS, -(-length // CLASSES))
    groups: list[Group] = []
    row = start = 0
    while row < n and counts[row]:
        size = counts[row]
        last = row
        while last < n and counts[last] and -(-counts[last] // step) == -(-size // step):
            last += 1
        lengths = counts[row:last]
        stop = start + sum(lengths)
        at = shown = None
        if lengths[-1] < size:
            shown = torch.arange(size) < torch.tensor(lengths)[:, None]
            at = shown.flatten().nonzero()[:, 0].to(mask.device)
            shown = shown[:, None, None].to(mask.device)
        groups.append(Group(start, stop, last - row, size, at, shown))
        row, start = last, stop
    ends = torch.tensor([0, *counts[:row]], dtype=torch.int64).cumsum(0).to(torch.int32)
    return Packed(places, n, length, tuple(groups), ends.to(mask.device), counts[0] if n else 0)


def attend_packed(
    qkv: Tensor, pack: Packed, heads: int, dropout: float, wish: Attention = "auto"
) -> Tensor:
    """Mix values by attention, each token with those of its own row.

    Parameters
    ----------
    qkv : float (T, 3 H)
        Queries, keys and values side by side.
    pack : Packed
    heads : int
    dropout : float
        On the attention weights; 0 outside training.
    wish : {"auto", "plain", "sdpa", "flash", "cudnn"}
        As `epilm.nn.attention.attend`; all but "plain" and "sdpa" allow the kernel for rows of any
        length.

    Returns
    -------
    float (T, H)

    Examples
    --------
    >>> pack = packed(torch.tensor([[True, False], [True, True]]))
    >>> qkv = torch.tensor(
    ...     [[0.0, 0.0, 1.0], [0.0, 0.0, 3.0], [0.0, 0.0, 7.0]]
    ... )  # row 1's tokens come first
    >>> attend_packed(qkv, pack, 1, 0.0).flatten().tolist()
    [2.0, 2.0, 7.0]
    """
    tokens, width = qkv.shape
    hidden = width // 3
    if wish not in ("plain", "sdpa") and takes_any_length(qkv, hidden // heads, dropout):
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = qkv.view(tokens, 3, heads, hidden // heads).unbind(1)  # (tokens, heads, D) each
        mixed = varlen_attn(q, k, v, pack.ends, pack.ends, pack.longest, pack.longest)
        assert isinstance(mixed, Tensor)  # a pair only where more is asked for
        return mixed.reshape(tokens, hidden)  # (tokens, H)
    parts = []
    for group in pack.groups:
        q, k, v = split_heads(group.spread(qkv), heads)
        out = attend(q, k, v, group.mask, dropout, wish)  # (rows, heads, length, D)
        parts.append(group.take(out.transpose(1, 2).reshape(group.rows, group.length, hidden)))
    return parts[0] if len(parts) == 1 else torch.cat(parts)  # (tokens, H)


def takes_any_length(x: Tensor, width: int, dropout: float) -> bool:
    """Whether torch's kernel for rows of any length takes these numbers (torch 2.10 and later,
    Ampere and later).

    Examples
    --------
    >>> takes_any_length(torch.zeros(4, 24, dtype=torch.bfloat16), 8, 0.0)
    False
    """
    half = x.dtype in (torch.bfloat16, torch.float16)
    if x.device.type != "cuda" or not half or dropout > 0 or width % 8 or width > 256:
        return False
    return _varlen_is_there(x.device.index or 0)


@lru_cache(maxsize=8)
def _varlen_is_there(device: int) -> bool:
    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: F401
    except ImportError:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)

"""Sequence with its bases in another order: more of what only motif sites are asked about.

Sites are a function of the sequence, so any sequence teaches them; shuffled windows have the
genome's composition and none of its words. Pure functions of (codes, keys). Needs torch alone.
Axes: B windows, W bases.
"""

import torch
from torch import Tensor

from epilm.tokens.random import hash_bits


def shuffled(codes: Tensor, keys: Tensor) -> Tensor:
    """Put the bases of each window in a random order; unknown bases stay where they are.

    Parameters
    ----------
    codes : uint8 (B, W)
        A=0 C=1 G=2 T=3, larger values are N.
    keys : int64 (B,)
        What each window's order is a function of.

    Returns
    -------
    uint8 (B, W)

    Examples
    --------
    >>> codes = torch.tensor([[0, 0, 4, 1, 2, 3]], dtype=torch.uint8)
    >>> mixed = shuffled(codes, torch.tensor([7]))
    >>> sorted(mixed[0].tolist()), int(mixed[0, 2])
    ([0, 0, 1, 2, 3, 4], 4)
    """
    at = torch.arange(codes.shape[1], device=codes.device)
    bits = hash_bits(keys[:, None], at)
    unknown = codes > 3
    last = torch.iinfo(torch.int64).max
    # Known places in order, and known places at random: the first i-th gets the second i-th's base.
    to = torch.where(unknown, last, at).argsort(dim=1, stable=True)
    source = torch.where(unknown, last, bits).argsort(dim=1, stable=True)
    return torch.empty_like(codes).scatter_(1, to, codes.gather(1, source))

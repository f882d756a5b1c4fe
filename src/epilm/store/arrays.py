"""Arrays that are memory maps or tensors on a device, read the same way.

Also the table of contacts, which is nothing but two sorted arrays. On the
training path: needs numpy and torch only; used by the reader and by batches.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray | Tensor
_BLOCK = 1 << 22  # bases looked at together


def as_tensor(array: Array) -> Tensor:
    """See an array as a tensor without copying it; a tensor is given back as it is."""
    return array if isinstance(array, Tensor) else torch.from_numpy(array)


def take(array: Array, index: Tensor) -> Tensor:
    """Gather along the first axis, from a memory map or a tensor, the same values.

    Parameters
    ----------
    array : array or tensor (N, ...)
    index : int64, any shape
        Where the array is a memory map, on the CPU.

    Returns
    -------
    tensor, shape index.shape + array.shape[1:]

    Examples
    --------
    >>> take(np.array([5, 6, 7]), torch.tensor([[2, 0]])).tolist()
    [[7, 5]]
    """
    if isinstance(array, Tensor):
        return array[index]
    return torch.from_numpy(np.asarray(array[index.numpy()]))


def spans(flat: Array, begin: Any, low: Any, high: Any, width: int, fill: int) -> Array:
    """Gather stretches of one width from a flat array, each within its own bounds.

    Parameters
    ----------
    flat : array or tensor (M,)
    begin : int64 (B,)
        Where each stretch begins in `flat`; may lie outside of it.
    low, high : int64 (B,)
        What of `flat` a stretch may show: [low, high). Numpy, or tensors on its device, as `begin`.
    width : int
        At least 1.
    fill : int
        Stands where a stretch leaves its bounds.

    Returns
    -------
    (B, width), the same kind and type as `flat`

    Examples
    --------
    >>> flat, begin, low, high = (
    ...     np.arange(6, dtype=np.uint8),
    ...     np.array([0, 1, 4]),
    ...     np.array([0, 2, 2]),
    ...     np.array([3, 6, 6]),
    ... )
    >>> spans(flat, begin, low, high, 3, 9).tolist()
    [[0, 1, 2], [9, 2, 3], [4, 5, 9]]
    >>> spans(torch.from_numpy(flat), *map(torch.from_numpy, (begin, low, high)), 3, 9).tolist()
    [[0, 1, 2], [9, 2, 3], [4, 5, 9]]
    """
    if isinstance(flat, Tensor):
        if flat.device.type != "cpu":
            return gather_spans(flat, begin, low, high, width, fill)
        # The same memory seen by numpy: row copies, thirty times as fast as an index of B x width.
        return torch.from_numpy(
            spans(flat.numpy(), begin.numpy(), low.numpy(), high.numpy(), width, fill)
        )
    size = len(flat)
    edge = np.flatnonzero((begin < low) | (begin + width > high))
    if size < width:
        out = np.full((len(begin), width), fill, flat.dtype)
    else:
        # One view a start: each row is a straight copy, no index of B x width is made.
        out = np.lib.stride_tricks.sliding_window_view(np.asarray(flat), width)[
            np.clip(begin, 0, size - width)
        ]
    if len(edge) and size:
        index = begin[edge, None] + np.arange(width)
        inside = (index >= low[edge, None]) & (index < high[edge, None])
        values = np.asarray(flat[np.clip(index, 0, size - 1)])
        out[edge] = np.where(inside, values, np.asarray(fill, flat.dtype))
    return out


def gather_spans(
    flat: Tensor, begin: Tensor, low: Tensor, high: Tensor, width: int, fill: int
) -> Tensor:
    """`spans` by an index of B x width, for devices that gather in parallel."""
    index = begin[:, None] + torch.arange(width, device=flat.device)
    if not len(flat):
        return torch.full(index.shape, fill, dtype=flat.dtype, device=flat.device)
    inside = (index >= low[:, None]) & (index < high[:, None])
    return flat[index.clamp(0, len(flat) - 1)].masked_fill(~inside, fill)


@dataclass(frozen=True)
class ContactTable:
    """Contacts inside chromosomes, one sorted table for the whole genome.

    Bins are numbered through the genome; a pair i <= j has the key i * n_bins + j.

    Attributes
    ----------
    resolution : int
        Bin width in bp.
    bin_offsets : int64 (C,)
        First bin of each chromosome.
    n_bins : int
    keys : int64 (K,)
        Ascending.
    values : float32 (K,)
        log(1 + observed / expected at that distance). Pairs that are not here count as 0.
    """

    resolution: int
    bin_offsets: np.ndarray
    n_bins: int
    keys: Array
    values: Array

    @staticmethod
    def bins(sizes: tuple[int, ...], resolution: int) -> np.ndarray:
        """First bin of each chromosome and, last, the number of bins: int64 (C + 1,).

        Examples
        --------
        >>> ContactTable.bins((100, 50), 30).tolist()
        [0, 4, 6]
        """
        return np.concatenate([[0], np.cumsum([-(-s // resolution) for s in sizes])]).astype(
            np.int64
        )

    def between(self, bins: Tensor) -> Tensor:
        """Look up all pairs of bins of a sample.

        Parameters
        ----------
        bins : int64 (B, R)
            Genome-wide bin numbers, -1 where there is no region.

        Returns
        -------
        float32 (B, R, R)
            Symmetric; 0 where a pair is unknown or a bin is -1.
        """
        a, b = bins[:, :, None], bins[:, None, :]
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        key = low * self.n_bins + high
        keys = as_tensor(self.keys)
        if keys.numel() == 0:
            return torch.zeros(key.shape, dtype=torch.float32, device=bins.device)
        at = torch.searchsorted(keys, key.contiguous()).clamp(max=keys.numel() - 1)
        listed = (keys[at] == key) & (low >= 0)
        return torch.where(listed, as_tensor(self.values)[at], torch.zeros((), device=bins.device))


def unknown_runs(codes: Any) -> np.ndarray:
    """Find the runs of bases that are no base.

    Parameters
    ----------
    codes : uint8 array or tensor (G,)
        A=0 C=1 G=2 T=3, above 3 unknown; also a memory map, read once from end to end.

    Returns
    -------
    int64 (n, 2)
        [begin, end) of each run, ascending.

    Examples
    --------
    >>> unknown_runs(np.array([4, 4, 0, 1, 4, 2], np.uint8)).tolist()
    [[0, 2], [4, 5]]
    """
    edges: list[np.ndarray] = []
    last = False
    for at in range(0, len(codes), _BLOCK):
        block = codes[at : at + _BLOCK]
        block = block.cpu().numpy() if isinstance(block, Tensor) else np.asarray(block)
        if not last and block.max() <= 3:
            continue
        unknown = np.concatenate([[last], block > 3])
        edges.append(at + np.flatnonzero(unknown[1:] != unknown[:-1]))
        last = bool(unknown[-1])
    if last:
        edges.append(np.array([len(codes)]))
    return np.concatenate([np.zeros(0, np.int64), *edges]).reshape(-1, 2).astype(np.int64)

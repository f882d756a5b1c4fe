"""Masked-LM inputs straight from a genome: windows of bases, cut, tokenised, masked.

The shortest way for plain windows (DNABERT's pre-training); samples of several
regions are made by `epilm.batches` from the same pieces. Pure functions.
Axes: N windows, W bases, L tokens with [CLS] and [SEP].
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from epilm.batch import Sequences
from epilm.errors import InputError
from epilm.tokens import _fused
from epilm.tokens.kmers import N_SPECIAL, check_k, kmer_ids, n_tokens, wrap
from epilm.tokens.masking import draws, mask_tokens


def cut_windows(codes: np.ndarray, starts: np.ndarray, width: int) -> np.ndarray:
    """Copy windows of equal width out of a long row of bases.

    Parameters
    ----------
    codes : uint8 (G,)
        A chromosome or a genome end to end, also a memory map.
    starts : int64 (N,)
        0-based; the window is [start, start + width).
    width : int
        W.

    Returns
    -------
    uint8 (N, W)

    Raises
    ------
    InputError
        If a window leaves the row.

    Examples
    --------
    >>> cut_windows(np.arange(10, dtype=np.uint8), np.array([0, 7]), 3).tolist()
    [[0, 1, 2], [7, 8, 9]]
    """
    starts = np.asarray(starts)
    if starts.size and (int(starts.min()) < 0 or int(starts.max()) + width > len(codes)):
        wrong = starts[(starts < 0) | (starts + width > len(codes))][0]
        raise InputError(
            "a window leaves the sequence",
            found=f"{wrong}-{wrong + width}",
            expected=f"within 0-{len(codes)}",
        )
    if len(codes) < width:
        return np.empty((0, width), dtype=np.uint8)
    return np.lib.stride_tricks.sliding_window_view(codes, width)[starts]


def _check_inside(length: int, starts: np.ndarray, width: int) -> None:
    if starts.size and (int(starts.min()) < 0 or int(starts.max()) + width > length):
        wrong = starts[(starts < 0) | (starts + width > length)][0]
        raise InputError(
            "a window leaves the sequence",
            found=f"{wrong}-{wrong + width}",
            expected=f"within 0-{length}",
        )


def masked_windows(
    codes: np.ndarray,
    starts: np.ndarray,
    *,
    width: int,
    k: int,
    rate: float,
    keys: Tensor,
    seed: int,
    stride: int = 1,
    **switches: Any,
) -> Sequences:
    """Make masked-LM inputs of windows.

    Parameters
    ----------
    codes : uint8 (G,)
    starts : int64 (N,)
    width : int
        Bases of a window: 515 are the 510 6-mers that fill 512 tokens.
    k, stride : int
    rate, keys, seed, **switches
        Of `mask_tokens`. [UNK] is not masked: there is nothing to learn from it.

    Returns
    -------
    Sequences
        ids, labels int64 (N, L), mask bool (N, L), segments all 0.

    Examples
    --------
    >>> genome = np.tile(np.array([0, 1, 2, 3], dtype=np.uint8), 300)
    >>> made = masked_windows(
    ...     genome, np.array([5, 600]), width=515, k=6, rate=0.15, keys=torch.arange(2), seed=0
    ... )
    >>> tuple(made.ids.shape), made.ids[:, 0].tolist(), made.ids[:, -1].tolist()
    ((2, 512), [2, 2], [3, 3])
    """
    # All zeros: one number seen N x L times.
    zero, starts = torch.zeros((1, 1), dtype=torch.int64), np.asarray(starts, dtype=np.int64)
    if not _fused.available():
        whole, mask = wrap(torch.from_numpy(kmer_ids(cut_windows(codes, starts, width), k, stride)))
        ids, labels = mask_tokens(
            whole, whole >= N_SPECIAL, k=k, rate=rate, keys=keys, seed=seed, **switches
        )
        return Sequences(ids=ids, segments=zero.expand(ids.shape), mask=mask, labels=labels)
    check_k(k, stride)
    _check_inside(len(codes), starts, width)
    made = np.empty((2, len(starts), n_tokens(width, k, stride) + 2), dtype=np.int64)
    numbers = np.ascontiguousarray(keys.numpy(), dtype=np.int64)
    how = draws(k=k, rate=rate, seed=seed, **switches)
    # The compiled loop knows plain arrays; a memory map is one with another name.
    _fused.masked_windows(
        np.asarray(codes), starts, width, k, stride, numbers, how, made[0], made[1]
    )
    ids, labels = torch.from_numpy(made[0]), torch.from_numpy(made[1])
    return Sequences(ids, zero.expand(ids.shape), torch.ones(ids.shape, dtype=torch.bool), labels)

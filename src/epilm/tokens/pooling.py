"""From bins and bases to tokens: the state most of a token lies in, a signal's value on a token.

A segmentation has one state a bin and a window may begin anywhere in one, so a token can lie
in two bins or more; its state is that of most of its bases. States are compared, not
bins: two bins of one state count together. Pure functions, numpy arrays or torch tensors in, the
same kind out and the same bits.
Axes: B windows, W bases, T tokens without special ones, n bins. Needs numpy and torch.
"""

from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from torch import Tensor

from epilm.tokens.kmers import check_k, n_tokens

MISSING = 255  # the code of a bin without a state, as in a store's tables
SignalPool = Literal["max", "min", "mean"]


@overload
def pool_states(
    codes: Tensor, offset: Tensor, *, bin: int, k: int, stride: int, tokens: int | None = None
) -> Tensor: ...
@overload
def pool_states(
    codes: np.ndarray,
    offset: np.ndarray,
    *,
    bin: int,
    k: int,
    stride: int,
    tokens: int | None = None,
) -> np.ndarray: ...
def pool_states(
    codes: Any, offset: Any, *, bin: int, k: int, stride: int, tokens: int | None = None
) -> Any:
    """Give every token the state of most of its bases.

    Token t covers bases [t * stride, t * stride + k) of the window. Of two states with equally many
    bases the one further left wins. A token has no state where more than half of its
    bases have none; otherwise those bases do not count.

    Parameters
    ----------
    codes : uint8 array or tensor, shape (B, n)
        States of n successive bins, the first of which holds the window's first base; 255 = none.
    offset : int64 array or tensor, shape (B,)
        Bases from the start of the first bin to the window's first base, 0 or more.
    bin : int
        Width of a bin in bp.
    k, stride : int
        Width and step of a token in bases.
    tokens : int, optional
        T; where not given, those that lie in the n bins whole, for every offset below `bin`.

    Returns
    -------
    uint8, same kind and device, shape (B, T)
        255 = none. Bases beyond the n bins have no state.

    Raises
    ------
    ValueError
        If `codes` is not two-dimensional or a width is below 1.

    References
    ----------
    protocols 5.6. The paper says "majority"; ties and missing states are our reading.

    Examples
    --------
    >>> bins = np.array([[0, 1, 2, 3, 4, 5]], dtype=np.uint8)
    >>> states = pool_states(bins, np.array([50]), bin=200, k=7, stride=7, tokens=142)
    >>> np.flatnonzero(np.diff(states[0])) + 1
    array([ 21,  50,  79, 107, 136])
    >>> pool_states(bins, np.array([3]), bin=3, k=3, stride=3, tokens=2)
    array([[1, 2]], dtype=uint8)
    """
    tokens = _checked(codes, bin, k, stride, tokens)
    if _on_cpu(codes):  # numpy is twice as fast here
        return torch.from_numpy(
            pool_states(codes.numpy(), _numpy(offset), bin=bin, k=k, stride=stride, tokens=tokens)
        )
    if k <= bin:
        return _look_up(
            codes, token_bins(offset, bin=bin, k=k, stride=stride, tokens=tokens, codes=codes)
        )
    return _of_many(codes, offset, bin, k, stride, tokens)


def token_bins(
    offset: Any, *, bin: int, k: int, stride: int, tokens: int, codes: Any | None = None
) -> Any:
    """Say in which bin most of every token lies.

    Parameters
    ----------
    offset : int64 array or tensor, shape (B,)
    bin, k, stride, tokens : int
        See `pool_states`.
    codes : uint8 (B, n), optional
        The bins' states. With them, a token half in a bin without a state and half in one with a
        state belongs to the second, so that the bin named is the one its state comes from.

    Returns
    -------
    int64, same kind and device, shape (B, T)
        0 = the bin that holds the window's first base. Of bins with equally many bases the left
        one.

    Examples
    --------
    >>> bins = token_bins(torch.tensor([0]), bin=200, k=7, stride=7, tokens=142)[0]
    >>> bins[[28, 57, 85, 114]].tolist()
    [0, 2, 2, 4]
    """
    if _on_cpu(offset):
        given = None if codes is None else _numpy(codes)
        bins = token_bins(offset.numpy(), bin=bin, k=k, stride=stride, tokens=tokens, codes=given)
        return torch.from_numpy(bins)
    lib = _library(offset)
    start = offset[:, None] + _steps(
        offset, tokens, stride
    )  # (B, T), bases from the first bin's start
    first = start // bin
    beyond = start - first * bin + (k - bin)  # bases right of the first bin
    if k > bin:
        # The first bin is cut on its left, so the next one holds more wherever it is whole or
        # longer.
        in_first = lib.clip(bin - (start - first * bin), 0, k)
        return first + (lib.clip(beyond, 0, bin) > in_first)
    if codes is None or k % 2:
        return first + (2 * beyond > k)
    bare = (_look_up(codes, first) == MISSING) & (_look_up(codes, first + 1) != MISSING)
    return first + (2 * beyond > k - lib.where(bare, 1, 0))


def _of_many(codes: Any, offset: Any, bin: int, k: int, stride: int, tokens: int) -> Any:
    """The state of most bases where a token is wider than a bin: every bin's state against every
    other's.
    """
    lib = _library(codes)
    start = offset[:, None] + _steps(offset, tokens, stride)
    first = start // bin
    into = start - first * bin
    parts = (k - 2) // bin + 2  # as many bins as a token can touch
    shares = [
        lib.clip(bin * (j + 1) - into, 0, k) - lib.clip(bin * j - into, 0, k) for j in range(parts)
    ]
    states = [_look_up(codes, first + j) for j in range(parts)]
    missing = sum(bases * (state == MISSING) for bases, state in zip(shares, states, strict=True))
    best = lib.zeros_like(states[0]) + MISSING
    most = lib.zeros_like(first)
    for j in range(parts):  # from the left: a later one must have more
        same = sum(shares[i] * (states[i] == states[j]) for i in range(parts))
        better = (shares[j] > 0) & (states[j] != MISSING) & (same > most)
        best = lib.where(better, states[j], best)
        most = lib.where(better, same, most)
    return lib.where(2 * missing > k, lib.zeros_like(best) + MISSING, best)


def _look_up(codes: Any, bins: Any) -> Any:
    """codes (B, n) at bins (B, T); 255 beyond the last."""
    n = codes.shape[1]
    beyond = bins >= n
    if isinstance(codes, Tensor):
        if n == 0:
            return torch.full_like(bins, MISSING, dtype=torch.uint8)
        return codes.gather(1, bins.clip(0, n - 1)).masked_fill_(beyond, MISSING)
    if n == 0:
        return np.full(bins.shape, MISSING, dtype=np.uint8)
    taken = np.take_along_axis(codes, bins.clip(0, n - 1), 1)
    taken[beyond] = MISSING
    return taken


@overload
def pool_to_tokens(
    signal: Tensor, k: int, stride: int, how: SignalPool, tokens: int | None = None
) -> Tensor: ...
@overload
def pool_to_tokens(
    signal: np.ndarray, k: int, stride: int, how: SignalPool, tokens: int | None = None
) -> np.ndarray: ...
def pool_to_tokens(
    signal: Any, k: int, stride: int, how: SignalPool, tokens: int | None = None
) -> Any:
    """Reduce a per-base signal to one value per k-mer token.

    Token t covers bases [t * stride, t * stride + k). Bases after the last whole token are dropped,
    as the tokenizer drops them; with `tokens` a last token that is not whole counts with the bases
    it has.

    Parameters
    ----------
    signal : float array or tensor, shape (B, W)
        B windows of W base pairs, in the signal's own unit (accessibility: reads per base;
        mappability: 0 to 1), missing values replaced.
    k, stride : int
        Token width and step in base pairs, at least 1.
    how : {"max", "min", "mean"}
        "max" keeps peaks; "min" lets one unmappable base mark its token.
    tokens : int, optional
        T; (W - k) // stride + 1 where not given.

    Returns
    -------
    float, same kind, shape (B, T)
        Same unit as `signal`.

    Raises
    ------
    ValueError
        If `signal` is not two-dimensional, `how` is unknown, W < k, or a token has no base.

    References
    ----------
    "Epigenomic language models powered by Cerebras", supplement 2.2.

    Examples
    --------
    >>> signal = torch.tensor([[0.0, 2.0, 1.0, 5.0, 3.0, 9.0, 7.0]])
    >>> pool_to_tokens(signal, k=2, stride=2, how="max")
    tensor([[2., 5., 9.]])
    >>> pool_to_tokens(np.array([[1, 1, 0.25, 1, 0.5, 1]]), k=3, stride=3, how="min")
    array([[0.25, 0.5 ]])
    """
    if signal.ndim != 2:
        raise ValueError(
            f"pool_to_tokens: the signal has shape {tuple(signal.shape)}, not (windows, bases)"
        )
    if how not in get_args(SignalPool):
        raise ValueError(f"pool_to_tokens: {how!r} is none of {', '.join(get_args(SignalPool))}")
    check_k(k, stride)
    width = signal.shape[1]
    if tokens is None:
        tokens = n_tokens(width, k, stride)
    if tokens < 1 or (tokens - 1) * stride >= width:
        raise ValueError(
            f"pool_to_tokens: {width} bases hold no {max(tokens, 1)} tokens of {k} (stride"
            f" {stride})"
        )
    lib = _library(signal)
    join = {"max": lib.maximum, "min": lib.minimum, "mean": lib.add}[how]
    pooled = (
        lib.clone(signal[:, ::stride][:, :tokens])
        if lib is torch
        else signal[:, ::stride][:, :tokens].copy()
    )
    for base in range(1, k):  # k passes over the tokens; no table of T k values
        part = signal[:, base::stride][:, :tokens]
        pooled[:, : part.shape[1]] = join(pooled[:, : part.shape[1]], part)
    if how == "mean":
        whole = lib.clip(width - _steps(signal, tokens, stride), 0, k)
        pooled = pooled / (whole.to(pooled.dtype) if lib is torch else whole.astype(pooled.dtype))
    return pooled


def _checked(codes: Any, bin: int, k: int, stride: int, tokens: int | None) -> int:
    check_k(k, stride)
    if codes.ndim != 2:
        raise ValueError(
            f"pool_states: the states have shape {tuple(codes.shape)}, not (windows, bins)"
        )
    if bin < 1:
        raise ValueError(f"pool_states: a bin of {bin} bp")
    if tokens is None:
        tokens = n_tokens(codes.shape[1] * bin - (bin - 1), k, stride)
    return tokens


def _on_cpu(array: Any) -> bool:
    return isinstance(array, Tensor) and array.device.type == "cpu"


def _numpy(array: Any) -> np.ndarray:
    return array.numpy() if isinstance(array, Tensor) else array


def _library(of: Any) -> Any:
    return torch if isinstance(of, Tensor) else np


def _steps(like: Any, tokens: int, stride: int) -> Any:
    """Starts of the tokens, 0, stride, 2 stride ..., where `like` is."""
    if isinstance(like, Tensor):
        return torch.arange(tokens, device=like.device) * stride
    return np.arange(tokens, dtype=np.int64) * stride

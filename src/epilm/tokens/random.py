"""Random numbers that are a function of their counters: no state, no order, no device.

`hash_bits(seed, row, position)` is splitmix64 over the counters in turn. The same
counters give the same bits in numpy and torch, on CPU and GPU, alone or in any
batch, so a mask or a draw survives an interruption and another batch size.
Needs numpy and torch only; `tokens._fused` computes the same bits in numba.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15  # splitmix64's increment and its two multipliers (Steele et al. 2014)
MULTIPLY_1 = 0xBF58476D1CE4E5B9
MULTIPLY_2 = 0x94D049BB133111EB
BITS = 53

Array = np.ndarray
Counter = int | Tensor | Array


def _signed(value: int) -> int:
    """The int64 that has the low 64 bits of a Python integer."""
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if value >> 63 else value


# int64 has only the arithmetic shift: these bits of it are the logical one.
_AFTER_30, _AFTER_27, _AFTER_31 = (1 << 34) - 1, (1 << 37) - 1, (1 << 33) - 1
_AFTER_11 = (1 << BITS) - 1
# As int64: all three have the highest bit.
_GOLDEN, _FIRST, _SECOND = GOLDEN - (1 << 64), MULTIPLY_1 - (1 << 64), MULTIPLY_2 - (1 << 64)


def _mix(z: Any) -> Any:
    """splitmix64's finaliser on int64 arrays: products wrap around."""
    z = (z ^ (z >> 30) & _AFTER_30) * _FIRST
    z = (z ^ (z >> 27) & _AFTER_27) * _SECOND
    return z ^ (z >> 31) & _AFTER_31


def _mix_one(z: int) -> int:
    """`_mix` of a Python integer."""
    z = _signed((z ^ (z >> 30) & _AFTER_30) * _FIRST)
    z = _signed((z ^ (z >> 27) & _AFTER_27) * _SECOND)
    return z ^ (z >> 31) & _AFTER_31


def _absorb(z: Any, counter: Counter) -> Any:
    if isinstance(counter, int):
        step: Any = _signed((counter + 1) * GOLDEN)
        return _mix_one(_signed(z + step)) if isinstance(z, int) else _mix(z + step)
    if not isinstance(counter, Tensor):
        counter = np.atleast_1d(
            np.asarray(counter, dtype=np.int64)
        )  # 0-d would warn on wrap-around
    elif counter.dtype != torch.int64:
        counter = counter.to(torch.int64)
    return _mix(z + (counter + 1) * _GOLDEN)


def state(*counters: Any, start: int = 0) -> Any:
    """Absorb counters into a 64-bit generator state; `hash_bits` is its top 53 bits.

    For a caller that absorbs the last, widest counter itself (the compiled masking).

    Examples
    --------
    >>> state(0) == -2152535657050944081  # splitmix64's first output for seed 0, 0xE220A8397B1DCDAF
    True
    """
    z: Any = start
    for counter in counters:
        z = _absorb(z, int(counter) if isinstance(counter, np.integer) else counter)
    return z


def hash_bits(*counters: Any, start: int = 0) -> Any:
    """Turn counters into 53 random bits.

    Parameters
    ----------
    *counters : int, or int64 tensors, or int64 numpy arrays
        Broadcast against each other; their order matters. Put the widest last: the
        work on all of them together is that of one.
    start : int
        A `state` that has absorbed the counters before these.

    Returns
    -------
    int64 tensor (numpy array where a numpy array came in), values in [0, 2**53)

    References
    ----------
    Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014.

    Examples
    --------
    >>> hash_bits(7, torch.arange(2))
    tensor([8245173050656144, 3552955418035034])
    >>> hash_bits(7, np.arange(2))
    array([8245173050656144, 3552955418035034])
    >>> int(hash_bits(7, 1))
    3552955418035034
    """
    bits = (state(*counters, start=start) >> (64 - BITS)) & _AFTER_11
    return torch.tensor(bits) if isinstance(bits, int) else bits


def uniform(*counters: Any) -> Any:
    """Draw float64 numbers in [0, 1), one for every combination of the counters.

    Examples
    --------
    >>> uniform(7, torch.arange(2))
    tensor([0.9154, 0.3945], dtype=torch.float64)
    """
    bits = hash_bits(*counters)
    return (
        bits.to(torch.float64) if isinstance(bits, Tensor) else bits.astype(np.float64)
    ) * 2.0**-BITS


def integers(high: int, *counters: Any) -> Any:
    """Draw int64 numbers in [0, high), one for every combination of the counters.

    Parameters
    ----------
    high : int
        1 to 2**31 - 1.

    Examples
    --------
    >>> integers(6, 0, torch.arange(8)).tolist()
    [3, 4, 2, 3, 4, 0, 4, 1]
    """
    if not 0 < high < 1 << 31:
        raise ValueError(f"integers: high is {high}, not in [1, 2**31)")
    return scaled(high, hash_bits(*counters))


def scaled(high: int, bits: Any) -> Any:
    """Bring 53 random bits to [0, high), with integers alone.

    Examples
    --------
    >>> scaled(6, torch.tensor([0, 2**52, 2**53 - 1])).tolist()
    [0, 3, 5]
    """
    return ((bits >> (BITS - 32)) * high) >> 32


def threshold(probability: float) -> int:
    """The bound below which `hash_bits` falls with this probability.

    Examples
    --------
    >>> threshold(0.5) == 2**52
    True
    """
    return round(min(max(probability, 0.0), 1.0) * 2**BITS)


def permutation(n: int, *counters: int) -> Array:
    """Shuffle 0..n-1 as a function of the counters alone.

    The rows are sorted by their hash rather than drawn from `numpy.random`, whose
    streams may change between numpy releases.

    Returns
    -------
    int64 numpy array (n,)

    Examples
    --------
    >>> permutation(5, 1, 2).tolist()
    [1, 3, 4, 0, 2]
    >>> sorted(permutation(100, 3).tolist()) == list(range(100))
    True
    """
    return np.argsort(hash_bits(*counters, np.arange(n)), kind="stable")


def scrambled(index: Any, n: int, *counters: int) -> Any:
    """Place numbers of 0..n-1 in a shuffled order, point by point: the shuffle itself is never
    written down.

    A Feistel network over the next power of two; a number that lands at n or above goes
    through it again until it lands below (cycle walking), at most twice on average.

    Parameters
    ----------
    index : int64 numpy array or tensor
        Numbers in [0, n).
    n : int
        1 to 2**40.
    *counters : int
        Which shuffle: seed, epoch.

    Returns
    -------
    int64, same kind and shape
        A permutation: over all of 0..n-1 every number comes once.

    Raises
    ------
    ValueError
        If n or an index is out of range.

    References
    ----------
    Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.

    Examples
    --------
    >>> scrambled(np.arange(6), 6, 1).tolist()
    [5, 2, 1, 4, 3, 0]
    >>> scrambled(torch.tensor([0, 10**12]), 10**12 + 1, 1, 2).tolist()
    [589554628582, 200800632104]
    """
    if not 1 <= n <= 1 << 40:
        raise ValueError(f"scrambled: n is {n}, not in [1, 2**40]")
    torchy = isinstance(index, Tensor)
    out = index.to(torch.int64) if torchy else np.asarray(index, dtype=np.int64)
    flat = out.reshape(-1)
    if len(flat) and not (int(flat.min()) >= 0 and int(flat.max()) < n):
        raise ValueError(f"scrambled: an index is outside [0, {n})")
    if n == 1 or not len(flat):
        return out
    begun = state(*counters)
    keys = [_absorb(begun, turn) for turn in range(_ROUNDS)]
    flat = _feistel(flat, n, keys)
    while len(away := (flat >= n).nonzero()[:, 0] if torchy else np.flatnonzero(flat >= n)):
        flat[away] = _feistel(flat[away], n, keys)
    return flat.reshape(out.shape)


_ROUNDS = 8


def _feistel(z: Any, n: int, keys: list[int]) -> Any:
    """One bijection of [0, 2**b), b bits being what n - 1 takes: halves of b // 2 bits and the rest
    in turn.
    """
    bits = max((n - 1).bit_length(), 2)
    low_bits = bits // 2
    low, high = z & ((1 << low_bits) - 1), z >> low_bits
    for first, second in zip(keys[::2], keys[1::2], strict=True):
        high = high ^ (state(low, start=first) >> 11) & ((1 << (bits - low_bits)) - 1)
        low = low ^ (state(high, start=second) >> 11) & ((1 << low_bits) - 1)
    return high << low_bits | low

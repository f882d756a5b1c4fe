"""The compiled loops of `_fused`: imported only where numba is there, and only when first called.

At module level, so that numba's cache beside the module serves the next process.
Written without carried state where it counts, so that they become vector instructions.
"""

from typing import Any

import numpy as np
from numba import njit, uint8, uint32, uint64

_fast: Any = njit(cache=True, nogil=True)
_GOLDEN, _M1, _M2 = uint64(0x9E3779B97F4A7C15), uint64(0xBF58476D1CE4E5B9), uint64(0x94D049BB133111EB)


@_fast
def _bits(state: Any, counter: Any) -> Any:
    z = uint64(state) + (uint64(counter) + uint64(1)) * _GOLDEN
    z = (z ^ (z >> uint64(30))) * _M1
    z = (z ^ (z >> uint64(27))) * _M2
    return (z ^ (z >> uint64(31))) >> uint64(11)


@_fast
def _append(a: Any, a_width: int, b: Any, b_width: int, n: int, out: Any) -> None:
    """Words of a_width + b_width digits from the two; slices, so that no index can be negative."""
    power, tail = uint32(1 << (2 * b_width)), b[a_width:]
    for i in range(n):
        out[i] = uint32(a[i] * power) | tail[i]


@_fast
def kmer_ids(codes: Any, k: int, stride: int, buffers: Any, out: Any) -> None:
    width = codes.shape[1]
    for n in range(codes.shape[0]):
        row, ids = codes[n], out[n]
        word, done, spare, spare_2 = buffers[0], buffers[1], buffers[2], buffers[3]
        letters = uint8(0)
        for i in range(width):
            letters |= row[i]
        for i in range(width):
            high = (row[i] >> uint8(1)) & uint8(1)
            word[i] = uint8(high | (((row[i] & uint8(1)) ^ high) << uint8(1)))  # A C G T -> 0 2 3 1
        word_width, done_width, rest = 1, 0, k
        while rest > 0:
            if rest & 1:
                if done_width == 0:
                    for i in range(width - word_width + 1):
                        done[i] = word[i]
                else:
                    _append(done, done_width, word, word_width, width - done_width - word_width + 1, spare)
                    done, spare = spare, done
                done_width += word_width
            rest >>= 1
            if rest > 0:
                _append(word, word_width, word, word_width, max(width - 2 * word_width + 1, 0), spare_2)
                word, spare_2 = spare_2, word
                word_width *= 2
        if stride == 1:
            for t in range(ids.shape[0]):
                ids[t] = np.int64(done[t]) + 5
        else:
            for t in range(ids.shape[0]):
                ids[t] = np.int64(done[t * stride]) + 5
        if letters > 3:
            last = -1  # the latest letter that is no base
            for i in range(width):
                if row[i] > 3:
                    last = i
                start = i - k + 1
                if start >= 0 and last >= start and start % stride == 0:
                    ids[start // stride] = 1


@_fast
def mask_tokens(
    ids: Any, maskable: Any, states: Any, left: int, right: int, limits: Any, random_range: Any, masked: Any,
    labels: Any,
) -> None:  # fmt: skip
    n_rows, length = ids.shape
    centre_limit, mask_limit, random_limit = uint64(limits[0]), uint64(limits[1]), uint64(limits[2])
    lowest, high = random_range[0], uint64(random_range[1])
    centre = np.zeros(length, dtype=np.bool_)
    for n in range(n_rows):
        row, allowed, out, label = ids[n], maskable[n], masked[n], labels[n]
        centre_state, fate_state, random_state = states[n, 0], states[n, 1], states[n, 2]
        for i in range(length):
            centre[i] = _bits(centre_state, i) < centre_limit
        for i in range(length):
            out[i] = row[i]
            label[i] = -100
        done = 0  # positions before it have been settled
        for i in range(length):
            if centre[i] and allowed[i]:
                end = min(i + right + 1, length)
                for j in range(max(i - left, done), end):
                    if allowed[j]:
                        label[j] = row[j]
                        fate = _bits(fate_state, j)
                        if fate < mask_limit:
                            out[j] = 4
                        elif fate < random_limit:
                            draw = _bits(random_state, j) >> uint64(21)
                            out[j] = lowest + np.int64((draw * high) >> uint64(32))
                done = max(done, end)

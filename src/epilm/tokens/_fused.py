"""The token functions as compiled loops, where numba is importable; the same results to the bit.

numba is optional on the training path (a GPU machine may have torch alone), so it
is imported at the first call, and every caller has a plain numpy or torch version
beside it. Arrays in, arrays filled in place. The loops are written without carried
state so that they become vector instructions: measured in benchmarks rows 1 and 2.
"""

import os
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

# EPILM_NO_NUMBA=1 takes the plain versions, to compare or where compiling is unwanted.
AVAILABLE = find_spec("numba") is not None and not os.environ.get("EPILM_NO_NUMBA")


class Loops(NamedTuple):
    """The compiled functions."""

    kmer_ids: Any
    mask_tokens: Any


def kmer_ids(codes: np.ndarray, k: int, stride: int, out: np.ndarray) -> None:
    """Fill `out` (N, L) int64 with the ids of `codes` (N, W) uint8; `out` may be a strided view."""
    buffers = np.empty((4, codes.shape[1]), dtype=np.uint32)
    loops().kmer_ids(codes, k, stride, buffers, out)


def mask_tokens(
    ids: np.ndarray,
    maskable: np.ndarray,
    states: np.ndarray,
    left: int,
    right: int,
    limits: tuple[int, int, int],
    random_range: tuple[int, int],
    masked: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Fill `masked` and `labels` (N, L) int64; the meaning is that of `epilm.tokens.masking`.

    `states` int64 (N, 3) are the generator's states before the position is absorbed, one for
    each of the three draws; `limits` the bounds below which a draw is a centre, [MASK], or random.
    """
    loops().mask_tokens(ids, maskable, states, left, right, limits, random_range, masked, labels)


@lru_cache(maxsize=1)
def loops() -> Loops:
    """Compile (once; numba keeps the result beside the module where it can write)."""
    from numba import njit, uint8, uint32, uint64

    golden, first, second = uint64(0x9E3779B97F4A7C15), uint64(0xBF58476D1CE4E5B9), uint64(0x94D049BB133111EB)
    fast: Any = njit(cache=True, nogil=True)

    @fast
    def bits(state: Any, counter: Any) -> Any:
        z = uint64(state) + (uint64(counter) + uint64(1)) * golden
        z = (z ^ (z >> uint64(30))) * first
        z = (z ^ (z >> uint64(27))) * second
        return (z ^ (z >> uint64(31))) >> uint64(11)

    @fast
    def append(a: Any, a_width: int, b: Any, b_width: int, n: int, out: Any) -> None:
        """Words of a_width + b_width digits from the two; slices, so that no index can be negative."""
        power, tail = uint32(1 << (2 * b_width)), b[a_width:]
        for i in range(n):
            out[i] = uint32(a[i] * power) | tail[i]

    @fast
    def kmers(codes: Any, k: int, stride: int, buffers: Any, out: Any) -> None:
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
                        append(done, done_width, word, word_width, width - done_width - word_width + 1, spare)
                        done, spare = spare, done
                    done_width += word_width
                rest >>= 1
                if rest > 0:
                    append(word, word_width, word, word_width, max(width - 2 * word_width + 1, 0), spare_2)
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

    @fast
    def mask(
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
                centre[i] = bits(centre_state, i) < centre_limit
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
                            fate = bits(fate_state, j)
                            if fate < mask_limit:
                                out[j] = 4
                            elif fate < random_limit:
                                draw = bits(random_state, j) >> uint64(21)
                                out[j] = lowest + np.int64((draw * high) >> uint64(32))
                    done = max(done, end)

    return Loops(kmers, mask)

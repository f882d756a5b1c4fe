"""The compiled loops of `_fused`: imported only where numba is there, and only when first called.

At module level, so that numba's cache beside the module serves the next process.
Written without carried state where it counts, so that they become vector instructions.
"""

from typing import Any

import numpy as np
from numba import njit, uint8, uint64

_fast: Any = njit(cache=True, nogil=True)
_GOLDEN, _M1, _M2 = (
    uint64(0x9E3779B97F4A7C15),
    uint64(0xBF58476D1CE4E5B9),
    uint64(0x94D049BB133111EB),
)


@_fast
def _mixed(state: Any, counter: Any) -> Any:
    """A counter absorbed into a state: `tokens.random.state`, to the bit."""
    z = uint64(state) + (uint64(counter) + uint64(1)) * _GOLDEN
    z = (z ^ (z >> uint64(30))) * _M1
    z = (z ^ (z >> uint64(27))) * _M2
    return z ^ (z >> uint64(31))


@_fast
def _append(left: Any, right: Any, power: int, n: int, out: Any) -> None:
    """Words of two words, left * 4**(width of right) + right; the product narrows to the type of
    `out`.
    """
    for i in range(n):
        out[i] = left[i] * power + right[i]


@_fast
def _kmer_row(row: Any, k: int, stride: int, buffers: Any, ids: Any) -> None:
    """Join single digits to pairs, pairs to fours...: log2(k) passes of vector instructions."""
    width = row.shape[0]
    letters = uint8(0)
    for i in range(width):
        letters |= row[i]
    word, done, used = buffers[0], buffers[0], 1
    for i in range(width):
        high = (row[i] >> uint8(1)) & uint8(1)
        word[i] = uint8(high | (((row[i] & uint8(1)) ^ high) << uint8(1)))  # A C G T -> 0 2 3 1
    word_width, done_width, rest = 1, 0, k
    while rest > 0:
        if rest & 1:
            if done_width == 0:
                done = word
            else:
                n_words = width - done_width - word_width + 1
                _append(done, word[done_width:], 1 << (2 * word_width), n_words, buffers[used])
                done, used = buffers[used], used + 1
            done_width += word_width
        rest >>= 1
        if rest > 0:
            n_words = max(width - 2 * word_width + 1, 0)
            _append(word, word[word_width:], 1 << (2 * word_width), n_words, buffers[used])
            word, used = buffers[used], used + 1
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
def _mask_row(
    row: Any,
    allowed: Any,
    key: Any,
    bases: Any,
    span: Any,
    limits: Any,
    random_range: Any,
    out: Any,
    label: Any,
    centre: Any,
) -> None:
    """Mask one sequence; `out` may be `row` itself. Settles every hidden token once, left to
    right.
    """
    length = row.shape[0]
    centre_state, fate_state = _mixed(bases[0], key), _mixed(bases[1], key)
    random_state = _mixed(bases[2], key)
    centre_limit, mask_limit, random_limit = uint64(limits[0]), uint64(limits[1]), uint64(limits[2])
    for i in range(length):
        centre[i] = (_mixed(centre_state, i) >> uint64(11)) < centre_limit
    for i in range(length):
        out[i] = row[i]
    for i in range(length):
        label[i] = -100
    done = 0  # positions before it have been settled
    for i in range(length):
        if centre[i] and allowed[i]:
            end = min(i + span[1] + 1, length)
            for j in range(max(i - span[0], done), end):
                if allowed[j]:
                    label[j] = row[j]
                    fate = _mixed(fate_state, j) >> uint64(11)
                    if fate < mask_limit:
                        out[j] = 4
                    elif fate < random_limit:
                        draw = _mixed(random_state, j) >> uint64(32)
                        out[j] = random_range[0] + np.int64(
                            (draw * uint64(random_range[1])) >> uint64(32)
                        )
            done = max(done, end)


@_fast
def kmer_ids(codes: Any, k: int, stride: int, buffers: Any, out: Any) -> None:
    for n in range(codes.shape[0]):
        _kmer_row(codes[n], k, stride, buffers, out[n])


@_fast
def mask_tokens(
    ids: Any,
    maskable: Any,
    keys: Any,
    bases: Any,
    span: Any,
    limits: Any,
    random_range: Any,
    masked: Any,
    labels: Any,
) -> None:
    centre = np.empty(ids.shape[1], dtype=np.bool_)
    for n in range(ids.shape[0]):
        _mask_row(
            ids[n],
            maskable[n],
            keys[n],
            bases,
            span,
            limits,
            random_range,
            masked[n],
            labels[n],
            centre,
        )

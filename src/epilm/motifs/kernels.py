"""The compiled loops of scanning: hits of a stretch, and one number for each region and motif.

Both walk stretches without N, let `simd` find the few positions that can matter (64 at a time,
never losing one), and score those again exactly. They release Python's lock, so threads share the
work. Used by scan and matrix only.
"""

# numba passes the typing context of an intrinsic itself; mypy cannot know.
# mypy: disable-error-code="call-arg,var-annotated"

import numpy as np
from numba import njit

from epilm.motifs.simd import (
    PAD,
    block_mask,
    deficits,
    passing,
    trailing_zeros,
)

PIECE = 4096
"""Positions that share one pass over the motifs: their words and shifted copies stay in the first
cache.
"""

TOP = 250
"""Steps between the best score and the lowest one that matters; more saturates towards 255."""


@njit(nogil=True, cache=True, inline="always")
def _passing_any(kind, tables, count, words, stride, blocks, budget, out):
    if count == 1:
        return passing(kind, 1, tables, count, words, stride, blocks, budget, out)
    if count == 2:
        return passing(kind, 2, tables, count, words, stride, blocks, budget, out)
    if count == 3:
        return passing(kind, 3, tables, count, words, stride, blocks, budget, out)
    if count == 4:
        return passing(kind, 4, tables, count, words, stride, blocks, budget, out)
    if count == 5:
        return passing(kind, 5, tables, count, words, stride, blocks, budget, out)
    if count == 6:
        return passing(kind, 6, tables, count, words, stride, blocks, budget, out)
    if count == 7:
        return passing(kind, 7, tables, count, words, stride, blocks, budget, out)
    if count == 8:
        return passing(kind, 8, tables, count, words, stride, blocks, budget, out)
    return passing(kind, 0, tables, count, words, stride, blocks, budget, out)


@njit(nogil=True, cache=True, inline="always")
def _deficits_any(kind, tables, count, words, stride, blocks, beyond, out):
    if count == 1:
        return deficits(kind, 1, tables, count, words, stride, blocks, beyond, out)
    if count == 2:
        return deficits(kind, 2, tables, count, words, stride, blocks, beyond, out)
    if count == 3:
        return deficits(kind, 3, tables, count, words, stride, blocks, beyond, out)
    if count == 4:
        return deficits(kind, 4, tables, count, words, stride, blocks, beyond, out)
    if count == 5:
        return deficits(kind, 5, tables, count, words, stride, blocks, beyond, out)
    if count == 6:
        return deficits(kind, 6, tables, count, words, stride, blocks, beyond, out)
    if count == 7:
        return deficits(kind, 7, tables, count, words, stride, blocks, beyond, out)
    if count == 8:
        return deficits(kind, 8, tables, count, words, stride, blocks, beyond, out)
    return deficits(kind, 0, tables, count, words, stride, blocks, beyond, out)


@njit(nogil=True, cache=True)
def _write_words(codes, start, end, bases, out, at):
    """Write the words of `bases` bases at the positions codes[start:end] to out[at:]; N counts as
    A.
    """
    for i in range(end - start):
        out[at + i] = codes[start + i] & 3
    if bases == 2:
        for i in range(end - start - 1):
            out[at + i] = (out[at + i] << 2) | out[at + i + 1]
    elif bases == 3:
        for i in range(end - start - 2):
            out[at + i] = (out[at + i] << 4) | (out[at + i + 1] << 2) | out[at + i + 2]
        if end - start >= 2:
            i = at + end - start - 2
            out[i] = (out[i] << 4) | (out[i + 1] << 2)
    if bases >= 2 and end > start:
        i = at + end - start - 1
        out[i] = out[i] << (2 * (bases - 1))


@njit(nogil=True, cache=True)
def _aligned(size):
    """Zeroed bytes whose first is at a multiple of 64."""
    store = np.zeros(size + 64, dtype=np.uint8)
    shift = -store.ctypes.data % 64
    return store[shift : shift + size]


@njit(nogil=True, cache=True)
def _copy_shifted(words, stride, copies, bases, length):
    """Fill words[j * stride:] with words[j * bases:], so that the loads of lookup j are aligned."""
    for j in range(1, copies):
        shift = j * bases
        into, out_of = words[j * stride : j * stride + length], words[shift : shift + length]
        for i in range(length):
            into[i] = out_of[i]


@njit(nogil=True, cache=True)
def _next_run(codes, at, end):
    """Start and end of the next stretch without N at or after `at`."""
    while at < end and codes[at] > 3:
        at += 1
    stop = at
    while stop < end and codes[stop] < 4:
        stop += 1
    return at, stop


@njit(nogil=True, cache=True, inline="always")
def _forward(codes, at, pwm, first, width):
    total = 0.0
    for w in range(width):
        total += pwm[first + w, codes[at + w]]
    return total


@njit(nogil=True, cache=True, inline="always")
def _reverse(codes, at, pwm, first, width):
    total = 0.0
    for w in range(width):
        total += pwm[first + width - 1 - w, 3 - codes[at + w]]
    return total


@njit(nogil=True, cache=True)
def hits(
    kind,
    bases,
    lanes,
    codes,
    start,
    end,
    pwm,
    offset,
    tables,
    first,
    count,
    budget,
    cut,
    dedup,
    motifs,
    places,
    strands,
    scores,
):
    """Write the hits with a start in codes[start:end], motif by motif; return their number.

    Hits beyond the room of the outputs are counted, not written: the caller comes again with more
    room. Position 0 of the outputs is the position of `codes`. `budget` < 0 leaves a motif out.
    """
    room = len(places)
    n_hits = 0
    longest, copies = 0, 0
    for m in range(len(count)):
        longest = max(longest, offset[m + 1] - offset[m])
        copies = max(copies, count[m])
    stride = (PIECE + longest + PAD + 63) & -64
    words = _aligned((copies + 1) * stride)
    records = np.empty(3 * (PIECE // lanes + 2), dtype=np.int64)
    at = start
    while at < end:
        a, b = _next_run(codes, at, min(len(codes), min(at + PIECE, end) + longest - 1))
        at = b if b < min(at + PIECE, end) else min(at + PIECE, end)
        _write_words(codes, a, b, bases, words, 0)
        _copy_shifted(words, stride, copies, bases, b - a)
        for m in range(len(count)):
            width = offset[m + 1] - offset[m]
            positions = min(b - width + 1, at) - a
            if positions <= 0 or budget[m] < 0:
                continue
            blocks = (positions + lanes - 1) // lanes
            some = _passing_any(
                kind,
                tables.ctypes.data + 64 * first[m],
                count[m],
                words.ctypes.data,
                stride,
                blocks,
                budget[m],
                records.ctypes.data,
            )
            for k in range(some):
                base = records[3 * k] * lanes
                plus, minus = records[3 * k + 1], records[3 * k + 2]
                either = plus | minus
                while either != 0:
                    lane = trailing_zeros(either)
                    either &= either - 1
                    if base + lane >= positions:
                        break
                    position = a + base + lane
                    forward, reverse = -np.inf, -np.inf
                    if (plus >> lane) & 1:
                        forward = _forward(codes, position, pwm, offset[m], width)
                    if (minus >> lane) & 1:
                        reverse = _reverse(codes, position, pwm, offset[m], width)
                    up, down = forward >= cut[m], reverse >= cut[m]
                    if dedup and up and down:
                        up = (
                            forward >= reverse - 1e-9
                        )  # equal but for the order of summation: forward
                        down = not up
                    if up:
                        if n_hits < room:
                            motifs[n_hits] = m
                            places[n_hits] = position
                            strands[n_hits] = 1
                            scores[n_hits] = forward
                        n_hits += 1
                    if down:
                        if n_hits < room:
                            motifs[n_hits] = m
                            places[n_hits] = position
                            strands[n_hits] = -1
                            scores[n_hits] = reverse
                        n_hits += 1
    return n_hits


@njit(nogil=True, cache=True, inline="always")
def _triple_sum(exact, row, count, words, at):
    total = exact[row, words[at]]
    for j in range(1, count):
        total += exact[row + j, words[at + 3 * j]]
    return total


@njit(nogil=True, cache=True)
def best(
    kind,
    bases,
    lanes,
    codes,
    starts,
    ends,
    tables,
    first,
    count,
    exact,
    exact_first,
    width,
    floored,
    empty,
    out,
):
    """Write the best exact score of both strands for each region and motif into out (R, F).

    `floored`: the steps of the tables end at score 0, and what saturates is 0. Otherwise a motif
    that saturates in a region is scored exactly everywhere. `empty` stands where no window fits or
    all hold N.
    """
    group = 8  # regions that share one pass over the tables
    longest = 0
    for r in range(len(starts)):
        longest = max(longest, ends[r] - starts[r])
    longest = (longest + 63) & -64
    stride = group * longest + PAD
    copies = count.max()
    words = _aligned((copies + 1) * stride)
    triples = words if bases == 3 else np.zeros(group * longest + PAD, dtype=np.uint8)
    values = _aligned(longest + 2 * lanes)
    beyond = np.zeros(2 * lanes, dtype=np.uint8)
    beyond[lanes:] = 255
    runs = np.empty((64, 3), dtype=np.int64)
    shortest = width.min()
    for head in range(0, len(starts), group):
        filled, known = 0, 0
        for r in range(head, min(head + group, len(starts))):
            _write_words(codes, starts[r], ends[r], bases, words, filled)
            if bases != 3:
                _write_words(codes, starts[r], ends[r], 3, triples, filled)
            at = starts[r]
            while at < ends[r]:
                a, b = _next_run(codes, at, ends[r])
                at = b
                if b - a >= shortest:
                    if known == len(runs):
                        longer = np.empty((2 * known, 3), dtype=np.int64)
                        longer[:known] = runs
                        runs = longer
                    runs[known, 0], runs[known, 1], runs[known, 2] = (
                        r,
                        filled + a - starts[r],
                        b - a,
                    )
                    known += 1
            filled += longest
            for m in range(len(count)):
                out[r, m] = -np.inf
        _copy_shifted(words, stride, copies, bases, filled)
        for m in range(len(count)):
            n = (width[m] + 2) // 3
            row = exact_first[m]
            for k in range(known):
                r, origin = runs[k, 0], runs[k, 1]
                positions = runs[k, 2] - width[m] + 1
                if positions <= 0:
                    continue
                blocks = (positions + lanes - 1) // lanes
                least = _deficits_any(
                    kind,
                    tables.ctypes.data + 64 * first[m],
                    count[m],
                    words.ctypes.data + origin,
                    stride,
                    blocks,
                    beyond.ctypes.data + blocks * lanes - positions,
                    values.ctypes.data,
                )
                top = out[r, m]
                if least >= TOP:
                    if floored:
                        top = max(top, 0.0)
                    else:
                        for i in range(positions):
                            top = max(top, _triple_sum(exact, row, n, triples, origin + i))
                            top = max(top, _triple_sum(exact, row + n, n, triples, origin + i))
                else:
                    # each lookup lost less than one step, so the best lies less than `count` steps
                    # above
                    bound = min(least + count[m] - 1, 254)
                    for block in range(blocks):
                        bits = block_mask(kind, values.ctypes.data + block * lanes, bound)
                        while bits != 0:
                            i = origin + block * lanes + trailing_zeros(bits)
                            bits &= bits - 1
                            top = max(top, _triple_sum(exact, row, n, triples, i))
                            top = max(top, _triple_sum(exact, row + n, n, triples, i))
                    if floored:
                        top = max(top, 0.0)
                out[r, m] = top
        for r in range(head, min(head + group, len(starts))):
            for m in range(len(count)):
                if out[r, m] == -np.inf:
                    out[r, m] = empty


@njit(nogil=True, cache=True)
def tallies(
    kind,
    bases,
    lanes,
    codes,
    starts,
    ends,
    pwm,
    offset,
    tables,
    first,
    count,
    budget,
    cut,
    how,
    out,
):
    """Count (how 0) or sum the scores (how 1) of the hits of each region, once a position, into out
    (R, F).
    """
    longest = 0
    for r in range(len(starts)):
        longest = max(longest, ends[r] - starts[r])
    stride = (longest + PAD + 63) & -64
    copies = count.max()
    words = _aligned((copies + 1) * stride)
    records = np.empty(3 * (longest // lanes + 2), dtype=np.int64)
    for r in range(len(starts)):
        _write_words(codes, starts[r], ends[r], bases, words, 0)
        _copy_shifted(words, stride, copies, bases, ends[r] - starts[r])
        for m in range(len(count)):
            out[r, m] = 0.0
        at = starts[r]
        while at < ends[r]:
            a, b = _next_run(codes, at, ends[r])
            at = b
            for m in range(len(count)):
                width = offset[m + 1] - offset[m]
                positions = b - a - width + 1
                if positions <= 0 or budget[m] < 0:
                    continue
                some = _passing_any(
                    kind,
                    tables.ctypes.data + 64 * first[m],
                    count[m],
                    words.ctypes.data + (a - starts[r]),
                    stride,
                    (positions + lanes - 1) // lanes,
                    budget[m],
                    records.ctypes.data,
                )
                total = 0.0
                for k in range(some):
                    base = records[3 * k] * lanes
                    plus, minus = records[3 * k + 1], records[3 * k + 2]
                    either = plus | minus
                    while either != 0:
                        lane = trailing_zeros(either)
                        either &= either - 1
                        if base + lane >= positions:
                            break
                        position = a + base + lane
                        score = -np.inf
                        if (plus >> lane) & 1:
                            score = _forward(codes, position, pwm, offset[m], width)
                        if (minus >> lane) & 1:
                            score = max(score, _reverse(codes, position, pwm, offset[m], width))
                        if score >= cut[m]:
                            total += score if how == 1 else 1.0
                out[r, m] += total


@njit(nogil=True, cache=True)
def occupancies(codes, starts, ends, odds, odds_first, width, out):
    """Write ln(1 + sum of odds over positions and strands) for each region and motif into out (R,
    F).

    `odds` holds the products of odds of three bases each, forward then reverse.
    """
    longest = 0
    for r in range(len(starts)):
        longest = max(longest, ends[r] - starts[r])
    words = np.zeros(longest + PAD, dtype=np.uint8)
    for r in range(len(starts)):
        _write_words(codes, starts[r], ends[r], 3, words, 0)
        for m in range(len(width)):
            out[r, m] = 0.0
        at = starts[r]
        while at < ends[r]:
            a, b = _next_run(codes, at, ends[r])
            at = b
            for m in range(len(width)):
                n = (width[m] + 2) // 3
                row = odds_first[m]
                total = 0.0
                for i in range(a - starts[r], b - starts[r] - width[m] + 1):
                    forward = odds[row, words[i]]
                    reverse = odds[row + n, words[i]]
                    for j in range(1, n):
                        word = words[i + 3 * j]
                        forward *= odds[row + j, word]
                        reverse *= odds[row + n + j, word]
                    total += forward + reverse
                out[r, m] += total
        for m in range(len(width)):
            out[r, m] = np.log1p(out[r, m])

"""Shuffles of a DNA sequence that keep its dinucleotides: negatives that look alike.

Altschul and Erikson's method: dinucleotides are edges of a graph over bases,
and every walk that uses each edge once has the same counts. Which edge is used
last at each base must form a tree to the final base; drawing those edges anew
until they do makes every tree, and so every shuffle, equally likely. A sequence
is a function of (seed, row) alone. Numpy; numba where there.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


def _walk(codes: Codes, draws: Any, out: Codes) -> None:
    """Write one uniform dinucleotide shuffle of `codes` (letters 0..4) to `out`."""
    length = len(codes)
    last = codes[length - 1]
    # Edges grouped by the base they leave: edges[first[b] : first[b + 1]] are the followers of b.
    count = np.zeros(5, np.int64)
    for i in range(length - 1):
        count[codes[i]] += 1
    first = np.zeros(6, np.int64)
    for b in range(5):
        first[b + 1] = first[b] + count[b]
    edges = np.zeros(length, np.uint8)
    fill = first[:5].copy()
    for i in range(length - 1):
        edges[fill[codes[i]]] = codes[i + 1]
        fill[codes[i]] += 1
    # The last edge of every base, until all of them lead to the final base.
    chosen = np.zeros(5, np.int64)
    while True:
        for b in range(5):
            if count[b] and b != last:
                chosen[b] = first[b] + int(draws.random() * count[b])
        whole = True
        for b in range(5):
            if count[b] and b != last:
                at, steps = b, 0
                while at != last and steps < 5:
                    at = int(edges[chosen[at]])
                    steps += 1
                if at != last:
                    whole = False
        if whole:
            break
    for b in range(5):
        stop = first[b + 1]
        if count[b] and b != last:
            stop -= 1
            edge = edges[chosen[b]]
            edges[chosen[b]] = edges[stop]
            edges[stop] = edge
        for i in range(stop - 1, first[b], -1):
            j = first[b] + int(draws.random() * (i - first[b] + 1))
            edge = edges[i]
            edges[i] = edges[j]
            edges[j] = edge
    at = int(codes[0])
    out[0] = at
    for i in range(1, length):
        following = edges[first[at]]
        first[at] += 1
        at = int(following)
        out[i] = at


_fast_walk: Callable[[Codes, Any, Codes], None] | None = None


def _walker(letters: int) -> Callable[[Codes, Any, Codes], None]:
    """Compiled where it pays: compiling costs a second or two, once a process."""
    global _fast_walk
    if _fast_walk is None and letters > 200_000:
        try:
            from numba import njit
        except ImportError:
            _fast_walk = _walk
        else:
            _fast_walk = njit(nogil=True)(_walk)
    return _fast_walk or _walk


def dinucleotide_shuffle(
    codes: Codes, generator: np.random.Generator, *, n: Literal["stretches", "letter"] = "stretches"
) -> Codes:
    """Draw one sequence among all that have the dinucleotide counts of this one.

    Parameters
    ----------
    codes : uint8 (L,)
        Bases 0..3, 4 for N.
    generator : numpy Generator
        Moved on by the draws.
    n : {"stretches", "letter"}
        "stretches" shuffles inside each stretch without N and leaves N where it is;
        "letter" takes N as a fifth base.

    Returns
    -------
    uint8 (L,)
        Same length, same dinucleotide counts, same first and last base; each
        possible sequence equally likely, the original among them.

    References
    ----------
    Altschul SF, Erikson BW. Significance of nucleotide sequence alignments. Mol Biol Evol 1985;
    2:526.

    Examples
    --------
    >>> only = np.array([0, 0, 1, 2, 3], np.uint8)  # AACGT has one arrangement
    >>> dinucleotide_shuffle(only, np.random.default_rng(0)).tolist()
    [0, 0, 1, 2, 3]
    """
    codes = np.ascontiguousarray(codes, np.uint8)
    out = codes.copy()
    walk = _walker(len(codes))
    for start, stop in _stretches(codes, n):
        walk(codes[start:stop], generator, out[start:stop])
    return out


class Shuffled(NamedTuple):
    """Shuffles of many sequences.

    `unchanged` marks rows that came out as they went in; `fallback` rows that were
    shuffled base by base because no other arrangement of their dinucleotides was met.
    """

    codes: Codes
    unchanged: NDArray[np.bool_]
    fallback: NDArray[np.bool_]


def shuffle_rows(
    codes: Codes,
    lengths: NDArray[np.int64],
    seed: int,
    *,
    n: Literal["stretches", "letter"] = "stretches",
    redraw: int = 10,
    low_diversity: Literal["mononucleotide", "keep"] = "mononucleotide",
) -> Shuffled:
    """Shuffle each row by its own random numbers, a function of (seed, row number).

    Parameters
    ----------
    codes : uint8 (N, W), lengths : int64 (N,)
        Padded rows; what lies after a row's length stays.
    seed : int
    n : {"stretches", "letter"}
        See `dinucleotide_shuffle`.
    redraw : int
        How often a row that came out unchanged is drawn again.
    low_diversity : {"mononucleotide", "keep"}
        What then: shuffle its bases without regard to neighbours, or keep it.
        A row of one letter stays as it is either way.

    Returns
    -------
    Shuffled

    Examples
    --------
    >>> row = np.array([[0, 2, 0, 1, 3, 0, 1]], np.uint8)  # AGACTAC: two arrangements
    >>> shuffle_rows(row, np.array([7]), seed=0).codes.tolist()
    [[0, 1, 3, 0, 2, 0, 1]]
    """
    out, rows = codes.copy(), len(codes)
    unchanged, fallback = np.zeros(rows, bool), np.zeros(rows, bool)
    walk = _walker(int(lengths.sum()))
    for row in range(rows):
        generator = np.random.default_rng([seed, row])
        source = np.ascontiguousarray(codes[row, : lengths[row]])
        target = out[row, : lengths[row]]
        pieces = _stretches(source, n)
        for _ in range(1 + redraw):
            for start, stop in pieces:
                walk(source[start:stop], generator, target[start:stop])
            if not np.array_equal(source, target):
                break
        else:
            if low_diversity == "mononucleotide":
                fallback[row] = True
                for start, stop in pieces:
                    target[start:stop] = generator.permutation(source[start:stop])
            unchanged[row] = np.array_equal(source, target)
    return Shuffled(out, unchanged, fallback)


def dinucleotide_counts(codes: Codes) -> NDArray[np.int64]:
    """Count neighbouring pairs of letters 0..4.

    Examples
    --------
    >>> dinucleotide_counts(np.array([0, 1, 0, 1], np.uint8))[0, 1]
    np.int64(2)
    """
    return np.bincount(codes[:-1].astype(np.int64) * 5 + codes[1:], minlength=25).reshape(5, 5)


def _stretches(codes: Codes, n: str) -> list[tuple[int, int]]:
    if n == "letter":
        return [(0, len(codes))] if len(codes) > 1 else []
    known = np.concatenate([[False], codes < 4, [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2]) if b - a > 1]

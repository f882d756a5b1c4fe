"""What each change of a base does: all substitutions, all deletions of a few bases.

Exact: each altered window is scored whole, once. Two deletions that leave the same bases (in a
run of one letter) are one window. Functions of sequences in, arrays out; no model is known here.
Axes: N windows, W bases, n explained bases.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from epilm.explaining.frames import MORE, Frame

Codes = NDArray[np.uint8]
Values = NDArray[np.float64]
Score = Callable[[Codes], Values]


def substituted(codes: Codes, first: int, last: int) -> tuple[Codes, NDArray[np.int64]]:
    """List every window with one base changed.

    Parameters
    ----------
    codes : uint8 (W,)
    first, last : int
        The bases to change, half-open; an N is left as it is.

    Returns
    -------
    windows : uint8 (N, W)
    which : int64 (N, 2)
        Base 0..3 that is put in, and where (from `first`).

    Examples
    --------
    >>> windows, which = substituted(np.array([0, 1, 4], np.uint8), 1, 3)
    >>> windows.tolist(), which.tolist()
    ([[0, 0, 4], [0, 2, 4], [0, 3, 4]], [[0, 0], [2, 0], [3, 0]])
    """
    places, bases = np.meshgrid(np.arange(first, last), np.arange(4), indexing="ij")
    at, base = places.ravel(), bases.ravel()
    keep = (codes[at] < 4) & (codes[at] != base)
    at, base = at[keep], base[keep]
    windows = np.repeat(codes[None], len(at), 0)
    windows[np.arange(len(at)), at] = base
    return windows, np.stack([base, at - first], 1)


def substitutions(score: Score, frame: Frame) -> Values:
    """Score every substitution of the explained bases.

    Parameters
    ----------
    score : function, uint8 (N, W) to float64 (N,)
    frame : Frame

    Returns
    -------
    float64 (4, n)
        Score of the window with base A, C, G, T there, less that of the window as it is: 0 at the
        base that stands there, NaN in all four rows of an N.

    Examples
    --------
    A score that counts G:

    >>> nothing = np.zeros(0, np.uint8)
    >>> frame = Frame("c", 0, np.array([2, 0, 1], np.uint8), nothing, 0, 2)
    >>> substitutions(lambda codes: (codes == 2).sum(1).astype(float), frame).tolist()
    [[-1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    """
    windows, which = substituted(frame.codes, frame.first, frame.last)
    out = np.full((4, frame.last - frame.first), np.nan)
    scored = score(np.concatenate([frame.codes[None], windows]))
    here = frame.codes[frame.first : frame.last]
    known = np.flatnonzero(here < 4)
    out[here[known], known] = 0
    out[which[:, 0], which[:, 1]] = scored[1:] - scored[0]
    return out


def deleted(frame: Frame, length: int, at: int) -> Codes:
    """Take `length` bases out of a window from `at` on; what follows moves up, and bases behind the
    window fill its end as far as there are any.

    Examples
    --------
    >>> two = np.array([3, 3], np.uint8)
    >>> deleted(Frame("c", 0, np.array([0, 1, 2], np.uint8), two, 0, 3), 1, 1).tolist()
    [0, 2, 3]
    """
    behind = frame.more[:length]
    return np.concatenate([frame.codes[:at], frame.codes[at + length :], behind])


def deletions(score: Score, frame: Frame, longest: int = MORE) -> Values:
    """Score every deletion of 1 to `longest` bases that begins and ends among the explained ones.

    Parameters
    ----------
    score : function, uint8 (N, W) to float64 (N,)
        Takes narrower windows where nothing is behind the frame's.
    frame : Frame
    longest : int
        1 to 10.

    Returns
    -------
    float64 (longest, n)
        Row d - 1, column i: score without the d bases from i on, less that of the window as it is;
        NaN where these are not all explained, or one of them is N.

    Examples
    --------
    >>> more = np.zeros(10, np.uint8)
    >>> frame = Frame("c", 0, np.array([2, 2, 1], np.uint8), more, 0, 3)
    >>> deletions(lambda codes: (codes == 2).sum(1).astype(float), frame, 2).tolist()
    [[-1.0, -1.0, 0.0], [-2.0, -1.0, nan]]
    """
    n = frame.last - frame.first
    out = np.full((longest, n), np.nan)
    whole = score(frame.codes[None])[0]
    unknown = np.concatenate([[0], np.cumsum(frame.codes > 3)])
    groups: dict[int, list[tuple[int, int, Codes]]] = {}
    for length in range(1, min(longest, n) + 1):
        for at in range(frame.first, frame.last - length + 1):
            window = deleted(frame, length, at)
            if unknown[at + length] == unknown[at] and len(window):
                groups.setdefault(len(window), []).append((length, at, window))
    for rows in groups.values():
        windows = np.stack([window for _, _, window in rows])
        different, back = np.unique(windows, axis=0, return_inverse=True)
        scored = score(different)[back.reshape(-1)]
        for (length, at, _), value in zip(rows, scored):
            out[length - 1, at - frame.first] = value - whole
    return out


def worth_of_substitutions(changes: Values, codes: Codes) -> tuple[Values, Values]:
    """Turn changes into what each base is worth beside the mean of the four.

    Parameters
    ----------
    changes : float64 (4, n)
        Of `substitutions`.
    codes : uint8 (n,)

    Returns
    -------
    worth : float64 (4, n)
        Changes less their mean over the four bases; NaN at N.
    scores : float64 (n,)
        That of the base that stands there: above 0 where it holds the output up.

    Examples
    --------
    >>> worth, scores = worth_of_substitutions(
    ...     np.array([[0.0], [-4.0], [0.0], [0.0]]), np.array([0])
    ... )
    >>> worth[:, 0].tolist(), scores.tolist()
    ([1.0, -3.0, 1.0, 1.0], [1.0])
    """
    worth = changes - changes.mean(0)
    return worth, at_base(worth, codes)


def at_base(table: Values, codes: Codes) -> Values:
    """Pick the value of the base that stands at each place, (4, n) to (n,); NaN at N."""
    picked = np.take_along_axis(table, np.minimum(codes, 3).astype(np.int64)[None], 0)[0]
    return np.where(codes < 4, picked, np.nan)


def worth_of_deletions(changes: Values) -> Values:
    """Give each base the mean loss over the deletions that take it out, (longest, n) to (n,).

    Examples
    --------
    >>> worth_of_deletions(np.array([[-1.0, 0.0], [-3.0, np.nan]])).tolist()
    [2.0, 1.5]
    """
    total, count = np.zeros(changes.shape[1]), np.zeros(changes.shape[1])
    for row, values in enumerate(changes):
        for at in np.flatnonzero(~np.isnan(values)):
            total[at : at + row + 1] -= values[at]
            count[at : at + row + 1] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

"""From scores to cuts: exact p-values of score matrices, and backgrounds.

A score is a natural logarithm of odds (MOODS' form). A p-value is the chance that one position of
one strand scores at least as high under independent bases. Cuts come from dynamic programming over
scores rounded so that the stated p is never exceeded; only the tail that matters is computed, which
is why it is fast. Needs numpy and numba; no torch. Used by scan and matrix.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from epilm.errors import InputError
from epilm.motifs.log_odds import UNIFORM, Floats, check_background

SLACK_NATS = 0.01
"""A cut is at most this much (0.0144 bit) stricter than the exact one."""

HEAD_WORDS = 4096
"""How many of a motif's best words have p-values counted word by word."""

SAME_NATS = 2e-5
"""Scores of one word may differ by this much: they are summed in single precision."""

Short = Literal["allow_best", "exact"]


def reverse_complement(pwm: Floats) -> Floats:
    """Scores of the other strand: columns and bases reversed.

    Examples
    --------
    >>> reverse_complement(np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])).tolist()
    [[8.0, 7.0, 6.0, 5.0], [4.0, 3.0, 2.0, 1.0]]
    """
    return np.ascontiguousarray(pwm[::-1, ::-1])


def base_background(codes: NDArray[np.uint8]) -> Floats:
    """Base composition of a sequence with both strands averaged (A = T, C = G) and one pseudocount.

    Parameters
    ----------
    codes : uint8 array, any shape
        A=0 C=1 G=2 T=3; other values (N) are not counted.

    Returns
    -------
    float64 array, shape (4,)

    Examples
    --------
    >>> base_background(np.array([0, 0, 0, 1, 4], dtype=np.uint8)).round(4).tolist()
    [0.3125, 0.1875, 0.1875, 0.3125]
    """
    return _symmetric(_count_bases(np.ascontiguousarray(codes).reshape(-1)))


def _symmetric(counts: NDArray[np.int64]) -> Floats:
    strong = (counts[1] + counts[2]) / 2 + 1.0
    weak = (counts[0] + counts[3]) / 2 + 1.0
    return np.array([weak, strong, strong, weak]) / (2 * (weak + strong))


@njit(nogil=True, cache=True)
def _count_bases(codes):
    counts = np.zeros(4, dtype=np.int64)
    for code in codes:
        if code < 4:
            counts[code] += 1
    return counts


@njit(nogil=True, cache=True)
def _count_region_bases(codes, starts, ends):
    counts = np.zeros((len(starts), 4), dtype=np.int64)
    for r in range(len(starts)):
        for i in range(starts[r], ends[r]):
            if codes[i] < 4:
                counts[r, codes[i]] += 1
    return counts


def gc_bins(
    codes: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], bins: int = 25
) -> tuple[NDArray[np.int64], Floats]:
    """Group regions by GC quantile and give each group the background of its own regions.

    Parameters
    ----------
    codes : uint8 array, shape (G,)
    starts, ends : int64 arrays, shape (R,)
        Half-open positions in `codes`.
    bins : int
        Number of quantile groups at most; ties in GC stay together.

    Returns
    -------
    int64 array, shape (R,)
        Group of each region, 0 the poorest in GC.
    float64 array, shape (groups, 4)
        Backgrounds, strands averaged, pseudocount 1.

    References
    ----------
    Domcke et al. 2020, call_peak_motifs.py (25 bins; a bin is scanned with its own background).

    Examples
    --------
    >>> codes = np.array([0, 0, 3, 3, 1, 1, 2, 2], dtype=np.uint8)
    >>> group, backgrounds = gc_bins(codes, np.array([4, 0]), np.array([8, 4]), bins=2)
    >>> group.tolist(), backgrounds.round(3).tolist()
    ([1, 0], [[0.375, 0.125, 0.125, 0.375], [0.125, 0.375, 0.375, 0.125]])
    """
    counts = _count_region_bases(codes, starts, ends)
    if not len(counts):
        return np.zeros(0, dtype=np.int64), np.zeros((0, 4))
    total = counts.sum(axis=1)
    gc = np.where(total > 0, (counts[:, 1] + counts[:, 2]) / np.maximum(total, 1), 0.0)
    inner = np.unique(np.quantile(gc, np.linspace(0, 1, bins + 1)[1:-1]))
    _, group = np.unique(np.searchsorted(inner, gc, side="left"), return_inverse=True)
    backgrounds = [_symmetric(counts[group == g].sum(axis=0)) for g in range(int(group.max()) + 1)]
    return group.astype(np.int64), np.stack(backgrounds)


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Score cuts of F motifs at one p-value.

    Parameters
    ----------
    scores : float64 array, shape (F,)
        A hit scores at least this; inf where no hit is possible.
    minimum_p : float64 array, shape (F,)
        Probability of the motif's best word: no smaller p exists.
    p : float
    short : str
        The rule for motifs with ``minimum_p > p``.
    """

    scores: Floats
    minimum_p: Floats
    p: float
    short: str

    @property
    def unreachable(self) -> NDArray[np.bool_]:
        """Motifs that cannot reach the cut: their best word is more likely than `p`."""
        return np.asarray(self.minimum_p > self.p)


def thresholds(
    pwms: Sequence[Floats],
    p: float,
    background: ArrayLike = UNIFORM,
    short: Short = "allow_best",
    threads: int = 1,
) -> Thresholds:
    """Score cuts of many motifs: the lowest score whose p-value does not exceed `p`.

    Parameters
    ----------
    pwms : sequence of float64 arrays, shape (W, 4)
        Log-odds in nats, as `log_odds` gives.
    p : float
        Per position and strand, between 0 and 1.
    background : array, shape (4,)
    short : {"allow_best", "exact"}
        A motif whose best word is more likely than `p` can have no hit at that p. "allow_best" puts
        the cut midway between its best and second-best score, so that the best word alone still
        hits (as MOODS); "exact" gives it no hit.
    threads : int

    Returns
    -------
    Thresholds
        P(score >= cut) <= p always holds (except "allow_best"); at most `SLACK_NATS` above the
        exact cut.

    Examples
    --------
    >>> from epilm.motifs.log_odds import log_odds
    >>> pwm = log_odds(np.eye(4)[[0] * 8])
    >>> cuts = thresholds([pwm, pwm[:6]], p=1e-4)
    >>> cuts.scores.round(2).tolist(), cuts.unreachable.tolist()
    ([5.72, 4.69], [False, True])
    """
    bg = check_background(background)
    if not 0 < p < 1:
        raise InputError("a p-value must lie between 0 and 1", found=p)
    if short not in ("allow_best", "exact"):
        raise InputError(f"unknown rule for short motifs {short!r}", expected="allow_best or exact")
    widths = np.array([len(pwm) for pwm in pwms], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    flat = np.concatenate([*pwms, np.zeros((0, 4))]).astype(np.float64)
    if not (np.isfinite(flat).any(axis=1).all() and not np.isnan(flat).any()):
        raise InputError("a score matrix has a column without any finite score, or NaN")
    scores, minimum = np.empty(len(pwms)), np.empty(len(pwms))
    allow = short == "allow_best"
    if threads <= 1 or len(pwms) < 2 * threads:
        _thresholds(flat, offsets, bg, p, allow, SLACK_NATS, 0, len(pwms), scores, minimum)
    else:
        with ThreadPoolExecutor(threads) as pool:
            edges = np.linspace(0, len(pwms), 4 * threads + 1).astype(int).tolist()
            jobs = [
                pool.submit(
                    _thresholds, flat, offsets, bg, p, allow, SLACK_NATS, a, b, scores, minimum
                )
                for a, b in pairwise(edges)
            ]
            for job in jobs:
                job.result()
    return Thresholds(scores, minimum, float(p), short)


def threshold(
    pwm: Floats, p: float, background: ArrayLike = UNIFORM, short: Short = "allow_best"
) -> float:
    """Score cut of one motif; see `thresholds`.

    Examples
    --------
    >>> from epilm.motifs.log_odds import log_odds
    >>> pwm = log_odds(np.eye(4)[[0] * 8])
    >>> round(threshold(pwm, 1e-7), 4), threshold(pwm, 1e-7, short="exact")
    (6.5256, inf)
    """
    return float(thresholds([pwm], p, background, short).scores[0])


def tail_table(
    pwm: Floats, background: ArrayLike = UNIFORM, bins: int = 8192
) -> tuple[Floats, float, float]:
    """P-values of a motif over its whole score range.

    Parameters
    ----------
    pwm : float64 array, shape (W, 4)
    background : array, shape (4,)
    bins : int
        Resolution over the range from best to worst finite score.

    Returns
    -------
    table : float64 array, shape (bins + W,)
        ``table[round((best - score) / step)]`` = P(a position scores at least `score`).
    best, step : float
        Best score and bin width, in nats.

    Examples
    --------
    >>> from epilm.motifs.log_odds import log_odds
    >>> table, best, step = tail_table(log_odds(np.eye(4)[[0, 1]]))
    >>> float(table[0]), float(table[-1])
    (0.0625, 1.0)
    """
    bg = check_background(background)
    top = pwm.max(axis=1, keepdims=True)
    deficit = top - pwm
    finite = np.where(np.isfinite(deficit), deficit, 0.0)
    step = max(float(finite.max(axis=1).sum()) / bins, 1e-9)
    size = bins + len(pwm)
    steps = np.where(np.isfinite(deficit), np.rint(finite / step), size).astype(np.int64)
    table = np.minimum(np.cumsum(_distribution(steps, bg, size)[:size]), 1.0)
    if np.isfinite(deficit).all():
        table[-1] = 1.0
    return table, float(top.sum()), step


class PValues:
    """P-values of a motif's scores: exact for its best words, from a table below them.

    A table of rounded scores counts words on the wrong side of a score, which is much where few
    words are as good: the best `HEAD_WORDS` are listed one by one instead.

    Parameters
    ----------
    pwm : float64 array, shape (W, 4)
    background : array, shape (4,)

    Examples
    --------
    >>> from epilm.motifs.log_odds import log_odds
    >>> values = PValues(log_odds(np.eye(4)[[0, 1]]))
    >>> (values(np.array([1.8326, 0.2231])) * 16).round(6).tolist()
    [1.0, 7.0]
    """

    def __init__(self, pwm: Floats, background: ArrayLike = UNIFORM) -> None:
        bg = check_background(background)
        self._table, self._best, self._step = tail_table(pwm, bg)
        deficit = pwm.max(axis=1, keepdims=True) - pwm
        order = np.argsort(deficit, axis=1)
        deficit, share = np.take_along_axis(deficit, order, axis=1), bg[order]
        first = np.ones(deficit.shape, dtype=bool)  # bases of one score count as one letter
        with np.errstate(invalid="ignore"):  # impossible bases
            first[:, 1:] = ~(np.diff(deficit, axis=1) < 1e-11)
        first[:, 1:] |= np.isinf(deficit[:, 1:]) & ~np.isinf(deficit[:, :-1])
        for b in (2, 1, 0):
            share[:, b] += np.where(first[:, b + 1], 0.0, share[:, b + 1])
        deficit = np.where(first, deficit, np.inf)
        order = np.argsort(deficit, axis=1, kind="stable")
        deficit = np.take_along_axis(deficit, order, axis=1)
        share = np.take_along_axis(share, order, axis=1)
        step, size = self._step, len(self._table)
        steps = _floor_steps(deficit, step, size)
        words = np.cumsum(_distribution(steps, np.ones(4), size))
        deepest = int(np.searchsorted(words, HEAD_WORDS, side="right")) - 1
        limit = deepest * step  # sums of steps rounded down: no more words than counted
        room = int(words[deepest]) + 1 if deepest >= 0 else 0
        sums, odds = np.empty(room), np.empty(room)
        n = _list_words(deficit, share, limit, sums, odds)
        order = np.argsort(sums[:n], kind="stable")
        self._sums, self._tails = sums[:n][order], np.cumsum(odds[:n][order])
        self._limit = limit

    def __call__(self, scores: Floats) -> Floats:
        """P(a position of one strand scores at least this) for each score.

        Parameters
        ----------
        scores : float array, any shape
            Nats. What falls short of a word's score by less than `SAME_NATS` is that score.

        Returns
        -------
        float64 array, same shape
        """
        below = self._best - np.asarray(scores, dtype=np.float64)
        at = np.clip(np.rint(below / self._step), 0, len(self._table) - 1).astype(np.int64)
        p = self._table[at]
        n = len(self._sums)
        if n:
            rank = np.searchsorted(self._sums, below + SAME_NATS, side="right")
            exact = self._tails[np.maximum(rank, 1) - 1]
            p = np.where(below + SAME_NATS <= self._limit, exact, np.maximum(p, self._tails[-1]))
        return np.minimum(p, 1.0)


@njit(nogil=True, cache=True)
def _list_words(deficit, share, limit, sums, odds):
    """Write deficit and probability of every word whose deficit is at most `limit`; bases of a
    column in ascending order, inf where there is none. Give their number.
    """
    width, n = len(deficit), 0
    if limit < 0:
        return n
    letter = np.zeros(width, dtype=np.int64)
    total, odd = np.zeros(width + 1), np.ones(width + 1)
    w = 0
    while w >= 0:
        if w == width:
            sums[n], odds[n] = total[w], odd[w]
            n += 1
            w -= 1
            letter[w] += 1
            continue
        b = letter[w]
        if b < 4 and total[w] + deficit[w, b] <= limit:
            total[w + 1] = total[w] + deficit[w, b]
            odd[w + 1] = odd[w] * share[w, b]
            w += 1
            if w < width:
                letter[w] = 0
        else:  # the rest of the column is no better
            w -= 1
            if w >= 0:
                letter[w] += 1
    return n


@njit(nogil=True, cache=True)
def _distribution(steps, bg, size):
    """Probabilities of total deficits 0 .. size-1; steps (W, 4) whole numbers, deficits beyond are
    dropped.
    """
    now, following = np.zeros(size), np.zeros(size)
    now[0] = 1.0
    end = 1  # both are zero from here on
    shift = np.empty(4, dtype=np.int64)
    share = np.empty(4)
    for w in range(len(steps)):
        reach = end
        for b in range(4):  # shortest shift first
            at = b
            while at > 0 and shift[at - 1] > steps[w, b]:
                shift[at], share[at] = shift[at - 1], share[at - 1]
                at -= 1
            shift[at], share[at] = steps[w, b], bg[b]
        for b in range(4):
            if shift[b] < size:
                reach = min(max(reach, end + shift[b]), size)
        s0, s1, s2, s3 = (
            min(shift[0], reach),
            min(shift[1], reach),
            min(shift[2], reach),
            min(shift[3], reach),
        )
        g0, g1, g2, g3 = share[0], share[1], share[2], share[3]
        following[:s0] = 0.0
        # slices, not sums of indices: the loops become vector instructions
        into, n0 = following[s0:s1], now[: s1 - s0]
        for i in range(len(into)):
            into[i] = n0[i] * g0
        into, n0, n1 = following[s1:s2], now[s1 - s0 : s2 - s0], now[: s2 - s1]
        for i in range(len(into)):
            into[i] = n0[i] * g0 + n1[i] * g1
        into, n0, n1, n2 = (
            following[s2:s3],
            now[s2 - s0 : s3 - s0],
            now[s2 - s1 : s3 - s1],
            now[: s3 - s2],
        )
        for i in range(len(into)):
            into[i] = n0[i] * g0 + n1[i] * g1 + n2[i] * g2
        into, n0, n1 = following[s3:reach], now[s3 - s0 : reach - s0], now[s3 - s1 : reach - s1]
        n2, n3 = now[s3 - s2 : reach - s2], now[: reach - s3]
        for i in range(len(into)):
            into[i] = n0[i] * g0 + n1[i] * g1 + n2[i] * g2 + n3[i] * g3
        now, following, end = following, now, reach
    return now


@njit(nogil=True, cache=True)
def _last_within(mass, p):
    """Largest index d with sum(mass[:d+1]) <= p; -1 when already mass[0] exceeds p."""
    total = 0.0
    for d in range(len(mass)):
        total += mass[d]
        if total > p:
            return d - 1
    return len(mass) - 1


@njit(nogil=True, cache=True)
def _floor_steps(deficit, step, size):
    steps = np.empty(deficit.shape, dtype=np.int64)
    for w in range(len(deficit)):
        for b in range(4):
            value = deficit[w, b] / step
            steps[w, b] = int(value) if value < size else size
    return steps


@njit(nogil=True, cache=True)
def _thresholds(flat, offsets, bg, p, allow_best, slack, first, last, scores, minimum):
    for m in range(first, last):
        pwm = flat[offsets[m] : offsets[m + 1]]
        width = len(pwm)
        best, least, reach, gap = 0.0, 1.0, 0.0, np.inf
        deficit = np.empty((width, 4))
        order = np.empty(width)
        for w in range(width):
            top = pwm[w].max()
            best += top
            share, deepest = 0.0, 0.0
            for b in range(4):
                below = top - pwm[w, b]
                deficit[w, b] = below
                if below < 1e-11:  # equal but for rounding
                    deficit[w, b] = 0.0
                    share += bg[b]
                else:
                    gap = min(gap, below)
                    if below != np.inf:
                        deepest = max(deepest, below)
            least *= share
            reach += deepest
            order[w] = deepest
        minimum[m] = least
        if least > p:
            if not allow_best:
                scores[m] = np.inf
            elif gap == np.inf:
                scores[m] = best - 0.5
            else:
                scores[m] = best - gap / 2
            continue
        deficit = deficit[np.argsort(order)]  # flat columns first keep the occupied range short
        # Deficits rounded down make every word look better than it is, so the p of a cut is never
        # understated. A coarse pass over the whole range finds how deep the fine pass must look.
        coarse = max(reach / 1024, 1e-6)
        size = 1024 + width + 2
        highest = _last_within(_distribution(_floor_steps(deficit, coarse, size), bg, size), p)
        step = slack / (width + 1)  # each column loses less than a step, the cut itself one
        size = int((highest + 2 + width) * coarse / step) + 2
        highest = _last_within(_distribution(_floor_steps(deficit, step, size), bg, size), p)
        # a hair below, so that rounding in the sum of the best word does not lose it
        scores[m] = best - max(highest, 0) * step - 1e-9

"""Where motifs hit a sequence, and how well each motif matches a region at best.

Both strands; starts are 0-based on the forward strand, whatever the strand of the hit; windows that
hold an N are skipped. The answers are those of the plain loop over all positions, found faster: a
coarse pass over bytes rules out nearly every position and the rest is scored in double precision.
Needs numpy and numba. Used by matrix and by users.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.errors import InputError
from epilm.motifs import kernels, simd
from epilm.motifs.log_odds import UNIFORM, Floats
from epilm.motifs.pwm import tail_table

CHUNK = 1 << 17
"""Positions one task scans: their words stay in the second-level cache."""


class Hits(NamedTuple):
    """Hits, sorted by motif, start and strand (+ first).

    motif : int32 array, row of the motif. start : int64 array, 0-based.
    strand : int8 array, +1 or -1. score : float64 array, nats.
    """

    motif: NDArray[np.int32]
    start: NDArray[np.int64]
    strand: NDArray[np.int8]
    score: Floats


def checked_threads(threads: int | None = None) -> int:
    """The number asked for, at least 1; the cores this process may use when none is.

    Examples
    --------
    >>> checked_threads(3)
    3
    """
    if threads is not None:
        if threads < 1:
            raise InputError("at least one thread is needed", found=threads)
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def scan(
    codes: NDArray[np.uint8],
    pwms: Sequence[Floats],
    thresholds: ArrayLike,
    *,
    dedup: bool = True,
    threads: int | None = None,
) -> Hits:
    """Find every position where a motif scores at least its cut, on either strand.

    Parameters
    ----------
    codes : uint8 array, shape (G,)
        A=0 C=1 G=2 T=3, larger values are N. A memory map is read piece by piece.
    pwms : sequence of float64 arrays, shape (W, 4)
        Log-odds in nats.
    thresholds : array, shape (F,)
        Cuts in nats; inf leaves a motif out.
    dedup : bool
        Where both strands hit at one start (palindromes), keep the better one (the forward one when
        equal).
    threads : int, optional
        All cores of the process when not given.

    Returns
    -------
    Hits

    Examples
    --------
    >>> from epilm.motifs.log_odds import log_odds
    >>> pwm = log_odds([[100, 0, 0, 0], [0, 100, 0, 0], [0, 0, 100, 0]])
    >>> codes = np.array([3, 3, 1, 2, 3, 0, 0], dtype=np.uint8)  # TTCGTAA
    >>> hit = scan(codes, [pwm], [4.0])
    >>> hit.start.tolist(), hit.strand.tolist(), hit.score.round(4).tolist()
    ([2], [-1], [4.1365])
    """
    codes = as_codes(codes)
    cut = np.asarray(thresholds, dtype=np.float64).reshape(-1)
    scanner = HitScanner(pwms, cut)
    if not len(pwms) or not len(codes):
        empty = np.zeros(0)
        return Hits(empty.astype(np.int32), empty.astype(np.int64), empty.astype(np.int8), empty)
    tasks = [(start, min(start + CHUNK, len(codes))) for start in range(0, len(codes), CHUNK)]
    parts = spread(lambda task: scanner.hits(codes, *task, dedup=dedup), tasks, threads)
    columns: list[Any] = [np.concatenate([part[i] for part in parts]) for i in range(4)]
    small = columns[0].astype(np.uint16) if len(pwms) < 65536 else columns[0]
    order = np.argsort(small, kind="stable")  # within a motif they are in order already
    return Hits(*(column[order] for column in columns))


def best_scores(
    codes: NDArray[np.uint8],
    starts: ArrayLike,
    ends: ArrayLike,
    pwms: Sequence[Floats],
    *,
    floor: bool = False,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Best score of each motif in each region, over positions and strands.

    Parameters
    ----------
    codes : uint8 array, shape (G,)
    starts, ends : int arrays, shape (R,)
        Half-open positions in `codes`.
    pwms : sequence of float64 arrays, shape (W, 4)
    floor : bool
        Give 0 where the best score is below 0 (and where no window is free of N); faster.
    threads : int, optional

    Returns
    -------
    float32 array, shape (R, F)
        Nats; -inf where no window is free of N (0 with `floor`).

    Examples
    --------
    >>> from epilm.motifs.log_odds import log_odds
    >>> pwm = log_odds([[100, 0, 0, 0], [0, 100, 0, 0], [0, 0, 100, 0]])
    >>> codes = np.array([3, 3, 1, 2, 3, 0, 0], dtype=np.uint8)
    >>> best_scores(codes, [0, 3], [7, 5], [pwm]).round(4).tolist()
    [[4.136499881744385], [-inf]]
    """
    codes = as_codes(codes)
    first, last = check_regions(starts, ends, len(codes))
    out = np.empty((len(first), len(pwms)), dtype=np.float32)
    if not out.size:
        return out
    scorer = BestScorer(pwms, floor=floor)
    tasks = [(a, min(a + 256, len(first))) for a in range(0, len(first), 256)]

    def work(task: tuple[int, int]) -> None:
        scorer.best(codes, first[slice(*task)], last[slice(*task)], out[slice(*task)])

    spread(work, tasks, threads)
    return out


class HitScanner:
    """Tables of a set of motifs and cuts, built once, used by many threads.

    Parameters
    ----------
    pwms : sequence of float64 arrays, shape (W, 4)
    cut : float64 array, shape (F,)
    kind : tuple, optional
        How lookups are done (see `epilm.motifs.simd`); the fastest here when not given.
    """

    def __init__(
        self, pwms: Sequence[Floats], cut: Floats, kind: tuple[int, ...] | None = None
    ) -> None:
        if cut.shape != (len(pwms),) or np.isnan(cut).any():
            raise InputError(
                "each motif needs one cut", found=f"{cut.shape} for {len(pwms)} motifs"
            )
        self.kind = simd.chosen_kind() if kind is None else kind
        self.cut = cut
        self.pwm, self.offset = flatten(pwms)
        best, worst = _extremes(self.pwm, self.offset)
        allowed = np.clip(best - cut, 1e-3, np.maximum(best - worst, 1e-3) + 1.0)
        self.tables, self.first, self.count = simd.byte_tables(
            self.pwm, self.offset, kernels.TOP / allowed, self.kind
        )
        self.budget = np.where(cut <= best + 1e-9, kernels.TOP, -1).astype(np.int64)

    def hits(self, codes: NDArray[np.uint8], start: int, end: int, *, dedup: bool) -> Hits:
        """Hits with a start in [start, end), motif by motif within each stretch without N."""
        width = int(np.diff(self.offset).max())
        piece = as_codes(codes[start : end + width - 1])
        room = 1024 + (end - start) * len(self.count) // 2048
        while True:
            motif, position = np.empty(room, np.int32), np.empty(room, np.int64)
            strand, score = np.empty(room, np.int8), np.empty(room, np.float64)
            n_hits = kernels.hits(
                self.kind,
                simd.bases_per_lookup(self.kind),
                simd.lanes(self.kind),
                piece,
                0,
                end - start,
                self.pwm,
                self.offset,
                self.tables,
                self.first,
                self.count,
                self.budget,
                self.cut,
                dedup,
                motif,
                position,
                strand,
                score,
            )
            if n_hits <= room:
                return Hits(
                    motif[:n_hits], position[:n_hits] + start, strand[:n_hits], score[:n_hits]
                )
            room = n_hits

    def tally(
        self,
        codes: NDArray[np.uint8],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        out: NDArray[Any],
        *,
        scores: bool,
    ) -> None:
        """Number of hits, or sum of their scores, of each region and motif, once a position."""
        kernels.tallies(
            self.kind,
            simd.bases_per_lookup(self.kind),
            simd.lanes(self.kind),
            as_codes(codes),
            starts,
            ends,
            self.pwm,
            self.offset,
            self.tables,
            self.first,
            self.count,
            self.budget,
            self.cut,
            int(scores),
            out,
        )


class BestScorer:
    """Tables for best scores, built once, used by many threads.

    Parameters
    ----------
    pwms : sequence of float64 arrays, shape (W, 4)
    floor : bool
        Scores below 0 count as 0.
    kind : tuple, optional
    """

    def __init__(
        self, pwms: Sequence[Floats], *, floor: bool = False, kind: tuple[int, ...] | None = None
    ) -> None:
        self.kind = simd.chosen_kind() if kind is None else kind
        self.floor = floor
        self.width = np.array([len(pwm) for pwm in pwms], dtype=np.int64)
        flat, offset = flatten(pwms)
        best, _ = _extremes(flat, offset)
        lowest = np.zeros(len(pwms)) if floor else np.array([_common_score(pwm) for pwm in pwms])
        scale = kernels.TOP / np.maximum(best - lowest, 1e-3)
        self.tables, self.first, self.count = simd.byte_tables(flat, offset, scale, self.kind)
        self.exact, self.exact_first = simd.exact_tables(flat, offset)

    def best(
        self,
        codes: NDArray[np.uint8],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        """Write the best scores of the regions into out (R, F)."""
        kernels.best(
            self.kind,
            simd.bases_per_lookup(self.kind),
            simd.lanes(self.kind),
            as_codes(codes),
            starts,
            ends,
            self.tables,
            self.first,
            self.count,
            self.exact,
            self.exact_first,
            self.width,
            self.floor,
            0.0 if self.floor else -np.inf,
            out,
        )


def _common_score(pwm: Floats) -> float:
    """A score that about one position in a hundred reaches: regions of some length nearly always
    pass it.
    """
    table, best, step = tail_table(pwm, UNIFORM, bins=512)
    return best - step * (int(np.searchsorted(table, 0.01)) + 1)


def spread(work: Callable[[Any], Any], tasks: Sequence[Any], threads: int | None) -> list[Any]:
    """Results of `work` on every task, in order, by so many threads."""
    threads = checked_threads(threads)
    if threads == 1 or len(tasks) < 2:
        return [work(task) for task in tasks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, tasks))


def flatten(pwms: Sequence[Floats]) -> tuple[Floats, NDArray[np.int64]]:
    """All columns end to end, and the offset of each motif (F + 1).

    Examples
    --------
    >>> flat, offset = flatten([np.zeros((2, 4)), np.ones((3, 4))])
    >>> flat.shape, offset.tolist()
    ((5, 4), [0, 2, 5])
    """
    flat = np.concatenate([*pwms, np.zeros((0, 4))]).astype(np.float64)
    return flat, np.concatenate([[0], np.cumsum([len(pwm) for pwm in pwms])]).astype(np.int64)


def check_regions(
    starts: ArrayLike, ends: ArrayLike, length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Region bounds as int64 arrays, or the first one that lies outside of the sequence.

    Examples
    --------
    >>> check_regions([0], [9], 8)
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: region 0 does not lie in the sequence. Found 0-9; expected 0 <= start
        <= end <= 8.
    """
    first = np.array(starts, dtype=np.int64).reshape(-1)
    last = np.array(ends, dtype=np.int64).reshape(-1)
    if len(first) != len(last):
        raise InputError("starts and ends differ in number", found=f"{len(first)} and {len(last)}")
    bad = np.flatnonzero((first < 0) | (last < first) | (last > length))
    if len(bad):
        at = int(bad[0])
        raise InputError(
            f"region {at} does not lie in the sequence",
            found=f"{first[at]}-{last[at]}",
            expected=f"0 <= start <= end <= {length}",
        )
    return first, last


def as_codes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bases as a plain array (of a memory map: a view, nothing is read), or what is wrong with
    them.

    Examples
    --------
    >>> as_codes(np.zeros(3, dtype=np.uint8)).tolist()
    [0, 0, 0]
    """
    if codes.ndim != 1 or codes.dtype != np.uint8:
        raise InputError(
            "bases must be one row of uint8 (A=0 C=1 G=2 T=3 N=4)",
            found=f"{codes.dtype} {codes.shape}",
        )
    plain = np.ascontiguousarray(codes).view()
    plain.flags.writeable = False  # one type for arrays and memory maps: one compilation
    return plain


def _extremes(flat: Floats, offset: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Best and worst finite score of each motif."""
    lowest = np.where(np.isfinite(flat), flat, np.inf).min(axis=1)
    return np.add.reduceat(flat.max(axis=1), offset[:-1]), np.add.reduceat(lowest, offset[:-1])

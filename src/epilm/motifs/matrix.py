"""The factor matrix: one number for each region and motif, or several of them in one pass.

Motif scores depend on the sequence alone, so the union of regions is scored once and indexed per
cell type. Work goes region block by region block: memory is bounded by the result, which may be a
memory map. Needs numpy and numba. Used by the store's builder.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.motifs import kernels, simd
from epilm.motifs.log_odds import UNIFORM, Floats, log_odds
from epilm.motifs.motif import Motif, duplicate_free
from epilm.motifs.pwm import PValues, Short, base_background, gc_bins, thresholds
from epilm.motifs.scan import (
    BestScorer,
    HitScanner,
    as_codes,
    check_regions,
    checked_threads,
    flatten,
    spread,
)

Statistic = Literal["best", "binary", "count", "sum", "occupancy", "neglog10p"]
Background = Literal["uniform", "genome", "gc_bins"]

BLOCK = 512
"""Regions one task scores."""
BLOCKS_A_STEP = 16
"""Tasks a thread gets between two calls of `progress`."""


@dataclass(frozen=True)
class MotifReport:
    """What was scored, how, and which motifs cannot do what was asked.

    Parameters
    ----------
    ids, names : tuple of str
        Motifs in the order of the columns.
    statistic, background, short : str
        `statistic` of the (first) matrix.
    p, pseudocount : float
    thresholds : tuple of float
        Cut of each motif in nats (mean over GC bins with background "gc_bins"); inf: no hit
        possible.
    minimum_p, maximum_score : tuple of float
        Probability of the best word, and its score (largest over GC bins).
    unreachable : tuple of str
        Ids of the motifs whose best word is more likely than `p`.
    backgrounds : tuple of four-tuples
        A, C, G, T; one, or one a GC bin.
    counts, frequencies, scaled : int
        How many matrices were counts, frequencies used as they are, and frequencies times their
        known sites.
    more_statistics : tuple of str
        Of the further matrices, see `factor_matrices`.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    statistic: str
    background: str
    short: str
    p: float
    pseudocount: float
    thresholds: tuple[float, ...]
    minimum_p: tuple[float, ...]
    maximum_score: tuple[float, ...]
    unreachable: tuple[str, ...]
    backgrounds: tuple[tuple[float, ...], ...]
    counts: int
    frequencies: int
    scaled: int
    more_statistics: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an impossible cut (inf) becomes None."""
        out = asdict(self)
        out["thresholds"] = [value if np.isfinite(value) else None for value in self.thresholds]
        return out

    def __str__(self) -> str:
        short = {"allow_best": "their best word alone hits", "exact": "they have no hit"}[
            self.short
        ]
        lines = [
            f"{len(self.ids)} motifs ({self.counts} counts, {self.scaled} frequencies with known"
            f" sites, {self.frequencies} frequencies as given), pseudocount {self.pseudocount:g},"
            f" background {self.background}, statistic"
            f" {', '.join((self.statistic, *self.more_statistics))}, p {self.p:g}"
        ]
        if self.frequencies and self.pseudocount > 0.1:
            lines.append(
                "frequencies without a number of sites: the pseudocount shrinks their scores"
            )
        if self.unreachable:
            shown = ", ".join(self.unreachable[:10]) + (
                ", ..." if len(self.unreachable) > 10 else ""
            )
            lines.append(
                f"{len(self.unreachable)} motifs cannot reach p {self.p:g} ({short}): {shown}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class _Scored:
    """Everything that depends on the background: built once a background, shared by threads."""

    works: tuple[
        Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[Any]], None], ...
    ]
    thresholds: Floats
    minimum_p: Floats
    maximum: Floats


def factor_matrix(
    genome_codes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    motifs: Sequence[Motif],
    *,
    statistic: Statistic = "best",
    p: float = 1e-4,
    pseudocount: float = 1.0,
    background: Background = "uniform",
    short: Short = "allow_best",
    out: NDArray[np.float16] | None = None,
    progress: Callable[[int, int], object] | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.float16], MotifReport]:
    """Score every region with every motif, both strands.

    Parameters
    ----------
    genome_codes : uint8 array, shape (G,)
        A=0 C=1 G=2 T=3 N=4; chromosomes end to end. May be a memory map.
    starts, ends : int64 arrays, shape (R,)
        Half-open positions of the regions in `genome_codes`.
    motifs : sequence of Motif, length F
    statistic : {"best", "binary", "count", "sum", "occupancy", "neglog10p"}
        best: highest log-odds, at least 0. binary: 1 where a position reaches the cut. count:
        positions that do, a palindrome once. sum: of the scores of those. occupancy: ln(1 + sum of
        odds), the log-sum-exp over positions and strands with an unbound state of weight 1.
        neglog10p: -log10 of the p-value of the best position (of one position, not of the region),
        exact for the best 4,096 words of a motif.
    p : float
        Cut for binary, count and sum; stated in the report for the others.
    pseudocount : float
    background : {"uniform", "genome", "gc_bins"}
        A quarter each; the composition of `genome_codes`; or the regions in 25 quantiles of GC,
        each scored with the composition of its own regions.
    short : {"allow_best", "exact"}
        The rule for motifs that cannot reach `p`, see `epilm.motifs.pwm.thresholds`.
    out : float16 array, shape (R, F), optional
        Written in place and returned; may be a memory map.
    progress : callable, optional
        Called with (regions done, R) now and then.
    threads : int, optional
        All cores of the process when not given.

    Returns
    -------
    float16 array, shape (R, F)
        0 where no window of the region is free of N.
    MotifReport

    Raises
    ------
    InputError
        A region outside of the genome, two motifs of one id, an unknown statistic or background.

    Examples
    --------
    >>> motif = Motif("M1", "x", np.array([[100.0, 0, 0, 0], [0, 100, 0, 0], [0, 0, 100, 0]]), True)
    >>> codes = np.array([3, 3, 1, 2, 3, 0, 0, 4, 4], dtype=np.uint8)  # TTCGTAANN
    >>> matrix, report = factor_matrix(codes, np.array([0, 6]), np.array([7, 9]), [motif])
    >>> matrix.tolist(), report.unreachable
    ([[4.13671875], [0.0]], ('M1',))
    """
    matrices, report = factor_matrices(
        genome_codes,
        starts,
        ends,
        motifs,
        (statistic,),
        p=p,
        pseudocount=pseudocount,
        background=background,
        short=short,
        out=None if out is None else (out,),
        progress=progress,
        threads=threads,
    )
    return matrices[0], report


def _check_statistics(statistics: Sequence[str]) -> None:
    """Refuse unknown statistics, one that stands twice, and none."""
    for statistic in statistics:
        if statistic not in get_args(Statistic):
            raise InputError(
                f"unknown statistic {statistic!r}", expected=", ".join(get_args(Statistic))
            )
    if not statistics or len(set(statistics)) < len(statistics):
        raise InputError(
            "each matrix needs a statistic of its own", found=", ".join(statistics) or "none"
        )


def _report(
    motifs: Sequence[Motif],
    made: Sequence[tuple[NDArray[np.float64], ...]],
    backgrounds: NDArray[np.float64],
    statistics: Sequence[Statistic],
    background: Background,
    short: Short,
    p: float,
    pseudocount: float,
) -> MotifReport:
    """Sum up cuts and reach of all motifs; `made` has thresholds, minimal p and maxima of each
    background.
    """
    cuts, minimum, maximum = (np.stack([m[i] for m in made]) for i in range(3))
    known = [m.sites is not None and not m.is_counts for m in motifs]
    lowest = minimum.max(axis=0)
    report = MotifReport(
        ids=tuple(m.id for m in motifs),
        names=tuple(m.name for m in motifs),
        statistic=statistics[0],
        background=background,
        short=short,
        p=float(p),
        pseudocount=float(pseudocount),
        thresholds=tuple(cuts.mean(axis=0).tolist()),
        minimum_p=tuple(lowest.tolist()),
        maximum_score=tuple(maximum.max(axis=0).tolist()),
        unreachable=tuple(m.id for m, low in zip(motifs, lowest) if low > p),
        backgrounds=tuple(tuple(bg.tolist()) for bg in backgrounds),
        counts=sum(m.is_counts for m in motifs),
        frequencies=sum(not m.is_counts for m in motifs) - sum(known),
        scaled=sum(known),
        more_statistics=tuple(statistics[1:]),
    )
    return report


def factor_matrices(
    genome_codes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    motifs: Sequence[Motif],
    statistics: Sequence[Statistic],
    *,
    p: float = 1e-4,
    pseudocount: float = 1.0,
    background: Background = "uniform",
    short: Short = "allow_best",
    out: Sequence[NDArray[np.float16]] | None = None,
    only: NDArray[np.int64] | None = None,
    progress: Callable[[int, int], object] | None = None,
    threads: int | None = None,
) -> tuple[list[NDArray[np.float16]], MotifReport]:
    """Score every region with every motif in several ways, in one pass over the regions.

    Scores and cuts of the motifs are made once; each matrix is what `factor_matrix` gives alone.

    Parameters
    ----------
    genome_codes, starts, ends, motifs, p, pseudocount, background, short, progress, threads
        As of `factor_matrix`.
    statistics : sequence of str
        One or more, none twice.
    out : sequence of float16 arrays, shape (R, F) each, optional
        Written in place and returned.
    only : int64 array, shape (N,), optional
        Score these regions alone, in this order: R of the results is N then. What is taken from all
        regions (GC bins) still is, so that each row is what it is in the whole.

    Returns
    -------
    list of float16 arrays, shape (R, F)
        In the order of `statistics`.
    MotifReport

    Raises
    ------
    InputError
        As `factor_matrix`; a statistic that stands twice, or none.

    Examples
    --------
    >>> motif = Motif("M1", "x", np.array([[100.0, 0, 0, 0], [0, 100, 0, 0]]), True)
    >>> codes = np.array([0, 1, 0, 1, 4], dtype=np.uint8)  # ACACN
    >>> (best, count), _ = factor_matrices(
    ...     codes, np.array([0]), np.array([5]), [motif], ("best", "count"), p=0.1
    ... )
    >>> best.tolist(), count.tolist()
    ([[2.7578125]], [[2.0]])
    >>> starts, ends = np.array([0, 1, 2]), np.array([5, 4, 5])
    >>> (some,), _ = factor_matrices(
    ...     codes, starts, ends, [motif], ("count",), p=0.1, only=np.array([2, 0])
    ... )
    >>> some.tolist()
    [[1.0], [2.0]]
    """
    statistics = tuple(statistics)
    _check_statistics(statistics)
    if background not in get_args(Background):
        raise InputError(
            f"unknown background {background!r}", expected=", ".join(get_args(Background))
        )
    codes = as_codes(genome_codes)
    first, last = check_regions(starts, ends, len(codes))
    motifs = duplicate_free(motifs, "motifs")
    shape = (len(first) if only is None else len(only), len(motifs))
    targets = [np.empty(shape, dtype=np.float16) for _ in statistics] if out is None else list(out)
    if len(targets) != len(statistics):
        raise InputError(
            "each statistic needs a result", found=len(targets), expected=len(statistics)
        )
    for target in targets:
        if target.shape != shape:
            raise InputError(
                "the result has no room for regions x motifs", found=target.shape, expected=shape
            )
    threads = checked_threads(threads)
    if background == "gc_bins":
        group, backgrounds = _gc_groups(codes, first, last)
    else:
        group = np.zeros(len(first), dtype=np.int64)
        backgrounds = (base_background(codes) if background == "genome" else UNIFORM)[None, :]
    if only is not None:
        first, last, group = first[only], last[only], group[only]
    total, done = len(first), 0
    made = []
    for number, bg in enumerate(backgrounds):
        scored = _prepare(motifs, statistics, p, pseudocount, bg, short, threads)
        made.append((scored.thresholds, scored.minimum_p, scored.maximum))
        rows = np.flatnonzero(group == number) if len(backgrounds) > 1 else None
        count = total if rows is None else len(rows)

        def work(
            task: tuple[int, int], rows: NDArray[np.int64] | None = rows, scored: _Scored = scored
        ) -> None:
            picked: Any = slice(*task) if rows is None else rows[slice(*task)]
            block = np.empty((task[1] - task[0], len(motifs)), dtype=np.float32)
            for one, target in zip(scored.works, targets, strict=True):
                one(codes, first[picked], last[picked], block)
                target[picked] = block

        tasks = [(a, min(a + BLOCK, count)) for a in range(0, count, BLOCK)]
        step = BLOCKS_A_STEP * threads
        for at in range(0, len(tasks) if motifs else 0, step):
            spread(work, tasks[at : at + step], threads)
            if progress is not None:
                progress(done + tasks[min(at + step, len(tasks)) - 1][1], total)
        done += count
    report = _report(motifs, made, backgrounds, statistics, background, short, p, pseudocount)
    return targets, report


def _gc_groups(
    codes: NDArray[np.uint8], first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats]:
    group, backgrounds = gc_bins(codes, first, last)
    return group, backgrounds if len(backgrounds) else UNIFORM[None, :]


def _prepare(
    motifs: Sequence[Motif],
    statistics: Sequence[Statistic],
    p: float,
    pseudocount: float,
    bg: Floats,
    short: Short,
    threads: int,
) -> _Scored:
    pwms = [log_odds(motif, bg, pseudocount) for motif in motifs]
    cuts = thresholds(pwms, p, bg, short, threads)
    maximum = np.array([pwm.max(axis=1).sum() for pwm in pwms])
    works = tuple(_work(statistic, pwms, cuts.scores, bg) for statistic in statistics)
    return _Scored(works, cuts.scores, cuts.minimum_p, maximum)


def _work(
    statistic: Statistic, pwms: Sequence[Floats], cuts: Floats, bg: Floats
) -> Callable[..., None]:
    if statistic == "best":
        return BestScorer(pwms, floor=True).best
    if statistic == "neglog10p":
        return _p_value_work(pwms, bg)
    if statistic == "occupancy":
        return _occupancy_work(pwms)
    scanner = HitScanner(pwms, cuts)

    def tally(codes: Any, begin: Any, end: Any, out: Any) -> None:
        scanner.tally(codes, begin, end, out, scores=statistic == "sum")
        if statistic == "binary":
            np.minimum(out, 1.0, out=out)

    return tally


def _occupancy_work(pwms: Sequence[Floats]) -> Callable[..., None]:
    flat, offset = flatten(pwms)
    sums, first = simd.exact_tables(flat, offset)
    odds, width = np.exp(sums), np.diff(offset)

    def work(codes: Any, begin: Any, end: Any, out: Any) -> None:
        kernels.occupancies(codes, begin, end, odds, first, width, out)

    return work


def _p_value_work(pwms: Sequence[Floats], bg: Floats) -> Callable[..., None]:
    scorer = BestScorer(pwms, floor=False)
    tails = [PValues(pwm, bg) for pwm in pwms]

    def work(codes: Any, begin: Any, end: Any, out: Any) -> None:
        scorer.best(codes, begin, end, out)
        for m, tail in enumerate(tails):
            reached = np.isfinite(out[:, m])
            p = tail(np.where(reached, out[:, m], 0.0))
            out[:, m] = np.where(reached, -np.log10(p) + 0.0, 0.0)

    return work


def best_of_sequences(
    codes: NDArray[np.uint8], lengths: NDArray[np.int64], motifs: Sequence[Motif]
) -> NDArray[np.float32]:
    """Give the best log-odds of each motif in each sequence, both strands.

    Parameters
    ----------
    codes : uint8 (N, W)
        Bases; what lies behind a sequence's length is not read.
    lengths : int64 (N,)
    motifs : sequence of Motif

    Returns
    -------
    float32 (N, F)
        Floored at 0, as the store's factor matrix (A8).
    """
    # The sequences end to end, with N between them, are a genome whose regions are the rows.
    gap = 1
    width = codes.shape[1] + gap
    genome = np.full((len(codes), width), 4, np.uint8)
    genome[:, : codes.shape[1]] = codes
    starts = np.arange(len(codes), dtype=np.int64) * width
    matrix, _ = factor_matrix(
        genome.reshape(-1), starts, starts + lengths, list(motifs), statistic="best"
    )
    return np.asarray(matrix, np.float32)

"""Is this site bound: peaks of a factor against sequences that are not.

A positive is 101 bp around a summit (or midpoint). What it is compared with decides
how hard the task is, so negatives are named: `shuffle` keeps each positive's dinucleotides
(a k-mer model nearly solves it), `gc` are genomic windows of the same G+C away from peaks,
`flank` lie beside the peak, `other_peaks` are peaks of another cell or accessible regions.
A negative made from a positive has its place, so that both fall into one split.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.tasks import sequences
from epilm.tasks.base import LabelledSequences, check_classes, concatenate, labelled
from epilm.tasks.reference import open_reference
from epilm.tasks.sequence_task import SequenceEvaluateOptions, SequenceOptions, SequenceTask
from epilm.tasks.shuffle import shuffle_rows

if TYPE_CHECKING:
    import pandas as pd

Negatives = Literal["shuffle", "gc", "flank", "other_peaks"]
Codes = NDArray[np.uint8]
Paths = str | Path | Sequence[str | Path]


class GenomeWindows(NamedTuple):
    """Windows of one width on the genome: chromosome, 0-based start, bases."""

    chrom: NDArray[np.str_]
    start: NDArray[np.int64]
    codes: Codes


@dataclass(frozen=True)
class TfbsData:
    """How binding sites and their negatives are made."""

    negatives: Negatives = field(default="shuffle", metadata={"data": True})
    """How negatives are made: shuffle, gc, flank or other_peaks (A22)."""
    other_peaks: Paths = field(default=(), metadata={"data": True, "type": list[Path]})
    """Peak files of other factors, for --negatives other_peaks."""
    exclude: Paths = field(default=(), metadata={"data": True, "type": list[Path]})
    """Peak files that no negative may touch."""
    length: int = field(default=101, metadata={"data": True})
    """Bases of a row."""
    centre: Literal["summit", "midpoint"] = field(default="summit", metadata={"data": True})
    """Where a row's middle lies."""
    ratio: float = field(default=1.0, metadata={"data": True})
    """Negatives for each positive."""
    margin_bp: int = field(default=500, metadata={"data": True})
    """Bases between a negative and any peak."""
    flank_bp: int = field(default=1500, metadata={"data": True})
    """Distance of flanking negatives."""
    gc_tolerance: float = field(default=0.02, metadata={"data": True})
    """Difference of G+C that a matched negative may have."""


@dataclass(frozen=True)
class TfbsOptions(TfbsData, SequenceOptions):
    """All that `epilm finetune tfbs` can be told."""


@dataclass(frozen=True)
class TfbsEvaluateOptions(TfbsData, SequenceEvaluateOptions):
    """Which binding sites are scored."""


def window_start(
    start: NDArray[np.int64], end: NDArray[np.int64], summit: NDArray[np.int64] | None, length: int
) -> NDArray[np.int64]:
    """Place windows at summits, or at midpoints where there is none.

    Parameters
    ----------
    start, end : int64 (R,)
        Peaks.
    summit : int64 (R,) or None
        Position on the chromosome, -1 where unknown.
    length : int
        Width of the window in bp.

    Returns
    -------
    int64 (R,)
        centre - length // 2: for 101 bp the window is [mid - 50, mid + 51) with mid = (start + end)
        // 2.

    Examples
    --------
    >>> one = np.array([100]), np.array([301])
    >>> window_start(*one, None, 101).tolist(), window_start(*one, np.array([120]), 101).tolist()
    ([150], [70])
    """
    centre = (start + end) // 2
    if summit is not None:
        centre = np.where(summit >= 0, summit, centre)
    return centre - length // 2


def load(
    data: str | Path,
    *,
    genome: Any = None,
    negative: str | Path | None = None,
    negatives: Negatives = "shuffle",
    other_peaks: Paths = (),
    exclude: Paths = (),
    length: int = 101,
    centre: Literal["summit", "midpoint"] = "summit",
    ratio: float = 1.0,
    margin_bp: int = 500,
    flank_bp: int = 1500,
    gc_tolerance: float = 0.02,
    seed: int = 0,
) -> LabelledSequences:
    """Read a labelled set, or make one from peaks and a genome.

    Parameters
    ----------
    data : path
        Peaks as BED or narrowPeak (with `genome`), or a labelled table, or FASTA of the bound
        sequences (with `negative`, or with negatives="shuffle").
    genome : path, paths, Genome, or store folder, optional
    negative : path, optional
        FASTA of unbound sequences.
    negatives : {"shuffle", "gc", "flank", "other_peaks"}
        How negatives are made; see the module.
    other_peaks : path or paths
        For "other_peaks": peaks of another cell type, or accessible regions; those that touch a
        peak of `data` or `exclude` are left out.
    exclude : path or paths
        More peaks that no negative may touch (relaxed peaks, for example).
    length : int
        bp of a sequence; 101 as DeepBind.
    centre : {"summit", "midpoint"}
        "summit" falls back to the midpoint where a peak has none.
    ratio : float
        Negatives for each positive.
    margin_bp : int
        "gc": distance kept from every peak.
    flank_bp : int
        "flank": distance from the positive's centre, upstream and downstream by turns.
    gc_tolerance : float
        "gc": largest difference of G+C share between a positive and its negative; how often it
        had to be exceeded is said.
    seed : int

    Returns
    -------
    LabelledSequences
        label 1 = bound.

    Raises
    ------
    InputError
        Naming file and line, or saying why no negatives could be made.
    """
    if negatives not in get_args(Negatives):
        raise UsageError(
            "unknown negatives", found=negatives, do=nearest(negatives, get_args(Negatives))
        )
    if length < 1 or ratio <= 0:
        raise UsageError(
            "length and ratio must be positive",
            found=f"length {length}, ratio {ratio}",
            expected="> 0",
        )
    path = Path(data)
    if not _is_peaks(path):
        if path.is_dir() or negative is not None or sequences.looks_like_table(path):
            return sequences.load(data, negative=negative)
        rows = sequences.records_to_rows(sequences.read_records(path), path, 1)
        return check_classes(_with_shuffled(rows, ratio, seed), str(path))
    if genome is None:
        raise InputError(
            "peaks need the genome they lie on", where=str(path), do="Pass --genome FASTA."
        )
    opened = open_reference(genome)
    notes: list[str] = []
    peaks, bound = _positives(path, opened, length, centre, notes)
    rows = labelled(
        list(bound.codes),
        np.ones(len(bound.start)),
        chrom=bound.chrom,
        start=bound.start,
        origin=[f"peak {c}:{s}-{s + length}" for c, s in zip(bound.chrom, bound.start)],
        name=path.name.removesuffix(".gz").rsplit(".", 1)[0],
        notes=notes,
    )
    if negatives == "shuffle":
        return check_classes(_with_shuffled(rows, ratio, seed), str(path))
    avoid = [peaks, *(_read(p, opened, notes) for p in _many(exclude))]
    wanted = max(1, round(ratio * len(rows)))
    if negatives == "gc":
        unbound = _gc_matched(bound, wanted, opened, avoid, margin_bp, gc_tolerance, seed, notes)
    elif negatives == "flank":
        unbound = _flanks(bound, ratio, opened, avoid, flank_bp, seed, notes)
    else:
        unbound = _other(
            _many(other_peaks), wanted, opened, avoid, length, centre, seed, notes, str(path)
        )
    if not len(unbound.start):
        raise InputError(
            f"no negatives could be made with negatives={negatives!r}",
            where=str(path),
            found="; ".join(notes) or "none",
            do="Try another kind, a smaller margin, or shuffle.",
        )
    others = labelled(
        list(unbound.codes),
        np.zeros(len(unbound.start)),
        chrom=unbound.chrom,
        start=unbound.start,
        origin=[f"{negatives} {c}:{s}-{s + length}" for c, s in zip(unbound.chrom, unbound.start)],
        notes=notes,
    )
    return check_classes(concatenate([rows, others], name=rows.name), str(path))


def _with_shuffled(rows: LabelledSequences, ratio: float, seed: int) -> LabelledSequences:
    """Add round(ratio) shuffles of each row (at least one); a ratio below 1 shuffles a part of the
    rows.
    """
    copies = max(1, round(ratio))
    source = rows
    if ratio < 1:
        generator = np.random.default_rng([seed, 0x5AF1])
        chosen = generator.choice(len(rows), max(1, round(ratio * len(rows))), replace=False)
        source = rows.take(np.sort(chosen))
    parts, notes = [rows], []
    for copy in range(copies):
        made = shuffle_rows(source.codes, source.lengths, seed * 1_000_003 + copy)
        parts.append(
            labelled(
                [codes[:n] for codes, n in zip(made.codes, source.lengths)],
                np.zeros(len(source)),
                chrom=source.chrom,
                start=source.start,
                origin=[f"shuffle of {o}" for o in source.origin],
                split=source.split,
            )
        )
        if made.fallback.any():
            notes.append(
                f"{int(made.fallback.sum())} low-diversity sequences were shuffled base by base"
            )
        if made.unchanged.any():
            notes.append(f"{int(made.unchanged.sum())} shuffles equal their sequence")
    both = concatenate(parts, name=rows.name)
    return labelled(
        [codes[:n] for codes, n in zip(both.codes, both.lengths)],
        both.labels,
        chrom=both.chrom,
        start=both.start,
        origin=both.origin,
        split=both.split,
        name=rows.name,
        notes=(*rows.notes, *notes),
    )


def _positives(
    path: Path, genome: Any, length: int, centre: str, notes: list[str]
) -> tuple["pd.DataFrame", GenomeWindows]:
    peaks = _read(path, genome, notes)
    windows = _windows(peaks, genome, length, centre, notes, path.name)
    if not len(windows.start):
        raise InputError(
            "no peak has a usable window",
            where=str(path),
            found="; ".join(notes) or "none",
            do="Check that peaks and genome are of one assembly.",
        )
    return peaks, windows


def _read(path: str | Path, genome: Any, notes: list[str]) -> "pd.DataFrame":
    from epilm.genome.intervals import check_intervals
    from epilm.genome.peaks import read_peaks

    table = read_peaks(path)
    unique = ["chrom", "start", "end"] + (["summit"] if "summit" in table else [])
    checked = check_intervals(table, genome.sizes, str(path), unique_by=unique)
    notes.extend(note for note in checked.notes if "not in order" not in note)
    return checked.table


def _windows(
    peaks: "pd.DataFrame", genome: Any, length: int, centre: str, notes: list[str], name: str
) -> GenomeWindows:
    """One window a peak; those with N, over a chromosome's end, or met before are left out and
    counted.
    """
    summit = (
        peaks["summit"].to_numpy(np.int64) if centre == "summit" and "summit" in peaks else None
    )
    start = window_start(
        peaks["start"].to_numpy(np.int64), peaks["end"].to_numpy(np.int64), summit, length
    )
    return _cut(peaks["chrom"].astype(str).to_numpy(), start, genome, length, notes, name)


def _cut(
    chrom: NDArray[Any],
    start: NDArray[np.int64],
    genome: Any,
    length: int,
    notes: list[str],
    name: str,
) -> GenomeWindows:
    chroms, starts, pieces = [], [], []
    over = unknown = twice = 0
    for each in dict.fromkeys(chrom.tolist()):
        codes = genome.codes(each)
        here = start[chrom == each]
        inside = (here >= 0) & (here + length <= len(codes))
        over += int((~inside).sum())
        unique = np.unique(here[inside])
        twice += int(inside.sum()) - len(unique)
        cut = (
            codes[unique[:, None] + np.arange(length)]
            if len(unique)
            else np.zeros((0, length), np.uint8)
        )
        known = (cut < 4).all(1)
        unknown += int((~known).sum())
        chroms += [each] * int(known.sum())
        starts.append(unique[known])
        pieces.append(cut[known])
    for count, why in (
        (over, "over the end of the chromosome"),
        (unknown, "with N"),
        (twice, "met before"),
    ):
        if count:
            notes.append(f"{name}: {count} windows {why} left out")
    if not chroms:
        return GenomeWindows(
            np.array([], np.str_), np.zeros(0, np.int64), np.zeros((0, length), np.uint8)
        )
    return GenomeWindows(np.array(chroms, np.str_), np.concatenate(starts), np.concatenate(pieces))


def _touch(
    chrom: NDArray[Any], start: NDArray[np.int64], length: int, avoid: Sequence["pd.DataFrame"]
) -> Any:
    from epilm.genome.intervals import make_table, overlaps

    table = make_table(chrom, start, start + length)
    out = np.zeros(len(table), bool)
    for peaks in avoid:
        out |= overlaps(table, peaks[["chrom", "start", "end"]])
    return out


def _gc_matched(
    bound: GenomeWindows,
    wanted: int,
    genome: Any,
    avoid: Sequence["pd.DataFrame"],
    margin: int,
    tolerance: float,
    seed: int,
    notes: list[str],
) -> GenomeWindows:
    """For each positive a window of its chromosome, its G+C and no peak within `margin` bp."""
    length = bound.codes.shape[1]
    chroms, starts, pieces = [], [], []
    far = short = 0
    for each in dict.fromkeys(bound.chrom.tolist()):
        here = bound.chrom == each
        codes = genome.codes(each)
        need = round(wanted * int(here.sum()) / len(bound.start))
        targets = np.resize(((bound.codes[here] == 1) | (bound.codes[here] == 2)).mean(1), need)
        blocked = np.zeros(len(codes) + 1, bool)
        blocked[:-1] = codes > 3
        for peaks in avoid:
            mine = peaks[peaks["chrom"] == each]
            for a, b in zip(mine["start"], mine["end"]):
                blocked[max(0, a - margin) : b + margin] = True
        blocks = np.concatenate([[0], np.cumsum(blocked[:-1], dtype=np.int64)])
        gc = np.concatenate([[0], np.cumsum((codes == 1) | (codes == 2), dtype=np.int64)])
        generator = np.random.default_rng([seed, 0x6C, *each.encode()])
        draws = max(200 * need, 20_000)
        begin = np.unique(generator.integers(0, max(1, len(codes) - length), draws))
        begin = begin[begin + length <= len(codes)]
        begin = generator.permutation(begin[blocks[begin + length] == blocks[begin]])
        share = (gc[begin + length] - gc[begin]) / length
        order = np.argsort(share, kind="stable")
        begin, share = begin[order], share[order]
        free = np.ones(len(begin), bool)
        chosen = []
        for target in generator.permutation(targets):
            at = _nearest_free(share, free, float(target))
            if at is None:
                short += 1
                continue
            free[at] = False
            chosen.append(begin[at])
            far += abs(share[at] - target) > tolerance + 1e-9
        if chosen:
            first = np.sort(np.array(chosen, np.int64))
            chroms += [each] * len(first)
            starts.append(first)
            pieces.append(codes[first[:, None] + np.arange(length)])
    if far:
        notes.append(f"{far} GC-matched negatives differ by more than {tolerance:g} in G+C share")
    if short:
        notes.append(
            f"{short} positives got no GC-matched negative: too little genome away from peaks"
        )
    if not chroms:
        return GenomeWindows(
            np.array([], np.str_), np.zeros(0, np.int64), np.zeros((0, length), np.uint8)
        )
    return GenomeWindows(np.array(chroms, np.str_), np.concatenate(starts), np.concatenate(pieces))


def _nearest_free(share: NDArray[np.float64], free: NDArray[np.bool_], target: float) -> int | None:
    """The unused candidate whose share is nearest; `share` is sorted."""
    right = int(np.searchsorted(share, target))
    left = right - 1
    while right < len(share) and not free[right]:
        right += 1
    while left >= 0 and not free[left]:
        left -= 1
    if left < 0:
        return right if right < len(share) else None
    if right >= len(share):
        return left
    return left if target - share[left] <= share[right] - target else right


def _flanks(
    bound: GenomeWindows,
    ratio: float,
    genome: Any,
    avoid: Sequence["pd.DataFrame"],
    flank: int,
    seed: int,
    notes: list[str],
) -> GenomeWindows:
    """Windows `flank` bp beside each positive, upstream and downstream by turns, further out for
    more than two.
    """
    rings = max(1, int(np.ceil(ratio)))
    chrom, start = [], []
    for ring in range(rings):
        sign = np.where((np.arange(len(bound.start)) + ring) % 2 == 0, -1, 1)
        chrom.append(bound.chrom)
        start.append(bound.start + sign * flank * (1 + ring // 2))
    chroms, starts = np.concatenate(chrom), np.concatenate(start)
    if ratio < rings:
        keep = np.random.default_rng([seed, 0xF1A]).permutation(len(starts))[
            : round(ratio * len(bound.start))
        ]
        chroms, starts = chroms[np.sort(keep)], starts[np.sort(keep)]
    fine = starts >= 0
    chroms, starts = chroms[fine], starts[fine]
    touching = _touch(chroms, starts, bound.codes.shape[1], avoid)
    if touching.any():
        notes.append(f"{int(touching.sum())} flanks that touch a peak left out")
    return _cut(chroms[~touching], starts[~touching], genome, bound.codes.shape[1], notes, "flanks")


def _other(
    paths: Sequence[str | Path],
    wanted: int,
    genome: Any,
    avoid: Sequence["pd.DataFrame"],
    length: int,
    centre: str,
    seed: int,
    notes: list[str],
    where: str,
) -> GenomeWindows:
    if not paths:
        raise InputError(
            "negatives from other peaks need those peaks",
            where=where,
            do="Pass --other-peaks FILE (of epilm compare: --option other_peaks=FILE).",
        )
    chrom, start = [], []
    for path in paths:
        windows = _windows(
            _read(path, genome, notes), genome, length, centre, notes, Path(path).name
        )
        chrom.append(windows.chrom)
        start.append(windows.start)
    chroms, starts = np.concatenate(chrom), np.concatenate(start)
    touching = _touch(chroms, starts, length, avoid)
    if touching.any():
        notes.append(
            f"{int(touching.sum())} of {len(starts)} other peaks touch a peak of this set: left out"
        )
    chroms, starts = chroms[~touching], starts[~touching]
    if len(starts) > wanted:
        keep = np.sort(np.random.default_rng([seed, 0x07E]).permutation(len(starts))[:wanted])
        chroms, starts = chroms[keep], starts[keep]
    elif len(starts) < wanted:
        notes.append(f"only {len(starts)} negatives from other peaks, {wanted} wanted")
    return _cut(chroms, starts, genome, length, notes, "other peaks")


def _is_peaks(path: Path) -> bool:
    name = path.name.removesuffix(".gz").lower()
    return name.endswith((".bed", ".narrowpeak", ".broadpeak"))


def _many(paths: Paths) -> list[str | Path]:
    if isinstance(paths, str):
        return [p for p in paths.split(",") if p]
    return [paths] if isinstance(paths, Path) else list(paths)


TASK = SequenceTask(
    "tfbs",
    load,
    ("unbound", "bound"),
    "Bound by a factor or not, 101 bp at the summit.",
    "peaks with --genome, labelled table, FASTA (with --negative or shuffled)",
    options=TfbsOptions,
    evaluating=TfbsEvaluateOptions,
)

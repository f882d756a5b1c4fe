"""Motifs as DNABERT-viz finds them: stretches of high attention, enriched, merged, cut to windows.

Of attention: where a model reads, not what a base is worth. A stretch counts once a sequence; its
enrichment among the explained sequences against given others is hypergeometric. Forward strand
alone, as there. Axes: n bases of a region, S sequences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from epilm.explaining.discovery import Pattern, Seqlet, adjusted
from epilm.explaining.region_map import RegionMap
from epilm.genome.sequence import decode

LEAST = 5  # bases of a stretch
TIMES = 10.0  # its scores are above so many times the least of the sequence
ENRICHED = 0.005  # q
ALIKE = 0.5  # share of the shorter stretch that must agree
WINDOW = 24  # bases of a motif
INSTANCES = 3
KIND = "attention"

Values = NDArray[np.float64]
Codes = NDArray[np.uint8]


class Instance(NamedTuple):
    """A stretch in a region: its number, and bases from the region's first."""

    region: int
    start: int
    end: int


@dataclass(frozen=True)
class Enriched:
    """A stretch that the explained sequences have more often.

    Attributes
    ----------
    bases : str
    positives, all : int
        Sequences that hold it.
    q : float
    """

    bases: str
    positives: int
    all: int
    q: float


def high_stretches(scores: Values, least: int = LEAST) -> list[tuple[int, int]]:
    """Find runs of bases whose score is above the mean and above ten times the least.

    Parameters
    ----------
    scores : float64 (n,)
        NaN belongs to no run.
    least : int
        Bases of a run.

    Examples
    --------
    >>> high_stretches(np.array([0.1, 2, 2, 2, 0.1, 3, 3, 0.1]), 3)
    [(1, 4)]
    """
    known = np.isfinite(scores)
    if not known.any():
        return []
    cut = max(float(scores[known].mean()), TIMES * float(scores[known].min()))
    high = known & (np.nan_to_num(scores) > cut)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], high, [False]]).astype(np.int8)))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist())
    return [(first, last) for first, last in runs if last - first >= least]


def enrichment(
    candidates: Sequence[str], positives: Sequence[str], negatives: Sequence[str]
) -> list[Enriched]:
    """Test each candidate: how many of all sequences hold it, and how many of these are positive.

    Returns
    -------
    list of Enriched
        As the candidates; q is Benjamini-Hochberg's over them.

    Examples
    --------
    Of eight sequences three hold it, all of them among the four positive ones: 4 in 56.

    >>> (one,) = enrichment(["ACGTA"], ["TACGTAT"] * 3 + ["TTT"], ["TTT"] * 4)
    >>> round(one.q, 6) == round(4 / 56, 6), one.positives, one.all
    (True, 3, 3)
    """
    inside = [sum(word in sequence for sequence in positives) for word in candidates]
    outside = [sum(word in sequence for sequence in negatives) for word in candidates]
    total, drawn = len(positives) + len(negatives), len(positives)
    p = [
        float(hypergeom.sf(x - 1, total, drawn, x + y))
        for x, y in zip(inside, outside, strict=True)
    ]
    q = adjusted(np.array(p)) if p else np.zeros(0)
    return [
        Enriched(word, x, x + y, float(value))
        for word, x, y, value in zip(candidates, inside, outside, q, strict=True)
    ]


def agreement(query: str, key: str) -> tuple[int, int]:
    """Lay one stretch on another without gaps: most bases that agree, and where the key begins in
    the query's bases (below 0: before it); of equal ones the first from the left.

    Examples
    --------
    >>> agreement("ACGTT", "CGTTA"), agreement("AAAA", "CCCC")
    ((4, 1), (0, -4))
    """
    best = (0, -len(key))
    for shift in range(-len(key) + 1, len(query)):
        first, last = max(shift, 0), min(len(query), shift + len(key))
        same = sum(query[at] == key[at - shift] for at in range(first, last))
        if same > best[0]:
            best = (same, shift)
    return best


def merge_stretches(
    stretches: Mapping[str, Sequence[Instance]], least: int = LEAST
) -> dict[str, list[Instance]]:
    """Join stretches that agree, short ones first: instances of a longer one are counted to the
    shorter ones that it agrees with best, at the bases that lie under these.

    Parameters
    ----------
    stretches : mapping
        Bases -> where they lie.
    least : int
        Two agree where at least max(least - 1, half of the shorter) bases do.

    Examples
    --------
    >>> told = {"ACGTA": [Instance(0, 3, 8)], "TACGTA": [Instance(1, 10, 16)]}
    >>> merge_stretches(told)
    {'ACGTA': [Instance(region=0, start=3, end=8), Instance(region=1, start=11, end=16)]}
    """
    merged: dict[str, list[Instance]] = {}
    for bases in sorted(stretches, key=lambda word: (len(word), word)):
        fits = [(key, *agreement(bases, key)) for key in merged]
        enough = [
            (key, same, shift)
            for key, same, shift in fits
            if same >= max(least - 1, ALIKE * min(len(bases), len(key)))
        ]
        most = max((same for _, same, _ in enough), default=0)
        if not enough:
            merged[bases] = list(stretches[bases])
            continue
        for key, same, shift in enough:
            if same == most:
                merged[key] += [
                    Instance(each.region, each.start + shift, each.start + shift + len(key))
                    for each in stretches[bases]
                ]
    return merged


def centred(instance: Instance, length: int, window: int = WINDOW) -> Instance | None:
    """Widen an instance to a window around it; None where that leaves a region of `length` bases.

    Examples
    --------
    >>> centred(Instance(0, 20, 25), 60), centred(Instance(0, 5, 10), 60)
    (Instance(region=0, start=11, end=35), None)
    """
    start = instance.start - (window - (instance.end - instance.start)) // 2
    if start < 0 or start + window > length:
        return None
    return Instance(instance.region, start, start + window)


def attention_patterns(maps: Sequence[RegionMap], others: Sequence[Codes]) -> list[Pattern]:
    """Find motifs of attention scores, as DNABERT-viz does.

    Parameters
    ----------
    maps : sequence of RegionMap
        Scored by `attention_scores`.
    others : sequence of uint8
        Bases of the sequences they are compared with.

    Returns
    -------
    list of Pattern
        attention_1, ...: by instances; `scores` are mean attention, q of a member is that of its
        stretch.

    References
    ----------
    Ji et al., DNABERT, Bioinformatics 2021; motif_utils.py of its repository (protocols 1.6).

    Notes
    -----
    The published tool drops a window that ends with its sequence's last base; here it is kept.
    """
    words = [decode(each.codes) for each in maps]
    stretches: dict[str, list[Instance]] = {}
    for number, (each, word) in enumerate(zip(maps, words, strict=True)):
        for first, last in high_stretches(each.scores):
            if "N" not in word[first:last]:
                stretches.setdefault(word[first:last], []).append(Instance(number, first, last))
    tested = enrichment(list(stretches), words, [decode(codes) for codes in others])
    q_of = {one.bases: one.q for one in tested if one.q < ENRICHED}
    merged = merge_stretches({bases: stretches[bases] for bases in q_of})
    out = []
    for bases, instances in merged.items():
        placed = [centred(one, len(maps[one.region])) for one in dict.fromkeys(instances)]
        windows = [one for one in placed if one is not None]
        if len(windows) >= INSTANCES:
            out.append(_pattern(bases, windows, maps, q_of[bases]))
    out.sort(key=lambda pattern: -len(pattern.seqlets))
    return [
        Pattern(
            f"{KIND}_{number}",
            pattern.counts,
            pattern.scores,
            tuple(
                Seqlet(s.region, s.chrom, s.start, s.end, 1, s.score, s.q, f"{KIND}_{number}")
                for s in pattern.seqlets
            ),
        )
        for number, pattern in enumerate(out, 1)
    ]


def _pattern(
    bases: str, windows: Sequence[Instance], maps: Sequence[RegionMap], q: float
) -> Pattern:
    counts, scores, seqlets = np.zeros((WINDOW, 4)), np.zeros((WINDOW, 4)), []
    for number, start, end in windows:
        each = maps[number]
        hot = each.codes[start:end, None] == np.arange(4)
        said = np.nan_to_num(each.scores[start:end])
        counts += hot
        scores += hot * said[:, None] / len(windows)
        region = each.region
        interval = (number, region.chrom, region.start + start, region.start + end, 1)
        seqlets.append(Seqlet(*interval, float(said.sum()), q, bases))
    return Pattern(bases, counts, scores, tuple(seqlets))

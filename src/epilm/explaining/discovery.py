"""From scores of bases to motifs: stretches that stand out, patterns that come back, their names.

A seqlet is a stretch whose summed score, in units of its region's own scatter, is rare in shuffled
copies of the same regions, by an empirical false discovery rate (our own rule, not TF-MoDISco's).
Seqlets that look alike, on either
strand, are laid on each other to a pattern; a pattern is named by TOMTOM where q < 0.05, else not
at all. Every seqlet and every member of a pattern keeps its chromosome, start and strand.
Axes: w bases of a seqlet, n bases of a region, W columns of a pattern.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import UsageError
from epilm.genome.sequence import decode, reverse_complement
from epilm.motifs.motif import Motif

Values = NDArray[np.float64]
CORE = 11  # bases whose scores are summed
FLANK = 7  # bases beside them that belong to a seqlet
FDR = 0.05
ALIKE = 0.5  # cosine of two stretches of scores that are laid on each other
SHIFT = 8  # bases that one may be moved against the other
MEMBERS = 5  # seqlets that make a pattern
NAMED_BELOW = 0.05  # q of TOMTOM
LEAST_BITS = 0.3  # of an outer column of a pattern


@dataclass(frozen=True)
class Seqlet:
    """A stretch of a region that stands out.

    Attributes
    ----------
    region : int
        Number of its map.
    chrom : str, start : int, end : int
        Where it lies; of a pattern's member the bases under the pattern's columns.
    strand : int
        1, or -1 where the pattern reads it from the other strand.
    score : float
        Sum of the scores of its core; below 0 where it holds the output down.
    q : float
        Share of false ones among all that score as much or more.
    name : str
        Of its pattern, or of its region.
    """

    region: int
    chrom: str
    start: int
    end: int
    strand: int
    score: float
    q: float
    name: str

    def row(self) -> tuple[Any, ...]:
        """BED columns, and the score and q behind them."""
        side = "-" if self.strand < 0 else "+"
        share = round(1000 * (1 - min(self.q, 1.0)))
        interval = (self.chrom, self.start, self.end, self.name, share, side)
        return (*interval, f"{self.score:.6g}", f"{self.q:.3g}")


class Match(NamedTuple):
    """The motif that a pattern looks like."""

    id: str
    name: str
    q: float


@dataclass(frozen=True)
class Pattern:
    """Seqlets laid on each other.

    Attributes
    ----------
    name : str
        pattern_1, ... by size; those that hold the output down are minus_1, ...
    counts : float64 (W, 4)
        Bases of the members.
    scores : float64 (W, 4)
        Mean scores of these bases.
    seqlets : tuple of Seqlet
        Its members; their bases, read along their strand, are those that were counted.
    match : Match or None
        Where TOMTOM's q is below 0.05.
    """

    name: str
    counts: Values
    scores: Values
    seqlets: tuple[Seqlet, ...] = field(repr=False)
    match: Match | None = None

    @property
    def consensus(self) -> str:
        """The most frequent base of each column."""
        return decode(self.counts.argmax(1).astype(np.uint8))

    @property
    def mean_score(self) -> float:
        """Of its members' cores."""
        return float(np.mean([seqlet.score for seqlet in self.seqlets]))

    def motif(self) -> Motif:
        """Give it as a motif, counts with a name."""
        name = f"{self.name}_{self.match.name}" if self.match else self.name
        return Motif(self.name, name, self.counts, is_counts=True)

    def text(self) -> str:
        """A line for people."""
        named = f"{self.match.name} (q {self.match.q:.2g})" if self.match else "no name"
        return f"{self.name}: {len(self.seqlets)} seqlets, {self.consensus}, {named}"


class Peak(NamedTuple):
    """A core of a region: where it begins, and the sum of its scores."""

    region: int
    at: int
    score: float


def cores(scores: Sequence[Values], core: int = CORE) -> list[Peak]:
    """Find the stretches of `core` bases with the largest sums that do not overlap, either sign.

    Parameters
    ----------
    scores : sequence of float64 (n,)
        NaN counts as 0.

    Returns
    -------
    list of Peak
        Best first, region by region.

    Examples
    --------
    >>> [(peak.at, peak.score) for peak in cores([np.array([0.0, 2, 1, 0, 0, -4, 0])], 2)]
    [(4, -4.0), (1, 3.0)]
    """
    out = []
    for number, values in enumerate(scores):
        if len(values) < core:
            continue
        sums = np.convolve(np.nan_to_num(values), np.ones(core), "valid")
        free = np.ones(len(sums), bool)
        for at in np.argsort(-np.abs(sums), kind="stable").tolist():
            if free[at] and sums[at]:
                out.append(Peak(number, at, float(sums[at])))
                free[max(at - core + 1, 0) : at + core] = False
    return out


def scaled(scores: Values) -> Values:
    """Divide by the root mean square; NaN becomes 0.

    A model is steepest where it is in doubt, which it is of shuffled sequences more often than of
    sites it is sure of: on the raw scale the copies have the larger numbers (measured on CTCF:
    their 90 % quantile 8.0, that of the peaks 6.0), and nothing would ever be called.

    Examples
    --------
    >>> scaled(np.array([3.0, np.nan, -4.0, 0.0])).tolist()
    [1.2, 0.0, -1.6, 0.0]
    """
    known = np.nan_to_num(scores)
    size = float(np.sqrt((known**2).mean())) if len(known) else 0.0
    return known / size if size > 0 else known


def false_discovery(real: Values, null: Values, copies: float) -> Values:
    """Give each real score the share of false ones among those at or above it.

    Parameters
    ----------
    real, null : float64
        Scores of stretches of the regions, and of `copies` shuffled copies of them all.

    Returns
    -------
    float64, as `real`
        q: the least share at this score or a lower one, at most 1.

    Examples
    --------
    >>> false_discovery(np.array([9.0, 5.0, 1.0]), np.array([4.0, 1.0]), 1).round(3).tolist()
    [0.0, 0.0, 0.667]
    """
    order = np.argsort(-real, kind="stable")
    above = np.searchsorted(np.sort(-null), -real[order], "right") / copies
    share = above / np.searchsorted(np.sort(-real), -real[order], "right")
    q = np.empty(len(real))
    q[order] = np.minimum(np.minimum.accumulate(share[::-1])[::-1], 1)
    return q


def call_seqlets(
    maps: Sequence[Any],
    null: Sequence[Values],
    copies: int,
    *,
    core: int = CORE,
    flank: int = FLANK,
    fdr: float = FDR,
) -> list[Seqlet]:
    """Call the stretches that stand out against shuffled copies, each sign for itself.

    Parameters
    ----------
    maps : sequence of RegionMap
    null : sequence of float64 (n,)
        Scores of the shuffled copies of all regions.
    copies : int
        Of each region.

    Returns
    -------
    list of Seqlet
        On the forward strand, region by region.
    """
    here = cores([scaled(each.scores) for each in maps], core)
    by_chance = cores([scaled(scores) for scores in null], core)
    out = []
    for sign in (1, -1):
        real = [peak for peak in here if peak.score * sign > 0]
        chance = np.array([peak.score * sign for peak in by_chance if peak.score * sign > 0])
        strength = np.array([peak.score * sign for peak in real])
        for peak, q in zip(real, false_discovery(strength, chance, copies)):
            if q > fdr:
                continue
            region = maps[peak.region].region
            first = max(peak.at - flank, 0)
            last = min(peak.at + core + flank, len(maps[peak.region]))
            start, end = region.start + first, region.start + last
            said = np.nan_to_num(maps[peak.region].scores[peak.at : peak.at + core])
            interval = (peak.region, region.chrom, start, end, 1)
            out.append(Seqlet(*interval, float(said.sum()), float(q), region.name))
    return sorted(out, key=lambda seqlet: (seqlet.region, seqlet.start))


class _Laid(NamedTuple):
    """A stretch as it lies under a template: where on the region, from which strand."""

    number: int
    at: int
    strand: int


def _read(each: Any, at: int, width: int, strand: int) -> tuple[NDArray[np.uint8], Values]:
    """Bases and scores of `width` bases of a map from `at` on, N and 0 where there are none."""
    codes = np.full(width, 4, np.uint8)
    scores = np.zeros(width)
    first, last = max(at, 0), min(at + width, len(each))
    if first < last:
        codes[first - at : last - at] = each.codes[first:last]
        scores[first - at : last - at] = np.nan_to_num(each.scores[first:last])
    if strand < 0:
        return reverse_complement(codes), scores[::-1]
    return codes, scores


def _table(codes: NDArray[np.uint8], scores: Values) -> Values:
    """Scores under their bases, (w, 4)."""
    return (codes[:, None] == np.arange(4)) * scores[:, None]


def _best_place(each: Any, at: int, template: Values) -> tuple[float, int, int]:
    """How a stretch lies best under a template: cosine, begin, strand."""
    width = len(template)
    norm = np.linalg.norm(template)
    best = (-1.0, at, 1)
    for strand in (1, -1):
        # Read once with room on both sides, then moved.
        codes, scores = _read(each, at - SHIFT, width + 2 * SHIFT, strand)
        table = _table(codes, scores)
        for shift in range(2 * SHIFT + 1):
            part = table[shift : shift + width]
            length = np.linalg.norm(part)
            if not length or not norm:
                continue
            alike = float((part * template).sum() / (length * norm))
            if alike > best[0] + 1e-12:
                begin = at - SHIFT + (shift if strand > 0 else 2 * SHIFT - shift)
                best = (alike, begin, strand)
    return best


def find_patterns(
    maps: Sequence[Any], seqlets: Sequence[Seqlet], members: int = MEMBERS
) -> list[Pattern]:
    """Lay seqlets that look alike on each other, the strongest first.

    Parameters
    ----------
    maps : sequence of RegionMap
        That the seqlets are of.
    members : int
        Fewest seqlets of a pattern.

    Returns
    -------
    list of Pattern
        Largest first, those that hold the output up before those that hold it down.
    """
    out: list[Pattern] = []
    for sign, kind in ((1, "pattern"), (-1, "minus")):
        rows = [row for row, seqlet in enumerate(seqlets) if seqlet.score * sign > 0]
        made = _patterns_of_sign(maps, seqlets, rows, members)
        made.sort(key=lambda pattern: -len(pattern.seqlets))
        for number, pattern in enumerate(made, 1):
            name = f"{kind}_{number}"
            named = tuple(_renamed(seqlet, name) for seqlet in pattern.seqlets)
            out.append(Pattern(name, pattern.counts, pattern.scores, named))
    return out


def _renamed(seqlet: Seqlet, name: str) -> Seqlet:
    from dataclasses import replace

    return replace(seqlet, name=name)


def _patterns_of_sign(
    maps: Sequence[Any], seqlets: Sequence[Seqlet], rows: list[int], members: int
) -> list[Pattern]:
    left = sorted(rows, key=lambda row: -abs(seqlets[row].score))
    width = CORE + 2 * FLANK
    out = []
    while len(left) >= members:
        seed = seqlets[left[0]]
        template = _table(*_read(maps[seed.region], _begin(maps, seed, width), width, 1))
        laid: list[_Laid] = []
        for _ in range(3):  # laid again on the mean of what was laid
            laid = []
            for row in left:
                seqlet = seqlets[row]
                each = maps[seqlet.region]
                alike, at, strand = _best_place(each, _begin(maps, seqlet, width), template)
                if alike >= ALIKE:
                    laid.append(_Laid(row, at, strand))
            if not laid:
                break
            template = np.mean(
                [
                    _table(*_read(maps[seqlets[row].region], at, width, strand))
                    for row, at, strand in laid
                ],
                0,
            )
        taken = {row for row, *_ in laid} | {left[0]}
        left = [row for row in left if row not in taken]
        if len(laid) >= members:
            pattern = _trimmed(maps, seqlets, laid, width)
            if pattern is not None:
                out.append(pattern)
    return out


def _begin(maps: Sequence[Any], seqlet: Seqlet, width: int) -> int:
    """Where a stretch of `width` bases around a seqlet's middle begins, within its region."""
    middle = (seqlet.start + seqlet.end) // 2 - maps[seqlet.region].region.start
    return middle - width // 2


def _trimmed(
    maps: Sequence[Any], seqlets: Sequence[Seqlet], laid: Sequence[_Laid], width: int
) -> Pattern | None:
    """Count bases, and cut the ends that say nothing."""
    counts, scores = np.zeros((width, 4)), np.zeros((width, 4))
    for row, at, strand in laid:
        codes, values = _read(maps[seqlets[row].region], at, width, strand)
        counts += codes[:, None] == np.arange(4)
        scores += _table(codes, values)
    share = (counts + 0.25) / (counts.sum(1, keepdims=True) + 1)
    bits = 2 + (share * np.log2(share)).sum(1)
    says = np.flatnonzero(bits >= LEAST_BITS)
    if len(says) < 4:
        return None
    first, last = int(says[0]), int(says[-1]) + 1
    placed = []
    for row, at, strand in laid:
        seqlet = seqlets[row]
        region = maps[seqlet.region].region
        begin = at + (first if strand > 0 else width - last)
        start = region.start + begin
        end = start + last - first
        if begin < 0 or end > region.end:
            continue  # its end lies outside of what was explained
        origin = (seqlet.region, seqlet.chrom, start, end, strand)
        placed.append(Seqlet(*origin, seqlet.score, seqlet.q, seqlet.name))
    if not placed:
        return None
    cut = slice(first, last)
    counts = np.zeros((last - first, 4))
    for member in placed:
        each = maps[member.region]
        codes, _ = _read(each, member.start - each.region.start, last - first, member.strand)
        counts += codes[:, None] == np.arange(4)
    return Pattern("", counts, scores[cut] / len(laid), tuple(placed))


def adjusted(p: Values) -> Values:
    """Give Benjamini-Hochberg's q of p-values.

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.5, 0.02])).round(3).tolist()
    [0.03, 0.5, 0.03]
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return q


def tomtom_module() -> Any:
    """Import memelite's TOMTOM, or say how it comes.

    Raises
    ------
    UsageError
    """
    try:
        from memelite import tomtom
    except ImportError:
        raise UsageError(
            "naming patterns needs memelite",
            where="--motifs",
            do='pip install "epilm[explain]", or leave --motifs out: patterns have no names then.',
        ) from None
    return tomtom


def named(patterns: Sequence[Pattern], motifs: Sequence[Motif]) -> list[Pattern]:
    """Name patterns by the motif each looks like most, where TOMTOM's q is below 0.05.

    Raises
    ------
    UsageError
        If memelite is not installed.

    References
    ----------
    Gupta et al., Quantifying similarity between motifs, Genome Biology 2007; memelite's
    implementation. q is Benjamini-Hochberg's over the collection, for each pattern.
    """
    import warnings
    from dataclasses import replace

    if not patterns:
        return []
    tomtom = tomtom_module()
    asked = [_frequencies(pattern.counts) for pattern in patterns]
    known = [_frequencies(motif.matrix) for motif in motifs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few targets: said in the notes of an explanation
        p = np.asarray(tomtom(asked, known, n_jobs=1)[0], np.float64)
    out = []
    for pattern, row in zip(patterns, p):
        q = adjusted(row)
        best = int(np.argmin(q + 1e-9 * row))
        match = Match(motifs[best].id, motifs[best].name, float(q[best]))
        out.append(replace(pattern, match=match if q[best] < NAMED_BELOW else None))
    return out


def _frequencies(counts: Values) -> Values:
    table = np.asarray(counts, np.float64)
    return np.ascontiguousarray((table / table.sum(1, keepdims=True)).T)

"""What a model of splice sites says of a change: sites gained and lost, and where.

As SpliceAI: a probability of acceptor and donor for each base of both haplotypes, compared base by
base within a distance of the change. Bases left of it, right of it and the first of both alleles
stand side by side; a base that one haplotype alone has counts 0 in the other. REF and ALT swapped
exchange gain and loss exactly.
Axes: N changes, B bases of a block, C classes, P compared bases.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.finetuning.scorer import ModelScorer, logits_of_windows
from epilm.genome.genes import Gene, read_genes
from epilm.genome.sequence import encode, reverse_complement
from epilm.shards import digest, digest_of_weights
from epilm.tasks.reference import Reference
from epilm.tasks.splice.transcript_blocks import window_of
from epilm.variants.haplotypes import Change
from epilm.variants.passes import SteadyRows, passes, probe_windows, wished_rows
from epilm.variants.scorers import Codes, Values

DISTANCE = 50  # bp on either side of a change, SpliceAI's
MOST = "DS_max"
STRAND, GENE = "splice_strand", "splice_gene"
STRANDS = ("+", "-")


class SpliceReading(NamedTuple):
    """A change as it is read once.

    Attributes
    ----------
    row : int
        Which change.
    strand : int
        Of STRANDS.
    gene : int
        Of the genes; -1 where none are given.
    """

    row: int
    strand: int
    gene: int


class SitesChanged(NamedTuple):
    """What a reading says of each class.

    Attributes
    ----------
    gain, loss : float64 (C,)
        Largest rise and fall of the probability, at least 0.
    gain_at, loss_at : float64 (C,)
        Where, bases right of the change's first; NaN where there is none.
    gain_pair, loss_pair : float64 (C, 2)
        The probabilities of REF and ALT there.
    """

    gain: Values
    loss: Values
    gain_at: Values
    loss_at: Values
    gain_pair: Values
    loss_pair: Values


def aligned(
    ref: Values, alt: Values, first: int, change: Change, distance: int
) -> tuple[Values, Values, NDArray[np.int64]]:
    """Put the bases of two haplotypes side by side.

    Parameters
    ----------
    ref, alt : float64 (B, C)
        A value a base, from the same base on.
    first : int
        Which row is the change's first base.
    change : Change
    distance : int
        Bases on either side of the alleles.

    Returns
    -------
    ref, alt : float64 (P, C)
        P = 2 distance + bases of the longer allele; 0 where the haplotype has no such base.
    at : int64 (P,)
        Bases right of the change's first one, in REF; inserted bases have that of the base before
        them.

    Examples
    --------
    A deletion of two bases, and their insertion:

    >>> five, three = np.arange(1.0, 6)[:, None], np.array([[1.0], [4.0], [5.0]])
    >>> sides = aligned(five, three, 1, Change("chr1", 9, "CA", ""), 1)
    >>> [part.ravel().tolist() for part in sides]
    [[1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 4.0], [-1, 0, 1, 2]]
    >>> sides = aligned(three, five, 1, Change("chr1", 9, "", "CA"), 1)
    >>> [part.ravel().tolist() for part in sides]
    [[1.0, 0.0, 0.0, 4.0], [1.0, 2.0, 3.0, 4.0], [-1, -1, -1, 0]]
    """
    of_ref, of_alt = len(change.ref), len(change.alt)
    both = min(of_ref, of_alt)
    only_ref, only_alt = of_ref - both, of_alt - both

    def side(values: Values, own: int, other: int) -> Values:
        after = first + both + own
        return np.concatenate(
            [
                values[first - distance : after],
                np.zeros((other, values.shape[1])),
                values[after : after + distance],
            ]
        )

    at = np.concatenate(
        [
            np.arange(-distance, of_ref),
            np.full(only_alt, both - 1),
            np.arange(of_ref, of_ref + distance),
        ]
    )
    return side(ref, only_ref, only_alt), side(alt, only_alt, only_ref), at


def sites_changed(ref: Values, alt: Values, at: NDArray[np.int64]) -> SitesChanged:
    """Find the largest rise and fall of each class; of equal ones the first.

    Parameters
    ----------
    ref, alt : float64 (P, C)
    at : int64 (P,)

    Examples
    --------
    >>> said = sites_changed(np.array([[0.1], [0.8]]), np.array([[0.4], [0.3]]), np.array([-1, 0]))
    >>> [round(float(value[0]), 2) for value in said[:4]]
    [0.3, 0.5, -1.0, 0.0]
    """
    delta, classes = alt - ref, np.arange(ref.shape[1])

    def of(change: Values) -> tuple[Values, Values, Values]:
        best = change.argmax(0)
        size = np.maximum(change[best, classes], 0)
        pair = np.stack([ref[best, classes], alt[best, classes]], 1)
        there = size > 0
        return size, np.where(there, at[best], np.nan), np.where(there[:, None], pair, np.nan)

    (gain, gain_at, gain_pair), (loss, loss_at, loss_pair) = of(delta), of(-delta)
    return SitesChanged(gain, loss, gain_at, loss_at, gain_pair, loss_pair)


class SpliceScorer:
    """A fine-tuned model that answers each base, as a `ChangeScorer`.

    Parameters
    ----------
    score : ModelScorer
    genes : path, optional
        A change is read on the strand of the gene that holds it, and bases beside the gene are
        unknown if they were when the model learned; of several genes the one that changes most
        counts. Without genes both strands are read on the genome's bases, and the larger counts.
    distance : int
        Bases on either side of a change that are compared.
    grid : int
        Windows begin at multiples of it.

    Raises
    ------
    UsageError, InputError

    Notes
    -----
    Jaganathan K et al. Cell 2019; 176:535, and the published script's alignment of deletions. Of
    an insertion that script takes the largest of the inserted bases and the base before them, less
    that base's own value in REF; here each inserted base is compared with 0, so that an insertion
    is its deletion with gain and loss exchanged. The two differ where that base is a site in REF.
    """

    def __init__(
        self,
        score: ModelScorer,
        genes: str | Path | None = None,
        distance: int = DISTANCE,
        grid: int = 1,
    ) -> None:
        for name, value in (("distance", distance), ("grid", grid)):
            if value < 1:
                raise UsageError(
                    "impossible value", where=f"--{name}", found=value, expected="at least 1"
                )
        self.score, self.model, self.distance, self.grid = score, score.model, distance, grid
        self.context = int(score.about["window_bp"]) - int(score.about["width"])
        self.classes = tuple(score.about["labels"]["names"])[1:]
        self.genes: tuple[Gene, ...] | None = None
        self.notes: list[str] = []
        self.unknown_beside = score.about.get("flank", "n") == "n"
        self.words: dict[str, tuple[str, ...]] = {STRAND: STRANDS}
        if genes is not None:
            self._take_genes(genes)
        letters = {name[0].upper(): name for name in self.classes}
        kinds = [(c + of, c, of) for c in letters for of in "GL"]
        says = {"G": "gained", "L": "lost"}
        self.columns = {MOST: "largest of the DS"}  # first: what a browser draws
        self.columns |= {
            f"DS_{kind}": f"largest probability of {letters[c]} {says[of]} within {distance} bp"
            for kind, c, of in kinds
        }
        for kind, c, of in kinds:
            text = f"where {letters[c]} is {says[of]}: bases right of the normalised position"
            self.columns[f"DP_{kind}"] = text
        for kind, c, of in kinds:
            for side in ("ref", "alt"):
                text = f"probability of {letters[c]} in {side.upper()} where it is {says[of]}"
                self.columns[f"DS_{kind}_{side}"] = text
        self.kinds = tuple(kind for kind, _, _ in kinds)
        self.columns[STRAND] = "strand that is read"
        if self.genes is not None:
            self.columns[GENE] = "gene that changes most"
        self.ranked = {MOST: MOST}
        self._steady = SteadyRows(self.notes)

    def _take_genes(self, path: str | Path) -> None:
        read = read_genes(path)
        self.genes = tuple(gene for gene in read.genes if gene.strand in STRANDS)
        if lost := len(read) - len(self.genes):
            self.notes.append(f"{lost} genes without a strand left out")
        self.words[GENE] = tuple(gene.name for gene in self.genes)
        by_chrom: dict[str, list[int]] = defaultdict(list)
        for number, gene in enumerate(self.genes):
            by_chrom[gene.chrom].append(number)
        # Of each chromosome numbers of genes by their start, starts, and the greatest end so far.
        self._by_start: dict[str, tuple[list[int], Values, Values]] = {}
        for chrom, numbers in by_chrom.items():
            numbers.sort(key=lambda n: (self._gene(n).start, n))
            starts = np.array([self._gene(n).start for n in numbers])
            ends = np.maximum.accumulate([self._gene(n).end for n in numbers])
            self._by_start[chrom] = numbers, starts, ends

    def _gene(self, number: int) -> Gene:
        assert self.genes is not None
        return self.genes[number]

    def _genes_of(self, change: Change) -> list[int]:
        """Genes that hold all of a change, in the file's order."""
        if change.chrom not in self._by_start:
            return []
        numbers, starts, ends = self._by_start[change.chrom]
        first, last = change.start, change.start + len(change.ref)
        before = int(np.searchsorted(starts, first - (not change.ref), "right"))
        inside = []
        for i in range(before - 1, -1, -1):
            if ends[i] < last + (not change.ref):
                break
            if self._gene(numbers[i]).end >= last + (not change.ref):
                inside.append(numbers[i])
        return sorted(inside)

    @property
    def device(self) -> torch.device | None:
        """See `ChangeScorer`."""
        return self.score.place.device

    @property
    def windows(self) -> str:
        """See `ChangeScorer`."""
        how = "both strands, the larger counts"
        if self.genes is not None:
            beside = "unknown" if self.unknown_beside else "the genome's"
            how = f"on the strand of the gene that holds a variant, bases beside it {beside}"
        return f"splice sites within {self.distance} bp, context {self.context} bp; {how}"

    def identity(self) -> dict[str, Any]:
        """See `ChangeScorer`."""
        told = (repr(gene).encode() for gene in self.genes or ())
        return {
            "model": digest([digest_of_weights(self.model.network).encode()]),
            "splice": [self.distance, self.grid, self.unknown_beside],
            "genes": None if self.genes is None else digest(told),
        }

    def reason(self, bases: Codes, change: Change) -> str | None:
        """See `ChangeScorer`; unknown bases in the window are what the model has learned."""
        if max(len(change.ref), len(change.alt)) > 2 * self.distance:
            return "too_long"
        if self.genes is not None and not self._genes_of(change):
            return "no_gene"
        return None

    def _readings(self, changes: Sequence[Change]) -> Iterator[SpliceReading]:
        for row, change in enumerate(changes):
            if self.genes is None:
                yield from (SpliceReading(row, strand, -1) for strand in range(len(STRANDS)))
                continue
            for number in self._genes_of(change):
                yield SpliceReading(row, STRANDS.index(self._gene(number).strand), number)

    def __call__(self, changes: Sequence[Change], genome: Reference) -> dict[str, Values]:
        """See `ChangeScorer`."""
        readings = list(self._readings(changes))
        by_room: dict[int, list[int]] = defaultdict(list)
        for number, reading in enumerate(readings):
            change = changes[reading.row]
            by_room[_room(max(len(change.ref), len(change.alt)))].append(number)
        chroms = {change.chrom: genome.codes(change.chrom) for change in changes}
        said: dict[int, tuple[SitesChanged, SpliceReading]] = {}
        # In the readings' order, so that of equal ones the first counts.
        sites: list[SitesChanged | None] = [None] * len(readings)
        for room, members in sorted(by_room.items()):
            block = 2 * self.distance + self.grid - 1 + room
            windows = [
                self._windows(readings[m], changes[readings[m].row], chroms, block) for m in members
            ]
            answers = self._answers(np.concatenate([codes for codes, _ in windows]))
            for i, m in enumerate(members):
                reading = readings[m]
                change, codes = changes[reading.row], windows[i][0]
                ref, alt = (
                    self._along_genome(answers[2 * i + h], codes[h], reading) for h in range(2)
                )
                sides = aligned(ref, alt, change.start - windows[i][1], change, self.distance)
                sites[m] = sites_changed(*sides)
        for reading, one in zip(readings, sites, strict=True):
            assert one is not None
            before = said.get(reading.row)
            if before is None or _largest(one) > _largest(before[0]):
                said[reading.row] = one, reading
        return self._table([said[row] for row in range(len(changes))])

    def _windows(
        self, reading: SpliceReading, change: Change, chroms: dict[str, Codes], block: int
    ) -> tuple[Codes, int]:
        """Cut the windows of REF and ALT (2, context + block), along the strand that is read; and
        the genome's base that their blocks begin with.
        """
        bases, (low, high) = chroms[change.chrom], (0, len(chroms[change.chrom]))
        if reading.gene >= 0 and self.unknown_beside:
            low, high = self._gene(reading.gene).start, min(self._gene(reading.gene).end, high)

        def stretch(start: int, end: int) -> Codes:
            known = max(start, min(low, end)), max(start, min(high, end))
            inside = window_of(bases, *known)
            left, right = known[0] - start, end - known[1]
            return np.pad(inside, (left, right), constant_values=4)

        first = (change.start - self.distance) // self.grid * self.grid
        start = first - self.context // 2
        width, left = self.context + block, change.start - start
        after = change.start + len(change.ref)
        ref = stretch(start, start + width)
        alt = np.concatenate(
            [
                ref[:left],
                encode(change.alt),
                stretch(after, after + width - left - len(change.alt)),
            ]
        )
        two = [ref, alt]
        if reading.strand != 0:
            two = [reverse_complement(each) for each in two]
        return np.stack(two), first

    def _along_genome(self, answer: Values, codes: Codes, reading: SpliceReading) -> Values:
        """Answers (B, C) of a block from left to right; 0 of bases that are not known."""
        half = self.context // 2
        known = codes[half : half + len(answer)] < 4
        values = answer * known[:, None]
        return values if reading.strand == 0 else values[::-1]

    def _answers(self, codes: Codes) -> Values:
        """Probabilities (M, B, C) of the classes but the first."""
        width = codes.shape[1]
        probe = probe_windows(width)
        wish = wished_rows(self.score.place.device)
        rows = self._steady(width, lambda at: (self._logits(probe[at]),), wish)
        out = np.empty((len(codes), width - self.context, len(self.classes)))
        for each in passes([row.tobytes() for row in codes], rows):
            said = self.model.labels.probabilities(self._logits(codes[each.rows]))
            out[each.asked] = said[..., 1:].numpy()[each.slots]
        return out

    def _logits(self, codes: Codes) -> Tensor:
        machine = self.score.place
        autocast = nullcontext if self.model.bases else machine.autocast
        nothing = torch.zeros(len(codes), 1, dtype=torch.int64)
        windows = Windows(nothing, nothing == 0, codes=torch.from_numpy(codes))
        with torch.inference_mode():
            return logits_of_windows(self.model.network, windows.to(machine.device), autocast).cpu()

    def _table(self, said: Sequence[tuple[SitesChanged, SpliceReading]]) -> dict[str, Values]:
        out: dict[str, Values] = {name: np.full(len(said), np.nan) for name in self.columns}
        for row, (sites, reading) in enumerate(said):
            for number, kind in enumerate(self.kinds):
                c, gained = number // 2, number % 2 == 0
                out[f"DS_{kind}"][row] = (sites.gain if gained else sites.loss)[c]
                out[f"DP_{kind}"][row] = (sites.gain_at if gained else sites.loss_at)[c]
                pair = (sites.gain_pair if gained else sites.loss_pair)[c]
                out[f"DS_{kind}_ref"][row], out[f"DS_{kind}_alt"][row] = pair
            out[MOST][row] = _largest(sites)
            out[STRAND][row] = reading.strand
            if self.genes is not None:
                out[GENE][row] = reading.gene
        return out


def _largest(sites: SitesChanged) -> float:
    return float(max(sites.gain.max(), sites.loss.max()))


def _room(longest: int) -> int:
    """Bases kept for the alleles of a block: 1, 2, 4, .. so that there are few shapes.

    Examples
    --------
    >>> [_room(n) for n in (1, 2, 3, 9)]
    [1, 2, 4, 16]
    """
    return 1 << max(longest - 1, 0).bit_length()

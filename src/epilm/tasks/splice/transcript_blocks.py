"""Transcripts as blocks of bases with a class each: examples that are cut when they are asked for.

A transcript is read along its own strand. It is cut into blocks of W bases from its first base on,
and each block is seen with half the context on either side; what lies beyond the transcript is
unknown (N), as in SpliceAI, or the genome's own bases. Held are the bases of the transcripts, one
byte each, and their sites; windows never. Axes: B rows (blocks), W bases of a block.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.sequence import reverse_complement
from epilm.genome.transcripts import Transcript
from epilm.tasks.reference import Reference

Codes = NDArray[np.uint8]
NAMES = ("neither", "acceptor", "donor")
ACCEPTOR, DONOR, UNKNOWN = 1, 2, -1
LEAST_CANONICAL = 0.5  # of junctions of an annotation 98 % and more are GT..AG
LEAST_JUDGED = 20  # sites; fewer say nothing


class SpliceRows(NamedTuple):
    """Some rows.

    Attributes
    ----------
    codes : uint8 (B, W + context)
        Bases A=0 C=1 G=2 T=3 N=4, along the transcript.
    lengths : int64 (B,)
        W + context.
    labels : int8 (B, W)
        0 neither, 1 acceptor, 2 donor, -1 not known: beyond the transcript, or N.
    """

    codes: Codes
    lengths: NDArray[np.int64]
    labels: NDArray[np.int8]


class BlockSpan(NamedTuple):
    """The bases of one transcript, as they are read.

    Attributes
    ----------
    name, chrom, strand : str
    start, end : int
        Where it lies, 0-based and half-open.
    codes : uint8 (flank + end - start + flank,)
        Along the transcript.
    flank : int
        Bases beside it that are known on either side.
    at : int64 (m,), kind : int8 (m,)
        Its sites: base from its first one on, and class.
    """

    name: str
    chrom: str
    strand: str
    start: int
    end: int
    codes: Codes
    flank: int
    at: NDArray[np.int64]
    kind: NDArray[np.int8]


def window_of(codes: Codes, start: int, end: int) -> Codes:
    """Bases [start, end) of a chromosome; N beyond its ends.

    Examples
    --------
    >>> window_of(np.array([0, 1, 2], np.uint8), -1, 5).tolist()
    [4, 0, 1, 2, 4, 4]
    """
    out = np.full(end - start, 4, np.uint8)
    low, high = max(start, 0), min(end, len(codes))
    if low < high:
        out[low - start : high - start] = codes[low:high]
    return out


class SpliceBlocks:
    """Blocks of transcripts, enumerated: transcript after transcript, block after block.

    Parameters
    ----------
    spans : sequence of BlockSpan
    context : int
        Bases beside a block, half on either side.
    block : int
        W, bases of a block.
    name : str
        Of the set.

    Attributes
    ----------
    answers : int
        W.
    notes : list of str
        What is counted of the sites.
    first : int64 (n + 1,)
        First row of each transcript, and the number of rows.

    Examples
    --------
    >>> codes = np.array([0, 1, 2, 3, 0, 1], np.uint8)
    >>> span = BlockSpan("A", "chr1", "+", 10, 16, codes, 0, np.array([4]), np.array([2], np.int8))
    >>> rows = SpliceBlocks([span], context=2, block=4).take([0, 1])
    >>> rows.codes.tolist()
    [[4, 0, 1, 2, 3, 0], [3, 0, 1, 4, 4, 4]]
    >>> rows.labels.tolist()
    [[0, 0, 0, 0], [2, 0, -1, -1]]
    """

    def __init__(
        self, spans: Sequence[BlockSpan], *, context: int, block: int, name: str = "transcripts"
    ) -> None:
        self.spans, self.context, self.answers, self.name = list(spans), context, block, name
        self.length = np.array([span.end - span.start for span in spans], np.int64)
        self.first = np.concatenate([[0], np.cumsum(-(-self.length // block))]).astype(np.int64)
        self.notes: list[str] = []

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bases of each row's window."""
        return np.full(len(self), self.answers + self.context, np.int64)

    def places_of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Transcript of each row, and the base of it that the block begins with."""
        rows = np.asarray(rows, np.int64)
        span = np.searchsorted(self.first, rows, "right") - 1
        return span, (rows - self.first[span]) * self.answers

    def take(self, rows: NDArray[np.int64]) -> SpliceRows:
        """Rows by number, in that order."""
        width = self.answers + self.context
        codes = np.full((len(rows), width), 4, np.uint8)
        half = self.context // 2
        for out, span_at, begin in zip(codes, *self.places_of(rows), strict=True):
            span = self.spans[span_at]
            out[:] = window_of(
                span.codes, begin - half + span.flank, begin - half + span.flank + width
            )
        return SpliceRows(codes, np.full(len(rows), width, np.int64), self.labels_of(rows))

    def labels_of(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Labels of rows, (B, W)."""
        out = np.full((len(rows), self.answers), UNKNOWN, np.int8)
        for labels, span_at, begin in zip(out, *self.places_of(rows), strict=True):
            span = self.spans[span_at]
            end = min(begin + self.answers, span.end - span.start)
            bases = span.codes[span.flank + begin : span.flank + end]
            labels[: end - begin] = np.where(bases < 4, 0, UNKNOWN)
            low, high = np.searchsorted(span.at, (begin, end))
            labels[span.at[low:high] - begin] = span.kind[low:high]
        return out

    def chroms_of(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        """Chromosomes of rows, (B,)."""
        return np.array([self.spans[at].chrom for at in self.places_of(rows)[0]], np.str_)

    def origin_of(self, row: int) -> str:
        """Where a row comes from."""
        (span_at,), (begin,) = self.places_of(np.array([row]))
        span, end = self.spans[span_at], begin + self.answers
        length = span.end - span.start
        low, high = int(begin), int(min(end, length))
        low, high = (low, high) if span.strand == "+" else (length - high, length - low)
        return f"{span.name}, {span.chrom}:{span.start + low}-{span.start + high}{span.strand}"

    def fingerprint(self) -> str:
        """Digest of bases, places, labels, and how they are cut."""
        digest = hashlib.sha256(f"{self.context} {self.answers}".encode())
        for span in self.spans:
            digest.update(repr(span[:5]).encode())
            for column in (span.codes, span.at, span.kind):
                digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()[:16]

    def counts(self, transcripts: NDArray[np.int64]) -> list[int]:
        """Bases, acceptors and donors of some transcripts."""
        kinds = [self.spans[t].kind for t in transcripts]
        sites = [sum(int((kind == c).sum()) for kind in kinds) for c in (ACCEPTOR, DONOR)]
        return [int(self.length[transcripts].sum()), *sites]

    def rows_of(self, transcripts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of some transcripts, rising."""
        pieces = [np.arange(self.first[t], self.first[t + 1]) for t in np.sort(transcripts)]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


def sites_of(row: Transcript) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Sites of a transcript: bases from its own first one on, rising, and their classes.

    A base that is both, an exon of one base, is called a donor, as in SpliceAI's code.

    Examples
    --------
    >>> one = Transcript("A", "chr1", "-", 10, 60, np.array([19, 34]), np.array([30, 49]))
    >>> [part.tolist() for part in sites_of(one)]
    [[10, 25, 29, 40], [2, 1, 2, 1]]
    """
    at = np.concatenate([row.donors, row.acceptors])
    kind = np.repeat(np.array([DONOR, ACCEPTOR], np.int8), [len(row.donors), len(row.acceptors)])
    at = at - row.start if row.strand == "+" else row.end - 1 - at
    at, first = np.unique(at, return_index=True)  # donors stand first
    return at, kind[first]


def blocks_from(
    rows: Sequence[Transcript],
    reference: Reference,
    *,
    context: int,
    block: int,
    flank: str = "n",
    where: str = "",
) -> SpliceBlocks:
    """Cut transcripts out of a genome.

    Parameters
    ----------
    rows : sequence of Transcript
    reference : Reference
    context, block : int
        See `SpliceBlocks`.
    flank : {"n", "real"}
        Whether the bases beside a transcript are unknown or those of the genome, which has all
        chromosomes of `rows`.
    where : str
        File of the transcripts, for messages.

    Returns
    -------
    SpliceBlocks
        With `notes`: how many junctions are GT..AG, what is not known.

    Raises
    ------
    InputError
        If the transcripts are of another assembly: one ends past its chromosome, most junctions
        are not GT..AG.
    """
    beside = context // 2 if flank == "real" else 0
    spans: list[BlockSpan | None] = [None] * len(rows)
    seen = np.zeros(4, np.int64)  # donors, of them GT; acceptors, of them AG
    hidden = 0
    for chrom in dict.fromkeys(row.chrom for row in rows):
        codes = reference.codes(chrom)
        for number, row in enumerate(rows):
            if row.chrom != chrom:
                continue
            if row.end > len(codes):
                raise InputError(
                    "the gene ends past its chromosome",
                    where=f"{where}, line {row.line}",
                    found=f"{row.gene} {chrom}:{row.start}-{row.end}",
                    expected=f"an end of at most {len(codes)} in the genome given",
                    do="Give the genome that the transcripts were annotated on.",
                )
            bases = window_of(codes, row.start - beside, row.end + beside)
            bases = bases if row.strand == "+" else reverse_complement(bases)
            at, kind = sites_of(row)
            kind = kind.copy()
            inside = bases[beside : beside + row.end - row.start]
            lost_here = _unseen(inside, at, kind)
            seen += _canonical(inside, at[~lost_here], kind[~lost_here])
            hidden += int(lost_here.sum())
            kind[lost_here] = UNKNOWN
            name, strand = row.gene, row.strand
            spans[number] = BlockSpan(
                name, chrom, strand, row.start, row.end, bases, beside, at, kind
            )
    donors, gt, acceptors, ag = seen.tolist()
    said = f"of {donors} donors {gt} stand before GT, of {acceptors} acceptors {ag} after AG"
    if donors + acceptors >= LEAST_JUDGED and gt + ag < LEAST_CANONICAL * (donors + acceptors):
        raise InputError(
            "most junctions are not GT..AG: transcripts and genome are of two assemblies",
            where=where,
            found=said,
            expected="nearly all",
            do="Give the genome of the annotation; the table counts bases from 1.",
        )
    notes = [said]
    if hidden:
        notes.append(f"{hidden} sites whose bases are N are not known and count nowhere")
    done = SpliceBlocks(
        [span for span in spans if span is not None], context=context, block=block, name=where
    )
    done.notes = notes
    return done


def _pair(bases: Codes, at: NDArray[np.int64], offsets: tuple[int, int]) -> Codes:
    """Two bases (m, 2) beside each of some; N beyond the ends."""
    places = at[:, None] + np.array(offsets)
    inside = (places >= 0) & (places < len(bases))
    return np.where(inside, bases[np.clip(places, 0, len(bases) - 1)], 4).astype(np.uint8)


def _unseen(bases: Codes, at: NDArray[np.int64], kind: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Sites that no model could see: they, or one of the two bases of their intron, are N."""
    beside = np.where(
        (kind == DONOR)[:, None], _pair(bases, at, (1, 2)), _pair(bases, at, (-2, -1))
    )
    unseen: NDArray[np.bool_] = (beside == 4).any(1) | (bases[at] == 4)
    return unseen


def _canonical(bases: Codes, at: NDArray[np.int64], kind: NDArray[np.int8]) -> NDArray[np.int64]:
    """Count donors, those before GT, acceptors, those after AG."""
    donors, acceptors = at[kind == DONOR], at[kind == ACCEPTOR]
    gt = (_pair(bases, donors, (1, 2)) == [2, 3]).all(1).sum()
    ag = (_pair(bases, acceptors, (-2, -1)) == [0, 2]).all(1).sum()
    return np.array([len(donors), gt, len(acceptors), ag], np.int64)

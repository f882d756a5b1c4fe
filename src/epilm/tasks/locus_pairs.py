"""Rows that are two loci of one chromosome each: the first one stands where single sequences have
their bases, the second beside it.

Axes: N pairs, U loci, W bases.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.tasks.base import LabelledSequences, concatenate


@dataclass(frozen=True)
class PairedSequences(LabelledSequences):
    """N pairs of loci with their labels and origin.

    Attributes
    ----------
    second : LabelledSequences
        N rows: bases and place of the locus that lies further on; its labels are not read.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> loci = labelled(["ACG", "TTT", "ACG"], [0, 0, 0], chrom=["chr1"] * 3, start=[0, 50, 90])
    >>> rows = paired(loci, [[0, 1], [1, 2]], [1, 0])
    >>> rows.distance.tolist(), rows.ends.tolist(), rows.text(1), rows.second.text(1)
    ([50, 40], [53, 93], 'TTT', 'ACG')
    """

    second: Any = None
    loci = 2

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where the second locus ends: a pair lies in what holds both."""
        ends: NDArray[np.int64] = self.second.start + self.second.lengths
        return np.where(self.start >= 0, ends, -1)

    @property
    def distance(self) -> NDArray[np.int64]:
        """Bases from middle to middle."""
        middle = self.start + self.lengths // 2
        distance: NDArray[np.int64] = self.second.start + self.second.lengths // 2 - middle
        return distance

    @property
    def first(self) -> LabelledSequences:
        """The loci that lie before the others, as single sequences."""
        columns = ("codes", "lengths", "labels", "chrom", "start", "origin", "split")
        return LabelledSequences(**{column: getattr(self, column) for column in columns})

    def take(self, rows: ArrayLike) -> "PairedSequences":
        """Give chosen pairs, by number or by a mask, in that order."""
        taken = super().take(rows)
        assert isinstance(taken, PairedSequences)
        return replace(taken, second=self.second.take(rows))

    def keys(self) -> NDArray[np.str_]:
        """One digest a pair: pairs of equal sequences have equal keys."""
        both = zip(super().keys().tolist(), self.second.keys().tolist(), strict=True)
        digests = [hashlib.blake2b((a + b).encode(), digest_size=8).hexdigest() for a, b in both]
        return np.array(digests, dtype="U16")

    def fingerprint(self) -> str:
        """Digest of both loci, labels and splits together."""
        both = super().fingerprint() + str(self.second.fingerprint())
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def table_of_loci(self) -> tuple[LabelledSequences, NDArray[np.int64]]:
        """Each different sequence once, U rows, and which two of them a pair is, (N, 2)."""
        every = concatenate([self.first, replace(self.second, labels=self.labels)])
        _, first, inverse = np.unique(every.keys(), return_index=True, return_inverse=True)
        return every.take(first), inverse.reshape(2, -1).T.astype(np.int64)


def paired(
    loci: LabelledSequences, pairs: ArrayLike, labels: ArrayLike, **more: Any
) -> PairedSequences:
    """Make pairs of loci.

    Parameters
    ----------
    loci : LabelledSequences
        U loci.
    pairs : int (N, 2)
        Two loci of one chromosome each, the one that begins first before the other.
    labels : int (N,) or float (N, F)
    **more
        Fields of `LabelledSequences`: origin, name, notes, kind, label_names, ...
    """
    at = np.asarray(pairs, np.int64).reshape(-1, 2)
    first, second = loci.take(at[:, 0]), loci.take(at[:, 1])
    origin = more.pop("origin", None)
    if origin is None:
        origin = [f"{a} x {b}" for a, b in zip(first.origin, second.origin, strict=True)]
    kind = more.get("kind", "classes")
    return PairedSequences(
        codes=first.codes,
        lengths=first.lengths,
        labels=np.asarray(labels, np.int64 if kind == "classes" else np.float32),
        chrom=first.chrom,
        start=first.start,
        origin=np.asarray(origin, np.str_),
        split=np.full(len(at), "", "U5"),
        second=second,
        **more,
    )

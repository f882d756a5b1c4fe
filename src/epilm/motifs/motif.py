"""The motif itself: an id, a name and W columns of A, C, G, T, counts or frequencies.

Needs numpy only. Made by readers, used by everything else here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError

BASES = "ACGT"
"""Order of the columns of every motif matrix here (not DNABERT's A, T, C, G)."""


@dataclass(frozen=True, eq=False)
class Motif:
    """One motif.

    Parameters
    ----------
    id, name : str
        Matrix id, such as "MA0139.1", and the factor, such as "CTCF".
    matrix : float64 array, shape (W, 4)
        Counts or frequencies, bases in the order A, C, G, T.
    is_counts : bool
        False when every column sums to 1.
    family : str, optional
        Structural family, where the source states it.
    sites : float, optional
        Number of sites behind a frequency matrix, where the source states it (MEME's nsites).

    Examples
    --------
    >>> motif = Motif("M1", "x", np.array([[8.0, 0, 0, 2], [0, 10, 0, 0]]), is_counts=True)
    >>> motif.width, motif.consensus
    (2, 'AC')
    """

    id: str
    name: str
    matrix: NDArray[np.float64] = field(repr=False)
    is_counts: bool
    family: str | None = None
    sites: float | None = None

    @property
    def width(self) -> int:
        """Number of columns W in base pairs."""
        return int(self.matrix.shape[0])

    @property
    def consensus(self) -> str:
        """The most frequent base of each column."""
        return "".join(BASES[i] for i in self.matrix.argmax(axis=1))


def duplicate_free(motifs: Sequence[Motif], where: str) -> list[Motif]:
    """Return the motifs, or raise naming the first id that comes twice.

    Examples
    --------
    >>> duplicate_free([Motif("M1", "x", np.ones((1, 4)), True)] * 2, "a.jaspar")
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: a.jaspar: two motifs have one id. Found M1 as motif 1 and motif 2.
        Rename or remove one of them: ids are the columns of the factor matrix.
    """
    seen: dict[str, int] = {}
    for number, motif in enumerate(motifs, 1):
        if motif.id in seen:
            raise InputError(
                "two motifs have one id",
                where=where,
                found=f"{motif.id} as motif {seen[motif.id]} and motif {number}",
                do="Rename or remove one of them: ids are the columns of the factor matrix.",
            )
        seen[motif.id] = number
    return list(motifs)


def numbers_of(words: Sequence[str], where: str) -> list[float]:
    out = []
    for word in words:
        try:
            value = float(word if "_" not in word else "")  # float() reads 1_000
        except ValueError:
            raise InputError("not a number", where=where, found=repr(word)) from None
        if not math.isfinite(value) or value < 0:
            raise InputError(
                "a count or frequency must be a finite number of at least 0",
                where=where,
                found=word,
                do="Log-odds matrices are not read: give counts or frequencies.",
            )
        out.append(value)
    return out


def motif_of(
    id: str, name: str, matrix: NDArray[np.float64], where: str, sites: float | None = None
) -> Motif:
    sums = matrix.sum(axis=1)
    if (sums <= 0).any():
        raise InputError(
            f"motif {id} has a column without any count",
            where=where,
            found=f"zeros in column {int(np.flatnonzero(sums <= 0)[0]) + 1} of {len(sums)}",
            do=(
                "Remove the column or the motif; a pseudocount cannot make information from"
                " nothing."
            ),
        )
    frequencies = bool((matrix <= 1 + 1e-6).all() and (np.abs(sums - 1) <= 0.05).all())
    return Motif(
        id, name or id, matrix, is_counts=not frequencies, sites=sites if frequencies else None
    )

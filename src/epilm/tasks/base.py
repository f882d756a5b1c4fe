"""Labelled sequences and the contract of a downstream task.

A task turns files into one plain thing, `LabelledSequences`: bases as codes,
labels, and where each row came from, so that every split, baseline and model
sees the same rows in the same order. Bases are A=0 C=1 G=2 T=3 N=4; rows shorter
than the longest are padded with N on the right and `lengths` says how far they go.
Axes: N sequences, W bases of the longest. Numpy only (a training machine has no pandas).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.errors import InputError

LETTERS = np.frombuffer(b"ACGTN", np.uint8)
_CODE_OF = np.full(256, 255, np.uint8)
for _code, _pair in enumerate((b"Aa", b"Cc", b"Gg", b"Tt", b"Nn")):
    _CODE_OF[list(_pair)] = _code
# IUPAC letters for "one of several" are unknown bases, as in a genome.
_CODE_OF[list(b"RYSWKMBDHVryswkmbdhv")] = 4

SPLITS = ("train", "valid", "test")


def encode_text(sequence: str, where: str) -> NDArray[np.uint8]:
    """Turn letters into codes.

    Parameters
    ----------
    sequence : str
        Bases of either case; IUPAC ambiguity letters become N.
    where : str
        File and line, for the message.

    Raises
    ------
    InputError
        At the first letter that is none of them.

    Examples
    --------
    >>> encode_text("acgTN", "here").tolist()
    [0, 1, 2, 3, 4]
    >>> encode_text("ACXT", "set.tsv, line 3")
    Traceback (most recent call last):
    epilm.errors.InputError: set.tsv, line 3: the sequence has a letter that is no base. Found 'X'
        at base 3; expected A, C, G, T or N (IUPAC letters are read as N).
    """
    codes = _CODE_OF[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]
    wrong = np.flatnonzero(codes == 255)
    if len(wrong):
        at = int(wrong[0])
        raise InputError(
            "the sequence has a letter that is no base",
            where=where,
            found=f"{sequence[at]!r} at base {at + 1}",
            expected="A, C, G, T or N (IUPAC letters are read as N)",
        )
    return codes


@dataclass(frozen=True)
class LabelledSequences:
    """N sequences with their labels and origin.

    Attributes
    ----------
    codes : uint8 (N, W)
        Bases A=0 C=1 G=2 T=3 N=4; 4 after the end of a shorter row.
    lengths : int64 (N,)
        Bases of each row.
    labels : int64 (N,)
        Classes 0..C-1; in a two-class task 1 is the promoter, the bound site.
    chrom : str (N,), start : int64 (N,)
        Where the row lies on the genome, 0-based; "" and -1 where unknown or invented.
        A shuffled negative carries the place of its positive, so that both fall in one split.
    origin : str (N,)
        What the row is and where it was read: "set.tsv:12", "shuffle of chr20:5-106".
    split : str (N,)
        "train", "valid", "test", or "" before splitting.
    name : str
        Name of the whole set.
    notes : tuple of str
        What was dropped, doubted or filled in while reading: said to the user, kept in the run.
    """

    codes: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    chrom: NDArray[np.str_]
    start: NDArray[np.int64]
    origin: NDArray[np.str_]
    split: NDArray[np.str_]
    name: str = "set"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.labels)
        for column in ("codes", "lengths", "chrom", "start", "origin", "split"):
            assert len(getattr(self, column)) == rows, f"{column} has not {rows} rows"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_labels(self) -> int:
        return max(2, int(self.labels.max(initial=0)) + 1)

    def take(self, rows: ArrayLike) -> "LabelledSequences":
        """Give chosen rows, by number or by a mask, in that order."""
        rows = np.asarray(rows)
        columns = ("codes", "lengths", "labels", "chrom", "start", "origin", "split")
        return replace(self, **{c: getattr(self, c)[rows] for c in columns})

    def labels_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels of rows, (B,)."""
        return self.labels[rows]

    def origin_of(self, row: int) -> str:
        """Where a row comes from: file and line."""
        return str(self.origin[row])

    def part(self, split: str) -> "LabelledSequences":
        """Give the rows of one split; the columns are cut to its longest row."""
        return self.take(self.split == split)

    def text(self, row: int) -> str:
        """Give one sequence as letters."""
        return LETTERS[self.codes[row, : self.lengths[row]]].tobytes().decode()

    def keys(self) -> NDArray[np.str_]:
        """Give one short digest a row: equal sequences have equal keys."""
        digests = [
            hashlib.blake2b(row[:n].tobytes(), digest_size=8).hexdigest()
            for row, n in zip(self.codes, self.lengths)
        ]
        return np.array(digests, dtype="U16")

    def fingerprint(self) -> str:
        """Digest of sequences, labels and splits together."""
        digest = hashlib.sha256()
        for column in (self.codes, self.lengths, self.labels):
            digest.update(np.ascontiguousarray(column).tobytes())
        digest.update("\n".join(self.split.tolist()).encode())
        return digest.hexdigest()[:16]

    def counts(self) -> dict[str, list[int]]:
        """Count the rows of each class, by split.

        Examples
        --------
        >>> labelled(["AC", "GT", "CC"], [0, 1, 1], split=["train", "train", "test"]).counts()
        {'train': [1, 1], 'test': [0, 1]}
        """
        classes = self.n_labels
        names = [s for s in (*SPLITS, "") if (self.split == s).any()]
        return {
            s or "all": np.bincount(self.labels[self.split == s], minlength=classes).tolist()
            for s in names
        }


def labelled(
    sequences: Sequence[str] | Sequence[NDArray[np.uint8]],
    labels: ArrayLike,
    *,
    chrom: ArrayLike | None = None,
    start: ArrayLike | None = None,
    origin: ArrayLike | None = None,
    split: ArrayLike | None = None,
    name: str = "set",
    notes: Iterable[str] = (),
) -> LabelledSequences:
    """Build a set from letters or codes of any lengths.

    Parameters
    ----------
    sequences : sequence of str or uint8 arrays
        N sequences.
    labels : int (N,)
    chrom, start, origin, split : (N,), optional
        See `LabelledSequences`; unknown by default.

    Raises
    ------
    InputError
        If there are no sequences, one is empty, or a letter is no base.

    Examples
    --------
    >>> rows = labelled(["ACG", "TTTTT"], [0, 1])
    >>> rows.codes.shape, rows.lengths.tolist(), rows.text(0)
    ((2, 5), [3, 5], 'ACG')
    """
    where = name if origin is None else None
    given = np.asarray(
        origin if origin is not None else [f"{name}:{i + 1}" for i in range(len(sequences))]
    )
    if not len(sequences):
        raise InputError(
            "there are no sequences", where=name, do="Check the file, or the filters in use."
        )
    rows = [
        encode_text(s, where or str(given[i])) if isinstance(s, str) else np.asarray(s, np.uint8)
        for i, s in enumerate(sequences)
    ]
    lengths = np.array([len(r) for r in rows], np.int64)
    if (lengths == 0).any():
        raise InputError("the sequence is empty", where=str(given[int(np.argmin(lengths))]))
    codes = np.full((len(rows), int(lengths.max())), 4, np.uint8)
    for i, row in enumerate(rows):
        codes[i, : len(row)] = row
    count = len(rows)
    return LabelledSequences(
        codes=codes,
        lengths=lengths,
        labels=np.asarray(labels, np.int64),
        chrom=np.asarray(chrom if chrom is not None else [""] * count, dtype=np.str_),
        start=np.asarray(start if start is not None else [-1] * count, np.int64),
        origin=given.astype(np.str_),
        split=np.asarray(split if split is not None else [""] * count, dtype=np.str_),
        name=name,
        notes=tuple(notes),
    )


def concatenate(parts: Sequence[LabelledSequences], name: str | None = None) -> LabelledSequences:
    """Put sets below each other.

    Examples
    --------
    >>> both = concatenate([labelled(["ACG"], [0]), labelled(["TTTTT"], [1])])
    >>> both.labels.tolist(), both.text(0)
    ([0, 1], 'ACG')
    """
    width = max(p.codes.shape[1] for p in parts)
    codes = [
        np.pad(p.codes, ((0, 0), (0, width - p.codes.shape[1])), constant_values=4) for p in parts
    ]
    rest = {
        c: np.concatenate([getattr(p, c) for p in parts])
        for c in ("lengths", "labels", "chrom", "start", "origin", "split")
    }
    notes = tuple(dict.fromkeys(note for p in parts for note in p.notes))
    return LabelledSequences(
        codes=np.concatenate(codes), name=name or parts[0].name, notes=notes, **rest
    )


def check_classes(rows: LabelledSequences, where: str) -> LabelledSequences:
    """Refuse a set from which nothing can be learned: one class alone, or a gap in the classes.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_classes(labelled(["ACG", "TTT"], [1, 1]), "set.tsv")
    Traceback (most recent call last):
    epilm.errors.InputError: set.tsv: every sequence has the same label. Found label 1, 2 rows;
        expected at least two classes. Give the other class too: --negative FILE, or --negatives
        shuffle with peaks.
    """
    present = np.unique(rows.labels)
    if len(present) == 1:
        raise InputError(
            "every sequence has the same label",
            where=where,
            found=f"label {present[0]}, {len(rows)} rows",
            expected="at least two classes",
            do="Give the other class too: --negative FILE, or --negatives shuffle with peaks.",
        )
    if len(present) != present[-1] + 1:
        raise InputError(
            "the labels leave a gap",
            where=where,
            found=", ".join(str(c) for c in present),
            expected=f"0 to {len(present) - 1}",
            do="Number the classes from 0 without a gap.",
        )
    return rows


def describe(rows: LabelledSequences) -> dict[str, Any]:
    """Say what a set is, for JSON and the head of a report.

    Examples
    --------
    >>> describe(labelled(["ACG", "TTTTT"], [0, 1]))["length_bp"]
    [3, 5]
    """
    return {
        "name": rows.name,
        "rows": len(rows),
        "classes": rows.n_labels,
        "counts": rows.counts(),
        "length_bp": [int(rows.lengths.min()), int(rows.lengths.max())],
        "fingerprint": rows.fingerprint(),
        "notes": list(rows.notes),
    }

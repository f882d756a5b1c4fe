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
_LABELS: dict[str, Any] = {
    "classes": np.int64,
    "factors": np.int8,
    "numbers": np.float32,
    "counts": np.float32,
}


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
    labels : int64 (N,), int8 (N, F) or float32 (N, F)
        By `kind`: classes 0..C-1 (in a two-class task 1 is the promoter, the bound site); of each
        question 1, 0 or -1 where not known; numbers, NaN where not known.
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
    kind : {"classes", "factors", "numbers", "counts"}
        Of the labels, as `tasks.labels` has them.
    label_names : tuple of str
        Of classes or columns; empty where classes are mere numbers.
    family : int64 (N,) or None
        Rows of one number of 0 or more are made of each other and stay in one split; -1: of no
        other.
    """

    codes: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    labels: NDArray[Any]
    chrom: NDArray[np.str_]
    start: NDArray[np.int64]
    origin: NDArray[np.str_]
    split: NDArray[np.str_]
    name: str = "set"
    notes: tuple[str, ...] = ()
    kind: str = "classes"
    label_names: tuple[str, ...] = ()
    family: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        rows = len(self.labels)
        for column in ("codes", "lengths", "chrom", "start", "origin", "split"):
            assert len(getattr(self, column)) == rows, f"{column} has not {rows} rows"
        assert self.family is None or len(self.family) == rows

    loci = 1  # of a row; `locus_pairs.PairedSequences` has two

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where rows end on the genome, (N,); -1 where the place is not known."""
        return np.where(self.start >= 0, self.start + self.lengths, -1)

    @property
    def n_labels(self) -> int:
        """Classes, or columns of labels."""
        if self.kind != "classes":
            return int(self.labels.shape[1])
        return max(2, int(self.labels.max(initial=0)) + 1, len(self.label_names))

    def take(self, rows: ArrayLike) -> "LabelledSequences":
        """Give chosen rows, by number or by a mask, in that order."""
        rows = np.asarray(rows)
        columns = ("codes", "lengths", "labels", "chrom", "start", "origin", "split")
        family = None if self.family is None else self.family[rows]
        return replace(self, family=family, **{c: getattr(self, c)[rows] for c in columns})

    def labels_of(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Labels of rows, (B,) or (B, F)."""
        labels: NDArray[Any] = self.labels[rows]
        return labels

    def chroms_of(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        """Chromosomes of rows, (B,); "" where a row has none."""
        return self.chrom[rows]

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
        digest.update("\n".join(self.label_names).encode())
        return digest.hexdigest()[:16]

    def counts(self) -> dict[str, list[int]]:
        """Count the rows of each class, by split; of questions those that are 1, of numbers those
        that are known.

        Examples
        --------
        >>> labelled(["AC", "GT", "CC"], [0, 1, 1], split=["train", "train", "test"]).counts()
        {'train': [1, 1], 'test': [0, 1]}
        """
        names = [s for s in (*SPLITS, "") if (self.split == s).any()]
        return {s or "all": self._counted(self.labels[self.split == s]) for s in names}

    def _counted(self, labels: NDArray[Any]) -> list[int]:
        if self.kind == "classes":
            counts: list[int] = np.bincount(labels, minlength=self.n_labels).tolist()
            return counts
        told = labels == 1 if self.kind == "factors" else np.isfinite(labels)
        known: list[int] = told.sum(0).tolist()
        return known


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
    kind: str = "classes",
    label_names: Sequence[str] = (),
    family: ArrayLike | None = None,
) -> LabelledSequences:
    """Build a set from letters or codes of any lengths.

    Parameters
    ----------
    sequences : sequence of str or uint8 arrays
        N sequences.
    labels : int (N,), or by `kind` (N, F)
    chrom, start, origin, split, family : (N,), optional
        See `LabelledSequences`; unknown by default.
    kind, label_names
        See `LabelledSequences`.

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
        labels=np.asarray(labels, _LABELS[kind]),
        chrom=np.asarray(chrom if chrom is not None else [""] * count, dtype=np.str_),
        start=np.asarray(start if start is not None else [-1] * count, np.int64),
        origin=given.astype(np.str_),
        split=np.asarray(split if split is not None else [""] * count, dtype=np.str_),
        name=name,
        notes=tuple(notes),
        kind=kind,
        label_names=tuple(label_names),
        family=None if family is None else np.asarray(family, np.int64),
    )


def concatenate(parts: Sequence[LabelledSequences], name: str | None = None) -> LabelledSequences:
    """Put sets below each other, whose labels are of one kind.

    Families keep their numbers: rows of one number in two sets belong together.

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
    family = None
    if any(p.family is not None for p in parts):
        family = np.concatenate(
            [np.full(len(p), -1) if p.family is None else p.family for p in parts]
        )
    return LabelledSequences(
        codes=np.concatenate(codes),
        name=name or parts[0].name,
        notes=notes,
        kind=parts[0].kind,
        label_names=parts[0].label_names,
        family=family,
        **rest,
    )


def check_classes(rows: LabelledSequences, where: str) -> LabelledSequences:
    """Refuse a set from which nothing can be learned: one class alone, a gap in the classes, a
    question that is always answered alike, a number that is always the same.

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
    if rows.kind != "classes":
        _check_columns(rows, where)
        return rows
    present = np.unique(rows.labels)
    if len(present) == 1:
        raise InputError(
            "every sequence has the same label",
            where=where,
            found=f"label {present[0]}, {len(rows)} rows",
            expected="at least two classes",
            do="Give the other class too: --negative FILE, or --negatives shuffle with peaks.",
        )
    if len(present) != present[-1] + 1 and not rows.label_names:
        raise InputError(
            "the labels leave a gap",
            where=where,
            found=", ".join(str(c) for c in present),
            expected=f"0 to {len(present) - 1}",
            do="Number the classes from 0 without a gap.",
        )
    return rows


def _check_columns(rows: LabelledSequences, where: str) -> None:
    """Refuse a column of labels that says nothing."""
    for column, name in enumerate(rows.label_names):
        labels = rows.labels[:, column]
        known = labels[labels >= 0] if rows.kind == "factors" else labels[np.isfinite(labels)]
        if len(np.unique(known)) < 2:
            raise InputError(
                "every known label of a column is the same",
                where=f"{where}, column {name}",
                found=f"{known[0]:g}, {len(known)} rows" if len(known) else "no known label",
                expected="both 0 and 1" if rows.kind == "factors" else "numbers that differ",
                do="Leave the column out of --labels.",
            )


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

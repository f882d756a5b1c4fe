"""Which rows learn, which choose, which judge.

Equal sequences always fall on one side, or a model could pass by memory. A split
by chromosome is the honest one where places are known: neighbouring promoters and
peaks overlap. Pure functions of the rows and a seed. Numpy only.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.tasks.base import LabelledSequences

_REGION = re.compile(r"^([^:]+)(?::([\d,]+)-([\d,]+))?$")


class Interval(NamedTuple):
    """A whole chromosome, or [start, end) of it."""

    chrom: str
    start: int
    end: int


def parse_interval(text: str) -> Interval:
    """Read "chr20" or "chr20:9,000,000-11,095,000" (0-based, half-open).

    Examples
    --------
    >>> parse_interval("chr20:9,000-10,000")
    Interval(chrom='chr20', start=9000, end=10000)
    """
    parts = _REGION.match(text.strip())
    if not parts:
        raise InputError(
            "not a chromosome or region", found=repr(text), expected="chr20 or chr20:1000-2000"
        )
    if parts[2] is None:
        return Interval(parts[1], 0, 2**62)
    start, end = int(parts[2].replace(",", "")), int(parts[3].replace(",", ""))
    if start >= end:
        raise InputError("the region ends before it starts", found=text, expected="start < end")
    return Interval(parts[1], start, end)


def random_split(
    rows: LabelledSequences, seed: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> LabelledSequences:
    """Split at random with equal class shares; equal sequences, and those made of each other,
    together.

    Parameters
    ----------
    rows : LabelledSequences
    seed : int
    fractions : three floats
        Shares of train, valid and test; they sum to 1.

    Returns
    -------
    LabelledSequences
        The same rows with `split` set; a note counts the repeated sequences.

    Raises
    ------
    InputError
        If a class has too few distinct sequences for the splits asked for.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> rows = labelled([f"{a}{b}{c}" for a in "ACGT" for b in "ACGT" for c in "AC"], [0, 1] * 16)
    >>> random_split(rows, 0, (0.5, 0.25, 0.25)).counts()
    {'train': [8, 8], 'valid': [4, 4], 'test': [4, 4]}
    """
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise InputError(
            "the fractions must be shares of one", found=fractions, expected="e.g. 0.8 0.1 0.1"
        )
    _, first, group = np.unique(together(rows), return_index=True, return_inverse=True)
    strata = rows.labels if rows.kind == "classes" else np.zeros(len(rows), np.int64)
    sizes = np.bincount(group)
    side = np.full(len(first), "train", dtype="U5")
    generator = np.random.default_rng([seed, 0x5917])
    for label in np.unique(strata[first]):
        # A sequence met with two labels goes with its first one: kept together before all else.
        members = np.flatnonzero(strata[first] == label)
        # np.unique sorts by digest: order by first row, so the draw does not hang on the digest.
        members = members[np.argsort(first[members], kind="stable")]
        members = generator.permutation(members)
        if len(members) < sum(f > 0 for f in fractions):
            raise InputError(
                "too few distinct sequences of a class to split",
                where=rows.name,
                found=f"{len(members)} of label {label}"
                if rows.kind == "classes"
                else len(members),
                expected=f"at least {sum(f > 0 for f in fractions)}",
                do="Give more data, or a set that carries its own split.",
            )
        total = sizes[members].sum()
        middle = np.cumsum(sizes[members]) - sizes[members] / 2
        tested = fractions[1] + fractions[2]
        side[members[middle < tested * total]] = "valid"
        side[members[middle < fractions[2] * total]] = "test"
    notes = rows.notes
    if (repeated := len(rows) - len(np.unique(rows.keys()))) > 0:
        notes = (*notes, f"{repeated} repeated sequences kept on the side of their first copy")
    if rows.family is not None and (made := int((rows.family >= 0).sum())):
        notes = (*notes, f"{made} sequences that are made of each other kept on one side")
    return replace(rows, split=side[group], notes=notes)


def together(rows: LabelledSequences) -> NDArray[np.str_]:
    """Name what a row must not be parted from: equal sequences, and families, have equal names.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> rows = labelled(["AC", "GG", "AC", "TT"], [0, 1, 1, 0], family=[-1, 7, 7, -1])
    >>> names = together(rows)
    >>> (names == names[0]).tolist()  # AC, and what the second AC is made of
    [True, True, True, False]
    """
    keys = rows.keys()
    if rows.family is None or not (rows.family >= 0).any():
        return keys
    links: dict[str, str] = {}

    def root(name: str) -> str:
        while links.get(name, name) != name:
            name = links[name]
        return name

    named = np.flatnonzero(rows.family >= 0)
    for key, number in zip(keys[named].tolist(), rows.family[named].tolist()):
        links[root(f"family {number}")] = root(key)
    return np.array([root(key) for key in keys.tolist()], np.str_)


def chromosome_split(
    rows: LabelledSequences,
    *,
    test: Sequence[str],
    valid: Sequence[str] = (),
    train: Sequence[str] = (),
) -> LabelledSequences:
    """Split by where rows lie: chromosomes or regions of them.

    Parameters
    ----------
    rows : LabelledSequences
        With `chrom` and `start` known.
    test, valid, train : sequences of str
        "chr22" or "chr20:9000000-11095000". Test goes before valid, valid before
        train; with `train` empty everything else is training. A row that reaches
        over the border of a held-out region is dropped and counted; so is one of train that is
        of a family with rows in valid or test.

    Raises
    ------
    InputError
        If places are unknown, a name is met in no row (chr20 against 20), or a split is empty.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> rows = labelled(
    ...     ["ACG"] * 4, [0, 1, 0, 1], chrom=["chr1", "chr1", "chr2", "chr2"], start=[0, 9, 0, 9]
    ... )
    >>> chromosome_split(rows, test=["chr2"], valid=["chr1:5-20"]).split.tolist()
    ['train', 'valid', 'test', 'test']
    """
    unknown = int((rows.chrom == "").sum())
    if unknown:
        raise InputError(
            "a split by chromosome needs the place of every row",
            where=rows.name,
            found=f"{unknown} of {len(rows)} rows without one",
            do="Use the random split, or data with coordinates.",
        )
    present = set(np.unique(rows.chrom).tolist())
    for text in (*test, *valid, *train):
        chrom = parse_interval(text).chrom
        if chrom not in present:
            swapped = chrom.removeprefix("chr") if chrom.startswith("chr") else f"chr{chrom}"
            cure = f"The data calls it {swapped}." if swapped in present else "Choose among those."
            raise InputError(
                "no row lies on the chromosome named for a split",
                where=rows.name,
                found=chrom,
                expected=f"one of {', '.join(sorted(present))}",
                do=cure,
            )
    end = rows.ends
    split = np.full(len(rows), "" if train else "train", dtype="U5")
    dropped = np.zeros(len(rows), bool)
    for name, texts in (("train", train), ("valid", valid), ("test", test)):
        for interval in map(parse_interval, texts):
            here = rows.chrom == interval.chrom
            inside = here & (rows.start >= interval.start) & (end <= interval.end)
            split[inside] = name
            dropped[inside] = False
            dropped |= here & (rows.start < interval.end) & (end > interval.start) & ~inside
    straddling = _straddling(rows.family, np.where(dropped, "", split))
    kept = (split != "") & ~dropped & ~straddling
    notes = rows.notes
    if straddling.any():
        notes = (
            *notes,
            f"{int(straddling.sum())} rows of families that are in a later split were left out",
        )
    kept_out = (~kept & ~straddling).sum()
    if kept_out:
        notes = (*notes, f"{int(kept_out)} rows on a border or in no split were left out")
    out = replace(rows, split=split, notes=notes).take(kept)
    for name, texts in (("train", ("rest",)), ("valid", valid), ("test", test)):
        if texts and not (out.split == name).any():
            raise InputError(
                f"the {name} split is empty",
                where=rows.name,
                found=", ".join(texts),
                do="Widen it.",
            )
    return out


def _straddling(family: NDArray[np.int64] | None, split: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which rows of train (of valid) have one of their family in valid or test (in test)."""
    out = np.zeros(len(split), bool)
    if family is None:
        return out
    for name, later in (("valid", ("test",)), ("train", ("valid", "test"))):
        judged = family[np.isin(split, later) & (family >= 0) & ~out]
        out |= (split == name) & np.isin(family, judged)
    return out


def split_rows(
    rows: LabelledSequences,
    *,
    how: Literal["auto", "random", "chromosome", "given"] = "auto",
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    valid: Sequence[str] = (),
    test: Sequence[str] = (),
) -> LabelledSequences:
    """Give every row a split, in the way asked for or the one the data allow.

    "auto" keeps a split that came with the data, splits by chromosome where
    `test` names one, and at random otherwise. A missing valid split is cut from
    train (a tenth, at random, equal sequences together).

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> texts = [a + b + c for a in "ACGT" for b in "ACGT" for c in "AC"]
    >>> rows = labelled(texts, [0, 1] * 16, split=["train"] * 24 + ["test"] * 8)
    >>> split_rows(rows).counts()
    {'train': [11, 11], 'valid': [1, 1], 'test': [4, 4]}
    """
    if how == "auto":
        how = "given" if (rows.split != "").any() else "chromosome" if test else "random"
    if how == "random":
        return random_split(rows, seed, fractions)
    if how == "chromosome":
        rows = chromosome_split(rows, test=test, valid=valid)
    elif not (rows.split != "").all():
        raise InputError(
            "some rows carry no split",
            where=rows.name,
            found=int((rows.split == "").sum()),
            expected="none",
        )
    if not (rows.split == "valid").any():
        learn = np.flatnonzero(rows.split == "train")
        if not len(learn):
            raise InputError("the train split is empty", where=rows.name)
        inner = random_split(rows.take(learn), seed, (0.9, 0.1, 0.0))
        split = rows.split.astype("U5")
        split[learn] = inner.split
        note = "the valid split is a random tenth of train"
        rows = replace(
            rows, split=split, notes=tuple(dict.fromkeys((*rows.notes, *inner.notes, note)))
        )
    return rows


def overlap_between(rows: LabelledSequences) -> NDArray[np.int64]:
    """Count sequences of each split that are also in train, in the order valid, test.

    Examples
    --------
    >>> from epilm.tasks.base import labelled
    >>> rows = labelled(["AC", "AC", "GT"], [0, 1, 1], split=["train", "test", "test"])
    >>> overlap_between(rows).tolist()
    [0, 1]
    """
    keys = rows.keys()
    learn = keys[rows.split == "train"]
    return np.array([int(np.isin(keys[rows.split == s], learn).sum()) for s in ("valid", "test")])

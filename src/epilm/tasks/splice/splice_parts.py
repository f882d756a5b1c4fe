"""Which genes learn, choose and judge: by chromosome, and a tenth of those that learn choose.

Genes that overlap stay together, or the valid part would be learned from the other strand. Pure
functions of the transcripts and a seed.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError
from epilm.genome.chromosomes import few
from epilm.genome.transcripts import Transcript
from epilm.tasks.splice.splice_options import SPLICEAI_TEST
from epilm.tasks.splits import Interval, parse_interval
from epilm.tokens.random import uniform

_VALID = 0xDC  # beside the draws of training.epochs and tasks.lesson
SHARE = 0.1


def clusters_of(rows: Sequence[Transcript]) -> NDArray[np.int64]:
    """Number the runs of genes that overlap, on either strand; genes of one number stay together.

    Examples
    --------
    >>> none = np.zeros(0, np.int64)
    >>> at = (("chr1", 5, 9), ("chr2", 0, 9), ("chr1", 0, 6), ("chr1", 9, 12))
    >>> rows = [Transcript("A", c, "+", s, e, none, none) for c, s, e in at]
    >>> clusters_of(rows).tolist()
    [0, 2, 0, 1]
    """
    out = np.zeros(len(rows), np.int64)
    number, chrom, reach = -1, None, 0
    for at in sorted(range(len(rows)), key=lambda n: (rows[n].chrom, rows[n].start)):
        row = rows[at]
        if row.chrom != chrom or row.start >= reach:
            number, chrom, reach = number + 1, row.chrom, row.end
        reach = max(reach, row.end)
        out[at] = number
    return out


def _touches(row: Transcript, interval: Interval) -> bool:
    return row.chrom == interval.chrom and row.start < interval.end and row.end > interval.start


def _within(row: Transcript, interval: Interval) -> bool:
    return row.chrom == interval.chrom and row.start >= interval.start and row.end <= interval.end


def _places(texts: Sequence[str], chroms: set[str], option: str, where: str) -> list[Interval]:
    places = [parse_interval(text) for text in texts]
    for interval in places:
        if interval.chrom not in chroms:
            raise InputError(
                "no gene lies on the chromosome named",
                where=f"{option}, {where}",
                found=interval.chrom,
                expected=f"one of {few(sorted(chroms), 30)}",
            )
    return places


def places_of_test(rows: Sequence[Transcript], test: Sequence[str], where: str) -> list[Interval]:
    """Where the test lies: as asked, or SpliceAI's chromosomes.

    Raises
    ------
    InputError, UsageError
        If no gene lies there.
    """
    chroms = {row.chrom for row in rows}
    if test:
        return _places(test, chroms, "--test", where)
    plain = {name.removeprefix("chr"): name for name in chroms}
    named = [plain[name] for c in SPLICEAI_TEST if (name := c.removeprefix("chr")) in plain]
    if not named:
        raise UsageError(
            "no gene lies on SpliceAI's chromosomes of the test, and no others are named",
            where="--test",
            found=few(sorted(chroms), 30),
            expected=f"one of {', '.join(SPLICEAI_TEST)}",
            do="Name chromosomes or regions with --test.",
        )
    return [parse_interval(name) for name in named]


def parts_of(
    rows: Sequence[Transcript],
    *,
    valid: Sequence[str] = (),
    test: Sequence[str] = (),
    paralogs: str = "train",
    seed: int = 0,
    where: str = "",
) -> tuple[NDArray[np.str_], list[str]]:
    """Give each transcript its part.

    Parameters
    ----------
    rows : sequence of Transcript
    valid, test : sequence of str
        Chromosomes or regions; a gene on their border is left out.
    paralogs : {"train", "everywhere", "nowhere"}
        Where genes with a paralog may be.
    seed : int
        Of the valid tenth.
    where : str
        File, for messages.

    Returns
    -------
    parts : str (n,)
        train, valid, test, or "" where it is left out.
    notes : list of str
        What was left out, counted.

    Raises
    ------
    InputError, UsageError
        If a part is empty.
    """
    kept_apart = {"test": places_of_test(rows, test, where)}
    chroms = {row.chrom for row in rows}
    if valid:
        kept_apart["valid"] = _places(valid, chroms, "--valid", where)
    parts = np.full(len(rows), "train", dtype="U5")
    border = 0
    for name in ("valid", "test"):  # what is both is tested
        for n, row in enumerate(rows):
            if not any(_touches(row, interval) for interval in kept_apart.get(name, ())):
                continue
            whole = any(_within(row, interval) for interval in kept_apart[name])
            border += not whole
            parts[n] = name if whole else ""
    notes = [f"{border} genes on the border of a part left out"] if border else []
    known = [row.paralog for row in rows if row.paralog is not None]
    flagged = np.array([bool(row.paralog) for row in rows])
    if paralogs != "everywhere" and not known:
        notes.append(
            "whether a gene has a paralog is not said: the test may hold copies of genes that were"
            " learned (--paralog-genes)"
        )
    elif paralogs != "everywhere":
        away = flagged & (parts == "test" if paralogs == "train" else parts != "")
        parts[away] = ""
        kept = "of the test" if paralogs == "train" else ""
        notes.append(f"{int(away.sum())} genes {kept} with a paralog left out".replace("  ", " "))
    if not valid:
        parts = _with_valid(rows, parts, seed, where)
    for name in ("train", "valid", "test"):
        if not (parts == name).any():
            raise InputError(
                f"the {name} part is empty",
                where=where,
                found=f"{len(rows)} genes, {'; '.join(notes) or 'none left out'}",
                do="Name other chromosomes or regions with --test and --valid.",
            )
    return parts, notes


def _with_valid(
    rows: Sequence[Transcript], parts: NDArray[np.str_], seed: int, where: str
) -> NDArray[np.str_]:
    """A tenth of the runs of overlapping genes of train becomes valid."""
    learn = np.flatnonzero(parts == "train")
    if not len(learn):
        return parts
    cluster = clusters_of([rows[int(n)] for n in learn])
    first = np.array([int(np.flatnonzero(cluster == c)[0]) for c in range(cluster.max() + 1)])
    if len(first) < 2:
        raise InputError(
            "a valid part cannot be drawn: all genes of train overlap",
            where=where,
            found=f"{len(learn)} genes",
            do="Name the valid chromosomes or regions with --valid.",
        )
    # A function of the place, whatever else is in the file.
    places = [(zlib.crc32(rows[learn[n]].chrom.encode()), rows[learn[n]].start) for n in first]
    chrom, start = np.array(places, np.int64).T
    drawn = np.asarray(uniform(seed, _VALID, chrom, start))
    chosen = drawn < SHARE
    if not chosen.any():
        chosen[drawn.argmin()] = True
    out = parts.copy()
    out[learn[chosen[cluster]]] = "valid"
    return out

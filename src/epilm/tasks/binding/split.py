"""Which bins a binding model learns from, which choose its best epoch, which it never sees: parts
that share no base.

Needs numpy only; used by `tasks.binding.plan`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError
from epilm.tasks.binding.rows import BindingRows
from epilm.tasks.splits import Interval, parse_interval


@dataclass(frozen=True)
class BinningSplit:
    """Bins of each part, as positions in a `BindingRows`, ascending; what fell between, said.

    Attributes
    ----------
    train, valid, test : int64 (m,)
    notes : tuple of str
    """

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    notes: tuple[str, ...] = field(default=())


def split_bins(
    rows: BindingRows,
    *,
    train: Sequence[str] = (),
    valid: Sequence[str],
    test: Sequence[str] = (),
    window_bp: int = 1000,
) -> BinningSplit:
    """Divide bins by place: chromosomes, or regions of them.

    A part holds the bins that lie in it whole. A training bin whose window shares a base with what
    windows of a validation or test region may read (the region and their reach beyond it) is left
    out, and so is a validation bin near a test region: the model would learn from, or be chosen by,
    the very bases it is judged on.

    Parameters
    ----------
    rows : BindingRows
    train : sequence of str
        "chr2" or "chr20:60000-9000000"; all that is neither validation nor test where not given.
    valid, test : sequences of str
        Test places that the labels have not are fine: a challenge's training file has none of them.
    window_bp : int
        What the model sees around a bin.

    Raises
    ------
    UsageError
        If two parts overlap.
    InputError
        If training or validation have no bin.

    Examples
    --------
    >>> start = np.arange(0, 1000, 200)
    >>> rows = BindingRows(
    ...     np.repeat([0, 1], 5).astype(np.int16),
    ...     np.tile(start, 2),
    ...     200,
    ...     np.zeros((10, 1, 1), np.int8),
    ...     ("K562",),
    ...     np.array([0]),
    ...     ("CTCF",),
    ...     ("chr2", "chr11"),
    ... )
    >>> split = split_bins(rows, valid=["chr11:0-500"], window_bp=400)
    >>> split.train.tolist(), split.valid.tolist()
    ([0, 1, 2, 3, 4, 9], [5, 6])
    """
    places = {
        name: [parse_interval(text) for text in texts]
        for name, texts in (("train", train), ("valid", valid), ("test", test))
    }
    for one, other in (("train", "test"), ("valid", "test"), ("train", "valid")):
        for a in places[one]:
            for b in places[other]:
                if a.chrom == b.chrom and a.start < b.end and b.start < a.end:
                    raise UsageError(
                        f"{one} and {other} overlap",
                        found=f"{_shown(a)} and {_shown(b)}",
                        expected="parts that share no base",
                        do="A test that training has seen, or that chose the best epoch, is none.",
                    )
    present = rows.present()
    for name in ("train", "valid"):
        for interval in places[name]:
            if interval.chrom not in present:
                raise InputError(
                    f"the labels have no bin on a {name} chromosome",
                    where=", ".join(rows.factors),
                    found=interval.chrom,
                    expected=f"among {', '.join(present)}",
                    do=(
                        f"Choose with --{'valid' if name == 'valid' else 'train'}, e.g. --{name}"
                        f" {present[-1]}."
                    ),
                )
    if not places["valid"]:
        raise UsageError(
            "early stopping needs a validation part",
            do=f"Give --valid, e.g. --valid {present[-1]}.",
        )
    inside = {name: np.zeros(rows.n_bins, bool) for name in places}
    # What learns may not read a base that chooses or judges, nor what chooses one that judges. Each
    # window reaches beyond its bin, those of the part that is kept whole as well: hence twice.
    flank = (window_bp - rows.width + 1) // 2
    near = {name: np.zeros(rows.n_bins, bool) for name in ("train", "valid")}
    for name, listed in places.items():
        for interval in listed:
            for begin, stop in _span(rows, interval.chrom):
                start = rows.start[begin:stop]
                end = start + rows.width
                inside[name][begin:stop] |= (start >= interval.start) & (end <= interval.end)
                close = (end + 2 * flank > interval.start) & (start - 2 * flank < interval.end)
                if name in ("valid", "test"):
                    near["train"][begin:stop] |= close
                if name == "test":
                    near["valid"][begin:stop] |= close
    chosen = inside["train"] if train else ~(inside["valid"] | inside["test"])
    notes = []
    for name, words, mask in (
        ("train", "training", chosen),
        ("valid", "validation", inside["valid"]),
    ):
        if lost := int((mask & near[name]).sum()):
            judged = "validation or test" if name == "train" else "test"
            notes.append(
                f"{lost:,} {words} bins are left out: their windows share bases with windows of a"
                f" {judged} region"
            )
    learn, inside["valid"] = chosen & ~near["train"], inside["valid"] & ~near["valid"]
    bins = {name: np.flatnonzero(mask) for name, mask in inside.items()}
    split = BinningSplit(np.flatnonzero(learn), bins["valid"], bins["test"], tuple(notes))
    for name, part in (("train", split.train), ("valid", split.valid)):
        if not len(part):
            raise InputError(
                f"the {name} part has no bin", where=", ".join(rows.factors), do="Widen it."
            )
    return split


def _span(rows: BindingRows, chrom: str) -> list[tuple[int, int]]:
    """Where the bins of a chromosome lie; they are sorted."""
    if chrom not in rows.chroms:
        return []
    number = rows.chroms.index(chrom)
    return [
        (
            int(np.searchsorted(rows.chrom, number)),
            int(np.searchsorted(rows.chrom, number, "right")),
        )
    ]


def _shown(place: Interval) -> str:
    return place.chrom if place.end >= 2**62 else f"{place.chrom}:{place.start}-{place.end}"

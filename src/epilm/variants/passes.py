"""Windows through a network in passes that all have one shape, each different window once.

What a matrix product does to a row depends on how many rows it has, in the last bit. So the number
of rows of a pass is fixed, and a last pass that is not full is filled up: then the same kernels
run whatever is asked. That a row's bits do not depend on its place and on its neighbours either is
looked at before the first pass (`steady_rows`); where they do, a pass holds one window.
So equal windows have equal answers to the bit, and are computed once.
Axes: N windows asked for, R rows of a pass.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]
# Rows of a pass. A CPU gains little from more (benchmarks/score_variants.py), and up to so many
# windows are computed for nothing in the last pass; a GPU needs many to be busy.
ON_CPU, ON_GPU = 8, 128
# Copies of a window of which a stretch is computed anew: a pass costs its beginning, so it takes
# more of short ones; of long ones those that are filled up would cost more.
COPIES_ON_CPU, FEWEST_COPIES, BASES_OF_COPIES = 16, 8, 1024
SIZES = (ON_CPU, ON_GPU, COPIES_ON_CPU, FEWEST_COPIES, BASES_OF_COPIES)  # last bits hang on them
PROBES = 3  # windows that a shape is tried with
UNSTEADY = "here a window's last bits depend on those beside it: a pass holds one window"


class Pass(NamedTuple):
    """One pass: what to compute, and whom it answers.

    Attributes
    ----------
    rows : int64 (R,)
        Which of the N windows are computed.
    asked : int64 (M,)
        Which of the N windows are equal to one of them.
    slots : int64 (M,)
        And to which, as a place in `rows`.
    """

    rows: Rows
    asked: Rows
    slots: Rows


def passes(keys: Sequence[bytes], rows: int) -> Iterator[Pass]:
    """Cut N windows into passes of `rows`; windows of one key are computed once.

    Examples
    --------
    >>> for each in passes([b"x", b"y", b"x", b"z"], 2):
    ...     print(each.rows.tolist(), each.asked.tolist(), each.slots.tolist())
    [0, 1] [0, 1, 2] [0, 1, 0]
    [3, 3] [3] [0]
    """
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    of = np.array([number[key] for key in keys], np.int64)
    first = np.unique(of, return_index=True)[1]
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(0, len(first) + rows, rows))
    for i, at in enumerate(range(0, len(first), rows)):
        asked = np.sort(order[ends[i] : ends[i + 1]])
        filled = np.resize(first[at : at + rows], rows)
        yield Pass(filled, asked, of[asked] - at)


def steady_rows(compute: Callable[[Rows], Sequence[Tensor]], windows: int, rows: int) -> int:
    """Say how many rows a pass may have: `rows` where a window's answer is the same to the bit in
    every place and beside whatever neighbours, else 1.

    Parameters
    ----------
    compute : callable
        Takes which windows to compute, int64 (R,); gives tensors (R, ...).
    windows : int
        How many different windows there are to try, at least 2.
    rows : int

    Examples
    --------
    >>> steady_rows(lambda rows: [torch.from_numpy(rows)], 3, 8)
    8
    >>> steady_rows(lambda rows: [torch.from_numpy(rows + rows[0])], 3, 8)  # heeds a neighbour
    1
    """
    if rows == 1:
        return 1
    mixed = compute(np.arange(rows) % windows)
    for window in range(windows):
        alone = compute(np.full(rows, window))
        for answer, beside_others in zip(alone, mixed, strict=True):
            if not torch.equal(answer, answer[:1].expand_as(answer)):
                return 1
            if not torch.equal(answer[window::windows], beside_others[window::windows]):
                return 1
    return rows


def wished_rows(device: torch.device, on_cpu: int = ON_CPU) -> int:
    """Rows that a pass has where they do not heed each other."""
    return on_cpu if device.type == "cpu" else ON_GPU


def wished_copies(device: torch.device, bases: int) -> int:
    """Copies that a pass has, each of which is computed anew in a stretch of so many bases.

    Examples
    --------
    >>> [wished_copies(torch.device("cpu"), bases) for bases in (1, 32, 128)]
    [16, 16, 8]
    """
    return wished_rows(device, min(COPIES_ON_CPU, max(FEWEST_COPIES, BASES_OF_COPIES // bases)))


class SteadyRows:
    """How many rows passes of a shape have, tried once a shape.

    Parameters
    ----------
    notes : list of str
        UNSTEADY is said there where a pass holds one row.

    Examples
    --------
    >>> notes = []
    >>> rows = SteadyRows(notes)
    >>> rows(64, lambda rows: [torch.from_numpy(rows)], 8), notes
    (8, [])
    """

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self._rows: dict[Hashable, int] = {}

    def __call__(
        self, shape: Hashable, compute: Callable[[Rows], Sequence[Tensor]], wish: int
    ) -> int:
        """Give the rows of a shape, `wish` or 1; `compute` takes which of PROBES windows to
        compute.
        """
        if shape not in self._rows:
            self._rows[shape] = steady_rows(compute, PROBES, wish)
            if self._rows[shape] < wish and UNSTEADY not in self._notes:
                self._notes.append(UNSTEADY)
        return self._rows[shape]


def probe_windows(width: int) -> NDArray[np.uint8]:
    """Windows of random bases (PROBES, width), to try passes with: the same ones always."""
    rng = np.random.default_rng(width)
    return rng.integers(0, 4, (PROBES, width)).astype(np.uint8)

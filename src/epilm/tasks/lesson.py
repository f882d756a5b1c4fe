"""What a task gives to whoever fine-tunes: examples, what their labels are, parts, and the draw.

Examples are a thing with a length and `take(rows)`: sequences with bases of their own
(`tasks.base.LabelledSequences`), or places in a store's genome in a cell type
(`tasks.binding.rows.BindingRows`), enumerated and never listed. All draws are pure functions of a
seed and an epoch. Axes: B rows of a step, W bases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from epilm.tasks.labels import Labels
from epilm.tokens.random import hash_bits, permutation

Rows = NDArray[np.int64]
_ORDER, _STEPS = 0xD6, 0xD7
BUCKET = 50  # steps among which rows are sorted by length


class Examples(Protocol):
    """N rows of a task, enumerated.

    `take(rows)` gives their bases, or their places in a store's genome, with their labels:
    `codes` (B, W) and `lengths` (B,), or `cells`, `chroms` and `starts` (B,).
    """

    def __len__(self) -> int: ...

    def take(self, rows: Any) -> Any:
        """Rows by number, in that order."""

    def labels_of(self, rows: Rows) -> NDArray[Any]:
        """Labels of rows, (B,) or (B, F)."""

    def chroms_of(self, rows: Rows) -> NDArray[np.str_]:
        """Chromosomes of rows, (B,); "" where a row has none."""

    def origin_of(self, row: int) -> str:
        """Where a row comes from, for a person: file and line, or a place and a cell type."""

    def fingerprint(self) -> str:
        """Digest of bases or places, labels and splits together."""


class Draw(Protocol):
    """Which rows are learned from, epoch by epoch."""

    def __len__(self) -> int:
        """Rows of an epoch."""

    def steps(self, epoch: int, batch_size: int) -> list[Rows]:
        """Rows of each step: a function of (seed, epoch) alone, as many steps in every epoch."""


@dataclass(frozen=True)
class AllOnce:
    """Every row once an epoch, in an order of its own; rows of like length share a step.

    Parameters
    ----------
    rows : int64 (n,)
    lengths : int64 (n,)
        Of each row, in any unit.
    seed : int

    Examples
    --------
    >>> draw = AllOnce(np.arange(5), np.ones(5, np.int64), seed=0)
    >>> steps = draw.steps(epoch=0, batch_size=2)
    >>> sorted(len(rows) for rows in steps), sorted(np.concatenate(steps).tolist())
    ([1, 2, 2], [0, 1, 2, 3, 4])
    """

    rows: Rows
    lengths: NDArray[np.int64]
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    def steps(self, epoch: int, batch_size: int) -> list[Rows]:
        """See `Draw.steps`."""
        order = permutation(len(self.rows), self.seed, _ORDER, epoch)
        if len(order) and self.lengths.min() != self.lengths.max():
            bucket = batch_size * BUCKET
            pieces = (order[at : at + bucket] for at in range(0, len(order), bucket))
            order = np.concatenate(
                [piece[np.argsort(self.lengths[piece], kind="stable")] for piece in pieces]
            )
        cut = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        return [self.rows[cut[n]] for n in permutation(len(cut), self.seed, _STEPS, epoch)]


@dataclass
class TaskLesson:
    """What is learned from, what chooses the best epoch, what is scored at the end.

    Attributes
    ----------
    examples : Examples
    labels : Labels
    draw : Draw
    valid : int64 (m,)
        Rows that choose the best epoch; none where the last one is kept.
    parts : dict
        Name of a part -> its rows, scored at the end.
    metric : str
        Score that decides, of `labels.scores`.
    store : Store or None
        Where the examples lie, if they lie in one.
    window_bp, width : int
        Bases read around a row's place, and of the place itself; 0 for bases of their own.
    signals : tuple of str
        Beside the bases, as a user names them.
    loci : int
        Of a row: 2 where rows are pairs (`tasks.locus_pairs`).
    direction : str
        Why rows lie on one strand, which learning from both would read from the wrong side; "".
    about : dict
        What the model keeps of its training; JSON values.
    identity : dict
        What makes a run another one, beside settings and start; JSON values.
    said : list of str
        Lines that count what will be learned.
    notes : list of str
        What was left out, sampled or doubtful.
    """

    examples: Any
    labels: Labels
    draw: Draw
    valid: Rows
    parts: dict[str, Rows]
    metric: str
    store: Any = None
    window_bp: int = 0
    width: int = 0
    signals: Sequence[str] = ()
    loci: int = 1
    direction: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def same_sample(rows: Rows, most: int, seed: int, counter: int) -> Rows:
    """Give at most so many rows, the same ones every time, rising."""
    if len(rows) <= most:
        return rows
    order = np.argsort(hash_bits(seed, counter, rows), kind="stable")
    return np.sort(rows[order[:most]])

"""Which samples make an optimiser step: a pure function of (seed, step).

Nothing is remembered between calls but caches, so a run that was killed goes on
with the very rows it would have had, and rank r of n reads its part of the same
rows. On the training path: numpy and the standard library only.
Axes: N samples, R regions of a sample.
"""

from functools import lru_cache

import numpy as np

from epilm.errors import TrainingError
from epilm.store.samples import CellLists, Samples, Subset, make_samples
from epilm.tokens.random import permutation

__all__ = [
    "CellLists",
    "NoSharedOrder",
    "Samples",
    "Subset",
    "make_samples",
    "no_shared_order",
    "order",
    "rows_at",
    "steps_per_epoch",
]

_ORDER = 11  # first counter of the shuffles: no other draw shares them


@lru_cache(maxsize=2)
def order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle n rows for one epoch: a function of its arguments alone.

    Examples
    --------
    >>> sorted(order(5, seed=0, epoch=3).tolist())
    [0, 1, 2, 3, 4]
    >>> bool((order(100, 0, 0) == order(100, 0, 1)).all())
    False
    """
    rows = permutation(n, _ORDER, seed, epoch)
    rows.flags.writeable = False
    return rows


def rows_at(
    n: int,
    *,
    batch: int,
    step: int,
    seed: int,
    order_of: "NoSharedOrder | None" = None,
) -> np.ndarray:
    """Rows of the samples of one optimiser step, over all devices.

    An epoch has n // batch steps; the rest of its order is left out (another rest in
    each epoch). Nothing is remembered between calls.

    Parameters
    ----------
    n : int
        Samples.
    batch : int
        Samples a step.
    step : int
        From 0, through all epochs.
    seed : int
    order_of : NoSharedOrder, optional
        Gives the rows of an epoch instead of `order`.

    Returns
    -------
    int64 (batch,)

    Raises
    ------
    TrainingError
        If there are fewer samples than a batch takes.

    Examples
    --------
    >>> a = [rows_at(5, batch=2, step=s, seed=0).tolist() for s in range(4)]
    >>> len({*a[0], *a[1]}), a[2] == rows_at(5, batch=2, step=2, seed=0).tolist()
    (4, True)
    """
    if order_of is not None:
        n = len(order_of)
    steps = steps_per_epoch(n, batch)
    epoch, at = divmod(step, steps)
    start, stop = at * batch, (at + 1) * batch
    if order_of is not None:
        return order_of.rows(epoch, start, stop)
    return order(n, seed, epoch)[start:stop].copy()


def steps_per_epoch(n: int, batch: int) -> int:
    """Count the whole batches of an epoch.

    Raises
    ------
    TrainingError
        If there is none.

    Examples
    --------
    >>> steps_per_epoch(105, 10)
    10
    """
    if batch < 1:
        raise TrainingError("the batch is out of range", found=batch, expected="at least 1")
    if n < batch:
        raise TrainingError(
            "a batch takes more samples than there are",
            found=f"{n} samples",
            expected=f"at least {batch}",
            do=(
                "Lower the batch (train.batch_size, objectives.matching.batch), group regions with"
                " a smaller samples.group_stride or samples.regions, or hold out less."
            ),
        )
    return n // batch


class NoSharedOrder:
    """Rows of epochs such that samples that are contrasted never share a region (A14).

    The same regions are open in several cell types; as negatives of each other in a
    contrastive batch such samples are nearly equal. Pass it to `rows_at` as `order_of`.

    Parameters
    ----------
    samples : Samples
    batch : int
        Samples of an optimiser step.
    seed : int
    group : int, optional
        Samples that are contrasted with each other; the step where not given. A step is
        cut in groups from its first row on, the last one may be smaller.

    Raises
    ------
    TrainingError
        If there are fewer samples than a batch takes.
    """

    def __init__(self, samples: Samples, batch: int, seed: int, group: int | None = None) -> None:
        self.samples, self.batch, self.seed, self.group = samples, batch, seed, group
        self._dealt: tuple[int, _Dealing] | None = None
        steps_per_epoch(len(samples), batch)

    def __call__(self, epoch: int) -> np.ndarray:
        """Rows of an epoch (`no_shared_order`)."""
        return self.rows(epoch, 0, len(self))

    def rows(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Rows start..stop of an epoch, dealt out no further than that.

        A step then waits for its own groups alone, not for all of its epoch; a run that goes on in
        the middle of an epoch deals out what came before once.

        Returns
        -------
        int64 (stop - start,)
        """
        if self._dealt is None or self._dealt[0] != epoch:
            dealing = _Dealing(self.samples, self.batch, self.seed, epoch, self.group)
            self._dealt = epoch, dealing
        return self._dealt[1].until(stop)[start:stop].copy()

    def __len__(self) -> int:
        """Count the rows of every epoch: whole steps only."""
        return len(self.samples) // self.batch * self.batch

    def repeated(self, epoch: int) -> int:
        """Count the rows of an epoch that were drawn a second time to fill its last groups."""
        rows = self(epoch)
        return len(rows) - len(np.unique(rows))


def no_shared_order(
    samples: Samples, batch: int, seed: int, epoch: int, group: int | None = None
) -> np.ndarray:
    """Order the rows of an epoch so that no group holds a region twice.

    The shuffled rows are dealt out in turn; one that meets its own region in a group
    waits for the next. Rows that fit nowhere at the end are left out, and the last
    groups are filled with rows that were used before.

    Parameters
    ----------
    samples : Samples
    batch : int
        Samples of a step.
    seed, epoch : int
    group : int, optional
        Samples that may not share a region; `batch` where not given.

    Returns
    -------
    int64 (n // batch * batch,)

    Raises
    ------
    TrainingError
        If a group of this size cannot be free of common regions.
    """
    dealing = _Dealing(samples, batch, seed, epoch, group)
    return dealing.until(len(dealing.rows))


class _Dealing:
    """An epoch's rows being dealt out to its groups, one group after the other.

    `stamp` tells which group held a region last.
    """

    def __init__(
        self, samples: Samples, batch: int, seed: int, epoch: int, group: int | None
    ) -> None:
        n = len(samples)
        steps = steps_per_epoch(n, batch)
        size = min(batch if group is None else group, batch)
        sizes = [min(size, batch - a) for a in range(0, batch, size)] * steps
        self.bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.rows = np.full(self.bounds[-1], -1, np.int64)
        self.groups = 0  # that are full
        self.shuffled, self.at = order(n, seed, epoch), 0
        self.waiting = np.zeros(0, np.int64)
        self.regions = samples.regions
        # The last place is for padding.
        self.stamp = np.full(int(samples.regions.max(initial=-1)) + 2, -1, np.int64)

    def until(self, stop: int) -> np.ndarray:
        """Fill the groups up to row `stop`; the rows so far, -1 in the groups to come."""
        while self.bounds[self.groups] < stop:
            self._fill(self.groups)
            self.groups += 1
        return self.rows

    def _fill(self, number: int) -> None:
        start, stop = self.bounds[number : number + 2].tolist()
        have, self.waiting = self._offer(number, start, self.waiting)
        n = len(self.shuffled)
        while have < stop and self.at < n:
            block = self.shuffled[self.at : self.at + stop - have]
            self.at += len(block)
            have, left = self._offer(number, have, block)
            self.waiting = np.concatenate([self.waiting, left])
        for a in range(0, n, 1024):  # the tail of an epoch: rows a second time
            if have == stop:
                break
            have, _ = self._offer(number, have, self.shuffled[a : a + 1024])
        if have < stop:
            free = have - start
            raise TrainingError(
                "no contrastive batch of this size is free of common regions",
                found=f"{free} samples without a common region",
                expected=f"{stop - start} (objectives.matching.batch)",
                do=(
                    "Set objectives.matching.batch to"
                    f" {1 << max((free * 3 // 4).bit_length() - 1, 0)}, or"
                    " objectives.matching.forbid_shared to false."
                ),
            )

    def _offer(self, number: int, have: int, rows: np.ndarray) -> tuple[int, np.ndarray]:
        """Put the rows that fit into a group, in order; how far it is filled, and the others."""
        room = int(self.bounds[number + 1]) - have
        if room == 0 or len(rows) == 0:
            return have, rows
        fits = np.flatnonzero(_free(self.regions[rows], self.stamp, number))[:room]
        chosen = rows[fits]
        self.stamp[self.regions[chosen].ravel()] = number
        self.stamp[-1] = -1
        self.rows[have : have + len(chosen)] = chosen
        return have + len(chosen), np.delete(rows, fits)


def _free(regions: np.ndarray, stamp: np.ndarray, step: int) -> np.ndarray:
    """Rows, first come first served, that share no region with the batch so far or each other: bool
    (m,).
    """
    m, r = regions.shape
    live = ~(stamp[regions] == step).any(1)
    chosen = np.zeros(m, bool)
    while live.any():
        at = np.flatnonzero(live)
        flat = regions[at].ravel()
        _, first = np.unique(flat, return_index=True)
        fresh = flat < 0
        fresh[first] = True
        new = at[fresh.reshape(-1, r).all(1)]
        chosen[new] = True
        live[new] = False
        taken = regions[new].ravel()
        live &= ~np.isin(regions, taken[taken >= 0]).any(1)
    return chosen

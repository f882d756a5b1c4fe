"""Initial weights as a function of a seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw from a seed, and leave torch's own state as it was.

    Parameters
    ----------
    seed : int or None
        None: draw from torch's own state, which moves on.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with seeded(1):
    ...     one = torch.rand(2)
    >>> with seeded(1):
    ...     again = torch.rand(2)
    >>> torch.equal(one, again), torch.equal(before, torch.get_rng_state())
    (True, True)
    """
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield

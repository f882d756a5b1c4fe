"""Do bins lie on the chromosomes of a store? One past an end would be read from N alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from epilm.errors import InputError
from epilm.tasks.binding.bins import Bins


def check_inside(
    bins: Bins,
    sizes: Mapping[str, int],
    *,
    store: Any,
    what: str = "a bin",
    where: str | None = None,
    do: str,
) -> None:
    """Refuse bins past the end of their chromosome; chromosomes without a size are left alone.

    Parameters
    ----------
    bins : Bins
    sizes : dict of chromosome to bp
    store : anything
        Whose sizes they are, for the message.
    what, where, do : str
        What is refused, the file, and the cure.

    Raises
    ------
    InputError
        With the first such bin.

    Examples
    --------
    >>> one = Bins(("chr1",), np.array([0], np.int16), np.array([900], np.int32))
    >>> check_inside(one, {"chr1": 1000}, store="s", do="Cut it.")
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: a bin ends past its chromosome; 1 on chr1 do. Found chr1:900-1100;
        expected an end of at most 1000 (chr1 in the store s). Cut it.
    """
    for name, low, high in bins.runs():
        if name not in sizes:
            continue
        past = bins.start[low:high].astype(np.int64) + bins.width > sizes[name]
        if past.any():
            raise InputError(
                f"{what} ends past its chromosome; {int(past.sum()):,} on {name} do",
                where=where,
                found=bins.place(low + int(past.argmax())),
                expected=f"an end of at most {sizes[name]} ({name} in the store {store})",
                do=do,
            )

"""Which motifs of a collection are a factor's: collections write dimers, variants and cases in
their own ways.
"""

import re
from collections.abc import Sequence
from typing import Any

from epilm.errors import InputError


def motifs_of(motifs: Sequence[Any], factor: str) -> list[Any]:
    """Find the motifs of a factor by name or id, whatever the case: the name itself, else dimers
    that hold it.

    Parameters
    ----------
    motifs : sequence
        Each with `id` and `name`.
    factor : str

    Raises
    ------
    InputError
        If there is none; names that begin alike are given.

    Examples
    --------
    >>> from types import SimpleNamespace as M
    >>> names = [M(id="1", name="JUND"), M(id="2", name="FOS::JUND"), M(id="3", name="JUND(var.2)")]
    >>> [m.id for m in motifs_of(names, "jund")], [m.id for m in motifs_of(names, "FOS")]
    (['1', '3'], ['2'])
    """
    wanted = factor.upper()
    plain = {m.id: re.sub(r"\(.*?\)", "", str(m.name)).upper() for m in motifs}
    matches = [m for m in motifs if plain[m.id] == wanted or str(m.id).upper() == wanted]
    matches = matches or [m for m in motifs if wanted in re.split(r"::|_", plain[m.id])]
    if not matches:
        near = sorted({str(m.name) for m in motifs if str(m.name).upper().startswith(wanted[:3])})[
            :6
        ]
        raise InputError(
            "no motif of this factor in the collection",
            found=factor,
            expected=f"a name such as {', '.join(near)}" if near else "a name in the collection",
            do="Give --factor the name the collection uses.",
        )
    return matches

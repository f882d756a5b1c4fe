"""The names of chromatin states in one file: their numbers, their order, and which are none.

"1_TssA", "E13" and "13" have a number, "TssA" has none; "." is no state. The
names of many cell types together: `segmentation.join_states`.
"""

import re
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import few, natural_key
from epilm.genome.segments import Segments

UNKNOWN = 255
MOST_STATES = 254
_NUMBER = re.compile(r"[EU]?([0-9]+)(?:[_ ].*)?")
_NO_STATE = ("", ".", "NA", "nan")


def _too_many(segments: Segments, kept: list[int], labels: list[str]) -> InputError:
    """Name the row of the state that is one too many."""
    # Labels come in the order of their letters: the name that is one too many is found by rows.
    met, first = np.unique(segments.label, return_index=True)
    rows = np.sort(first[np.isin(met, kept)])
    return InputError(
        "there are too many states",
        where=segments.place(int(rows[MOST_STATES])),
        found=f"{len(kept)} different names ({few([labels[i] for i in kept], 3)})",
        expected=f"at most {MOST_STATES}",
        do="Is column 4 the state? Peak names, for example, differ on every line.",
    )


def name_states(
    segments: Segments, notes: list[str]
) -> tuple[tuple[str, ...], tuple[int, ...] | None, tuple[str, ...], NDArray[np.uint8]]:
    """Put the states of one file in order.

    Parameters
    ----------
    segments : Segments
    notes : list of str
        Gets a line for segments named as having no state.

    Returns
    -------
    names : tuple of str, length S
        By number, else by name.
    numbers : tuple of int, length S, or None
    colours : tuple of str, length S
    codes : uint8 array
        Per label of `segments` its place in `names`, 255 for no state.

    Raises
    ------
    InputError
        If there is no state or more than 254, some have a number and some none, or a number has two
        names.
    """
    labels = [label.strip() for label in segments.labels]
    used = np.bincount(segments.label, minlength=len(labels))
    none = [i for i, label in enumerate(labels) if label in _NO_STATE]
    if none:
        notes.append(
            f"{segments.source}: {int(used[none].sum())} segments are named"
            f" {few([labels[i] or 'nothing' for i in none])}: unknown"
        )
    kept = [i for i in range(len(labels)) if i not in none and used[i]]
    if not kept:
        raise InputError(
            "no segment has a state",
            where=segments.source,
            found=few([repr(label) for label in labels]),
            expected="state names in column 4, for example 1_TssA",
        )

    def line(i: int) -> str:
        return segments.place(int((segments.label == i).argmax()))

    matches = {i: _NUMBER.fullmatch(labels[i]) for i in kept}
    numbered = [i for i in kept if matches[i]]
    if len(kept) > MOST_STATES:
        raise _too_many(segments, kept, labels)
    if numbered and len(numbered) < len(kept):
        odd = (
            next(i for i in kept if not matches[i])
            if 2 * len(numbered) >= len(kept)
            else numbered[0]
        )
        raise InputError(
            "some states have a number and some have none",
            where=line(odd),
            found=repr(labels[odd]),
            expected=f"names like {few([labels[i] for i in kept if i != odd], 3)}",
            do="Correct the name, or take the numbers away from all.",
        )
    numbers = {i: int(match[1]) for i, match in matches.items() if match}
    order = sorted(kept, key=lambda i: (numbers.get(i, 0), natural_key(labels[i])))
    for one, two in pairwise(order):
        if numbers and numbers[one] == numbers[two]:
            one, two = sorted((one, two), key=lambda i: int((segments.label == i).argmax()))
            raise InputError(
                "one number has two names",
                where=line(two),
                found=repr(labels[two]),
                expected=f"{labels[one]!r} as in {line(one).rsplit(', ', 1)[1]}",
                do="Give every state one name.",
            )
    codes = np.full(len(labels), UNKNOWN, np.uint8)
    codes[order] = np.arange(len(order))
    return (
        tuple(labels[i] for i in order),
        tuple(numbers[i] for i in order) if numbers else None,
        tuple(segments.colours[i] for i in order),
        codes,
    )

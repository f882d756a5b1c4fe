"""A loader's arguments as text, from a command line or a manifest, typed by its own signature."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

from epilm.errors import UsageError, nearest

_OWN = {"data", "genome", "negative", "seed"}  # arguments with a place of their own


def split_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Turn ["negatives=gc", "length=201"] into a dict.

    Raises
    ------
    UsageError
        If there is no "=".

    Examples
    --------
    >>> split_pairs(["negatives=gc", "flank-bp=500"])
    {'negatives': 'gc', 'flank_bp': '500'}
    """
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(
                "an option is name=value", where=f"--option {pair}", expected="e.g. negatives=gc"
            )
        out[name.strip().replace("-", "_")] = value
    return out


def typed_options(load: Callable[..., Any], options: Mapping[str, str]) -> dict[str, Any]:
    """Give text values the types of the loader's arguments.

    Parameters
    ----------
    load : callable
        `Task.load`.
    options : mapping of str to str

    Raises
    ------
    UsageError
        For an unknown name, or a value that is no number where one is needed.

    Examples
    --------
    >>> from epilm.tasks.tfbs import load
    >>> typed_options(load, {"negatives": "gc", "length": "201", "ratio": "2"})
    {'negatives': 'gc', 'length': 201, 'ratio': 2.0}
    >>> typed_options(load, {"lenght": "201"})
    Traceback (most recent call last):
    epilm.errors.UsageError: option lenght: the task has no such option. Did you mean length? Known:
        centre, exclude, flank_bp, gc_tolerance, length, margin_bp, negatives, other_peaks, ratio.
    """
    hints = get_type_hints(load)
    known = set(inspect.signature(load).parameters) - _OWN
    out: dict[str, Any] = {}
    for name, value in options.items():
        if name == "negative":
            out[name] = value
            continue
        if name not in known:
            cure = nearest(name, known) if known else "It has none."
            raise UsageError("the task has no such option", where=f"option {name}", do=cure)
        kind = hints.get(name)
        if kind not in (int, float):
            out[name] = value
            continue
        try:
            out[name] = kind(value)
        except ValueError:
            raise UsageError("not a number", where=f"option {name}", found=repr(value)) from None
    return out

"""The few exceptions of epilm: what was found, what was expected, where, what to do.

A user's mistake is an `EpilmError` with one clear message; a mistake only we
can make is an `assert`. The command line prints the message alone and leaves
with code 1 (2 for `UsageError`).
"""

import difflib
from collections.abc import Iterable
from typing import Any


class AskedToStop(KeyboardInterrupt):
    """A signal of the scheduler (SIGTERM, SIGUSR1) ended a run that is saved: the same command goes
    on with it.
    """

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later


class EpilmError(Exception):
    """Base of everything a user can cause.

    Parameters
    ----------
    what : str
        One sentence: what is wrong.
    where : str, optional
        File and line, store and row, recipe and key.
    found, expected : object, optional
        The value met and the one that would have been right.
    do : str, optional
        What the user should do now.

    Examples
    --------
    >>> print(
    ...     EpilmError(
    ...         "the region ends past its chromosome",
    ...         where="peaks.bed, line 7",
    ...         found="chr21:48128000-48129000",
    ...         expected="an end of at most 46709983 (hg38)",
    ...         do="Pass the genome the peaks were called on.",
    ...     )
    ... )
    peaks.bed, line 7: the region ends past its chromosome. Found chr21:48128000-48129000; expected
    an end of at most 46709983 (hg38). Pass the genome the peaks were called on.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        found: Any = None,
        expected: Any = None,
        do: str | None = None,
    ) -> None:
        self.what, self.where, self.found, self.expected, self.do = what, where, found, expected, do
        parts = [f"{where}: {what}" if where else what]
        if found is not None and expected is not None:
            parts.append(f"Found {found}; expected {expected}")
        elif found is not None:
            parts.append(f"Found {found}")
        elif expected is not None:
            parts.append(f"Expected {expected}")
        if do:
            parts.append(do)
        super().__init__(". ".join(part.rstrip(".") for part in parts) + ".")


class InputError(EpilmError):
    """A file or a row of it that cannot be used."""


class StoreError(EpilmError):
    """A store that is damaged, or does not match what it is used with."""


class RecipeError(EpilmError):
    """A recipe with an unknown, missing or impossible key."""


class CheckpointError(EpilmError):
    """A checkpoint that is damaged, or does not match what it is used with."""


class DamagedError(CheckpointError):
    """A file of a checkpoint that is not as it was written; an earlier one may be."""


class TrainingError(EpilmError):
    """A run that must not go on: a non-finite loss, a batch too small, a folder in use."""


class UsageError(EpilmError):
    """A command used wrongly."""

    exit_code = 2


MOST_NAMED = 60  # names that a message lists


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant.

    Examples
    --------
    >>> nearest("peak_rl", ["peak_lr", "warmup_steps"])
    'Did you mean peak_lr? Known: peak_lr, warmup_steps'
    >>> nearest("--negatives", ["--negatives-per-positive", "--valid-negatives"])[:40]
    'Did you mean --negatives-per-positive? K'
    >>> nearest("zzz", ["a", "b"])
    'Known: a, b'
    """
    names = sorted(known)
    longer = [one for one in names if len(name) > 3 and one.startswith(name)]
    close = longer or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}? " if close else ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{hint}Known: {', '.join(names[:MOST_NAMED])}{more}"

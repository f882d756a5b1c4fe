"""What a page of results consists of: parts, each a table with what made it, and their lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from epilm.trials.across_sets import SetTable
from epilm.trials.verdicts import Verdict


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes
    ----------
    setting, name : str
        Where it was scored (a set, a factor; "" where there is one), and what.
    values : mapping of str to sequence of float
        Score -> a number a seed (or fold), in their order; None where there is none.
    """

    setting: str
    name: str
    values: Mapping[str, Sequence[float | None]]

    @property
    def count(self) -> int:
        """Seeds, or folds."""
        return max((len(numbers) for numbers in self.values.values()), default=0)


@dataclass
class Part:
    """A table of the page, with what made it.

    Attributes
    ----------
    title, command : str
    scores : tuple of str
        Columns, the one that decides first.
    facts : list of (str, str)
    lines : list of Line
    said : list of str
        Verdicts and warnings, each a sentence.
    per : str
        What a line has several of: "seeds" or "folds".
    tables : list of SetTable
        In place of a table a setting, where there are many.
    claims : list of Verdict
        By the score that decides.
    members : frozenset of str
        Rows that a group stands for: single pre-trainings of one recipe.
    pooled : frozenset of str
        Settings that hold what the others hold: no part of a mean over settings.
    """

    title: str
    command: str
    scores: tuple[str, ...]
    facts: list[tuple[str, str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    per: str = "seeds"
    tables: list[SetTable] = field(default_factory=list)
    claims: list[Verdict] = field(default_factory=list)
    members: frozenset[str] = frozenset()
    pooled: frozenset[str] = frozenset()

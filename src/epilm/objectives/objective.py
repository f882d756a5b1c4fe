"""What an objective is to the rest of the house: one record, filled in its own file.

The recipe's rules read its ranges and needs, the step what it counts, validation what it gathers,
the progress line and the page its titles. Nothing else knows an objective by name. Recipes and
stores come in as they are: this floor names no type of a floor above.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from epilm.batch import Batch, Outputs

# (lowest, highest), both allowed; None: no limit on that side.
Range = tuple[float | None, float | None]
UNITS = ("regions", "windows")


class Misfit(NamedTuple):
    """A key of a recipe that does not go with an objective: what `RecipeError` is made of."""

    key: str
    what: str
    found: Any = None
    expected: Any = None
    do: str | None = None


class Gathered(Protocol):
    """What an objective keeps of held-out batches, to be scored when all of them were seen."""

    def add(self, outputs: Outputs, batch: Batch) -> None:
        """Keep what is needed of one batch."""

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Give metrics by their name without the objective's, and warnings."""


def fits(_: Any) -> Iterator[Misfit]:
    """Nothing is needed."""
    return iter(())


@dataclass(frozen=True)
class Objective:
    """One named loss of pre-training.

    Attributes
    ----------
    name : str
        Key of the recipe, under `objectives`.
    spec : type
        Frozen dataclass of its keys; `weight` is one of them, 0 switches it off.
    loss : (outputs, batch, spec) -> dict
        "loss", differentiable, and detached metrics.
    ranges : mapping
        Key of the spec to its limits; `weight` has its own.
    reads : tuple of str
        Units of samples it can be asked of: regions, windows.
    needs : recipe -> misfits
        What else in a recipe it does not go with. Asked where its weight is above 0 of anything
        with `model`, `objectives` and `samples`.
    needs_of_store : (recipe, store) -> misfits
        What a store lacks; the key of a misfit is not read.
    titles : mapping
        Metric to its title on a run's page.
    finals : mapping
        Metric to its words in the warning "is no better than chance".
    line, chance_line : mapping
        Metric to its part of the progress line, and of that after a validation.
    hides : batch -> 0-d int64, optional
        How many things of a batch the loss is a mean over; not given: over its samples.
    counts : frozenset of str
        Metrics that add up instead of averaging.
    gather : ObjectivesSpec -> Gathered, optional
        What is scored over all held-out samples at once.
    contrasts : tuple of str
        Fields of `Outputs` whose rows the loss compares with each other, over samples and over
        processes. The step gives it those of a whole contrast, `matching.batch` samples, however
        it is cut into micro-batches, with the temperature; it must read nothing else.
    added : mapping
        Keys that recipes of older runs do not have, and what those runs did.
    pooled : bool
        The loss itself is one of those: it is not taken batch by batch in validation.
    """

    name: str
    spec: type
    loss: Callable[[Outputs, Batch, Any], dict[str, Tensor]]
    ranges: Mapping[str, Range] = field(default_factory=dict)
    reads: tuple[str, ...] = UNITS
    needs: Callable[[Any], Iterator[Misfit]] = fits
    needs_of_store: Callable[[Any, Any], Iterator[Misfit]] = lambda recipe, store: iter(())
    titles: Mapping[str, str] = field(default_factory=dict)
    finals: Mapping[str, str] = field(default_factory=dict)
    line: Mapping[str, str] = field(default_factory=dict)
    chance_line: Mapping[str, str] = field(default_factory=dict)
    hides: Callable[[Batch], Tensor] | None = None
    counts: frozenset[str] = frozenset()
    gather: Callable[[Any], Gathered] | None = None
    contrasts: tuple[str, ...] = ()
    added: Mapping[str, Any] = field(default_factory=dict)
    pooled: bool = False

"""The table of objectives, and the spec that holds one part for each.

A new objective of the package is one file, one line in OBJECTIVES and one in `ObjectivesSpec`.
`register` adds one from outside of the package, for as long as the process lives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Any

from epilm.errors import RecipeError
from epilm.objectives.contacts import CONTACTS, ContactsSpec
from epilm.objectives.factors import MASKED_FACTORS, MaskedFactorsSpec
from epilm.objectives.masked import MASKED_KMERS, MaskSpec
from epilm.objectives.matching import MATCHING, MatchingSpec
from epilm.objectives.motif_sites import MOTIF_SITES, MotifSitesSpec
from epilm.objectives.next_segment import NEXT_SEGMENT, NextSegmentSpec
from epilm.objectives.objective import Objective, Range
from epilm.objectives.states import MASKED_STATES, MaskedStatesSpec

# In the order of a run's page and of the progress line.
OBJECTIVES: dict[str, Objective] = {
    MASKED_KMERS.name: MASKED_KMERS,
    MASKED_STATES.name: MASKED_STATES,
    MOTIF_SITES.name: MOTIF_SITES,
    NEXT_SEGMENT.name: NEXT_SEGMENT,
    MATCHING.name: MATCHING,
    MASKED_FACTORS.name: MASKED_FACTORS,
    CONTACTS.name: CONTACTS,
}


@dataclass(frozen=True)
class ObjectivesSpec:
    """What is learned: the spec of each objective, in the order in which losses are added up."""

    masked_kmers: MaskSpec = field(default_factory=MaskSpec)
    next_segment: NextSegmentSpec = field(default_factory=NextSegmentSpec)
    matching: MatchingSpec = field(default_factory=MatchingSpec)
    masked_factors: MaskedFactorsSpec = field(default_factory=MaskedFactorsSpec)
    contacts: ContactsSpec = field(default_factory=ContactsSpec)
    masked_states: MaskedStatesSpec = field(default_factory=MaskedStatesSpec)
    motif_sites: MotifSitesSpec = field(default_factory=MotifSitesSpec)
    # EBERT's one number: masked_kmers.weight = alpha, masked_states.weight = 1 - alpha. None: the
    # weights as given.
    alpha: float | None = None

    def parts(self) -> dict[str, Any]:
        """Give the spec of each objective by its name.

        Examples
        --------
        >>> list(ObjectivesSpec().parts())
        ['masked_kmers', 'next_segment', 'matching', 'masked_factors', 'contacts', 'masked_states',
        'motif_sites']
        """
        return {name: part for name, part in vars(self).items() if hasattr(part, "weight")}


_SPECS: list[type[ObjectivesSpec]] = [ObjectivesSpec]


def objectives_spec() -> type[ObjectivesSpec]:
    """Give the spec with the registered objectives too; without any it is `ObjectivesSpec`."""
    return _SPECS[-1]


def register(objective: Objective) -> None:
    """Add an objective: recipes then know its keys, and runs learn it where it has a weight.

    Parameters
    ----------
    objective : Objective
        Its spec's `weight` should be 0 by default, or every recipe has it on.

    Raises
    ------
    RecipeError
        If there is one of that name.
    """
    if objective.name in OBJECTIVES or hasattr(ObjectivesSpec(), objective.name):
        raise RecipeError("there is an objective of that name", found=objective.name)
    OBJECTIVES[objective.name] = objective
    part = (objective.name, objective.spec, field(default_factory=objective.spec))
    _SPECS.append(make_dataclass("ObjectivesSpec", [part], bases=(objectives_spec(),), frozen=True))


def unregister(name: str) -> None:
    """Take away the objective that was registered last.

    Raises
    ------
    RecipeError
        If it is not the last one.
    """
    if len(_SPECS) == 1 or name not in vars(objectives_spec()()) or list(OBJECTIVES)[-1] != name:
        raise RecipeError("the objective was not the last to be registered", found=name)
    del OBJECTIVES[name], _SPECS[-1]


def ranges() -> dict[str, Range]:
    """Limits of every key of `objectives`.

    Examples
    --------
    >>> ranges()["objectives.masked_factors.rate"]
    (0.001, 0.95)
    """
    out: dict[str, Range] = {"objectives.alpha": (0, 1)}
    for name in objectives_spec()().parts():
        limits: Mapping[str, Range] = {"weight": (0, None), **OBJECTIVES[name].ranges}
        out |= {f"objectives.{name}.{key}": limit for key, limit in limits.items()}
    return out


def counted() -> list[Objective]:
    """Objectives whose loss is a mean over what is hidden, not over samples.

    Examples
    --------
    >>> [objective.name for objective in counted()]
    ['masked_kmers', 'masked_states']
    """
    return [objective for objective in OBJECTIVES.values() if objective.hides is not None]

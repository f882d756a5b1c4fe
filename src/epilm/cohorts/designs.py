"""Sets of the paper as descriptions: how many people, what was published, what is not known.

A description is a YAML in `designs/`. It never holds people: their genotypes are simulated, or a
user's own.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from epilm.errors import UsageError, nearest
from epilm.recipes.recipe import Source, build_from, read_yaml

DESIGNS = Path(__file__).parent / "designs"


@dataclass(frozen=True)
class Published:
    """A row of Table 3."""

    model: str
    macro_precision: float
    macro_recall: float
    auroc: float


@dataclass(frozen=True)
class CohortDesign:
    """One set.

    Attributes
    ----------
    title, source : str
    larger_share : float
        Share of the larger class that the published macro precision of a constant implies.
    cases, controls : int or None
        None where no source says them.
    published : tuple of Published
    notes : tuple of str
        What is not known.
    """

    title: str
    source: str
    larger_share: float
    published: tuple[Published, ...]
    notes: tuple[str, ...]
    cases: int | None = None
    controls: int | None = None


def design_names() -> list[str]:
    """List the sets that are described."""
    return sorted(path.stem for path in DESIGNS.glob("*.yaml"))


@cache
def load_design(name: str) -> CohortDesign:
    """Read a description.

    Raises
    ------
    UsageError
        If there is none of that name.

    Examples
    --------
    >>> design = load_design("hscr_ret")
    >>> design.cases, design.controls
    (431, 487)
    >>> load_design("hscr_ret_long").cases is None
    True
    """
    if name not in design_names():
        raise UsageError(
            "there is no such set", where="--like", found=name, do=nearest(name, design_names())
        )
    source = Source(f"designs/{name}.yaml")
    table = read_yaml((DESIGNS / f"{name}.yaml").read_text(encoding="utf-8"), source)
    return build_from(CohortDesign, table, "", source)


def compare_sizes(name: str, cases: int, controls: int) -> list[str]:
    """Say how a cohort differs from the set that it is compared with."""
    design = load_design(name)
    share = max(cases, controls) / (cases + controls)
    lines = []
    if design.cases is not None and (cases, controls) != (design.cases, design.controls):
        lines.append(
            f"{name} has probably {design.cases} cases and {design.controls} controls, this cohort"
            f" {cases} and {controls}"
        )
    if abs(share - design.larger_share) > 0.005:
        lines.append(
            f"the larger class is {share:.3f} of this cohort, {design.larger_share:.3f} of {name}"
        )
    return lines

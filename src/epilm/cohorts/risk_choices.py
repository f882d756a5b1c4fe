"""What a user chooses for `risk` and `simulate-cohort`: families of options that the command line
flattens. Imports nothing heavy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class CohortReading:
    """How variants become numbers of a person."""

    features: Literal["deltas", "haplotypes"] = "deltas"
    """deltas: what the model says of each variant times the copies, summed over a region or gene;
    haplotypes: both haplotypes of a region read whole (phased genotypes, pre-trained model)."""
    motifs: Path | None = None
    """Motif file: add the difference of each motif's best log-odds, or use it without a model."""
    store: Path | None = None
    """Store whose tracks a model of binding reads."""
    cell: str | None = None
    """Cell type of those tracks."""
    window: int | None = None
    """Bases of both windows of a variant; the model's own where it has one."""
    shifts: tuple[int, ...] = (0,)
    """Places of the variant off the window's middle, in bp; the mean counts."""


@dataclass(frozen=True)
class Judging:
    """How it is judged."""

    folds: int = 5
    """Folds of the cross-validation."""
    group_by: str | None = None
    """Column of the phenotypes (family, ancestry) whose people stay on one side of a fold."""
    covariates: tuple[str, ...] = ()
    """Columns of the phenotypes that the classifiers read besides."""
    components: int = 4
    """Principal components of the dosages that they read besides; 0 for none."""
    classifier: Literal["logistic", "mlp"] = "logistic"
    """logistic (L2) or mlp (one hidden layer)."""
    prevalence: float | None = None
    """Share of the ill in the population: adds predictive values and R2 of liability."""
    seed: int = 0
    """Of the folds and of the MLP."""


@dataclass(frozen=True)
class Illness:
    """The liability of a simulated cohort."""

    heritability: float = 0.3
    """Share of the variance of liability that the variants make."""
    prevalence: float = 0.01
    """Share of the ill in the population the cohort is collected from."""
    effect: str | None = None
    """INFO key or column of each ALT's effect; without one effects are drawn."""
    effect_by: str | None = None
    """INFO key or column of a group (a factor): its effects times one weight, drawn."""
    causal: float = 0.2
    """Share of the variants that have an effect, where effects are drawn."""


@dataclass(frozen=True)
class Population:
    """The people of a simulated cohort."""

    cases: int | None = None
    """People who are ill."""
    controls: int | None = None
    """People who are not."""
    variants_used: int | None = None
    """Take so many of the variants, drawn; all where not given."""
    family_size: int = 1
    """Brothers and sisters of one family that are drawn together."""
    ancestries: int = 1
    """Populations with frequencies of their own."""
    fst: float = 0.05
    """How far these are apart."""
    missing: float = 0.0
    """Share of calls that are left out."""

"""What the task of contacts can be told, verb by verb."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from epilm.errors import UsageError, nearest
from epilm.models.siamese import Combine
from epilm.tasks.sequence_task import (
    HERE,
    KEPT,
    SequenceEvaluateOptions,
    SequenceOptions,
    check_longer,
)
from epilm.training.learning import check_learning, refuse_broken

Asked = Literal["touch", "oe"]
Drawn = Literal["matched", "any"]


@dataclass(frozen=True)
class ContactsData:
    """Which pairs are made, and what is read of a locus."""

    asked: Asked = field(default="touch", metadata=KEPT)
    """touch: do the two loci touch, yes or no; oe: ln of observed over expected contacts."""
    locus: int = field(default=512, metadata=KEPT)
    """Bases that are read around the middle of each locus."""
    anchors: Any = field(default=None, metadata=HERE | {"type": Path})
    """BED of loci that pairs are made of: open regions, starts, enhancers. Where not given the bins
    of a contact map, or the loci of the given pairs."""
    partners: Any = field(default=None, metadata=HERE | {"type": Path})
    """BED of the other locus (promoters): a pair is of an anchor and a partner."""
    resolution: int | None = field(default=None, metadata=HERE)
    """Of a contact map with several."""
    chrom: str | None = field(default=None, metadata=HERE)
    """Of a contact map in three columns: its chromosome; of others the only one to read."""
    balanced: bool = field(default=False, metadata=HERE)
    """Read the balanced values of a .cool; without it counts are divided by the coverage of both
    bins."""
    min_distance: int = field(default=20_000, metadata=HERE)
    """Bases between the middles of two loci, at least."""
    max_distance: int = field(default=1_000_000, metadata=HERE)
    """Bases between the middles of two loci, at most."""
    enriched: float = field(default=2.0, metadata=HERE)
    """Of a contact map: pairs touch from so many times the mean at their distance on."""
    depleted: float = field(default=1.0, metadata=HERE)
    """Of a contact map: pairs up to so many times the mean do not touch; those between are left
    out."""
    negatives: Drawn = field(default="matched", metadata=HERE)
    """matched: as many pairs that do not touch at each distance; any: pairs of any distance."""
    ratio: float = field(default=1.0, metadata=HERE)
    """Pairs that do not touch to one that does."""
    most: int = field(default=10_000, metadata=HERE)
    """Pairs that touch (of oe all pairs), at most; drawn by the seed."""


@dataclass(frozen=True)
class ContactsOptions(ContactsData, SequenceOptions):
    """All that `epilm finetune contacts` can be told."""

    combine: Combine = "symmetric"
    """symmetric: the answer is the same whichever locus comes first; ordered: it need not be."""
    beside: tuple[str, ...] = field(default=("distance", "gc", "kmer"), metadata=HERE)
    """Baselines that are fitted on the same rows and scored beside the model (epilm ls
    baselines)."""


@dataclass(frozen=True)
class ContactsEvaluateOptions(ContactsData, SequenceEvaluateOptions):
    """Which pairs are scored."""


@dataclass(frozen=True)
class ContactsPredictOptions:
    """Where the genome lies."""

    genome: Any = field(default=None, metadata={"type": list[Path]})
    """FASTA, .2bit or a store; repeat it for several files."""


def check_contacts(options: ContactsOptions) -> None:
    """Refuse impossible values, by their option's name.

    Raises
    ------
    UsageError
    """
    check_learning(options)
    check_longer(options)
    check_pairs(options)


def check_pairs(options: ContactsData) -> None:
    """Refuse impossible distances and shares, and words that no rule knows.

    Raises
    ------
    UsageError
    """
    least = max(options.locus, 1)
    refuse_broken(
        options,
        (
            (options.locus < 1, "locus", options.locus, "at least 1"),
            (
                options.min_distance < least,
                "min_distance",
                options.min_distance,
                f"at least the {least} bases of a locus: two loci do not overlap",
            ),
            (
                options.max_distance <= options.min_distance,
                "max_distance",
                options.max_distance,
                f"above --min-distance, {options.min_distance}",
            ),
            (
                not 0 <= options.depleted <= options.enriched,
                "depleted",
                options.depleted,
                f"0 to --enriched, {options.enriched:g}",
            ),
            (not options.ratio > 0, "ratio", options.ratio, "above 0"),
            (options.most < 1, "most", options.most, "at least 1"),
        ),
    )
    for name, known in (("asked", get_args(Asked)), ("negatives", get_args(Drawn))):
        if (value := getattr(options, name)) not in known:
            raise UsageError(
                "unknown value", where=f"--{name}", found=repr(value), do=nearest(value, known)
            )
    if options.partners is not None and options.anchors is None:
        raise UsageError(
            "partners are of anchors",
            where="--partners",
            found=str(options.partners),
            do="Pass --anchors BED too.",
        )

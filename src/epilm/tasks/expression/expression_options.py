"""What the task of expression can be told, verb by verb."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from epilm.errors import UsageError, nearest
from epilm.tasks.expression.gene_table import Values
from epilm.tasks.sequence_task import (
    HERE,
    KEPT,
    SequenceEvaluateOptions,
    SequenceOptions,
    check_longer,
)
from epilm.training.learning import check_learning, refuse_broken

Starts = Literal["first", "main", "each"]


@dataclass(frozen=True)
class ExpressionData:
    """Where levels and start sites lie, and what is read around a start."""

    tss: Any = field(default=None, metadata=HERE | {"type": Path})
    """Where the genes begin: GTF, GFF3, genePred, or BED with a strand whose name is the gene's."""
    cells: tuple[str, ...] = field(default=(), metadata=KEPT)
    """Columns of the table that are learned; all that hold numbers where none is named."""
    gene_column: str | None = field(default=None, metadata=HERE)
    """Column of the gene's id or name; the first one where not given."""
    values: Values = field(default="tpm", metadata=KEPT)
    """tpm: the table is per million, and ln(1 + x) is learned; counts: reads, made counts per
    million first; log: logarithms already."""
    starts: Starts = field(default="first", metadata=KEPT)
    """Of a gene with several starts: first, the most upstream; main, that of the transcript tagged
    MANE Select, Ensembl canonical or APPRIS principal, else of the longest (BED: the first line);
    each, a row for every one, on one side of a split."""
    upstream: int = field(default=256, metadata=KEPT)
    """Bases before the start, along the gene's strand."""
    downstream: int = field(default=256, metadata=KEPT)
    """Bases from the start on."""
    families: Any = field(default=None, metadata=HERE | {"type": Path})
    """Table of gene and family, two columns: genes of one family (paralogs) stay on one side; by
    chromosome those of a family that is tested are not learned."""


@dataclass(frozen=True)
class ExpressionOptions(ExpressionData, SequenceOptions):
    """All that `epilm finetune expression` can be told."""

    both_strands: bool = field(default=False, metadata={"stranded": True})
    """Learn from either strand and answer with the mean of both; a gene lies on one."""
    beside: tuple[str, ...] = field(default=("mean", "cpg", "kmer"), metadata=HERE)
    """Baselines that are fitted on the same rows and scored beside the model (epilm ls
    baselines)."""


@dataclass(frozen=True)
class ExpressionEvaluateOptions(ExpressionData, SequenceEvaluateOptions):
    """Which genes are scored."""


@dataclass(frozen=True)
class ExpressionPredictOptions:
    """Where the genome lies, and which starts are predicted."""

    genome: Any = field(default=None, metadata={"type": list[Path]})
    """FASTA, .2bit or a store; repeat it for several files."""
    starts: Starts | None = None
    """first, main or each; as in training where not given."""


def check_expression(options: ExpressionOptions) -> None:
    """Refuse impossible values, by their option's name.

    Raises
    ------
    UsageError
    """
    check_learning(options)
    check_longer(options)
    check_window(options)


def check_window(options: ExpressionData) -> None:
    """Refuse a window without bases, and a rule of starts that is not known.

    Raises
    ------
    UsageError
    """
    refuse_broken(
        options,
        (
            (options.upstream < 0, "upstream", options.upstream, "at least 0"),
            (options.downstream < 0, "downstream", options.downstream, "at least 0"),
            (options.upstream + options.downstream < 1, "upstream", 0, "a base at least"),
        ),
    )
    if options.starts not in get_args(Starts):
        raise UsageError(
            "unknown rule of starts",
            where="--starts",
            found=repr(options.starts),
            do=nearest(options.starts, get_args(Starts)),
        )

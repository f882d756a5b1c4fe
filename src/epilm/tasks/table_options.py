"""The task `sequences`: how it learns, and which columns of a table are labels."""

from dataclasses import dataclass, field

from epilm.tasks import sequences
from epilm.tasks.sequence_task import KEPT, SequenceEvaluateOptions, SequenceOptions, SequenceTask
from epilm.tasks.tables import Kind


@dataclass(frozen=True)
class TableData:
    """Which columns of a table are labels."""

    labels: tuple[str, ...] = field(default=(), metadata=KEPT)
    """Columns of labels; label where none is named."""
    kind: Kind = field(default="auto", metadata=KEPT)
    """class (names or numbers), multilabel (columns of 1, 0 or nothing), number, count (numbers
    lost as Poisson counts); auto: classes numbered from 0."""


@dataclass(frozen=True)
class TableOptions(TableData, SequenceOptions):
    """All that `epilm finetune sequences` can be told."""


@dataclass(frozen=True)
class TableEvaluateOptions(TableData, SequenceEvaluateOptions):
    """Which labelled sequences are scored."""


TASK = SequenceTask(
    "sequences",
    sequences.load,
    (),
    "Any sequences or intervals with labels: classes, several yes or no, numbers.",
    "table (TSV, CSV, Parquet) of sequences, or intervals with --genome; folder of tables,"
    " FASTA with --negative",
    options=TableOptions,
    evaluating=TableEvaluateOptions,
)

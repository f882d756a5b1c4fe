"""Downstream problems: raw files in, examples out, one file a task.

`TASKS` is the table; a new task is one file and one line, and passes the contract test
(tests/finetuning/test_contract.py) with every trunk and head that fits it.
"""

from epilm.errors import UsageError, nearest
from epilm.tasks import promoter, sequences, table_options, tfbs
from epilm.tasks.base import LabelledSequences, labelled
from epilm.tasks.binding.binding_task import BindingTask
from epilm.tasks.contacts.contacts_task import ContactsTask
from epilm.tasks.contract import Task
from epilm.tasks.expression.expression_task import ExpressionTask
from epilm.tasks.sequence_task import SequenceTask
from epilm.tasks.splice.splice_task import SpliceTask

TASKS: dict[str, Task] = {
    "promoter": SequenceTask(
        "promoter",
        promoter.load,
        ("other", "promoter"),
        "Promoter or not, 70 bp around the TSS (or 300).",
        "DNABERT table or folder, FASTA with --negative, EPD BED with --genome, 300 bp sequences",
        options=promoter.PromoterOptions,
        evaluating=promoter.PromoterEvaluateOptions,
        audited=True,
    ),
    "tfbs": SequenceTask(
        "tfbs",
        tfbs.load,
        ("unbound", "bound"),
        "Bound by a factor or not, 101 bp at the summit.",
        "peaks with --genome, labelled table, FASTA (with --negative or shuffled)",
        options=tfbs.TfbsOptions,
        evaluating=tfbs.TfbsEvaluateOptions,
    ),
    "sequences": SequenceTask(
        "sequences",
        sequences.load,
        (),
        "Any sequences or intervals with labels: classes, several yes or no, numbers.",
        "table (TSV, CSV, Parquet) of sequences, or intervals with --genome; folder of tables,"
        " FASTA with --negative",
        options=table_options.TableOptions,
        evaluating=table_options.TableEvaluateOptions,
    ),
    "binding": BindingTask(),
    "splice": SpliceTask(),
    "expression": ExpressionTask(),
    "contacts": ContactsTask(),
}


def find_task(name: str) -> Task:
    """Look a task up by name, or by another word for it.

    Raises
    ------
    UsageError
        Naming the nearest known one.

    Examples
    --------
    >>> find_task("tfbs").label_names
    ('unbound', 'bound')
    >>> find_task("dream").name
    'binding'
    >>> find_task("tfbz")
    Traceback (most recent call last):
    epilm.errors.UsageError: unknown task. Found 'tfbz'. Did you mean tfbs? Known: binding,
    contacts, expression, promoter, sequences, splice, tfbs.
    """
    for task in TASKS.values():
        if name == task.name or name in task.aliases:
            return task
    raise UsageError("unknown task", found=repr(name), do=nearest(name, TASKS))


__all__ = ["TASKS", "LabelledSequences", "Task", "find_task", "labelled"]

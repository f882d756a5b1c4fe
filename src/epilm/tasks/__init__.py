"""Downstream problems: files in, labelled sequences out, one file a task.

`TASKS` is the table; a new task is one file and one line, and passes tests/tasks/test_table.py.
"""

from epilm.errors import UsageError, nearest
from epilm.tasks import promoter, sequences, tfbs
from epilm.tasks.base import LabelledSequences, Task, labelled

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "promoter",
            promoter.load,
            ("other", "promoter"),
            "ap",
            "Promoter or not, 70 bp around the TSS (or 300).",
            "DNABERT table or folder, FASTA with --negative, EPD BED with --genome, 300 bp"
            " sequences",
        ),
        Task(
            "tfbs",
            tfbs.load,
            ("unbound", "bound"),
            "ap",
            "Bound by a factor or not, 101 bp at the summit.",
            "peaks with --genome, labelled table, FASTA (with --negative or shuffled)",
        ),
        Task(
            "sequences",
            sequences.load,
            (),
            "ap",
            "Any labelled sequences, two classes or more.",
            "labelled table, folder of tables, FASTA with --negative",
        ),
    )
}


def find_task(name: str) -> Task:
    """Look a task up by name.

    Raises
    ------
    UsageError
        Naming the nearest known one.

    Examples
    --------
    >>> find_task("tfbs").label_names
    ('unbound', 'bound')
    >>> find_task("tfbz")
    Traceback (most recent call last):
    epilm.errors.UsageError: unknown task. Found 'tfbz'. Did you mean tfbs? Known: promoter,
        sequences, tfbs.
    """
    if name not in TASKS:
        raise UsageError("unknown task", found=repr(name), do=nearest(name, TASKS))
    return TASKS[name]


__all__ = ["TASKS", "LabelledSequences", "Task", "find_task", "labelled"]

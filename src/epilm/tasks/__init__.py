"""Downstream problems: raw files in, examples out, one file a task.

`TASKS` is the table; a new task is one file and one line, and passes the contract test
(tests/finetuning/test_contract.py) with every trunk and head that fits it. A task is imported
when it is asked for: what learns one opens none of the others.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING

from epilm.errors import UsageError, nearest
from epilm.tasks.base import LabelledSequences, labelled

if TYPE_CHECKING:
    from epilm.tasks.contract import Task


class TaskTable(MutableMapping[str, "Task"]):
    """Tasks by their name, each imported at its first use.

    Parameters
    ----------
    modules : mapping
        Name -> module, whose `TASK` it is.

    Examples
    --------
    >>> table = TaskTable({"tfbs": "epilm.tasks.tfbs"})
    >>> list(table), table["tfbs"].label_names
    (['tfbs'], ('unbound', 'bound'))
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._tasks: dict[str, Task | str] = dict(modules)

    def __getitem__(self, name: str) -> "Task":
        task = self._tasks[name]
        if isinstance(task, str):
            task = self._tasks[name] = import_module(task).TASK
        return task

    def __setitem__(self, name: str, task: "Task") -> None:
        self._tasks[name] = task

    def __delitem__(self, name: str) -> None:
        del self._tasks[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


TASKS = TaskTable(
    {
        "promoter": "epilm.tasks.promoter",
        "tfbs": "epilm.tasks.tfbs",
        "sequences": "epilm.tasks.table_options",
        "binding": "epilm.tasks.binding.binding_task",
        "splice": "epilm.tasks.splice.splice_task",
        "expression": "epilm.tasks.expression.expression_task",
        "contacts": "epilm.tasks.contacts.contacts_task",
    }
)


def find_task(name: str) -> "Task":
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
    if name in TASKS:
        return TASKS[name]
    for task in TASKS.values():
        if name in task.aliases:
            return task
    raise UsageError("unknown task", found=repr(name), do=nearest(name, TASKS))


__all__ = ["TASKS", "LabelledSequences", "TaskTable", "find_task", "labelled"]

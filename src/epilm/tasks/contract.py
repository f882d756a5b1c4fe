"""The contract of a task: examples from raw files, and what is done with what a model says.

A task is one file and one line in `tasks.TASKS`; nothing else in the house knows its name. It
never computes with a network: where it needs a model's word, it is handed a function
(`Scorer`), and that is how every trunk, head and baseline serves every task.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from numpy.typing import NDArray

from epilm.errors import UsageError, nearest
from epilm.tasks.lesson import TaskLesson
from epilm.training.learning import Learning, option_name

Say = Callable[[str], None]
Options = TypeVar("Options")
VERBS = ("finetune", "predict", "evaluate")


class Scorer(Protocol):
    """What a fine-tuned model says of examples, with what the model remembers.

    Attributes
    ----------
    about : dict
        JSON values: labels, factors, signals, window_bp, width, strands, where it learned, ...
    reads : Reads
        What it reads of a store (`batches.reads`).
    """

    about: dict[str, Any]
    reads: Any

    def __call__(self, examples: Any, store: Any = None) -> Iterator[NDArray[Any]]:
        """Give probabilities (n, outputs) block by block, in the examples' order.

        Parameters
        ----------
        examples : Examples
        store : Store, optional
            Where they lie, if they lie in one.
        """


class Task(ABC):
    """One downstream problem.

    Attributes
    ----------
    name : str
        Key in TASKS.
    aliases : tuple of str
        Other words for it.
    about : str
        A line for people.
    data : str
        Which files it takes.
    head : str
        Default head, of `models.networks.HEADS`.
    k : int
        Of a random encoder, where nothing else is said.
    precision : {"fp32", "auto", "bf16"}
        Number format of the trunk in prediction, where nothing else is said.
    options : mapping
        Verb -> frozen dataclass of all that it can be told.
    label_names : tuple of str
        Names of classes; empty where the data decide.
    """

    name: str
    aliases: tuple[str, ...] = ()
    about: str = ""
    data: str = ""
    head: str = "linear"
    k: int = 6
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    label_names: tuple[str, ...] = ()
    options: ClassVar[Mapping[str, type]] = {}

    def options_of(self, verb: str) -> type:
        """The dataclass of a verb's options."""
        return self.options[verb]

    def check(self, options: Any) -> None:
        """Refuse impossible values of fine-tuning, by their option's name."""
        from epilm.training.learning import check_learning

        check_learning(options)

    @abstractmethod
    def lesson(self, data: Any, options: Any, say: Say) -> TaskLesson:
        """Give examples, parts and draws, all checked before anything is learned."""

    @abstractmethod
    def predict(self, source: Any, out: Any, options: Any, score: Scorer, say: Say) -> Any:
        """Predict what a user points at, and write it where `out` says."""

    def to_predict(
        self, source: Any, options: Any, score: Scorer, say: Say
    ) -> Iterator[tuple[Any, Any]]:
        """Give the examples that `predict` scores, and their store, call by call in its order: what
        is predicted in shards.

        Raises
        ------
        UsageError
            If the task has no such thing.
        """
        raise UsageError(
            "the task is not predicted in shards",
            where=self.name,
            do="Leave --shard and --executor out.",
        )

    @abstractmethod
    def evaluate(self, run: Any, data: Any, options: Any, score: Scorer | None, say: Say) -> Any:
        """Score a model (`score`), or predictions that lie in a file or a run."""

    def described(self, lesson: TaskLesson) -> dict[str, Any]:
        """What the run's `task.json` says of the set; JSON values."""
        return {}

    def audit(self, lesson: TaskLesson, options: Any) -> list[str]:
        """Lines on what rules without a model reach on the same parts, each begins with AUDIT."""
        return []

    def write_predictions(self, folder: Any, lesson: TaskLesson, said: Mapping[str, Any]) -> None:
        """Write what was said of the parts beside the model; nothing, where they are too many."""
        return None


def owners_of(option: str, verb: str, tasks: Mapping[str, Task]) -> tuple[str, ...]:
    """Name the tasks that have an option of a verb."""
    owners = []
    for name, task in tasks.items():
        spec = task.options_of(verb)
        if option in {option_name(spec, field.name) for field in fields(spec)}:
            owners.append(name)
    return tuple(owners)


def foreign_option(task: Task, verb: str, option: str, tasks: Mapping[str, Task]) -> UsageError:
    """Say that a task has no such option, whose it is, and which is nearest.

    Examples
    --------
    >>> from epilm.tasks import TASKS
    >>> error = foreign_option(TASKS["promoter"], "finetune", "--kernel", TASKS)
    >>> print(str(error).partition(" Did you mean")[0])
    finetune promoter: no such option. Found --kernel, an option of binding.
    """
    spec = task.options_of(verb)
    known = sorted(option_name(spec, field.name) for field in fields(spec))
    owners = owners_of(option, verb, tasks)
    whose = f", an option of {', '.join(owners)}" if owners else ""
    return UsageError(
        "no such option",
        where=f"{verb} {task.name}",
        found=f"{option}{whose}",
        do=nearest(option, known),
    )


def options_from(
    task: Task, verb: str, given: Any, named: Mapping[str, Any], tasks: Mapping[str, Task]
) -> Any:
    """Make a verb's options from an instance, names, or both.

    Parameters
    ----------
    given : dataclass instance or None
        Of the task's options, or of a class they start from (`Learning`).
    named : mapping
        Field -> value; wins over `given`. Lists become tuples, a lone text where several are
        wanted becomes one.

    Raises
    ------
    UsageError
        If a name is no option of this task, or `given` is of another task.

    Examples
    --------
    >>> from epilm.tasks import TASKS
    >>> options_from(TASKS["tfbs"], "finetune", None, {"epochs": 2, "length": 201}, TASKS).length
    201
    """
    spec = task.options_of(verb)
    known = {field.name: field for field in fields(spec)}
    values: dict[str, Any] = {}
    if given is not None:
        if isinstance(given, spec):
            values = {name: getattr(given, name) for name in known}
        elif is_dataclass(given) and issubclass(spec, type(given)):
            values = {field.name: getattr(given, field.name) for field in fields(given)}
        else:
            raise UsageError(
                "the settings are of another task",
                where=f"{verb} {task.name}",
                found=type(given).__name__,
                expected=spec.__name__,
            )
    for name, value in named.items():
        if name not in known:
            raise foreign_option(task, verb, "--" + name.replace("_", "-"), tasks)
        several = isinstance(known[name].default, tuple)
        if several and isinstance(value, str):
            value = (value,)
        values[name] = tuple(value) if several and isinstance(value, list) else value
    return spec(**values)


def learned_settings(options: Learning) -> dict[str, Any]:
    """Give the fields that decide what is learned: not where the data lie.

    Examples
    --------
    >>> learned_settings(Learning(epochs=3))["epochs"]
    3
    """
    return {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if not field.metadata.get("data")
    }


def named_data(options: Learning) -> dict[str, Any]:
    """Give the fields that say where the data lie, of those that were said; JSON values.

    What a caller passed as an opened object is named by its path, or left out.

    Examples
    --------
    >>> from dataclasses import dataclass, field
    >>> @dataclass(frozen=True)
    ... class Options(Learning):
    ...     genome: Any = field(default=None, metadata={"data": True})
    ...     test: tuple = field(default=(), metadata={"data": True})
    >>> named_data(Options(genome=[Path("a.fa"), Path("b.fa")], test=("chr22",)))
    {'genome': ['a.fa', 'b.fa'], 'test': ['chr22']}
    """
    out: dict[str, Any] = {}
    for each in fields(options):
        value = getattr(options, each.name)
        if not each.metadata.get("data") or value is None or value == each.default:
            continue
        several = list(value) if isinstance(value, list | tuple) else [value]
        words = [_word(one) for one in several]
        if None not in words:
            out[each.name] = words if isinstance(value, list | tuple) else words[0]
    return out


def _word(value: Any) -> str | int | float | bool | None:
    """A value of an option as JSON has it; None for what has no name."""
    if isinstance(value, bool | int | float | str):
        return value
    path = value if isinstance(value, Path) else getattr(value, "path", None)
    return None if path is None else str(path)

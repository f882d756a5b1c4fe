"""The head of a command's help: what it does, and its examples, each on lines of its own that can
be typed as they stand.

Examples lie in the command's docstring, under a line `Examples:`. Where a task is named, those of
other tasks are left out: those that name one, or an option that the task has not, or that say so in
a comment (`# not of binding`).
"""

import inspect
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from epilm.training.learning import option_name

if TYPE_CHECKING:
    from epilm.tasks.contract import Task

WIDTH = 76
"""Columns that an example is broken at: what a terminal of 80 shows of a block."""
_TITLE = "Examples:\n"
HEADING = "For example:"
"""In the help: under `Examples:` the parser of docstrings would take the block away."""
_PARAMETERS = re.compile(r"^Parameters\n-+$", re.MULTILINE)


def head_of_help(text: str, fits: Callable[[str], bool] = lambda example: True) -> str:
    """Give a docstring's text above its parameters as Markdown.

    Parameters
    ----------
    text : str
        The docstring.
    fits : function of an example, one line
        Whether it is shown.

    Examples
    --------
    >>> print(head_of_help("Do it.\\n\\nExamples:\\nepilm ls\\nepilm ls tasks\\n"))
    Do it.
    <BLANKLINE>
    For example:
    <BLANKLINE>
    ```
    epilm ls
    epilm ls tasks
    ```
    """
    above = _PARAMETERS.split(inspect.cleandoc(text))[0]
    prose, title, block = above.partition(_TITLE)
    shown = [broken(each) for each in examples_in(block) if fits(each)]
    if not title or not shown:
        return prose.strip()
    return "\n".join([prose.strip(), "", HEADING, "", "```", *shown, "```"])


def examples_in(block: str) -> list[str]:
    """List the commands of a block, each on one line.

    Examples
    --------
    >>> examples_in("epilm build \\\\\\n    --out my.store\\nepilm ls")
    ['epilm build --out my.store', 'epilm ls']
    """
    lines = re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    return [line.strip() for line in lines if line.strip()]


def broken(example: str, width: int = WIDTH) -> str:
    """Break a command before an option, as a shell reads it.

    Examples
    --------
    >>> print(broken("epilm build --genome hg19.fa --out my.store", width=32))
    epilm build --genome hg19.fa \\
        --out my.store
    """
    lines = [""]
    for piece in re.split(r" (?=--|# )", example):
        longer = f"{lines[-1]} {piece}".lstrip() if len(lines) == 1 else f"{lines[-1]} {piece}"
        if lines[-1] and len(longer) > width - 2:  # room for " \"
            lines.append(f"    {piece}")
        else:
            lines[-1] = longer
    return " \\\n".join(lines)


def of_task(
    command: Callable[..., None], task: "Task", tasks: "Mapping[str, Task]"
) -> Callable[[str], bool]:
    """Make the question whether an example of a command is about a task.

    Examples
    --------
    >>> from epilm.cli.finetune import finetune
    >>> from epilm.tasks import TASKS
    >>> asked = of_task(finetune, TASKS["binding"], TASKS)
    >>> asked("epilm finetune dream --kernel 9"), asked("epilm finetune tfbs")
    (True, False)
    >>> asked("epilm finetune MINE --genome hg19.fa")
    False
    """
    spec = task.options_of(command.__name__)
    own = set()
    for name, parameter in inspect.signature(command).parameters.items():
        family = fields(parameter.default) if is_dataclass(parameter.default) else ()
        own |= {f"--{each.replace('_', '-')}" for each in (name, *(f.name for f in family))}
    own |= {option_name(spec, each.name) for each in fields(spec)}
    words = {name: {name, *each.aliases} for name, each in tasks.items()}
    foreign = set().union(*(words[name] for name in words if name != task.name))

    def about(example: str) -> bool:
        line, _, but = example.partition("# not of ")
        said = shlex.split(line)
        options = {word.split("=")[0] for word in said if word.startswith("--")}
        return (
            options <= own
            and not foreign.intersection(said)
            and not words[task.name].intersection(re.split(r"[, ]+", but))
        )

    return about

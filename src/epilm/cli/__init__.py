"""The command line: one thin function a command, each the public function of the same name.

Commands are found on use, so `epilm --help` costs a tenth of a second. Exit
codes: 0 done, 1 failed (one message, no traceback), 2 wrong use, 75 stopped by
a signal of the scheduler and saved, 130 stopped by Ctrl-C. Needs cyclopts; every
command module imports the rest by itself.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

    from epilm.tasks.contract import Task

# command -> one line for the overview. The module is epilm.cli.<command>, the function is the
# command.
COMMANDS = {
    "demo": "Simulate, build, pre-train, fine-tune, evaluate and report, in minutes.",
    "simulate": "Write the raw files of an invented genome with known truth.",
    "fetch": "Get the public inputs of a paper, as far as they want no login.",
    "build": "Turn raw files (genome, peaks or counts, motifs) into a store.",
    "inspect": "Say what is in a store, a checkpoint or a run.",
    "plan": "Say what a pre-training run will need: memory, time, disk, the largest micro-batch.",
    "pretrain": "Pre-train a model from a recipe and a store.",
    "finetune": "Fine-tune a pre-trained model on a task.",
    "evaluate": "Score a fine-tuned model, or predictions, on labelled data.",
    "predict": "Write a fine-tuned model's probabilities for sequences or intervals.",
    "ensemble": "Join fine-tuned models into one that says the mean of what they say.",
    "merge": "Join the parts of a command that ran in shards.",
    "embed": "Write a vector of a model for every sequence, interval or region of a store.",
    "score-variants": "Score every variant of a VCF by what it does to a model's word.",
    "explore": (
        "Write loci as one page that opens offline: bases, cell types, motifs, predictions."
    ),
    "simulate-cohort": "Write simulated people with variants of a file, some of them ill.",
    "risk": "Predict disease from people's genotypes by a model's word, beside baselines.",
    "explain": "Say which bases a model's word hangs on: maps, tracks, pictures, motifs.",
    "compare": "Fine-tune several models and baselines over seeds into one table.",
    "leaderboard": (
        "Rank models over the ENCODE-DREAM datasets; --paper prints the published ranks."
    ),
    "ablate": "Switch one part of a system at a time, over seeds, and judge what each is worth.",
    "report": "Write one HTML page of a run's curves, tables and pictures.",
    "export": "Turn a checkpoint into a folder that transformers.AutoModel opens.",
    "ls": "List recipes, tasks, region towers and objectives.",
}

# Commands that have the options of the task they are about.
OF_TASKS = ("finetune", "predict", "evaluate")

# Commands that several processes do together, as torchrun or SLURM starts them.
OF_PROCESSES = ("pretrain", "finetune")

HELP = frozenset(("--help", "-h"))

# What to do when memory runs out where nothing more exact is known.
MEMORY = {
    "pretrain": (
        "Set a lower train.micro_batch (--set train.micro_batch=N: what is learned stays as it is);"
        " where the weights themselves do not fit, take a smaller --size."
    ),
    "finetune": (
        "Lower --micro-batch (what is learned stays as it is); where the weights themselves do not"
        " fit, take a smaller model."
    ),
    "compare": "Lower --batch-size, or take smaller models.",
    "explore": "Lower --batch-size (256 where not given), or show fewer loci.",
    "embed": "Lower --batch-size (64 where not given), or compute where there is more memory.",
    "predict": (
        "Lower --batch-size (256 where not given), or compute where there is more memory"
        " (--device)."
    ),
    "evaluate": (
        "Lower --batch-size (256 where not given), or compute where there is more memory"
        " (--device)."
    ),
    "explain": "Lower --batch-size (64 where not given).",
}


def application(command: str | None = None, words: Sequence[str] = ()) -> "App":
    """Make the parser of one command, or of the overview.

    An option that takes a list reads all words after it, up to the next option:
    `--test chr8 chr21` and `--test chr8 --test chr21` say the same.

    Parameters
    ----------
    command : str, optional
        A key of COMMANDS; without it all are there, under their line of the overview.
    words : sequence of str
        All of the command line: fine-tuning, prediction and evaluation have the options of the
        task that it is about.

    Examples
    --------
    >>> words = "compare --task tfbs --data a.bed --out cmp --seeds 2".split()
    >>> application("compare").parse_args(words)[0].__name__
    'compare'
    """
    from cyclopts import App, Parameter

    import epilm

    app = App(
        name="epilm",
        help=(epilm.__doc__ or "").splitlines()[0],
        version=epilm.__version__,
        default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
        config=_refuse_fractions,
        suppress_keyboard_interrupt=False,  # which of them it was is said in `main`
    )
    for name, line in COMMANDS.items():
        # One command's own help comes from its docstring; the overview must not import any of them.
        module = name.replace("-", "_")
        if command == name:
            function, head = _with_help(name, words)
            app.command(function, name=name, help=head)
        elif command is None:
            app.command(f"epilm.cli.{module}:{module}", name=name, help=line)
    return app


def _with_help(command: str, words: Sequence[str]) -> tuple[Callable[..., None], str]:
    """A command and the head of its help, empty where nobody asks for it; options and examples are
    those of the task that its words name, where it is about one.
    """
    module = command.replace("-", "_")
    function: Callable[..., None] = getattr(import_module(f"epilm.cli.{module}"), module)
    task, options = None, function
    if command in OF_TASKS:
        from epilm.cli.flags import with_flags

        task = task_named(command, words)
        options = with_flags(function, None if task is None else task.options_of(command))
    if not HELP.intersection(words):
        return options, ""
    from epilm.cli.examples import head_of_help, of_task

    text = function.__doc__ or ""
    if task is None:
        return options, head_of_help(text)
    from epilm.tasks import TASKS

    return options, head_of_help(text, of_task(function, task, TASKS))


def task_named(command: str, words: Sequence[str]) -> "Task | None":
    """Find the task that a command's words are about; None where they name none.

    Examples
    --------
    >>> task_named("finetune", ["finetune", "dream", "--help"]).name
    'binding'
    >>> task_named("finetune", ["finetune", "--help"]) is None
    True
    >>> task_named("evaluate", ["evaluate", "F.MAX.liver.tab.gz", "--task=binding"]).name
    'binding'
    >>> task_named("finetune", ["finetune", "--data", "a.tsv", "promoter"]).name
    'promoter'
    """
    from epilm.tasks import TASKS, find_task

    given = [part for word in words[1:] for part in _halves(word)]
    if command != "finetune" and "--task" in given[:-1]:
        return find_task(given[given.index("--task") + 1])
    if not given:
        return None
    first, plain = given[0], [word for word in given if not word.startswith("-")]
    if command == "finetune":
        if not first.startswith("-"):
            return find_task(first)
        known = {word for task in TASKS.values() for word in (task.name, *task.aliases)}
        return next((find_task(word) for word in plain if word in known), None)
    from epilm.finetuning.finetuned import is_finetuned, load_finetuned, task_of

    if first.startswith("-"):
        runs = (word for word in plain if is_finetuned(word))
        first = next(runs, "")
    if first and command == "predict" and not is_finetuned(first):
        load_finetuned(first)  # says what is missing
    return find_task(task_of(first, None)) if first else None


def _halves(word: str) -> list[str]:
    """`--task=dream` as two words."""
    return word.split("=", 1) if word.startswith("--") and "=" in word else [word]


def _refusal(error: "CycloptsError", command: str | None, words: Sequence[str]) -> str | None:
    """What is said of an option that the task has not; None where cyclopts says it well."""
    from cyclopts import UnknownOptionError

    if command not in OF_TASKS or not isinstance(error, UnknownOptionError):
        return None
    task = task_named(command, words)
    if task is None:
        return None
    from epilm.tasks import TASKS
    from epilm.tasks.contract import foreign_option

    token = error.token
    option = str(getattr(token, "keyword", None) or getattr(token, "value", token))
    refused = foreign_option(task, command, option.split("=")[0], TASKS)
    return f"epilm: {type(refused).__name__}: {refused}"


def _refuse_fractions(app: Any, commands: Any, arguments: Any) -> None:
    """Refuse `--seed 1.5`, which cyclopts would round; called with the words before they are
    converted.
    """
    from epilm.errors import UsageError

    for argument in arguments:
        kinds = {argument.hint, *get_args(argument.hint)}
        kinds |= {inner for kind in kinds for inner in get_args(kind)}
        if int not in kinds or float in kinds or str in kinds:
            continue
        for token in argument.tokens:
            try:
                number = float(token.value)
            except ValueError:
                continue  # cyclopts says what it expected
            if not number.is_integer():
                raise UsageError(
                    "not a whole number",
                    where=argument.name,
                    found=token.value,
                    expected="a whole number",
                )


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch is not imported for the question."""
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:
        return False
    from epilm.device import is_out_of_memory

    return is_out_of_memory(error)


def _refuse_processes(command: str | None, words: Sequence[str]) -> None:
    """Refuse a command that torchrun started several times over: each would write the same."""
    from epilm.errors import UsageError

    processes = os.environ.get("WORLD_SIZE", "1")
    if "RANK" not in os.environ or processes == "1":
        return
    if command is None or command in OF_PROCESSES or HELP.intersection(words):
        return
    raise UsageError(
        "torchrun started this command in several processes",
        where=f"epilm {command}",
        found=processes,
        expected="1",
        do=(
            f"Start it without torchrun, which is for epilm {' and '.join(OF_PROCESSES)}; parts of"
            " the work are --shard and --executor, where the command has them."
        ),
    )


def _stopped(error: KeyboardInterrupt) -> int:
    """Say who stopped it, and give the exit code."""
    from epilm.errors import AskedToStop

    if not isinstance(error, AskedToStop):
        print("epilm: stopped by Ctrl-C", file=sys.stderr)
        return 130
    code = error.exit_code
    print(
        f"epilm: stopped by a signal and saved; the same command goes on (exit code {code})",
        file=sys.stderr,
    )
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after `epilm`; those of the process by default.

    Returns
    -------
    int
        0 done, 1 failed, 2 wrong use, 75 to be started again, 130 interrupted.

    Examples
    --------
    >>> main(["--version"])
    0.1.0
    0
    """
    from cyclopts import CycloptsError, CycloptsPanel
    from rich.console import Console

    from epilm.errors import EpilmError, nearest

    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words and not words[0].startswith("-") else None
    if command is not None and command not in COMMANDS:
        print(
            f"epilm: there is no command {command!r}. {nearest(command, COMMANDS)}", file=sys.stderr
        )
        return 2
    if words and command is None and words[0] not in ("--help", "-h", "--version"):
        print(
            f"epilm: there is no option {words[0]!r} before a command. See epilm --help",
            file=sys.stderr,
        )
        return 2
    try:
        _refuse_processes(command, words)
        app = application(command, words)
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        if (refusal := _refusal(error, command, words)) is not None:
            print(refusal, file=sys.stderr)
        else:
            Console(stderr=True).print(CycloptsPanel(error))
        return 2
    except EpilmError as error:
        print(f"epilm: {type(error).__name__}: {error}", file=sys.stderr)
        if os.environ.get("EPILM_DEBUG"):
            traceback.print_exc()
        return error.exit_code
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        print(
            f"epilm: out of memory. Found {first[:200]}. "
            + MEMORY.get(command or "", "Run it where there is more memory, or on less data."),
            file=sys.stderr,
        )
        if os.environ.get("EPILM_DEBUG"):
            traceback.print_exc()
        return 1
    except KeyboardInterrupt as error:
        return _stopped(error)
    except BrokenPipeError:
        # The reader (head, less) has gone: not a failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        from epilm.atomic import cannot_write, is_disk_full

        if not is_disk_full(error):
            raise
        # What writes into a folder as it goes, and not through epilm.atomic.
        full = cannot_write(error, error.filename or os.getcwd())
        print(f"epilm: {type(full).__name__}: {full}", file=sys.stderr)
        return 1
    return 0

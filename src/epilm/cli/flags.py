"""Dataclasses of options become flags of the command line; the text under a field is its help.

What a task can be told stands once, in its dataclass; the command line and Python both take it
from there. Needs cyclopts.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields, make_dataclass
from functools import lru_cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from epilm.training.learning import option_name


@lru_cache(maxsize=64)
def field_texts(spec: type) -> Mapping[str, str]:
    """Read the text under each field of a dataclass and of those it starts from.

    Examples
    --------
    >>> from epilm.training.learning import Learning
    >>> field_texts(Learning)["lr"]
    'Peak learning rate.'
    """
    texts: dict[str, str] = {}
    for kind in reversed(spec.__mro__):
        if kind.__module__ == "builtins":
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
        except (OSError, TypeError):
            continue  # made at run time: it has no text
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for statement, after in pairwise(body):
            named = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if named and told:
                text = " ".join(str(after.value.value).split())  # type: ignore[attr-defined]
                texts[statement.target.id] = text  # type: ignore[attr-defined]
    return texts


def flags(spec: type, group: str | None = None) -> type:
    """Make the dataclass that cyclopts flattens into flags.

    Parameters
    ----------
    spec : dataclass
    group : str, optional
        Heading of the help.

    Returns
    -------
    type
        With the same fields; a list in place of each tuple, None where nothing was given.
    """
    hints, texts = get_type_hints(spec), field_texts(spec)
    made = []
    for each in fields(spec):
        kind = each.metadata.get("type", hints[each.name])
        default = None if each.default is MISSING else each.default
        shown, name = _shown(default), option_name(spec, each.name)
        parameter = Parameter(
            name=name,
            help=f"{texts.get(each.name, '')}{shown}".strip(),
            # A preset may switch it on.
            negative=f"--no-{name.removeprefix('--')}" if kind is bool else "",
            show_default=False,
            group=group,
        )
        made.append((each.name, Annotated[_given(kind), parameter], field(default=None)))
    flagged = make_dataclass(f"{spec.__name__}Flags", made, frozen=True, kw_only=True)
    flagged.__module__ = __name__  # of module `types` cyclopts takes it for a builtin
    return flagged


def given_fields(made: Any) -> dict[str, Any]:
    """Give the fields that were said, lists as tuples.

    Examples
    --------
    >>> from epilm.training.learning import Learning
    >>> given_fields(flags(Learning)(epochs=3))
    {'epochs': 3}
    """
    values = {each.name: getattr(made, each.name) for each in fields(made)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }


def with_flags(command: Callable[..., None], spec: type | None) -> Callable[..., None]:
    """Give a command whose parameter `options` is flattened into a spec's flags.

    Parameters
    ----------
    command : function with a parameter named `options`
        It gets a dict of what was said.
    spec : dataclass or None
        None: no task is named yet, and it has no options beside the command's own.
    """
    made = None if spec is None else flags(spec, "Options of this task")

    def run(*words: Any, options: Any = None, **named: Any) -> None:
        command(*words, options={} if options is None else given_fields(options), **named)

    signature = inspect.signature(command)
    parameters = []
    for name, each in signature.parameters.items():
        if name != "options":
            parameters.append(each)
        elif made is not None:
            kind = Annotated[made, Parameter(name="*")]  # type: ignore[valid-type]
            parameters.append(each.replace(annotation=kind, default=None))
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    return run


def _given(kind: Any) -> Any:
    """The type of a flag: a list in place of a tuple of any length, None where it is not said."""
    if get_origin(kind) is tuple:
        inner = [each for each in get_args(kind) if each is not Ellipsis]
        kind = list[inner[0]] if Ellipsis in get_args(kind) else kind  # type: ignore[valid-type]
    elif get_origin(kind) in (Union, UnionType):
        kinds = [_given(each) for each in get_args(kind) if each is not NoneType]
        kind = kinds[0] if len(kinds) == 1 else Union[tuple(kinds)]  # noqa: UP007
    return kind | None


def _shown(default: Any) -> str:
    if default is None or default in ((), False):
        return ""
    text = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f" [{text}]"

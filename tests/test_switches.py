"""The table of switches in the documentation names only keys and values that exist."""

import dataclasses
import inspect
import re
import typing
from pathlib import Path

import pytest

import epilm
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import ObjectivesSpec
from epilm.store.sample_spec import SampleSpec
from epilm.tasks import TASKS
from epilm.tasks.contract import VERBS
from epilm.training.optim_spec import OptimSpec, TrainSpec

TABLE = Path(__file__).parents[1] / "docs" / "reference" / "switches.md"
SECTIONS = {
    "model": ModelSpec,
    "samples": SampleSpec,
    "objectives": ObjectivesSpec,
    "optim": OptimSpec,
    "train": TrainSpec,
}


def rows() -> list[tuple[str, str]]:
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4:
            found += [(key, cells[3]) for key in re.findall(r"`([a-z_.]+)`", cells[2])]
    return found


def annotation(key: str) -> typing.Any:
    section, *path = key.split(".")
    if section in SECTIONS:
        kind: typing.Any = SECTIONS[section]
        for name in path:
            # A table that may be null is still a table.
            arms = [arm for arm in typing.get_args(kind) if dataclasses.is_dataclass(arm)]
            hints = typing.get_type_hints(arms[0] if arms else kind)
            assert name in hints, f"{key}: {kind} has no field {name}"
            kind = hints[name]
        return kind
    function = getattr(epilm, section)
    hints = typing.get_type_hints(inspect.unwrap(function))
    if section in VERBS and path[0] not in hints:  # an option of tasks: what any of them allows
        specs = (task.options_of(section) for task in TASKS.values())
        kinds = [typing.get_type_hints(spec).get(path[0]) for spec in specs]
        known = tuple(kind for kind in kinds if kind is not None)
        hints[path[0]] = typing.Union[known]  # noqa: UP007
    assert path[0] in hints, f"{key}: epilm.{section} has no argument {path[0]}"
    return hints[path[0]]


def literals(kind: typing.Any) -> set[str]:
    if typing.get_origin(kind) is typing.Literal:
        return set(typing.get_args(kind))
    return (
        set().union(*(literals(arm) for arm in typing.get_args(kind)))
        if typing.get_args(kind)
        else set()
    )


def test_the_table_is_read():
    assert len(rows()) > 35


@pytest.mark.parametrize(("key", "values"), rows())
def test_a_documented_switch_exists_with_its_values(key, values):
    kind = annotation(key)
    allowed = {str(value) for value in literals(kind)}
    if allowed:
        named = {value.strip() for value in values.split(",")}
        assert named <= allowed, (
            f"{key}: the table says {named - allowed}, the code allows {allowed}"
        )


def test_the_first_value_in_the_table_is_the_default():
    for key, values in rows():
        section, *path = key.split(".")
        if section not in SECTIONS or key.count(".") > 2:
            continue
        value: typing.Any = SECTIONS[section]()
        for name in path:
            value = getattr(value, name, None)  # of a table that is null
        if isinstance(value, str):
            assert values.split(",")[0].strip() == value, key
    assert dataclasses.is_dataclass(ModelSpec)

"""A dataclass becomes flags: names, types, help; what was said comes back, and nothing else."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pytest
from cyclopts import App

from epilm.cli.flags import field_texts, flags, given_fields, with_flags
from epilm.tasks import TASKS
from epilm.tasks.contract import VERBS
from epilm.training.learning import option_name


@dataclass(frozen=True)
class Base:
    speed: float = 1.0
    """How fast."""
    loud: bool = False
    """Whether it is loud."""


@dataclass(frozen=True)
class Spec(Base):
    names: tuple[str, ...] = ("a",)
    """Whose,
    and which."""
    pair: tuple[float, float] = (0.9, 0.99)
    """Two."""
    how: Literal["one", "two"] | None = None
    """Which way."""
    many: int = field(default=3, metadata={"option": "how-many"})
    """How many."""
    place: Any = field(default=None, metadata={"type": str})
    """Where."""


def parsed(*words):
    """What a command gets as its options."""
    got = {}

    def command(thing: str, *, options: Any = None, twice: bool = False) -> None:
        got.update(options)
        got["thing"] = thing

    app = App(name="x", result_action="return_value")
    app.default(with_flags(command, Spec))
    app(list(words), exit_on_error=False, print_error=False)
    return got


def test_only_what_was_said_comes_back():
    assert parsed("t") == {"thing": "t"}
    assert parsed("t", "--speed", "2", "--loud") == {"thing": "t", "speed": 2.0, "loud": True}
    assert parsed("t", "--names", "a", "--names", "b")["names"] == ("a", "b")
    assert parsed("t", "--pair", "0.5", "0.6")["pair"] == (0.5, 0.6)
    assert parsed("t", "--how-many", "4", "--how", "two", "--place", "x") == {
        "thing": "t",
        "many": 4,
        "how": "two",
        "place": "x",
    }


def test_what_a_preset_may_switch_on_can_be_switched_off():
    """A no that was said is no silence: it is the default's value, and stands in what was said."""
    assert parsed("it", "--no-loud") == {"thing": "it", "loud": False}
    assert parsed("it") == {"thing": "it"}


def test_a_value_of_another_kind_is_refused():
    for words in (("--speed", "fast"), ("--how", "three"), ("--many", "4")):
        with pytest.raises(Exception, match=words[0].strip("-")):
            parsed("t", *words)


def test_texts_under_fields_are_read_through_the_classes_they_start_from():
    assert field_texts(Spec)["speed"] == "How fast."
    assert field_texts(Spec)["names"] == "Whose, and which."


def test_given_fields_are_those_that_are_not_none():
    assert given_fields(flags(Spec)(names=["x"], loud=False)) == {"names": ("x",), "loud": False}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", TASKS)
def test_every_option_of_every_task_has_a_text_and_a_name_of_its_own(name, verb):
    spec = TASKS[name].options_of(verb)
    texts = field_texts(spec)
    assert [each.name for each in fields(spec) if not texts.get(each.name)] == []
    names = [option_name(spec, each.name) for each in fields(spec)]
    assert len(set(names)) == len(names)
    flags(spec)

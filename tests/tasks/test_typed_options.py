"""Options as text become what a loader takes; what it does not take is named."""

import pytest

from epilm.errors import UsageError
from epilm.tasks.typed_options import split_pairs, typed_options


def load(data, genome=None, negative=None, *, ratio: float = 1.0, length: int = 101, how: str = ""):
    """The loader of a task."""


def none_of_its_own(data, seed=0):
    """A loader without options."""


def test_pairs_are_split_at_the_first_sign_and_dashes_are_those_of_python():
    assert split_pairs(["flank-bp=500", " how =a=b"]) == {"flank_bp": "500", "how": "a=b"}
    with pytest.raises(UsageError, match="--option gc: an option is name=value"):
        split_pairs(["gc"])


def test_values_have_the_types_of_the_signature():
    options = typed_options(load, {"ratio": "2", "length": "7", "how": "3", "negative": "n.bed"})
    assert options == {"ratio": 2.0, "length": 7, "how": "3", "negative": "n.bed"}
    assert [type(options[name]) for name in ("ratio", "length")] == [float, int]


@pytest.mark.parametrize(
    ("loader", "options", "message"),
    [
        (load, {"lenght": "7"}, "option lenght: the task has no such option. Did you mean length?"),
        (load, {"genome": "g.fa"}, "option genome: the task has no such option"),
        (load, {"length": "7.5"}, "option length: not a number. Found '7.5'"),
        (none_of_its_own, {"length": "7"}, "the task has no such option. It has none"),
    ],
)
def test_what_the_loader_does_not_take_is_named(loader, options, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        typed_options(loader, options)

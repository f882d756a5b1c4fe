"""What a user chooses of a store: families of options, as the function takes them."""

import inspect
from dataclasses import fields

from epilm.store.making.build import build
from epilm.store.making.store_choices import Accessible, Motifs, RegionRules, Tracks


def test_the_families_of_options_of_a_store_are_those_of_the_function_of_the_same_name():
    """One default in two places: each is what `epilm.build` takes, or a list not said."""
    own = inspect.signature(build).parameters
    spoken = [each for kind in (Accessible, RegionRules, Motifs, Tracks) for each in fields(kind)]
    assert {each.name for each in spoken} | {
        "genome",
        "out",
        "sizes",
        "assembly",
        "threads",
        "from_parts",
        "overwrite",
        "progress",
    } == set(own)
    differ = {e.name: e.default for e in spoken if e.default != own[e.name].default}
    assert differ == {"more_statistics": None, "signal_pool": None, "signal_scale": None}

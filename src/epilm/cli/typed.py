"""What was typed, composed of what was parsed: for a page that says how its numbers were made."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any


def command_words(command: str, places: Sequence[Any], given: Mapping[str, Any]) -> str:
    """Compose a command from what was given to it; what was left at its default is left out.

    Parameters
    ----------
    command : str
    places : sequence
        What has no option's name.
    given : mapping of str to value
        Option -> value, or a dataclass of options. None and False are left out.

    Examples
    --------
    >>> from epilm.variants.variant_choices import Against, VariantReading
    >>> given = {"genome": "a b.fa", "reading": VariantReading(window=101), "json": False}
    >>> command_words("score-variants", ["v.tsv"], given | {"against": Against(("effect",))})
    "epilm score-variants v.tsv --genome 'a b.fa' --window 101 --truth effect"
    """
    said = ["epilm", command, *(shlex.quote(str(place)) for place in places)]
    for name, value in given.items():
        if is_dataclass(value):
            chosen = {field.name: getattr(value, field.name) for field in fields(value)}
            usual = {field.name: field.default for field in fields(value)}
        else:
            chosen, usual = {name: value}, {name: None}
        for key, one in chosen.items():
            if one is None or one is False or one == usual[key]:
                continue
            several = one if isinstance(one, list | tuple) else [] if one is True else [one]
            said += [f"--{key.replace('_', '-')}", *(shlex.quote(str(each)) for each in several)]
    return " ".join(said)

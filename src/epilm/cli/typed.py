"""What was typed, composed of what was parsed: for a page that says how its numbers were made."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any


def said_of(options: Any) -> dict[str, Any]:
    """Give the fields of a dataclass that are not at their default.

    Examples
    --------
    >>> from epilm.variants.variant_choices import VariantReading
    >>> said_of(VariantReading(window=101, batch_size=256))
    {'window': 101}
    """
    chosen = {
        field.name: (getattr(options, field.name), field.default) for field in fields(options)
    }
    return {name: value for name, (value, usual) in chosen.items() if value != usual}


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
        chosen = said_of(value) if is_dataclass(value) else {name: value}
        for key, one in chosen.items():
            if one is None or one is False:
                continue
            several = one if isinstance(one, list | tuple) else [] if one is True else [one]
            said += [f"--{key.replace('_', '-')}", *(shlex.quote(str(each)) for each in several)]
    return " ".join(said)

"""A model that collapsed learns once more: the same start and rows, a longer warm-up.

A large step in the first updates can drive an encoder to where it says one thing of everything, and
no later step leads out; a rate that rises more slowly is the usual cure. What collapsed is asked of
the valid part alone, never of the test. The first try's state stays until the run is complete, the
second has a folder of its own beside it, so that a run that was killed in either goes on in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from epilm.atomic import plain
from epilm.training.epochs import Epochs, History, write_log
from epilm.training.learning import Learning, optim_of
from epilm.training.state import copied, put_back

SECOND = "second_try"  # folder of its state, inside the run's
LONGER, LEAST, MOST = 3, 0.3, 0.5  # times the first warm-up, at least and at most of all steps

Say = Callable[[str], None]


@dataclass
class Tries:
    """What was learned, and how often it was begun.

    Attributes
    ----------
    history : History
        Of the try whose weights are kept.
    count : int
        1 or 2.
    notes : list of str
        On a second try.
    first : dict
        Of the first where there was a second; JSON values: warmup_steps, collapse, best_epoch,
        valid, history.
    """

    history: History
    count: int = 1
    notes: list[str] = field(default_factory=list)
    first: dict[str, Any] = field(default_factory=dict)


def learn_again(
    first: Epochs,
    start: Mapping[str, Tensor],
    options: Learning,
    epochs_of: Callable[[Learning, Path | None], Epochs],
    say: Say,
) -> Tries:
    """Learn once more, where all that the model says of the valid part has collapsed.

    Parameters
    ----------
    first : Epochs
        Of the first try, which has run. Afterwards its network has the best weights of the second
        one where that did not collapse, and else still its own.
    start : mapping
        What the network began with (`training.state.copied`).
    options : Learning
    epochs_of : function (options, folder) -> Epochs
        The loop over this network.
    """
    network, history, out = first.model, first.history, first.out
    warmup = optim_of(options, first.total).warmup_steps
    longer = longer_warmup(warmup, first.total)
    if longer is None:
        return Tries(history, notes=[f"SECOND TRY: none, the warm-up takes {warmup} steps already"])
    said = (
        f"SECOND TRY: collapsed on valid ({history.collapse}) with a warm-up of {warmup} of"
        f" {first.total} steps; learned again from the same start with {longer}"
    )
    say(said)
    best = copied(network)
    put_back(network, start)
    folder = None if out is None else out / SECOND
    if folder is not None:
        first.team.first_does(lambda: folder.mkdir(exist_ok=True))
    second = epochs_of(replace(options, warmup=float(longer)), folder).run()
    before = {
        "warmup_steps": warmup,
        "collapse": history.collapse,
        "best_epoch": history.best_epoch,
        "valid": {name: plain(table) for name, table in history.tables.items()},
        "history": [plain(row) for row in history.rows],
    }
    if second.collapse:
        put_back(network, best)
        say(f"the second try collapsed as well ({second.collapse}): the first is kept")
        return Tries(history, 2, [f"{said}: collapsed again, the first is kept"], before)
    if out is not None:
        first.team.first_does(lambda: write_log(out, second.rows))
    return Tries(second, 2, [said], before)


def longer_warmup(warmup: int, steps: int) -> int | None:
    """Steps of the second warm-up: three times the first, three to five tenths of all; None where
    that is no longer.

    Examples
    --------
    >>> [longer_warmup(first, 100) for first in (0, 10, 15, 40, 50)]
    [30, 30, 45, 50, None]
    """
    longer = min(max(LONGER * warmup, round(LEAST * steps)), int(MOST * steps))
    return longer if longer > warmup else None

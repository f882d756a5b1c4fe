"""Join the parts that shards wrote: byte for byte what one process would have written."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from epilm.errors import InputError, UsageError
from epilm.shards import JoinedParts

Say = Callable[[str], None]
# Command -> the function (joined parts, out, say) that writes what they say.
VERBS = {
    "predict": "epilm.finetuning.predict_shards:merge_predictions",
    "explain": "epilm.explaining.explain_shards:merge_explanations",
    "score-variants": "epilm.variants.variant_shards:merge_scores",
    "compare": "epilm.trials.trial_shards:merge_rows",
    "ablate": "epilm.trials.trial_shards:merge_rows",
}

# A build has inputs that a part does not remember: patterns, hubs, NAME=FILE, tracks.
ELSEWHERE = {"build": "Give the same epilm build command with --from-parts in place of --shard."}

# What they write is a folder, which is replaced where that is said.
FOLDERS = ("explain", "compare", "ablate")
TRIALS = ("compare", "ablate")


def merge(
    parts: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    overwrite: bool = False,
    trained: bool = False,
    say: Say | None = None,
) -> Any:
    """Join the parts of one command.

    Parameters
    ----------
    parts : path, or sequence of path
        Folder of the parts, or the parts.
    out : path
        What the command would have written; its name says the format, as there.
    overwrite : bool
        Replace a folder `out`; a file is replaced in any case, as by the commands themselves.
    trained : bool
        Of a comparison or ablation: bring along what its shards made and trained, which lies beside
        the parts where these were made.
    say : callable, optional
        Takes lines; standard error by default.

    Returns
    -------
    What the command itself returns.

    Raises
    ------
    InputError
        If a part is missing, there twice, not whole, or of another model, data or request; or model
        or data changed since.

    Examples
    --------
    >>> merge("/nowhere/parts", "scores.tsv")
    Traceback (most recent call last):
    epilm.errors.InputError: /nowhere/parts: there is no such folder. Expected parts.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    paths = [parts] if isinstance(parts, str | Path) else list(parts)
    with JoinedParts(paths) as joined:
        verb = str(joined.about["verb"])
        if verb in ELSEWHERE:
            raise UsageError(
                f"parts of epilm {verb} are not joined here",
                where=str(joined.parts[0][0].parent),
                do=ELSEWHERE[verb],
            )
        if verb not in VERBS:
            raise InputError(
                "the parts are of a command that this version does not join",
                where=str(joined.parts[0][0]),
                found=verb,
                expected=f"one of {', '.join(VERBS)}",
            )
        module, name = VERBS[verb].split(":")
        for note in joined.notes:
            say(f"note: {note}")
        more: dict[str, Any] = {"overwrite": True} if overwrite and verb in FOLDERS else {}
        if trained and verb in TRIALS:
            more["trained"] = True
        return getattr(import_module(module), name)(joined, out, say, **more)

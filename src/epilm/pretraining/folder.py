"""The folder of a run: what it is, written before step 0, and compared before it goes on.

recipe.json (resolved), store.json (which store, by fingerprint), versions.json (versions,
git state and device of every start), then metrics.jsonl and checkpoints/, at last model/,
best/ (of the best validation) and summary.json. Needs the standard library only.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from epilm.atomic import not_hidden, write_json
from epilm.errors import TrainingError
from epilm.objectives.table import OBJECTIVES
from epilm.recipes.recipe import flat

RECIPE, STORE, STARTS, SUMMARY, MODEL, BEST, CHECKPOINTS = (
    "recipe.json",
    "store.json",
    "versions.json",
    "summary.json",
    "model",
    "best",
    "checkpoints",
)

# Keys of a recipe that may differ when a run goes on: none of them changes what is learned. The
# micro-batch changes rounding and the places that dropout takes, the number of processes and how
# they share the weights rounding alone: a run that goes on with another one says so
# (`changed_keys`).
FREE = frozenset(
    {
        "notes",
        "train.device",
        "train.devices",
        "train.strategy",
        "train.micro_batch",
        "train.log_every",
        "train.checkpoint_every",
        "train.keep_checkpoints",
        "train.validate_every",
        "train.validate_samples",
    }
)

# Of these, what decides which step is the best, or the last, is not free where that matters.
DECIDING = frozenset({"train.validate_every", "train.validate_samples"})
# A contrast that the recipe gives no width is as wide as these say.
WIDENING = frozenset({"train.devices", "train.micro_batch"})

# Keys that recipes of older runs do not have, and what those runs did.
ADDED: dict[str, dict[str, Any]] = {
    "train": {
        "attention": "auto",
        "packing": "auto",
        "best_by": "loss",
        "patience": None,
        "model": "last",
        "strategy": "ddp",
    },
    "samples": {"region_jitter": 0, "on_regions": 0.0, "shuffled": 0.0},
    "model": {"stem": None},
    "objectives": {name: dict(of.added) for name, of in OBJECTIVES.items() if of.added},
}


def free_keys(recipe: Mapping[str, Any]) -> frozenset[str]:
    """Give the keys that may differ when a run goes on.

    Examples
    --------
    >>> sorted(FREE - free_keys({"train": {"patience": 3, "model": "last"}}))
    ['train.validate_every', 'train.validate_samples']
    >>> free_keys({"train": {"patience": None, "model": "last"}}) == FREE
    True
    >>> regions = {"samples": {"unit": "regions"}, "objectives": {"matching": {"batch": None}}}
    >>> sorted(FREE - free_keys(regions))
    ['train.devices', 'train.micro_batch']
    """
    train = recipe.get("train", {})
    decides = train.get("patience") is not None or train.get("model") == "best"
    regions = recipe.get("samples", {}).get("unit") == "regions"
    widens = regions and recipe["objectives"]["matching"]["batch"] is None
    return FREE - (DECIDING if decides else frozenset()) - (WIDENING if widens else frozenset())


def versions() -> dict[str, str]:
    """Give the versions a result depends on.

    Examples
    --------
    >>> "torch" in versions()
    True
    """
    out = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("epilm", "torch", "transformers", "lightning", "numpy", "safetensors"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            module = sys.modules.get(name)
            out[name] = str(getattr(module, "__version__", "not installed"))
    return out


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Give commit and cleanliness of the source tree, or None outside of one."""
    folder = folder or Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return done.stdout.strip()

    try:
        if not (Path(git("rev-parse", "--show-toplevel")) / "src" / "epilm").is_dir():
            return None  # installed inside somebody else's repository
        return {
            "commit": git("rev-parse", "HEAD"),
            "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises
    ------
    TrainingError
        If it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            "the file of the run cannot be read",
            where=str(path),
            found=error,
            do="Choose another folder with --out.",
        ) from None


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """List the keys whose values differ, dotted.

    Examples
    --------
    >>> differing({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    {'a.b': (1, 3)}
    """
    old, new = flat(before), flat(now)
    return {
        key: (old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    }


def compare(
    out: Path, recipe: Mapping[str, Any], store: Mapping[str, Any], resume: bool = True
) -> str:
    """Say what a folder is to a run; nothing is written.

    The caller holds the folder's lock.

    Parameters
    ----------
    out : path
    recipe, store : mapping
        As they go to recipe.json and store.json.
    resume : bool
        False: an existing run is an error.

    Returns
    -------
    str
        "new", "resumed" or "complete". A run that failed before its first state is new: nothing is
        lost with it.

    Raises
    ------
    TrainingError
        If the folder holds something else, or a run of another recipe or store.
    """
    if out.exists() and not out.is_dir():
        raise TrainingError("a file stands where the run's folder should be", where=str(out))
    present = not_hidden(out)
    if RECIPE not in present and present:
        raise TrainingError(
            "the folder holds something that is not a run",
            where=str(out),
            found=", ".join(sorted(present)[:5]),
            do="Choose another folder with --out.",
        )
    if not present & {CHECKPOINTS, SUMMARY, MODEL}:
        return "new"
    if not resume:
        raise TrainingError(
            "the run exists already",
            where=str(out),
            do="Choose another folder, or leave out resume=False to go on with it.",
        )
    before = read_json(out / RECIPE)
    before = _with_added(before, recipe, ADDED)
    _same(out, before, recipe, "recipe", free_keys(recipe))
    # The path may change: a store is known by its content.
    _same(out, read_json(out / STORE), store, "store", frozenset({"path"}))
    return "complete" if SUMMARY in present else "resumed"


def _with_added(
    before: Mapping[str, Any], now: Mapping[str, Any], added: Mapping[str, Any]
) -> dict[str, Any]:
    """Put into an older run's recipe what it did, of keys that came later.

    Examples
    --------
    >>> _with_added({"a": {"x": 1}}, {"a": {"x": 1, "y": 0}}, {"a": {"y": 0}, "b": {"z": 1}})
    {'a': {'x': 1, 'y': 0}}
    """
    out = dict(before)
    for key, value in added.items():
        if isinstance(value, Mapping):
            if isinstance(out.get(key), Mapping) and isinstance(now.get(key), Mapping):
                out[key] = _with_added(out[key], now[key], value)
        elif key in now:
            out.setdefault(key, value)
    return out


def changed_keys(out: Path, recipe: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """List what a run that goes on may change and does: key to (in recipe.json, now).

    Parameters
    ----------
    out : path
        Of a run that `compare` calls resumed.
    recipe : mapping
    """
    pairs = differing(read_json(out / RECIPE), recipe)
    return {key: pair for key, pair in pairs.items() if key in FREE}


def begin(
    out: Path, recipe: Mapping[str, Any], store: Mapping[str, Any], how: str, **start: Any
) -> None:
    """Write what a run is (when it is new), and add this start to versions.json.

    Parameters
    ----------
    out : path
    recipe, store : mapping
    how : str
        What `compare` said.
    **start
        JSON values to note with the start.
    """
    if how == "new":
        out.mkdir(parents=True, exist_ok=True)
        (out / STARTS).unlink(missing_ok=True)
        write_json(out / RECIPE, recipe)  # first: a folder without it is not of a run
        write_json(out / STORE, store)
    starts = read_json(out / STARTS) if (out / STARTS).exists() else []
    starts.append(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "how": how,
            "versions": versions(),
            "git": git_state(),
            "cpus": os.cpu_count(),
            **start,
        }
    )
    write_json(out / STARTS, starts)


def _same(
    out: Path, before: Mapping[str, Any], now: Mapping[str, Any], what: str, free: frozenset[str]
) -> None:
    others = {key: pair for key, pair in differing(before, now).items() if key not in free}
    if others:
        key, (old, new) = next(iter(others.items()))
        more = (
            f", and {len(others) - 1} more: {', '.join(list(others)[1:4])}"
            if len(others) > 1
            else ""
        )
        raise TrainingError(
            f"the folder holds a run of another {what}; going on would mix the two",
            where=str(out),
            found=f"{key} = {_short(new)}{more}",
            expected=f"{_short(old)}, as the run began",
            do="Choose another folder with --out, or give the command the run was started with.",
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:57]}..."

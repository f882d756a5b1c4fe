"""The folder of a fine-tuning: whose run it is, whether it is whole, what is written at its end.

Neighbours: `finetune` fills it, `finetuned` opens its model, `finetuned_page` draws it.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from epilm.atomic import not_hidden, plain, write_json
from epilm.device import Place
from epilm.errors import TrainingError
from epilm.finetuning.finetuned import Finetuned, load_finetuned
from epilm.finetuning.tries import SECOND
from epilm.tasks.contract import Say, Task, learned_settings, named_data
from epilm.tasks.lesson import TaskLesson
from epilm.tensor_files import digest_of
from epilm.training.epochs import STATES
from epilm.training.state import model_tensors

RUN, RESULT, MODEL, TASK = "run.json", "metrics.json", "model", "task.json"
OUTLINES = "outlines.json"  # what the page draws
# May differ when a run goes on: where it computes, and how a step is cut (rounding and dropout's
# places, no more).
FREE = {"device": None, "micro_batch": None}


def alike_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Take out of settings what runs that differ by chance alone do not share: the seed, and where
    and in what pieces they computed.

    Examples
    --------
    >>> alike_settings({"lr": 1e-3, "seed": 2, "device": "cpu"})
    {'lr': 0.001}
    """
    return {key: value for key, value in settings.items() if key != "seed" and key not in FREE}


@dataclass
class Result:
    """What fine-tuning made. Of several processes the first has all of it; the others have the
    model and the history.

    Attributes
    ----------
    model : Finetuned
        With the weights of the best epoch.
    tables : dict
        Part -> output -> scores (`tasks.label_kinds`); a task of classes has one output, "".
    history : list of dict
        One row an epoch.
    best_epoch : int
        Counted from 1; 0 where there is no valid part and the last weights are kept.
    lesson : TaskLesson or None
        What was learned from; None where a finished run was opened.
    said : dict
        Part -> probabilities of its rows; no part where each base is answered: they are too many.
    notes : list of str
        What was left out, sampled or doubtful.
    beside : dict
        Baseline -> part -> output -> scores, of the baselines that were asked for.
    out : Path or None
    tries : int
        2 where it collapsed at first and learned once more (`finetuning.tries`).
    first_try : dict
        Of the first where there were two; JSON values.
    outlines : dict
        Part -> what its page draws (`metrics.outlines`); empty where a finished run was opened.
    """

    model: Finetuned
    tables: dict[str, dict[str, dict[str, Any]]]
    history: list[dict[str, Any]]
    best_epoch: int
    lesson: TaskLesson | None = None
    said: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    beside: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    tries: int = 1
    first_try: dict[str, Any] = field(default_factory=dict)
    outlines: dict[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Any]:
        """Part -> scores; where outputs have names, output -> scores of the valid part."""
        if all(set(outputs) == {""} for outputs in self.tables.values()):
            return {part: outputs[""] for part, outputs in self.tables.items()}
        return dict(self.tables.get("valid", {}))


@dataclass(frozen=True)
class Job:
    """A fine-tuning, ready to begin; the same in every process."""

    task: Task
    lesson: TaskLesson
    model: Finetuned
    options: Any
    place: Place
    say: Say
    out: Path | None
    identity: dict[str, Any]
    start: dict[str, Any]


def run_identity(
    task: Task,
    lesson: TaskLesson,
    model: Finetuned,
    options: Any,
    checkpoint: str | Path,
    init: str,
) -> dict[str, Any]:
    """What makes a run this one and no other; JSON values."""
    identity: dict[str, Any] = json.loads(
        json.dumps(
            {
                "task": task.name,
                "settings": learned_settings(options) | FREE,
                **lesson.identity,
                "checkpoint": str(checkpoint),
                "init": init,
                "head": model.about["head"],
                "weights": digest_of(model_tensors(model.network).values()),
                **({"motifs": model.about["motifs"]} if model.about.get("motifs") else {}),
            }
        )
    )
    return identity


def is_complete(out: Path, identity: dict[str, Any], defaults: dict[str, Any]) -> bool:
    """Say what a folder is to this run: whether there is nothing left to do.

    Raises
    ------
    TrainingError
        If it holds something else.
    """
    there = not_hidden(out)
    if there and RUN not in there:
        raise TrainingError(
            "the folder holds something that is not a run that can go on",
            where=str(out),
            found=", ".join(sorted(there)[:5]),
            do="Choose another folder with --out, or pass --overwrite.",
        )
    if not there:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / RUN, identity)
        return False
    before = json.loads((out / RUN).read_text(encoding="utf-8"))
    # A run from before an option was there has learned as its default does.
    settings = defaults | before.get("settings", {}) | FREE
    flat = {f"settings.{k}": v for k, v in settings.items()} | before
    now = {f"settings.{k}": v for k, v in identity["settings"].items()} | identity
    other = [key for key in now if key != "settings" and flat.get(key) != now[key]]
    if other:
        shown = [f"{key} was {flat.get(key)!s:.60}, is {now[key]!s:.60}" for key in other[:4]]
        raise TrainingError(
            "the folder holds another run",
            where=str(out),
            found="; ".join(shown),
            do="Choose another --out, or pass --overwrite.",
        )
    if RESULT in there:
        _sweep(out)  # killed while it swept
    return RESULT in there


def finished(out: Path, say: Say) -> Result:
    """Open a run that is complete."""
    kept = json.loads((out / RESULT).read_text(encoding="utf-8"))
    say(f"the run is complete: best epoch {kept['best_epoch']}, the model is in {out / MODEL}")
    return Result(
        load_finetuned(out),
        kept["tables"],
        kept["history"],
        kept["best_epoch"],
        notes=kept["notes"],
        beside=kept.get("beside", {}),
        out=out,
        tries=kept.get("tries", 1),
        first_try=kept.get("first_try", {}),
    )


def write_run(job: Job, result: Result, out: Path, data: Any) -> None:
    """Write the model, then the scores: they say that the run is complete."""
    assert result.lesson is not None
    task = job.task
    result.model.save(out / MODEL, overwrite=True)
    task.write_predictions(out, result.lesson, result.said)
    write_json(out / OUTLINES, result.outlines)
    about = {key: v for key, v in result.model.about.items() if key not in ("motifs", "settings")}
    about.pop("fusion_motifs", None)
    write_json(
        out / TASK,
        {
            "task": task.name,
            "data": str(data) if isinstance(data, str | Path) else about.get("set", task.name),
            "checkpoint": result.model.about["checkpoint"],
            "init": result.model.about["init"],
            "settings": result.model.about["settings"],
            "start": job.start,
            "named": named_data(job.options),
            "tries": result.tries,
            "notes": result.notes,
            "about": about,
            **task.described(result.lesson),
        },
    )
    tables = {
        part: {name: plain(table) for name, table in outputs.items()}
        for part, outputs in result.tables.items()
    }
    flat = {
        part: outputs[""] if set(outputs) == {""} else outputs for part, outputs in tables.items()
    }
    write_json(
        out / RESULT,
        {
            "task": task.name,
            **flat,
            "tables": tables,
            "best_epoch": result.best_epoch,
            "tries": result.tries,
            **({"first_try": result.first_try} if result.first_try else {}),
            "history": [plain(row) for row in result.history],
            "notes": result.notes,
            "beside": {
                name: {
                    part: {output: plain(table) for output, table in outputs.items()}
                    for part, outputs in parts.items()
                }
                for name, parts in result.beside.items()
            },
        },
    )
    _sweep(out)


def _sweep(out: Path) -> None:
    """States of a run that is whole are needed no more."""
    for folder in (STATES, SECOND):
        shutil.rmtree(out / folder, ignore_errors=True)

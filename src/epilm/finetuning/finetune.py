"""Fine-tune: a pre-trained model, its random twin, or a network without a past learns a task.

One road for every task: examples, parts and draw (`tasks`), start, loop (`training.epochs`), the
best epoch, scores of every part, a folder. State is written after every epoch, and the same call
goes on from there with the same weights as an uninterrupted run. It says so when the model has
collapsed to one answer. Processes that torchrun or SLURM started learn and score together
(`training.engine`); the first alone writes and speaks.
"""

import json
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import locked, not_hidden, plain, write_json
from epilm.device import Place, choose_place
from epilm.errors import TrainingError
from epilm.finetuning.adapting import adapt, settle
from epilm.finetuning.beside import check_beside, fit_beside, score_line
from epilm.finetuning.finetuned import Finetuned, load_finetuned
from epilm.finetuning.fitted_shortcut import check_shortcut_start, fit_shortcut
from epilm.finetuning.preset import (
    check_width,
    find_preset,
    preset_lines,
    with_preset,
    with_steps,
)
from epilm.finetuning.start import (
    Size,
    in_fp32_on_cpu,
    prepare,
    seed_of,
    start_at_prior,
    start_at_shares,
)
from epilm.finetuning.teacher import CALIBRATED, MOST_CALIBRATED, Teacher, check_threshold
from epilm.finetuning.tries import SECOND, Tries, learn_again
from epilm.finetuning.windows import learn_fusion_scale, reading_of
from epilm.models.sizes import encoder_size
from epilm.store.identity import identity_of
from epilm.tasks import TASKS, find_task
from epilm.tasks.base import LabelledSequences
from epilm.tasks.composition import gc_verdicts
from epilm.tasks.contract import Say, Task, learned_settings, named_data, options_from
from epilm.tasks.label_kinds import spoken
from epilm.tasks.lesson import TaskLesson, same_sample
from epilm.tensor_files import digest_of
from epilm.training.engine import Team, machines, together
from epilm.training.epochs import STATES, Epochs
from epilm.training.learning import schedule_warnings
from epilm.training.ranks import is_first, launched
from epilm.training.rates import rates_of, rest_of
from epilm.training.state import copied, model_tensors

RUN, RESULT, MODEL, TASK = "run.json", "metrics.json", "model", "task.json"
OUTLINES = "outlines.json"  # what the page draws
# May differ when a run goes on: where it computes, and how a step is cut (rounding and dropout's
# places, no more).
FREE = {"device": None, "micro_batch": None}


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


def finetune(
    task: str,
    data: Any,
    out: str | Path | None = None,
    *,
    checkpoint: str | Path = "random",
    init: Literal["checkpoint", "random"] = "checkpoint",
    size: Size = "small",
    k: int | None = None,
    head: str | None = None,
    preset: str = "auto",
    settings: Any = None,
    overwrite: bool = False,
    alone: bool = False,
    say: Say | None = None,
    **options: Any,
) -> Result:
    """Fine-tune a model on a task and score it.

    Parameters
    ----------
    task : str
        Key of `epilm.tasks.TASKS`: promoter, tfbs, sequences, binding (or dream), ...
    data : path, or what the task's loader gives
        What the task reads; see `epilm ls tasks`.
    out : path, optional
        Folder of the run. One that holds this very run goes on after its last epoch. None: kept in
        memory.
    checkpoint : path or name
        A pre-training run, a model folder, a DNABERT folder. Without a past: random (ebert or
        dbert by name) of `size` and `k`, cnn, factornet.
    init : {"checkpoint", "random"}
        "random" takes the architecture of `checkpoint` and not its weights: the twin to compare
        with.
    size, k
        Of a random trunk; k is the task's where not given.
    head : str, optional
        linear or convolutions; the task's where not given.
    preset : {"auto", "none", "lab"}
        What fills in the options that are not said, of small models; see `finetuning.preset`. The
        papers' values where none. auto: lab for a small model that a lab recipe pre-trained.
    settings : dataclass, optional
        The task's options, or a part of them such as `training.learning.Learning`.
    overwrite : bool
        Replace an existing run.
    alone : bool
        Learn in this process, also where torchrun or srun started others beside it, which then have
        work of their own.
    say : callable, optional
        Takes lines of progress; standard error by default.
    **options
        Fields of the task's options: `epilm finetune TASK --help` lists them.

    Returns
    -------
    Result

    Raises
    ------
    InputError, StoreError, CheckpointError, UsageError
        What is wrong with the data, the store, the checkpoint, or the call.
    TrainingError
        If the loss is not a number, or the folder holds something else.
    KeyboardInterrupt
        After Ctrl-C, and as `AskedToStop` after SIGTERM or SIGUSR1, while it learns: the step is
        done and saved then, and the same call goes on with it.
    """
    processes = 1 if alone else launched()
    first = is_first(processes)
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    say = say if first else _silent
    chosen = find_task(task)
    given = options_from(chosen, "finetune", settings, options, TASKS)
    start, usual = {"size": size, "k": k, "head": head, "preset": preset}, _CALL.parameters
    recipe, filled, from_preset = "", given, dict[str, Any]()
    if preset == "auto":
        there = Path(checkpoint).is_dir()  # else a name, or what `prepare` will not open
        preset, recipe = find_preset(checkpoint) if there else ("none", "")
    if preset != "none":
        filled, from_preset = with_preset(
            preset, chosen, given, options, checkpoint=str(checkpoint), head=head
        )
    chosen.check(filled)
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise TrainingError("a file stands where the run's folder should be", where=str(out))
    lesson = chosen.lesson(data, filled, say)
    check_threshold(lesson, filled)
    learned = lesson.draw.steps(0, filled.batch_size)
    given = filled
    if preset != "none":
        given, raised = with_steps(preset, filled, options, len(learned))
        from_preset |= raised
    model, told = prepare(chosen, lesson, given, checkpoint, init=init, size=size, k=k, head=head)
    if from_preset:
        hidden = 0 if model.bases else encoder_size(model.spec.encoder).hidden
        check_width(preset, from_preset, hidden, told[0])
        model.about["preset"] = {"name": preset, "chosen": from_preset}
        told += preset_lines(preset, from_preset, recipe, len(learned) * given.epochs)
    check_shortcut_start(model.network, given)
    if getattr(model.network, "shortcut", None) is not None:
        start_at_prior(model.network, lesson.examples.labels_of(np.concatenate(learned)))
    if lesson.labels.per_base:
        sample = same_sample(np.unique(np.concatenate(learned)), MOST_CALIBRATED, 0, CALIBRATED)
        counted = lesson.examples.labels_of(sample)
        start_at_shares(model.network, counted, len(lesson.labels.names))
    if given.lora:
        told += adapt(model, given, seed_of(given))
    for line in (*lesson.said, *told, *lesson.notes):
        say(line)
    steps, warm = len(learned) * given.epochs, model.about["init"] == "checkpoint"
    for warning in schedule_warnings(given, steps, pretrained=warm):
        lesson.notes.append(warning)
        say(f"WARNING: {warning}")
    if isinstance(lesson.examples, LabelledSequences):
        learn_fusion_scale(model, lesson.examples.part("train"))
    if lesson.store is not None:
        model.about |= identity_of(lesson.store)
    model.about["settings"] = json.loads(json.dumps(learned_settings(given)))
    of_machine = processes // machines() if processes > 1 else 1
    here = choose_place(given.device, given.precision, of_machine)
    job = _Job(
        chosen,
        lesson,
        model,
        given,
        in_fp32_on_cpu(model, here, given.precision),
        say,
        None if out is None else Path(out),
        {} if out is None else _identity(chosen, lesson, model, given, checkpoint, init),
        {key: value for key, value in start.items() if value != usual[key].default},
    )
    with ExitStack() as lock:
        work = partial(_in_team, job, overwrite, lock)
        result = together(work, job.place.device, processes)
        if result is None:
            return _finished(Path(out or ""), say)
        result.out = job.out
        if first:
            _finish(job, result, data)
    return result


_CALL = signature(finetune)


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class _Job:
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


def _in_team(job: _Job, overwrite: bool, lock: ExitStack, team: Team) -> Result | None:
    """What each process does while all are together; None where the run is complete."""
    if job.out is not None:
        complete = team.first_does(lambda: _claim(job, overwrite, lock))
        _check_alike(job.identity, team)
        if complete:
            return None
    return _learn(job, team)


def _claim(job: _Job, overwrite: bool, lock: ExitStack) -> bool:
    """Take the folder for this process; whether the run in it is complete."""
    assert job.out is not None
    job.out.parent.mkdir(parents=True, exist_ok=True)
    lock.enter_context(locked(job.out))
    if overwrite and job.out.exists():
        shutil.rmtree(job.out)
    defaults = json.loads(json.dumps(learned_settings(type(job.options)())))
    return _is_complete(job.out, job.identity, defaults)


def _check_alike(identity: dict[str, Any], team: Team) -> None:
    """Refuse a process that read other data or weights than the first.

    Raises
    ------
    TrainingError
    """
    firsts = team.ranks.told(identity, team.device)
    other = [key for key in identity if identity[key] != firsts.get(key)]
    if other:
        raise TrainingError(
            "this process would learn something else than the first one",
            where=f"process {team.ranks.rank} of {team.ranks.world}",
            found=f"another {', '.join(other)}",
            do="Let all machines see the same files, by the same paths, and be of one kind.",
        )


def _score_parts(
    lesson: TaskLesson, teacher: "Teacher", machine: Place, notes: list[str], say: Say
) -> tuple[dict[str, dict[str, dict[str, Any]]], dict[str, NDArray[Any]], dict[str, Any]]:
    """Score every part, and say and note what makes a score doubtful; all of it in the first
    process.

    Returns
    -------
    tables : part -> output -> scores
    said : part -> what the model says of its rows, where that can be kept
    outlines : part -> the numbers of its curves; not of the training part
    """
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    said: dict[str, NDArray[Any]] = {}
    outlines: dict[str, Any] = {}
    for part, rows in lesson.parts.items():
        teacher.team.stop_if_asked()
        scored = teacher.scores(rows, machine)
        if scored is None:
            continue
        tables[part], answers = scored.tables, scored.said
        if answers is not None:
            said[part] = answers
        if part != "train":
            outlines[part] = scored.outlines(lesson, rows)
        for name, table in spoken(tables[part]).items():
            of = f", {name}" if name else ""
            if alarm := table.get("collapse"):
                notes.append(f"COLLAPSE on {part}{of}: {alarm}")
                say(
                    f"WARNING: {notes[-1]}. Macro averages hide it; lower --lr, more epochs, or"
                    " another start"
                )
            if part != "train":
                say(f"{part}{of}: {score_line(table)}")
        if part == "train" or answers is None:
            continue
        for line, over in gc_verdicts(lesson, rows, answers):
            say(f"{'WARNING, ' if over.level else ''}{part}: {line}")
            if over.level:
                notes.append(f"LEVEL on {part}: {line}")
    return tables, said, outlines


def _learn(job: _Job, team: Team) -> Result:
    """Train to the end and score every part."""
    lesson, model, options, say = job.lesson, job.model, job.options, job.say
    if options.beside:
        team.first_does(partial(check_beside, lesson, options))
    machine = job.place if team.ranks.world == 1 else job.place._replace(device=team.device)
    for line in machine.said:
        say(line)
    if team.ranks.world > 1:
        say(f"{team.ranks.world} processes, each with its share of the rows of a step")
    model.network.to(machine.device)
    reading = reading_of(model, lesson.examples, lesson.store, machine.device, say)
    for note in reading.notes:
        say(note)
    notes = [*lesson.notes, *reading.notes]
    # As `predict` and `evaluate` will: a run's own scores are those of its predictions.
    in_fp32 = job.task.precision == "fp32"
    teacher = Teacher(model, lesson, reading, options, team, score_in_fp32=in_fp32)

    def epochs_of(learning: Any, folder: Path | None) -> Epochs:
        return Epochs(
            model.network,
            teacher,
            learning,
            place=machine,
            say=say,
            out=folder,
            rates=rates_of(model.network, learning),
            rest=rest_of(model.network, learning),
            team=team,
        )

    if getattr(options, "shortcut_start", "zero") == "fitted":
        say(fit_shortcut(model, lesson, reading, options, team))
    start = copied(model.network) if options.tries > 1 else {}
    loop = epochs_of(options, job.out)
    tries = Tries(loop.run())
    if start and tries.history.collapse:
        tries = learn_again(loop, start, options, epochs_of, say)
    notes += tries.notes
    if options.lora:
        settle(model)
    for fitted in (teacher.calibrate(machine), teacher.divide(machine)):
        if fitted is not None:
            say(fitted)
    tables, said, outlines = _score_parts(lesson, teacher, machine, notes, say)
    return Result(
        model,
        tables,
        tries.history.rows,
        tries.history.best_epoch,
        lesson,
        said,
        notes,
        tries=tries.count,
        first_try=tries.first,
        outlines=outlines,
    )


def _finish(job: _Job, result: Result, data: Any) -> None:
    """What the first process does when the others are gone: rules and baselines, the folder."""
    for line in job.task.audit(job.lesson, job.options):
        job.say(line)
        result.notes.append(line)
    result.beside = fit_beside(job.lesson, job.options, job.say, result.notes)
    result.model.about |= {
        "best_epoch": result.best_epoch,
        "tries": result.tries,
        "valid": {name: plain(table) for name, table in result.tables.get("valid", {}).items()},
        "notes": result.notes,
    }
    if job.out is not None:
        _write(job, result, job.out, data)
        job.say(f"the model is in {job.out / MODEL}")


def _identity(
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


def _is_complete(out: Path, identity: dict[str, Any], defaults: dict[str, Any]) -> bool:
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


def _finished(out: Path, say: Say) -> Result:
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


def _write(job: _Job, result: Result, out: Path, data: Any) -> None:
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

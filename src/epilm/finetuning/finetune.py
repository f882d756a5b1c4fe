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
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import locked, plain
from epilm.device import Place, choose_place
from epilm.errors import TrainingError
from epilm.finetuning.adapting import adapt, settle
from epilm.finetuning.beside import check_beside, fit_beside, score_line
from epilm.finetuning.fitted_shortcut import check_shortcut_start, fit_shortcut
from epilm.finetuning.kept_head import KEPT, kept_options
from epilm.finetuning.preset import (
    check_width,
    find_preset,
    on_one_strand,
    preset_lines,
    with_preset,
    with_steps,
)
from epilm.finetuning.run_folder import (
    MODEL,
    Job,
    Result,
    finished,
    is_complete,
    run_identity,
    write_run,
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
from epilm.finetuning.tries import Tries, learn_again
from epilm.finetuning.windows import learn_fusion_scale, reading_of
from epilm.models.sizes import encoder_size
from epilm.store.identity import identity_of
from epilm.tasks import TASKS, find_task
from epilm.tasks.base import LabelledSequences
from epilm.tasks.composition import gc_verdicts
from epilm.tasks.contract import Say, learned_settings, options_from
from epilm.tasks.label_kinds import spoken
from epilm.tasks.lesson import TaskLesson, same_sample
from epilm.training.engine import Team, machines, together
from epilm.training.epochs import Epochs
from epilm.training.learning import schedule_warnings
from epilm.training.ranks import is_first, launched
from epilm.training.rates import rates_of, rest_of
from epilm.training.state import copied


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
        linear, convolutions, places, bases or pair; the task's where not given. kept: that of the
        checkpoint, a fine-tuned model of the same outputs, with its weights.
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
    like_taught, named, new_head = dict[str, Any](), dict(options), head
    if head == KEPT:
        given, like_taught, new_head = kept_options(checkpoint, init, given, options)
        named |= like_taught
    recipe, filled, from_preset = "", given, dict[str, Any]()
    if preset == "auto":
        there = Path(checkpoint).is_dir()  # else a name, or what `prepare` will not open
        preset, recipe = find_preset(checkpoint) if there else ("none", "")
    if preset != "none":
        filled, from_preset = with_preset(
            preset, chosen, given, named, checkpoint=str(checkpoint), head=new_head
        )
    chosen.check(filled)
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise TrainingError("a file stands where the run's folder should be", where=str(out))
    lesson = chosen.lesson(data, filled, say)
    filled, from_preset, warnings = on_one_strand(filled, from_preset, lesson.direction)
    if lesson.direction and not filled.both_strands:
        lesson.said.append(f"{lesson.direction}: read as they lie")
    check_threshold(lesson, filled)
    learned = lesson.draw.steps(0, filled.batch_size)
    given = filled
    if preset != "none":
        given, raised = with_steps(preset, filled, named, len(learned))
        from_preset |= raised
    model, told = prepare(chosen, lesson, given, checkpoint, init=init, size=size, k=k, head=head)
    if like_taught:
        values = ", ".join(f"{each} {value}" for each, value in like_taught.items())
        told.append(f"as the head was learned: {values}")
    if from_preset:
        hidden = 0 if model.bases else encoder_size(model.spec.encoder).hidden
        check_width(preset, from_preset, hidden, told[0])
        model.about["preset"] = {"name": preset, "chosen": from_preset}
        told += preset_lines(preset, from_preset, recipe, len(learned) * given.epochs)
    check_shortcut_start(model.network, given)
    begins_new = "head_kept" not in model.about
    if begins_new and getattr(model.network, "shortcut", None) is not None:
        start_at_prior(model.network, lesson.examples.labels_of(np.concatenate(learned)))
    if begins_new and lesson.labels.per_base:
        sample = same_sample(np.unique(np.concatenate(learned)), MOST_CALIBRATED, 0, CALIBRATED)
        counted = lesson.examples.labels_of(sample)
        start_at_shares(model.network, counted, len(lesson.labels.names))
    if given.lora:
        told += adapt(model, given, seed_of(given))
    for line in (*lesson.said, *told, *lesson.notes):
        say(line)
    steps, warm = len(learned) * given.epochs, model.about["init"] == "checkpoint"
    for warning in (*warnings, *schedule_warnings(given, steps, pretrained=warm)):
        lesson.notes.append(warning)
        say(f"WARNING: {warning}")
    if isinstance(lesson.examples, LabelledSequences):
        learn_fusion_scale(model, lesson.examples.part("train"))
    if lesson.store is not None:
        model.about |= identity_of(lesson.store)
    model.about["settings"] = json.loads(json.dumps(learned_settings(given)))
    of_machine = processes // machines() if processes > 1 else 1
    here = choose_place(given.device, given.precision, of_machine)
    job = Job(
        chosen,
        lesson,
        model,
        given,
        in_fp32_on_cpu(model, here, given.precision),
        say,
        None if out is None else Path(out),
        {} if out is None else run_identity(chosen, lesson, model, given, checkpoint, init),
        {key: value for key, value in start.items() if value != usual[key].default},
    )
    with ExitStack() as lock:
        work = partial(_in_team, job, overwrite, lock)
        result = together(work, job.place.device, processes)
        if result is None:
            return finished(Path(out or ""), say)
        result.out = job.out
        if first:
            _finish(job, result, data)
    return result


_CALL = signature(finetune)


def _silent(line: str) -> None:
    pass


def _in_team(job: Job, overwrite: bool, lock: ExitStack, team: Team) -> Result | None:
    """What each process does while all are together; None where the run is complete."""
    if job.out is not None:
        complete = team.first_does(lambda: _claim(job, overwrite, lock))
        _check_alike(job.identity, team)
        if complete:
            return None
    return _learn(job, team)


def _claim(job: Job, overwrite: bool, lock: ExitStack) -> bool:
    """Take the folder for this process; whether the run in it is complete."""
    assert job.out is not None
    job.out.parent.mkdir(parents=True, exist_ok=True)
    lock.enter_context(locked(job.out))
    if overwrite and job.out.exists():
        shutil.rmtree(job.out)
    defaults = json.loads(json.dumps(learned_settings(type(job.options)())))
    return is_complete(job.out, job.identity, defaults)


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


def _learn(job: Job, team: Team) -> Result:
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


def _finish(job: Job, result: Result, data: Any) -> None:
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
        write_run(job, result, job.out, data)
        job.say(f"the model is in {job.out / MODEL}")

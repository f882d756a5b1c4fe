"""Scores of a fine-tuned model, or of predictions, with what makes them doubtful. One evaluator.

What is scored and against what, the task says (`Task.evaluate`); what the model says comes from the
one predictor.
"""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from epilm.device import choose_device
from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned, about_at, is_finetuned, load_finetuned, task_of
from epilm.finetuning.run_folder import TASK
from epilm.finetuning.scorer import BATCH, open_scorer
from epilm.tasks import TASKS, find_task
from epilm.tasks.contract import Say, options_from

# Where data lie, and what is drawn of them: not how a row is made.
_PLACES = frozenset(("negative", "data_seed", "split"))


def evaluate(
    run: str | Path | Finetuned,
    task: str | None = None,
    data: Any = None,
    *,
    batch_size: int = BATCH,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] | None = "fp32",
    say: Say | None = None,
    **options: Any,
) -> Any:
    """Score a fine-tuned model on its own test part, or on new labelled data.

    Parameters
    ----------
    run : path or Finetuned
        A run of `epilm finetune`, its model folder, a table of predictions (TSV with `label` and
        `p_0`, `p_1`, ...; of bins .tab.gz), or an open model.
    task : str, optional
        The run's own by default.
    data : path, or what the task's loader gives, optional
        New labelled data; without it the predictions kept in the run are scored.
    batch_size : int
        Examples of a forward pass.
    device, precision
        Where and how it is predicted, if anything is; precision None: as the task has it.
    say : callable, optional
        Takes lines of progress; standard error by default.
    **options
        What the task asks for: `epilm evaluate RUN --help` lists them.

    Returns
    -------
    Evaluation, or list of DreamEvaluation
        Of binding one a cell type.

    Raises
    ------
    InputError, StoreError, CheckpointError, UsageError
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    chosen = find_task(task_of(run, task))
    given = options_from(chosen, "evaluate", None, options, TASKS)
    is_model = isinstance(run, Finetuned) or is_finetuned(run)
    if not is_model and data is not None and Path(run).is_dir():  # type: ignore[arg-type]
        load_finetuned(run)  # type: ignore[arg-type]  # says what is missing
    predicts = is_model and data is not None
    if not predicts:
        if isinstance(run, Finetuned):
            raise UsageError("an open model has no predictions", do="Pass data.")
        if device != "auto":
            choose_device(device)  # absent is refused, as everywhere
            say(f"--device {device} is not used: predictions made before are scored")
    if predicts and not isinstance(run, Finetuned):
        for note in _made_otherwise(Path(run), given):
            say(note)
    score = None
    if is_model:
        score = open_scorer(
            run,
            batch_size=batch_size,
            device=device if predicts else "cpu",
            precision=precision or chosen.precision,
            say=say if predicts else None,
        )
        if (own := score.about["task"]) != chosen.name and own not in chosen.aliases:
            say(f"note: the model was made for {own}, the data are read as {chosen.name}")
    return chosen.evaluate(run, data, given, score, say)


def _made_otherwise(run: Path, given: Any) -> list[str]:
    """Say which rows would be made in another way than those that the run learned from, because it
    was not said how.
    """
    # Beside the model of a run; an ensemble keeps it itself.
    path = next((each / TASK for each in (run, run.parent) if (each / TASK).is_file()), None)
    kept = (about_at(run) or {}) if path is None else json.loads(path.read_text(encoding="utf-8"))
    named = kept.get("named", {})
    out = []
    for each in fields(given):
        learned, now = named.get(each.name), getattr(given, each.name)
        how = each.metadata.get("data") and each.name not in _PLACES
        if how and isinstance(learned, str | int | float) and now == each.default != learned:
            option = f"--{each.name.replace('_', '-')}"
            out.append(
                f"note: the run learned from rows of {option} {learned}, these are of {option}"
                f" {now}; say {option} {learned} to have them alike"
            )
    return out

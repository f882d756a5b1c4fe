"""Scores of a fine-tuned model, or of predictions, with what makes them doubtful. One evaluator.

What is scored and against what, the task says (`Task.evaluate`); what the model says comes from the
one predictor.
"""

import sys
from pathlib import Path
from typing import Any, Literal

from epilm.device import choose_device
from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned, is_finetuned, load_finetuned, task_of
from epilm.finetuning.scorer import BATCH, open_scorer
from epilm.tasks import TASKS, find_task
from epilm.tasks.contract import Say, options_from


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

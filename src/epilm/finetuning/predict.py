"""One predictor for every task; a task reads what a user points at and writes what comes out."""

import sys
from pathlib import Path
from typing import Any, Literal

from epilm.finetuning.finetuned import Finetuned, load_finetuned
from epilm.finetuning.predict_shards import predict_shard
from epilm.finetuning.scorer import BATCH, open_scorer
from epilm.tasks import TASKS, find_task
from epilm.tasks.contract import Say, options_from


def predict(
    model: str | Path | Finetuned,
    source: Any = None,
    out: str | Path | None = None,
    *,
    batch_size: int = BATCH,
    both_strands: bool | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] | None = "fp32",
    shard: str | None = None,
    say: Say | None = None,
    **options: Any,
) -> Any:
    """Give a fine-tuned model's probabilities.

    Parameters
    ----------
    model : path or Finetuned
        A run of `epilm finetune`, its model folder, or an open model.
    source : path, iterable of str, or LabelledSequences, optional
        Sequences or intervals; not for bins, which options name.
    out : path, optional
        File to write, by its name: TSV or Parquet; for bins .tab.gz, .bw, .parquet.
    batch_size : int
        Examples of a forward pass.
    both_strands : bool, optional
        The mean over both strands; as in training where not given.
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"fp32", "auto", "bf16"} or None
        Number format of the trunk; None: as the model's task has it.
    shard : str, optional
        "i/N": compute the i-th of N parts and write it into the folder `out`; `epilm.merge` joins
        them. Files are named by their path then.
    say : callable, optional
        Takes lines of progress; standard error by default.
    **options
        What the model's task asks for: `genome`, `window` for sequences; `store`, `cell`,
        `chroms`, `bins`, `factor` for binding.

    Returns
    -------
    SequencePredictions or BinPredictions
        Of sequences one row each, in the order given; of bins what was written. Of a shard
        `shards.PartWritten`.

    Raises
    ------
    InputError, StoreError, CheckpointError, UsageError
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    opened = model if isinstance(model, Finetuned) else load_finetuned(model)
    task = find_task(opened.about["task"])
    given = options_from(task, "predict", None, options, TASKS)
    if shard is not None:
        asked = {
            "model": opened.path if isinstance(model, Finetuned) else model,
            "source": source,
            "batch_size": batch_size,
            "both_strands": both_strands,
            "precision": precision or task.precision,
        }
        return predict_shard(opened, task, asked, given, out, shard, device, say)
    score = open_scorer(
        opened,
        batch_size=batch_size,
        both_strands=both_strands,
        device=device,
        precision=precision or task.precision,
        say=say,
    )
    return task.predict(source, out, given, score, say)

"""`epilm evaluate`: scores of a fine-tuned model, with what makes them doubtful."""

from pathlib import Path
from typing import Any, Literal


def evaluate(
    run: Path,
    *,
    task: str | None = None,
    data: Path | None = None,
    options: Any = None,
    batch_size: int = 256,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    json: bool = False,
) -> None:
    """Score a fine-tuned model on its own test part, or on new labelled data.

    What the run's task can be told is listed by epilm evaluate RUN --help. Of binding, a file of
    predictions is scored too, with --task binding.

    Examples:
    epilm evaluate ft
    epilm evaluate ft --data other.tsv --json  # not of binding
    epilm evaluate predictions.tsv  # not of binding, splice
    epilm evaluate ft --data chip --cell liver --store dream.store --chroms chr1 chr8 chr21 \\
        --controls
    epilm evaluate F.MAX.liver.tab.gz --task binding --data MAX.test.labels.tsv.gz --cell liver \\
        --json

    Parameters
    ----------
    run
        Run of epilm finetune, its model folder, or a table of predictions (of binding a .tab.gz).
    task
        Of new data; the run's own by default.
    data
        New labelled data; without it the run's own predictions are scored.
    batch_size
        Sequences or bins of a forward pass.
    device
        Where to compute, if anything is predicted.
    precision
        Number format of the trunk: fp32 for sequences and auto for binding where not given.
    json
        Print JSON.
    """
    import json as writer

    from epilm.finetuning.evaluate import evaluate as score

    scored = score(
        run,
        task,
        data,
        batch_size=batch_size,
        device=device,
        precision=precision,
        **(options or {}),
    )
    several = scored if isinstance(scored, list) else [scored]
    if json:
        tables = [each.as_dict() for each in several]
        print(writer.dumps(tables if len(tables) > 1 else tables[0], indent=2))
    else:
        print("\n\n".join(each.text() for each in several))

"""`epilm evaluate`: scores of a fine-tuned model, with what makes them doubtful."""

from pathlib import Path
from typing import Literal


def evaluate(
    run: Path,
    *,
    task: str | None = None,
    data: Path | None = None,
    genome: list[Path] | None = None,
    negative: Path | None = None,
    negatives: str | None = None,
    option: list[str] | None = None,
    split: Literal["none", "auto", "random", "chromosome", "given"] = "none",
    valid: list[str] | None = None,
    test: list[str] | None = None,
    data_seed: int = 0,
    store: Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    json: bool = False,
) -> None:
    """Score a fine-tuned model on its own test split, or on new labelled data.

    Examples:
    epilm evaluate ft
    epilm evaluate ft --data other.tsv --json
    epilm evaluate predictions.tsv

    Parameters
    ----------
    run
        Run of epilm finetune, its model folder, or a table of predictions.
    task
        Of new data; the run's own by default.
    data
        New labelled data; without it the run's own predictions are scored.
    genome
        FASTA, .2bit or a store, where the data are intervals.
    negative
        FASTA of the negatives.
    negatives
        How negatives are made, as in epilm finetune.
    option
        More for the task, as name=value.
    split
        How to divide new data; none scores all of it.
    valid
        Chromosomes or regions of the valid split.
    test
        Chromosomes or regions of the test split.
    data_seed
        Of negatives and random splits.
    store
        Store of the pre-training: counts the test sequences that overlap its regions.
    device
        Where to compute.
    json
        Print JSON.
    """
    import json as writer

    from epilm.evaluation import evaluate as score
    from epilm.tasks.options import split_pairs

    found = score(
        run, task, data, genome=genome, negative=negative, options=dict(split_pairs(option or [])) | ({"negatives": negatives} if negatives else {}),
        split=split, valid=valid or (), test=test or (), data_seed=data_seed, store=store, device=device,
    )  # fmt: skip
    print(writer.dumps(found.as_dict(), indent=2) if json else found.text())

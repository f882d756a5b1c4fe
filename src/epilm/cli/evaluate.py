"""`epilm evaluate`: scores of a fine-tuned model, with what makes them doubtful."""

from pathlib import Path
from typing import Any, Literal


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
    cell: list[str] | None = None,
    factor: str | None = None,
    chroms: list[str] | None = None,
    regions: Path | None = None,
    blacklist: Path | None = None,
    rule: Literal["challenge", "bin_half"] | None = None,
    controls: bool = False,
    motifs: str | None = None,
    name: str | None = None,
    batch_size: int = 256,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    json: bool = False,
) -> None:
    """Score a fine-tuned model on its own test split, or on new labelled data.

    The task dream scores a binding model, or a file of predictions, in bins of the genome as
    ENCODE-DREAM does.

    Examples:
    epilm evaluate ft
    epilm evaluate ft --data other.tsv --json
    epilm evaluate predictions.tsv
    epilm evaluate ft --task dream --data chip --cell liver --store dream.store \\
        --chroms chr1 chr8 chr21 --controls
    epilm evaluate F.MAX.liver.tab.gz --task dream --data MAX.test.labels.tsv.gz --cell liver --json

    Parameters
    ----------
    run
        Run of epilm finetune, its model folder, or a table of predictions (dream: a .tab.gz of the
        challenge).
    task
        Of new data; the run's own by default. dream: see below.
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
        Chromosomes or regions of the test split; dream: the same as --chroms.
    data_seed
        Of negatives and random splits.
    store
        Store of the pre-training: counts the test sequences that overlap its regions. dream: genome
        and tracks.
    cell
        dream: cell types to score, one table each.
    factor
        dream: which one, where model or labels know several.
    chroms
        dream: chromosomes, or parts of them, to score; the run's test chromosomes where not given.
    regions
        dream: region file, or BED of regions; only bins in it.
    blacklist
        dream: BED of regions; bins that touch it are left out.
    rule
        dream: how labels are made from peaks. challenge (where not given): a bin is bound that
        shares at least half of itself, or of a peak, with it; bin_half: more than half of itself. A
        label file has its labels.
    controls
        dream: also shuffled states, the other cell types' states, the sequence alone, the motif
        alone.
    motifs
        dream: motif file or jaspar:2018 for the control of motifs; those of the store where not
        given.
    name
        dream: how the table calls the model.
    batch_size
        Sequences, or of dream bins, of a forward pass.
    device
        Where to compute, if anything is predicted.
    precision
        dream: number format of the encoder.
    json
        Print JSON.
    """
    import json as writer

    if task is None and _is_binding(run):
        task = "dream"
    if device != "auto" and (run.is_file() if task == "dream" else data is None):
        import sys

        from epilm.device import choose_device

        choose_device(device)  # absent is refused, as everywhere
        print(f"--device {device} is not used: predictions made before are scored", file=sys.stderr)
    if task == "dream":
        options = {"regions": regions, "blacklist": blacklist, "rule": rule}
        _dream(
            run,
            data,
            cell or [],
            {k: v for k, v in options.items() if v is not None},
            json,
            store=store,
            factor=factor,
            chroms=chroms or test or (),
            controls=controls,
            motifs=motifs,
            name=name,
            batch=batch_size,
            device=device,
            precision=precision,
        )
        return
    from epilm.finetuning.evaluate import evaluate as score
    from epilm.tasks.options import split_pairs

    if data is not None:  # then it predicts
        import sys

        from epilm.device import choose_place

        print("; ".join(choose_place(device, "fp32").said), file=sys.stderr)
    found = score(
        run,
        task,
        data,
        genome=genome,
        negative=negative,
        options=dict(split_pairs(option or [])) | ({"negatives": negatives} if negatives else {}),
        split=split,
        valid=valid or (),
        test=test or (),
        data_seed=data_seed,
        store=store,
        device=device,
        batch_size=batch_size,
    )
    print(writer.dumps(found.as_dict(), indent=2) if json else found.text())


def _is_binding(run: Path) -> bool:
    """Say whether a run is one of `epilm finetune dream`: its own task, where none is named."""
    from epilm.finetuning.binding_run import is_binding

    return is_binding(run)


def _dream(
    run: Path, data: Path | None, cells: list[str], options: dict[str, Any], json: bool, **more: Any
) -> None:
    import json as writer
    import sys

    from epilm.errors import UsageError
    from epilm.finetuning.evaluate_bins import evaluate_dream

    if data is None or not cells:
        raise UsageError("dream needs labels and a cell type", do="Give --data and --cell.")
    found = [
        evaluate_dream(
            run,
            data,
            cell=cell,
            options=options,
            say=lambda line: print(line, file=sys.stderr, flush=True),
            **more,
        )
        for cell in cells
    ]
    if json:
        tables = [each.as_dict() for each in found]
        print(writer.dumps(tables if len(tables) > 1 else tables[0], indent=2))
    else:
        print("\n\n".join(each.text() for each in found))

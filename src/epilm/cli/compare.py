"""`epilm compare`: models and baselines on the same sets, over seeds."""

from pathlib import Path
from typing import Literal


def compare(
    *,
    out: Path,
    manifest: Path | None = None,
    task: str | None = None,
    data: Path | None = None,
    genome: list[Path] | None = None,
    negative: Path | None = None,
    negatives: str | None = None,
    option: list[str] | None = None,
    factor: str | None = None,
    split: Literal["auto", "random", "chromosome", "given"] = "auto",
    valid: list[str] | None = None,
    test: list[str] | None = None,
    data_seed: int = 0,
    models: list[str] | None = None,
    baselines: str = "kmer,cnn,random",
    motifs: str | None = None,
    seeds: int = 3,
    epochs: int = 5,
    lr: list[float] | None = None,
    batch_size: int = 32,
    freeze: str = "none",
    both_strands: bool = False,
    patience: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    json: bool = False,
) -> None:
    """Fine-tune several models and baselines over seeds into one table (mean +- sample sd).

    A stopped comparison goes on where it was: the same command again.

    Examples:
    epilm compare --task promoter --data prom-core.tsv.gz --models multi=RUN --models seq=RUN2 \\
        --out cmp
    epilm compare --manifest sets.tsv --genome hg19.fa --models multi=RUN \\
        --models fused=RUN@concat --motifs jaspar:2018 --baselines kmer,cnn,motif,random \\
        --out cmp

    Parameters
    ----------
    out
        Folder for runs.jsonl, table.tsv and table.json.
    manifest
        Table of sets: name, task, data, and columns for options (genome, negatives, valid, test,
        factor, ...).
    task
        Instead of a manifest: one set's task.
    data
        And its data.
    genome
        FASTA, .2bit or a store; repeat it for several files.
    negative
        FASTA of the negatives.
    negatives
        How negatives are made, as in epilm finetune.
    option
        More for the task, as name=value.
    factor
        Whose motif the motif baseline uses.
    split
        How rows are divided.
    valid
        Chromosomes or regions of the valid split.
    test
        Chromosomes or regions of the test split.
    data_seed
        Of negatives and random splits: the same for every seed.
    models
        NAME=RUN, or NAME=RUN@concat and NAME=RUN@cross_attention to read the motif scores of the
        input too.
    baselines
        Of kmer, cnn, motif, motifs, random (the first model's twin without pre-training).
    motifs
        Motif file or jaspar:2018.
    seeds
        How many.
    epochs
        Of the language models; the CNN takes three times as many.
    lr
        Learning rates; several are chosen among by valid AP.
    batch_size
        Rows of a step.
    freeze
        none, embeddings, encoder, or layers:N.
    both_strands
        Learn from either strand and answer with the mean of both.
    patience
        Stop after so many epochs without a better valid score; 0 never.
    device
        Where to compute.
    precision
        Number format of the forward pass.
    json
        Print JSON.
    """
    import json as writer

    from epilm.errors import UsageError
    from epilm.finetuning.finetune import FinetuneSpec
    from epilm.tasks import find_task
    from epilm.tasks.options import split_pairs, typed_options
    from epilm.tasks.splits import split_rows
    from epilm.trials.compare import Competitor, DataSet, read_sets, text_of
    from epilm.trials.compare import compare as run

    if (manifest is None) == (task is None or data is None):
        raise UsageError("give either --manifest, or --task and --data")
    if manifest is not None:
        sets = read_sets(manifest, data_seed=data_seed, genome=genome)
    else:
        assert task is not None
        load = find_task(task).load
        extra = typed_options(
            load, split_pairs(option or []) | ({"negatives": negatives} if negatives else {})
        ) | ({"negative": negative} if negative else {})
        rows = load(data, genome=genome, seed=data_seed, **extra)
        rows = split_rows(rows, how=split, seed=data_seed, valid=valid or (), test=test or ())
        sets = [DataSet(rows.name, rows, task, factor)]
    entries = []
    for text in models or []:
        for one in text.split(","):
            name, equals, where = one.partition("=")
            if not equals:
                raise UsageError("a model is NAME=RUN", where=f"--models {one}")
            path, _, fusion = where.partition("@")
            entries.append(Competitor(name, path, fusion=fusion or "none"))
    rates = lr or [2e-4]
    settings = FinetuneSpec(
        epochs=epochs,
        lr=rates[0],
        batch_size=batch_size,
        freeze=freeze,
        both_strands=both_strands,
        patience=patience,
        device=device,
        precision=precision,
    )
    table = run(
        sets,
        out,
        models=entries,
        baselines=[b for b in baselines.split(",") if b],
        seeds=range(seeds),
        settings=settings,
        lrs=rates if len(rates) > 1 else (),
        motifs=motifs,
    )
    print(writer.dumps(table, indent=2) if json else text_of(table))

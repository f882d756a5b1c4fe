"""`epilm finetune`: a pre-trained model learns a labelled task."""

from pathlib import Path
from typing import Literal


def finetune(
    task: str,
    *,
    data: Path,
    out: Path,
    checkpoint: str = "random",
    init: Literal["checkpoint", "random"] = "checkpoint",
    size: Literal["tiny", "small", "base"] = "small",
    k: int = 6,
    genome: list[Path] | None = None,
    negative: Path | None = None,
    negatives: str | None = None,
    option: list[str] | None = None,
    split: Literal["auto", "random", "chromosome", "given"] = "auto",
    valid: list[str] | None = None,
    test: list[str] | None = None,
    data_seed: int = 0,
    fusion: Literal["none", "concat", "cross_attention"] = "none",
    motifs: str | None = None,
    epochs: int = 5,
    lr: float = 2e-4,
    batch_size: int = 32,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    dropout: float = 0.1,
    freeze: str = "none",
    both_strands: bool = False,
    patience: int = 0,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Fine-tune a model on a labelled task and score it.

    Examples:
    epilm finetune promoter --data prom-core.tsv.gz --checkpoint RUN --out ft
    epilm finetune tfbs --data K562.CTCF.narrowPeak.gz --genome hg19.fa --negatives gc --test chr22 --checkpoint RUN --out ft

    Parameters
    ----------
    task
        promoter, tfbs or sequences (epilm ls tasks).
    data
        Labelled table, folder with train/dev/test tables, FASTA, or peaks and TSS with a genome.
    out
        Folder of the run; must not exist.
    checkpoint
        Run of epilm pretrain, model folder, DNABERT folder, random, or cnn.
    init
        random takes the checkpoint's architecture and not its weights.
    size
        Of a random encoder.
    k
        k-mer of a random encoder.
    genome
        FASTA, .2bit or a store; repeat it for several files.
    negative
        FASTA of the negatives.
    negatives
        How negatives are made: shuffle, gc, flank or other_peaks (tfbs); auto, deepromoter, tata or genomic (promoter).
    option
        More for the task, as name=value: length=201, window=300, other_peaks=FILE, ratio=2, ...
    split
        How rows are divided; auto keeps a given split, else uses --test, else is random.
    valid
        Chromosomes or regions (chr20:9000000-11095000) of the valid split.
    test
        Chromosomes or regions of the test split.
    data_seed
        Of negatives and random splits.
    fusion
        Also read the motif scores of the input itself; needs --motifs.
    motifs
        Motif file or jaspar:2018: the collection of the model's store.
    epochs
        Passes over the training rows; the best one by valid AP is kept.
    lr
        Peak learning rate.
    batch_size
        Rows of a step.
    warmup
        Share of all steps in which the rate rises.
    weight_decay
        Of AdamW.
    dropout
        Of encoder and head.
    freeze
        none, embeddings, encoder, or layers:N for the lowest N.
    both_strands
        Learn from either strand and answer with the mean of both.
    patience
        Stop after so many epochs without a better valid score; 0 never.
    seed
        Of new weights, order and dropout.
    device
        Where to compute.
    precision
        Number format of the forward pass.
    overwrite
        Replace an existing run.
    quiet
        Print the result alone.
    json
        Print the scores as JSON.
    """
    import json as writer

    from epilm.evaluation import Evaluation
    from epilm.tasks import find_task
    from epilm.tasks.options import split_pairs, typed_options
    from epilm.training.finetune import FinetuneSpec
    from epilm.training.finetune import finetune as run

    settings = FinetuneSpec(
        epochs=epochs, lr=lr, batch_size=batch_size, warmup=warmup, weight_decay=weight_decay, dropout=dropout,
        freeze=freeze, both_strands=both_strands, patience=patience, seed=seed, device=device, precision=precision,
    )  # fmt: skip
    result = run(
        task, data, out, checkpoint=checkpoint, init=init, size=size, k=k, genome=genome, negative=negative, negatives=negatives,
        options=typed_options(find_task(task).load, split_pairs(option or [])), split=split, valid=valid or (), test=test or (), data_seed=data_seed,
        fusion=fusion, motifs=motifs, settings=settings, overwrite=overwrite, say=(lambda line: None) if quiet else None,
    )  # fmt: skip
    shown = Evaluation(result.metrics, [n for n in result.notes if "COLLAPSE" in n])
    print(writer.dumps(shown.as_dict(), indent=2) if json else shown.text())

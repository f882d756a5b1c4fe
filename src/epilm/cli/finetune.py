"""`epilm finetune`: a pre-trained model learns a labelled task, or where factors bind along the
genome.
"""

from pathlib import Path
from typing import Any, Literal


def finetune(
    task: str,
    *,
    data: Path,
    out: Path,
    checkpoint: str = "random",
    init: Literal["checkpoint", "random"] = "checkpoint",
    size: Literal["tiny", "small", "base", "large"] = "small",
    k: int | None = None,
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
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    dropout: float = 0.1,
    freeze: str = "none",
    both_strands: bool = False,
    patience: int | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    store: Path | None = None,
    factor: list[str] | None = None,
    pair: str | None = None,
    train: list[str] | None = None,
    train_cells: list[str] | None = None,
    valid_cells: list[str] | None = None,
    test_cells: list[str] | None = None,
    signals: list[str] | None = None,
    regions: Path | None = None,
    blacklist: Path | None = None,
    rule: Literal["challenge", "bin_half"] | None = None,
    negatives_per_positive: int = 10,
    positives_per_epoch: int | None = None,
    valid_negatives: int = 100_000,
    micro_batch: int | None = None,
    window_bp: int = 1000,
    metric: Literal["auprc_dg", "ap", "auroc"] = "auprc_dg",
    head_lr_multiplier: float = 1.0,
    shortcut_lr_multiplier: float = 1.0,
    conv_channels: list[int] | None = None,
    kernel: int = 5,
    activation: Literal["relu", "gelu", "tanh"] = "relu",
    pool: Literal["max", "mean", "attention"] = "max",
    dense: int = 128,
    shortcut: Literal["motifs", "signals", "none"] = "motifs",
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Fine-tune a model on a labelled task and score it.

    The task dream learns binding in 200 bp bins of the genome, in several cell types of a store;
    the options from --store to --dense are its own.

    Examples:
    epilm finetune dream --data chip --factor CTCF --store dream.store --checkpoint runs/ebert \\
        --test-cells liver --out ft
    epilm finetune promoter --data prom-core.tsv.gz --checkpoint RUN --out ft
    epilm finetune tfbs --data K562.CTCF.narrowPeak.gz --genome hg19.fa --negatives gc \\
        --test chr22 --checkpoint RUN --out ft

    Parameters
    ----------
    task
        promoter, tfbs or sequences (epilm ls tasks), or dream.
    data
        Labelled table, folder with train/dev/test tables, FASTA, or peaks and TSS with a genome.
        For dream a label file of the challenge, or a folder of such or of
        CELL.FACTOR.conservative.narrowPeak.gz.
    out
        Folder of the run; must not exist.
    checkpoint
        Run of epilm pretrain, model folder, DNABERT folder, random, or cnn; for dream a run of
        EBERT or DBERT, or random, ebert, dbert, factornet.
    init
        random takes the checkpoint's architecture and not its weights.
    size
        Of a random encoder.
    k
        k-mer of a random encoder; 6, for dream 7.
    genome
        FASTA, .2bit or a store; repeat it for several files.
    negative
        FASTA of the negatives.
    negatives
        How negatives are made: shuffle, gc, flank or other_peaks (tfbs); auto, deepromoter, tata or
        genomic (promoter).
    option
        More for the task, as name=value: length=201, window=300, other_peaks=FILE, ratio=2, ...
    split
        How rows are divided; auto keeps a given split, else uses --test, else is random.
    valid
        Chromosomes or regions (chr20:9000000-11095000) of the valid split; dream: chr11 where not
        given.
    test
        Chromosomes or regions of the test split; dream: chr1 chr8 chr21 where not given, never
        read.
    data_seed
        Of negatives and random splits.
    fusion
        Also read the motif scores of the input itself; needs --motifs.
    motifs
        Motif file or jaspar:2018: the collection of the model's store; for dream, where --signals
        name motifs (the store's own where not given).
    epochs
        Passes over the training rows; the best one by valid AP is kept. 5; dream: 15, a pass being
        all positives once.
    lr
        Peak learning rate. 2e-4; dream: 1e-4.
    batch_size
        Rows of a step. 32; dream: 320.
    warmup
        Share of all steps in which the rate rises; dream also takes steps, from 1 on.
    weight_decay
        Of AdamW.
    dropout
        Of encoder and head.
    freeze
        none, embeddings, encoder, or layers:N for the lowest N.
    both_strands
        Learn from either strand and answer with the mean of both.
    patience
        Stop after so many epochs without a better valid score; 0 never. 0; dream: 3.
    seed
        Of new weights, order and dropout.
    device
        Where to compute.
    precision
        Number format of the forward pass.
    store
        Genome and tracks of the cell types.
    factor
        Which factors of --data; several are learned at once.
    pair
        One of the challenge's thirteen (epilm ls pairs), e.g. CTCF:PC-3: its factor, its cell types
        and chromosomes of training, validation and test.
    train
        Chromosomes or regions to learn from; all that are neither valid nor test where not given.
    train_cells
        Cell types to learn from; all of the labels but the test ones where not given.
    valid_cells
        Cell types that choose the best epoch; those of training where not given.
    test_cells
        Cell types to leave alone.
    signals
        Signals of the store that make EBERT+: accessibility, mappability, or NAME:POOL:TRANSFORM.
        Also motif:FACTOR, the score of its motif along the sequence; motifs is that of every
        --factor.
    regions
        Region file, or BED of regions: only bins in it. Also where bins are laid over when labels
        are made from peaks.
    blacklist
        BED of regions; bins that touch it are left out.
    rule
        How labels are made from peaks. challenge (where not given): a bin is bound that shares at
        least half of itself, or of a peak, with it; bin_half: more than half of itself. A label
        file has its labels.
    negatives_per_positive
        Unbound bins for each bound one, drawn anew every epoch.
    positives_per_epoch
        For small machines: the epochs walk through all positives by so many.
    valid_negatives
        Unbound bins scored after every epoch, the same ones.
    micro_batch
        Rows of a forward pass; the step stays the same.
    window_bp
        Bases read around a bin.
    metric
        What decides which epoch is the best.
    head_lr_multiplier
        Of --lr, for the weights outside of the encoder: convolutions and dense layers, which begin
        at random.
    shortcut_lr_multiplier
        Of the head's rate, for the weights of --shortcut: they are few, and may learn before the
        layers remember.
    conv_channels
        Channels of the convolutions; 128 128 where not given.
    kernel
        Tokens of a convolution.
    activation
        Of convolutions and dense layers.
    pool
        Over the tokens of a window.
    dense
        Width of the first dense layer.
    shortcut
        Which signals' best values, over the window and over the bin, also go straight to the
        output: those of motifs, all (of tracks their means too), or none.
    overwrite
        Replace an existing run.
    quiet
        Print the result alone.
    json
        Print the scores as JSON.
    """
    import json as writer

    say = (lambda line: None) if quiet else None
    if task == "dream":
        from epilm.errors import UsageError
        from epilm.tasks.binding.dream.challenge import find_pair

        foreign = {
            "genome": genome,
            "negative": negative,
            "negatives": negatives,
            "option": option,
        }
        for name, value in foreign.items():
            if value:
                raise UsageError(
                    "not an option of dream",
                    where=f"--{name}",
                    found=value,
                    do="See epilm finetune --help.",
                )
        chosen = {
            "epochs": epochs,
            "lr": lr,
            "batch_size": batch_size,
            "patience": patience,
            "valid_chroms": valid,
            "test_chroms": test,
            "train_chroms": train,
            "train_cells": train_cells,
            "valid_cells": valid_cells,
            "test_cells": test_cells,
            "signals": signals,
            "conv_channels": conv_channels,
            "positives_per_epoch": positives_per_epoch,
            "micro_batch": micro_batch,
            "warmup": warmup,
            "weight_decay": weight_decay,
            "dropout": dropout,
            "freeze": freeze,
            "strands": "both" if both_strands else "forward",
            "seed": seed,
            "device": device,
            "precision": precision,
            "negatives": negatives_per_positive,
            "valid_negatives": valid_negatives,
            "window_bp": window_bp,
            "metric": metric,
            "head_lr_multiplier": head_lr_multiplier,
            "shortcut_lr_multiplier": shortcut_lr_multiplier,
            "kernel": kernel,
            "activation": activation,
            "pool": pool,
            "dense": dense,
            "shortcut": shortcut,
        }
        given = {
            key: tuple(v) if isinstance(v, list) else v
            for key, v in chosen.items()
            if v is not None
        }
        if pair is not None:
            if clash := sorted(
                {"train_chroms", "valid_chroms", "test_chroms", "train_cells", "test_cells"}
                & set(given)
            ) + ["factor"] * bool(factor):
                raise UsageError(
                    "--pair says it already",
                    found=", ".join(clash),
                    do="Leave these out, or --pair.",
                )
            known = find_pair(pair)
            factor = [known.factor]
            given |= {
                "train_cells": known.train_cells,
                "test_cells": (known.cell,),
                "valid_chroms": known.valid_chroms,
                "test_chroms": known.test_chroms,
            }
        _dream(
            data,
            store,
            checkpoint,
            out,
            given,
            {"regions": regions, "blacklist": blacklist, "rule": rule},
            json,
            factor=factor or [],
            init=init,
            size=size,
            k=k,
            motifs=motifs,
            overwrite=overwrite,
            say=say,
        )
        return
    from epilm.finetuning.evaluate import Evaluation
    from epilm.finetuning.finetune import FinetuneSpec
    from epilm.finetuning.finetune import finetune as run
    from epilm.tasks import find_task
    from epilm.tasks.options import split_pairs, typed_options

    settings = FinetuneSpec(
        epochs=_or(epochs, 5),
        lr=_or(lr, 2e-4),
        batch_size=_or(batch_size, 32),
        warmup=warmup,
        weight_decay=weight_decay,
        dropout=dropout,
        freeze=freeze,
        both_strands=both_strands,
        patience=_or(patience, 0),
        seed=seed,
        device=device,
        precision=precision,
    )
    result = run(
        task,
        data,
        out,
        checkpoint=checkpoint,
        init=init,
        size=size,
        k=k,
        genome=genome,
        negative=negative,
        negatives=negatives,
        options=typed_options(find_task(task).load, split_pairs(option or [])),
        split=split,
        valid=valid or (),
        test=test or (),
        data_seed=data_seed,
        fusion=fusion,
        motifs=motifs,
        settings=settings,
        store=store,
        factor=factor or (),
        overwrite=overwrite,
        say=say,
    )
    shown = Evaluation(result.metrics, [n for n in result.notes if "COLLAPSE" in n])
    print(writer.dumps(shown.as_dict(), indent=2) if json else shown.text())


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


def _dream(
    data: Path,
    store: Path | None,
    checkpoint: str,
    out: Path,
    settings: dict[str, Any],
    options: dict[str, Any],
    json: bool,
    **more: Any,
) -> None:
    import json as writer

    from epilm.finetuning.binding import BindingResult, BindingSpec
    from epilm.finetuning.finetune import finetune as run
    from epilm.training.log import plain

    given = {key: value for key, value in options.items() if value is not None}
    result: Any = run(
        "dream",
        data,
        out,
        store=store,
        checkpoint=checkpoint,
        settings=BindingSpec(**settings),
        options=given,
        **more,
    )
    assert isinstance(result, BindingResult)
    if json:
        table = {factor: plain(scores) for factor, scores in result.metrics.items()}
        print(
            writer.dumps(
                {
                    "task": "dream",
                    "valid": table,
                    "best_epoch": result.best_epoch,
                    "notes": result.notes,
                },
                indent=2,
            )
        )
        return
    for factor, scores in result.metrics.items():
        shown = ", ".join(
            f"{key} {scores[key]:.4f}"
            for key in ("auroc", "auprc_dg", "ap")
            if scores.get(key) is not None
        )
        print(f"{factor}, validation, epoch {result.best_epoch}: {shown}")

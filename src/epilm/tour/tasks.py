"""The tasks of the demo: every start of a model on the same rows, and simple baselines beside them.

A task asks which accessible regions of a cell type a factor binds, with few sites to learn from.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epilm.atomic import atomic_folder, write_json

if TYPE_CHECKING:
    from epilm.tasks.base import LabelledSequences
    from epilm.tour.demo import DemoPlan

DEMO, PART_TWO = "demo.json", "ebert"  # what the folder holds: its diary, and part two
# run -> (recipe, what it reads)
MODELS = {
    "genebert": ("genebert_lab", "GeneBERT: sequence, factor matrix, motif sites"),
    "dnabert": ("dnabert", "hidden k-mers of the sequence alone"),
}
Stage = Callable[[str, str, Path, Callable[[], object]], None]

# name -> (run, its weights or random ones, what is frozen). Frozen: only the classifier on top
# learns, so the score says what the encoder knew before.
STARTS: dict[str, tuple[str, Any, str]] = {
    "genebert": ("genebert", "checkpoint", "none"),
    "dnabert": ("dnabert", "checkpoint", "none"),
    "random": ("genebert", "random", "none"),
    "genebert_frozen": ("genebert", "checkpoint", "encoder"),
    "dnabert_frozen": ("dnabert", "checkpoint", "encoder"),
    "random_frozen": ("genebert", "random", "encoder"),
}
LR, LR_FROZEN = 2e-3, 5e-3


def binding_rows(plan: "DemoPlan", factor: str, data: Path, seed: int) -> "LabelledSequences":
    """Rows of a binding task: sites of a factor in one cell type against regions of
    `plan.others`.
    """
    from epilm.tasks import tfbs

    peaks = f"{plan.cell}.{factor}"
    return tfbs.load(
        data / f"chip/{peaks}.conservative.narrowPeak.gz",
        genome=data / "genome.fa",
        negatives="other_peaks",
        other_peaks=[data / name for name in plan.others],
        exclude=data / f"chip/{peaks}.relaxed.narrowPeak.gz",
        seed=seed,
    )


def finetune_all(stage: Stage, plan: "DemoPlan", data: Path, folder: Path, seed: int) -> None:
    """Run the task of each factor as a stage of the demo.

    Parameters
    ----------
    stage : callable
        (name, command, target, do): does it unless the target is there.
    plan : DemoPlan
    data, folder : path
        The playground, and the demo.
    seed : int
    """
    for factor in plan.factors:
        peaks = f"{plan.cell}.{factor}"

        def run(factor: str = factor) -> None:
            from epilm.tasks.splits import split_rows

            with atomic_folder(folder / "tasks" / factor) as home:
                rows = split_rows(
                    binding_rows(plan, factor, data, seed),
                    how="chromosome",
                    valid=plan.valid,
                    test=plan.test,
                )
                _fit_all(factor, rows, plan, folder / "runs", home, data, seed)

        stage(
            f"fine-tuning and scoring: {factor} in {plan.cell}, {len(STARTS)} starts and baselines",
            f"epilm finetune tfbs --data {data}/chip/{peaks}.conservative.narrowPeak.gz"
            f" --genome {data}/genome.fa --negatives other_peaks"
            f" --other-peaks {' '.join(f'{data}/{name}' for name in plan.others)}"
            f" --exclude {data}/chip/{peaks}.relaxed.narrowPeak.gz"
            f" --valid {' '.join(plan.valid)} --test {' '.join(plan.test)} --both-strands"
            f" --checkpoint {folder}/runs/genebert --epochs {plan.epochs} --patience 0"
            f" --lr {LR:g} --seed {seed} --out RUN",
            folder / "tasks" / factor,
            run,
        )


def _fit_all(
    factor: str,
    rows: "LabelledSequences",
    plan: "DemoPlan",
    runs: Path,
    home: Path,
    data: Path,
    seed: int,
) -> None:
    from epilm.atomic import plain
    from epilm.baselines.sequence_models import fit_kmer, fit_motif
    from epilm.finetuning.finetune import finetune
    from epilm.metrics.classification import score_table

    for start, (run, init, freeze) in STARTS.items():
        lr = LR if freeze == "none" else LR_FROZEN
        finetune(
            "tfbs",
            rows,
            home / start,
            checkpoint=runs / run,
            init=init,
            preset="none",
            split="given",
            epochs=plan.epochs,
            patience=0,
            both_strands=True,
            lr=lr,
            freeze=freeze,
            seed=seed,
            alone=True,
            say=lambda line: None,
        )
    train, valid, test = rows.part("train"), rows.part("valid"), rows.part("test")
    motifs = data / "motifs.jaspar"
    models: dict[str, Any] = {
        "kmer": fit_kmer(train, valid, ks=(3, 4, 5), seed=seed),
        "motif": fit_motif(train, valid, motifs=motifs, factor=factor, seed=seed),
        "motifs": fit_motif(train, valid, motifs=motifs, seed=seed),
    }
    scores = {
        key: plain(score_table(test.labels, model.probabilities(test)))
        for key, model in models.items()
    }
    write_json(home / "baselines.json", scores)

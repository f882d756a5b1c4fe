"""The two tasks of the demo: every start of a model on the same rows, and simple baselines beside
them.
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
    "genebert": ("genebert_native", "GeneBERT, sequence and factor matrix"),
    "dnabert": ("dnabert", "sequence only"),
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
LR, LR_FROZEN = 1e-3, 5e-3


def binding_rows(plan: "DemoPlan", data: Path, seed: int) -> "LabelledSequences":
    """Rows of the binding task: sites of a factor in one cell type against those of
    `plan.others`.
    """
    from epilm.tasks import tfbs

    peaks = f"{plan.cell}.{plan.factor}"
    return tfbs.load(
        data / f"chip/{peaks}.conservative.narrowPeak.gz",
        genome=data / "genome.fa",
        negatives="other_peaks",
        other_peaks=[data / name for name in plan.others],
        exclude=data / f"chip/{peaks}.relaxed.narrowPeak.gz",
        seed=seed,
    )


def finetune_all(stage: Stage, plan: "DemoPlan", data: Path, folder: Path, seed: int) -> None:
    """Run both tasks as stages of the demo.

    Parameters
    ----------
    stage : callable
        (name, command, target, do): does it unless the target is there.
    plan : DemoPlan
    data, folder : path
        The playground, and the demo.
    seed : int
    """
    from epilm.playground.simulate import read_truth

    splits = read_truth(data)["splits"]
    peaks = f"{plan.cell}.{plan.factor}"
    words = {
        "promoter": f"promoter --data {data}/promoters",
        "binding": (
            f"tfbs --data {data}/chip/{peaks}.conservative.narrowPeak.gz --genome {data}/genome.fa"
            " --negatives other_peaks"
            f" --other-peaks {' '.join(f'{data}/{name}' for name in plan.others)}"
            f" --exclude {data}/chip/{peaks}.relaxed.narrowPeak.gz"
            f" {' '.join(f'--valid {chrom}' for chrom in splits['validation'])}"
            f" {' '.join(f'--test {chrom}' for chrom in splits['test'])}"
        ),
    }
    for name, text in words.items():

        def run(name: str = name) -> None:
            from epilm.tasks import promoter
            from epilm.tasks.splits import split_rows

            with atomic_folder(folder / "tasks" / name) as home:
                if name == "promoter":
                    rows = split_rows(promoter.load(data / "promoters"), how="given")
                else:
                    rows = binding_rows(plan, data, seed)
                    rows = split_rows(
                        rows, how="chromosome", valid=splits["validation"], test=splits["test"]
                    )
                _fit_all(name, rows, plan, folder / "runs", home, data, seed)

        stage(
            f"fine-tuning and scoring: {name}, {len(STARTS)} starts and baselines",
            f"epilm finetune {text} --checkpoint {folder}/runs/genebert --epochs {plan.epochs} --lr"
            f" {LR:g} --seed {seed} --out RUN",
            folder / "tasks" / name,
            run,
        )


def _fit_all(
    name: str,
    rows: "LabelledSequences",
    plan: "DemoPlan",
    runs: Path,
    home: Path,
    data: Path,
    seed: int,
) -> None:
    from epilm.baselines.sequence_models import fit_kmer, fit_motif
    from epilm.finetuning.finetune import finetune
    from epilm.metrics.classification import score_table
    from epilm.training.log import plain

    task = "promoter" if name == "promoter" else "tfbs"
    for start, (run, init, freeze) in STARTS.items():
        lr = LR if freeze == "none" else LR_FROZEN
        finetune(
            task,
            rows,
            home / start,
            checkpoint=runs / run,
            init=init,
            split="given",
            epochs=plan.epochs,
            lr=lr,
            freeze=freeze,
            seed=seed,
            say=lambda line: None,
        )
    train, valid, test = rows.part("train"), rows.part("valid"), rows.part("test")
    models: dict[str, Any] = {"kmer": fit_kmer(train, valid, ks=(3, 4, 5), seed=seed)}
    if task == "tfbs":
        motifs = data / "motifs.jaspar"
        models["motif"] = fit_motif(train, valid, motifs=motifs, factor=plan.factor, seed=seed)
        models["motifs"] = fit_motif(train, valid, motifs=motifs, seed=seed)
    scores = {
        key: plain(score_table(test.labels, model.probabilities(test)))
        for key, model in models.items()
    }
    write_json(home / "baselines.json", scores)

"""`epilm finetune TASK`: a pre-trained model learns a task. Each task has options of its own."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter


@dataclass(frozen=True)
class Start:
    """What fine-tuning starts from."""

    checkpoint: str = "random"
    """Run of epilm pretrain, model folder, DNABERT folder; of a run of epilm finetune the trunk.
    Without a past: random, ebert, dbert, cnn, factornet."""
    init: Literal["checkpoint", "random"] = "checkpoint"
    """random takes the checkpoint's architecture and not its weights."""
    size: Literal["tiny", "small", "base", "large"] = "small"
    """Of a random trunk."""
    k: int | None = None
    """k-mer of a random trunk; the task's where not given."""
    head: str | None = None
    """linear, convolutions, places, bases or pair (epilm ls heads); the task's where not given.
    kept: that of the checkpoint, a run of epilm finetune for the same outputs, with its weights."""


def finetune(
    task: str,
    *,
    data: Path,
    out: Path,
    start: Annotated[Start, Parameter(name="*")] = Start(),
    preset: Literal["auto", "none", "lab"] = "auto",
    options: Any = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Fine-tune a model on a task and score it; epilm finetune TASK --help has the task's options.

    Examples:
    epilm finetune binding --data chip --factor CTCF --store dream.store --checkpoint runs/ebert \\
        --test-cells liver --out ft
    epilm finetune promoter --data prom-core.tsv.gz --checkpoint RUN --out ft
    epilm finetune tfbs --data K562.CTCF.narrowPeak.gz --genome hg19.fa --negatives gc \\
        --test chr22 --checkpoint RUN --out ft
    epilm finetune splice --data canonical_dataset.txt --genome hg19.fa --checkpoint dilated \\
        --context 400 --out ft
    epilm finetune expression --data tpm.tsv --tss genes.gtf --genome hg19.fa --test chr8 chr9 \\
        --checkpoint RUN --out ft
    epilm finetune contacts --data GM12878.mcool --resolution 10000 --anchors open.bed \\
        --genome hg19.fa --test chr8 --checkpoint RUN --out ft

    Parameters
    ----------
    task
        What to learn: promoter, tfbs, sequences, splice, expression, contacts, binding (epilm
        ls tasks).
    data
        What the task reads: epilm ls tasks says which files.
    out
        Folder of the run; a run of the same settings goes on where it stopped.
    preset
        lab fills in what small models should take, of what is not said: lr 2e-3, batch 64, both
        strands (not where rows lie on one), at least 1,200 steps; of binding also windows of
        280 bp, pool max+bin and jitter 50. none: the papers' values. auto: lab for a small model
        that a lab recipe pre-trained, else none.
    overwrite
        Replace an existing run.
    quiet
        Print the result alone.
    json
        Print the scores as JSON.
    """
    import json as writer

    from epilm.atomic import plain
    from epilm.finetuning.finetune import finetune as run
    from epilm.training.ranks import is_first, launched

    result = run(
        task,
        data,
        out,
        **asdict(start),
        preset=preset,
        overwrite=overwrite,
        say=(lambda line: None) if quiet else None,
        **(options or {}),
    )
    if not is_first(launched()):
        return  # the first process speaks
    if json:
        tables = {
            part: {name: plain(table) for name, table in outputs.items()}
            for part, outputs in result.tables.items()
        }
        flat = {part: each.get("", each) for part, each in tables.items()}
        shown = {
            "task": result.model.about["task"],
            "scores": flat,
            **{part: each for part, each in flat.items() if part == "valid"},
            "best_epoch": result.best_epoch,
            "warnings": [note for note in result.notes if "COLLAPSE" in note],
            "tries": result.tries,
            "notes": result.notes,
        }
        print(writer.dumps(shown, indent=2))
        return
    print(_text(result))


def _text(result: Any) -> str:
    """Scores down, parts and outputs across."""
    from epilm.tasks.label_kinds import spoken

    columns = {
        f"{part} {name}".strip(): table
        for part, outputs in result.tables.items()
        for name, table in spoken(outputs).items()
    }
    width = max(12, *(len(name) + 2 for name in columns)) if columns else 12
    keys = dict.fromkeys(
        key for table in columns.values() for key in table if key not in ("collapse",)
    )
    lines = [f"{'':<18}" + "".join(f"{name:>{width}}" for name in columns)]
    for key in keys:
        cells = (_cell(table.get(key)) for table in columns.values())
        lines.append(f"{key:<18}" + "".join(f"{cell:>{width}}" for cell in cells))
    lines += [note for note in result.notes if note.startswith(("AUDIT", "SECOND TRY"))]
    lines += [f"WARNING: {note}" for note in result.notes if "COLLAPSE" in note]
    if result.best_epoch:
        lines.append(f"best epoch {result.best_epoch}")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return ""
    if isinstance(value, float):
        return "n/a" if value != value else f"{value:.4f}"
    return str(value)

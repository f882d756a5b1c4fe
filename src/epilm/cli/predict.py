"""`epilm predict`: probabilities of a fine-tuned model for sequences or intervals."""

from pathlib import Path
from typing import Literal


def predict(
    model: Path,
    sequences: Path,
    *,
    out: Path | None = None,
    genome: list[Path] | None = None,
    window: int | None = None,
    batch_size: int = 256,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    json: bool = False,
) -> None:
    """Write a fine-tuned model's probabilities for sequences or intervals.

    Examples:
    epilm predict ft sequences.fa --out scores.tsv
    epilm predict ft peaks.bed --genome hg19.fa --window 101 --out scores.parquet

    Parameters
    ----------
    model
        Run of epilm finetune, or its model folder.
    sequences
        FASTA, one sequence a line, or BED / narrowPeak with --genome.
    out
        TSV, or Parquet by its name; without it TSV goes to the screen.
    genome
        FASTA, .2bit or a store; repeat it for several files.
    window
        For intervals: bp around the centre instead of their own bases.
    batch_size
        Sequences of a forward pass.
    device
        Where to compute.
    json
        Print a summary as JSON.
    """
    import json as writer
    import sys

    from epilm.prediction import predict as run
    from epilm.prediction import summary

    found = run(model, sequences, genome=genome, batch_size=batch_size, device=device, window=window)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    if out is not None:
        found.write(out)
    if json:
        print(writer.dumps(summary(found) | {"out": str(out) if out else None}, indent=2))
    elif out is None:
        columns = found.columns()
        print("\t".join(columns))
        for row in zip(*columns.values()):
            print("\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row))
    else:
        print(f"{len(found)} sequences, by class {summary(found)['by_class']}: {out}")

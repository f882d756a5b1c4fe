"""`epilm predict RUN`: what a fine-tuned model says. What it asks for, its task says."""

from pathlib import Path
from typing import Any, Literal


def predict(
    model: Path,
    sequences: Path | None = None,
    *,
    out: Path | None = None,
    options: Any = None,
    batch_size: int = 256,
    both_strands: bool | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    json: bool = False,
) -> None:
    """Write a fine-tuned model's probabilities. epilm predict RUN --help lists what it asks for.

    Examples:
    epilm predict ft sequences.fa --out scores.tsv  # not of binding
    epilm predict ft peaks.bed --genome hg19.fa --window 101 --out scores.parquet
    epilm predict ft --store dream.store --cell liver --chroms chr1 chr8 chr21 \\
        --out F.MAX.liver.tab.gz

    Parameters
    ----------
    model
        Run of epilm finetune, or its model folder.
    sequences
        FASTA, one sequence a line, or BED / narrowPeak with --genome; not for binding.
    out
        TSV, or Parquet by its name; without it TSV goes to the screen. For bins .tab.gz (the
        challenge's), .bw or .parquet.
    batch_size
        Sequences or bins of a forward pass.
    both_strands
        The mean over both strands; as in training where not given.
    device
        Where to compute.
    precision
        Number format of the trunk: fp32 for sequences and auto for binding where not given.
    json
        Print a summary as JSON.
    """
    import json as writer
    import sys

    from epilm.finetuning.predict import predict as run
    from epilm.tasks.sequence_predictions import SequencePredictions, summary

    done = run(
        model,
        sequences,
        out,
        batch_size=batch_size,
        both_strands=both_strands,
        device=device,
        precision=precision,
        **(options or {}),
    )
    if not isinstance(done, SequencePredictions):
        print(writer.dumps(done.summary(), indent=2) if json else done.text())
        return
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    if json:
        print(writer.dumps(summary(done) | {"out": str(out) if out else None}, indent=2))
    elif out is None:
        columns = done.columns()
        print("\t".join(columns))
        for row in zip(*columns.values()):
            print("\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row))
    else:
        print(f"{done.told()}: {out}")

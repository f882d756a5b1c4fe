"""`epilm predict RUN`: what a fine-tuned model says. What it asks for, its task says."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from epilm.sharding.spread import Spread


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
    spread: Annotated[Spread, Parameter(name="*")] = Spread(),  # noqa: B008 - frozen
    json: bool = False,
) -> None:
    """Write a fine-tuned model's probabilities. epilm predict RUN --help lists what it asks for.

    Examples:
    epilm predict ft sequences.fa --out scores.tsv  # not of binding
    epilm predict ft peaks.bed --genome hg19.fa --window 101 --out scores.parquet
    epilm predict ft --store dream.store --cell liver --chroms chr1 chr8 chr21 \\
        --out F.MAX.liver.tab.gz
    epilm predict ft peaks.bed --genome hg19.fa --window 101 --shard 1/8 --out parts

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
    from epilm.tasks.sequence_predictions import SequencePredictions

    named = {
        "batch_size": batch_size,
        "both_strands": both_strands,
        "device": device,
        "precision": precision,
        **(options or {}),
    }
    if spread == Spread():
        done = run(model, sequences, out, **named)
    else:
        from epilm.sharding.spread import spread_out

        done = spread_out(run, (model, sequences), out, named, spread)
    if not isinstance(done, SequencePredictions):
        print(writer.dumps(done.summary(), indent=2) if json else done.text())
        return
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    if out is None and not json:
        columns = done.columns()
        print("\t".join(columns))
        for row in zip(*columns.values()):
            print("\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row))
        return
    from epilm.cli.told import summary_of, text_of

    print(writer.dumps(summary_of(done, out), indent=2) if json else text_of(done, out))

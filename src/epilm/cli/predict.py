"""`epilm predict`: probabilities of a fine-tuned model for sequences or intervals, or for bins of
the genome in a cell type.
"""

from pathlib import Path
from typing import Any, Literal


def predict(
    model: Path,
    sequences: Path | None = None,
    *,
    out: Path | None = None,
    genome: list[Path] | None = None,
    window: int | None = None,
    batch_size: int = 256,
    store: Path | None = None,
    cell: str | None = None,
    factor: str | None = None,
    chroms: list[str] | None = None,
    bins: Path | None = None,
    both_strands: bool | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    json: bool = False,
) -> None:
    """Write a fine-tuned model's probabilities for sequences or intervals.

    A model of the task dream reads a cell type of a store: give --store and --cell, and --chroms or
    --bins.

    Examples:
    epilm predict ft sequences.fa --out scores.tsv
    epilm predict ft peaks.bed --genome hg19.fa --window 101 --out scores.parquet
    epilm predict ft --store dream.store --cell liver --chroms chr1 chr8 chr21 \\
        --out F.MAX.liver.tab.gz

    Parameters
    ----------
    model
        Run of epilm finetune, or its model folder.
    sequences
        FASTA, one sequence a line, or BED / narrowPeak with --genome.
    out
        TSV, or Parquet by its name; without it TSV goes to the screen. For bins .tab.gz (the
        challenge's), .bw or .parquet.
    genome
        FASTA, .2bit or a store; repeat it for several files.
    window
        For intervals: bp around the centre instead of their own bases.
    batch_size
        Sequences or bins of a forward pass.
    store
        For bins: genome and the cell type's tracks.
    cell
        For bins: cell type, by its name in the store. Needs no labels.
    factor
        For bins: which one, where the model knows several.
    chroms
        For bins: chromosomes, or parts of them, to lay bins over (200 bp every 50).
    bins
        For bins: a file with one bin a line, such as the challenge's region files; the order is
        kept.
    both_strands
        For bins: the mean over both strands; as in training where not given.
    device
        Where to compute.
    precision
        For bins: number format of the encoder.
    json
        Print a summary as JSON.
    """
    import json as writer
    import sys

    from epilm.errors import UsageError

    if store is not None or cell is not None:
        if sequences is not None:
            raise UsageError(
                "sequences and bins do not go together",
                found=str(sequences),
                do="Leave the file out, or --store and --cell.",
            )
        found_bins = _bins(
            model,
            store,
            cell,
            factor,
            chroms,
            bins,
            out,
            batch_size,
            both_strands,
            device,
            precision,
        )
        print(
            writer.dumps(found_bins, indent=2)
            if json
            else "{bins:,} bins of {cell}, mean {mean:.4f}, {seconds:.1f} s: {out}".format(
                **found_bins
            )
        )
        return
    if sequences is None:
        raise UsageError(
            "nothing to predict is named",
            do="Give sequences or intervals, or --store and --cell for bins of the genome.",
        )
    from epilm.device import choose_place
    from epilm.finetuning.predict import predict as run
    from epilm.finetuning.predict import summary

    print("; ".join(choose_place(device, "fp32").said), file=sys.stderr)
    found = run(
        model, sequences, genome=genome, batch_size=batch_size, device=device, window=window
    )
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


def _bins(
    model: Path,
    store: Path | None,
    cell: str | None,
    factor: str | None,
    chroms: list[str] | None,
    bins: Path | None,
    out: Path | None,
    batch_size: int,
    both_strands: bool | None,
    device: Literal["auto", "cpu", "cuda", "mps"],
    precision: Literal["auto", "fp32", "bf16"],
) -> dict[str, Any]:
    import sys
    import time

    from epilm.device import choose_place
    from epilm.errors import UsageError
    from epilm.finetuning.predict_bins import write_bins
    from epilm.store.reader import Store
    from epilm.tasks.binding.bins import grid, read_bins

    if store is None or cell is None or out is None:
        raise UsageError(
            "bins need a store, a cell type and a file", do="Give --store, --cell and --out."
        )
    opened = Store.open(store)
    if bins is not None:
        wanted = read_bins(bins, chroms=chroms)
    elif chroms:
        sizes = dict(zip(opened.chroms, opened.sizes, strict=True))
        wanted = grid(sizes, chroms=chroms)
    else:
        raise UsageError("no bins are named", do="Give --chroms, or --bins FILE.")
    place = choose_place(device, precision)
    print("; ".join(place.said), file=sys.stderr)
    began = time.monotonic()
    mean = write_bins(
        model,
        opened,
        cell,
        wanted,
        out,
        factor=factor,
        batch=batch_size,
        both_strands=both_strands,
        device=place.device.type,
        autocast=place.autocast,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    seconds = time.monotonic() - began
    return {
        "bins": len(wanted),
        "cell": cell,
        "mean": mean,
        "seconds": round(seconds, 3),
        "out": str(out),
    }

"""`epilm embed MODEL`: a vector for every sequence, interval or region."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


@dataclass(frozen=True)
class VectorSource:
    """What is embedded; one of --fasta, --bed, --store."""

    fasta: Path | None = None
    """FASTA, or one sequence a line (.gz too)."""
    bed: Path | None = None
    """BED or narrowPeak, with --genome."""
    genome: list[Path] | None = None
    """FASTA, .2bit or a store, for --bed; repeat it for several files."""
    store: Path | None = None
    """The regions of a store: in each cell type where the model reads one."""
    cells: tuple[str, ...] = ()
    """Cell types of the store; all where none is named."""
    specific: bool = False
    """Only regions that are accessible in one of the cell types alone."""
    window: int | None = None
    """bp around the centre of each interval or region; their own bases where not given."""


def embed(
    model: Path,
    *,
    out: Path,
    source: Annotated[VectorSource, Parameter(name="*")] = VectorSource(),
    pool: Literal["cls", "mean", "pooler", "max"] | None = None,
    by: str | None = None,
    batch_size: int = 64,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    json: bool = False,
) -> None:
    """Write a vector of a model for every sequence, interval or region, with what it is of.

    Examples:
    epilm embed runs/play --fasta enhancers.fa --out enhancers.h5ad
    epilm embed runs/play --bed peaks.bed --genome hg19.fa --window 500 \\
        --by name --out peaks.parquet
    epilm embed runs/play --store play.store --specific --pool mean --out regions.h5ad

    Parameters
    ----------
    model
        Run of epilm pretrain or finetune, model folder, DNABERT folder.
    out
        .h5ad (AnnData), .parquet, or .npy with what each vector is of in OUT.obs.tsv beside.
    pool
        How token vectors become one; the model's own where not given.
    by
        Column whose labels are compared (cell_type, name, chrom): share of nearest neighbours with
        the same label, and silhouette. Of a store cell_type where not given.
    batch_size
        Sequences (pieces of long ones) of a forward pass.
    device
        Where to compute.
    json
        Print a summary as JSON.
    """
    import json as writer

    from epilm.errors import InputError, UsageError
    from epilm.vectors.embed import embed as run

    if source.fasta is not None and source.bed is not None:
        raise UsageError("one thing is embedded at a time", found="--fasta and --bed")
    if source.bed is not None and source.genome is None:
        raise InputError(
            "intervals need the genome they lie on",
            where=str(source.bed),
            do="Pass --genome FASTA.",
        )
    done = run(
        model,
        source.fasta or source.bed,
        out,
        genome=source.genome,
        store=source.store,
        cells=source.cells,
        specific=source.specific,
        window=source.window,
        pool=pool,
        by=by,
        batch_size=batch_size,
        device=device,
    )
    if json:
        files = [str(path) for path in done.files]
        print(writer.dumps(done.about | {"vectors": len(done), "files": files}, indent=2))
        return
    if done.neighbours is not None:
        print(done.neighbours.said(str(done.about["neighbours"]["by"])))
    print(f"{len(done)} vectors ({done.about['pool']}): {', '.join(map(str, done.files))}")

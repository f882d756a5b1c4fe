"""`epilm build`: raw files to a store."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from epilm.store.making.store_choices import Accessible, Motifs, RegionRules, Tracks


def build(
    *,
    genome: list[Path],
    out: Path,
    accessible: Annotated[Accessible, Parameter(name="*")] = Accessible(),  # noqa: B008 - frozen
    regions: Annotated[RegionRules, Parameter(name="*")] = RegionRules(),  # noqa: B008
    factors: Annotated[Motifs, Parameter(name="*")] = Motifs(),  # noqa: B008
    tracks: Annotated[Tracks, Parameter(name="*")] = Tracks(),  # noqa: B008
    sizes: Path | None = None,
    assembly: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Build a store from a genome, accessible regions and motifs, states and signals.

    Examples:
    epilm build --genome hg19.fa.gz --peaks peaks/ --motifs jaspar:2018 --out my.store
    epilm build --genome hg19.2bit --counts atlas.h5ad --motifs jaspar.txt --out atlas.store
    epilm build --genome hg19.2bit --states hub/trackDb.txt --accessibility dnase/ \\
        --mappability map.bw --out ebert.store
    epilm build --genome hg19.2bit --counts atlas.h5ad --motifs jaspar.txt --shard 1/8 --out parts
    epilm build --genome hg19.2bit --counts atlas.h5ad --motifs jaspar.txt --from-parts parts \\
        --out atlas.store

    Parameters
    ----------
    genome
        FASTA (plain, gzip, bgzip) or .2bit; repeat it for several files of one genome.
    out
        Folder to make; nothing is left there when the build fails.
    sizes
        chrom.sizes with the declared lengths; shorter records are filled with N.
    assembly
        Name of the genome, for people.
    threads
        For the motif scan; default all cores.
    overwrite
        Replace an existing folder.
    quiet
        No progress bars and no notes.
    json
        Print what is in the store as JSON.
    """
    import json as writer
    import sys

    from epilm.store.inspect import inspect, print_store
    from epilm.store.making.build import build as run

    chosen = vars(accessible) | vars(regions) | vars(factors) | vars(tracks)
    # Lists that were not said: what the function of the same name takes for them.
    chosen["more_statistics"] = factors.more_statistics or ()
    chosen["signal_pool"] = tracks.signal_pool or "max"
    chosen |= {
        "genome": genome,
        "out": out,
        "sizes": sizes,
        "assembly": assembly,
        "threads": threads,
        "overwrite": overwrite,
        "progress": not quiet,
    }
    if (shard := chosen.pop("shard")) is not None:
        from epilm.store.making.build_shards import build_shard

        part = build_shard(shard, **chosen)
        print(writer.dumps(part.summary(), indent=2) if json else part.text())
        return
    store = run(**chosen)
    if not quiet and not json:
        for note in store.info.notes:
            print(f"note: {note}", file=sys.stderr)
    print_store(inspect(store), json=json)

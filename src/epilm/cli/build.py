"""`epilm build`: raw files to a store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from epilm.errors import UsageError
from epilm.sharding.spread import Spread
from epilm.store.making.store_choices import Accessible, Motifs, RegionRules, Tracks


@dataclass(frozen=True)
class ScanSpread(Spread):
    """Who scans the regions with the motifs, and where."""

    shard: str | None = None
    """i/N: scan the i-th of N parts of the regions alone, and write it as part-i-of-N into the
    folder --out; the same command with --from-parts makes the store."""
    from_parts: list[Path] | None = None
    """Take the factor matrix from these parts, or the folder of them, in place of a scan."""
    threads: int | None = None
    """For the motif scan, of each process; all cores where not given, shared by the processes of
    this machine."""

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        if self.executor is not None and self.from_parts is not None:
            raise UsageError(
                "--from-parts is of parts that are there, and --executor makes them",
                found=f"--from-parts and --executor {self.executor}",
                do="Give one of them.",
            )


def build(
    *,
    genome: list[Path],
    out: Path,
    accessible: Annotated[Accessible, Parameter(name="*")] = Accessible(),  # noqa: B008 - frozen
    regions: Annotated[RegionRules, Parameter(name="*")] = RegionRules(),  # noqa: B008
    factors: Annotated[Motifs, Parameter(name="*")] = Motifs(),  # noqa: B008
    tracks: Annotated[Tracks, Parameter(name="*")] = Tracks(),  # noqa: B008
    spread: Annotated[ScanSpread, Parameter(name="*")] = ScanSpread(),
    sizes: Path | None = None,
    assembly: str | None = None,
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
    epilm build --genome hg19.2bit --counts atlas.h5ad --motifs jaspar.txt --executor local \\
        --jobs 8 --out atlas.store

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
    overwrite
        Replace an existing folder.
    quiet
        No progress bars and no notes.
    json
        Print what is in the store as JSON.
    """
    import json as writer
    import sys

    from epilm.sharding.spread import spread_out
    from epilm.store.inspect import inspect, print_store
    from epilm.store.making.build import build as run
    from epilm.store.making.build_shards import build_shard

    spread.check()
    chosen: dict[str, Any] = vars(accessible) | vars(regions) | vars(factors) | vars(tracks)
    # Lists that were not said: what the function of the same name takes for them.
    chosen["more_statistics"] = factors.more_statistics or ()
    chosen["signal_pool"] = tracks.signal_pool or "max"
    chosen["signal_scale"] = tracks.signal_scale or "none"
    chosen |= {
        "genome": genome,
        "sizes": sizes,
        "assembly": assembly,
        "from_parts": spread.from_parts,
        "overwrite": overwrite,
        "progress": not quiet,
    }
    threads = spread.threads or spread.share_of_cores
    if spread.shard is not None:
        part = build_shard(out, shard=spread.shard, threads=threads, **chosen)
        print(writer.dumps(part.summary(), indent=2) if json else part.text())
        return

    def whole(parts: Path) -> Any:
        return run(out=out, threads=spread.threads, **chosen | {"from_parts": [parts]})

    if spread.executor is None:
        store = run(out=out, threads=threads, **chosen)
    else:
        of_a_part = chosen | {"threads": threads, "progress": False}
        store = spread_out(build_shard, (), out, of_a_part, spread, whole)
    if not quiet and not json:
        for note in store.info.notes:
            print(f"note: {note}", file=sys.stderr)
    print_store(inspect(store), json=json)

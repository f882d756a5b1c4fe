"""`epilm merge PARTS`: what shards did, as one process would have written it."""

from pathlib import Path


def merge(parts: list[Path], *, out: Path, overwrite: bool = False, json: bool = False) -> None:
    """Join the parts that --shard i/N wrote, byte for byte what one process writes.

    Examples:
    epilm merge parts --out scores.tsv

    Parameters
    ----------
    parts
        Folder of the parts, or the parts themselves.
    out
        What the command itself would have written, by its name: .tsv, .bw, .vcf.gz, ...;
        of epilm explain, compare and ablate a folder.
    overwrite
        Replace a folder --out.
    json
        Print a summary as JSON.
    """
    import json as writer

    from epilm.cli.told import summary_of, text_of
    from epilm.sharding.merge import merge as joined

    done = joined(parts, out, overwrite=overwrite)
    print(writer.dumps(summary_of(done, out), indent=2) if json else text_of(done, out))

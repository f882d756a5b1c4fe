"""A shard of a build: its share of the motif scan, which is what a build takes long for.

Everything else of a build costs little and is made once, with `build(..., from_parts=)`, from the
same files. A shard reads genome, regions and motifs as the build does, and no track.
"""

import inspect
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from epilm.atomic import locked
from epilm.errors import UsageError
from epilm.shards import PartWritten, Shard, parse_shard, write_part, written_before
from epilm.store.making.asked import Asked, check, check_scan
from epilm.store.making.build import build, clean_regions, scan, write_genome
from epilm.store.making.factor_parts import UNIT, scan_request
from epilm.store.making.progress import bars
from epilm.store.making.raw import read_raw
from epilm.store.making.writer import StoreWriter


def build_shard(out: str | Path, *, shard: str, **named: Any) -> PartWritten:
    """Scan one of N parts of the regions.

    Parameters
    ----------
    out : path
        Folder of the parts; `part-i-of-N` appears in it, whole or not at all.
    shard : str
        i/N: the blocks of regions i, i + N, ...
    **named
        What `build` takes.

    Raises
    ------
    UsageError
        If the shard is none, or an option is of a whole store.
    InputError
        As `build`; if nothing is scanned, or another request's part lies there.
    """
    mine = parse_shard(shard)
    for option, given in (("--overwrite", "overwrite"), ("--from-parts", "from_parts")):
        if named.get(given):
            raise UsageError(
                "it is of a whole store, and --shard makes a part",
                where=option,
                do=f"Leave {option} out.",
            )
    defaults = {key: each.default for key, each in inspect.signature(build).parameters.items()}
    asked = Asked(**{**defaults, **named, "out": out})
    check(asked)
    check_scan(asked, "--shard")
    Path(out).mkdir(parents=True, exist_ok=True)
    home = Path(out) / f"{mine.name}.genome"
    with locked(home):
        for left in Path(out).glob(f".{home.name}-*"):  # by a killed one: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        # The flat genome may be larger than memory: it lies beside the parts for a while.
        with TemporaryDirectory(prefix=f".{home.name}-", dir=out) as folder:
            return _scan_part(asked, mine, Path(folder))


def _scan_part(asked: Asked, mine: Shard, folder: Path) -> PartWritten:
    """Read what a build reads, and scan the blocks of one shard."""
    with bars(asked.progress) as bar:
        raw = read_raw(asked, bar)
        sizes = raw.genome.sizes
        writer = StoreWriter(folder, tuple(sizes), tuple(sizes.values()))
        bases = write_genome(writer, raw.genome, bar)
        clean_regions(asked, raw, bases, writer)
        assert raw.motifs is not None  # `check_scan`
        rows = raw.regions.structured(writer.chroms)
        request = scan_request(asked, raw.motifs, bases, rows, writer.chroms)
        if (before := written_before(asked.out, mine, request)) is not None:
            return before
        count = -(-len(rows) // UNIT)
        own = [unit for unit in range(count) if mine.has(unit)]
        only = [row for u in own for row in range(UNIT * u, min(UNIT * (u + 1), len(rows)))]
        with write_part(asked.out, mine, request) as part:
            part.units, at = count, 0
            made, _ = scan(
                asked, raw.motifs, bases, rows, writer.offsets, bar, only=np.array(only, np.int64)
            )
            for unit in own:
                block = slice(at, at + min(UNIT, len(rows) - UNIT * unit))
                part.put(unit, {str(n): matrix[block] for n, matrix in enumerate(made)})
                at = block.stop
    return PartWritten(Path(asked.out) / mine.name, len(own), count)

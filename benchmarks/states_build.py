"""What chromatin states of 127 cell types cost over hg19: seconds, memory of the build's own, bytes
on disk.

Simulated tracks of real size: hg19's chromosomes, 200 bp bins, about 600,000 segments a cell type
(Roadmap's 15-state files have 400,000 to 700,000), 15 states in BED4, gzip. A few different files
stand under many names, so that the simulation is short; each is read and laid out as if it were its
own. The genome is short records filled up with N, because its bases play no part. Checked: every
track of the store equals the file it came from, bin by bin, one byte a bin.

    python benchmarks/states_build.py [--cells 127] [--files 4] [--segments 600000]
"""

import argparse
import gzip
import json
import os
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - after the threads are set

NAMES = (
    "TssA",
    "TssAFlnk",
    "TxFlnk",
    "Tx",
    "TxWk",
    "EnhG",
    "Enh",
    "ZNF/Rpts",
    "Het",
    "TssBiv",
    "BivFlnk",
    "EnhBiv",
    "ReprPC",
    "ReprPCWk",
    "Quies",
)
GOAL_BYTES = 2_000_000_000
BIN = 200


def chromosomes() -> dict[str, int]:
    """hg19's chromosomes and their lengths."""
    from scale_build import HG19

    return dict(zip([f"chr{c}" for c in (*range(1, 23), "X", "Y")], HG19, strict=True))


def write_genome(folder: Path, sizes: dict[str, int]) -> list[str]:
    """A short record for each chromosome and the declared lengths: the build fills up with N."""
    with open(folder / "g.fa", "w", encoding="ascii") as handle:
        for name in sizes:
            handle.write(f">{name}\nACGTTGCAAC\n")
    (folder / "chrom.sizes").write_text(
        "".join(f"{name}\t{size}\n" for name, size in sizes.items())
    )
    return ["--genome", str(folder / "g.fa"), "--sizes", str(folder / "chrom.sizes")]


def simulate(sizes: dict[str, int], n_segments: int, seed: int) -> dict[str, np.ndarray]:
    """Codes of all bins, in about `n_segments` runs; no two neighbours alike, 2 % of the runs
    unknown.
    """
    generator = np.random.default_rng(seed)
    n_bins = sum(-(-size // BIN) for size in sizes.values())
    mean = n_bins / n_segments
    out = {}
    for name, size in sizes.items():
        n = -(-size // BIN)
        lengths = generator.geometric(1 / mean, int(1.2 * n / mean) + 100)
        steps = generator.integers(
            1, len(NAMES), len(lengths)
        )  # never 0: the neighbour has another state
        states = (np.cumsum(steps) % len(NAMES)).astype(np.uint8)
        states[generator.random(len(states)) < 0.02] = 255
        out[name] = np.repeat(states, lengths)[:n]
    return out


def write_bed(path: Path, codes: dict[str, np.ndarray], sizes: dict[str, int]) -> int:
    """Runs of equal bins as BED4, gzip; the number of lines."""
    total = 0
    with gzip.open(path, "wt", compresslevel=1, encoding="ascii") as handle:
        for name, values in codes.items():
            first = np.flatnonzero(np.diff(values, prepend=254))
            last = np.append(first[1:], len(values))
            rows = zip(
                (first * BIN).tolist(), (last * BIN).tolist(), values[first].tolist(), strict=True
            )
            size = sizes[name]
            lines = [
                f"{name}\t{a}\t{min(b, size)}\t{v + 1}_{NAMES[v]}\n" for a, b, v in rows if v != 255
            ]
            handle.write("".join(lines))
            total += len(lines)
    return total


def main() -> None:
    """Simulate, build in a process of its own, check every track, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=127)
    parser.add_argument(
        "--files", type=int, default=4, help="different tracks; the cell types share them"
    )
    parser.add_argument("--segments", type=int, default=600_000)
    parser.add_argument(
        "--alone", action="store_true", help="measure the genome without states as well"
    )
    parser.add_argument("--work", type=Path, help="scratch folder; a temporary one by default")
    arguments = parser.parse_args()
    from harness import machine, versions
    from scale_build import measure

    from epilm.store.reader import Store

    sizes = chromosomes()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        root = Path(folder)
        begin = time.perf_counter()
        genome = write_genome(root, sizes)
        tracks = [
            simulate(sizes, arguments.segments, seed)
            for seed in range(min(arguments.files, arguments.cells))
        ]
        lines = [
            write_bed(root / f"track{i}.bed.gz", track, sizes) for i, track in enumerate(tracks)
        ]
        (root / "states").mkdir()
        for cell in range(arguments.cells):
            (root / "states" / f"E{cell + 1:03d}.bed.gz").symlink_to(
                root / f"track{cell % len(tracks)}.bed.gz"
            )
        print(
            f"simulated in {time.perf_counter() - begin:.0f} s: {', '.join(map(str, lines))}"
            " segments",
            flush=True,
        )
        words = ["build", *genome, "--out", str(root / "store")]
        bare = measure(words) if arguments.alone else None
        before = os.times()
        full = measure([*words, "--states", str(root / "states")])
        after = os.times()
        cpu = (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )

        store = Store.open(root / "store")
        assert store.states is not None
        held = store.info.files["states.u8.npy"]
        n_bins = int(store.states.offsets[-1])
        assert held["dtype"] == "|u1"
        assert held["shape"] == [arguments.cells, n_bins]
        flat = [np.concatenate([track[name] for name in sizes]) for track in tracks]
        for cell in range(arguments.cells):
            assert np.array_equal(np.asarray(store.states.of(cell)), flat[cell % len(flat)]), cell
        assert store.states.names == tuple(f"{i + 1}_{name}" for i, name in enumerate(NAMES))

        generator = np.random.default_rng(0)
        cells, chroms = (
            generator.integers(0, arguments.cells, 8192),
            generator.integers(0, 24, 8192),
        )
        starts = (generator.random(8192) * (store.states.n_bins[chroms] - 6)).astype(np.int64)
        times = []
        for _ in range(7):
            tick = time.perf_counter()
            store.states.gather(cells, chroms, starts, 6)
            times.append(time.perf_counter() - tick)

        row = {
            "cells": arguments.cells,
            "bins": n_bins,
            "segments_a_track": lines,
            "seconds": full["seconds"],
            "cpu_seconds": cpu,  # what a busy machine does not change much
            "seconds_genome_alone": None if bare is None else bare["seconds"],
            "anonymous_gb": full["anonymous_gb"],
            "resident_gb": full["resident_gb"],
            "states_bytes": held["bytes"],
            "states_goal_bytes": GOAL_BYTES,
            "goal_reached": held["bytes"] <= GOAL_BYTES if arguments.cells >= 127 else None,
            "gather_us_a_window": min(times) / 8192 * 1e6,
            "checked": f"every bin of {arguments.cells} tracks equals its file",
            "command": f"python benchmarks/states_build.py --cells {arguments.cells}",
            "machine": machine(),
            "versions": versions(),
            "date": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        }
    print(json.dumps({key: value for key, value in row.items() if key != "versions"}, indent=2))
    if arguments.cells >= 127:
        out = Path(__file__).parent / "results" / "states_build.json"
        out.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

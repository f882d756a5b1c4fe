"""Row 15: random windows of 1 kb of a bigWig signal, against pyBigWig.

Ours: `SignalTable.windows` on the memory map of a store that `epilm build` made of that bigWig at
every base (page cache warm). Peer: pyBigWig on the bigWig itself, one `values(..., numpy=True)` a
window, which is what it offers. Both give float32 (B, 1000), missing as 0, one thread each.
Checked: all values agree, ours with the peer's rounded to float16, as the store keeps them. Two
chromosomes, runs of 1 to 60 bp with a random value, a tenth of them missing.

    python benchmarks/row15_track_windows.py [--batch 512] [--mb 40] [--width 1000] [--longest 60]
"""

import argparse
import os
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")


def write_signal(path: Path, sizes: dict[str, int], longest: int, seed: int = 0) -> None:
    """A bigWig of random runs, as a signal of reads has them."""
    import numpy as np
    import pyBigWig

    generator = np.random.default_rng(seed)
    with pyBigWig.open(str(path), "w") as handle:
        handle.addHeader(list(sizes.items()))
        for chrom, size in sizes.items():
            ends = np.cumsum(generator.integers(1, longest + 1, 3 * size // longest + 100))
            ends = np.append(ends[ends < size], size)
            starts = np.concatenate([[0], ends[:-1]])
            keep = generator.random(len(starts)) < 0.9
            values = np.round(generator.gamma(0.7, 3.0, len(starts)), 2)
            starts, ends, values = starts[keep], ends[keep], values[keep]
            for a in range(0, len(starts), 100_000):
                part = slice(a, a + 100_000)
                n = len(starts[part])
                handle.addEntries(
                    [chrom] * n,
                    starts[part].tolist(),
                    ends=ends[part].tolist(),
                    values=values[part].tolist(),
                )


def main() -> None:
    """Run the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=512, help="windows of one batch")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--mb", type=int, default=40, help="genome size, Mb")
    parser.add_argument("--width", type=int, default=1000, help="window, bp")
    parser.add_argument("--longest", type=int, default=60, help="longest run of one value, bp")
    arguments = parser.parse_args()

    import numpy as np
    import pyBigWig
    from harness import compare, write_row

    from epilm.store.making.build import build

    half, width, batch = arguments.mb * 500_000, arguments.width, arguments.batch
    sizes = {"chr1": half, "chr2": half}
    generator = np.random.default_rng(1)
    names = list(sizes)
    drawn = [
        (generator.integers(0, 2, batch), generator.integers(0, half - width, batch))
        for _ in range(arguments.batches)
    ]
    cells = np.zeros(batch, np.int64)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_signal(root / "signal.bw", sizes, arguments.longest)
        letters = np.frombuffer(b"ACGT", np.uint8)
        with open(root / "g.fa", "wb") as handle:
            for name, size in sizes.items():
                handle.write(
                    f">{name}\n".encode()
                    + letters[generator.integers(0, 4, size)].tobytes()
                    + b"\n"
                )
        store = build(
            genome=root / "g.fa", accessibility={"cell": root / "signal.bw"}, out=root / "store"
        )
        table = store.signals["accessibility"]
        handle = pyBigWig.open(str(root / "signal.bw"))

        def ours():
            return [table.windows(cells, chroms, starts, width) for chroms, starts in drawn]

        def peer():
            out = []
            for chroms, starts in drawn:
                block = np.empty((batch, width), np.float32)
                for i, (chrom, start) in enumerate(
                    zip(chroms.tolist(), starts.tolist(), strict=True)
                ):
                    block[i] = handle.values(names[chrom], start, start + width, numpy=True)
                np.nan_to_num(block, copy=False, nan=0.0)
                out.append(block)
            return out

        def check(mine, theirs):
            for a, b in zip(mine, theirs, strict=True):
                assert a.shape == b.shape == (batch, width)
                assert a.dtype == b.dtype == np.float32
                assert np.array_equal(a, b.astype(np.float16).astype(np.float32))
            return f"the same values in {len(drawn) * batch} windows (float16)"

        row = compare(
            "row 15: random windows of a signal",
            ours,
            peer,
            check=check,
            goal=100.0,
            peer_name="pyBigWig",
            setup_note=(
                f"{arguments.mb} Mb, {len(drawn)} batches of {batch} windows of {width} bp, runs of"
                f" 1 to {arguments.longest} bp, 1 thread"
            ),
            threads=1,
        )
        each = len(drawn) * batch
        print(
            f"ours {each / row['ours_s']:,.0f} windows/s, peer {each / row['peer_s']:,.0f}"
            " windows/s"
        )
        if arguments.longest == 60:
            write_row(row, Path(__file__).parent / "results" / "row15.json")


if __name__ == "__main__":
    main()

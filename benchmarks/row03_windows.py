"""Row 3: random windows of 1 kb gathered from the genome, against genvarloader's RefDataset.

Ours: `Store.windows` on the memory map of a store (page cache warm). Peer: RefDataset with the
reference in memory, fixed output length, no jitter, the windows as its BED. Both get batches of
random row numbers and give arrays (N, 1000), one byte a base, one thread each. Checked: the letters
of all windows agree.

    python benchmarks/row03_windows.py [--batch 1024] [--mb 100] [--width 1000]
"""

import argparse
import os
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1024, help="windows of one batch")
    parser.add_argument("--mb", type=int, default=100, help="genome size, Mb")
    parser.add_argument("--width", type=int, default=1000, help="window, bp")
    arguments = parser.parse_args()

    import genvarloader as gvl
    import numpy as np
    import polars as pl
    from harness import compare, write_row

    from epilm.store.making.writer import write_store
    from epilm.store.reader import Store
    from epilm.store.schema import REGION_TYPE

    n_bases, width, batch = arguments.mb * 1_000_000, arguments.width, arguments.batch
    generator = np.random.default_rng(0)
    half = n_bases // 2
    codes = {f"chr{c}": generator.integers(0, 4, half, dtype=np.uint8) for c in (1, 2)}
    n_windows = 200_000
    chrom = generator.integers(0, 2, n_windows)
    start = generator.integers(0, half - width, n_windows)
    order = np.lexsort((start, chrom))
    regions = np.zeros(n_windows, REGION_TYPE)
    regions["chrom"], regions["start"], regions["end"] = (
        chrom[order],
        start[order],
        start[order] + width,
    )
    batches = [generator.integers(0, n_windows, batch) for _ in range(50)]
    letters = np.frombuffer(b"ACGTN", dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        write_store(
            Path(folder) / "store",
            genome=codes,
            regions=regions,
            accessible=np.ones((n_windows, 1), bool),
            cell_types=["all"],
        )
        store = Store.open(Path(folder) / "store")
        fasta = Path(folder) / "g.fa"
        with open(fasta, "wb") as handle:
            for name, values in codes.items():
                handle.write(b">" + name.encode() + b"\n" + letters[values].tobytes() + b"\n")
        reference = gvl.Reference.from_path(fasta, in_memory=True)
        bed = pl.DataFrame(
            {
                "chrom": [f"chr{c + 1}" for c in regions["chrom"]],
                "chromStart": regions["start"].astype(np.int64),
                "chromEnd": regions["end"].astype(np.int64),
            }
        )
        dataset = gvl.RefDataset(reference, bed, deterministic=True, rc_neg=False).with_len(width)
        starts = store.flat_starts

        def ours():
            return [store.windows(starts[rows], width) for rows in batches]

        def peer():
            return [dataset[rows] for rows in batches]

        def check(mine, theirs):
            for a, b in zip(mine, theirs, strict=True):
                assert a.shape == (batch, width)
                assert np.array_equal(
                    letters[a], np.asarray(b).view(np.uint8).reshape(batch, width)
                )
            return f"the same letters in {len(batches) * batch} windows"

        row = compare(
            "row 3: random windows gathered",
            ours,
            peer,
            check=check,
            goal=1.0,
            stretch=2.0,
            peer_name="genvarloader RefDataset",
            setup_note=(
                f"{arguments.mb} Mb, {len(batches)} batches of {batch} windows of {width} bp, 1"
                " thread"
            ),
            threads=1,
        )
        each = len(batches) * batch
        print(
            f"ours {each / row['ours_s']:,.0f} windows/s, peer {each / row['peer_s']:,.0f}"
            " windows/s"
        )
        write_row(row, Path(__file__).parent / "results" / "row03.json")


if __name__ == "__main__":
    main()

# ruff: noqa: E402 (threads are set before anything that reads them)
"""A prediction of all of the challenge's bins: chr1, chr8 and chr21 of hg19 at their real lengths,
into its own file.

Bases, states, accessibility and mappability are invented, as long as the real ones (443,744,538
bases, 8,874,808 bins), the signals one value a 25 bases; the model is as small as an EBERT can be,
because what is shown is the stream: memory must not grow with the bins, and the file must be whole.
Each part runs in a process of its own, from memory maps; memory is the highest anonymous memory of
the process above what it held before it predicted (the mapped store's pages are the system's).
Checked: number and order of the lines, and the scores of bins drawn at random, computed again one
by one.

    python benchmarks/predict_genome.py [--share 1.0] [--batch 1024] [--format tab.gz]
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from curves import anonymous_mb
from harness import machine, versions, write_row

SIZES = {"chr1": 249_250_621, "chr8": 146_364_022, "chr21": 48_129_895}
WINDOW, RESOLUTION, DRAWN = 400, 25, 300


def write_store_of(folder: Path) -> Path:
    """A store with two cell types' states and accessibility, and mappability, at real size."""
    from epilm.store.making.writer import write_store
    from epilm.store.track_arrays import SignalArrays, StateArrays
    from epilm.store.tracks import bin_offsets

    rng = np.random.default_rng(0)
    sizes = tuple(SIZES.values())
    n = int(bin_offsets(sizes, 200)[-1])
    codes = np.repeat(rng.integers(0, 15, (2, n // 6 + 1), dtype=np.uint8), 6, axis=1)[:, :n]
    m = int(bin_offsets(sizes, RESOLUTION)[-1])
    names = ["typeA", "typeB"]
    return write_store(
        folder / "store",
        assembly="invented",
        cell_types=names,
        genome={name: rng.integers(0, 4, size, dtype=np.uint8) for name, size in SIZES.items()},
        states=StateArrays(codes, {"typeA": 0, "typeB": 1}, 200, [f"{i + 1}_S" for i in range(15)]),
        signals={
            "accessibility": SignalArrays(
                rng.gamma(0.5, 2.0, (2, m)).astype(np.float32),
                {"typeA": 0, "typeB": 1},
                RESOLUTION,
                "mean",
            ),
            "mappability": SignalArrays(rng.random((1, m), np.float32), None, RESOLUTION, "mean"),
        },
    )


def smallest_model(store: Any) -> Any:
    """EBERT+ of one layer, 16 wide, with random weights."""
    from ebert_plus import ebert_plus

    return ebert_plus(
        store,
        window_bp=WINDOW,
        signals=("accessibility", "mappability"),
        encoder={"layers": 1, "hidden": 16, "heads": 1, "ffn": 32},
        conv_channels=(8, 8),
        dense=8,
    )


def predict(pipe: Any, store_path: str, out: str, share: float, batch: int) -> None:
    """Predict, follow the process's memory, check the file."""
    import torch
    from ebert_plus import blocks_of

    from epilm.device import choose_place
    from epilm.finetuning.predict import predict as predict_bins
    from epilm.store.reader import Store
    from epilm.tasks.binding import grid

    torch.set_num_threads(1)
    store = Store.open(store_path)
    model, place = smallest_model(store), choose_place("cpu", "fp32")
    bins = grid(SIZES)
    bins = bins.take(slice(0, round(share * len(bins))))
    first = bins.take(slice(0, batch))  # loops compiled, libraries loaded
    next(blocks_of(model, store, "typeB", first, place, batch))
    before, peak, over = anonymous_mb(), [0.0], threading.Event()

    def follow() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], anonymous_mb())

    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    began = time.perf_counter()
    mean = predict_bins(
        model,
        out=out,
        store=store,
        cell="typeB",
        bins=bins,
        batch_size=batch,
        device="cpu",
        say=lambda line: print(line, flush=True),
    ).mean
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    pipe.send(
        {
            "bins": len(bins),
            "seconds": seconds,
            "bins_per_second": len(bins) / seconds,
            "memory_mb": peak[0] - before,
            "file_mb": Path(out).stat().st_size / 1e6,
            "mean": mean,
            "checked": check(model, store, bins, out, mean),
        }
    )


def check(model: Any, store: Any, bins: Any, out: str, mean: float) -> str:
    """The file against bins predicted one by one; its reader refuses other bins, another order, a
    missing line.
    """
    from ebert_plus import blocks_of

    from epilm.device import choose_place
    from epilm.tasks.binding.dream.submission import read_submission

    if not out.endswith((".tab", ".tab.gz")):
        return "not read again"
    found = read_submission(out, bins).scores
    at = np.sort(np.random.default_rng(1).choice(len(bins), min(DRAWN, len(bins)), replace=False))
    place = choose_place("cpu", "fp32")
    alone = np.array(
        [
            next(blocks_of(model, store, "typeB", bins.take(slice(i, i + 1)), place, 1))[0, 0]
            for i in at
        ]
    )
    gap = float(np.abs(found[at] - alone).max())
    assert len(found) == len(bins)
    assert gap < 1e-5, gap
    assert abs(float(found.mean()) - mean) < 1e-6
    assert len(np.unique(found[at])) > len(at) // 2  # not one number for all
    return (
        f"{len(found):,} lines in the order of the bins; {len(at)} of them predicted alone, largest"
        f" difference {gap:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the bins, in the second part")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--format", default="tab.gz", help="tab.gz, bw or parquet")
    given = parser.parse_args()
    parts = []
    ways = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        store = write_store_of(Path(folder))
        for share in (given.share / 10, given.share):
            mine, its = ways.Pipe()
            words = (its, str(store), f"{folder}/F.TF.typeB.{given.format}", share, given.batch)
            process = ways.Process(target=predict, args=words)
            process.start()
            its.close()
            part = mine.recv()
            process.join()
            parts.append(part)
            print(json.dumps(part))
    growth = parts[1]["memory_mb"] / max(parts[0]["memory_mb"], 1.0)
    print(f"ten times the bins: {growth:.2f} times the memory")
    result = {
        "name": "prediction of all of the challenge's bins",
        "parts": parts,
        "memory_ratio": round(growth, 3),
        "store_mb": round(sum(SIZES.values()) / 1e6),
        "format": given.format,
        "machine": machine(),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "command": "python benchmarks/predict_genome.py",
    }
    if given.share == 1.0:
        write_row(result, "predict_genome.json")


if __name__ == "__main__":
    main()

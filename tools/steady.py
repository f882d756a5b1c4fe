"""Memory and speed over many steps: python tools/steady.py [--steps 5000].

Pre-trains a tiny DNABERT on an invented store, with validations, states and log lines on the way,
and looks at this process after every step. Memory is what the process has in RAM; its slope is
fitted after the first fifth, when all that grows once has grown. Speed is processor time a step,
which other programs disturb least.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import numpy as np  # noqa: E402

from epilm.cli import main as epilm  # noqa: E402
from epilm.pretraining.loop import PretrainLoop  # noqa: E402
from toy_store import toy_store  # noqa: E402

SWITCHES = (
    *("train.checkpoint_every=500", "train.validate_every=500", "train.log_every=50"),
    *("train.validate_samples=4", "train.batch_size=2", "train.micro_batch=2"),
    *("train.precision=fp32", "model.encoder.hidden=16", "model.encoder.ffn=16"),
    *("model.encoder.heads=2", "model.encoder.layers=1", "model.k=3"),
    "samples.holdout_chroms=[chr3]",
)
PAGE = resource.getpagesize()


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def measured(steps: int) -> tuple[int, np.ndarray]:
    """Run; the exit code, and a row a step: bytes in memory, processor seconds so far."""
    seen: list[tuple[int, float]] = []
    step = PretrainLoop.step

    def looked_at(self: PretrainLoop, *given: Any) -> bool:
        more = step(self, *given)
        seen.append((resident(), time.process_time()))
        return more

    PretrainLoop.step = looked_at  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(prefix="epilm-steady-") as folder:
        os.chdir(folder)
        toy_store(Path(), per_chrom=(100, 70, 50), factors=24)
        words = ["pretrain", "dnabert", "--size", "tiny", "--device", "cpu"]
        words += ["--store", "toy0", "--out", "run"]
        for switch in (*SWITCHES, f"train.steps={steps}"):
            words += ["--set", switch]
        code = epilm(words)
        os.chdir(ROOT)
    return code, np.array(seen)


def main() -> None:
    """Print the figures."""
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--steps", type=int, default=5000)
    given = asked.parse_args()
    code, rows = measured(given.steps)
    memory, seconds = rows.T
    first = len(rows) // 5
    slope = np.polyfit(np.arange(first, len(rows)), memory[first:], 1)[0]
    print("| steps | memory at the end, MB | processor ms a step |\n|---|---:|---:|")
    edges = np.linspace(0, len(rows), 6).astype(int).tolist()
    for at, stop in pairwise(edges):
        last = stop - 1
        spent = (seconds[last] - seconds[at]) / max(last - at, 1)
        print(f"| {at + 1:,} to {last + 1:,} | {memory[last] / 1e6:.1f} | {spent * 1e3:.2f} |")
    print(f"\nslope of memory behind step {first:,}: {slope:.0f} bytes a step")
    sys.exit(code)


if __name__ == "__main__":
    main()

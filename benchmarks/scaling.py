"""What 8, 64 and 512 GPUs make of the papers' pre-training: arithmetic on measured figures.

Nothing is timed here. Seconds of one GPU are those that were measured on one H200
(docs/performance.md, H1 and H5); weights and bytes come from `epilm plan`; links, disk and failures
are the assumptions of `epilm.planning.cluster`, printed with the tables. Straggling and failures
are drawn from a seed.

    python benchmarks/scaling.py --store play.store        # the tables of docs/scaling.md

The store needs states and motifs; how large it is does not matter.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from epilm.planning.chips import CHIPS
from epilm.planning.cluster import (
    RESTART,
    Cluster,
    best_interval,
    exchange,
    live,
    lost_share,
    sent,
    slowest,
)
from epilm.planning.sizing import DISK_RATE

# EBERT base on one H200: 4,709 windows/s in micro-batches of 2,048, 3,274 in batches of 256 (with
# six validations among 620 steps). The line through both: what a micro-batch takes before its first
# window.
_EACH = (2048 / 4709 - 256 / 3274) / (2048 - 256)
_START = 256 / 3274 - 256 * _EACH
# GeneBERT base, ten regions as 5,111 tokens, with dropout of attention weights, in micro-batches of
# 32.
_GENEBERT = 44.1
PER_NODE = 8
LINKS = (("one adapter of 200 Gbit/s a machine", 200.0), ("eight of 400 Gbit/s", 3200.0))
SPREAD = 0.05  # of the step of one process, assumed
SEEDS = 200


class Kind(NamedTuple):
    """A pre-training of a paper, and what one device takes for its share of a step."""

    recipe: str
    steps: int
    batch: int
    largest: int
    seconds: Callable[[int], float]


def ebert(windows: int) -> float:
    """Seconds of a micro-batch on one H200."""
    return _START + windows * _EACH


def genebert(samples: int) -> float:
    """Seconds of so many samples on one H200, were small micro-batches as fast as large ones."""
    return samples / _GENEBERT


KINDS = {
    "EBERT": Kind("ebert_base", 70_000, 8192, 2048, ebert),
    "GeneBERT": Kind("genebert_paper", 120_000, 2000, 32, genebert),
}


def planned(kind: Kind, store: Path) -> tuple[float, float, float]:
    """Bytes summed and gathered in a step, and of a checkpoint, from `epilm plan`."""
    from epilm.planning.plan import plan

    few = 16  # samples: a small store has no whole batch, and weights do not depend on it
    keys = (
        "samples.holdout_chroms=[]",
        "train.validate_samples=0",
        f"train.batch_size={few}",
        "train.micro_batch=2",
        f"objectives.matching.batch={few}",
        "objectives.matching.forbid_shared=false",
    )
    told = plan(kind.recipe, store, set=keys, device="h200", devices=Cluster(8), calibrated=False)
    weights = 4.0 * told.parameters["total"]
    gathered = told.network["gathered"] / few * kind.batch
    return weights + gathered, gathered, told.disk["checkpoint"]


def of_step(kind: Kind, devices: int) -> float:
    """Seconds in which the device with most to do computes its share of a step."""
    mine = -(-kind.batch // devices)
    whole, rest = divmod(mine, kind.largest)
    return whole * kind.seconds(kind.largest) + (kind.seconds(rest) if rest else 0.0)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table."""
    head = list(head)
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def steps_of(name: str, kind: Kind, summed: float, gathered: float) -> None:
    """Print what a step and the whole pre-training take."""
    alone = of_step(kind, 1)
    print(f"### {name}: {kind.steps:,} steps of {kind.batch:,}\n")
    rows = []
    for devices in (1, 8, 64, 512):
        nodes = max(devices // PER_NODE, 1)
        computes = of_step(kind, devices)
        each = sent(summed, gathered, devices)
        for said, gbit in LINKS if nodes > 1 else (("inside of one machine", 200.0),):
            waits = exchange(each, Cluster(devices, nodes, gbit), CHIPS["h200"].link) or 0.0
            late = computes * (slowest(devices, SPREAD) - 1)
            step = computes + waits + late
            rows.append(
                (
                    f"{devices}",
                    said if devices > 1 else "",
                    f"{-(-kind.batch // devices):,}",
                    f"{computes * 1e3:,.0f} ms",
                    f"{waits * 1e3:,.1f} ms",
                    f"{late * 1e3:,.1f} ms",
                    f"{step * kind.steps / 3600:,.1f} h",
                    f"{alone / devices / step:.0%}",
                )
            )
    table(
        (
            "GPUs",
            "link",
            "a GPU",
            "computes",
            "waits for sums",
            "for the slowest",
            "all steps",
            "of ideal",
        ),
        rows,
    )


def failures_of(name: str, kind: Kind, summed: float, gathered: float, checkpoint: float) -> None:
    """Print what failures cost the pre-training on 512 GPUs, by how often one fails."""
    devices, gbit = 512, LINKS[0][1]
    waits = exchange(sent(summed, gathered, devices), Cluster(devices, 64, gbit), 450e9) or 0.0
    step = of_step(kind, devices) * slowest(devices, SPREAD) + waits
    work, write = step * kind.steps, checkpoint / DISK_RATE
    print(f"### {name} on {devices}: {work / 3600:.1f} h of steps, {write:.1f} s a checkpoint\n")
    rows = []
    for hours in (Cluster(1).failure_hours, 5_000.0, 500.0):
        apart = Cluster(devices, 64, failure_hours=hours).between_failures
        best = best_interval(write, apart)
        for said, interval in (
            ("best", best),
            ("a quarter of it", best / 4),
            ("four times it", best * 4),
            ("the recipe's 1,000 steps", 1000 * step),
        ):
            lives = [live(work, interval, write, apart, seed=seed) for seed in range(SEEDS)]
            mean = {
                key: np.mean([getattr(each, key) for each in lives])
                for key in ("total", "failures", "again")
            }
            rows.append(
                (
                    f"{hours:,.0f} h ({apart / 3600:.1f} h)",
                    said,
                    f"{interval / step:,.0f}",
                    f"{mean['failures']:.2f}",
                    f"{mean['again'] / 60:.1f} min",
                    f"{1 - work / mean['total']:.2%}",
                    f"{lost_share(interval, write, apart, RESTART):.2%}",
                )
            )
    table(
        (
            "a GPU fails once in (the job)",
            "checkpoint",
            "steps",
            "failures",
            "done again",
            "lost",
            "lost, by formula",
        ),
        rows,
    )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    given = parser.parse_args()
    print(f"EBERT: {_START * 1e3:.1f} ms a micro-batch and {_EACH * 1e3:.4f} ms a window\n")
    for name, kind in KINDS.items():
        summed, gathered, checkpoint = planned(kind, given.store)
        print(
            f"{name}: {summed / 1e6:,.0f} MB summed, {gathered / 1e6:,.1f} MB gathered a step;"
            f" checkpoint {checkpoint / 1e9:.2f} GB\n"
        )
        steps_of(name, kind, summed, gathered)
        failures_of(name, kind, summed, gathered, checkpoint)


if __name__ == "__main__":
    main()

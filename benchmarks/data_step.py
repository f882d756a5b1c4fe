"""A training step with its data, against the same step on one constant batch: what feeding the
model costs.

The step is the one of `epilm pretrain`, its batches made from memory maps while no worker process
helps: on a CPU all of it is time of the same cores. Checked: a maker that never saw the steps
before gives the batch of a step bit for bit as one that did (a resume computes its place, it does
not replay), and every loss is finite. Goal: at most 1.02 on two cores.

    python benchmarks/data_step.py [--size small|base|tiny] [--threads 2] [--rounds 7] [--only
    ebert|genebert] [--store S]

Without --store the store holds random numbers: 48 Mb of bases, states of 8 cell types, 30,000
regions x 579 factors. Tokens masked and windows read are the same work on real ones.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.gpu_parity import tensors_that_differ
from benchmarks.gpu_subjects import Subject, has, make_subject, random_store
from benchmarks.harness import compare, write_row
from epilm.device import choose_place
from epilm.pretraining.run_plan import batch_maker
from epilm.store.reader import Store

RECIPES = {"ebert": "ebert_base", "genebert": "genebert_native"}
SIZES = ("tiny", "small", "base")
# samples a step at size base, where one of the recipe takes an hour; the other sizes take the
# recipe's own
BASE = 4


def check_of(subject: Subject) -> Any:
    """Compare the batch of a late step with that of a maker which begins there, and time the making
    alone.

    The ratio of two steps of seconds holds the machine's noise twice; a batch made by itself tells
    the same cost to a tenth of a per cent. Processor caches are its own there, so it is a lower
    bound.
    """

    def check(_ours: Any, peer: Any) -> str:
        step = subject.fed + 3
        rows = subject.rows_at(step)
        fresh = batch_maker(subject.maker.store, subject.recipe, "train", subject.place.device)
        differ = tensors_that_differ(subject.maker(rows, step), fresh(rows, step))
        assert not differ, f"{differ} tensors of step {step} differ"
        alone = min(making(subject, step + i) for i in range(20)) / peer[0]
        return (
            f"the batch of step {step} made from there on is bit for bit that of the run; all"
            f" losses finite; making a batch by itself takes {alone:.2%} of a step"
        )

    return check


def making(subject: Subject, step: int) -> float:
    """Seconds of all micro-batches of a step."""
    began = time.perf_counter()
    for rows in subject.micros(step):
        subject.maker(rows, step)
    return time.perf_counter() - began


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", choices=tuple(RECIPES))
    parser.add_argument("--store")
    parser.add_argument(
        "--out", default="", help="folder of the rows; benchmarks/results by default"
    )
    given = parser.parse_args(words)
    torch.set_num_threads(given.threads)
    place = choose_place("cpu")
    with tempfile.TemporaryDirectory() as folder:
        store = (
            Store.open(given.store)
            if given.store
            else random_store(Path(folder), given.size == "tiny")
        )
        for name, recipe in RECIPES.items():
            if given.only not in (None, name):
                continue
            if not has(store, name):
                print(f"{name}: skipped, the store serves none")
                continue
            keys = [
                "train.batch_size",
                "train.micro_batch",
                *["objectives.matching.batch"] * (name == "genebert"),
            ]
            sets = [f"{key}={BASE}" for key in keys] if given.size == "base" else []
            subject = make_subject(
                recipe, store, place, size=None if given.size == "base" else given.size, set=sets
            )
            train = subject.recipe.train
            samples = f"{train.batch_size} samples a step in micro-batches of {train.micro_batch}"
            row = compare(
                f"data: a step of {name} with its data, against one constant batch",
                lambda subject=subject: subject.steps(1),  # type: ignore[misc]
                lambda subject=subject: subject.steps(1, constant=True),  # type: ignore[misc]
                check=check_of(subject),
                rounds=given.rounds,
                goal=1.02,
                stretch=1.01,
                better="lower",
                peer_name="the same step on one constant batch",
                threads=given.threads,
                setup_note=(
                    f"{recipe}, size {given.size}, {samples}, {'bf16' if place.bf16 else 'fp32'},"
                    f" memory maps, {given.threads} threads"
                ),
            )
            target = f"data_step_{name}_{given.size}.json"
            write_row(row, Path(given.out) / target if given.out else target)


if __name__ == "__main__":
    main()

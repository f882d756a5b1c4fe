"""A program that pre-trains the toy, for tests that kill it or run it in two processes.

python run_toy.py OUT STEPS DEVICES DROPOUT [SECONDS_A_STEP]
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from training_toys import ToyModel, make_batch, toy_objectives

from epilm.training.device import choose_place
from epilm.training.pretrain import Data, run_pretrain
from epilm.training.spec import OptimSpec, TrainSpec


def main(out: str, steps: int, devices: int, dropout: float, pause: float = 0.0) -> None:
    torch.set_num_threads(1)
    model = ToyModel(dropout)

    def slow(rows, step):
        time.sleep(pause)
        return make_batch(rows, step)

    train = TrainSpec(
        steps=steps, batch_size=16, micro_batch=4, devices=devices, precision="fp32", device="cpu",
        log_every=1, checkpoint_every=4, validate_every=5, seed=3,
    )  # fmt: skip
    data = Data(
        lambda device: slow, lambda step: np.random.default_rng([7, step]).permutation(64)[:16],
        lambda device: make_batch, np.arange(100, 116),
    )  # fmt: skip
    Path(out).mkdir(parents=True, exist_ok=True)
    outcome = run_pretrain(
        model, data, toy_objectives(8), OptimSpec(peak_lr=1e-2, warmup_steps=2), train, out,
        choose_place("cpu", "fp32"),
    )  # fmt: skip
    print("completed" if outcome.completed else "stopped", outcome.step)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), *map(float, sys.argv[5:]))

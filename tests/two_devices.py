"""Two processes for tests: spawned children import this by name, which a test module cannot be."""

import math
import socket

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from epilm.device import Place
from epilm.objectives.matching import contrast
from epilm.objectives.table import MatchingSpec
from epilm.pretraining.step import optimiser_step
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec, TrainSpec
from epilm.training.ranks import Ranks
from toy_training import ToyModel, make_batch, toy_objectives


def device(rank, port, out):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    seq, reg, weight, log = inputs()
    mine = slice(3 * rank, 3 * rank + 3)
    loss = contrast(seq[mine] @ weight, reg[mine] @ weight, log, MatchingSpec())["loss"]
    loss.backward()
    for p in (weight, log):
        dist.all_reduce(p.grad)
        p.grad /= 2  # what DDP does
    if rank == 0:
        torch.save((loss.detach(), weight.grad, log.grad), out)
    dist.destroy_process_group()


def step(rank, port, out):
    """One optimiser step on a toy, with matching and contacts; gradients are summed there."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model = ToyModel(0.0, contacts=True).train()
    figures = optimiser_step(
        model,
        make_batch,
        Optimiser(model, OptimSpec()),
        np.arange(8),
        step=3,
        lr=1e-3,
        objectives=toy_objectives(8, contacts=0.3),
        train=TrainSpec(micro_batch=2, seed=1),
        clip=0.0,
        ranks=Ranks(rank, 2),
        place=Place(torch.device("cpu"), False, ()),
    )
    values = figures.summed(Ranks(rank, 2))
    if rank == 0:
        torch.save((values, {n: p.grad for n, p in model.named_parameters()}), out)
    dist.destroy_process_group()


def spawn(work, out):
    """Run `work(rank, port, out)` in two processes."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(work, args=(port, str(out)), nprocs=2)


def inputs():
    g = torch.Generator().manual_seed(0)
    seq, reg = (torch.randn(6, 4, generator=g, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(4, 5, generator=g, dtype=torch.float64).requires_grad_()
    return seq, reg, weight, torch.tensor(math.log(0.07), dtype=torch.float64, requires_grad=True)

"""Two processes for tests: spawned children import this by name, which a test module cannot be."""

import math

import torch
import torch.distributed as dist

from epilm.objectives.matching import contrast
from epilm.objectives.table import MatchingSpec


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


def inputs():
    g = torch.Generator().manual_seed(0)
    seq, reg = (torch.randn(6, 4, generator=g, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(4, 5, generator=g, dtype=torch.float64).requires_grad_()
    return seq, reg, weight, torch.tensor(math.log(0.07), dtype=torch.float64, requires_grad=True)

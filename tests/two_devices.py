"""Processes that train together, for tests: their work is imported by name, which a test module's
cannot be.
"""

import math
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from epilm.device import Place
from epilm.objectives.matching import contrast
from epilm.objectives.table import MatchingSpec
from epilm.pretraining.step import optimiser_step
from epilm.training.fsdp import cut_up, is_cut, sum_gradients, whole
from epilm.training.lifeline import Lifeline
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import OptimSpec, TrainSpec
from epilm.training.ranks import Ranks
from epilm.training.shared_norms import SharedNorms
from forked import CONTEXT, Command
from toy_training import ToyModel, make_batch, toy_genebert, toy_objectives


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _joined(work: Callable[..., None], rank: int, world: int, port: int, *more: Any) -> None:
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
    )
    work(Ranks(rank, world), *more)
    dist.destroy_process_group()


def spawn(work: Callable[..., None], out: Path, world: int = 2, *more: Any) -> None:
    """Run `work(ranks, out, *more)` in processes of one group."""
    port = free_port()
    processes = [
        CONTEXT.Process(target=_joined, args=(work, rank, world, port, str(out), *more))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * world


def device(ranks: Ranks, out: str) -> None:
    """Loss and gradients of a contrast of six rows, of which each process has its share."""
    seq, reg, weight, log = inputs()
    parts = [Ranks(rank, ranks.world).share(6) for rank in range(ranks.world)]
    sizes = [part.stop - part.start for part in parts]
    mine = parts[ranks.rank]
    joined = [ranks.gather(rows[mine] @ weight, sizes) for rows in (seq, reg)]
    loss = contrast(*joined, log, MatchingSpec())["loss"]
    (loss * sizes[ranks.rank] / 6).backward()
    ranks.sum_([weight.grad, log.grad])
    if ranks.first:
        torch.save((loss.detach(), weight.grad, log.grad), out)


def step(
    ranks: Ranks, out: str, batch: int, group: int | None, clip: float, cut: bool, model: str
) -> None:
    """One optimiser step on a toy, with matching and contacts, or of a model with blocks ("fp32",
    "bf16"); gradients are summed there.
    """
    network: Any = ToyModel(0.3, contacts=True) if model == "toy" else toy_genebert(0.3)
    network.train()
    if cut:
        network = cut_up(network, torch.device("cpu"))
    on = 0.3 if group is not None and model == "toy" else 0.0
    figures = optimiser_step(
        network,
        make_batch,
        Optimiser(network, OptimSpec()),
        np.arange(batch),
        step=3,
        lr=1e-3,
        objectives=toy_objectives(group, contacts=on, **({} if group else {"weight": 0.0})),
        train=TrainSpec(micro_batch=2, seed=1),
        clip=clip,
        ranks=ranks,
        place=Place(torch.device("cpu"), model == "bf16", ()),
    )
    values = figures.summed(ranks)
    assert not network.log_temperature._backward_hooks  # one a pass would be left there
    assert all(is_cut(weight) == (cut and weight.ndim > 0) for weight in network.parameters())
    grads = whole({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    weights = whole({n: p.detach() for n, p in network.named_parameters()})
    if ranks.first:
        torch.save((values, grads, weights), out)


NORMS_ASK = torch.linspace(-1, 2, 4 * 2 * 3).view(4, 2, 3)


def normed() -> tuple[nn.Module, torch.Tensor]:
    """A network with two norms, and its four rows."""
    torch.manual_seed(0)
    layers = (nn.BatchNorm1d(2), nn.Conv1d(2, 2, 1), nn.ReLU(), nn.BatchNorm1d(2, eps=1e-3))
    return nn.Sequential(*layers), torch.randn(4, 2, 3) + 1


def norms(ranks: Ranks, out: str) -> None:
    """Four rows through shared norms, each process a share, one of them beside the others for
    nothing; and what they sum, tell and gather.
    """
    network, rows = normed()
    cuts = {2: (0, 1, 4), 3: (0, 0, 1, 4)}[ranks.world]
    here = slice(cuts[ranks.rank], cuts[ranks.rank + 1])
    idle = here.start == here.stop
    with SharedNorms(network, ranks).together(counts=not idle):
        said = network(rows[:1] if idle else rows[here])
    (said * (0.0 if idle else NORMS_ASK[here])).sum().backward()
    some, none = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    some.grad = torch.ones(1) if ranks.rank else None
    sum_gradients([*network.parameters(), some, none], torch.zeros(()), ranks)
    cpu = torch.device("cpu")
    verdict = {"score": np.float32(0.25), "tables": {"A": {"collapse": None, "n": np.int64(4)}}}
    assert ranks.told(verdict if ranks.first else None, cpu) == verdict
    mine = torch.full((ranks.rank, 2), float(ranks.rank))
    joined = ranks.to_first(mine, cpu)
    answers = ranks.to_first(said.detach()[:0] if idle else said.detach(), cpu)
    assert (joined is None) == (answers is None) == (not ranks.first)
    if ranks.first:
        gradients = {name: weight.grad for name, weight in network.named_parameters()}
        gradients |= {"some": some.grad, "none": none.grad}
        buffers = dict(network.named_buffers())
        torch.save((answers, gradients, buffers, joined), out)


def lifeline(ranks: Ranks, out: str, dies: int | None) -> None:
    """Write down what a process hears of one that dies without a word; without one, of all that
    finish.
    """
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    line = Lifeline(ranks, torch.device("cpu"))
    if ranks.rank == dies:
        os._exit(0)
    if dies is None:
        time.sleep(0.2 * ranks.rank)  # one after the other
        line.close(done=True)
        time.sleep(0.5)
        said = str(line.lost)
    else:
        said = str(line.explained(RuntimeError("a broken message")))
        line.close(done=False)
    (Path(out) / str(ranks.rank)).write_text(said)


def inputs() -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    seq, reg = (torch.randn(6, 4, generator=g, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(4, 5, generator=g, dtype=torch.float64).requires_grad_()
    return seq, reg, weight, torch.tensor(math.log(0.07), dtype=torch.float64, requires_grad=True)


def start_ranks(
    words: Sequence[str], world: int, *before: Callable[[int], Any], slurm: bool = False
) -> list[Command]:
    """Start a command in processes as torchrun or SLURM does; each first does what stands in
    `before`, with its number.
    """
    settings = _of_slurm if slurm else _of_torchrun
    port = free_port()
    return [
        Command(words, before=partial(_as_rank, rank, settings(rank, world, port), before))
        for rank in range(world)
    ]


def _as_rank(rank: int, settings: dict[str, str], before: Sequence[Callable[[int], Any]]) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", **settings}
    for each in before:
        each(rank)


def _of_torchrun(rank: int, world: int, port: int) -> dict[str, str]:
    return {
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_WORLD_SIZE": "1",
        "TORCHELASTIC_RUN_ID": "test",
    }


def _of_slurm(rank: int, world: int, port: int) -> dict[str, str]:
    return {
        "MASTER_PORT": str(port),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "test",
        "SLURM_NNODES": "1",
        "SLURM_NTASKS": str(world),
        "SLURM_STEP_NUM_TASKS": str(world),
        "SLURM_NTASKS_PER_NODE": str(world),
        "SLURM_NODEID": "0",
        "SLURM_LOCALID": str(rank),
        "SLURM_PROCID": str(rank),
    }

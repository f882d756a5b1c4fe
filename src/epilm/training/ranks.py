"""Several processes that train one model: the few collective operations a step needs.

With one process every one of them is the identity, so the loop has one code path.
Needs torch only; the engine starts the processes.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from epilm.errors import TrainingError

MOST_AXES = 4  # of rows that are sent to the first process


class _Gather(torch.autograd.Function):
    """All-gather of unequal parts, filled up to the longest on the way."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, sizes: tuple[int, ...]) -> Tensor:
        ctx.rank, ctx.sizes = rank, sizes
        assert len(rows) == sizes[rank]
        filled = rows.new_zeros(max(sizes), *rows.shape[1:])
        filled[: len(rows)] = rows
        parts = [torch.empty_like(filled) for _ in sizes]
        dist.all_gather(parts, filled)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad.split(ctx.sizes)[ctx.rank], None, None


@dataclass(frozen=True)
class Ranks:
    """This process's number, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """True for the one process that writes and speaks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Give this process's contiguous part of n things; parts differ by one at most.

        Examples
        --------
        >>> Ranks(1, 2).share(8)
        slice(4, 8, None)
        >>> [Ranks(rank, 3).share(8) for rank in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        return slice(self.rank * n // self.world, (self.rank + 1) * n // self.world)

    def gather(self, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        """Join every process's rows, in the order of the ranks, with gradient.

        The gradient of a row is the sum over processes of what their losses say about it: where
        each computes the whole loss and counts it for a share, and the shares add up to one, the
        gradients summed over processes are exactly those of one process with all rows.

        Parameters
        ----------
        rows : float (n, D)
            Of this process; n may differ between them.
        sizes : sequence of int
            Rows of each process, the same everywhere.

        Returns
        -------
        float (sum of sizes, D)
        """
        if self.world == 1:
            return rows
        return _Gather.apply(rows, self.rank, tuple(sizes))

    def sum_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one message."""
        tensors = list(tensors)
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])  # one vector of all entries
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Say whether the flag is up in any process."""
        return bool(self.most(int(flag), device))

    def most(self, number: int, device: torch.device) -> int:
        """Give the largest of all processes' whole numbers."""
        if self.world == 1:
            return number
        value = torch.tensor(number, dtype=torch.int64, device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value)

    def from_first(self, number: int, device: torch.device) -> int:
        """Give every process the first one's whole number."""
        if self.world == 1:
            return number
        value = torch.tensor(number, dtype=torch.int64, device=device)
        dist.broadcast(value, src=0)
        return int(value)

    def told(self, value: Any, device: torch.device) -> Any:
        """Give every process what the first one says; JSON values, a tuple comes as a list."""
        if self.world == 1:
            return value
        text = json.dumps(value, default=_plain_number).encode() if self.first else b""
        size = self.from_first(len(text), device)
        letters = torch.zeros(size, dtype=torch.uint8, device=device)
        if self.first:
            letters.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        dist.broadcast(letters, src=0)
        return value if self.first else json.loads(bytes(letters.tolist()))

    def to_first(self, rows: Tensor, device: torch.device) -> Tensor | None:
        """Give the first process the rows of all, in the order of the ranks; None to the others.

        Parameters
        ----------
        rows : (n, ...)
            On the host, of one type everywhere; n may differ, and where it is 0 the rest too.
        device : torch.device
            Of messages.
        """
        if self.world == 1:
            return rows
        shape = torch.zeros(MOST_AXES, dtype=torch.int64, device=device)
        if not self.first:
            shape[: rows.ndim] = torch.tensor(rows.shape)
            dist.send(shape, 0)
            if rows.numel():
                dist.send(rows.contiguous().to(device), 0)
            return None
        parts = [rows]
        for rank in range(1, self.world):
            dist.recv(shape, rank)
            part = rows.new_empty([n for n in shape.tolist() if n], device=device)
            if shape[0]:
                dist.recv(part, rank)
                parts.append(part.to(rows.device))
        return torch.cat([part for part in parts if len(part)] or parts)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            dist.barrier()


def _plain_number(value: Any) -> Any:
    """What JSON does not know: numbers of numpy."""
    return value.item()


def process_rank() -> int:
    """Give this process's number before any process group stands.

    torchrun and Lightning's launcher say it in the environment, SLURM in its own words.
    """
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            if name == "SLURM_PROCID" and "SLURM_NTASKS" not in os.environ:
                continue
            return int(os.environ[name])
    return 0


def is_first(processes: int) -> bool:
    """Say whether this is the first process of a run of so many, which alone writes and speaks.

    A run of one process is its own first, also in one of several that srun started: shards.
    """
    return processes == 1 or process_rank() == 0


def check_processes(started: int | None, devices: int) -> None:
    """Refuse another number of processes than `train.devices`; None: not known yet.

    Raises
    ------
    TrainingError
    """
    if started is not None and started != devices:
        raise TrainingError(
            "the launcher started another number of processes than the recipe says",
            where="train.devices",
            found=started,
            expected=devices,
            do=f"Set train.devices to {started}, or start {devices} processes.",
        )


def launched() -> int:
    """Count the processes of the job step that this one is of, as torchrun or srun started them; 1
    where neither did.

    In the script of a job, outside of srun, SLURM speaks of tasks that nobody has started.
    """
    if (started := processes_started()) is not None:
        return started
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "")
    shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as Lightning asks
    return int(tasks) if "SLURM_NTASKS" in os.environ and tasks.isdigit() and not shell else 1


def processes_started() -> int | None:
    """Give how many processes torchrun started; None where it did not (SLURM's are counted when
    they have met).
    """
    started = os.environ.get("WORLD_SIZE", "")
    return int(started) if "RANK" in os.environ and started.isdigit() else None

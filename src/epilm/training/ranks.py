"""Several processes that train one model: the few collective operations a step needs.

With one process every one of them is the identity, so the loop has one code path.
Needs torch only; the engine starts the processes.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from epilm.errors import TrainingError


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
        """Give this process's contiguous part of n samples.

        Examples
        --------
        >>> Ranks(1, 2).share(8)
        slice(4, 8, None)
        """
        assert n % self.world == 0
        part = n // self.world
        return slice(self.rank * part, (self.rank + 1) * part)

    def gather(self, rows: Tensor) -> Tensor:
        """Join every process's rows (n, D), in the order of the ranks; no gradient."""
        if self.world == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

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
        if self.world == 1:
            return flag
        value = torch.tensor(int(flag), device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value)

    def from_first(self, number: int, device: torch.device) -> int:
        """Give every process the first one's whole number."""
        if self.world == 1:
            return number
        value = torch.tensor(number, dtype=torch.int64, device=device)
        dist.broadcast(value, src=0)
        return int(value)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            dist.barrier()


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


def processes_started() -> int | None:
    """Give how many processes torchrun started; None where it did not (SLURM's are counted when
    they have met).
    """
    started = os.environ.get("WORLD_SIZE", "")
    return int(started) if "RANK" in os.environ and started.isdigit() else None

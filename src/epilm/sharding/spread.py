"""A command as one process, as one of N shards, or as all of them: in processes of this machine, by
workers of Dask, as jobs of SLURM.

Imports nothing heavy: the help of commands reads it.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from epilm.errors import UsageError

if TYPE_CHECKING:
    from epilm.sharding.shard_call import ShardCall


@dataclass(frozen=True)
class Spread:
    """Over how many processes the work is spread, and where."""

    shard: str | None = None
    """i/N: compute the i-th of N parts and write it as part-i-of-N into the folder --out; epilm
    merge joins them."""
    executor: Literal["local", "dask", "slurm"] | None = None
    """Compute all parts and join them to --out. local: in processes of this machine; dask: by
    workers of Dask; slurm: as an array of jobs."""
    jobs: int | None = None
    """With --executor: how many parts, each a process or job; as many as cores where all are here
    and it is not given."""
    scheduler: str | None = None
    """With --executor dask: address of a scheduler that runs, tcp://HOST:8786; workers of this
    machine where not given."""
    slurm: list[str] | None = None
    """With --executor slurm: settings of sbatch, NAME=VALUE: partition=gpu time=120 (minutes)
    mem=16GB cpus_per_task=4 gpus_per_node=1 account=lab ..."""

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises
        ------
        UsageError

        Examples
        --------
        >>> Spread(executor="local", scheduler="tcp://a:1").check()
        Traceback (most recent call last):
        epilm.errors.UsageError: --scheduler: it is of Dask. Found --executor local. Add --executor
        dask, or leave it out.
        """
        if self.executor is None and self.jobs is not None:
            raise UsageError(
                "it says how many processes, and there is one",
                where="--jobs",
                found=self.jobs,
                do="Add --executor local, or leave it out.",
            )
        for option, value, executor, of in (
            ("--scheduler", self.scheduler, "dask", "Dask"),
            ("--slurm", self.slurm, "slurm", "SLURM"),
        ):
            if value and self.executor != executor:
                raise UsageError(
                    f"it is of {of}",
                    where=option,
                    found=f"--executor {self.executor}" if self.executor else "no --executor",
                    do=f"Add --executor {executor}, or leave it out.",
                )
        if self.executor is None:
            return
        if self.shard is not None:
            raise UsageError(
                "--shard is one part of the work and --executor does all of them",
                found=f"--shard {self.shard} --executor {self.executor}",
                do="Give one of them.",
            )
        if self.jobs is None and not self.here:
            raise UsageError(
                "it has to be said in how many parts",
                where=f"--executor {self.executor}",
                do="Give --jobs N.",
            )
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(
                "impossible value", where="--jobs", found=self.jobs, expected="at least 1"
            )

    @property
    def here(self) -> bool:
        """Whether all is computed on this machine."""
        return self.executor == "local" or (self.executor == "dask" and self.scheduler is None)

    @property
    def whole(self) -> bool:
        """Whether this process does all of the work, in one piece."""
        return self.executor is None and self.shard is None

    @property
    def share_of_cores(self) -> int | None:
        """Threads of a part, where all parts share the cores of this machine."""
        return max(1, cores() // (self.jobs or cores())) if self.here else None


def spread_out(
    run: Callable[..., Any],
    words: tuple[Any, ...],
    out: Any,
    named: dict[str, Any],
    spread: Spread,
    join: Callable[[Path], Any] | None = None,
) -> Any:
    """Call a command's function as it is asked for.

    Parameters
    ----------
    run : function (*words, out, shard=, **named)
        Public, of a module: other processes import it.
    words, named
        What it is told.
    out : path or None
    spread : Spread
    join : callable, optional
        Writes `out` from the folder of the parts, where `merge` does not.

    Returns
    -------
    What `run` returns; of several processes what `merge` or `join` returns.

    Raises
    ------
    UsageError
        If options do not go together.
    """
    spread.check()
    if spread.executor is None:
        return run(*words, out, shard=spread.shard, **named)
    if out is None:
        raise UsageError(
            "what several processes say is written to a file", where="--executor", do="Give --out."
        )
    return _in_parts(run, words, Path(out), named, spread, join)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_parts(
    run: Callable[..., Any],
    words: tuple[Any, ...],
    out: Path,
    named: dict[str, Any],
    spread: Spread,
    join: Callable[[Path], Any] | None,
) -> Any:
    """Compute all shards, then join them; parts of a stopped run are taken over."""
    from epilm.atomic import locked
    from epilm.sharding.merge import merge
    from epilm.sharding.shard_call import ShardCall

    jobs = spread.jobs or cores()
    parts = out.parent / f".{out.name}.shards"
    if out.is_dir() and not named.get("overwrite"):
        raise UsageError(
            "the folder exists already",
            where=str(out),
            do="Choose another name, remove it, or pass --overwrite where the command has it."
            " epilm compare and ablate go on in a folder that was begun without --executor.",
        )
    parts.mkdir(parents=True, exist_ok=True)
    # On other machines, and where it was said, a process has the threads that it has.
    threads = None if "OMP_NUM_THREADS" in os.environ else spread.share_of_cores
    with locked(parts):
        # Another number of jobs is another division of the same work.
        for left in parts.glob("part-*"):
            if not left.name.endswith(f"-of-{jobs}"):
                shutil.rmtree(left, ignore_errors=True)
        # What is replaced is for the joined result.
        told = {name: value for name, value in named.items() if name != "overwrite"}
        call = ShardCall(run, words, told, parts.absolute(), jobs, Path.cwd(), threads)
        for done in _computed(call, spread):
            print(done.text(), file=sys.stderr, flush=True)
        if join is not None:
            done = join(parts)
        else:
            done = merge(parts, out, overwrite=bool(named.get("overwrite")), trained=True)
        shutil.rmtree(parts, ignore_errors=True)
    return done


def _computed(call: "ShardCall", spread: Spread) -> Iterator[Any]:
    """Give the parts as they become whole, whoever computes them."""
    if spread.executor == "dask":
        from epilm.sharding.dask_pool import by_dask

        return by_dask(call, spread.scheduler)
    if spread.executor == "slurm":
        from epilm.sharding.slurm_array import by_slurm

        return by_slurm(call, spread.slurm or ())
    from epilm.sharding.local_pool import in_processes

    return in_processes(call)

"""A command as one process, as one of N shards, or in N processes of this machine.

Imports nothing heavy: the help of commands reads it.
"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from epilm.errors import UsageError


@dataclass(frozen=True)
class Spread:
    """Over how many processes the work is spread."""

    shard: str | None = None
    """i/N: compute the i-th of N parts and write it as part-i-of-N into the folder --out; epilm
    merge joins them."""
    executor: Literal["local"] | None = None
    """local: compute all parts here, in --jobs processes, and join them to --out."""
    jobs: int | None = None
    """With --executor local: processes; as many as cores where not given."""


def spread_out(
    run: Callable[..., Any],
    words: tuple[Any, ...],
    out: Any,
    named: dict[str, Any],
    spread: Spread,
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

    Returns
    -------
    What `run` returns; of several processes what `merge` returns.

    Raises
    ------
    UsageError
        If options do not go together.
    """
    if spread.executor is None:
        if spread.jobs is not None:
            raise UsageError(
                "it says how many processes, and there is one",
                where="--jobs",
                found=spread.jobs,
                do="Add --executor local, or leave it out.",
            )
        return run(*words, out, shard=spread.shard, **named)
    if spread.shard is not None:
        raise UsageError(
            "--shard is one part of the work and --executor does all of them",
            found=f"--shard {spread.shard} --executor {spread.executor}",
            do="Give one of them.",
        )
    jobs = cores() if spread.jobs is None else spread.jobs
    if jobs < 1:
        raise UsageError("impossible value", where="--jobs", found=jobs, expected="at least 1")
    if out is None:
        raise UsageError(
            "what several processes say is written to a file", where="--executor", do="Give --out."
        )
    return _in_processes(run, words, Path(out), named, jobs)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(
    run: Callable[..., Any], words: tuple[Any, ...], out: Path, named: dict[str, Any], jobs: int
) -> Any:
    """Compute all shards in processes, then join them; parts of a stopped run are taken over."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    from epilm.atomic import locked
    from epilm.errors import EpilmError
    from epilm.sharding.merge import merge

    parts = out.parent / f".{out.name}.shards"
    if out.is_dir() and not named.get("overwrite"):
        raise UsageError(
            "the folder exists already",
            where=str(out),
            do="Choose another name, remove it, or pass --overwrite where the command has it.",
        )
    parts.mkdir(parents=True, exist_ok=True)
    with locked(parts):
        # Another number of jobs is another division of the same work.
        for left in parts.glob("part-*"):
            if not left.name.endswith(f"-of-{jobs}"):
                shutil.rmtree(left, ignore_errors=True)
        # A fresh interpreter a process: one that is forked has the locks of torch's threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            waiting = [
                pool.submit(_one, run, words, parts, named, f"{i}/{jobs}", max(1, cores() // jobs))
                for i in range(1, jobs + 1)
            ]
            try:
                for future in as_completed(waiting):
                    print(future.result().text(), file=sys.stderr, flush=True)
            except BrokenProcessPool:
                pool.shutdown(cancel_futures=True)
                raise EpilmError(
                    "a process was killed, perhaps for memory",
                    where=f"--jobs {jobs}",
                    do="The same command goes on from the parts that are whole. For memory: fewer"
                    " --jobs, or a lower --batch-size.",
                ) from None
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        done = merge(parts, out, overwrite=bool(named.get("overwrite")))
        shutil.rmtree(parts, ignore_errors=True)
    return done


def _one(
    run: Callable[..., Any],
    words: tuple[Any, ...],
    parts: Path,
    named: dict[str, Any],
    shard: str,
    threads: int,
) -> Any:
    """One shard, in a process of its own."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    return run(*words, parts, shard=shard, **named)

"""Shards as tasks of Dask: on workers of this machine, or on those of a scheduler that runs.

Dask gives a task whose worker is lost to another one; workers of this machine come back.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError, as_completed
from contextlib import ExitStack
from typing import Any

from epilm.errors import EpilmError, InputError
from epilm.sharding.local_pool import killed_again
from epilm.sharding.shard_call import ShardCall

SECONDS = 30  # that a scheduler may take to answer


def by_dask(call: ShardCall, scheduler: str | None) -> Iterator[Any]:
    """Compute all parts, each a task.

    Parameters
    ----------
    call : ShardCall
    scheduler : str, optional
        Address; workers of this machine, one a part, where not given.

    Yields
    ------
    What the command returns of each part, as they become whole.

    Raises
    ------
    InputError
        If Dask is not installed, or the scheduler does not answer.
    EpilmError
        If workers are killed again and again; and what a part raises.
    """
    try:
        from distributed import Client, LocalCluster
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise InputError(
            "Dask is not installed", where="--executor dask", do="pip install 'epilm[dask]'"
        ) from None
    with ExitStack() as stack:
        if scheduler is None:
            # Without a limit of memory: Dask's own would kill what the machine has room for.
            cluster = LocalCluster(
                n_workers=call.n,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        else:
            try:
                client = stack.enter_context(Client(scheduler, timeout=SECONDS))
            except (OSError, ValueError) as error:
                raise InputError(
                    "the scheduler of Dask does not answer",
                    where=f"--scheduler {scheduler}",
                    found=str(error) or type(error).__name__,
                    do="Start it (dask scheduler), and workers (dask worker ADDRESS).",
                ) from None
        pool = stack.enter_context(client.get_executor(pure=False))
        waiting = [pool.submit(call, i) for i in range(1, call.n + 1)]
        try:
            for future in as_completed(waiting):
                done = future.result()
                if not done.out.exists():
                    raise not_here(str(done.out))
                yield done
        except KilledWorker:
            raise killed_again(f"--jobs {call.n}") from None
        except CancelledError:
            raise EpilmError(
                "the scheduler of Dask took the work back, or is gone",
                where=scheduler or "--executor dask",
                do="The same command goes on from the parts that are whole.",
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def not_here(part: str) -> EpilmError:
    """What is said of a part on another disk."""
    return EpilmError(
        "a worker wrote its part where this machine does not see it",
        where=part,
        do="Give an --out on a disk that all machines see.",
    )

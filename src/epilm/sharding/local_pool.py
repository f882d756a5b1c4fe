"""Shards in processes of this machine; a part whose process was killed is done again."""

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from epilm.errors import EpilmError
from epilm.sharding.shard_call import ShardCall

MOST_KILLED = 3  # times in a row that no part became whole: as many as Dask allows a task


def in_processes(call: ShardCall) -> Iterator[Any]:
    """Compute all parts, each in a process of its own.

    Yields
    ------
    What the command returns of each part, as they become whole.

    Raises
    ------
    EpilmError
        If processes are killed again and again; and what a part raises.
    """
    left = set(range(1, call.n + 1))
    # A fresh interpreter a process: one that is forked has the locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    killed = 0
    while left:
        before = len(left)
        with ProcessPoolExecutor(len(left), mp_context=context) as pool:
            try:
                waiting = {pool.submit(call, i): i for i in sorted(left)}
                for future in as_completed(waiting):
                    done = future.result()
                    left.discard(waiting[future])
                    yield done
            except BrokenProcessPool:
                # With one of its processes the pool ends, and the others with it.
                killed = 1 if len(left) < before else killed + 1
                print("a process was killed: what is not whole is done again", file=sys.stderr)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if killed >= MOST_KILLED:
            raise killed_again(f"--jobs {call.n}")


def killed_again(where: str) -> EpilmError:
    """What is said where processes do not live long enough for a part."""
    return EpilmError(
        "processes are killed again and again, perhaps for memory",
        where=where,
        found=f"{MOST_KILLED} times without a new part",
        do="The same command goes on from the parts that are whole. For memory: fewer --jobs, or a"
        " lower --batch-size.",
    )

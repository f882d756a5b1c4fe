"""Work that is cut into pieces, done in processes of their own that answer as they go.

A process that dies (memory, a crash in a library) loses the piece it was in and no other: another
one takes its place. Processes end with the one that started them, however that went. Imports
nothing heavy: the number of threads is set before a library reads it.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol, TypeVar

LOST = "lost"  # in place of a key: the process of a piece ended

Number = TypeVar("Number", bound=Hashable)


class Worker(Protocol):
    """What can be sent to another process and works there on pieces."""

    def work(self, number: Any, piece: Any) -> Iterable[tuple[Any, Any]]:
        """Answers of a piece, as they come."""


def side_by_side(
    worker: Worker, pieces: Sequence[tuple[Number, Any]], jobs: int
) -> Iterator[tuple[Number, tuple[Any, Any] | None]]:
    """Work on pieces, several at a time.

    Parameters
    ----------
    worker : Worker
    pieces : sequence of (number, piece)
    jobs : int
        Processes; with 1 all is done in this one, where an error is the caller's.

    Yields
    ------
    number, answer
        An answer of the piece of that number, as it comes; None when the piece is done. (LOST, why)
        where its process ended, before that None.

    Examples
    --------
    >>> class Doubles:
    ...     def work(self, number, piece):
    ...         yield number, 2 * piece
    >>> list(side_by_side(Doubles(), [("a", 1), ("b", 2)], jobs=1))
    [('a', ('a', 2)), ('a', None), ('b', ('b', 4)), ('b', None)]
    """
    if jobs == 1 or len(pieces) < 2:
        for number, piece in pieces:
            for answer in worker.work(number, piece):
                yield number, answer
            yield number, None
        return
    jobs = min(jobs, len(pieces))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    waiting = list(reversed(pieces))
    busy: dict[Any, tuple[Any, Any]] = {}  # pipe -> process, number
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                pipe, process = _start(worker, threads)
                _give(pipe, process, waiting.pop(), busy)
            ready: list[Any] = connection.wait(list(busy))
            for pipe in ready:
                process, number = busy.pop(pipe)
                try:
                    got: tuple[Any, Any] | None = pipe.recv()
                except (EOFError, OSError):
                    process.join()
                    yield number, (LOST, _ended(process.exitcode))
                    yield number, None
                    continue
                if got is not None:
                    busy[pipe] = process, number
                elif waiting:
                    _give(pipe, process, waiting.pop(), busy)
                else:
                    _end(pipe, process)
                yield number, got
    finally:
        for pipe, (process, _) in busy.items():
            process.terminate()
            process.join()
            pipe.close()


def _start(worker: Worker, threads: int) -> tuple[Any, Any]:
    context = get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
    process.start()
    theirs.close()
    with contextlib.suppress(OSError):  # already gone: seen when it is waited for
        pipe.send(worker)
    return pipe, process


def _give(pipe: Any, process: Any, piece: tuple[Any, Any], busy: dict[Any, Any]) -> None:
    busy[pipe] = process, piece[0]
    with contextlib.suppress(OSError):
        pipe.send(piece)


def _end(pipe: Any, process: Any) -> None:
    with contextlib.suppress(OSError):
        pipe.send(None)
    pipe.close()
    process.join()


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name} (memory?)"
    return f"its process ended with code {code}"


def _serve(pipe: Any, threads: int) -> None:
    """A process: takes the worker, then pieces, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends this one
    os.environ["OMP_NUM_THREADS"] = str(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = pipe.recv()
    while (task := pipe.recv()) is not None:
        for answer in worker.work(*task):
            pipe.send(answer)
        pipe.send(None)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)

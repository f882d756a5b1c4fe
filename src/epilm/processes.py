"""Processes and threads of this machine: a command beside this one, and one thread for toys."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from epilm.errors import EpilmError

# The command, and a thread that waits for the end of its input: that comes when this process is
# gone, however it went.
_CHILD = """
import os, signal, sys, threading
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from epilm.cli import main
sys.exit(main(sys.argv[1:]))
"""


def same_modules() -> dict[str, str]:
    """Give the environment in which a child process finds the modules where this one found them,
    installed or not.
    """
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Beside:
    """Run an `epilm` command beside this process; left by an error, or killed with this process, it
    ends with it.

    Parameters
    ----------
    words : sequence of str
        What stands after `epilm` on the command line.
    log : path
        File of all that the command says.

    Examples
    --------
    >>> import tempfile
    >>> with (
    ...     tempfile.TemporaryDirectory() as folder,
    ...     Beside(["ls", "recipes"], Path(folder) / "log") as beside,
    ... ):
    ...     seconds = beside.wait()
    ...     "ebert_base" in (Path(folder) / "log").read_text()
    True
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.words, self.log = list(words), log
        started = time.monotonic()
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD, *self.words],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=same_modules(),
            )
        self._seconds = 0.0

        def watch() -> None:
            self._process.wait()
            assert self._process.stdin is not None  # a pipe, made above
            self._process.stdin.close()
            self._seconds = time.monotonic() - started

        self._watcher = threading.Thread(target=watch, daemon=True)
        self._watcher.start()

    def wait(self) -> float:
        """Wait for its end; returns the seconds it took, from its own start.

        Raises
        ------
        EpilmError
            If the command failed; with its last line.
        """
        self._watcher.join()
        if code := self._process.returncode:
            last = (
                self.log.read_text(errors="replace").strip().splitlines()
                or [f"ended with code {code}"]
            )[-1]
            raise EpilmError(
                "a command that ran beside this one failed",
                where=f"epilm {' '.join(self.words)}",
                found=last,
                do=f"All that it said is in {self.log}.",
            )
        return self._seconds

    def __enter__(self) -> "Beside":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._watcher.join()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside; networks of this size gain nothing from a second one.

    They lose tenfold where another program wants the core.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

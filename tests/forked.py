"""Commands of epilm in processes of their own, without the seconds of imports before each.

A server imports torch, lightning and transformers once; a command is a fork of it. It is a process
like any other: it can be killed, interrupted and limited, and its end is that of `python -m epilm`.
"""

import ctypes
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# What a command imports by itself sooner or later. Of 7 CPU seconds of a tiny pre-training these
# were 5, most of them torch._dynamo (at the first optimiser) and TensorBoard.
PRELOADED = [
    "lightning",
    "transformers",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "pandas",
    "epilm.cli",
    "epilm.hub.export",
    "epilm.pretraining.pretrain",
    "epilm.pretraining.loop",
    "epilm.finetuning.finetune",
    "epilm.finetuning.predict",
    "epilm.sharding.merge",
    "epilm.store.making.build",
    "epilm.tasks.sequence_task",
    "epilm.variants.score",
]
_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000  # linux/sched.h

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


class Command:
    """A command that runs, with the face of `subprocess.Popen`.

    Parameters
    ----------
    words : sequence of str
        Behind `epilm`.
    before : function without parameters, optional
        What the process does first; importable by name.
    after : function without parameters, optional
        What it does when the command is over.
    """

    def __init__(
        self,
        words: Sequence[str],
        before: Callable[[], Any] | None = None,
        after: Callable[[], Any] | None = None,
    ) -> None:
        folder = Path(tempfile.mkdtemp(prefix="epilm-command-"))
        self.out, self.err = folder / "out", folder / "err"
        files = (str(self.out), str(self.err))
        self._process = CONTEXT.Process(target=_run, args=(list(words), *files, before, after))
        self._process.start()

    @property
    def pid(self) -> int:
        """Number of its process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; below 0 the signal that ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See `returncode`."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """Wait for the end."""
        self._process.join(seconds)
        code = self._process.exitcode
        assert code is not None, f"still running after {seconds} s"
        return code

    def said(self) -> str:
        """What it wrote to standard error."""
        return self.err.read_text(encoding="utf-8")

    def wrote(self) -> str:
        """What it wrote to standard output."""
        return self.out.read_text(encoding="utf-8")


def _run(
    words: list[str],
    out: str,
    err: str,
    before: Callable[[], Any] | None,
    after: Callable[[], Any] | None,
) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    from epilm.cli import main

    if before is not None:
        before()
    code = main(words)
    if after is not None:
        after()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def limit_files(size: int) -> None:
    """No file of this process may grow beyond `size` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def mount_small(folder: str, size: str, files: int = 0) -> None:
    """Mount an empty file system in a name space of this process; nothing else sees it.

    Parameters
    ----------
    folder : str
    size : str
        Bytes that it takes, as "1m".
    files : int
        Files that it takes, its own folder among them; 0: as many as there are.
    """
    users, groups = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USERS | _NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {users} 1")
    Path("/proc/self/gid_map").write_text(f"0 {groups} 1")
    limits = f"size={size}" + (f",nr_inodes={files}" if files else "")
    options = ["-t", "tmpfs", "-o", limits, "none", folder]
    subprocess.run(["mount", *options], check=True)


def list_all(folder: str) -> None:
    """Print the name of every file below a folder."""
    for path in sorted(Path(folder).rglob("*")):
        print(path.name)

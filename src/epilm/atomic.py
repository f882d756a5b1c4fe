"""Writing that is whole or absent: a temporary neighbour, then one rename.

Two runs that write the same folder meet at a lock, not in a mixture of files.
A full disk or Ctrl-C leaves nothing behind. Needs the standard library only.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from epilm.errors import EpilmError

_TEMPORARY = ".half-"  # marks a folder that is not yet whole


def _explain(error: OSError, path: Path) -> EpilmError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        try:
            free = f"{shutil.disk_usage(path.parent).free / 1e9:.2f} GB free"
        except OSError:
            free = "no space left"
        return EpilmError(
            "the disk is full; nothing was left half-written",
            where=str(path),
            found=free,
            do="Free some space or choose another folder, then run the same command again.",
        )
    return EpilmError(f"cannot write ({error.strerror})", where=str(path))


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` on success and vanishes on any failure.

    Parameters
    ----------
    path : path
        The folder to appear. Its parent is made when missing.
    overwrite : bool
        Replace an existing folder; otherwise an existing one is an error before any work is done.

    Yields
    ------
    Path
        The temporary folder, on the same file system.

    Raises
    ------
    EpilmError
        If `path` exists, is being written by another process, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with atomic_folder(root / "out") as folder:
    ...     _ = (folder / "a.txt").write_text("1")
    >>> sorted(p.name for p in root.iterdir()), (root / "out" / "a.txt").read_text()
    (['out'], '1')
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise EpilmError(
            "the folder exists already",
            where=str(path),
            do="Choose another name, remove it, or pass --overwrite.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            # What a killed writer of this very folder left: we hold the lock, so nobody is in
            # there.
            for left in path.parent.glob(f".{path.name}{_TEMPORARY}*"):
                shutil.rmtree(left, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}{_TEMPORARY}", dir=path.parent))
            try:
                yield temporary
                if path.exists():
                    if not overwrite:
                        raise EpilmError("another run made the folder meanwhile", where=str(path))
                    old = Path(
                        tempfile.mkdtemp(prefix=f".{path.name}{_TEMPORARY}", dir=path.parent)
                    )
                    os.replace(path, old / "replaced")
                    os.replace(temporary, path)
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    os.replace(temporary, path)
                os.chmod(path, 0o755)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise _explain(error, path) from error


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary file name that replaces `path` on success and vanishes on any failure.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with atomic_file(root / "a.txt") as name:
    ...     _ = name.write_text("1")
    >>> [p.name for p in root.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            os.replace(temporary, path)
            os.chmod(path, 0o644)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _explain(error, path) from error


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(name, {"b": 1})
    >>> name.read_text()
    '{\\n  "b": 1\\n}\\n'
    """
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold the only right to write `path`; a second process is told so at once.

    The lock belongs to the process and goes with it, also after kill -9.

    Raises
    ------
    EpilmError
        If another process holds it.
    """
    path = Path(path)
    lock = path.parent / f".{path.name}.lock"
    while True:
        handle = open(lock, "w")  # noqa: SIM115 - closed in every branch below
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            raise EpilmError(
                "another process is writing this folder",
                where=str(path),
                do="Wait for it to end, or choose another folder.",
            ) from None
        # The former holder may have removed the file between our open and our lock.
        try:
            if os.fstat(handle.fileno()).st_ino == lock.stat().st_ino:
                break
        except FileNotFoundError:
            pass
        handle.close()
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        handle.close()

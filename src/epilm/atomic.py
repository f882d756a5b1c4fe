"""Writing that is whole or absent: a temporary neighbour, then one rename.

Two runs that write the same folder meet at a lock, not in a mixture of files.
A full disk or Ctrl-C leaves nothing behind, and says how much was wanted. What is
written may be read by whom the umask lets. JSON that matters carries its own checksum.
Needs the standard library only.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from epilm.errors import DamagedError, EpilmError

_TEMPORARY = ".half-"  # marks a folder that is not yet whole

CHECKSUM = "crc32"  # the key under which a checked JSON file keeps the checksum of the rest


def size_of(n_bytes: float) -> str:
    """Write a number of bytes for a reader.

    Examples
    --------
    >>> size_of(999), size_of(1_320_000_000)
    ('999 bytes', '1.3 GB')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.1f} {name}"
    return f"{n_bytes:.0f} bytes"


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed because there is no room, on the disk or within a quota.

    NumPy says so in words alone: "25 requested and 2 written".

    Examples
    --------
    >>> is_disk_full(OSError(errno.ENOSPC, "")), is_disk_full(OSError(errno.EACCES, ""))
    (True, False)
    """
    if error.errno is None:
        return " requested and " in str(error) and str(error).endswith(" written")
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def cannot_write(error: OSError, path: str | Path, wants: int | None = None) -> EpilmError:
    """Say in one message why a file or folder was not written.

    Parameters
    ----------
    error : OSError
        What the system said.
    path : path
        What was to be written.
    wants : int, optional
        Bytes it takes, where they are known.

    Examples
    --------
    >>> print(cannot_write(PermissionError(13, "Permission denied"), "out/model"))
    out/model: cannot write (Permission denied).
    """
    path = Path(path)
    expected = None if wants is None else f"{size_of(wants)}, which it takes"
    if is_disk_full(error):
        try:
            home = next(folder for folder in path.absolute().parents if folder.is_dir())
            free = f"{size_of(shutil.disk_usage(home).free)} free"
        except OSError:
            free = "no space left"
        return EpilmError(
            "the disk is full; nothing was left half-written",
            where=str(path),
            found="the quota used up" if error.errno == errno.EDQUOT else free,
            expected=expected,
            do="Free some space or choose another folder, then run the same command again.",
        )
    if error.errno == errno.EFBIG:
        return EpilmError(
            "cannot write: a file may not grow that large here; nothing was left half-written",
            where=str(path),
            expected=expected,
            do="Raise the limit (ulimit -f), or choose a file system that takes larger files.",
        )
    return EpilmError(f"cannot write ({error.strerror or error})", where=str(path))


def umask() -> int:
    """Read which rights new files do not get.

    The system gives it only in exchange for another; where Linux tells it besides, nothing is
    exchanged, or a file that another thread makes meanwhile would get other rights.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _open_to_others(path: Path) -> None:
    """Give a file, or a folder and all in it, the rights that the umask leaves.

    Temporary names are made for their owner alone, and so are the files of safetensors.
    """
    mask = umask()
    for folder, _, names in os.walk(path):
        os.chmod(folder, 0o777 & ~mask)
        for name in names:
            file = os.path.join(folder, name)
            if not os.path.islink(file):
                os.chmod(file, 0o666 & ~mask)
    if path.is_file():
        os.chmod(path, 0o666 & ~mask)


@contextmanager
def atomic_folder(
    path: str | Path, *, overwrite: bool = False, wants: int | None = None
) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` on success and vanishes on any failure.

    Parameters
    ----------
    path : path
        The folder to appear. Its parent is made when missing.
    overwrite : bool
        Replace an existing folder; otherwise an existing one is an error before any work is done.
    wants : int, optional
        Bytes that the folder takes, named where the disk is full.

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
                _open_to_others(temporary)
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
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise cannot_write(error, path, wants) from error


@contextmanager
def atomic_file(path: str | Path, *, wants: int | None = None) -> Iterator[Path]:
    """Give a temporary file name that replaces `path` on success and vanishes on any failure.

    Parameters
    ----------
    path : path
    wants : int, optional
        Bytes that the file takes, named where the disk is full.

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
            _open_to_others(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(error, path, wants) from error


def write_json(path: str | Path, value: Any, *, checked: bool = False) -> None:
    """Write a value as indented JSON, whole or not at all.

    Parameters
    ----------
    path : path
    value
        What JSON can say.
    checked : bool
        Add the checksum of a table to it, which `read_checked` looks at.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(name, {"b": 1})
    >>> name.read_text()
    '{\\n  "b": 1\\n}\\n'
    """
    if checked:
        value = {**value, CHECKSUM: _json_sum(value)}
    text = json.dumps(value, indent=2) + "\n"
    with atomic_file(path, wants=len(text)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_checked(path: str | Path) -> dict[str, Any]:
    """Read a JSON table and look at its checksum, where it has one (older files have none).

    Returns
    -------
    dict
        Without the checksum.

    Raises
    ------
    OSError, ValueError
        If there is no file, or it holds no JSON table.
    DamagedError
        If the values are not those that were written.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(name, {"heads": 4}, checked=True)
    >>> read_checked(name)
    {'heads': 4}
    >>> _ = name.write_text(name.read_text().replace("4", "6", 1))
    >>> read_checked(name)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    epilm.errors.DamagedError: .../a.json: the file is damaged, or was changed by hand. Found ...
    """
    table = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(table, dict):
        raise ValueError("not a table of values")
    written = table.pop(CHECKSUM, None)
    if written is not None and written != (now := _json_sum(table)):
        raise DamagedError(
            "the file is damaged, or was changed by hand",
            where=str(path),
            found=f"checksum {now}",
            expected=written,
            do=f'Take an earlier one. If the change was meant, remove "{CHECKSUM}" from the file.',
        )
    return table


def _json_sum(table: Mapping[str, Any]) -> str:
    """Checksum of the values, however they are laid out."""
    plain = json.loads(json.dumps(dict(table)))  # as they will be read: lists, names as text
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


@contextmanager
def locked(path: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the only right to write `path`; a second process is told so at once, or waits.

    The lock belongs to the process and goes with it, also after kill -9.

    Raises
    ------
    EpilmError
        If another process holds it, or nothing can be written there.
    """
    path = Path(path)
    lock = path.parent / f".{path.name}.lock"
    while True:
        try:
            handle = open(lock, "w")  # noqa: SIM115 - closed in every branch below
        except OSError as error:
            raise cannot_write(error, path) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
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

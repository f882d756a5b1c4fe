"""Writing that is whole or absent: a temporary neighbour, then one rename.

Two runs that write the same folder meet at a lock, not in a mixture of files.
A full disk or Ctrl-C leaves nothing behind, and says how much was wanted. What is
written may be read by whom the umask lets. JSON that matters carries its own checksum.
Needs the standard library only.
"""

import ctypes
import errno
import fcntl
import glob
import json
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from epilm.errors import DamagedError, EpilmError

_TEMPORARY = ".half-"  # marks a folder that is not yet whole
_NEW = ".new-"  # marks a folder with a file that is not yet whole
_REPLACED = "replaced"  # in such a folder: what stood there before
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of linux/fcntl.h and linux/fs.h

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


def is_disk_full(error: Exception) -> bool:
    """Whether a write failed because there is no room, on the disk or within a quota.

    NumPy says so in words alone ("25 requested and 2 written"), HDF5 and Rust within others.

    Examples
    --------
    >>> is_disk_full(OSError(errno.ENOSPC, "")), is_disk_full(OSError(errno.EACCES, ""))
    (True, False)
    """
    number = getattr(error, "errno", None)
    if number is None:
        said = str(error)
        full = os.strerror(errno.ENOSPC) in said
        return full or (" requested and " in said and said.endswith(" written"))
    return number in (errno.ENOSPC, errno.EDQUOT)


def cannot_write(error: Exception, path: str | Path, wants: int | None = None) -> EpilmError:
    """Say in one message why a file or folder was not written.

    Parameters
    ----------
    error : Exception
        What the system said, or a library for it.
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
    number = getattr(error, "errno", None)
    if is_disk_full(error):
        try:
            home = next(folder for folder in path.absolute().parents if folder.is_dir())
            disk = os.statvfs(home)
            free = f"{size_of(shutil.disk_usage(home).free)} free"
        except OSError:
            free = "no space left"
        else:
            if disk.f_files and not disk.f_ffree:
                return EpilmError(
                    "the disk takes no more files; nothing was left half-written",
                    where=str(path),
                    found=f"all {disk.f_files:,} entries for files (inodes) used up, {free}",
                    do=(
                        "Remove files, small ones count as large ones do, or choose another disk;"
                        " then run the same command again."
                    ),
                )
        return EpilmError(
            "the disk is full; nothing was left half-written",
            where=str(path),
            found="the quota used up" if number == errno.EDQUOT else free,
            expected=expected,
            do="Free some space or choose another folder, then run the same command again.",
        )
    if number == errno.EFBIG:
        return EpilmError(
            "cannot write: a file may not grow that large here; nothing was left half-written",
            where=str(path),
            expected=expected,
            do="Raise the limit (ulimit -f), or choose a file system that takes larger files.",
        )
    said = getattr(error, "strerror", None) or error
    return EpilmError(f"cannot write ({said})", where=str(path))


def not_hidden(folder: Path) -> set[str]:
    """Name what is in a folder, besides locks and what a killed writer left; nothing of none.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("run.json", ".run.json.a1b2c3d4.json"):
    ...     _ = (folder / name).write_text("{}")
    >>> not_hidden(folder), not_hidden(folder / "none")
    ({'run.json'}, set())
    """
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


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


def _exchange(new: Path, old: Path) -> bool:
    """Let two folders change their names in one step; False where the system or the disk cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    done: int = rename(_HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE)
    return done == 0


def link_folder(source: str | Path, target: str | Path) -> None:
    """Fill a folder with what another one holds, but for its locks: without a copy where the disk
    can, and so for files that are replaced and never written again.

    Examples
    --------
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "a").mkdir()
    >>> _ = (root / "a/x").write_text("1")
    >>> link_folder(root / "a", root / "b")
    >>> (root / "b/x").read_text(), (root / "b/x").samefile(root / "a/x")
    ('1', True)
    """

    def linked(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(
        source,
        target,
        copy_function=linked,
        ignore=shutil.ignore_patterns(".*.lock"),
        dirs_exist_ok=True,
    )


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

    def check_free() -> None:
        if path.exists() and not overwrite:
            raise EpilmError(
                "the folder exists already",
                where=str(path),
                do="Choose another name, remove it, or pass --overwrite.",
            )

    check_free()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            # What a killed writer of this very folder left: we hold the lock, so nobody is in
            # there.
            for left in path.parent.glob(f".{path.name}{_TEMPORARY}*"):
                if (left / _REPLACED).exists() and not path.exists():
                    os.replace(left / _REPLACED, path)  # killed between the two renames below
                shutil.rmtree(left, ignore_errors=True)
            check_free()
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}{_TEMPORARY}", dir=path.parent))
            try:
                yield temporary
                _open_to_others(temporary)
                if path.exists():
                    if not overwrite:
                        raise EpilmError("another run made the folder meanwhile", where=str(path))
                    if _exchange(temporary, path):
                        return
                    old = Path(
                        tempfile.mkdtemp(prefix=f".{path.name}{_TEMPORARY}", dir=path.parent)
                    )
                    os.replace(path, old / _REPLACED)
                    os.replace(temporary, path)
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    os.replace(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except EpilmError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not is_disk_full(error):
            raise
        raise cannot_write(error, path, wants) from error


def _sweep(path: Path) -> None:
    """Remove the temporary folders of a file that no process holds: their writers were killed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}{_NEW}*"):
        with suppress(OSError):  # in use, gone meanwhile, or on a disk that knows no such locks
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def _own_folder(path: Path) -> tuple[int, Path]:
    """Make a temporary folder for a file; it is locked, by which others see that it is in use.

    Not the file: libraries lock what they write themselves (HDF5).
    """
    while True:
        folder = tempfile.mkdtemp(prefix=f".{path.name}{_NEW}", dir=path.parent)
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # another one swept it just now
            continue
        swept = False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another one is about to
            swept = True
        except OSError:  # a disk that knows no such locks: nobody sweeps there
            pass
        if not swept and os.path.exists(folder):
            return handle, Path(folder)
        os.close(handle)


@contextmanager
def atomic_file(path: str | Path, *, wants: int | None = None) -> Iterator[Path]:
    """Give a temporary file name that replaces `path` on success and vanishes on any failure.

    What a killed writer of the same file left beside it goes first.

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
        _sweep(path)
        handle, folder = _own_folder(path)
        try:
            temporary = folder / path.name
            temporary.touch()
            yield temporary
            _open_to_others(temporary)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)
    except EpilmError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not is_disk_full(error):
            raise
        raise cannot_write(error, path, wants) from error


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Round floats for reading; a value that is not finite becomes None, which JSON has.

    Examples
    --------
    >>> plain({"a": 0.1234567891, "b": float("nan"), "c": 3})
    {'a': 0.12345679, 'b': None, 'c': 3}
    """
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, float):
            value = float(f"{value:.8g}") if math.isfinite(value) else None
        out[key] = value
    return out


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

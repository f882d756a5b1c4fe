"""HDF5 files, walked by a process of its own before this one reads them.

The HDF5 library trusts its file: where a node of a tree of names is its own neighbour, or the
length of a text wraps around, it goes on for ever, and nothing of Python is heard inside of C. So a
second process (started for the first file, kept, gone with this one) goes through each file first:
names, attributes, texts, the index of chunks, which is all that the library follows. It has some
seconds of a processor; where it needs more, or dies, the file is refused. What arrays claim is held
against the file's size as well.
"""

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from epilm.errors import InputError
from epilm.genome.limits import FREE, RATIO, check_sides, check_unpacked
from epilm.processes import same_modules

SECONDS = 3  # of a processor, for any file
BYTES_A_SECOND = 5_000_000  # a second more for so much of it: 30 times what texts need
MEMORY = 4 << 30  # bytes; a thousand texts are read at a time
MOST_DEPTH = 100  # groups within groups
_ROWS = 1000

_lock = threading.Lock()
_walker: subprocess.Popen[str] | None = None
_owner = 0  # the process that started it: one that was forked since starts its own


def check_hdf5(path: Path) -> None:
    """Refuse an HDF5 file that the library would not come back from, or whose arrays are far larger
    than the file: chunks that were never written cost nothing there and all memory here.

    A file that cannot be opened, or of which a part cannot be read, is left to its reader.

    Raises
    ------
    InputError
    """
    answer = _ask(path)
    if isinstance(answer, int):
        late = answer in (signal.SIGXCPU, signal.SIGKILL)
        raise InputError(
            "the HDF5 file leads its library astray",
            where=str(path),
            found=(
                "no end of its tables within the time that a whole file of its size needs"
                if late
                else f"a process that read its tables died of {_name(answer)}"
            ),
            expected="a whole HDF5 file",
            do="It is damaged: copy, download or make it again.",
        )
    if answer["circle"]:
        raise InputError(
            "a group of the HDF5 file holds itself",
            where=str(path),
            found=answer["circle"],
            expected="groups that end",
            do="It is damaged: copy, download or make it again.",
        )
    for sides in answer["sides"]:
        check_sides(path, *sides)
    check_unpacked(path, answer["claimed"])


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"exit code {-number}"


def _ask(path: Path) -> dict[str, Any] | int:
    """The answer of the other process, or the signal that it died of."""
    global _walker, _owner
    with _lock:
        if _walker is None or _owner != os.getpid() or _walker.poll() is not None:
            _walker = subprocess.Popen(
                [sys.executable, "-c", "from epilm.genome.hdf5_walk import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=same_modules(),
            )
            _owner = os.getpid()
        walker = _walker
        assert walker.stdin is not None  # pipes, made above
        assert walker.stdout is not None
        line = ""
        try:
            with suppress(BrokenPipeError):
                walker.stdin.write(json.dumps([os.path.abspath(path), SECONDS]) + "\n")
                walker.stdin.flush()
                line = walker.stdout.readline()
            if not line.endswith("\n"):  # its end of the pipe is closed
                return -walker.wait()
        finally:  # an interrupt too: its answer must not be taken for that of the next file
            if not line.endswith("\n"):
                _end()
        return json.loads(line)


@atexit.register
def _end() -> None:
    global _walker
    if _walker is not None and _owner == os.getpid():
        _walker.kill()
        _walker.communicate()
        _walker = None


def serve() -> None:
    """Walk files, in the process that may be killed: [path, seconds] a line in, an answer a line
    out.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the other process ends this one
    for limit, bound in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        with suppress(ValueError, OSError):  # not every system has both
            resource.setrlimit(limit, (bound if hard < 0 else min(bound, hard), hard))
    for line in sys.stdin:
        name, seconds = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        size = Path(name).stat().st_size if Path(name).is_file() else 0
        until = int(used.ru_utime + used.ru_stime + seconds + size / BYTES_A_SECOND) + 1
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (until if hard < 0 else min(until, hard), hard))
        print(json.dumps(walk(Path(name))), flush=True)


def walk(path: Path) -> dict[str, Any]:
    """Go through a file: what its arrays claim in bytes, the sides of its matrices, and the name of
    a group that holds itself.

    Examples
    --------
    >>> import tempfile
    >>> import h5py
    >>> name = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with h5py.File(name, "w") as file:
    ...     file["a/b"] = [1.0, 2.0]
    ...     file["a"].attrs["shape"] = [3, 4]
    >>> walk(name)
    {'claimed': 16, 'sides': [[3, 4]], 'circle': ''}
    """
    import h5py

    answer: dict[str, Any] = {"claimed": 0, "sides": [], "circle": ""}
    try:
        with h5py.File(path, "r") as file:
            _walk_groups(file, answer, path.stat().st_size)
    except Exception:  # h5py raises many kinds; whoever reads the file says what is wrong with it
        pass
    return answer


def _walk_groups(file: Any, answer: dict[str, Any], size: int) -> None:
    import h5py

    # Each way to an object is gone, as the readers do; only a way back into itself has no end.
    waiting: list[tuple[Any, tuple[int, ...]]] = [(file, ())]
    while waiting:
        group, above = waiting.pop()
        _look(group, answer, size)
        here = h5py.h5g.get_objinfo(group.id).objno
        h5py.h5o.get_info(group.id)  # counts the nodes of its tree, as readers do
        if here in above or len(above) > MOST_DEPTH:
            answer["circle"] = str(group.name)[:200]
            return
        for name in list(group):
            try:
                item = group[name]
                if isinstance(item, h5py.Group):
                    waiting.append((item, (*above, here)))
                else:
                    _look(item, answer, size)
            except Exception:  # a link to nothing, an object that is damaged
                continue


def _look(item: Any, answer: dict[str, Any], size: int) -> None:
    """Read what the library follows: attributes, texts, the index of chunks."""
    import h5py
    import numpy as np

    for name in item.attrs:
        with suppress(Exception):
            value = item.attrs[name]
            if name == "shape" and np.size(value) == 2:
                answer["sides"].append([int(side) for side in np.ravel(value)])
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        return
    claimed = int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize
    answer["claimed"] += claimed
    with suppress(Exception):
        if item.chunks is not None:
            item.id.get_num_chunks()
    if item.dtype.hasobject and claimed <= max(FREE, RATIO * size):
        with suppress(Exception):
            for at in range(0, item.shape[0], _ROWS) if item.shape else ():
                item[at : at + _ROWS]
            if not item.shape:
                item[()]

"""Many short tab-separated lines from arrays, fast, whole or absent.

A block is a list of columns, each a (n, width) matrix of bytes with 0 where a field is
shorter; the lines are what is left when the zeros are dropped. Neighbours: `labels`
and `submission`. Numpy only.
"""

import gzip
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.atomic import atomic_file

Columns = list[NDArray[np.uint8]]
_LEVEL = 4  # of gzip: half the time of the default, files a few per cent larger


def words(text: str, n: int) -> NDArray[np.uint8]:
    """Give a column that is the same text in n lines.

    Examples
    --------
    >>> words("chr1", 2).tobytes()
    b'chr1chr1'
    """
    letters = np.frombuffer(text.encode(), np.uint8)
    return np.broadcast_to(letters, (n, len(letters)))


def digits(values: ArrayLike) -> NDArray[np.uint8]:
    """Give whole numbers of at least 0 as a column of digits.

    Examples
    --------
    >>> lines([digits([7, 1200]), words("x", 2)])
    b'7\\tx\\n1200\\tx\\n'
    """
    rest = np.asarray(values, np.int64)
    width = len(str(int(rest.max(initial=0))))
    out = np.zeros((len(rest), width), np.uint8)
    for at in range(width - 1, -1, -1):
        shown = (rest > 0) if at < width - 1 else np.ones(len(rest), bool)
        out[:, at] = np.where(shown, 48 + rest % 10, 0)
        rest = rest // 10
    return out


def decimals(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Give numbers as a column of the shortest text that reads back as the same number.

    Examples
    --------
    >>> lines([decimals(np.array([0.1, 1e-9], np.float32))])
    b'0.1\\n1e-09\\n'
    """
    text = np.asarray(values).astype("S32")
    width = max(int(np.char.str_len(text).max(initial=1)), 1)
    return text.view(np.uint8).reshape(len(text), 32)[:, :width]


def lines(columns: Columns) -> bytes:
    """Join columns to lines."""
    n = len(columns[0])
    parts: Columns = []
    for i, column in enumerate(columns):
        parts += [column, np.full((n, 1), 10 if i + 1 == len(columns) else 9, np.uint8)]
    whole = np.concatenate(parts, axis=1)
    return whole[whole != 0].tobytes()


@contextmanager
def open_rows(path: str | Path) -> Iterator[Callable[[bytes], object]]:
    """Give a function that appends bytes to a file that appears whole at the end; gzip if its name
    ends in .gz.
    """
    path = Path(path)
    with atomic_file(path) as temporary, open(temporary, "wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed:
                yield packed.write
        else:
            yield raw.write


def write_rows(path: str | Path, blocks: Iterable[Columns], header: bytes = b"") -> None:
    """Write blocks of columns to a file, whole or not at all."""
    with open_rows(path) as write:
        write(header)
        for block in blocks:
            write(lines(block))

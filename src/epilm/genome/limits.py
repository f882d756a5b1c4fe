"""How much a small file may claim or unpack to, before it is refused.

A file of 10 KB can claim 10^12 rows, or unpack to 10 GB. What a reader holds in memory is bounded
by what the file truly has: `RATIO` times its bytes, and `FREE` bytes for files that are small.
Text of sequencing, matrices and genomes packs 3 to 60 times; nothing that is measured packs 200.
"""

import gzip
from pathlib import Path
from typing import IO, Any

from epilm.errors import InputError

FREE = 1 << 28  # bytes that any file may unpack to
RATIO = 200  # how many times its bytes a larger one may
MOST_SIDE = 100_000_000  # rows or columns of a matrix


def check_unpacked(path: str | Path, n_bytes: int, packed: int | None = None) -> None:
    """Refuse a file that unpacks to far more than it holds.

    Parameters
    ----------
    path : path
    n_bytes : int
        Unpacked so far, or as the file says.
    packed : int, optional
        Its size on disk, where that is known.

    Raises
    ------
    InputError
    """
    if n_bytes <= FREE:
        return
    packed = Path(path).stat().st_size if packed is None else packed
    if n_bytes > RATIO * packed:
        raise InputError(
            "the file unpacks to far more than measured data would",
            where=str(path),
            found=f"more than {RATIO} times its {packed:,} bytes",
            expected=f"at most {RATIO} times, or {FREE:,} bytes",
            do="If it is what it should be, unpack it first and give the plain file.",
        )


def check_sides(path: str | Path, *sides: int) -> None:
    """Refuse a matrix whose sides no experiment has.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_sides("a.mtx", 10**12, 1)
    Traceback (most recent call last):
    epilm.errors.InputError: a.mtx: the matrix is larger than any that is measured. Found
        1,000,000,000,000 x 1; expected sides of at most 100,000,000. The header is wrong, or the
        file damaged: make it again.
    """
    if any(not 0 <= side <= MOST_SIDE for side in sides):
        raise InputError(
            "the matrix is larger than any that is measured",
            where=str(path),
            found=" x ".join(f"{side:,}" for side in sides),
            expected=f"sides of at most {MOST_SIDE:,}",
            do="The header is wrong, or the file damaged: make it again.",
        )


class LimitedGzip(gzip.GzipFile):
    """A gzip file that stops, with one message, where it unpacks to too much.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.gz"
    >>> _ = name.write_bytes(gzip.compress(b"chr1"))
    >>> with LimitedGzip(name) as file:
    ...     file.read()
    b'chr1'
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path), "rb")
        self._path, self._packed = Path(path), Path(path).stat().st_size
        self._given = 0

    def _counted(self, data: bytes) -> bytes:
        self._given += len(data)
        check_unpacked(self._path, self._given, self._packed)
        return data

    def read(self, size: int | None = -1) -> bytes:
        """See `io.BufferedIOBase.read`."""
        if size is not None and size >= 0:
            return self._counted(super().read(size))
        pieces = []
        while piece := super().read(1 << 22):
            pieces.append(self._counted(piece))
        return b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """See `io.BufferedIOBase.read1`."""
        return self._counted(super().read1(size))

    def readline(self, size: int | None = -1) -> bytes:
        """See `io.IOBase.readline`; a line without an end is bounded too."""
        bound = FREE if size is None or size < 0 else size
        parts = [self._counted(super().readline(bound))]
        while len(parts[-1]) == FREE and not parts[-1].endswith(b"\n") and bound == FREE:
            parts.append(self._counted(super().readline(bound)))
        return b"".join(parts)


def open_text(path: str | Path, packed: bool) -> IO[str]:
    """Open a text file, gzip within the limits or plain."""
    import io

    if not packed:
        return open(path, encoding="utf-8")
    raw: Any = LimitedGzip(path)
    return io.TextIOWrapper(raw, encoding="utf-8")

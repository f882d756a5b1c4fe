"""Bytes of an input file, or one message that says why there are none.

Plain and gzip (bgzip is gzip in many members) are told apart by their first
bytes, never by the name. Every reader of this package opens files here, so a
missing, empty, cut or foreign file reads the same everywhere.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.limits import LimitedGzip

GZIP = b"\x1f\x8b"
_SKIP = re.compile(rb"\n(?:[ \t]*\n|#|track[ \t\n]|browser[ \t\n])")

_SIGNAL = "A bigWig holds a signal: give it where one is asked for; peaks are called on reads."
# First bytes of what people hand over by mistake.
_FOREIGN = {
    b"BZh": ("bzip2", "Unpack it with bunzip2 first."),
    b"\xfd7zXZ": ("xz", "Unpack it with unxz first."),
    b"\x28\xb5\x2f\xfd": ("zstd", "Unpack it with unzstd first."),
    b"PK\x03\x04": ("zip", "Unpack it with unzip first."),
    b"\x89HDF": ("HDF5", "An .h5ad matrix goes to counts, a .cool map to contacts."),
    b"\x89PNG": ("a PNG picture", "Give the data file."),
    b"%PDF": ("a PDF document", "Give the data file."),
    b"<!DOCTYPE": (
        "a web page",
        "The download probably failed: open the file and read its message.",
    ),
    b"<html": ("a web page", "The download probably failed: open the file and read its message."),
    b"\xeb\xf2\x89\x87": ("bigBed", "Convert it with bigBedToBed first."),
    b"\x87\x89\xf2\xeb": ("bigBed", "Convert it with bigBedToBed first."),
    b"\x26\xfc\x8f\x88": ("bigWig", _SIGNAL),
    b"\x88\x8f\xfc\x26": ("bigWig", _SIGNAL),
    b"BAM\x01": ("BAM", "Call peaks on it first, for example with macs3 callpeak."),
    b"\xff\xfe": ("UTF-16 text", "Save it as plain (UTF-8) text."),
    b"\xfe\xff": ("UTF-16 text", "Save it as plain (UTF-8) text."),
    b"version https://git-lfs": ("a git-lfs pointer", "Fetch the real file with git lfs pull."),
}
# Packed inside already, and read in places: nobody reads them through gzip.
_PLAIN_ONLY = ("bigBed", "bigWig", "HDF5")


def check_file(path: str | Path, what: str) -> Path:
    """Return the path of an existing, non-empty file.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should be, for the message: "a FASTA file".

    Raises
    ------
    InputError
        If there is no such file, it is a folder, it cannot be read or has no bytes.

    Examples
    --------
    >>> check_file("/nowhere/peaks.bed", "a peak file")
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: /nowhere/peaks.bed: there is no such file. Expected a peak file. The
        folder /nowhere does not exist either.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if not path.parent.exists():
            do = f"The folder {path.parent} does not exist either."
        else:
            do = f"Check the name; {path.parent} holds {_listing(path.parent)}."
        raise InputError("there is no such file", where=str(path), expected=what, do=do) from None
    except OSError as error:
        raise InputError(
            f"the file cannot be opened ({error.strerror})", where=str(path), expected=what
        ) from None
    if path.is_dir():
        raise InputError(
            "this is a folder", where=str(path), expected=what, do=f"It holds {_listing(path)}."
        )
    if size == 0:
        raise InputError(
            "the file is empty",
            where=str(path),
            found="0 bytes",
            expected=what,
            do="Make or download it again.",
        )
    return path


def _listing(folder: Path) -> str:
    try:
        names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    except OSError:
        return "files that cannot be listed"
    return (
        ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    ) or "nothing"


def is_gzip(path: str | Path) -> bool:
    """Say whether a file starts with gzip's two bytes."""
    with open(path, "rb") as handle:
        return handle.read(2) == GZIP


def first_bytes(path: str | Path, n: int) -> bytes:
    """Return the first bytes of a file, of a gzip file those of what is packed in it.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.gz"
    >>> _ = name.write_bytes(gzip.compress(b"chr1"))
    >>> first_bytes(name, 3)
    b'chr'
    """
    try:
        with gzip.open(path, "rb") if is_gzip(path) else open(path, "rb") as handle:
            return handle.read(n)
    except (EOFError, OSError, zlib.error):
        return b""  # whoever reads the file says what is wrong with it


def read_chunks(path: str | Path, what: str, size: int = 1 << 22) -> Iterator[bytes]:
    """Yield the unpacked bytes of a plain or gzip file, piece by piece.

    Parameters
    ----------
    path : path
        A plain or gzip (bgzip) file.
    what : str
        What it should be, for messages.
    size : int
        Bytes a piece.

    Yields
    ------
    bytes
        Pieces of at most `size` bytes.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, damaged or of a foreign format.
    """
    path = check_file(path, what)
    done = 0
    try:
        packed = is_gzip(path)
        with LimitedGzip(path) if packed else open(path, "rb") as handle:
            while piece := handle.read(size):
                if not done:
                    _refuse_foreign(piece, path, what, packed)
                done += len(piece)
                yield piece
    except EOFError:
        raise InputError(
            "the gzip file is truncated",
            where=str(path),
            found=(
                f"the end of the file after {path.stat().st_size} packed bytes ({done} unpacked"
                " bytes read)"
            ),
            expected="gzip's closing checksum",
            do="Copy or download it again; gzip -t should then say nothing.",
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            "the gzip file is damaged",
            where=str(path),
            found=str(error),
            expected=f"{what}, plain or gzip",
            do="Copy or download it again; gzip -t should then say nothing.",
        ) from None
    except OSError as error:
        raise InputError(
            f"the file cannot be read ({error.strerror})", where=str(path), expected=what
        ) from None
    if not done:
        raise InputError(
            "the gzip file holds nothing",
            where=str(path),
            found="0 bytes",
            expected=what,
            do="Make or download it again.",
        )


def _refuse_foreign(head: bytes, path: Path, what: str, packed: bool) -> None:
    for magic, (name, do) in _FOREIGN.items():
        if head.startswith(magic):
            if packed and name in _PLAIN_ONLY:
                name, do = f"{name}, packed with gzip", f"Unpack it with gunzip first: {name} files"
                do += " are read as they are."
            raise InputError("wrong format", where=str(path), found=name, expected=what, do=do)


def read_text(path: str | Path, what: str) -> bytes:
    """Return all bytes of a plain or gzip text file, with Unix line ends and no byte-order mark.

    Raises
    ------
    InputError
        As `read_chunks`; also if the bytes are not text.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = name.write_bytes(b"chr1\\t1\\r\\nchr2\\t2\\r\\n")
    >>> read_text(name, "a table")
    b'chr1\\t1\\nchr2\\t2\\n'
    """
    data = b"".join(read_chunks(path, what))
    if b"\x00" in data:
        raise InputError(
            "wrong format",
            where=str(path),
            found=f"binary data starting with {data[:8]!r}",
            expected=what,
            do="Give a text file, plain or gzip.",
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def blocks_of_lines(path: str | Path, what: str, size: int = 1 << 24) -> Iterator[bytes]:
    """Yield a text file in pieces that end with a line, with Unix line ends: `read_text` for files
    that are too big.

    Parameters
    ----------
    path, what
        As `read_chunks`.
    size : int
        Unpacked bytes a piece, about.

    Raises
    ------
    InputError
        As `read_chunks`; also if the bytes are not text.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = name.write_bytes(b"one\\r\\ntwo\\nthree")
    >>> list(blocks_of_lines(name, "a list", size=6))
    [b'one\\n', b'two\\n', b'three\\n']
    """
    rest, first = b"", True
    for piece in read_chunks(path, what, size):
        if b"\x00" in piece:
            raise InputError(
                "wrong format",
                where=str(path),
                found=f"binary data starting with {piece[:8]!r}",
                expected=what,
                do="Give a text file, plain or gzip.",
            )
        text = rest + (piece.removeprefix(b"\xef\xbb\xbf") if first else piece)
        first = False
        cut = text.rfind(b"\n") + 1
        text, rest = text[:cut], text[cut:]
        if text:
            yield text.replace(b"\r\n", b"\n") if b"\r" in text else text
    if rest:
        yield rest.rstrip(b"\r") + b"\n"


def data_lines(text: bytes) -> tuple[bytes, NDArray[np.int64]]:
    """Leave out `track`, `browser`, `#` and blank lines.

    Parameters
    ----------
    text : bytes
        Of `read_text`.

    Returns
    -------
    text : bytes
        The lines left, each with its end; empty if there are none.
    numbers : int64 array
        The 1-based line of the file each of them is.

    Examples
    --------
    >>> data_lines(b"#h\\nchr1\\t1\\n\\nchr2\\t5")
    (b'chr1\\t1\\nchr2\\t5\\n', array([2, 4]))
    """
    text = text if text.endswith(b"\n") else text + b"\n"
    total = text.count(b"\n")
    if not _SKIP.search(b"\n" + text):
        return text, np.arange(1, total + 1)
    kept, numbers = [], []
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        if (
            line.strip()
            and not line.startswith(b"#")
            and line.split(None, 1)[0] not in (b"track", b"browser")
        ):
            kept.append(line)
            numbers.append(number)
    return b"\n".join(kept) + b"\n" if kept else b"", np.array(numbers, dtype=np.int64)


def find_separators(
    text: bytes, n_lines: int, n_separators: int, separator: bytes = b"\t"
) -> NDArray[np.int64] | None:
    """Say where the separators of each line are, or None if not every line has this many.

    Parameters
    ----------
    text : bytes
        Lines, each with its end.
    n_lines, n_separators : int
    separator : bytes
        One letter.

    Returns
    -------
    int64 array, shape (n_lines, n_separators), or None
        Places in `text`.

    Examples
    --------
    >>> find_separators(b"a\\tb\\nc\\td\\n", 2, 1).tolist()
    [[1], [5]]
    >>> find_separators(b"a\\tb\\tc\\nd\\n", 2, 1) is None
    True
    """
    letters = np.frombuffer(text, dtype=np.uint8)
    marks, ends = np.flatnonzero(letters == separator[0]), np.flatnonzero(letters == 10)
    if len(marks) != n_lines * n_separators or len(ends) != n_lines:
        return None
    grid = marks.reshape(n_lines, n_separators)
    whole = bool((grid[:, -1] < ends).all() and (grid[1:, 0] > ends[:-1]).all())
    return grid if whole else None

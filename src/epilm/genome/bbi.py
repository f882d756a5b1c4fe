"""bigWig and bigBed files: opened, or one message that says why not.

Both are one container (header, index, packed blocks), read by pybigtools. A
truncated file is found from its header before that reader meets it.
"""

import struct
from pathlib import Path
from typing import Any

from epilm.errors import InputError
from epilm.genome.bbi_trees import check_trees
from epilm.genome.files import is_gzip

# First bytes, little and big endian.
BIGWIG = (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26")
BIGBED = (b"\xeb\xf2\x89\x87", b"\x87\x89\xf2\xeb")


def open_bbi(path: str | Path, kind: str) -> Any:
    """Open a bigWig or bigBed file.

    Parameters
    ----------
    path : path
        Its first bytes are known to be right.
    kind : str
        "bigBed" or "bigWig", for messages.

    Returns
    -------
    pybigtools reader

    Raises
    ------
    InputError
        If the file ends before what its header says, or is damaged otherwise.

    References
    ----------
    Kent et al. 2010, BigWig and BigBed, supplement (header layout).
    """
    import pybigtools

    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(64)
    order = "<" if head[:4] in (BIGWIG[0], BIGBED[0]) else ">"
    # chromosome tree, data, index
    far = max(struct.unpack(f"{order}3Q", head[8:32])) if len(head) == 64 else 64
    if far >= size:
        raise damaged(
            kind, str(path), EOFError(f"the end of the file after {size} bytes, its index at {far}")
        )
    if len(head) == 64:
        try:
            with path.open("rb") as handle:
                check_trees(handle, size)
        except (ValueError, struct.error) as error:
            raise damaged(kind, str(path), error) from None
    try:
        file = pybigtools.open(str(path))
        file.chroms()
    except BaseException as error:  # the reader's panics are no Exception
        raise damaged(kind, str(path), error) from None
    return file


def refuse_packed(path: Path, magic: bytes, expected: str) -> None:
    """Refuse a bigWig or bigBed file that is packed with gzip.

    Parameters
    ----------
    path : path
    magic : bytes
        Its first bytes, unpacked.
    expected : str
        For the message.

    Raises
    ------
    InputError
    """
    if magic in (*BIGWIG, *BIGBED) and is_gzip(path):
        kind = "bigWig" if magic in BIGWIG else "bigBed"
        raise InputError(
            f"the {kind} file is packed with gzip",
            where=str(path),
            expected=expected,
            do=f"Unpack it: gunzip {path.name}; it is read in places, not from end to end.",
        )


def damaged(kind: str, source: str, error: BaseException, at: str | None = None) -> BaseException:
    """Say that a bigBed or bigWig file cannot be read, and why; pass on what is not the file's
    fault.

    Parameters
    ----------
    kind : str
        "bigBed" or "bigWig".
    source : str
        The file.
    error : BaseException
        What the reader raised.
    at : str, optional
        Where in the genome.

    Examples
    --------
    >>> print(damaged("bigWig", "a.bw", OSError("failed to fill whole buffer")))
    a.bw: the bigWig file cannot be read. Found failed to fill whole buffer; expected a whole bigWig
        file. It is truncated or damaged: copy or download it again.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | InputError):
        return error
    return InputError(
        f"the {kind} file cannot be read" + (f" at {at}" if at else ""),
        where=source,
        found=" ".join(str(error).split())[:200] or type(error).__name__,
        expected=f"a whole {kind} file",
        do="It is truncated or damaged: copy or download it again.",
    )

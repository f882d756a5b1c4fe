"""The records of a FASTA file: found in a memory map, or read one after the other."""

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

from epilm.errors import InputError
from epilm.genome.files import read_chunks

WHAT = "a genome: FASTA (plain, gzip, bgzip) or .2bit"
_BLANK = b"\n\r\t "


def record_name(header: bytes, path: Path) -> str:
    """Return the first word after ">"."""
    words = header[1:].split(None, 1)
    if not words:
        raise InputError(
            "a record has no name",
            where=str(path),
            found=repr(header.decode("utf-8", "replace")),
            expected=">name",
        )
    return words[0].decode("utf-8", "replace")


def _not_fasta(head: bytes, path: Path) -> InputError:
    line = head.lstrip().split(b"\n", 1)[0][:60].decode("utf-8", "replace")
    hint = " It looks like FASTQ." if line.startswith("@") else ""
    return InputError(
        "not a FASTA file",
        where=str(path),
        found=f"a first line {line!r}",
        expected=f"a line '>name'.{hint}",
        do="Give a genome as FASTA (plain, gzip, bgzip) or .2bit.",
    )


def named_twice(name: str, path: Path) -> InputError:
    """Say that two records have one name."""
    return InputError(
        "two records have the same name",
        where=str(path),
        found=f"{name} again",
        expected="every name once",
        do="Rename or remove one of them.",
    )


def without_bases(name: str, path: Path) -> InputError:
    """Say that a record is empty."""
    return InputError(
        "the record has no bases",
        where=f"{path}, record {name}",
        found="0 bp",
        expected="at least one base",
        do="Remove the record, or make the file again if it was cut.",
    )


def open_plain(path: Path) -> tuple[dict[str, int], Callable[[str], bytes]]:
    """Find the records of a plain FASTA file in a memory map; the letters are read when asked
    for.
    """
    handle = open(path, "rb")  # noqa: SIM115 - the map keeps it
    data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    handle.close()
    at = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    while at < len(data) and data[at : at + 1] in (b"\n", b"\r", b" "):
        at += 1
    if data[at : at + 1] != b">" or b"\x00" in data[: 1 << 16]:
        for _ in read_chunks(path, WHAT):  # says when it is a foreign format
            break
        raise _not_fasta(data[: 1 << 12], path)
    spans: dict[str, tuple[int, int]] = {}
    lengths: dict[str, int] = {}
    while at < len(data):
        stop = data.find(b"\n>", at)
        stop = len(data) if stop < 0 else stop + 1
        line = data.find(b"\n", at, stop)
        line = stop if line < 0 else line
        name = record_name(data[at:line], path)
        if name in spans:
            raise named_twice(name, path)
        spans[name] = (line, stop)
        lengths[name] = _count_bases(data, line, stop)
        if not lengths[name]:
            raise without_bases(name, path)
        at = stop

    def read(chrom: str) -> bytes:
        first, last = spans[chrom]
        return data[first:last].translate(None, _BLANK)

    return lengths, read


def _count_bases(data: mmap.mmap, start: int, stop: int, piece: int = 1 << 24) -> int:
    total = stop - start
    for i in range(start, stop, piece):
        part = data[i : min(i + piece, stop)]
        total -= sum(part.count(blank) for blank in (b"\n", b"\r", b"\t", b" "))
    return total


def iter_fasta(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Read the records of a FASTA file one after the other.

    Parameters
    ----------
    path : path
        Plain, gzip or bgzip.

    Yields
    ------
    header : str
        The whole line after ">".
    letters : bytes
        The record without line ends, as they are in the file (`sequence.encode` makes codes of
        them).

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or not FASTA.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "g.fa"
    >>> _ = name.write_text(">a one\\nAC\\nGT\\n>b\\nTT\\n")
    >>> list(iter_fasta(name))
    [('a one', b'ACGT'), ('b', b'TT')]
    """
    header: bytes | None = None
    parts: list[bytes] = []
    rest = b""  # the last, perhaps unfinished line start
    first = True
    for chunk in read_chunks(path, WHAT):
        chunk = rest + chunk
        rest = b""
        if first:
            chunk = chunk.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n ")
            if not chunk:
                continue
            if not chunk.startswith(b">"):
                raise _not_fasta(chunk, Path(path))
            first = False
            chunk = b"\n" + chunk
        while (at := chunk.find(b"\n>")) >= 0:
            line = chunk.find(b"\n", at + 1)
            if line < 0:
                break
            if header is not None:
                parts.append(chunk[:at].translate(None, _BLANK))
                yield header.decode("utf-8", "replace").strip(), b"".join(parts)
            header, parts = chunk[at + 2 : line], []
            chunk = chunk[line:]
        if at >= 0:  # a header line that goes on in the next piece
            parts.append(chunk[:at].translate(None, _BLANK))
            rest = chunk[at:]
        elif chunk.endswith(b"\n"):
            parts.append(chunk.translate(None, _BLANK))
            rest = b"\n"
        else:
            parts.append(chunk.translate(None, _BLANK))
    if first:
        raise _not_fasta(b"", Path(path))
    if len(rest) > 1:  # a last header without a line end
        if header is not None:
            yield header.decode("utf-8", "replace").strip(), b"".join(parts)
        header, parts = rest[2:], []
    if header is not None:
        yield header.decode("utf-8", "replace").strip(), b"".join(parts)

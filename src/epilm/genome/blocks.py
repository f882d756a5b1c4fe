"""Random access into packed genomes: bgzip FASTA by its .fai, and UCSC's .2bit.

Both give (lengths, read): the length of every record in bp, and a function from
a record's name to its letters, lower case where soft-masked. numpy only.

References
----------
bgzip and BGZF: SAM specification, section 4.1. .fai: samtools faidx.
.2bit: https://genome.ucsc.edu/FAQ/FAQformat.html#format7
"""

import mmap
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from epilm.errors import InputError

Opened = tuple[dict[str, int], Callable[[str], bytes]]

_MAGIC = 0x1A412743
TWOBIT = (struct.pack("<I", _MAGIC), struct.pack(">I", _MAGIC))
# Four bases a byte, first base in the high bits; 0..3 = T C A G.
_FOUR = np.array(
    [[b"TCAG"[(byte >> shift) & 3] for shift in (6, 4, 2, 0)] for byte in range(256)],
    dtype=np.uint8,
)


def _map(path: Path) -> mmap.mmap:
    with open(path, "rb") as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


def is_bgzip(path: str | Path) -> bool:
    """Say whether a gzip file is made of bgzip blocks (their size is in the first header)."""
    with open(path, "rb") as handle:
        head = handle.read(16)
    return (
        len(head) == 16 and head[:2] == b"\x1f\x8b" and bool(head[3] & 4) and head[12:14] == b"BC"
    )


def _read_fai(fai: Path, path: Path) -> dict[str, tuple[int, int, int, int]]:
    """Read length, offset, bases a line and bytes a line of each record."""
    index: dict[str, tuple[int, int, int, int]] = {}
    for number, line in enumerate(
        fai.read_text(encoding="utf-8", errors="replace").splitlines(), 1
    ):
        fields = line.split("\t")
        if len(fields) < 5 or not all(field.isdigit() for field in fields[1:5]):
            raise InputError(
                "not a FASTA index",
                where=f"{fai}, line {number}",
                found=repr(line[:60]),
                expected="name, length, offset, bases a line, bytes a line",
                do=f"Make it again: samtools faidx {path.name}",
            )
        if fields[0] in index:
            raise InputError(
                "two records have the same name",
                where=f"{fai}, line {number}",
                found=f"{fields[0]} again",
                expected="every name once",
                do="Rename or remove one of them.",
            )
        length, offset, bases, width = map(int, fields[1:5])
        if not length or not bases:
            raise InputError(
                "the record has no bases",
                where=f"{fai}, line {number}",
                found=fields[0],
                expected="at least one base",
                do="Remove the record, or make the file again if it was cut.",
            )
        index[fields[0]] = (length, offset, bases, width)
    if not index:
        raise InputError(
            "the FASTA index is empty",
            where=str(fai),
            expected="a line for each record",
            do=f"Make it again: samtools faidx {path.name}",
        )
    return index


def open_bgzip(path: Path, fai: Path) -> Opened:
    """Open a bgzip FASTA file that has a .fai index; no .gzi is needed.

    Raises
    ------
    InputError
        If a block is damaged or cut, or the index does not fit the file.
    """
    data = _map(path)
    starts, sizes = _blocks(data, path)
    ends = np.cumsum(sizes)
    index = _read_fai(fai, path)

    def read(chrom: str) -> bytes:
        length, offset, bases, width = index[chrom]
        last = offset + length + (length - 1) // bases * (width - bases)
        stale = InputError(
            "the FASTA index does not fit the file",
            where=str(fai),
            found=f"{chrom} at bytes {offset} to {last}",
            expected=f"a record of {length} bp there",
            do=f"Make it again: samtools faidx {path.name}",
        )
        first = int(np.searchsorted(ends, offset, side="right"))
        if last > (ends[-1] if len(ends) else 0):
            raise stale
        final = min(int(np.searchsorted(ends, last + 3, side="left")), len(ends) - 1)
        parts = [
            _unpack(data, int(starts[i]), int(sizes[i]), path) for i in range(first, final + 1)
        ]
        base = int(ends[first] - sizes[first])
        text = b"".join(parts)
        letters = text[offset - base : last - base].translate(None, b"\n\r")
        after = text[last - base : last - base + 3].lstrip(b"\r\n")[
            :1
        ]  # the next record, or the end
        if len(letters) != length or b">" in letters or after not in (b"", b">"):
            raise stale
        return letters

    return {name: entry[0] for name, entry in index.items()}, read


def _blocks(data: mmap.mmap, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Hop over the blocks: where each starts, how many bytes it unpacks to."""
    starts, sizes = [], []
    at = 0
    while at < len(data):
        if data[at : at + 4] != b"\x1f\x8b\x08\x04" or data[at + 12 : at + 14] != b"BC":
            raise InputError(
                "the bgzip file is damaged",
                where=str(path),
                found=f"no block at byte {at}",
                expected="a bgzip block",
                do="Copy or download it again.",
            )
        end = at + int.from_bytes(data[at + 16 : at + 18], "little") + 1
        if end > len(data) or end - at < 26:
            raise InputError(
                "the gzip file is truncated",
                where=str(path),
                found=f"the end of the file inside the block at byte {at}",
                expected="whole bgzip blocks",
                do="Copy or download it again; gzip -t should then say nothing.",
            )
        starts.append(at)
        sizes.append(int.from_bytes(data[end - 4 : end], "little"))
        at = end
    if not sizes or sizes[-1]:
        raise InputError(
            "the gzip file is truncated",
            where=str(path),
            found="no closing empty block",
            expected="bgzip's end-of-file block",
            do="Copy or download it again; gzip -t alone cannot see this.",
        )
    return np.array(starts, dtype=np.int64), np.array(sizes, dtype=np.int64)


def _unpack(data: mmap.mmap, start: int, size: int, path: Path) -> bytes:
    end = start + int.from_bytes(data[start + 16 : start + 18], "little") + 1
    extra = int.from_bytes(data[start + 10 : start + 12], "little")
    try:
        out = zlib.decompress(data[start + 12 + extra : end - 8], wbits=-15, bufsize=max(size, 1))
    except zlib.error as error:
        out = b""
        reason = str(error)
    else:
        reason = "a wrong checksum"
    if len(out) != size or zlib.crc32(out) != int.from_bytes(data[end - 8 : end - 4], "little"):
        raise InputError(
            "the gzip file is damaged",
            where=str(path),
            found=f"{reason} in the block at byte {start}",
            expected="whole bgzip blocks",
            do="Copy or download it again; gzip -t should then say nothing.",
        )
    return out


def open_twobit(path: Path) -> Opened:
    """Open a .2bit file, version 0 or 1, of either byte order.

    Raises
    ------
    InputError
        If the file is cut, of an unknown version, or names a record twice.
    """
    data = _map(path)
    order = "<" if data[:4] == TWOBIT[0] else ">"

    def cut(at: int) -> InputError:
        return InputError(
            "the .2bit file is truncated",
            where=str(path),
            found=f"{len(data)} bytes",
            expected=f"at least {at}",
            do="Copy or download it again.",
        )

    def numbers(at: int, n: int) -> tuple[np.ndarray, int]:
        if at + 4 * n > len(data):
            raise cut(at + 4 * n)
        return (
            np.frombuffer(data, dtype=f"{order}u4", count=n, offset=at).astype(np.int64),
            at + 4 * n,
        )

    (version, n_records), _ = numbers(4, 2)
    if version not in (0, 1):
        raise InputError(
            "unknown .2bit version", where=str(path), found=int(version), expected="0 or 1"
        )
    offset_bytes = 8 if version == 1 else 4
    at = 16
    where: dict[str, int] = {}
    for _ in range(int(n_records)):
        size = data[at] if at < len(data) else 0
        end = at + 1 + size + offset_bytes
        if end > len(data):
            raise cut(end)
        name = data[at + 1 : at + 1 + size].decode("ascii", "replace")
        if name in where:
            raise InputError(
                "two records have the same name",
                where=str(path),
                found=f"{name} again",
                expected="every name once",
                do="Rename or remove one of them.",
            )
        where[name] = struct.unpack(order + ("Q" if version else "I"), data[at + 1 + size : end])[0]
        at = end
    if not where:
        raise InputError(
            "the .2bit file holds no record", where=str(path), expected="at least one chromosome"
        )

    def runs(at: int) -> tuple[np.ndarray, np.ndarray, int]:
        (n,), at = numbers(at, 1)
        first, at = numbers(at, int(n))
        size, at = numbers(at, int(n))
        return first, size, at

    lengths = {name: int(numbers(start, 1)[0][0]) for name, start in where.items()}

    def read(chrom: str) -> bytes:
        (length,), at = numbers(where[chrom], 1)
        n_first, n_size, at = runs(at)
        low_first, low_size, at = runs(at)
        at += 4  # reserved
        packed = -(-int(length) // 4)
        if at + packed > len(data):
            raise cut(at + packed)
        letters = _FOUR[np.frombuffer(data, dtype=np.uint8, count=packed, offset=at)].reshape(-1)[
            :length
        ]
        for first, size in zip(n_first, n_size, strict=True):
            letters[first : first + size] = ord("N")
        for first, size in zip(low_first, low_size, strict=True):
            letters[first : first + size] |= 0x20
        return letters.tobytes()

    return lengths, read

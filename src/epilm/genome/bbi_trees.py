"""The two trees of a bigWig or bigBed file, walked before its reader follows them.

A child that is its own parent, or a block of 4 GB in a file of 10 KB, would keep the reader
(which trusts the file) going for ever or ask for all memory. Each node is looked at once.

References
----------
Kent et al. 2010, BigWig and BigBed, supplement, tables 5 to 17.
"""

import struct
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

CHROM_TREE, INDEX = 0x78CA8C91, 0x2468ACE0
MOST_KEY = 1 << 12  # letters of a chromosome's name
MOST_BLOCK = 1 << 28  # bytes that a block of values unpacks to
MOST_DEPTH = 64  # of a tree: two children a node are enough for every file; the reader recurses


def check_trees(handle: IO[bytes], size: int) -> None:
    """Walk the tree of chromosomes and the index of values.

    Parameters
    ----------
    handle : binary file
    size : int
        Of the file in bytes; at least 64.

    Raises
    ------
    ValueError
        Saying what is wrong, and where.
    """

    def read(at: int, n: int) -> bytes:
        if at < 0 or at + n > size:
            raise ValueError(f"{n} bytes at {at} of a file of {size}")
        handle.seek(at)
        return handle.read(n)

    head = read(0, 64)
    order = "<" if head[0] in (0x26, 0xEB) else ">"
    chroms, _, index = struct.unpack(f"{order}3Q", head[8:32])
    (buffer,) = struct.unpack(f"{order}I", head[52:56])
    if buffer > MOST_BLOCK:
        raise ValueError(f"blocks that unpack to {buffer:,} bytes")
    magic, _, key, value = struct.unpack(f"{order}4I", read(chroms, 16))
    if magic != CHROM_TREE or key > MOST_KEY or value != 8:
        raise ValueError(f"no tree of chromosomes at {chroms}")
    (claimed,) = struct.unpack(f"{order}Q", read(chroms + 16, 8))
    leaves = _walk(read, chroms + 32, order, key + value, key, "the tree of chromosomes")
    named = sum(len(leaf) // (key + value) for leaf in leaves)
    if claimed > named:  # the reader makes room for as many, and aborts where there is none
        raise ValueError(f"{claimed:,} chromosomes, of which the file names {named:,}")
    (magic,) = struct.unpack(f"{order}I", read(index, 4))
    if magic != INDEX:
        raise ValueError(f"no index at {index}")
    for leaf in _walk(read, index + 48, order, 32, 16, "the index"):
        # Four numbers of the place, then where its block lies and how long it is.
        items = np.frombuffer(leaf, f"{order}u8").reshape(-1, 4)[:, 2:]
        if len(items) and (
            (items > size).any() or (items.sum(1, dtype=np.uint64) > np.uint64(size)).any()
        ):
            raise ValueError(f"the index names a block past the end of the file, {size} bytes")


def _walk(
    read: Callable[[int, int], bytes], root: int, order: str, item: int, before: int, what: str
) -> Iterator[bytes]:
    """Give the items of the leaves; an inner item is `before` bytes and the place of a child."""
    waiting, seen = [(root, 1)], {root}
    while waiting:
        at, depth = waiting.pop()
        leaf, _, count = struct.unpack(f"{order}BBH", read(at, 4))
        if leaf > 1 or depth > MOST_DEPTH:
            raise ValueError(f"{what} has no node at {at}")
        if leaf:
            yield read(at + 4, count * item)
            continue
        step = before + 8
        inner: Any = np.frombuffer(read(at + 4, count * step), np.uint8).reshape(count, step)
        for (child,) in struct.iter_unpack(f"{order}Q", inner[:, before:].tobytes()):
            if child in seen:
                raise ValueError(f"{what} comes back to byte {child}: it has a circle")
            seen.add(child)
            waiting.append((child, depth + 1))

"""The genome a task cuts windows from: one file, several files, or a store.

Whatever is given becomes one thing with `sizes` and `codes(chrom)`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError


@runtime_checkable
class Reference(Protocol):
    """Bases by chromosome."""

    sizes: dict[str, int]

    def codes(self, chrom: str) -> NDArray[np.uint8]:
        """Give the bases of a chromosome, A=0 C=1 G=2 T=3 N=4."""


class JoinedReference:
    """Several genomes as one, no chromosome twice.

    Parameters
    ----------
    parts : sequence of Reference

    Raises
    ------
    InputError
        If two parts hold a chromosome of one name.
    """

    def __init__(self, parts: Sequence[Reference]) -> None:
        self.sizes: dict[str, int] = {}
        self._part: dict[str, Reference] = {}
        for part in parts:
            for chrom, size in part.sizes.items():
                if chrom in self.sizes:
                    raise InputError("two genome files hold the same chromosome", found=chrom)
                self.sizes[chrom], self._part[chrom] = size, part

    def codes(self, chrom: str) -> NDArray[np.uint8]:
        """Give the bases of a chromosome."""
        return self._part[chrom].codes(chrom)


class StoreReference:
    """The genome kept in a store.

    Parameters
    ----------
    store : path or Store
        An open one is not on a GPU.
    """

    def __init__(self, store: Any) -> None:
        from epilm.store.reader import Store

        opened = store if isinstance(store, Store) else Store.open(store)
        self.sizes = {str(c): int(n) for c, n in zip(opened.chroms, opened.sizes, strict=True)}
        self._first = dict(zip(self.sizes, opened.offsets.tolist(), strict=True))
        self._genome = opened.genome

    def codes(self, chrom: str) -> NDArray[np.uint8]:
        """Give the bases of a chromosome."""
        first = self._first[chrom]
        return np.asarray(self._genome[first : first + self.sizes[chrom]])


def cut_stranded(bases: NDArray[np.uint8], start: int, end: int, strand: str) -> NDArray[np.uint8]:
    """Give the bases [start, end) of a chromosome as they read on a strand.

    Examples
    --------
    >>> cut_stranded(np.array([0, 0, 1, 4], np.uint8), 1, 4, "-").tolist()
    [4, 2, 3]
    """
    piece = np.array(bases[start:end])
    if strand != "-":
        return piece
    return np.where(piece > 3, piece, 3 - piece)[::-1].astype(np.uint8)


def open_reference(source: Any) -> Reference:
    """Open what a user calls the genome.

    Parameters
    ----------
    source : Reference, path, "a.fa,b.fa", or sequence of paths
        FASTA (plain, gzip, bgzip), .2bit, or the folder of a store.

    Raises
    ------
    InputError
        If a file cannot be read, or two hold the same chromosome.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("chr1", "chr2"):
    ...     _ = (folder / f"{name}.fa").write_text(f">{name}\\nACGT\\n")
    >>> open_reference([folder / "chr1.fa", folder / "chr2.fa"]).sizes
    {'chr1': 4, 'chr2': 4}
    """
    if isinstance(source, Reference):
        return source
    if isinstance(source, str) and "," in source and not Path(source).exists():
        source = [part for part in source.split(",") if part]
    if isinstance(source, str | Path):
        if (Path(source) / "store.json").is_file():
            return StoreReference(source)
        from epilm.genome.fasta import open_genome

        return open_genome(source)
    parts = [open_reference(part) for part in source]
    return parts[0] if len(parts) == 1 else JoinedReference(parts)

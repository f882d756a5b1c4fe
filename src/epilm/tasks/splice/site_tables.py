"""Predicted splice sites as a table, and the probabilities of all bases as tracks for a browser.

Both are written as they come; nothing but the sites of the block in work is in memory.
"""

import gzip
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.errors import UsageError
from epilm.tasks.splice.transcript_blocks import NAMES

COLUMNS = ("chrom", "start", "end", "strand", "site", "probability", "gene")
LEAST_SHOWN = 1e-3  # of a track: below it lie nearly all bases of a genome
_RECORD = np.dtype([("at", "<i4"), ("value", "<f4")])
_AT_ONCE = 1 << 16


class SiteTable:
    """Sites of at least a probability, one a line: TSV, compressed where the name ends in .gz.

    Parameters
    ----------
    path : path
    threshold : float

    Attributes
    ----------
    counts : dict
        Class -> sites written.

    Examples
    --------
    >>> name = Path(tempfile.mkdtemp()) / "sites.tsv"
    >>> with SiteTable(name, 0.5) as table:
    ...     table.add("chr1", 10, "+", np.array([[0.2, 0.1, 0.7], [0.9, 0.1, 0.0]]))
    >>> print(name.read_text().splitlines()[1].replace("\\t", " "))
    chr1 10 11 + donor 0.7 .
    """

    def __init__(self, path: str | Path, threshold: float) -> None:
        name = Path(path).name.lower()
        if not name.endswith((".tsv", ".tsv.gz")):
            raise UsageError(
                "sites are written as a table",
                where="--out",
                found=Path(path).name,
                expected="a name that ends in .tsv or .tsv.gz",
                do="Tracks of all bases: --tracks PREFIX.",
            )
        self.path, self.threshold = Path(path), threshold
        self.counts = dict.fromkeys(NAMES[1:], 0)
        self._stack = ExitStack()

    def __enter__(self) -> "SiteTable":
        new = self._stack.enter_context(atomic_file(self.path))
        out: IO[bytes] = self._stack.enter_context(open(new, "wb"))
        if self.path.name.lower().endswith(".gz"):
            packed = gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=0)  # equal bytes
            self._stack.callback(packed.close)
            out = cast(IO[bytes], packed)
        self._out = out
        self._out.write(("\t".join(COLUMNS) + "\n").encode())
        return self

    def add(self, chrom: str, start: int, strand: str, said: NDArray[Any], gene: str = ".") -> None:
        """Take bases from `start` on, along the forward strand; `said` is (n, C)."""
        at, kind = np.nonzero(said[:, 1:] >= self.threshold)
        lines = []
        for base, c in zip(at.tolist(), kind.tolist(), strict=True):
            first, name = start + base, NAMES[c + 1]
            self.counts[name] += 1
            value = f"{said[base, c + 1]:.6g}"
            lines.append(f"{chrom}\t{first}\t{first + 1}\t{strand}\t{name}\t{value}\t{gene}\n")
        self._out.write("".join(lines).encode())

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stack.__exit__(kind, error, trace)


def _unnamed() -> IO[bytes]:
    file: IO[bytes] = tempfile.TemporaryFile(prefix="epilm-track-")  # noqa: SIM115
    return file


class SiteTracks:
    """Probabilities of all bases from LEAST_SHOWN on, a bigWig a class and strand.

    Parameters
    ----------
    prefix : str
        PREFIX.acceptor.plus.bw and so on.
    sizes : mapping of str to int
        Of the genome.

    Notes
    -----
    What is to be written waits in unnamed temporary files, 8 bytes a base that is shown.
    """

    def __init__(self, prefix: str, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.paths = {
            (c, strand): Path(f"{prefix}.{NAMES[c]}.{word}.bw")
            for strand, word in (("+", "plus"), ("-", "minus"))
            for c in range(1, len(NAMES))
        }

    def __enter__(self) -> "SiteTracks":
        self._stack = ExitStack()
        self._files = {key: self._stack.enter_context(_unnamed()) for key in self.paths}
        self._counts: dict[Any, dict[str, int]] = {key: {} for key in self.paths}
        return self

    def add(self, chrom: str, start: int, strand: str, said: NDArray[Any]) -> None:
        """Take bases from `start` on, along the forward strand; chromosome after chromosome."""
        for c in range(1, len(NAMES)):
            values = said[:, c]
            shown = np.flatnonzero(values >= LEAST_SHOWN)
            records = np.empty(len(shown), _RECORD)
            records["at"], records["value"] = start + shown, values[shown]
            self._files[c, strand].write(records.tobytes())
            counts = self._counts[c, strand]
            counts[chrom] = counts.get(chrom, 0) + len(shown)

    def _runs(self, key: Any) -> Iterator[tuple[str, Any, Any, Any]]:
        file, first = self._files[key], 0
        offsets = {}
        for chrom, count in self._counts[key].items():
            offsets[chrom], first = (first, count), first + count
        empty = not first
        for chrom in self.sizes:
            begin, count = offsets.get(chrom, (0, 0))
            for at in range(0, count, _AT_ONCE):
                n = min(_AT_ONCE, count - at)
                file.seek((begin + at) * _RECORD.itemsize)
                records = np.frombuffer(file.read(n * _RECORD.itemsize), _RECORD)
                start = records["at"].astype(np.int64)
                yield chrom, start, start + 1, records["value"]
            if empty:  # a bigWig must hold a value
                yield chrom, 0, 1, 0.0
                return

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with self._stack:
            if kind is None and self.paths:
                from epilm.genome.signals import write_bigwig  # pandas: not where training runs

                for key, path in self.paths.items():
                    write_bigwig(path, self.sizes, self._runs(key))

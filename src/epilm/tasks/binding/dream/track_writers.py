"""Predictions as a track for a genome browser (bigWig) and as a table (Parquet).

A bigWig has one value at a base; bins overlap, so each step of the grid gets the mean of
the bins that cover it. Both are written block by block, whole or absent. The chromosome in
work is held (4 bytes a step), never the genome. Parquet needs pyarrow, bigWig pybigtools.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.atomic import atomic_file
from epilm.errors import InputError, UsageError
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.dream.submission import BlockWriter, SubmissionWriter

_RUNS = 1 << 16  # steps handed to the bigWig writer at once


class Writer(Protocol):
    """What `open_predictions` gives."""

    def write(self, scores: ArrayLike) -> None:
        """Append the scores of the next bins."""


def mean_per_step(
    start: NDArray[Any], scores: ArrayLike, width: int, step: int
) -> tuple[int, NDArray[np.float32]]:
    """Average overlapping bins of one chromosome over the steps of their grid.

    Parameters
    ----------
    start : int (n,)
        First bases, multiples of `step`, rising.
    scores : float (n,)
    width, step : int
        In bp; `step` divides `width`.

    Returns
    -------
    first : int
        First base of the first step.
    values : float32 (steps,)
        Mean of the bins that cover each step, NaN where none does.

    Examples
    --------
    >>> first, values = mean_per_step(np.array([600, 650]), [0.0, 1.0], 200, 50)
    >>> first, values.tolist()
    (600, [0.0, 0.5, 0.5, 0.5, 1.0])
    """
    at = (np.asarray(start, np.int64) - int(start[0])) // step
    steps = width // step
    total = np.zeros(int(at[-1]) + steps, np.float64)
    covered = np.zeros(len(total), np.int32)
    for offset in range(steps):
        total[at + offset] += np.asarray(scores, np.float64)
        covered[at + offset] += 1
    with np.errstate(invalid="ignore"):
        return int(start[0]), (total / covered).astype(np.float32)


class BigWigWriter(BlockWriter):
    """Write predictions as a bigWig: the mean of the bins over each step.

    Parameters
    ----------
    path : path
    bins : Bins
    sizes : dict of chromosome to bp
        Of the genome; a bigWig states them.
    """

    def __init__(self, path: str | Path, bins: Bins, sizes: Mapping[str, int]) -> None:
        super().__init__(bins, str(path))
        for name, _, high in bins.runs():
            end = int(bins.start[high - 1]) + bins.width
            if name not in sizes or end > sizes[name]:
                raise InputError(
                    "the bins do not fit the genome",
                    where=str(path),
                    found=f"{name}:{end - bins.width}-{end}",
                    expected=(
                        f"an end of at most {sizes[name]}"
                        if name in sizes
                        else "a chromosome of the genome"
                    ),
                    do="Give the genome that the bins belong to.",
                )
        self._path, self._sizes = Path(path), dict(sizes)
        self._step = int(
            np.gcd.reduce(np.concatenate([np.unique(bins.start % bins.width), [bins.width]]))
        )
        self._ends = {low: (name, high) for name, low, high in bins.runs()}
        self._chrom: list[NDArray[np.floating]] = []
        self._begin = 0

    def __enter__(self) -> "BigWigWriter":
        self._spool: IO[bytes] = tempfile.TemporaryFile(prefix="epilm-track-")
        self._parts: list[tuple[str, int, int]] = []
        return self

    def write(self, scores: ArrayLike) -> None:
        """Append the scores of the next bins."""
        first = self.done
        block = self.check(scores)
        while len(block):
            _, high = self._ends[self._begin]
            self._chrom.append(block[: high - first])
            block, first = block[high - first :], min(first + len(block), high)
            if first == high:
                self._close_chromosome()

    def _close_chromosome(self) -> None:
        name, high = self._ends[self._begin]
        first, values = mean_per_step(
            self.bins.start[self._begin : high],
            np.concatenate(self._chrom),
            self.bins.width,
            self._step,
        )
        self._parts.append((name, first, len(values)))
        self._spool.write(values.tobytes())
        self._chrom, self._begin = [], high

    def _runs(
        self,
    ) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
        offsets = np.concatenate([[0], np.cumsum([n for _, _, n in self._parts])]) * 4
        order = {name: i for i, name in enumerate(self._sizes)}
        for part in sorted(range(len(self._parts)), key=lambda i: order[self._parts[i][0]]):
            name, first, n = self._parts[part]
            for at in range(0, n, _RUNS):
                self._spool.seek(int(offsets[part]) + 4 * at)
                values = np.frombuffer(self._spool.read(4 * min(_RUNS, n - at)), np.float32)
                start = first + self._step * np.arange(at, at + len(values), dtype=np.int64)
                yield name, start, np.minimum(start + self._step, self._sizes[name]), values

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._spool:
            if kind is None:
                self.finish()
                from epilm.genome.signals import write_bigwig

                write_bigwig(self._path, self._sizes, self._runs())


class ParquetWriter(BlockWriter):
    """Write predictions as Parquet: chrom, start, stop, score.

    Parameters
    ----------
    path : path
    bins : Bins
    about : dict of str to str, optional
        Kept in the file's metadata: factor, cell type, run.
    """

    def __init__(
        self, path: str | Path, bins: Bins, about: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(bins, str(path))
        self._path, self._about, self._stack = Path(path), dict(about or {}), ExitStack()
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise UsageError(
                "Parquet needs pyarrow",
                where=str(path),
                do="Install it: pip install 'epilm[parquet]'; or name the file .tab.gz.",
            ) from None
        self._arrow: Any = pyarrow
        numbers = pyarrow.from_numpy_dtype(bins.chrom.dtype)
        self._schema = pyarrow.schema(
            [
                ("chrom", pyarrow.dictionary(numbers, pyarrow.string())),
                ("start", pyarrow.int32()),
                ("stop", pyarrow.int32()),
                ("score", pyarrow.float32()),
            ],
            metadata={f"epilm.{key}": value for key, value in self._about.items()},
        )

    def __enter__(self) -> "ParquetWriter":
        temporary = self._stack.enter_context(atomic_file(self._path))
        self._out = self._stack.enter_context(
            self._arrow.parquet.ParquetWriter(temporary, self._schema)
        )
        return self

    def write(self, scores: ArrayLike) -> None:
        """Append the scores of the next bins."""
        first = self.done
        block = self.check(scores)
        if not len(block):
            return
        here = self.bins.take(slice(first, first + len(block)))
        pa = self._arrow
        chrom = pa.DictionaryArray.from_arrays(here.chrom, pa.array(here.chroms, pa.string()))
        columns = [
            chrom,
            pa.array(here.start),
            pa.array(here.start + np.int32(here.width)),
            pa.array(block.astype(np.float32)),
        ]
        self._out.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            try:
                self.finish()
            except InputError as early:
                self._stack.__exit__(InputError, early, early.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)  # type: ignore[arg-type]


def open_predictions(
    path: str | Path,
    bins: Bins,
    *,
    sizes: Mapping[str, int] | None = None,
    about: Mapping[str, str] | None = None,
) -> AbstractContextManager[Writer]:
    """Open a file for predictions; its name says which kind.

    Parameters
    ----------
    path : path
        .tab, .tsv (.gz): the challenge's; .bw, .bigWig; .parquet.
    bins : Bins
        In the order in which scores will come.
    sizes : dict of chromosome to bp, optional
        Needed for bigWig.
    about : dict of str to str, optional
        Kept in Parquet's metadata.

    Returns
    -------
    context manager of a writer
        `.write(scores)` takes the next block, float (m,), each in [0, 1].

    Raises
    ------
    UsageError
        If the name ends otherwise, or sizes are missing for bigWig.

    Examples
    --------
    >>> import tempfile
    >>> from epilm.tasks.binding.bins import grid
    >>> name = Path(tempfile.mkdtemp()) / "p.tab.gz"
    >>> with open_predictions(name, grid({"chr1": 1450})) as out:
    ...     out.write(np.array([0.5, 0.25], np.float32))
    >>> name.exists()
    True
    """
    name = Path(path).name.lower()
    if name.endswith((".tab", ".tsv", ".tab.gz", ".tsv.gz")):
        return SubmissionWriter(path, bins)
    if name.endswith((".bw", ".bigwig")):
        if sizes is None:
            raise UsageError("a bigWig needs chromosome sizes", where=str(path), do="Pass sizes=.")
        return BigWigWriter(path, bins, sizes)
    if name.endswith(".parquet"):
        return ParquetWriter(path, bins, about)
    raise UsageError(
        "unknown kind of prediction file",
        found=Path(path).name,
        expected=".tab.gz (the challenge's), .bw or .parquet",
    )

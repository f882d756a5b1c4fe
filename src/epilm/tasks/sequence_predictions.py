"""Sequences that a user points at, in pieces, and the table of what a model says of them.

Letters, a FASTA file, or intervals on a genome; one row a sequence in the order they came.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.errors import InputError, UsageError
from epilm.tasks.base import LabelledSequences, encode_text, labelled
from epilm.tasks.reference import open_reference
from epilm.tasks.sequences import read_records

PIECE = 8192  # sequences in memory at a time


@dataclass(frozen=True)
class SequencePredictions:
    """N rows of probabilities, or of numbers.

    Attributes
    ----------
    probabilities : float64 (N, C)
        Of a model of numbers the numbers themselves.
    names : list of str, length N
    chrom : list of str, start, end : int64 (N,)
        "" and -1 where the sequence has no place.
    label_names : tuple of str
        Of the C columns; empty where the model has none.
    notes : tuple of str
        What was shortened, left out or doubted.
    kind : str
        Of the labels, as `tasks.labels` has them.
    """

    probabilities: NDArray[np.float64]
    names: list[str]
    chrom: list[str]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kind: str = "classes"

    def __len__(self) -> int:
        return len(self.names)

    def label_name(self, column: int) -> str:
        """Name of a column; its number where the model has none."""
        return self.label_names[column] if column < len(self.label_names) else str(column)

    def columns(self) -> dict[str, Any]:
        """Give the columns of the table that is written."""
        out: dict[str, Any] = {
            "name": self.names,
            "chrom": self.chrom,
            "start": self.start,
            "end": self.end,
        }
        for c in range(self.probabilities.shape[1]):
            out[said_column(self.kind, self.label_name(c))] = self.probabilities[:, c]
        return out

    def told(self) -> str:
        """A line that sums them up.

        Examples
        --------
        >>> SequencePredictions(
        ...     np.array([[1.0], [3.0]]),
        ...     ["a", "b"],
        ...     ["", ""],
        ...     np.array([-1, -1]),
        ...     np.array([-1, -1]),
        ...     ("ph",),
        ...     kind="numbers",
        ... ).told()
        '2 sequences, mean ph 2'
        """
        if self.kind == "classes":
            return f"{len(self)} sequences, by class {summary(self)['by_class']}"
        if self.kind == "factors":
            counts = ", ".join(
                f"{self.label_name(c)} {int(n)}"
                for c, n in enumerate((self.probabilities >= 0.5).sum(0))
            )
            return f"{len(self)} sequences, at or above one half: {counts}"
        means = ", ".join(
            f"{self.label_name(c)} {mean:.4g}" for c, mean in enumerate(self.probabilities.mean(0))
        )
        return f"{len(self)} sequences, mean {means}"

    def write(self, path: str | Path) -> None:
        """Write TSV, or Parquet where the name ends so (needs pyarrow).

        Raises
        ------
        UsageError
            If Parquet is asked for and pyarrow is not installed.
        """
        columns = self.columns()
        if str(path).endswith(".parquet"):
            import pandas as pd

            try:
                with atomic_file(path) as new:
                    pd.DataFrame(columns).to_parquet(new, index=False)
            except ImportError:
                raise UsageError(
                    "writing Parquet needs pyarrow",
                    where=str(path),
                    do="pip install pyarrow, or write .tsv.",
                ) from None
            return
        with atomic_file(path) as new, open(new, "w", encoding="utf-8") as out:
            out.write("\t".join(columns) + "\n")
            for row in zip(*columns.values()):
                out.write(
                    "\t".join(f"{v:.8g}" if isinstance(v, float) else str(v) for v in row) + "\n"
                )


def said_column(kind: str, name: str) -> str:
    """Name the column of what a model says of a label.

    Examples
    --------
    >>> said_column("classes", "promoter"), said_column("numbers", "expression")
    ('p_promoter', 'said_expression')
    """
    return f"{'said' if kind in ('numbers', 'counts') else 'p'}_{name}"


def pieces(
    sequences: str | Path | Iterable[str] | LabelledSequences,
    genome: Any,
    window: int | None,
    notes: list[str],
) -> Iterator[tuple[LabelledSequences, list[str]]]:
    """Cut what a user points at into pieces of PIECE sequences, with their names.

    Parameters
    ----------
    sequences : path, iterable of str, or LabelledSequences
        FASTA or one sequence a line (.gz too); BED or narrowPeak with `genome`; or letters.
    genome : path, paths, Genome, or store, optional
        For intervals.
    window : int, optional
        For intervals: bp around each one's centre (summit where known); their own bases by default.
    notes : list of str
        Takes what was shortened, left out or doubted.

    Raises
    ------
    InputError, UsageError
    """
    if isinstance(sequences, LabelledSequences):
        for at in range(0, len(sequences), PIECE):
            rows = sequences.take(np.arange(at, min(at + PIECE, len(sequences))))
            yield rows, rows.origin.tolist()
        return
    if isinstance(sequences, str | Path):
        path = Path(sequences)
        if path.name.removesuffix(".gz").lower().endswith((".bed", ".narrowpeak", ".broadpeak")):
            yield from _intervals(path, genome, window, notes)
            return
        if (
            isinstance(sequences, str)
            and not path.exists()
            and sequences
            and set(sequences.upper()) <= set("ACGTN")
        ):
            raise UsageError(
                "one sequence was given, not a list of them", do="Pass [sequence] or a file."
            )
        records = read_records(path)
        for at in range(0, len(records), PIECE):
            part = records[at : at + PIECE]
            yield (
                labelled(
                    [r.sequence for r in part],
                    np.zeros(len(part)),
                    chrom=[r.place[0] for r in part],
                    start=[r.place[1] for r in part],
                    origin=[f"{path.name}, line {r.line}" for r in part],
                ),
                [r.name for r in part],
            )
        return
    stream = iter(sequences)
    done = 0
    while piece := list(islice(stream, PIECE)):
        codes = [encode_text(text, f"sequence {done + i + 1}") for i, text in enumerate(piece)]
        labels = [f"sequence {done + i + 1}" for i in range(len(piece))]
        yield labelled(codes, np.zeros(len(piece)), origin=labels), labels
        done += len(piece)


def _intervals(
    path: Path, genome: Any, window: int | None, notes: list[str]
) -> Iterator[tuple[LabelledSequences, list[str]]]:
    from epilm.genome.chromosomes import check_names
    from epilm.genome.peaks import read_peaks

    if genome is None:
        raise InputError(
            "intervals need the genome they lie on", where=str(path), do="Pass --genome FASTA."
        )
    reference = open_reference(genome)
    table = read_peaks(path)
    unknown = check_names(table["chrom"], reference.sizes, str(path))
    if unknown:
        raise InputError(
            "the genome has not all chromosomes of the intervals",
            where=str(path),
            found=", ".join(unknown[:5]),
            expected=f"among {', '.join(list(reference.sizes)[:5])}",
        )
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    if window is not None:
        centre = (start + end) // 2
        if "summit" in table:
            centre = np.where(table["summit"].to_numpy() >= 0, table["summit"].to_numpy(), centre)
        start = centre - window // 2
        end = start + window
    chrom = table["chrom"].astype(str).to_numpy()
    lines = table.index.to_numpy()
    size = np.array([reference.sizes[c] for c in chrom])
    wrong = np.flatnonzero((start < 0) | (end > size))
    if len(wrong):
        first = int(wrong[0])
        raise InputError(
            f"the interval reaches over its chromosome; {len(wrong)} of {len(table)} do",
            where=f"{path}, line {lines[first]}",
            found=f"{chrom[first]}:{start[first]}-{end[first]}",
            expected=f"0 to {size[first]} in the genome given",
            do="Check the assembly, or choose a smaller window.",
        )
    names = table["name"].astype(str).tolist() if "name" in table else ["."] * len(table)
    for at in range(0, len(table), PIECE):
        here = slice(at, at + PIECE)
        codes: list[NDArray[np.uint8]] = [np.zeros(0, np.uint8)] * len(start[here])
        for each in dict.fromkeys(chrom[here].tolist()):  # a chromosome is read once a piece
            bases = reference.codes(each)
            for row in np.flatnonzero(chrom[here] == each).tolist():
                codes[row] = bases[start[at + row] : end[at + row]]
        origin = [f"{path.name}, line {n}" for n in lines[here]]
        rows = labelled(
            codes,
            np.zeros(len(codes)),
            chrom=chrom[here].tolist(),
            start=start[here],
            origin=origin,
        )
        yield rows, names[here]


def summary(predictions: SequencePredictions) -> dict[str, Any]:
    """Count predictions by class, or give their means, for a printed line.

    Examples
    --------
    >>> two = SequencePredictions(
    ...     np.array([[0.9, 0.1], [0.2, 0.8]]),
    ...     ["a", "b"],
    ...     ["", ""],
    ...     np.array([-1, -1]),
    ...     np.array([-1, -1]),
    ... )
    >>> summary(two)
    {'sequences': 2, 'by_class': [1, 1], 'mean': [0.55, 0.45]}
    """
    table = predictions.probabilities
    if predictions.kind != "classes":
        above = {"at_least_half": (table >= 0.5).sum(0).tolist()}
        return {
            "sequences": len(table),
            "names": [predictions.label_name(c) for c in range(table.shape[1])],
            **(above if predictions.kind == "factors" else {}),
            "mean": [round(float(v), 4) for v in table.mean(0)],
        }
    counts: Sequence[int] = np.bincount(table.argmax(1), minlength=table.shape[1]).tolist()
    return {
        "sequences": len(table),
        "by_class": list(counts),
        "mean": [round(float(v), 4) for v in table.mean(0)],
    }

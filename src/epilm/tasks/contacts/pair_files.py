"""Pairs of loci as files have them: BEDPE, or a table with a header, labelled or not.

A locus is the middle of its interval from here on, and the one that lies first stands first.
Axes: N pairs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.tasks.sequences import read_lines
from epilm.tasks.tables import LabelTable, number_of, read_columns

COLUMNS = ("chrom1", "start1", "end1", "chrom2", "start2", "end2")
LABEL = "label"


@dataclass(frozen=True)
class PairTable:
    """N pairs of loci inside chromosomes.

    Attributes
    ----------
    chrom : str (N,)
    a, b : int64 (N,)
        Middles; a lies before b.
    labels : float64 (N,) or None
        None where the file has pairs that touch alone.
    origin : list of str, length N
        File and line.
    notes : list of str
        What was left out.
    """

    chrom: NDArray[np.str_]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    labels: NDArray[np.float64] | None
    origin: list[str]
    notes: list[str]

    def __len__(self) -> int:
        return len(self.a)

    def take(self, kept: NDArray[Any], notes: list[str]) -> "PairTable":
        """Chosen pairs, by number or by a mask, with notes on the others."""
        numbers = np.arange(len(self))[kept]
        labels = None if self.labels is None else self.labels[numbers]
        origin = [self.origin[n] for n in numbers]
        return PairTable(
            self.chrom[numbers], self.a[numbers], self.b[numbers], labels, origin, notes
        )


def holds_pairs(path: str | Path) -> bool:
    """Whether a file lists pairs of intervals, rather than a contact map: by its name (.bedpe,
    .parquet) or its header.
    """
    name = Path(path).name.removesuffix(".gz").lower()
    if name.endswith((".bedpe", ".parquet")):
        return True
    if name.endswith((".cool", ".mcool", ".hic")):
        return False
    _, first = next(iter(read_lines(path)))
    return "start1" in first.lower()


def read_pairs(path: str | Path) -> PairTable:
    r"""Read BEDPE, or a table whose header has chrom1, start1, end1, chrom2, start2, end2.

    Parameters
    ----------
    path : path
        .bedpe, .tsv, .csv (.gz too), .parquet. A column `label` is read where there is a header.

    Returns
    -------
    PairTable

    Raises
    ------
    InputError
        Naming file and line.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.bedpe"
    >>> _ = name.write_text("chr1\t90\t110\tchr1\t0\t20\nchr1\t0\t9\tchr2\t0\t9\n")
    >>> pairs = read_pairs(name)
    >>> pairs.a.tolist(), pairs.b.tolist(), pairs.notes
    ([10], [100], ['1 pairs of two chromosomes left out'])
    """
    table = _table(Path(path))
    if not len(table):
        raise InputError("the file holds no pair", where=table.path, expected="BEDPE")
    columns = [table.find(name) or [] for name in COLUMNS]
    rows = range(len(table))
    middles = []
    for start, end in (columns[1:3], columns[4:6]):
        middles.append([_middle(start[n], end[n], table.where(n)) for n in rows])
    cells = table.find(LABEL)
    labels = None
    if cells is not None:
        labels = np.array(
            [number_of(c, table.where(n), LABEL, "number") for n, c in enumerate(cells)]
        )
    first, second = np.array(middles[0], np.int64), np.array(middles[1], np.int64)
    every = PairTable(
        np.array(columns[0], np.str_),
        np.minimum(first, second),
        np.maximum(first, second),
        labels,
        [table.origin(n) for n in rows],
        [],
    )
    notes = []
    kept = np.array([a == b for a, b in zip(columns[0], columns[3], strict=True)])
    if not kept.all():
        notes.append(f"{int((~kept).sum())} pairs of two chromosomes left out")
    if labels is not None and (unknown := int(np.isnan(labels).sum())):
        notes.append(f"{unknown} pairs without a label left out")
        kept &= np.isfinite(labels)
    return every.take(kept, notes)


def _table(path: Path) -> LabelTable:
    named = path.name.endswith(".parquet")
    if not named:
        _, first = next(iter(read_lines(path)))
        named = "start1" in first.lower()
    if named:
        table = read_columns(path, read_lines)
        table.columns = {name.lstrip("#"): cells for name, cells in table.columns.items()}
        table.names = list(table.columns)
        if missing := [name for name in COLUMNS if table.find(name) is None]:
            raise InputError(
                "the header is not that of pairs",
                where=f"{path}, line 1",
                found=", ".join(table.names[:10]),
                expected=", ".join(COLUMNS),
                do=f"Add {', '.join(missing)}.",
            )
        return table
    rows, source = [], []
    for number, line in read_lines(path):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        cells = line.split("\t")
        if len(cells) < len(COLUMNS):
            raise InputError(
                "the line is no pair of intervals",
                where=f"{path}, line {number}",
                found=f"{len(cells)} columns: {line[:60]!r}",
                expected=f"BEDPE: {', '.join(COLUMNS)}, separated by tabs",
            )
        rows.append(cells[: len(COLUMNS)])
        source.append((str(path), number))
    columns = {name: [row[n].strip() for row in rows] for n, name in enumerate(COLUMNS)}
    return LabelTable(str(path), list(COLUMNS), columns, source)


def _middle(start: str, end: str, where: str) -> int:
    if not (start.isdigit() and end.isdigit() and int(start) < int(end)):
        raise InputError(
            "the locus holds no base, or its ends are no whole numbers",
            where=where,
            found=f"{start!r} and {end!r}",
            expected="0 <= start < end",
        )
    return (int(start) + int(end)) // 2

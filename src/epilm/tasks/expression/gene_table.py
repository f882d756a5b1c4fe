"""A table genes x cell types as numbers that can be learned: logarithms, with what was left out.

Axes: G genes, T cell types.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.genome.chromosomes import few
from epilm.tasks.label_kinds import BETWEEN, MEAN
from epilm.tasks.sequences import read_lines
from epilm.tasks.tables import UNKNOWN, LabelTable, number_of, read_columns

Values = Literal["tpm", "counts", "log"]
SAID = {
    "tpm": "ln(1 + x) of the table's numbers",
    "counts": "ln(1 + counts per million of the cell type)",
    "log": "the table's numbers as they are",
}
# Columns of numbers that say where or how long a gene is (featureCounts, Ensembl).
_ABOUT = {"start", "end", "length", "width", "chr", "chrom", "strand", "entrez", "entrezid"}


@dataclass(frozen=True)
class GeneTable:
    """What a table says of genes.

    Attributes
    ----------
    path : str
    genes : list of str, length G
        As they stand in the table, none twice.
    origins : list of str, length G
        File and line.
    cells : tuple of str, length T
    values : float32 (G, T)
        NaN where not known.
    notes : list of str
        What was left out, and what was done with the numbers.
    """

    path: str
    genes: list[str]
    origins: list[str]
    cells: tuple[str, ...]
    values: NDArray[np.float32]
    notes: list[str]


def read_gene_table(
    path: str | Path,
    *,
    cells: Sequence[str] = (),
    gene_column: str | None = None,
    values: Values = "tpm",
) -> GeneTable:
    """Read a table genes x cell types.

    Parameters
    ----------
    path : path
        TSV or CSV (.gz too) with a header, or Parquet.
    cells : sequence of str
        Columns that are learned; all that hold numbers where none is named.
    gene_column : str, optional
        Where the gene's id or name stands; the first column where not given.
    values : {"tpm", "counts", "log"}
        What the numbers are: per million (their ln(1 + x) is learned), reads (made counts per
        million of all genes of the table first), or logarithms already.

    Raises
    ------
    InputError, UsageError
        Naming file, line and column: no such column, a number below 0, a cell type that is the same
        in all genes.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "e.csv"
    >>> _ = name.write_text("gene,name,liver,heart\\nG1,a,0,1.718282\\nG2,b,3,5\\n")
    >>> table = read_gene_table(name)
    >>> table.cells, table.values[0].round(3).tolist()
    (('liver', 'heart'), [0.0, 1.0])
    """
    if values not in get_args(Values):
        raise UsageError(
            "unknown values",
            where="--values",
            found=repr(values),
            do=nearest(values, get_args(Values)),
        )
    table = read_columns(path, read_lines)
    if not len(table) or len(table.names) < 2:
        raise InputError(
            "the table has no genes" if len(table.names) > 1 else "the table has one column",
            where=table.path,
            expected="a header, a column of genes, and a column of numbers for each cell type",
        )
    own = gene_column or table.names[0]
    if (genes := table.find(own)) is None:
        raise InputError(
            "there is no such column of genes",
            where=table.path,
            found=own,
            do=nearest(own, table.names),
        )
    notes: list[str] = []
    chosen = _chosen(table, own, cells, notes)
    numbers = np.array([_numbers(table, name, values) for name in chosen], np.float64).T
    if values == "counts":
        numbers = numbers / np.nansum(numbers, 0) * 1e6
    numbers = numbers if values == "log" else np.log1p(numbers)
    _refuse_constant(table, chosen, numbers)
    notes.insert(0, f"{', '.join(chosen[:8])}{', ...' * (len(chosen) > 8)}: {SAID[values]}")
    _, first = np.unique(genes, return_index=True)
    kept = np.sort(first)
    if twice := len(genes) - len(kept):
        notes.append(f"{twice} rows of a gene that has one already left out")
    return GeneTable(
        table.path,
        [genes[row] for row in kept],
        [table.origin(row) for row in kept],
        tuple(chosen),
        numbers[kept].astype(np.float32),
        notes,
    )


def _chosen(table: LabelTable, own: str, cells: Sequence[str], notes: list[str]) -> list[str]:
    """Columns of cell types: those named, or all that hold numbers."""
    others = [name for name in table.names if name.lower() != own.lower()]
    for name in cells:
        if table.find(name) is None:
            raise InputError(
                "there is no such cell type in the table",
                where=table.path,
                found=name,
                do=nearest(name, others),
            )
    chosen = list(cells) or [
        n for n in others if n.lower() not in _ABOUT and _all_numbers(table, n)
    ]
    if not chosen:
        raise InputError(
            "no column holds numbers alone",
            where=table.path,
            found=", ".join(table.names[:8]),
            do="Name the cell types with --cells, and the genes' column with --gene-column.",
        )
    if not cells and (left := [name for name in others if name not in chosen]):
        notes.append(f"columns that are no cell type left out: {few(left)}")
    if clash := {MEAN, BETWEEN}.intersection(chosen):
        raise InputError(
            "a cell type has the name of a table of scores",
            where=table.path,
            found=clash.pop(),
            do="Rename the column, or leave it out with --cells.",
        )
    return chosen


def _all_numbers(table: LabelTable, name: str) -> bool:
    known = [cell for cell in table.columns[name] if cell.lower() not in UNKNOWN]
    try:
        return bool(known) and bool(np.isfinite([float(cell) for cell in known]).all())
    except ValueError:
        return False


def _numbers(table: LabelTable, name: str, values: Values) -> list[float]:
    kind = "number" if values == "log" else "count"
    out = []
    for row, cell in enumerate(table.find(name) or []):
        try:
            out.append(number_of(cell, table.where(row), name, kind))
        except InputError as error:
            if values == "log" or "below 0" not in error.what:
                raise
            raise InputError(
                "the level of a gene is below 0",
                where=error.where,
                found=error.found,
                expected="a number at or above 0, or nothing where it is not known",
                do="Pass --values log where the table holds logarithms.",
            ) from None
    return out


def _refuse_constant(table: LabelTable, chosen: list[str], numbers: NDArray[np.float64]) -> None:
    for name, column in zip(chosen, numbers.T, strict=True):
        known = column[np.isfinite(column)]
        if len(np.unique(known)) < 2:
            raise InputError(
                "the cell type has the same level of every gene",
                where=f"{table.path}, column {name}",
                found=f"{known[0]:g}, {len(known)} genes" if len(known) else "no known level",
                expected="levels that differ",
                do="Name the others with --cells.",
            )

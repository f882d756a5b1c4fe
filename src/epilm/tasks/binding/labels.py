"""Bound, ambiguous, unbound: the labels of bins, from the challenge's files or from peaks.

B (1) is bound, U (0) unbound, A (-1) ambiguous: neither learned from nor scored. Rebuilt
labels follow the challenge's own script by default, and FactorNet's reading on request.
Everything is an array: 50 million lines are read in blocks. Axes: n bins, C cell types.
Numpy only (pandas where peaks are read).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.genome.chromosomes import few
from epilm.tasks.binding.bins import WIDTH, BinOrder, Bins, joined, read_intervals
from epilm.tasks.binding.dream.write import Columns, digits, words, write_rows
from epilm.tasks.binding.lines import Lines, first_line, iter_lines

BOUND, UNBOUND, AMBIGUOUS = 1, 0, -1
Rule = Literal["challenge", "bin_half"]
_WHAT = (
    "the challenge's label file: a header 'chr start stop CELL ...', then B, U or A per cell type"
)
_VALUE = np.full(256, 2, np.int8)  # 2: no label
_VALUE[ord("B")], _VALUE[ord("U")], _VALUE[ord("A")] = BOUND, UNBOUND, AMBIGUOUS
_LETTER = np.frombuffer(b"AUB", np.uint8)  # of value + 1


@dataclass(frozen=True, eq=False)
class BinLabels:
    """Labels of n bins in C cell types.

    Attributes
    ----------
    bins : Bins
    cells : tuple of str, length C
        Cell types as the files call them.
    values : int8 (n, C)
        1 bound, 0 unbound, -1 ambiguous. Column by column in memory.
    factor : str
        The factor, "" where not known.
    notes : tuple of str
        What was left out or doubted while reading: said to the user, kept in the run.
    """

    bins: Bins
    cells: tuple[str, ...]
    values: NDArray[np.int8]
    factor: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.values.shape == (
            len(self.bins),
            len(self.cells),
        ), "one label a bin and cell type"

    def __len__(self) -> int:
        return len(self.bins)

    def column(self, cell: str) -> int:
        """Give the number of a cell type.

        Raises
        ------
        InputError
            Naming the nearest known one.
        """
        if cell not in self.cells:
            raise InputError(
                "the labels have no such cell type",
                where=self.factor or None,
                found=cell,
                do=nearest(cell, self.cells),
            )
        return self.cells.index(cell)

    def of(self, cell: str) -> NDArray[np.int8]:
        """Give the labels of one cell type, (n,)."""
        return self.values[:, self.column(cell)]

    def take(self, rows: ArrayLike | slice) -> "BinLabels":
        """Give chosen bins, by rising number, a mask or a slice."""
        chosen = rows if isinstance(rows, slice) else np.asarray(rows)
        values = np.asfortranarray(self.values[chosen])
        return replace(self, bins=self.bins.take(chosen), values=values)

    def select(self, cells: Sequence[str]) -> "BinLabels":
        """Give chosen cell types, in that order."""
        columns = [self.column(cell) for cell in cells]
        return replace(self, cells=tuple(cells), values=np.asfortranarray(self.values[:, columns]))

    def counts(self) -> dict[str, dict[str, int]]:
        """Count labels: {cell type: {"bound": .., "unbound": .., "ambiguous": ..}}."""
        out = {}
        for c, cell in enumerate(self.cells):
            n = np.bincount(self.values[:, c] + 1, minlength=3).tolist()
            out[cell] = {"bound": n[2], "unbound": n[1], "ambiguous": n[0]}
        return out

    def check_cells(
        self, known: Sequence[str], other: str, wanted: Sequence[str] | None = None
    ) -> None:
        """Refuse cell types of the labels that something else (a store) lacks.

        Parameters
        ----------
        known : sequence of str
            The other's cell types.
        other : str
            What it is, for the message: "the store k562.store".
        wanted : sequence of str, optional
            Only these are needed; by default all cell types of the labels.

        Raises
        ------
        InputError
        """
        for cell in wanted or self.cells:
            self.column(cell)
            if cell not in known:
                raise InputError(
                    f"a cell type of the labels is not in {other}",
                    where=self.factor or None,
                    found=cell,
                    do=(
                        f"{nearest(cell, known)}. Name the cell types that are in both, or build"
                        " the store with its track (--cell-map CELL=SOURCE)."
                    ),
                )

    def check_classes(self, cells: Sequence[str] | None = None, where: str = "") -> None:
        """Refuse labels from which nothing can be learned or scored: no bound, or no unbound bin.

        Raises
        ------
        InputError

        Examples
        --------
        >>> from epilm.tasks.binding.bins import grid
        >>> bins = grid({"chr1": 1500})
        >>> BinLabels(bins, ("K562",), np.zeros((3, 1), np.int8), "CTCF").check_classes()
        Traceback (most recent call last):
        ...
        epilm.errors.InputError: CTCF: the labels hold one class alone. Found 0 bound, 3 unbound, 0
            ambiguous bins in K562; expected bound and unbound bins. Choose other chromosomes or
            cell types, or check that peaks and bins are of one assembly.
        """
        chosen = [self.column(cell) for cell in cells] if cells else list(range(len(self.cells)))
        n = sum(np.bincount(self.values[:, c] + 1, minlength=3) for c in chosen)
        ambiguous, unbound, bound = (int(x) for x in np.asarray(n))
        if not bound or not unbound:
            raise InputError(
                (
                    "every bin is ambiguous"
                    if not bound and not unbound
                    else "the labels hold one class alone"
                ),
                where=where or self.factor or None,
                found=(
                    f"{bound} bound, {unbound} unbound, {ambiguous} ambiguous bins in"
                    f" {', '.join(cells or self.cells)}"
                ),
                expected="bound and unbound bins",
                do=(
                    "Choose other chromosomes or cell types, or check that peaks and bins are of"
                    " one assembly."
                ),
            )


def label_cells(path: str | Path) -> tuple[str, ...]:
    """Name the cell types of a label file, from its first line.

    Raises
    ------
    InputError
        If that is no header of labels, or a cell type comes twice.
    """
    first = first_line(path, _WHAT)
    names = [first.field(0, c).strip() for c in range(first.columns)]
    if [n.lower() for n in names[:3]] not in (
        ["chr", "start", "stop"],
        ["chrom", "start", "stop"],
        ["chr", "start", "end"],
        ["chrom", "start", "end"],
    ) or len(names) < 4:
        raise InputError(
            "the header is not that of a label file",
            where=first.place(0),
            found=repr(first.line(0)[:80]),
            expected="chr, start, stop and the cell types, tab-separated",
            do=(
                "Give the challenge's *.labels.tsv.gz; a prediction file has no header and is not"
                " labels."
            ),
        )
    twice = [n for n in names[3:] if names[3:].count(n) > 1]
    if twice:
        raise InputError("a cell type is there twice", where=first.place(0), found=twice[0])
    return tuple(names[3:])


def read_labels(
    path: str | Path,
    *,
    chroms: Sequence[str] | None = None,
    cells: Sequence[str] | None = None,
    factor: str = "",
) -> BinLabels:
    """Read a label file of the challenge, block by block.

    Parameters
    ----------
    path : path
        {TF}.train.labels.tsv(.gz): header chr start stop CELL1 ..., then one line a bin with B, U
        or A.
    chroms : sequence of str, optional
        Keep bins inside these chromosomes or parts of them.
    cells : sequence of str, optional
        Keep these cell types, in this order.
    factor : str
        By default the file's name up to its first dot.

    Returns
    -------
    BinLabels
        Bins in the order of the file.

    Raises
    ------
    InputError
        Naming file and line: another header, another number of columns, a label that is none of B,
        U, A, bins of another width or not sorted, a cell type that is not there.

    References
    ----------
    ENCODE-DREAM in vivo TFBS prediction challenge, Synapse syn6131484.
    """
    there = label_cells(path)
    wanted = list(there if cells is None else cells)
    for cell in wanted:
        if cell not in there:
            raise InputError(
                "the label file has no such cell type",
                where=f"{path}, line 1",
                found=cell,
                do=nearest(cell, there),
            )
    columns = [3 + there.index(cell) for cell in wanted]
    order = BinOrder()
    chrom: list[NDArray[np.signedinteger[Any]]] = []
    start: list[NDArray[np.int32]] = []
    values: list[NDArray[np.int8]] = []
    for block in iter_lines(path, _WHAT, columns=3 + len(there), skip=1):
        numbers, starts = order.add(block)
        labels = np.empty((len(block), len(columns)), np.int8, order="F")
        for c, column in enumerate(columns):
            labels[:, c] = _values(block, column, there[column - 3])
        if chroms is not None:
            # Only names met so far can be judged; whether a place is met at all is asked at the
            # end.
            here = Bins(tuple(order.chroms), numbers, starts, order.width or WIDTH)
            known = {name for name, _, _ in here.runs()}
            keep = here.inside([p for p in chroms if p.partition(":")[0].strip() in known])
            numbers, starts, labels = numbers[keep], starts[keep], labels[keep]
        chrom.append(numbers)
        start.append(starts)
        values.append(labels)
    if not order.chroms:
        raise InputError(
            "the label file holds no bin", where=str(path), found="a header alone", expected=_WHAT
        )
    for interval in chroms or ():
        name = interval.partition(":")[0].strip()
        if name not in order.chroms:
            raise InputError(
                "the label file has no bin on the chromosome",
                where=str(path),
                found=name,
                expected=f"one of {few(order.chroms, 24)}",
                do="Choose among those.",
            )
    bins = Bins(
        tuple(order.chroms), np.concatenate(chrom), np.concatenate(start), order.width or WIDTH
    )
    joined = np.empty((len(bins), len(wanted)), np.int8, order="F")
    at = 0
    for part in values:
        joined[at : at + len(part)] = part
        at += len(part)
    return BinLabels(bins, tuple(wanted), joined, factor or Path(path).name.split(".")[0])


def _values(block: Lines, column: int, cell: str) -> NDArray[np.int8]:
    values = _VALUE[block.letters(column)]
    if (values == 2).any():
        row = int((values == 2).argmax())
        raise InputError(
            "not a label",
            where=f"{block.place(row)}, column {column + 1} ({cell})",
            found=repr(block.field(row, column)[:20]),
            expected="B (bound), U (unbound) or A (ambiguous)",
            do="Correct the line, or download the file again.",
        )
    return values


def write_labels(path: str | Path, labels: BinLabels) -> None:
    """Write labels as the challenge does, whole or not at all; gzip if the name ends in .gz.

    Examples
    --------
    >>> import tempfile
    >>> from epilm.tasks.binding.bins import grid
    >>> name = Path(tempfile.mkdtemp()) / "CTCF.train.labels.tsv"
    >>> write_labels(
    ...     name, BinLabels(grid({"chr1": 1500}), ("K562",), np.array([[1], [0], [-1]], np.int8))
    ... )
    >>> name.read_text().splitlines()[:2]
    ['chr\\tstart\\tstop\\tK562', 'chr1\\t600\\t800\\tB']
    >>> read_labels(name).counts()
    {'K562': {'bound': 1, 'unbound': 1, 'ambiguous': 1}}
    """
    header = "\t".join(["chr", "start", "stop", *labels.cells]) + "\n"
    write_rows(path, _row_blocks(labels), header=header.encode())


def _row_blocks(labels: BinLabels, rows: int = 1 << 17) -> Iterator[Columns]:
    bins = labels.bins
    for name, low, high in bins.runs():
        for at in range(low, high, rows):
            stop = min(at + rows, high)
            letters = _LETTER[labels.values[at:stop] + 1]
            yield [
                words(name, stop - at),
                digits(bins.start[at:stop]),
                digits(bins.start[at:stop].astype(np.int64) + bins.width),
                *(letters[:, c : c + 1] for c in range(letters.shape[1])),
            ]


def labels_from_peaks(
    bins: Bins,
    conservative: Any,
    relaxed: Any = None,
    blacklist: Any = None,
    *,
    rule: Rule = "challenge",
) -> NDArray[np.int8]:
    """Label bins in one cell type from its peaks.

    Parameters
    ----------
    bins : Bins, n of them
    conservative : DataFrame or path
        Peaks that passed the IDR threshold.
    relaxed : DataFrame or path, optional
        All peaks of the pooled replicates. Without them only a conservative peak makes a bin
        ambiguous.
    blacklist : DataFrame or path, optional
        Bins that share a base with it become ambiguous (so they are neither learned from nor
        scored).
    rule : {"challenge", "bin_half"}
        When a bin is bound. "challenge": it shares at least half of itself, or at least half of the
        peak, with a conservative peak; peaks that overlap or touch are one peak. "bin_half": it
        shares more than half of itself (101 of 200 bp) with one conservative peak, overlapping
        peaks counted each for itself (FactorNet); peaks of 100 bp and less then never make a bin
        bound.

    Returns
    -------
    int8 (n,)
        1 bound; -1 not bound but at least one base shared with a conservative or relaxed peak; 0 no
        base.

    References
    ----------
    "challenge": the organisers' script (bedtools intersect -f 0.5 -F 0.5 -e after merge; ambiguous
    where the relaxed peaks, any overlap, disagree). "bin_half": uci-cbcl/FactorNet, utils.py.

    Examples
    --------
    >>> from epilm.genome.checks import make_table
    >>> from epilm.tasks.binding.bins import grid
    >>> bins = grid(["chr1:600-1400"])
    >>> peak = make_table(["chr1"], [900], [1100])
    >>> bins.start[labels_from_peaks(bins, peak) == 1].tolist()
    [800, 850, 900, 950, 1000]
    >>> bins.start[labels_from_peaks(bins, peak, rule="bin_half") == 1].tolist()
    [850, 900, 950]
    """
    if rule not in get_args(Rule):
        raise UsageError(
            "unknown rule for bound bins", found=repr(rule), do=nearest(str(rule), get_args(Rule))
        )
    peaks = read_intervals(conservative)
    if rule == "challenge":
        peaks = joined(peaks)
        length = np.asarray(peaks["end"], np.int64) - np.asarray(peaks["start"], np.int64)
        need = np.minimum(-(-length // 2), -(-bins.width // 2))
    else:
        need = np.full(len(peaks["start"]), bins.width // 2 + 1, np.int64)
    labels = np.where(bins.overlaps(peaks), np.int8(AMBIGUOUS), np.int8(UNBOUND))
    if relaxed is not None:
        labels[bins.overlaps(read_intervals(relaxed))] = AMBIGUOUS
    labels[bins.overlaps(peaks, need)] = BOUND
    if blacklist is not None:
        labels[bins.overlaps(read_intervals(blacklist))] = AMBIGUOUS
    return labels


__all__ = [
    "AMBIGUOUS",
    "BOUND",
    "UNBOUND",
    "BinLabels",
    "Rule",
    "label_cells",
    "labels_from_peaks",
    "read_labels",
    "write_labels",
]

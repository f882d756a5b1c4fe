"""The `.state` text of IDEAS: one line a bin, one column a cell type.

Whole genomes of many cell types are gigabytes of text: read in blocks, kept as
one byte a bin and cell type. Other segmentations: `segmentation`.
"""

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import FIRST_PART, PastEnd, check_names, few
from epilm.genome.exponents import precision_for
from epilm.genome.files import blocks_of_lines, data_lines, find_separators
from epilm.genome.segmentation import MOST_STATES, UNKNOWN, States

WHAT = "a .state file of IDEAS: a line '#ID CHR POSst POSed CELL... PosClass', then one line a bin"
_MISSING = ("NA", "nan", "NaN", ".", "-1")
_CURE = "Correct the line, or make the file again with IDEAS."


def read_ideas_state(
    path: str | Path,
    sizes: Mapping[str, int],
    *,
    cells: Sequence[str] | None = None,
    bin_bp: int | None = None,
    past_end: PastEnd = "refuse",
) -> dict[str, States]:
    """Read the states of all cell types in an IDEAS `.state` file.

    Parameters
    ----------
    path : path
        Text, plain or gzip: bin id, chromosome, start, end, a state (0, 1, ...) per cell type,
        position class. A state NA, ".", or -1 is unknown, as is every bin that has no line. Lines
        off the grid, which IDEAS writes at the edges of stretches left out of its bins, are left
        out and counted, up to one in a hundred.
    sizes : dict of str to int
        Chromosome lengths of the genome in bp.
    cells : sequence of str, optional
        Cell types to keep, by default all.
    bin_bp : int, optional
        Width of the bins; by default that of most bins of the first lines.
    past_end : {"refuse", "cut"}
        As in `segmentation.read_states`.

    Returns
    -------
    dict of str to States
        In the order of the file's columns. All have the same names: the states met in the file,
        "0", "1", ...

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or has no header; a cell type is not in it or
        twice; for the first line that is cut short, holds no state, is past its chromosome's end or
        of a bin met before; if more than one in a hundred are off the grid.

    References
    ----------
    https://github.com/seqcode/IDEAS

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.state"
    >>> _ = name.write_text(
    ...     "#ID CHR POSst POSed A B PosClass\\n1 chr1 0 200 0 3 1\\n2 chr1 400 600 3 NA 1\\n"
    ... )
    >>> states = read_ideas_state(name, {"chr1": 700})
    >>> states["A"].names, states["A"].codes["chr1"].tolist(), states["B"].codes["chr1"].tolist()
    (('0', '3'), [0, 255, 1, 255], [1, 255, 255, 255])
    """
    source = str(path)
    columns: dict[str, int] = {}
    laying: _Laying | None = None
    n_fields = done = 0
    for text in blocks_of_lines(path, WHAT):
        if not columns:
            columns, n_fields = _header(text, source, cells)
        kept, lines = data_lines(text)
        lines = lines + done
        done += text.count(b"\n")
        if kept:
            block = _parse(kept, lines, source, n_fields, list(columns.values()))
            if laying is None:
                width = bin_bp or int(np.median(block.end - block.start))
                laying = _Laying(source, sizes, width, len(columns), past_end)
            laying.add(block)
    if laying is None:
        raise InputError(
            "the file holds no bin", where=source, found="a header only", expected=WHAT
        )
    return laying.finish(list(columns))


@dataclass(frozen=True)
class _Block:
    """Lines of the file: chromosome (a number in `names`), start, end, and states (n, T), 255 where
    missing.
    """

    lines: NDArray[np.int64]
    names: list[str]
    chrom: NDArray[Any]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    states: NDArray[np.uint8]

    def show(self, row: int) -> str:
        return f"{self.names[self.chrom[row]]}:{self.start[row]}-{self.end[row]}"


class _Laying:
    """Lays blocks of lines on the bins of a genome, and counts what does not fit."""

    def __init__(
        self, source: str, sizes: Mapping[str, int], width: int, n_cells: int, past_end: PastEnd
    ) -> None:
        self.source, self.sizes, self.width, self.n_cells, self.past_end = (
            source,
            sizes,
            width,
            n_cells,
            past_end,
        )
        self.grids: dict[str, NDArray[np.uint8]] = {}  # (T, bins), states as the file numbers them
        self.filled: dict[str, NDArray[np.bool_]] = {}
        self.met = np.zeros(256, np.int64)
        self.foreign: dict[str, int] = {}
        self.given = self.past = self.missing = self.n_off = 0
        self.off: tuple[str, str] | None = None  # place and interval of the first line off the grid

    def add(self, block: _Block) -> None:
        """Lay a block of lines."""
        self.given += len(block.lines)
        self.missing += int((block.states == UNKNOWN).sum())
        self.met += np.bincount(block.states.ravel(), minlength=256)
        for code, name in enumerate(block.names):
            rows = np.flatnonzero(block.chrom == code)
            if name not in self.sizes:
                self.foreign[name] = self.foreign.get(name, 0) + len(rows)
                continue
            if name not in self.grids:
                n = -(-self.sizes[name] // self.width)
                self.grids[name] = np.full((self.n_cells, n), UNKNOWN, np.uint8)
                self.filled[name] = np.zeros(n, bool)
            rows = self._fitting(block, rows, self.sizes[name])
            bins = block.start[rows] // self.width
            self._refuse_repeats(block, rows, bins, self.filled[name])
            self.filled[name][bins] = True
            self.grids[name][:, bins] = block.states[rows].T

    def _fitting(self, block: _Block, rows: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """Rows inside the chromosome and on the grid."""
        start, end = block.start[rows], block.end[rows]
        past = (start >= size) | (end > -(-size // self.width) * self.width)
        if past.any() and self.past_end == "refuse":
            i = int(rows[int(past.argmax())])
            raise InputError(
                "the bin is past the end of its chromosome",
                where=f"{self.source}, line {int(block.lines[i])}",
                found=block.show(i),
                expected=f"an end of at most {size} in the genome given",
                do=(
                    "The states belong to another assembly: give the genome they were made on."
                    f" {FIRST_PART}"
                ),
            )
        self.past += int(past.sum())
        off = ~past & ((start % self.width != 0) | ((end != start + self.width) & (end != size)))
        if off.any():
            i = int(rows[int(off.argmax())])
            self.n_off += int(off.sum())
            self.off = self.off or (f"{self.source}, line {int(block.lines[i])}", block.show(i))
        return rows[~past & ~off]

    def _refuse_repeats(
        self,
        block: _Block,
        rows: NDArray[np.int64],
        bins: NDArray[np.int64],
        filled: NDArray[np.bool_],
    ) -> None:
        again = filled[bins]
        if len(bins) > 1 and (np.diff(bins) <= 0).any():
            order = np.argsort(bins, kind="stable")
            again[order[1:]] |= np.diff(bins[order]) == 0
        if again.any():
            i = int(rows[int(again.argmax())])
            raise InputError(
                "the bin has a line already",
                where=f"{self.source}, line {int(block.lines[i])}",
                found=block.show(i),
                expected="one line a bin",
                do=_CURE,
            )

    def finish(self, cells: list[str]) -> dict[str, States]:
        """Number the states met from 0 on; one cell type after the other, with what was left
        out.
        """
        check_names([*self.foreign, *self.grids], self.sizes, self.source)
        if self.off and self.n_off * 100 > self.given:
            raise InputError(
                f"{self.n_off} of {self.given} bins are off the grid",
                where=self.off[0],
                found=self.off[1],
                expected=(
                    f"starts that are multiples of {self.width}, and ends {self.width} bp on (or"
                    " the end of the chromosome)"
                ),
                do="Give the width of the bins (state_bin, --state-bin) if it is another.",
            )
        numbers = tuple(np.flatnonzero(self.met[:UNKNOWN]).tolist())
        if not numbers or len(numbers) > MOST_STATES:
            raise InputError(
                "there are too many states" if numbers else "no bin has a state",
                where=self.source,
                found=f"{len(numbers)} states",
                expected=f"1 to {MOST_STATES}",
            )
        table = np.full(256, UNKNOWN, np.uint8)
        table[list(numbers)] = np.arange(len(numbers))
        for grid in self.grids.values():
            table.take(grid, out=grid)
        for chrom, size in self.sizes.items():
            if chrom not in self.grids:
                self.grids[chrom] = np.full((len(cells), -(-size // self.width)), UNKNOWN, np.uint8)
        names, notes = tuple(map(str, numbers)), tuple(self._notes())
        return {
            cell: States(
                cell,
                names,
                numbers,
                ("",) * len(names),
                self.width,
                {chrom: self.grids[chrom][i] for chrom in self.sizes},
                notes,
            )
            for i, cell in enumerate(cells)
        }

    def _notes(self) -> Iterator[str]:
        of = f"of {self.given} bins are"
        if self.foreign:
            yield (
                f"{self.source}: {sum(self.foreign.values())} {of} on chromosomes the genome does"
                f" not have ({few(list(self.foreign))}): left out"
            )
        if self.past:
            yield f"{self.source}: {self.past} {of} past the end of their chromosome: left out"
        if self.n_off:
            yield f"{self.source}: {self.n_off} {of} off the grid of {self.width} bp: left out"
        if self.missing:
            yield f"{self.source}: {self.missing} states of {self.given} bins are missing: unknown"
        bare = [chrom for chrom in self.sizes if chrom not in self.filled]
        if bare:
            yield f"{self.source}: no states on {few(bare)}: unknown there"


def _header(text: bytes, source: str, cells: Sequence[str] | None) -> tuple[dict[str, int], int]:
    """The column of each cell type wanted, and how many columns a line has."""
    line = text[: text.index(b"\n")].decode("utf-8", "replace")
    fields = line.split("\t") if "\t" in line else line.split()
    if (
        len(fields) < 5
        or not line.startswith("#")
        or not fields[1].strip().lower().startswith("chr")
    ):
        raise InputError(
            "there is no header", where=f"{source}, line 1", found=repr(line[:60]), expected=WHAT
        )
    last = len(fields) - (fields[-1].strip().lower() == "posclass")
    names = [name.strip() for name in fields[4:last]]
    twice = [name for name in names if names.count(name) > 1]
    if twice or not names:
        raise InputError(
            "a cell type occurs twice" if twice else "there is no cell type",
            where=f"{source}, line 1",
            found=twice[0] if twice else repr(line[:60]),
            expected="one column a cell type",
        )
    lacking = [name for name in cells or () if name not in names]
    if lacking:
        raise InputError(
            "the cell type is not in the file",
            where=f"{source}, line 1",
            found=few(names),
            expected=lacking[0],
        )
    return {name: 4 + i for i, name in enumerate(names) if cells is None or name in cells}, len(
        fields
    )


def _parse(
    text: bytes, lines: NDArray[np.int64], source: str, n_fields: int, columns: list[int]
) -> _Block:
    """Lines as arrays."""
    separator = b"\t" if b"\t" in text[: text.index(b"\n")] else b" "
    if separator == b" " and (b"  " in text or b" \n" in text):
        text = re.sub(rb" *\n *", b"\n", re.sub(rb" +", b" ", text)).lstrip(b" ")
    grid = find_separators(text, len(lines), n_fields - 1, separator)
    table = None
    if grid is not None:
        wanted: Any = [1, 2, 3]
        types: Any = {1: "category", 2: np.int64, 3: np.int64}
        with contextlib.suppress(ValueError, OverflowError, pd.errors.ParserError):
            table = pd.read_csv(
                io.BytesIO(text),
                sep=separator.decode(),
                header=None,
                usecols=wanted,
                quoting=3,
                dtype=types,
                float_precision=precision_for(text),
                keep_default_na=False,
                skip_blank_lines=False,
                encoding_errors="replace",
                low_memory=False,
            )
    if grid is None or table is None or len(table) != len(lines):
        _explain(text, lines, source, n_fields, columns)
        raise InputError("the lines cannot be read", where=source, expected=WHAT)
    states, wrong = _numbers(text, grid, columns)
    nameless = (table[1].cat.codes < 0).any() or "" in table[1].cat.categories
    backward = (table[2] < 0) | (table[2] >= table[3])
    if wrong or nameless or backward.any():
        _explain(text, lines, source, n_fields, columns)
    chroms = list(map(str, table[1].cat.categories))
    return _Block(
        lines,
        chroms,
        table[1].cat.codes.to_numpy(),
        table[2].to_numpy(),
        table[3].to_numpy(),
        states,
    )


def _numbers(
    text: bytes, grid: NDArray[np.int64], columns: list[int]
) -> tuple[NDArray[np.uint8], bool]:
    """States of some columns (lines, columns), 255 where missing; and whether one of them is no
    state.

    For each letter the number that ends there, and how many digits it has; then one look at the
    last letter of each field. A parser of fields takes many times longer for a hundred columns.
    """
    letters = np.frombuffer(text, np.uint8)
    digit = letters - np.uint8(ord("0"))  # wraps around: no digit is above 9
    is_digit = digit < 10
    digit[~is_digit] = 0
    value, n_digits = digit.astype(np.int16), is_digit.astype(np.uint8)
    run = is_digit
    for back in (1, 2, 3):
        run = run[1:] & is_digit[: len(is_digit) - back]
        n_digits[back:] += run
        if back < 3:
            value[back:] += digit[: len(digit) - back] * run * np.int16(10**back)
    begin = np.take(grid, np.array(columns) - 1, axis=1) + 1
    after = np.take(
        np.concatenate([grid, np.flatnonzero(letters == 10)[:, None]], axis=1), columns, axis=1
    )
    width = after - begin
    states = value[after - 1]
    wrong = (width != n_digits[after - 1]) | (width < 1) | (width > 3) | (states >= UNKNOWN)
    if wrong.any():
        first, length = begin[wrong], width[wrong]
        missing = np.zeros(len(first), bool)
        for word in _MISSING:
            same = length == len(word)
            for k, letter in enumerate(word.encode()):
                same &= letters[np.minimum(first + k, len(letters) - 1)] == letter
            missing |= same
        states[wrong] = UNKNOWN
        return states.astype(np.uint8), not missing.all()
    return states.astype(np.uint8), False


def _explain(
    text: bytes, lines: NDArray[np.int64], source: str, n_fields: int, columns: list[int]
) -> None:
    """Find the first line that cannot be read and raise the message about it."""
    tabs = b"\t" in text[: text.index(b"\n")]
    for number, raw in zip(lines, text.split(b"\n"), strict=False):
        line = raw.decode("utf-8", "replace")
        fields = line.split("\t") if tabs else line.split()
        where = f"{source}, line {number}"
        if len(fields) != n_fields:
            raise InputError(
                "the line has not as many columns as the header",
                where=where,
                found=f"{len(fields)}: {line[:60]!r}",
                expected=str(n_fields),
                do=_CURE,
            )
        for i, what in ((2, "start"), (3, "end")):
            if not re.fullmatch(r"[0-9]{1,18}", fields[i].strip()):
                raise InputError(
                    f"the {what} is not a whole number of at least 0",
                    where=where,
                    found=repr(fields[i]),
                    expected=f"digits in column {i + 1}",
                    do=_CURE,
                )
        if not fields[1] or int(fields[2]) >= int(fields[3]):
            raise InputError(
                "the bin holds no base" if fields[1] else "the chromosome has no name",
                where=where,
                found=repr(line[:60]),
                expected="chromosome, start < end",
                do=_CURE,
            )
        for i in columns:
            value = fields[i].strip()
            if value not in _MISSING and not (
                re.fullmatch(r"[0-9]{1,3}", value) and int(value) < UNKNOWN
            ):
                raise InputError(
                    "the state is no number of a state",
                    where=where,
                    found=repr(fields[i]),
                    expected=f"0 to {MOST_STATES - 1} in column {i + 1}, or NA",
                    do=_CURE,
                )

"""The `.state` text of IDEAS: one line a bin, one column a cell type.

Whole genomes of many cell types are gigabytes of text: read in blocks, kept as
one byte a bin and cell type. Other segmentations: `segmentation`.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import FIRST_PART, PastEnd, check_names, few
from epilm.genome.files import blocks_of_lines, data_lines
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
        Text, plain or gzip: bin id, chromosome, start, end, a state (0, 1, ...) per cell type, position class. A
        state NA, ".", or -1 is unknown, as is every bin that has no line. Lines off the grid, which IDEAS writes at
        the edges of stretches left out of its bins, are left out and counted, up to one in a hundred.
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
        In the order of the file's columns. All have the same names: the states met in the file, "0", "1", ...

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or has no header; a cell type is not in it or twice; for the first
        line that is cut short, holds no state, is past its chromosome's end or of a bin met before; if more than
        one in a hundred are off the grid.

    References
    ----------
    https://github.com/seqcode/IDEAS

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.state"
    >>> _ = name.write_text("#ID CHR POSst POSed A B PosClass\\n1 chr1 0 200 0 3 1\\n2 chr1 400 600 3 NA 1\\n")
    >>> states = read_ideas_state(name, {"chr1": 700})
    >>> states["A"].names, states["A"].codes["chr1"].tolist(), states["B"].codes["chr1"].tolist()
    (('0', '3'), [0, 255, 1, 255], [1, 255, 255, 255])
    """
    source = str(path)
    columns: dict[str, int] = {}
    width = bin_bp or 0
    n_fields = done = given = 0
    foreign: dict[str, int] = {}
    cut = unknown = n_off = 0
    off: tuple[str, str] | None = None
    met = np.zeros(256, np.int64)
    grids: dict[str, NDArray[np.uint8]] = {}
    filled: dict[str, NDArray[np.bool_]] = {}
    for text in blocks_of_lines(path, WHAT):
        if not columns:
            columns, n_fields = _header(text, source, cells)
        kept, lines = data_lines(text)
        lines = lines + done
        done += text.count(b"\n")
        if not kept:
            continue
        names, chrom, start, end, values = _parse(kept, lines, source, n_fields, list(columns.values()))
        given += len(lines)
        width = width or int(np.median(end - start))
        unknown += int((values == UNKNOWN).sum())
        met += np.bincount(values.ravel(), minlength=256)
        for code, name in enumerate(names):
            rows = np.flatnonzero(chrom == code)
            if name not in sizes:
                foreign[name] = foreign.get(name, 0) + len(rows)
                continue
            if name not in grids:
                n = -(-sizes[name] // width)
                grids[name] = np.full((len(columns), n), UNKNOWN, np.uint8)
                filled[name] = np.zeros(n, bool)
            past = _past(source, lines, rows, name, start, end, width, sizes[name], past_end)
            cut += int(past.sum())
            rows = rows[~past]
            fits = (start[rows] % width == 0) & (
                (end[rows] == start[rows] + width) | (end[rows] == sizes[name])
            )
            if not fits.all():
                i = rows[int((~fits).argmax())]
                off = off or (f"{source}, line {int(lines[i])}", f"{name}:{start[i]}-{end[i]}")
                n_off += len(fits) - int(fits.sum())
            inside = rows[fits]
            bins = start[inside] // width
            again = filled[name][bins]
            if len(bins) > 1 and (np.diff(bins) <= 0).any():
                order = np.argsort(bins, kind="stable")
                again[order[1:]] |= np.diff(bins[order]) == 0
            if again.any():
                row = int(inside[int(again.argmax())])
                raise InputError(
                    "the bin has a line already", where=f"{source}, line {int(lines[row])}",
                    found=f"{name}:{start[row]}-{end[row]}", expected="one line a bin", do=_CURE,
                )  # fmt: skip
            filled[name][bins] = True
            grids[name][:, bins] = values[inside].T
    if off and n_off * 100 > given:
        raise InputError(
            f"{n_off} of {given} bins are off the grid", where=off[0], found=off[1],
            expected=f"starts that are multiples of {width}, and ends {width} bp on (or the end of the chromosome)",
            do="Give the width of the bins (state_bin, --state-bin) if it is another.",
        )  # fmt: skip
    if not given:
        raise InputError("the file holds no bin", where=source, found="a header only", expected=WHAT)
    check_names([*foreign, *grids], sizes, source)
    notes = []
    if foreign:
        notes.append(
            f"{source}: {sum(foreign.values())} of {given} bins are on chromosomes the genome does not have "
            f"({few(list(foreign))}): left out"
        )
    if cut:
        notes.append(f"{source}: {cut} of {given} bins are past the end of their chromosome: left out")
    if n_off:
        notes.append(f"{source}: {n_off} of {given} bins are off the grid of {width} bp: left out")
    if unknown:
        notes.append(f"{source}: {unknown} states of {given} bins are missing: unknown")
    bare = [chrom for chrom in sizes if chrom not in grids]
    if bare:
        notes.append(f"{source}: no states on {few(bare)}: unknown there")
    return _states(source, list(columns), sizes, width, grids, met, tuple(notes))


def _states(
    source: str,
    cells: list[str],
    sizes: Mapping[str, int],
    width: int,
    grids: Mapping[str, NDArray[np.uint8]],
    met: NDArray[np.int64],
    notes: tuple[str, ...],
) -> dict[str, States]:
    """Number the states met from 0 on; one cell type after the other."""
    numbers = tuple(np.flatnonzero(met[:UNKNOWN]).tolist())
    if not numbers or len(numbers) > MOST_STATES:
        raise InputError(
            "there are too many states" if numbers else "no bin has a state", where=source,
            found=f"{len(numbers)} states", expected=f"1 to {MOST_STATES}",
        )  # fmt: skip
    table = np.full(256, UNKNOWN, np.uint8)
    table[list(numbers)] = np.arange(len(numbers))
    for grid in grids.values():
        table.take(grid, out=grid)
    return {
        cell: States(
            cell, tuple(map(str, numbers)), numbers, ("",) * len(numbers), width,
            {
                chrom: grids[chrom][i] if chrom in grids else np.full(-(-size // width), UNKNOWN, np.uint8)
                for chrom, size in sizes.items()
            },
            notes,
        )
        for i, cell in enumerate(cells)
    }  # fmt: skip


def _header(text: bytes, source: str, cells: Sequence[str] | None) -> tuple[dict[str, int], int]:
    """The column of each cell type wanted, and how many columns a line has."""
    line = text[: text.index(b"\n")].decode("utf-8", "replace")
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 5 or not line.startswith("#") or not fields[1].strip().lower().startswith("chr"):
        raise InputError(
            "there is no header", where=f"{source}, line 1", found=repr(line[:60]), expected=WHAT
        )
    last = len(fields) - (fields[-1].strip().lower() == "posclass")
    names = [name.strip() for name in fields[4:last]]
    twice = [name for name in names if names.count(name) > 1]
    if twice or not names:
        raise InputError(
            "a cell type occurs twice" if twice else "there is no cell type", where=f"{source}, line 1",
            found=twice[0] if twice else repr(line[:60]), expected="one column a cell type",
        )  # fmt: skip
    lacking = [name for name in cells or () if name not in names]
    if lacking:
        raise InputError(
            "the cell type is not in the file",
            where=f"{source}, line 1",
            found=few(names),
            expected=lacking[0],
        )
    return {name: 4 + i for i, name in enumerate(names) if cells is None or name in cells}, len(fields)


def _parse(
    text: bytes, lines: NDArray[np.int64], source: str, n_fields: int, columns: list[int]
) -> tuple[list[str], NDArray[Any], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Chromosome names, number of each line's, start, end, and states (lines, cell types); 255 where missing."""
    head = text[: text.index(b"\n")]
    separator = "\t" if b"\t" in head else " " if b"  " not in text and b" \n" not in text else r"\s+"
    wanted: Any = [1, 2, 3, *columns]
    types: Any = {1: "category", 2: np.int64, 3: np.int64}
    dots: Any = {i: list(_MISSING) for i in columns}
    kind: Any
    for kind, lacking in ((np.int16, None), (np.float32, dots)):
        try:
            table = pd.read_csv(
                io.BytesIO(text), sep=separator, header=None, usecols=wanted, quoting=3, keep_default_na=False,
                dtype=types | dict.fromkeys(columns, kind), na_values=lacking, skip_blank_lines=False,
                names=range(n_fields), index_col=False, encoding_errors="replace", low_memory=False,
            )  # fmt: skip
            break
        except (ValueError, OverflowError, pd.errors.ParserError):
            continue
    else:
        _explain(text, lines, source, n_fields, columns)
        raise InputError("the lines cannot be read", where=source, expected=WHAT)
    values = table[columns].to_numpy(np.float32 if kind is np.float32 else np.int16)
    if kind is np.float32:
        values = np.where(np.isnan(values), UNKNOWN, values)
        wrong = (values != np.floor(values)) | (values < 0) | (values > UNKNOWN)
    else:
        values = np.where(values == -1, np.int16(UNKNOWN), values)
        wrong = (values < 0) | (values > UNKNOWN)
    nameless = (table[1].cat.codes < 0).any() or "" in table[1].cat.categories
    backward = (table[2] < 0) | (table[2] >= table[3])
    if wrong.any() or len(table) != len(lines) or nameless or backward.any():
        _explain(text, lines, source, n_fields, columns)
    return (
        list(map(str, table[1].cat.categories)), table[1].cat.codes.to_numpy(), table[2].to_numpy(),
        table[3].to_numpy(), values.astype(np.uint8),
    )  # fmt: skip


def _past(
    source: str,
    lines: NDArray[np.int64],
    rows: NDArray[np.int64],
    chrom: str,
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    width: int,
    size: int,
    past_end: PastEnd,
) -> NDArray[np.bool_]:
    """Which rows are past the end of the chromosome; refuses them, and a start before its beginning."""
    past = (start[rows] >= size) | (end[rows] > -(-size // width) * width)
    if past.any() and past_end == "refuse":
        i = rows[int(past.argmax())]
        raise InputError(
            "the bin is past the end of its chromosome", where=f"{source}, line {int(lines[i])}",
            found=f"{chrom}:{start[i]}-{end[i]}", expected=f"an end of at most {size} ({chrom} in the genome given)",
            do=f"The states belong to another assembly: give the genome they were made on. {FIRST_PART}",
        )  # fmt: skip
    return past


def _explain(text: bytes, lines: NDArray[np.int64], source: str, n_fields: int, columns: list[int]) -> None:
    """Find the first line that cannot be read and raise the message about it."""
    tabs = b"\t" in text[: text.index(b"\n")]
    for number, raw in zip(lines, text.split(b"\n"), strict=False):
        line = raw.decode("utf-8", "replace")
        fields = line.split("\t") if tabs else line.split()
        where = f"{source}, line {number}"
        if len(fields) != n_fields:
            raise InputError(
                "the line has not as many columns as the header", where=where, found=f"{len(fields)}: {line[:60]!r}",
                expected=str(n_fields), do=_CURE,
            )  # fmt: skip
        for i, what in ((2, "start"), (3, "end")):
            if not re.fullmatch(r"[0-9]{1,18}", fields[i].strip()):
                raise InputError(
                    f"the {what} is not a whole number of at least 0", where=where, found=repr(fields[i]),
                    expected=f"digits in column {i + 1}", do=_CURE,
                )  # fmt: skip
        if not fields[1] or int(fields[2]) >= int(fields[3]):
            raise InputError(
                "the bin holds no base" if fields[1] else "the chromosome has no name", where=where,
                found=repr(line[:60]), expected="chromosome, start < end", do=_CURE,
            )  # fmt: skip
        for i in columns:
            value = fields[i].strip()
            if value not in _MISSING and not (re.fullmatch(r"[0-9]{1,3}", value) and int(value) < UNKNOWN):
                raise InputError(
                    "the state is no number of a state", where=where, found=repr(fields[i]),
                    expected=f"0 to {MOST_STATES - 1} in column {i + 1}, or NA", do=_CURE,
                )  # fmt: skip

"""Tab-separated lines of bins as arrays, block by block: never a Python object a line.

The challenge's three kinds of files (regions, labels, predictions) begin with chromosome,
start, stop and have 10 to 50 million lines. Plain or gzip, CRLF or not. A wrong line is
named by its number. Numpy only; used by `bins`, `labels` and `submission`.
Axes: n lines of a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.files import read_chunks

TAB, END, RETURN = 9, 10, 13
_MOST_DIGITS = 10  # of a coordinate; int64 holds more, no chromosome does


@dataclass(frozen=True)
class Lines:
    """n successive lines, all with the same number of columns.

    Attributes
    ----------
    text : uint8
        Their bytes.
    first : int
        1-based number of the first of them in the file.
    edges : int64 (n, columns + 1)
        Column c of line i is text[edges[i, c] + 1 : edges[i, c + 1]].
    where : str
        The file.
    """

    text: NDArray[np.uint8]
    first: int
    edges: NDArray[np.int64]
    where: str

    def __len__(self) -> int:
        return len(self.edges)

    @property
    def columns(self) -> int:
        return self.edges.shape[1] - 1

    def field(self, row: int, column: int) -> str:
        """Give one field as text."""
        start, stop = int(self.edges[row, column]) + 1, int(self.edges[row, column + 1])
        return self.text[start:stop].tobytes().decode("latin-1")

    def line(self, row: int) -> str:
        """Give one line as text."""
        start, stop = int(self.edges[row, 0]) + 1, int(self.edges[row, -1])
        return self.text[start:stop].tobytes().decode("latin-1")

    def place(self, row: int) -> str:
        """Say where a line stands: file and number."""
        return f"{self.where}, line {self.first + row}"

    def integers(self, column: int) -> NDArray[np.int64]:
        """Read a column of whole numbers of at least 0.

        Raises
        ------
        InputError
            Naming the first line with something else.
        """
        start, stop = self.edges[:, column] + 1, self.edges[:, column + 1]
        width = stop - start
        most = int(width.max(initial=0))
        wrong = (width < 1) | (width > _MOST_DIGITS)
        out = np.zeros(len(self), np.int64)
        for back in range(min(most, _MOST_DIGITS), 0, -1):
            inside = width >= back
            digit = self.text[np.where(inside, stop - back, 0)].astype(np.int64) - 48
            digit[~inside] = 0
            wrong |= (digit < 0) | (digit > 9)
            out = out * 10 + digit
        if wrong.any():
            row = int(wrong.argmax())
            name = ("chromosome", "start", "stop")[column] if column < 3 else f"column {column + 1}"
            raise InputError(
                f"the {name} is not a whole number",
                where=self.place(row),
                found=repr(self.field(row, column)),
                expected=f"digits in column {column + 1}",
                do="Correct the line; coordinates are 0-based, half-open.",
            )
        return out

    def floats(self, column: int) -> NDArray[np.float64]:
        """Read a column of numbers ("nan" is one).

        Raises
        ------
        InputError
            Naming the first line with something else.
        """
        start, stop = self.edges[:, column] + 1, self.edges[:, column + 1]
        width = stop - start
        most = max(int(width.max(initial=1)), 1)
        if most > 40 or (len(width) and int(width.min()) < 1):
            self._not_a_number(column, int(np.argmax((width > 40) | (width < 1))))
        at = start[:, None] + np.arange(most)
        inside = np.arange(most) < width[:, None]
        letters = np.where(inside, self.text[np.minimum(at, len(self.text) - 1)], 0)
        words = np.ascontiguousarray(letters, np.uint8).view(f"S{most}")[:, 0]
        try:
            return words.astype(np.float64)
        except ValueError:
            for row, word in enumerate(words):
                try:
                    float(word)
                except ValueError:
                    self._not_a_number(column, row)
            raise

    def _not_a_number(self, column: int, row: int) -> None:
        raise InputError(
            "not a number",
            where=self.place(row),
            found=repr(self.field(row, column)[:40]),
            expected=f"a number in column {column + 1}",
            do="Correct the line, or write the file again.",
        )

    def letters(self, column: int) -> NDArray[np.uint8]:
        """Give the single byte of each field of a column; 0 where it is not one byte wide."""
        start, stop = self.edges[:, column] + 1, self.edges[:, column + 1]
        one = stop - start == 1
        return np.where(one, self.text[np.minimum(start, len(self.text) - 1)], 0).astype(np.uint8)

    def runs(self, column: int = 0) -> Iterator[tuple[str, int, int]]:
        """Yield (text, first line, end) of each stretch of lines with the same text in a column."""
        start = self.edges[:, column] + 1
        width = self.edges[:, column + 1] - start
        # A line begins a stretch where its text differs from that of the line before.
        new = np.zeros(len(self), bool)
        new[:1] = True
        new[1:] = width[1:] != width[:-1]
        for offset in range(int(width.max(initial=0))):
            letter = np.where(
                offset < width, self.text[np.minimum(start + offset, len(self.text) - 1)], 0
            )
            new[1:] |= letter[1:] != letter[:-1]
        at = np.flatnonzero(new)
        for low, high in zip(at, [*at[1:], len(self)], strict=True):
            yield self.field(int(low), column), int(low), int(high)


def iter_lines(
    path: str | Path, what: str, *, columns: int | None = None, skip: int = 0, size: int = 1 << 22
) -> Iterator[Lines]:
    """Read a tab-separated file block by block.

    Parameters
    ----------
    path : path
        Plain or gzip.
    what : str
        What the file should be, for messages.
    columns : int, optional
        Columns a line must have; None takes those of the first line.
    skip : int
        Lines of header to leave out (their numbers are counted).
    size : int
        Bytes a block, unpacked.

    Yields
    ------
    Lines

    Raises
    ------
    InputError
        As `read_chunks`, and for the first line with another number of columns.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.tab"
    >>> _ = name.write_text("chr1\\t600\\t800\\t0.5\\nchr1\\t650\\t850\\t0.25\\n")
    >>> block = next(iter_lines(name, "predictions"))
    >>> block.integers(1).tolist(), block.floats(3).tolist(), list(block.runs())
    ([600, 650], [0.5, 0.25], [('chr1', 0, 2)])
    """
    number = 1
    for piece in _whole_lines(path, what, size):
        text = piece
        while skip and text:
            _, _, text = text.partition(b"\n")
            skip, number = skip - 1, number + 1
        if not text:
            continue
        block = _lines(text, number, str(path), columns)
        columns = block.columns
        number += len(block)
        yield block


def first_line(path: str | Path, what: str) -> Lines:
    """Read the first line alone, whatever the lines after it are like: a header is judged before
    the rows.

    Raises
    ------
    InputError
        As `read_chunks`.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.tsv"
    >>> _ = name.write_text("chr\\tstart\\tstop\\nchr1\\t600\\t800\\tB\\n")
    >>> first_line(name, "labels").line(0)
    'chr\\tstart\\tstop'
    """
    piece = next(iter(_whole_lines(path, what, 1 << 16)))
    return _lines(piece[: piece.index(b"\n") + 1], 1, str(path), None)


def _whole_lines(path: str | Path, what: str, size: int) -> Iterator[bytes]:
    """Pieces that end with a line, with Unix line ends; blank lines at the end of the file
    dropped.
    """
    rest, blank, lines = b"", b"", False
    for piece in read_chunks(path, what, size):
        piece = rest + piece
        cut = piece.rfind(b"\n") + 1
        rest = piece[cut:]
        piece = piece[:cut]
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n")
        if not piece:
            continue
        piece = blank + piece
        kept = piece.rstrip(b"\n")
        # The blank lines may be the last of the file (dropped) or not (an error that names them).
        blank = piece[len(kept) + 1 :]
        if kept:
            lines = True
            yield kept + b"\n"
    rest = rest.rstrip(b"\r\n")
    if rest:
        yield blank + rest + b"\n"
    elif not lines:
        raise InputError(
            "the file holds no line", where=str(path), found="blank lines only", expected=what
        )


def _lines(text: bytes, first: int, where: str, columns: int | None) -> Lines:
    letters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(letters == END)
    if columns is None:
        columns = text[: int(ends[0])].count(b"\t") + 1
    tabs = np.flatnonzero(letters == TAB)
    edges = np.empty((len(ends), columns + 1), np.int64)
    edges[0, 0], edges[1:, 0], edges[:, -1] = -1, ends[:-1], ends
    even = len(tabs) == len(ends) * (columns - 1)
    if even and columns > 1:
        grid = tabs.reshape(len(ends), columns - 1)
        edges[:, 1:-1] = grid
        even = bool((grid[:, -1] < ends).all() and (grid[1:, 0] > ends[:-1]).all())
    if not even:
        of_line = np.bincount(np.searchsorted(ends, tabs), minlength=len(ends)) + 1
        row = int((of_line != columns).argmax())
        start = int(edges[row, 0]) + 1
        line = text[start : int(ends[row])].decode("latin-1")
        raise InputError(
            "the line is blank" if not line.strip() else "the line has another number of columns",
            where=f"{where}, line {first + row}",
            found=f"{of_line[row]}: {line[:60]!r}" if line.strip() else None,
            expected=f"{columns} tab-separated columns",
            do="Correct or remove the line; a file cut short should be copied again.",
        )
    return Lines(letters, first, edges, where)

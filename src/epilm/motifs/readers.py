"""Parsers of motif files, line by line, so that each error names the line and the cure.

Each takes numbered lines and returns motifs or refuses the file; nothing is skipped. Bio.motifs is
the independent peer in the tests. Used by formats only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.motifs.motif import BASES, Motif, duplicate_free, motif_of, numbers_of

Line = tuple[int, str]


# Two or more of these stand above each table of CIS-BP's PWM.txt.
_CIS_BP = ("TF", "TF Name", "Gene", "Motif", "Family", "Species", "DBID")
_COLUMNS = re.compile(
    r"(?P<numbered>pos(?:ition)?\s+)?(?P<letters>[ACGTU](?:\s+[ACGTU]){3})", re.IGNORECASE
)
_Layout = Literal["letters", "positions", "numbered"]


@dataclass
class _Block:
    """The lines of one motif, and what stands above them."""

    line: int
    id: str
    name: str
    rows: list[Line] = field(default_factory=list)
    columns: str = ""  # the order of the bases, from a line `Pos A C G T` or `A C G T`
    layout: _Layout | None = None  # where the header says it
    numbers: NDArray[np.float64] | None = None


def _split_header(text: str) -> tuple[str, str, bool]:
    """Id and name of a ``>`` line: JASPAR's tab, gimmemotifs' underscore, HOMER's consensus and
    name; and whether it is HOMER's, under which each row is a position.
    """
    fields = text.split("\t")
    if len(fields) >= 3 and re.fullmatch(
        r"[-+.\deE]+", fields[2].strip()
    ):  # HOMER: consensus, name, cut
        return fields[1].strip(), fields[1].strip().split("/")[0].split("(")[0], True
    words = text.split(None, 1)
    id, name = words[0], (words[1].strip() if len(words) > 1 else "")
    joined = re.fullmatch(r"((?:MA|MF|PB|UN)\d+\.\d+)_(.+)", id)
    if joined and not name:
        id, name = joined.groups()
    return id, name, False


def is_column_line(line: str) -> bool:
    """Whether a line names the four columns of a table with one position a row.

    Examples
    --------
    >>> is_column_line("Pos\tA\tC\tG\tT"), is_column_line("A C G T"), is_column_line("A 1 0 0")
    (True, True, False)
    """
    return _COLUMNS.fullmatch(line.strip()) is not None or line.split("\t")[0] in _CIS_BP


def read_rows(
    lines: list[Line], path: Path, layout: Literal["auto", "jaspar", "pfm"] = "auto"
) -> list[Motif]:
    """JASPAR's two layouts and the table with one position a row (gimmemotifs, HOMER, CIS-BP),
    which differ only in what a row is.

    Row letters, a line of column letters, HOMER's header, the shape or the sums say which it is; a
    table of 4 x 4 where none of them does is read as the other tables of its file, or by the
    `layout` asked for, else refused.
    """
    blocks: list[_Block] = []
    above: dict[str, str] = {}
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    for number, raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, tab, value = line.partition("\t")
        if line.startswith(">"):
            if not line[1:].strip():
                raise InputError(
                    "a header without an id", where=f"{path}, line {number}", found=line
                )
            id, name, homer = _split_header(line[1:].strip())
            blocks.append(_Block(number, id, name, layout="positions" if homer else None))
        elif key in _CIS_BP and tab:
            above[key] = value.strip()
        elif match := _COLUMNS.fullmatch(line):
            if "U" in match["letters"].upper():
                raise InputError(
                    "the motif is not over A, C, G, T",
                    where=f"{path}, line {number}",
                    found=line,
                    expected="Pos A C G T",
                    do="RNA and protein motifs are not read.",
                )
            if above or not blocks or blocks[-1].rows or blocks[-1].columns:
                if not above.get("Motif") and blocks:
                    raise InputError(
                        "a second table without an id",
                        where=f"{path}, line {number}",
                        found=line,
                        expected="a line '>id' or 'Motif<TAB>id' above each table",
                    )
                id = above.get("Motif") or stem
                blocks.append(_Block(number, id, above.get("TF Name") or id))
                above = {}
            blocks[-1].columns = "".join(match["letters"].upper().split())
            blocks[-1].layout = "numbered" if match["numbered"] else "positions"
        else:
            if not blocks:  # the old JASPAR .pfm: four rows and no header, one motif a file
                blocks.append(_Block(number, stem, stem))
            blocks[-1].rows.append((number, line))
    motifs: list[Motif | None] = [_lettered(block, path) for block in blocks]
    bare = [block for block, motif in zip(blocks, motifs, strict=True) if motif is None]
    usual = _usual_layout(bare, layout)
    for i, block in enumerate(blocks):
        if motifs[i] is None:
            motifs[i] = _by_layout(block, path, usual)
    return duplicate_free([motif for motif in motifs if motif is not None], str(path))


def _lettered(block: _Block, path: Path) -> Motif | None:
    """Read a motif whose rows begin with their base; else keep its numbers."""
    where = f"{path}, line {block.line}"
    letters: list[str] = []
    values: list[list[float]] = []
    for number, line in block.rows:
        here = f"{path}, line {number}, motif {block.id}"
        match = re.match(r"([A-Za-z])\b\s*[:|]?\s*(.*)", line)
        if match:
            letters.append(match.group(1).upper())
            line = match.group(2)
        values.append(numbers_of(re.sub(r"[\[\]|,]", " ", line).split(), here))
    if letters and (sorted(letters) != sorted(BASES) or len(block.rows) != 4):
        raise InputError(
            f"motif {block.id} needs one row for each of A, C, G, T",
            where=where,
            found="rows " + ", ".join(letters),
            do="RNA and protein motifs are not read; a missing row means a truncated file.",
        )
    widths = {len(row) for row in values}
    if len(widths) > 1 and letters:
        values = _glued([line for _, line in block.rows]) or values
        widths = {len(row) for row in values}
    if not values and block.columns:
        raise InputError(
            f"motif {block.id} has no rows",
            where=where,
            found="the line of column letters alone",
            expected="one row a position",
            do="CIS-BP leaves matrices that need a licence empty: remove such files.",
        )
    table = np.array(values, dtype=np.float64) if len(widths) == 1 and widths != {0} else None
    if table is None or (letters and len(table) != 4):
        raise _not_whole(block, values, where)
    if letters:
        rows = table[[letters.index(b) for b in BASES]]
        return motif_of(block.id, block.name, np.ascontiguousarray(rows.T), where)
    block.numbers = table
    return None


def _not_whole(block: _Block, values: Sequence[Sequence[float]], where: str) -> InputError:
    return InputError(
        f"motif {block.id} is not whole",
        where=where,
        found=(
            f"{len(values)} rows with {', '.join(str(len(row)) for row in values[:8]) or 'no'}"
            " numbers"
        ),
        expected="four rows (A, C, G, T) of equal length, or rows of four numbers",
        do="The file may be truncated: copy or download it again.",
    )


def _possible(block: _Block) -> list[_Layout]:
    """What the rows of a motif without row letters may be, by their shape and their sums."""
    table = block.numbers
    assert table is not None
    counted = table.shape[1] == 5 and any(
        np.array_equal(table[:, 0], np.arange(len(table)) + first) for first in (0, 1)
    )
    fits: list[_Layout] = []
    if len(table) == 4:
        fits.append("letters")
    if table.shape[1] == 4:
        fits.append("positions")
    if counted:
        fits.append("numbered")
    if block.layout is not None:  # a number before each row, or not: both are in use
        return [one for one in fits if one != "letters"]
    if len(fits) > 1:
        # All positions of a motif have one sum; in the other reading that is rare.
        even = [one for one in fits if _is_even(_columns_of(table, one))]
        return even if len(even) == 1 else fits
    return fits


def _is_even(matrix: NDArray[np.float64]) -> bool:
    sums = matrix.sum(axis=1)
    return bool(np.ptp(sums) <= 0.02 * sums.max())


def _columns_of(table: NDArray[np.float64], layout: _Layout) -> NDArray[np.float64]:
    if layout == "letters":
        return np.ascontiguousarray(table.T)
    return np.ascontiguousarray(table[:, 1:]) if layout == "numbered" else table


def _usual_layout(
    blocks: Sequence[_Block], asked: Literal["auto", "jaspar", "pfm"]
) -> _Layout | None:
    """The layout of tables that may be read in two ways: as asked, else that of all others."""
    if asked != "auto":
        return "letters" if asked == "jaspar" else "positions"
    sure = {fits[0] for fits in map(_possible, blocks) if len(fits) == 1}
    return sure.pop() if len(sure) == 1 else None


def _by_layout(block: _Block, path: Path, usual: _Layout | None) -> Motif:
    table, where = block.numbers, f"{path}, line {block.line}"
    assert table is not None
    fits = _possible(block)
    if not fits:
        raise _not_whole(block, table.tolist(), where)
    if len(fits) > 1 and usual in fits:
        fits = [usual]
    if len({_columns_of(table, one).tobytes() for one in fits}) > 1:
        raise InputError(
            f"motif {block.id} may be read by base or by position",
            where=where,
            found=f"{len(table)} rows of {table.shape[1]} numbers, and nothing that says which",
            expected="rows that begin with A, C, G, T, or a line 'Pos A C G T' above the rows",
            do="Write the letters into the file, or say format='jaspar' (by base) or 'pfm' (by"
            " position) to read_motifs.",
        )
    matrix = _columns_of(table, fits[0])
    if block.columns:
        if sorted(block.columns) != sorted(BASES):
            raise InputError(
                "the motif is not over A, C, G, T",
                where=where,
                found=" ".join(block.columns),
                expected="Pos A C G T",
            )
        matrix = np.ascontiguousarray(matrix[:, [block.columns.index(base) for base in BASES]])
    return motif_of(block.id, block.name, matrix, where)


def _glued(rows: list[str]) -> list[list[float]] | None:
    """Read JASPAR's bracketed rows by fixed width, where wide numbers touch (``0595.588`` for 0 and
    595.588).

    JASPAR pads each number to 7 characters without a separator, so real files hold such rows (2018:
    MA1153.1).

    Examples
    --------
    >>> _glued(["A  [      0595.588 ]", "C  [      1      2 ]"])
    [[0.0, 595.588], [1.0, 2.0]]
    """
    inside = [row[row.find("[") + 1 : row.rfind("]")].rstrip() for row in rows]
    width, length = 7, len(inside[0])
    if length % width or any(
        len(text) != length or "[" not in row for text, row in zip(inside, rows)
    ):
        return None
    out = []
    for text in inside:
        pieces = [text[at : at + width] for at in range(0, length, width)]
        if not all(re.fullmatch(r" *\d+(\.\d+)?", piece) for piece in pieces):
            return None
        out.append([float(piece) for piece in pieces])
    return out


def _probabilities(
    lines: list[Line], at: int, path: Path, id: str
) -> tuple[list[list[float]], int]:
    """Read the rows of a matrix from line `at` on; give the line behind them too."""
    rows: list[list[float]] = []
    while at < len(lines) and re.match(r"\s*[-+.\d]|\s*(nan|inf)", lines[at][1], re.I):
        if re.fullmatch(r"\s*-{2,}\s*", lines[at][1]):  # the rule below MEME's own tables
            break
        row = numbers_of(lines[at][1].split(), f"{path}, line {lines[at][0]}, motif {id}")
        if len(row) != 4:
            raise InputError(
                f"motif {id}: a row needs four probabilities",
                where=f"{path}, line {lines[at][0]}",
                found=f"{len(row)} numbers",
            )
        rows.append(row)
        at += 1
    return rows, at


def read_meme(lines: list[Line], path: Path) -> list[Motif]:
    """MEME's minimal format, and the text output of MEME, STREME and DREME, which holds it between
    other lines.
    """
    motifs: list[Motif] = []
    id = name = named = ""
    at = 0
    while at < len(lines):
        number, raw = lines[at]
        line = raw.strip()
        at += 1
        here = f"{path}, line {number}"
        if line.startswith("ALPHABET"):
            letters = line.removeprefix("ALPHABET").replace("=", " ").replace('"', " ").split()
            if letters[:1] not in ([BASES], ["DNA"]) and "DNA-LIKE" not in letters:
                raise InputError(
                    "the motifs are not over A, C, G, T",
                    where=here,
                    found=line,
                    expected="ALPHABET= ACGT",
                    do="RNA and protein motifs are not read.",
                )
        elif re.match(r"MOTIF\b", line):
            if id:
                raise _no_matrix(id, named)
            # MEME's text output goes on with `width = 15 sites = 20 ...`.
            words = re.split(r"\s+width\s*=", line, maxsplit=1)[0].split(None, 2)
            if len(words) < 2:
                raise InputError("a MOTIF line without an id", where=here, found=line)
            id, name = words[1], (words[2].strip() if len(words) > 2 else words[1])
            named = here
        elif line.startswith("letter-probability matrix"):
            keys = dict(re.findall(r"(\w+)\s*=\s*([-+.\deE]+)", line))
            if not id:
                raise InputError("a matrix before its MOTIF line", where=here)
            if keys.get("alength", "4") != "4":
                raise InputError("the motif is not over A, C, G, T", where=here, found=line)
            rows, at = _probabilities(lines, at, path, id)
            width, sites = numbers_of(
                [keys.get("w", str(len(rows))), keys.get("nsites", "0")], here
            )
            if len(rows) != width or not rows:
                raise InputError(
                    f"motif {id} is not whole",
                    where=here,
                    found=f"{len(rows)} rows",
                    expected=f"w= {width:g} rows of A C G T",
                    do="The file may be truncated: copy or download it again.",
                )
            motif = motif_of(id, name, np.array(rows, dtype=np.float64), here, sites or None)
            if motif.is_counts:
                sums = motif.matrix.sum(axis=1)
                raise InputError(
                    f"motif {id}: the probabilities of each row must sum to 1",
                    where=here,
                    found=f"a row with sum {sums[np.abs(sums - 1).argmax()]:g}",
                )
            motifs.append(motif)
            id = name = ""
    if id:
        raise _no_matrix(id, f"{path}, line {lines[-1][0]}")
    return duplicate_free(motifs, str(path))


def _no_matrix(id: str, where: str) -> InputError:
    return InputError(
        f"motif {id} has no matrix",
        where=where,
        expected="a line 'letter-probability matrix: ...' and its rows",
        do="The file may be truncated: copy or download it again.",
    )


def read_transfac(lines: list[Line], path: Path) -> list[Motif]:
    """Records end at // or, as in some JASPAR copies, at the XX after the rows."""
    motifs: list[Motif] = []
    fields: dict[str, str] = {}
    start = 0
    order: list[int] | None = None
    rows: list[list[float]] = []

    def close() -> None:
        nonlocal fields, order, rows
        id = fields.get("AC") or fields.get("ID") or fields.get("NA")
        if id is None:
            fields = {}
            return
        where = f"{path}, line {start}"
        if not rows:
            raise InputError(
                f"motif {id} has no rows",
                where=where,
                expected="a line 'P0 A C G T' and numbered rows",
                do="The file may be truncated: copy or download it again.",
            )
        name = fields.get("NA") or fields.get("ID") or id
        motifs.append(motif_of(id, name, np.array(rows, dtype=np.float64), where))
        fields, order, rows = {}, None, []

    for number, raw in lines:
        line = raw.strip()
        here = f"{path}, line {number}"
        if not line or line.startswith("#"):
            continue
        tag, rest = (*re.split(r"[ \t]+", line, maxsplit=1), "")[:2]
        if tag == "//" or (tag in ("AC", "ID") and rows):
            close()
        if tag in ("P0", "PO"):
            letters = [word.upper() for word in rest.split()[:4]]
            if sorted(letters) != sorted(BASES):
                raise InputError(
                    "the motif is not over A, C, G, T",
                    where=here,
                    found=line,
                    expected="P0 A C G T",
                )
            order, rows = [letters.index(b) for b in BASES], []
        elif re.fullmatch(r"\d+", tag):
            if order is None:
                raise InputError(
                    "a row before its header", where=here, found=line, expected="P0 A C G T"
                )
            words = rest.split()
            if len(words) < 4:
                raise InputError("a row needs four numbers", where=here, found=line)
            values = numbers_of(words[:4], here)
            if int(tag) not in (len(rows), len(rows) + 1):
                raise InputError(
                    "rows are not consecutive",
                    where=here,
                    found=f"row {tag} after {len(rows)} rows",
                )
            rows.append([values[i] for i in order])
        elif tag in ("AC", "ID", "NA") and rest.strip():
            if not fields:
                start = number
            fields[tag] = rest.strip()
    close()
    return duplicate_free(motifs, str(path))

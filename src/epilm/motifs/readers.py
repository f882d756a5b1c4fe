"""Parsers of motif files, line by line, so that each error names the line and the cure.

Each takes numbered lines and returns motifs or refuses the file; nothing is skipped. Bio.motifs is
the independent peer in the tests. Used by formats only.
"""

import re
from pathlib import Path

import numpy as np

from epilm.errors import InputError
from epilm.motifs.motif import BASES, Motif, duplicate_free, motif_of, numbers_of

Line = tuple[int, str]


def _split_header(text: str) -> tuple[str, str]:
    """Id and name of a ``>`` line: JASPAR's tab, gimmemotifs' underscore, HOMER's consensus and
    name.
    """
    fields = text.split("\t")
    if len(fields) >= 3 and re.fullmatch(
        r"[-+.\deE]+", fields[2].strip()
    ):  # HOMER: consensus, name, cut
        return fields[1].strip(), fields[1].strip().split("/")[0].split("(")[0]
    words = text.split(None, 1)
    id, name = words[0], (words[1].strip() if len(words) > 1 else "")
    joined = re.fullmatch(r"((?:MA|MF|PB|UN)\d+\.\d+)_(.+)", id)
    if joined and not name:
        id, name = joined.groups()
    return id, name


def read_rows(lines: list[Line], path: Path, layout: str = "jaspar") -> list[Motif]:
    """JASPAR's two layouts and the table with one position a row, which differ only in what a row
    is.
    """
    blocks: list[tuple[int, str, str, list[Line]]] = []
    for number, raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith(">"):
            if not line[1:].strip():
                raise InputError(
                    "a header without an id", where=f"{path}, line {number}", found=line
                )
            blocks.append((number, *_split_header(line[1:].strip()), []))
        else:
            if not blocks:  # the old JASPAR .pfm: four rows and no header, one motif a file
                stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
                blocks.append((number, stem, stem, []))
            blocks[-1][3].append((number, line))
    motifs = [_read_block(id, name, start, rows, path, layout) for start, id, name, rows in blocks]
    return duplicate_free(motifs, str(path))


def _read_block(id: str, name: str, start: int, rows: list[Line], path: Path, layout: str) -> Motif:
    where = f"{path}, line {start}"
    letters: list[str] = []
    values: list[list[float]] = []
    for number, line in rows:
        here = f"{path}, line {number}, motif {id}"
        match = re.match(r"([A-Za-z])\b\s*[:|]?\s*(.*)", line)
        if match:
            letters.append(match.group(1).upper())
            line = match.group(2)
        values.append(numbers_of(re.sub(r"[\[\]|,]", " ", line).split(), here))
    if letters and (sorted(letters) != sorted(BASES) or len(rows) != 4):
        raise InputError(
            f"motif {id} needs one row for each of A, C, G, T",
            where=where,
            found="rows " + ", ".join(letters),
            do="RNA and protein motifs are not read; a missing row means a truncated file.",
        )
    widths = {len(row) for row in values}
    if len(widths) > 1 and letters:
        values = _glued([line for _, line in rows]) or values
        widths = {len(row) for row in values}
    table = np.array(values, dtype=np.float64) if len(widths) == 1 and widths != {0} else None
    if table is None or (len(table) != 4 and table.shape[1] != 4):
        raise InputError(
            f"motif {id} is not whole",
            where=where,
            found=(
                f"{len(values)} rows with {', '.join(str(len(row)) for row in values[:8]) or 'no'}"
                " numbers"
            ),
            expected="four rows (A, C, G, T) of equal length, or rows of four numbers",
            do="The file may be truncated: copy or download it again.",
        )
    if letters:
        return motif_of(
            id, name, np.ascontiguousarray(table[[letters.index(b) for b in BASES]].T), where
        )
    by_position = len(table) != 4 or layout == "pfm"
    if (
        len(table) == 4 == table.shape[1] and layout == "jaspar"
    ):  # 4 x 4 may be either: look at the sums
        by_position = bool(
            np.ptp(table.sum(axis=1)) <= 0.02 * table.sum(axis=1).max()
            and np.ptp(table.sum(axis=0)) > 0.02 * table.sum(axis=0).max()
        )
    return motif_of(id, name, table if by_position else np.ascontiguousarray(table.T), where)


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


def read_meme(lines: list[Line], path: Path) -> list[Motif]:
    motifs: list[Motif] = []
    id = name = ""
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
        elif line.startswith("MOTIF"):
            words = line.split(None, 2)
            if len(words) < 2:
                raise InputError("a MOTIF line without an id", where=here, found=line)
            id, name = words[1], (words[2].strip() if len(words) > 2 else words[1])
        elif line.startswith("letter-probability matrix"):
            keys = dict(re.findall(r"(\w+)\s*=\s*([-+.\deE]+)", line))
            if not id:
                raise InputError("a matrix before its MOTIF line", where=here)
            if keys.get("alength", "4") != "4":
                raise InputError("the motif is not over A, C, G, T", where=here, found=line)
            rows: list[list[float]] = []
            while at < len(lines) and re.match(r"\s*[-+.\d]|\s*(nan|inf)", lines[at][1], re.I):
                row = numbers_of(lines[at][1].split(), f"{path}, line {lines[at][0]}, motif {id}")
                if len(row) != 4:
                    raise InputError(
                        f"motif {id}: a row needs four probabilities",
                        where=f"{path}, line {lines[at][0]}",
                        found=f"{len(row)} numbers",
                    )
                rows.append(row)
                at += 1
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
        raise InputError(
            f"motif {id} has no matrix",
            where=f"{path}, line {lines[-1][0]}",
            expected="a line 'letter-probability matrix: ...' and its rows",
            do="The file may be truncated: copy or download it again.",
        )
    return duplicate_free(motifs, str(path))


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
        tag, _, rest = line.partition("\t") if re.match(r"\w\w\t", line) else line.partition(" ")
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

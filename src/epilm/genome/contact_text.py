"""Contact maps written as text: three, four or seven columns, and what is mistaken for them.

Rows become numbers of bins, (i, j, value) a chromosome. The width of the bins is that of the file's
own ends where it has them, else the spacing of its starts. Used by `contacts`, which says what a
map is.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError, nearest
from epilm.genome.exponents import to_numbers
from epilm.genome.files import data_lines, read_text

WHAT = "contacts: .cool, .mcool, .hic, or text of bin start, bin start, count"
Pixels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
_LAYOUTS = {
    3: ["start1", "start2", "count"],
    4: ["chrom", "start1", "start2", "count"],
    7: ["chrom", "start1", "end1", "chrom2", "start2", "end2", "count"],
}
# Narrower bins are none: a text of bin numbers (HiC-Pro) has a spacing of 1.
_SMALLEST_BIN = 10
_FARTHEST = 1 << 40
_GIVE_WIDTH = "Give the width of its bins in bp (resolution, --contacts-resolution)."
_HIC_PRO = (
    "HiC-Pro numbers the bins: put their places from its _abs.bed in, for example: awk -v OFS='\\t'"
    " 'NR==FNR {b[$4] = $1 OFS $2 OFS $3; next} {print b[$1], b[$2], $3}' X_abs.bed X.matrix"
)


@dataclass(frozen=True)
class TextMap:
    """A contact map as its file has it.

    Attributes
    ----------
    resolution : int
        Bin width in bp.
    pixels : dict of str to (i, j, value)
        Per chromosome the two bins of each pair and its count.
    between : int
        Pairs between two chromosomes, which are left out.
    """

    resolution: int
    pixels: dict[str, Pixels]
    between: int


def read_text_map(
    path: Path, resolution: int | None, chrom: str | None, finer: bool = False
) -> TextMap:
    """Read a contact map in text; see `contacts.read_contacts`.

    Parameters
    ----------
    path : path
        Plain or gzip.
    resolution : int, optional
        Bin width in bp.
    chrom : str, optional
        Chromosome of three-column text; else the only one to read.
    finer : bool
        Whether the file's bins may be narrower than `resolution`, which they divide.

    Raises
    ------
    InputError
        As `contacts.read_contacts`.
    """
    table, lines, names = _table(path)
    between = 0
    if "chrom2" in table:
        inside = (table["chrom"] == table["chrom2"]).to_numpy()
        between = int((~inside).sum())
        width = _width_of_ends(table, lines, path, resolution, finer)
        table, lines = table[inside], lines[inside]
    else:
        width = 0
    if "chrom" not in table:
        chrom = chrom or _chrom_of(path.name)
        if chrom is None:
            raise InputError(
                "three columns do not say the chromosome",
                where=str(path),
                expected="a fourth column, or chr20 in the file's name",
                do="Give it with chrom='chr20', or in the name.",
            )
        table["chrom"] = chrom
    elif chrom is not None and len(table):
        if chrom not in set(table["chrom"]):
            raise InputError(
                "the contact map has no such chromosome",
                where=str(path),
                found=chrom,
                expected=nearest(chrom, sorted(set(table["chrom"]))),
            )
        table = table[table["chrom"] == chrom]
    if not len(table):
        raise InputError(
            "the file holds no contact inside a chromosome",
            where=str(path),
            found=f"{between} between two chromosomes",
            expected=", ".join(names) + " with both bins on one chromosome",
            do="Contacts between chromosomes are not used: give the map of one with itself.",
        )
    width = width or _width_of_starts(table, path, resolution, finer)
    pixels = {
        str(name): (
            part["start1"].to_numpy() // width,
            part["start2"].to_numpy() // width,
            part["count"].to_numpy(),
        )
        for name, part in table.groupby("chrom", sort=False)
    }
    return TextMap(width, pixels, between)


def _numbers_of(
    table: pd.DataFrame,
    names: list[str],
    whole: list[str],
    lines: NDArray[np.int64],
    path: Path,
) -> dict[str, NDArray[np.float64]]:
    """Columns as numbers of at least 0; a line that has another is named."""
    numbers = {name: to_numbers(table[name]) for name in [*whole, "count"]}
    wrong = np.zeros(len(table), dtype=bool)
    for name, column in numbers.items():
        wrong |= ~np.isfinite(column) | (column < 0)
        if name != "count":
            wrong |= (column != np.floor(column)) | (column > _FARTHEST)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            "a contact is negative or not a number",
            where=f"{path}, line {int(lines[row])}",
            found=" ".join(map(str, table.iloc[row])),
            expected=" ".join(names) + ", starts and counts of 0 or more",
        )
    return numbers


def _table(path: Path) -> tuple[pd.DataFrame, NDArray[np.int64], list[str]]:
    """The rows as numbers, the line of each, and the names of their columns."""
    raw = read_text(path, WHAT)
    text, lines = data_lines(raw)
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").split("\t")
    _refuse_pairs(raw, first, path)
    if text and len(first) not in _LAYOUTS:
        raise InputError(
            "wrong format",
            where=str(path),
            found=f"{len(first)} columns: {' '.join(first)[:60]!r}",
            expected="3 (bin start, bin start, count), 4 (chrom first) or 7 tab-separated columns",
        )
    names = _LAYOUTS[len(first)] if text else _LAYOUTS[3]
    whole = [name for name in names if name.startswith(("start", "end"))]
    if text and not any(_is_number(first[names.index(name)]) for name in [*whole, "count"]):
        text, lines = text.split(b"\n", 1)[1], lines[1:]  # a header without #
    if not text:
        raise InputError(
            "the file holds no contact",
            where=str(path),
            found="header, comment or blank lines only",
            expected=WHAT,
        )
    try:
        table = pd.read_csv(
            io.BytesIO(text),
            sep="\t",
            header=None,
            names=names,
            dtype=str,
            keep_default_na=False,
            quoting=3,
            skip_blank_lines=False,
            encoding_errors="replace",
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            "a line is no contact",
            where=str(path),
            found=str(error).strip(),
            expected=" ".join(names),
        ) from None
    numbers = _numbers_of(table, names, whole, lines, path)
    table["count"] = numbers["count"]
    for name in whole:
        table[name] = numbers[name].astype(np.int64)
    return table, lines, names


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", text.strip(), re.IGNORECASE) is not None


def _refuse_pairs(raw: bytes, first: list[str], path: Path) -> None:
    """Refuse read pairs, which are not binned yet."""
    is_pairs = raw.startswith(b"## pairs") or (
        len(first) >= 7
        and {first[5], first[6]} <= {"+", "-", "."}
        and _is_number(first[2])
        and _is_number(first[4])
    )
    if is_pairs:
        raise InputError(
            "wrong format",
            where=str(path),
            found="read pairs (.pairs), which are not binned",
            expected=WHAT,
            do="Bin them, for example: cooler cload pairs -c1 2 -p1 3 -c2 4 -p2 5"
            f" chrom.sizes:10000 {path.name} out.cool",
        )


def _width_of_ends(
    table: pd.DataFrame,
    lines: NDArray[np.int64],
    path: Path,
    resolution: int | None,
    finer: bool,
) -> int:
    """The width the file's own bins have; the last bin of a chromosome may be narrower."""
    chrom = np.concatenate([table["chrom"], table["chrom2"]])
    start = np.concatenate([table["start1"], table["start2"]])
    end = np.concatenate([table["end1"], table["end2"]])
    at = np.concatenate([lines, lines])

    def refuse(wrong: NDArray[np.bool_], what: str, expected: str, do: str | None = None) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                what,
                where=f"{path}, line {int(at[row])}",
                found=f"{chrom[row]}:{start[row]}-{end[row]}",
                expected=expected,
                do=do,
            )

    refuse(end <= start, "the bin holds no base", "start < end")
    code, names = pd.factorize(chrom)
    last = np.zeros(len(names), np.int64)
    np.maximum.at(last, code, end)
    is_last = end == last[code]
    width = int((end - start).max())
    if resolution is not None and resolution > width and is_last.all():
        width = resolution  # only last bins, which may be cut to their chromosomes
    refuse(
        (end - start != width) & ~is_last,
        "the bins have different widths",
        f"{width} bp as elsewhere in the file",
        "Bins of one width are needed, not restriction fragments.",
    )
    refuse(
        start % width != 0,
        "a bin does not start on the grid",
        f"multiples of {width} bp",
        "Starts are 0-based: subtract 1." if (start % width == 1).all() else None,
    )
    fits = resolution in (None, width) or (
        finer and resolution is not None and not resolution % width
    )
    if not fits:
        raise InputError(
            "the bins of the file have another width",
            where=str(path),
            found=f"{width} bp",
            expected=f"{resolution} bp" + (" or a part of it" if finer else ""),
            do="Give the width of the file's bins"
            + (" or a multiple of it" if finer else "")
            + " (resolution, --contacts-resolution).",
        )
    return width


def _width_of_starts(table: pd.DataFrame, path: Path, resolution: int | None, finer: bool) -> int:
    """The width of bins of which the file says the starts alone."""
    starts = np.unique(np.concatenate([table["start1"], table["start2"]]))
    spacing = int(np.gcd.reduce(np.diff(starts))) if len(starts) > 1 else 0
    named = _width_of(path.name)
    if resolution is not None and not (starts % resolution).any():
        width = resolution
    elif resolution is not None and not (finer and spacing):
        width = resolution  # refused below
    elif resolution is None and named and spacing % named == 0 and not (starts % named).any():
        width = named  # chr20_1kb.RAWobserved whose bins happen to lie 2,000 bp apart
    else:
        width = spacing
    if spacing and spacing < _SMALLEST_BIN and width != resolution:
        first = ", ".join(map(str, starts[:3].tolist()))
        raise InputError(
            "these are no places in base pairs",
            where=str(path),
            found=f"starts {first}, ... that lie {spacing} apart",
            expected="bin starts in bp, such as 0, 1000, 2000",
            do=_HIC_PRO,
        )
    if not width:
        raise InputError(
            "the width of the bins cannot be found: all contacts are inside one bin",
            where=str(path),
            found=f"start {int(starts[0])} alone",
            do=_GIVE_WIDTH,
        )
    off = starts % width
    if off.any():
        if spacing and spacing < _SMALLEST_BIN:
            do = _HIC_PRO
        elif len(set(off.tolist())) == 1:
            do = f"All starts are {int(off[0])} past a multiple: subtract it."
        else:
            do = _GIVE_WIDTH
        raise InputError(
            "a bin does not start on the grid",
            where=str(path),
            found=f"start {int(starts[int((off != 0).argmax())])}",
            expected=f"multiples of {width} bp",
            do=do,
        )
    return width


def _chrom_of(name: str) -> str | None:
    """The chromosome in a file's name.

    Examples
    --------
    >>> _chrom_of("GM12878.chr20_5kb.RAWobserved"), _chrom_of("map.tsv")
    ('chr20', None)
    """
    parts = (part.split("_")[0] for part in name.split("."))
    return next((part for part in parts if part.startswith("chr")), None)


def _width_of(name: str) -> int:
    """The bin width in a name as Juicer's users write it, chr20_5kb; 0 where there is none.

    Examples
    --------
    >>> _width_of("chr20_5kb.RAWobserved"), _width_of("chrX_1mb.txt"), _width_of("chr20.txt")
    (5000, 1000000, 0)
    """
    match = re.search(r"chr\w+?_([0-9]+)(bp|kb|mb)(?![a-z0-9])", name.lower())
    return int(match[1]) * {"bp": 1, "kb": 1000, "mb": 1_000_000}[match[2]] if match else 0

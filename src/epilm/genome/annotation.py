"""Transcription start sites from EPD BED, GTF or genePred, as one table of points.

A TSS is the 0-based position of the first transcribed base.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from epilm.errors import InputError
from epilm.genome.files import check_file, read_text

WHAT = "start sites: EPD BED with strand, GTF, or genePred"
_WHOLE = re.compile(r"[0-9]{1,18}")
_PRED = [
    "name",
    "chrom",
    "strand",
    "txStart",
    "txEnd",
    "cdsStart",
    "cdsEnd",
    "exonCount",
    "exonStarts",
    "exonEnds",
]


def read_tss(path: str | Path) -> pd.DataFrame:
    """Read transcription start sites.

    Parameters
    ----------
    path : path
        BED with a strand, GTF / GFF2 (transcripts), or UCSC genePred(Ext) with or without the bin
        column. Plain or gzip. A BED row is one base, or begins at the site (also a gene model of
        12 columns, whose thick part is coding); in EPD's own rows (60 bp, the last 11 thick) and
        in rows without blocks that have one thick base (CAGE clusters) the thick part does.

    Returns
    -------
    DataFrame
        chrom, start (int64, the site, 0-based), end (start + 1), strand ("+" or "-"), name, gene:
        an interval table of points in the order of the file, index named "line".

    Raises
    ------
    InputError
        If the file is missing, empty or of another format, a coordinate is no whole number, or a
        row has no base or no strand. Names the line.

    References
    ----------
    EPDnew at UCSC: the thin part is 49 bp upstream, the thick part the site and 10 bp downstream.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.bed"
    >>> _ = name.write_text(
    ...     "chr1\\t99\\t100\\tA_1\\t1\\t+\\nchr1\\t50\\t110\\tB_1\\t1\\t-\\t50\\t61\\n"
    ... )
    >>> read_tss(name)[["chrom", "start", "strand", "name"]].values.tolist()
    [['chr1', 99, '+', 'A_1'], ['chr1', 60, '-', 'B_1']]
    """
    text = read_text(path, WHAT).decode("utf-8", "replace")
    rows = [
        (number, line.split("\t"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.startswith(("#", "track", "browser"))
    ]
    if not rows:
        raise InputError("the file holds no record", where=str(path), expected=WHAT)
    first = rows[0][1]
    if len(first) == 9 and first[6] in "+-." and not first[1].strip().isdigit():
        sites = _gtf(rows, path)
    elif len(first) >= 10 and {first[2], first[3]} & {"+", "-"}:
        sites = _gene_pred(rows, shift=int(first[2] not in ("+", "-")), path=path)
    elif len(first) >= 6 and (first[5].strip() in ("+", "-", ".") or first[1].isdigit()):
        sites = _bed(rows, path)
    else:
        raise InputError(
            "wrong format",
            where=f"{path}, line {rows[0][0]}",
            found=f"{len(first)} columns: {'; '.join(first)[:60]!r}",
            expected=WHAT,
            do="A BED file needs six columns: chrom, start, end, name, score, strand.",
        )
    table = pd.DataFrame(
        sites, columns=["line", "chrom", "start", "strand", "name", "gene"]
    ).set_index("line")
    if not len(table):
        raise InputError(
            "the file holds no transcript", where=str(path), expected="lines of feature transcript"
        )
    wrong = ~table["strand"].isin(["+", "-"]).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            "the start site has no strand",
            where=f"{path}, line {table.index[row]}",
            found=repr(table["strand"].iloc[row]),
            expected="+ or -",
            do="A promoter has a direction: give the file with strands.",
        )
    table["start"] = table["start"].astype(np.int64)
    table.insert(2, "end", table["start"] + 1)
    table.attrs = {"source": str(path)}
    return table


Row = tuple[int, str, int, str, str, str]


_EPD_WIDTH, _EPD_THICK = 60, 11


def _whole(fields: list[str], columns: Sequence[int], where: str) -> list[int]:
    """Whole numbers in some columns; `int` would take 1_000 as well."""
    for column in columns:
        if not _WHOLE.fullmatch(fields[column].strip()):
            raise InputError(
                "the coordinate is not a whole number of at least 0",
                where=where,
                found=repr(fields[column]),
                expected=f"digits in column {column + 1}",
                do="Correct or remove the line.",
            )
    return [int(fields[column]) for column in columns]


def _check_width(chrom: str, start: int, end: int, where: str) -> None:
    if not 0 <= start < end:
        raise InputError(
            "the interval holds no base",
            where=where,
            found=f"{chrom}:{start}-{end}",
            expected="0 <= start < end",
        )


def _cut_short(fields: list[str], least: int, where: str) -> None:
    if len(fields) < least:
        raise InputError(
            "the line is cut short",
            where=where,
            found=f"{len(fields)} columns: {'; '.join(fields)[:60]!r}",
            expected=f"at least {least} as in the first line",
            do="Correct or remove the line.",
        )


def _site_part(fields: list[str], start: int, end: int, strand: str, where: str) -> tuple[int, int]:
    """The part of a BED row whose first base is the start site.

    The thick part of a gene model (BED12) is what is translated, never the start of transcription.
    """
    if len(fields) not in (8, 9):
        return start, end
    thick, thin = _whole(fields, (6, 7), where)
    own = (end - _EPD_THICK, end) if strand == "+" else (start, start + _EPD_THICK)
    epd = end - start == _EPD_WIDTH and (thick, thin) == own
    cage = thin - thick == 1 and start <= thick < end
    return (thick, thin) if epd or cage else (start, end)


def _bed(rows: list[tuple[int, list[str]]], path: str | Path) -> list[Row]:
    sites = []
    for number, fields in rows:
        where = f"{path}, line {number}"
        _cut_short(fields, 6, where)
        chrom, name, strand = fields[0], fields[3], fields[5].strip()
        start, end = _whole(fields, (1, 2), where)
        _check_width(chrom, start, end, where)
        first, last = _site_part(fields, start, end, strand, where)
        site = first if strand == "+" else last - 1
        sites.append((number, chrom, site, strand, name, name.rsplit("_", 1)[0]))
    return sites


def _gene_pred(rows: list[tuple[int, list[str]]], shift: int, path: str | Path) -> list[Row]:
    sites = []
    for number, fields in rows:
        where = f"{path}, line {number}"
        _cut_short(fields, shift + len(_PRED), where)
        values = dict(zip(_PRED, fields[shift:], strict=False))
        start, end = _whole(fields, (shift + 3, shift + 4), where)
        _check_width(values["chrom"], start, end, where)
        site = start if values["strand"] == "+" else end - 1
        gene = fields[shift + 11] if len(fields) > shift + 11 else values["name"]
        sites.append((number, values["chrom"], site, values["strand"], values["name"], gene))
    return sites


def _attribute(text: str, key: str) -> str:
    for part in text.split(";"):
        words = part.strip().split(" ", 1)
        if len(words) == 2 and words[0] == key:
            return words[1].strip().strip('"')
    return "."


def _gtf(rows: list[tuple[int, list[str]]], path: str | Path) -> list[Row]:
    sites = []
    for number, fields in rows:
        where = f"{path}, line {number}"
        _cut_short(fields, 9, where)
        if fields[2] != "transcript":
            continue
        first, last = _whole(fields, (3, 4), where)  # 1-based, closed
        _check_width(fields[0], first - 1, last, where)
        name = _attribute(fields[8], "transcript_id")
        if name == "." and re.search(r"(^|;)\s*ID=", fields[8]):
            raise InputError(
                "wrong format",
                where=where,
                found="GFF3 (attributes written ID=...)",
                expected=WHAT,
                do="Convert it to GTF, for example: gffread FILE -T -o genes.gtf",
            )
        gene = _attribute(fields[8], "gene_name")
        gene = gene if gene != "." else _attribute(fields[8], "gene_id")
        site = first - 1 if fields[6] == "+" else last - 1
        sites.append((number, fields[0], site, fields[6], name, gene))
    return sites


def read_gtf(path: str | Path) -> pd.DataFrame:
    """Read a GTF file as an interval table (start made 0-based), attributes as columns.

    Parameters
    ----------
    path : path
        Plain or gzip.

    Returns
    -------
    DataFrame
        chrom, source, feature, start, end, score, strand, frame, and one column an attribute.

    Raises
    ------
    InputError
        If the file is missing, empty or no GTF.
    """
    import bioframe

    path = check_file(path, "a GTF file")
    lines = read_text(path, "a GTF file").decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            fields, where = line.split("\t"), f"{path}, line {number}"
            if len(fields) != 9:
                raise InputError(
                    "this is no GTF file",
                    where=where,
                    found=f"{len(fields)} columns: {line[:60]!r}",
                    expected="nine tab-separated columns",
                )
            _whole(fields, (3, 4), where)
    try:
        table = bioframe.read_table(
            str(path), schema="gtf", comment="#", float_precision="round_trip"
        )
        attributes = table.pop("attributes").str.findall(r'(\w+) "?([^";]*)"?')
    except (ValueError, AttributeError, KeyError, OSError) as error:
        raise InputError(
            "this is no GTF file",
            where=str(path),
            found=str(error).split("\n")[0],
            expected="nine tab-separated columns",
        ) from None
    table["start"] -= 1
    return table.join(pd.DataFrame([dict(pairs) for pairs in attributes], index=table.index))

"""Transcription start sites from EPD BED, GTF or genePred, as one table of points.

A TSS is the 0-based position of the first transcribed base.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from epilm.errors import InputError
from epilm.genome.files import check_file, read_text

WHAT = "start sites: EPD BED with strand, GTF, or genePred"
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
        BED with a strand (EPD: one base, or 60 bp whose thick part begins at the site), GTF / GFF2
        (transcripts), or UCSC genePred(Ext) with or without the bin column. Plain or gzip.

    Returns
    -------
    DataFrame
        chrom, start (int64, the site, 0-based), end (start + 1), strand ("+" or "-"), name, gene:
        an interval table of points in the order of the file, index named "line".

    Raises
    ------
    InputError
        If the file is missing, empty or of another format, or a row has no strand.

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
    if len(first) == 9 and first[6] in "+-." and first[3].isdigit():
        found = _gtf(rows)
    elif len(first) >= 10 and (first[2] in "+-" or first[3] in "+-"):
        found = _gene_pred(rows, shift=int(first[2] not in "+-"))
    elif len(first) >= 6 and first[1].isdigit() and first[2].isdigit():
        found = _bed(rows, path)
    else:
        raise InputError(
            "wrong format",
            where=f"{path}, line {rows[0][0]}",
            found=f"{len(first)} columns: {'; '.join(first)[:60]!r}",
            expected=WHAT,
            do="A BED file needs six columns: chrom, start, end, name, score, strand.",
        )
    table = pd.DataFrame(
        found, columns=["line", "chrom", "start", "strand", "name", "gene"]
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


def _bed(rows: list[tuple[int, list[str]]], path: str | Path) -> list[Row]:
    found = []
    for number, fields in rows:
        try:
            chrom, start, end, name, strand = (
                fields[0],
                int(fields[1]),
                int(fields[2]),
                fields[3],
                fields[5].strip(),
            )
            thick = (
                (int(fields[6]), int(fields[7]))
                if len(fields) >= 8 and end - start > 1
                else (start, end)
            )
        except (IndexError, ValueError):
            raise InputError(
                "the line is no BED record",
                where=f"{path}, line {number}",
                found=repr("\t".join(fields)[:60]),
                expected="chrom, start, end, name, score, strand",
            ) from None
        if not 0 <= start < end:
            raise InputError(
                "the interval holds no base",
                where=f"{path}, line {number}",
                found=f"{chrom}:{start}-{end}",
                expected="0 <= start < end",
            )
        found.append(
            (
                number,
                chrom,
                thick[0] if strand == "+" else thick[1] - 1,
                strand,
                name,
                name.rsplit("_", 1)[0],
            )
        )
    return found


def _gene_pred(rows: list[tuple[int, list[str]]], shift: int) -> list[Row]:
    found = []
    for number, fields in rows:
        values = dict(zip(_PRED, fields[shift:], strict=False))
        tss = int(values["txStart"]) if values["strand"] == "+" else int(values["txEnd"]) - 1
        gene = fields[shift + 11] if len(fields) > shift + 11 else values["name"]
        found.append((number, values["chrom"], tss, values["strand"], values["name"], gene))
    return found


def _attribute(text: str, key: str) -> str:
    for part in text.split(";"):
        words = part.strip().split(" ", 1)
        if len(words) == 2 and words[0] == key:
            return words[1].strip().strip('"')
    return "."


def _gtf(rows: list[tuple[int, list[str]]]) -> list[Row]:
    found = []
    for number, fields in rows:
        if len(fields) == 9 and fields[2] == "transcript":
            start, end = int(fields[3]), int(fields[4])  # 1-based, closed
            name = _attribute(fields[8], "transcript_id")
            gene = _attribute(fields[8], "gene_name")
            gene = gene if gene != "." else _attribute(fields[8], "gene_id")
            found.append(
                (
                    number,
                    fields[0],
                    start - 1 if fields[6] == "+" else end - 1,
                    fields[6],
                    name,
                    gene,
                )
            )
    return found


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
    try:
        table = bioframe.read_table(str(path), schema="gtf", comment="#")
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

"""Scores beside their variants: a table with a row an ALT, or the VCF itself with INFO fields.

Each file is written whole or not at all, and the same scores give the same bytes.
"""

import gzip
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_file
from epilm.variants.haplotypes import REASONS, Change
from epilm.variants.variant_files import Allele, kind_of, open_vcf, pysam_module

PREFIX = "EPILM_"
FIXED = ("chrom", "pos", "id", "ref", "alt", "norm_pos", "norm_ref", "norm_alt", "reason")


@dataclass(frozen=True)
class Columns:
    """What is written of each allele, beside where it is.

    Attributes
    ----------
    values : dict of str to float64 (N,)
        NaN where it was not scored.
    texts : dict of str to str
        What each is, for the head of a VCF.
    words : dict of str to tuple of str
        Of columns that are written as words: those that the values are numbers of.
    """

    values: dict[str, NDArray[np.float64]]
    texts: dict[str, str]
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def cells(self, row: int) -> list[str | float | None]:
        """Give what is written of an allele, column by column; None where it was not scored."""
        return [
            None
            if np.isnan(values[row])
            else self.words[name][int(values[row])]
            if name in self.words
            else float(values[row])
            for name, values in self.values.items()
        ]


def write_scores(
    out: Path,
    source: Path,
    alleles: Sequence[Allele],
    changes: Sequence[Change | None],
    reasons: Sequence[str],
    columns: Columns,
    sizes: Mapping[str, int],
) -> None:
    """Write by the name of `out`: .tsv, .tsv.gz, .vcf, .vcf.gz or .bcf."""
    if kind_of(out, "scores") == "tsv":
        _write_tsv(out, alleles, changes, reasons, columns)
    else:
        _write_vcf(out, source, alleles, reasons, columns, sizes)


def _write_tsv(
    out: Path,
    alleles: Sequence[Allele],
    changes: Sequence[Change | None],
    reasons: Sequence[str],
    columns: Columns,
) -> None:
    with atomic_file(out) as new, open(new, "wb") as raw:
        # Neither a time nor a name in the head: the same scores are the same bytes.
        binary: Any = gzip.GzipFile("", "wb", 6, raw, mtime=0) if out.suffix == ".gz" else raw
        with io.TextIOWrapper(binary, encoding="utf-8", newline="\n") as text:
            text.write("\t".join((*FIXED, *columns.values)) + "\n")
            for row, (allele, change, reason) in enumerate(zip(alleles, changes, reasons)):
                fields = [allele.chrom, str(allele.start + 1), allele.name, allele.ref, allele.alt]
                if change is None:
                    fields += [".", ".", "."]
                else:
                    fields += [str(change.start + 1), change.ref or "-", change.alt or "-"]
                said = [
                    "." if cell is None else cell if isinstance(cell, str) else f"{cell:.8g}"
                    for cell in columns.cells(row)
                ]
                text.write("\t".join((*fields, reason or ".", *said)) + "\n")


def info_name(name: str) -> str:
    """Give the INFO key of a score: letters, digits, `_` and `.` alone are allowed there.

    Examples
    --------
    >>> info_name("logit_CTCF (A)_delta")
    'EPILM_logit_CTCF__A__delta'
    """
    return PREFIX + "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)


def _write_vcf(
    out: Path,
    source: Path,
    alleles: Sequence[Allele],
    reasons: Sequence[str],
    columns: Columns,
    sizes: Mapping[str, int],
) -> None:
    pysam = pysam_module()
    name = out.name.lower()
    mode = "wb" if name.endswith(".bcf") else "wz" if name.endswith(".gz") else "w"
    by_record: dict[int, list[int]] = {}
    for row, allele in enumerate(alleles):
        by_record.setdefault(allele.record, []).append(row)
    keys = [info_name(column) for column in columns.values]

    def describe(header: Any) -> None:
        for contig in dict.fromkeys(allele.chrom for allele in alleles):
            if contig not in header.contigs:
                header.contigs.add(contig, length=sizes.get(contig))
        if "END" not in header.info:
            # htslib gives END to a symbolic ALT that has none; the head must know the key before.
            header.add_line(
                '##INFO=<ID=END,Number=1,Type=Integer,Description="Last base of the variant">'
            )
        listed = ", ".join(f"{reason} ({text})" for reason, text in REASONS.items())
        lines = [
            (key, "String" if column in columns.words else "Float", columns.texts[column])
            for key, column in zip(keys, columns.values)
        ]
        lines.append((f"{PREFIX}REASON", "String", f"Why an ALT is not scored: {listed}"))
        for key, kind, text in lines:
            if key in header.info:
                header.info.remove_header(key)  # of an earlier run
            header.add_line(f'##INFO=<ID={key},Number=A,Type={kind},Description="{text}">')

    def fill(record: Any, rows: Sequence[int]) -> None:
        said = [columns.cells(row) for row in rows]
        for key, cells in zip(keys, zip(*said, strict=True), strict=True):
            if any(cell is not None for cell in cells):
                record.info[key] = tuple(
                    re.sub(r"[\s;,=]", "_", cell) if isinstance(cell, str) else cell
                    for cell in cells
                )
        if any(reasons[row] for row in rows) and record.alts:
            record.info[f"{PREFIX}REASON"] = tuple(reasons[row] or None for row in rows)

    with atomic_file(out) as new:
        if kind_of(source, "variants") == "vcf":
            with open_vcf(source) as file:
                describe(file.header)
                with pysam.VariantFile(str(new), mode, header=file.header) as written:
                    for number, record in enumerate(file):
                        if number in by_record:
                            fill(record, by_record[number])
                            written.write(record)
            return
        header = pysam.VariantHeader()
        describe(header)
        with pysam.VariantFile(str(new), mode, header=header) as written:
            for rows in by_record.values():
                first = alleles[rows[0]]
                alts = [alleles[row].alt for row in rows]
                record = header.new_record(
                    contig=first.chrom,
                    start=first.start,
                    stop=first.start + len(first.ref),
                    alleles=(first.ref, *(alt for alt in alts if alt != ".")),
                    id=None if first.name == "." else first.name,
                )
                fill(record, rows)
                written.write(record)

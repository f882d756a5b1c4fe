"""Sequence files as they come: DNABERT's tables, FASTA, one sequence a line.

A table may hold plain bases or DNABERT's space-separated k-mers (joined back, and
checked to overlap), with Unix or Windows line ends, plain or gzip (`tasks.tables`). Every message
names file and line. Standard library and numpy only until Parquet or a genome is read.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from epilm.errors import InputError, UsageError
from epilm.genome.limits import open_text
from epilm.tasks.base import LabelledSequences, check_classes, concatenate, labelled
from epilm.tasks.tables import Kind, LabelTable, read_columns, rows_of

SEQUENCE_ENDINGS = (".fa", ".fasta", ".fna")
_COORDINATES = re.compile(r"^([\w.]+):(\d+)-(\d+)")
# train.tsv, dev.tsv: DNABERT's folder. Its dev file is what the papers score.
_FOLDER = {"train": "train", "dev": "valid", "valid": "valid", "test": "test"}


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text without its end) of a plain or gzip text file.

    Raises
    ------
    InputError
        If the file is missing, empty, cut short, or no text.
    """
    path = Path(path)
    if not path.is_file():
        what = "there is no such file" if not path.exists() else "expected a file, not a folder"
        raise InputError(what, where=str(path), do="Check the path.")
    any_line = False
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with open_text(path, packed) as lines:
            for number, line in enumerate(lines, 1):
                any_line = True
                yield number, line.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            "the gzip file is cut short or damaged",
            where=str(path),
            found=str(error),
            do="Fetch it again.",
        ) from None
    except UnicodeDecodeError:
        raise InputError(
            "the file is not text",
            where=str(path),
            expected="a table, FASTA or plain lines (may be .gz)",
        ) from None
    if not any_line:
        raise InputError("the file is empty", where=str(path))


def join_kmers(text: str, where: str) -> str:
    """Join space-separated overlapping k-mers back to the bases they cover.

    Parameters
    ----------
    text : str
        "ACG CGT GTA", or bases without a space (returned as they are).
    where : str
        File and line, for the message.

    Raises
    ------
    InputError
        If two neighbours do not overlap in k-1 bases.

    Examples
    --------
    >>> join_kmers("ACG CGT GTA TAC", "here")
    'ACGTAC'
    >>> join_kmers("ACG TTT", "set.tsv, line 2")
    Traceback (most recent call last):
    epilm.errors.InputError: set.tsv, line 2: neighbouring k-mers do not overlap. Found 'ACG' before
        'TTT'; expected a step of one base (DNABERT's layout). Give plain sequences instead.
    """
    words = text.split()
    if len(words) < 2:
        return words[0] if words else ""
    k = len(words[0])
    for left, right in pairwise(words):
        if len(right) != k or left[1:] != right[:-1]:
            raise InputError(
                "neighbouring k-mers do not overlap",
                where=where,
                found=f"{left!r} before {right!r}",
                expected="a step of one base (DNABERT's layout)",
                do="Give plain sequences instead.",
            )
    return words[0] + "".join(word[-1] for word in words[1:])


def read_table(
    path: str | Path, *, labels: Sequence[str] = (), kind: Kind = "auto", genome: Any = None
) -> LabelledSequences:
    r"""Read a table: `sequence` and `label` (DNABERT's), or any other columns of labels.

    Parameters
    ----------
    path : path
        .tsv or .csv, plain or gzip, Unix or Windows line ends; .parquet. Columns `split` and
        `chrom`, `start` are used where present; others are ignored.
    labels, kind, genome
        As `load`.

    Raises
    ------
    InputError
        Naming file and line: header, number of columns, letters, or labels.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "set.tsv"
    >>> _ = name.write_text("sequence\tlabel\r\nACG CGT\t1\r\nTTTA\t0\r\n", newline="")
    >>> rows = read_table(name)
    >>> rows.text(0), rows.text(1), rows.labels.tolist()
    ('ACGT', 'TTTA', [1, 0])
    """
    table = read_columns(path, read_lines)
    return rows_of(table, join_kmers, labels=labels, kind=kind, genome=genome, name=_stem(path))


def read_folder(
    folder: str | Path, *, labels: Sequence[str] = (), kind: Kind = "auto", genome: Any = None
) -> LabelledSequences:
    """Read a folder with train.tsv and dev.tsv or test.tsv, each row with its split.

    DNABERT scores on dev.tsv: without a test.tsv it becomes the test split, and
    a validation split is cut from train later. Also .csv, either as .gz, and .parquet.
    """
    folder = Path(folder)
    there = {
        n: p
        for n in _FOLDER
        for s in (".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet")
        if (p := folder / f"{n}{s}").is_file()
    }
    if "train" not in there or len(there) < 2:
        raise InputError(
            "the folder has not the tables of a labelled set",
            where=str(folder),
            found=", ".join(p.name for p in there.values()) or "none",
            expected="train.tsv and dev.tsv or test.tsv",
        )
    every: LabelTable | None = None
    for name, path in there.items():
        split = "test" if name == "dev" and "test" not in there else _FOLDER[name]
        table = read_columns(path, read_lines)
        table.names = [column for column in table.names if column.lower() != "split"] + ["split"]
        table.columns["split"] = [split] * len(table)
        every = table if every is None else every.below(table)
    assert every is not None
    every.path = str(folder)
    return rows_of(every, join_kmers, labels=labels, kind=kind, genome=genome, name=folder.name)


class Record(NamedTuple):
    """One FASTA record, or one plain line."""

    name: str
    sequence: str
    line: int

    @property
    def place(self) -> tuple[str, int]:
        """Chromosome and 0-based start where the name is `chrom:start-end`; else ("", -1)."""
        parts = _COORDINATES.match(self.name)
        return (parts[1], int(parts[2])) if parts else ("", -1)


def read_records(path: str | Path) -> list[Record]:
    """Read FASTA, or plain lines of one sequence each.

    Raises
    ------
    InputError
        If the file is neither, or a record is empty.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.fa"
    >>> _ = name.write_text(">chr1:5-9\\nAC\\nGT\\n>b\\nTTT\\n")
    >>> [(r.name, r.sequence, r.place) for r in read_records(name)]
    [('chr1:5-9', 'ACGT', ('chr1', 5)), ('b', 'TTT', ('', -1))]
    """
    records: list[Record] = []
    parts: list[str] = []
    name, start, fasta = "", 0, False

    def close() -> None:
        if not parts:
            raise InputError(
                "the record has no sequence", where=f"{path}, line {start}", found=f">{name}"
            )
        records.append(Record(name, "".join(parts), start))

    for number, line in read_lines(path):
        line = line.strip()
        if line.startswith(">"):
            if fasta:
                close()
            elif records:
                raise InputError(
                    "the file mixes FASTA and plain lines", where=f"{path}, line {number}"
                )
            fasta, name, start, parts = (
                True,
                line[1:].split()[0] if line[1:].split() else "",
                number,
                [],
            )
        elif line and fasta:
            parts.append(line)
        elif line:
            if not re.fullmatch(r"[A-Za-z]+", line):
                raise InputError(
                    "the line is neither FASTA nor a plain sequence",
                    where=f"{path}, line {number}",
                    found=repr(line[:60]),
                    expected=(
                        ">name and bases, or one sequence a line, or a table with the header"
                        " 'sequence<TAB>label'"
                    ),
                )
            records.append(Record(f"{Path(path).name}:{number}", line, number))
    if fasta:
        close()
    if not records:
        raise InputError("the file has no sequences", where=str(path))
    return records


def read_pair(positive: str | Path, negative: str | Path) -> LabelledSequences:
    """Read two FASTA (or line) files: label 1 and label 0."""
    parts = []
    for path, label in ((positive, 1), (negative, 0)):
        parts.append(records_to_rows(read_records(path), path, label))
    return check_classes(concatenate(parts, name=_stem(positive)), f"{positive} and {negative}")


def records_to_rows(records: list[Record], path: str | Path, label: int) -> LabelledSequences:
    """Give records of one file one label."""
    places = [r.place for r in records]
    return labelled(
        [r.sequence for r in records],
        np.full(len(records), label),
        chrom=[p[0] for p in places],
        start=[p[1] for p in places],
        origin=[f"{Path(path).name}, line {r.line}" for r in records],
        name=_stem(path),
    )


def looks_like_table(path: str | Path) -> bool:
    """Whether the first line is a header of columns rather than bases or '>'."""
    _, first = next(iter(read_lines(path)))
    return "\t" in first or "," in first or "label" in first.lower()


def load(
    data: str | Path,
    *,
    negative: str | Path | None = None,
    genome: Any = None,
    seed: int = 0,
    labels: str | Sequence[str] = (),
    kind: Kind = "auto",
) -> LabelledSequences:
    """Read any labelled sequences or intervals: a table, a folder of tables, or two FASTA files.

    Parameters
    ----------
    data : path
        Table (.tsv, .csv, either as .gz, .parquet) with a column `sequence`, or with chrom, start,
        end and `genome`; folder with train/dev/test tables; or FASTA of the positives.
    negative : path, optional
        FASTA of the negatives.
    genome : path or Reference, optional
        Of intervals.
    seed
        Not used: part of the contract of a task.
    labels : sequence of str, or names with commas between
        Columns of labels; `label` where none is named.
    kind : {"auto", "class", "multilabel", "number", "count"}
        What labels are: see `tables.rows_of`.

    Raises
    ------
    InputError
    """
    columns = labels.split(",") if isinstance(labels, str) else tuple(labels)
    told: dict[str, Any] = {"labels": columns, "kind": kind, "genome": genome}
    if Path(data).is_dir():
        return check_classes(read_folder(data, **told), str(data))
    if negative is not None:
        if columns or kind != "auto":
            raise UsageError(
                "two FASTA files are two classes",
                where="--labels" if columns else "--kind",
                do="Leave it out, or give a table.",
            )
        return read_pair(data, negative)
    if not str(data).endswith(".parquet") and not looks_like_table(data):
        raise InputError(
            "sequences without labels",
            where=str(data),
            expected="a table with the header 'sequence<TAB>label'",
            do="Give the other class as FASTA with --negative FILE.",
        )
    return check_classes(read_table(data, **told), str(data))


def _stem(path: str | Path) -> str:
    return Path(path).name.removesuffix(".gz").rsplit(".", 1)[0]

"""Many labelled sets as one file: which 497 sets a paper meant is a file's business.

A manifest is a table with the header `name<TAB>task<TAB>data`, one set a row; any
further column is an option of the task's loader (genome, negatives, test, ...),
empty cells are left at their default. A column SCORE:WHO (mcc:DNABERT-2) holds what
others have reached on the set, which then stands beside ours. Paths are relative to
the manifest. Sets are opened one at a time, when their turn comes.
"""

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from epilm.errors import InputError, UsageError, nearest
from epilm.metrics.published import genebert_table
from epilm.tasks import TASKS, find_task
from epilm.tasks.base import LabelledSequences
from epilm.tasks.reference import open_reference
from epilm.tasks.sequence_task import SequenceTask
from epilm.tasks.sequences import read_lines
from epilm.tasks.splits import split_rows
from epilm.tasks.typed_options import split_pairs, typed_options
from epilm.trials.choices import SetFiles
from epilm.trials.learn import DataSet

_PATHS = {"data", "genome", "negative", "other_peaks", "exclude", "motifs", "blacklist"}
_ALONE = ("negative", "negatives", "option", "factor", "valid", "test")  # options of one set
_LARGE = {"genome"}  # not read to be told apart
PUBLISHED_SCORES = ("auroc", "ap", "accuracy", "macro_precision", "macro_recall", "macro_f1", "mcc")


@dataclass(frozen=True)
class SetEntry:
    """One row: a named set, its task, its file and the loader's options as text.

    Attributes
    ----------
    missing : str
        What cannot be read of it, with its line; "" where all files are there.
    beside : mapping
        Who -> score -> a number of theirs, which stands beside ours and changes no row.
    """

    name: str
    task: str
    data: str
    options: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    beside: dict[str, dict[str, float]] = field(default_factory=dict)


def _row_of(line: str, names: list[str], where: str) -> dict[str, str]:
    """Cells that are filled, by the name of their column."""
    cells = [c.strip() for c in line.split("\t")]
    if len(cells) > len(names) or len(cells) < 3:
        raise InputError(
            "the row does not fit the header",
            where=where,
            found=f"{len(cells)} columns",
            expected=len(names),
        )
    row = {n: c for n, c in zip(names, cells) if c}
    for needed in ("name", "task", "data"):
        if needed not in row:
            raise InputError(f"the column {needed} is empty", where=where)
    return row


def _others(row: dict[str, str], where: str) -> dict[str, dict[str, float]]:
    """Numbers of others, from the columns SCORE:WHO.

    Examples
    --------
    >>> _others({"name": "tf_0", "mcc:DNABERT-2": "0.718", "auroc:floor": ".894"}, "line 2")
    {'DNABERT-2': {'mcc': 0.718}, 'floor': {'auroc': 0.894}}
    """
    out: dict[str, dict[str, float]] = {}
    for column, text in row.items():
        score, colon, who = column.partition(":")
        if not colon:
            continue
        if score not in PUBLISHED_SCORES:
            raise InputError(
                "a column SCORE:WHO holds what others have reached, of a score that is unknown",
                where=where,
                found=column,
                do=nearest(score, PUBLISHED_SCORES),
            )
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not who or not -1 <= value <= 1:
            raise InputError(
                "a column SCORE:WHO holds a score of others",
                where=where,
                found=f"{column} {text}",
                expected="a name behind the colon, and a number between -1 and 1, or nothing",
            )
        out.setdefault(who, {})[score] = value
    return out


def read_manifest(path: str | Path, tasks: tuple[str, ...] = ()) -> list[SetEntry]:
    r"""Read a manifest.

    Parameters
    ----------
    path : path
    tasks : tuple of str
        Known tasks; a row with another one is an error. Empty: any.

    Raises
    ------
    InputError
        Naming the line: header, unknown task, name given twice. A file that is not there is its
        set's own trouble: `SetEntry.missing`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.bed").write_text("chr1\t1\t2\n")
    >>> _ = (folder / "sets.tsv").write_text("name\ttask\tdata\tnegatives\nA\ttfbs\ta.bed\tgc\n")
    >>> (entry,) = read_manifest(folder / "sets.tsv")
    >>> entry.name, entry.task, Path(entry.data).name, entry.options
    ('A', 'tfbs', 'a.bed', {'negatives': 'gc'})
    """
    path = Path(path)
    lines = read_lines(path)
    _, header = next(lines)
    names = header.split("\t")
    if names[:3] != ["name", "task", "data"]:
        raise InputError(
            "not the header of a manifest",
            where=f"{path}, line 1",
            found=repr(header[:80]),
            expected="'name<TAB>task<TAB>data' and any options of the loader",
        )
    entries: list[SetEntry] = []
    met: dict[str, int] = {}
    for number, line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        row = _row_of(line, names, where)
        if row["name"] in met:
            raise InputError(
                "the name is given twice",
                where=where,
                found=row["name"],
                expected=f"a name other than line {met[row['name']]}'s",
            )
        if tasks and row["task"] not in tasks:
            raise InputError(
                "unknown task", where=where, found=row["task"], do=nearest(row["task"], tasks)
            )
        if (named := row.get("published")) is not None and named not in genebert_table("2").rows:
            raise InputError(
                "the paper has no such set",
                where=where,
                found=f"published {named}",
                do=nearest(named, genebert_table("2").rows),
            )
        met[row["name"]] = number
        missing = ""
        for column in sorted(_PATHS & row.keys()):
            if column == "motifs" and row[column].startswith("jaspar:"):
                continue
            full = path.parent / row[column]
            if not os.path.exists(full):  # of a name too long pathlib raises
                missing = f"{where}: there is no such file. Found {column} {row[column]}"
            row[column] = str(full)
        beside = _others(row, where)
        options = {
            k: v for k, v in row.items() if k not in ("name", "task", "data") and ":" not in k
        }
        entries.append(SetEntry(row["name"], row["task"], row["data"], options, missing, beside))
    if not entries:
        raise InputError("the manifest names no sets", where=str(path))
    return entries


@dataclass
class ManifestSets:
    """The sets of a manifest, opened one after another; a genome that several name is opened once.

    Can be sent to another process, which opens its own.
    """

    entries: list[SetEntry]
    data_seed: int = 0
    genome: Any = None
    path: str = ""
    _opened: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}}

    def open(self, number: int) -> DataSet:
        """Load a set and split its rows; columns split, valid, test and factor are read here, the
        rest by the loader.

        Raises
        ------
        InputError, UsageError
        """
        entry = self.entries[number]
        if entry.missing:
            raise InputError(entry.missing)
        options = {name: text for name, text in entry.options.items() if name != "published"}
        how: dict[str, Any] = {"how": options.pop("split")} if "split" in options else {}
        how |= {k: tuple(options.pop(k).split(",")) for k in ("valid", "test") if k in options}
        factor = options.pop("factor", None)
        path = options.pop("genome", self.genome)
        key = str(path)
        if path is not None and key not in self._opened:
            self._opened[key] = open_reference(path)
        load = _loader(entry.task)
        rows = load(
            entry.data,
            genome=self._opened.get(key),
            seed=self.data_seed,
            **typed_options(load, options),
        )
        rows = split_rows(replace(rows, name=entry.name), seed=self.data_seed, **how)
        return DataSet(entry.name, rows, entry.task, factor)

    def stamp(self, number: int) -> dict[str, Any]:
        """What must be the same for rows of a set to stand in one table: its line of the manifest,
        and digests of its files (of a genome the name alone).
        """
        entry = self.entries[number]
        named = {"data": entry.data} | entry.options
        given = {name: Path(text).name if name in _PATHS else text for name, text in named.items()}
        files = {
            name: _digest(Path(named[name])) for name in sorted((_PATHS - _LARGE) & set(named))
        }
        return {"task": entry.task, "given": given, "files": files, "data_seed": self.data_seed}


def read_sets(
    manifest: str | Path, *, data_seed: int = 0, genome: Sequence[Path] | None = None
) -> ManifestSets:
    """Read a manifest of sets of known tasks; nothing of a set is read yet.

    Raises
    ------
    InputError
    """
    entries = read_manifest(manifest, tuple(TASKS))
    for entry in entries:
        _loader(entry.task)
    return ManifestSets(entries, data_seed, genome, str(manifest))


def _digest(path: Path) -> str:
    """Of a file its bytes, of a folder the names and sizes in it; "" where it is not there."""
    if path.is_dir():
        there = sorted((str(p.relative_to(path)), p.stat().st_size) for p in path.rglob("*"))
        return hashlib.sha256(repr(there).encode()).hexdigest()[:16]
    if not path.is_file():
        return ""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def _loader(name: str) -> Callable[..., LabelledSequences]:
    """The loader of a task of sequences: what a comparison is made of.

    Raises
    ------
    UsageError
        If the task's examples lie in a store: `epilm ablate` compares on those.
    """
    task = find_task(name)
    if not isinstance(task, SequenceTask) or not task.compared:
        raise UsageError(
            "a comparison is of labelled sequences, each of one class",
            found=f"task {task.name}",
            do="Compare models of binding with epilm ablate; of others score each with epilm"
            " finetune and --beside.",
        )
    return task.load


def sets_of(files: SetFiles) -> list[DataSet] | ManifestSets:
    """Give the sets that a user names: a manifest's, not opened yet, or one.

    Raises
    ------
    UsageError
        If there is neither, or both, or an option that a manifest says itself.
    InputError
    """
    if (files.manifest is None) == (files.task is None or files.data is None):
        raise UsageError("give either --manifest, or --task and --data")
    if files.manifest is not None:
        alone = {name: getattr(files, name) for name in _ALONE if getattr(files, name)}
        if files.split != "auto":
            alone["split"] = files.split
        if alone:
            raise UsageError(
                "a manifest says this in a column, set by set",
                where=", ".join(f"--{name}" for name in alone),
                do=f"Add a column {next(iter(alone))} to {files.manifest.name}.",
            )
        return read_sets(files.manifest, data_seed=files.data_seed, genome=files.genome)
    assert files.task is not None
    load = _loader(files.task)
    words = split_pairs(files.option or [])
    words |= {"negatives": files.negatives} if files.negatives else {}
    extra = typed_options(load, words) | ({"negative": files.negative} if files.negative else {})
    rows = load(files.data, genome=files.genome, seed=files.data_seed, **extra)
    rows = split_rows(
        rows,
        how=files.split,
        seed=files.data_seed,
        valid=files.valid or (),
        test=files.test or (),
    )
    return [DataSet(rows.name, rows, files.task, files.factor)]

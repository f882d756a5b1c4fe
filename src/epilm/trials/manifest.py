"""Many labelled sets as one file: which 497 sets a paper meant is a file's business.

A manifest is a table with the header `name<TAB>task<TAB>data`, one set a row; any
further column is an option of the task's loader (genome, negatives, test, ...),
empty cells are left at their default. Paths are relative to the manifest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from epilm.errors import InputError, UsageError, nearest
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


@dataclass(frozen=True)
class SetEntry:
    """One row: a named set, its task, its file and the loader's options as text."""

    name: str
    task: str
    data: str
    options: dict[str, str] = field(default_factory=dict)


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
        Naming the line: header, unknown task, name given twice, missing file.

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
        met[row["name"]] = number
        for column in _PATHS & row.keys():
            full = path.parent / row[column]
            if not full.exists():
                raise InputError(
                    "there is no such file", where=where, found=f"{column} {row[column]}"
                )
            row[column] = str(full)
        options = {k: v for k, v in row.items() if k not in ("name", "task", "data")}
        entries.append(SetEntry(row["name"], row["task"], row["data"], options))
    if not entries:
        raise InputError("the manifest names no sets", where=str(path))
    return entries


def read_sets(manifest: str | Path, *, data_seed: int = 0, genome: Any = None) -> list[DataSet]:
    """Load the sets of a manifest; columns split, valid, test and factor are read here, the rest by
    the loader.

    Raises
    ------
    InputError
    """
    opened: dict[str, Any] = {}
    sets = []
    for entry in read_manifest(manifest, tuple(TASKS)):
        options = dict(entry.options)
        how: dict[str, Any] = {"how": options.pop("split")} if "split" in options else {}
        how |= {k: tuple(options.pop(k).split(",")) for k in ("valid", "test") if k in options}
        factor = options.pop("factor", None)
        path = options.pop("genome", None)
        if path is not None and path not in opened:
            opened[path] = open_reference(path)
        used = opened[path] if path is not None else genome
        load = _loader(entry.task)
        rows = load(entry.data, genome=used, seed=data_seed, **typed_options(load, options))
        rows = split_rows(replace(rows, name=entry.name), seed=data_seed, **how)
        sets.append(DataSet(entry.name, rows, entry.task, factor))
    return sets


def _loader(name: str) -> Callable[..., LabelledSequences]:
    """The loader of a task of sequences: what a comparison is made of.

    Raises
    ------
    UsageError
        If the task's examples lie in a store: `epilm ablate` compares on those.
    """
    task = find_task(name)
    if not isinstance(task, SequenceTask):
        raise UsageError(
            "a comparison is of labelled sequences",
            found=f"task {task.name}",
            do="Compare models of binding with epilm ablate.",
        )
    return task.load


def sets_of(files: SetFiles) -> list[DataSet]:
    """Load the sets that a user names: a manifest's, or one.

    Raises
    ------
    UsageError
        If there is neither, or both, or an option that a manifest says itself.
    InputError
    """
    if (files.manifest is None) == (files.task is None or files.data is None):
        raise UsageError("give either --manifest, or --task and --data")
    if files.manifest is not None:
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

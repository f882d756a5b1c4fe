"""Many labelled sets as one file: which 497 sets a paper meant is a file's business.

A manifest is a table with the header `name<TAB>task<TAB>data`, one set a row; any
further column is an option of the task's loader (genome, negatives, test, ...),
empty cells are left at their default. Paths are relative to the manifest.
"""

from dataclasses import dataclass, field
from pathlib import Path

from epilm.errors import InputError, nearest
from epilm.tasks.sequences import read_lines

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

"""Who is ill, and what else is known of people: a table with a row a person, matched by name.

Columns: `sample`, `phenotype`, and others that are named by the user (covariates, the family or
ancestry that must not stand on both sides of a fold). Who cannot be matched is counted and said.
Axes: N people.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest

NAMES = ("sample", "iid", "#iid", "id", "person")
MISSING = ("", ".", "na", "nan", "-9", "none")
CASE, CONTROL = ("case", "cases", "affected"), ("control", "controls", "unaffected")


@dataclass(frozen=True)
class Covariates:
    """Numbers of people beside their genotypes.

    Attributes
    ----------
    names : tuple of str
        A number's column; COLUMN=VALUE for each but the first value of words.
    values : float64 (N, C)
        NaN where not known.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class People:
    """People with genotypes and a phenotype, in the order of the genotypes.

    Attributes
    ----------
    samples : tuple of str, length N
    rows : int64 (N,)
        Which of the genotypes' people they are.
    labels : int64 (N,)
        1 case, 0 control.
    groups : tuple of str, length N, or None
        What must stand on one side of a fold.
    covariates : Covariates
    notes : list of str
    """

    samples: tuple[str, ...]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: tuple[str, ...] | None
    covariates: Covariates
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def cases(self) -> int:
        """How many are ill."""
        return int(self.labels.sum())


def read_people(
    path: str | Path,
    samples: Sequence[str],
    *,
    covariates: Sequence[str] = (),
    group_by: str | None = None,
) -> People:
    """Read phenotypes and match them with the people of a file of genotypes.

    Parameters
    ----------
    path : path
        Tab-separated with a header: sample (or iid), phenotype, and what is named below.
        Phenotypes: case and control, 1 and 0, or PLINK's 2 and 1 (0 and -9 missing).
    samples : sequence of str
        People of the genotypes.
    covariates : sequence of str
        Columns of numbers, or of words (a 0/1 column each but the first).
    group_by : str, optional
        Column (family, ancestry) whose people stay together.

    Raises
    ------
    InputError
        If nobody matches, a person stands twice, or a phenotype is none.
    UsageError
        If there is no such column.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "p.tsv"
    >>> _ = path.write_text(
    ...     "sample\\tphenotype\\tage\\na\\tcase\\t3\\nb\\tcontrol\\tNA\\nx\\tcase\\t1\\n"
    ... )
    >>> people = read_people(path, ["b", "a", "c"], covariates=["age"])
    >>> people.samples, people.labels.tolist(), people.covariates.values.tolist()
    (('b', 'a'), [0, 1], [[nan], [3.0]])
    >>> print("\\n".join(people.notes))
    phenotypes: case and control
    1 of 3 people with genotypes have no phenotype (c)
    1 with a phenotype have no genotypes (x)
    age: 1 unknown, the training folds' mean instead
    """
    path = Path(path)
    if len(set(samples)) < len(samples):
        twice = Counter(samples).most_common(1)[0][0]
        raise InputError("a person stands twice in the genotypes", found=twice)
    table = _read(path, (*covariates, *([group_by] if group_by else [])))
    labels, notes = _phenotypes(table["phenotype"], path)
    by_name = {name: row for row, name in enumerate(table["sample"])}
    unlike = [name for name in samples if name not in by_name]
    without = [name for name in table["sample"] if name not in set(samples)]
    if len(unlike) == len(samples):
        raise InputError(
            "nobody of the genotypes stands in the phenotypes",
            where=str(path),
            found=_some(table["sample"]),
            expected=_some(samples),
            do="Give the names of the genotypes in the column sample.",
        )
    if unlike:
        notes.append(
            f"{len(unlike):,} of {len(samples):,} people with genotypes have no phenotype"
            f" ({_some(unlike)})"
        )
    if without:
        notes.append(f"{len(without):,} with a phenotype have no genotypes ({_some(without)})")
    kept = [
        (at, by_name[name], name)
        for at, name in enumerate(samples)
        if name in by_name and labels[by_name[name]] is not None
    ]
    groups = None
    if group_by is not None:
        groups = tuple(table[group_by][row] for _, row, _ in kept)
        lonely = [i for i, group in enumerate(groups) if group.lower() in MISSING]
        if lonely:
            notes.append(f"{len(lonely):,} people without {group_by}: each a group of its own")
            groups = tuple(
                f"\0{i}" if group.lower() in MISSING else group for i, group in enumerate(groups)
            )
    rows = [row for _, row, _ in kept]
    parts = [_numbers(name, [table[name][row] for row in rows], notes) for name in covariates]
    names = tuple(name for part in parts for name in part[0])
    values = np.concatenate([part[1] for part in parts], 1) if parts else np.zeros((len(kept), 0))
    return People(
        tuple(name for _, _, name in kept),
        np.array([at for at, _, _ in kept], np.int64),
        np.array([labels[row] for row in rows], np.int64),
        groups,
        Covariates(names, values),
        notes,
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _read(path: Path, wanted: Iterable[str]) -> dict[str, list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the phenotypes cannot be read", where=str(path), found=error) from None
    lines = list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    header = [name.strip() for name in lines[0]] if lines else []
    lower = [name.lower() for name in header]
    name_column = next((name for name in NAMES if name in lower), None)
    if name_column is None or "phenotype" not in lower:
        raise InputError(
            "the table has no column of people or of phenotypes",
            where=f"{path}, line 1",
            found=", ".join(header[:8]) or "nothing",
            expected="a header line, tab-separated, with sample and phenotype",
        )
    at = {"sample": lower.index(name_column), "phenotype": lower.index("phenotype")}
    for name in wanted:
        if name not in header:
            raise UsageError(
                "the table of phenotypes has no such column",
                where=str(path),
                found=name,
                do=nearest(name, header),
            )
        at[name] = header.index(name)
    columns: dict[str, list[str]] = {name: [] for name in at}
    for number, row in enumerate(lines[1:], 2):
        if not row:
            continue
        if len(row) != len(header):
            raise InputError(
                "the line has another number of columns",
                where=f"{path}, line {number}",
                found=len(row),
                expected=len(header),
            )
        for name, column in at.items():
            columns[name].append(row[column].strip())
    twice = [name for name, n in Counter(columns["sample"]).items() if n > 1]
    if twice:
        raise InputError(
            "a person stands twice in the phenotypes", where=str(path), found=_some(twice)
        )
    return columns


def _phenotypes(texts: Sequence[str], path: Path) -> tuple[list[int | None], list[str]]:
    """1, 0 or None of each, whichever way they are written."""
    words = [text.lower() for text in texts]
    known = {word for word in words if word not in MISSING}
    if known <= {*CASE, *CONTROL}:
        meaning = dict.fromkeys(CASE, 1) | dict.fromkeys(CONTROL, 0)
        how = "case and control"
    elif known <= {"0", "1"}:
        meaning, how = {"1": 1, "0": 0}, "1 case, 0 control"
    elif known <= {"0", "1", "2"}:
        meaning, how = {"2": 1, "1": 0}, "PLINK's 2 case, 1 control, 0 missing"
    else:
        strange = sorted(known - {*CASE, *CONTROL, "0", "1", "2"}) or sorted(known)
        row = next(i for i, word in enumerate(words) if word in strange)
        raise InputError(
            "not a phenotype of cases and controls",
            where=f"{path}, line {row + 2}",
            found=texts[row],
            expected="case and control, or 1 and 0, or PLINK's 2 and 1; one way in a table",
        )
    labels = [meaning.get(word) for word in words]
    notes = [f"phenotypes: {how}"]
    if lacking := sum(label is None for label in labels):
        notes.append(f"{lacking:,} people whose phenotype is missing left out")
    return labels, notes


def _numbers(
    name: str, texts: Sequence[str], notes: list[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """A covariate as columns."""
    unknown = np.array([text.lower() in MISSING for text in texts], bool)
    if unknown.any():
        notes.append(f"{name}: {int(unknown.sum()):,} unknown, the training folds' mean instead")
    try:
        numbers = [np.nan if lost else float(text) for text, lost in zip(texts, unknown)]
        return [name], np.array(numbers, np.float64).reshape(-1, 1)
    except ValueError:
        pass
    levels = sorted({text for text, lost in zip(texts, unknown) if not lost})
    if len(levels) > 20:
        raise InputError(
            "a covariate has words, and too many different ones",
            found=f"{name}: {len(levels)}",
            expected="numbers, or at most 20 words",
        )
    table = np.array([[float(text == level) for level in levels[1:]] for text in texts])
    table = table.reshape(len(texts), len(levels) - 1)
    table[unknown] = np.nan
    return [f"{name}={level}" for level in levels[1:]], table

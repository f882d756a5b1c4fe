"""What a command was told, as values that a part of its work remembers: options, files, and the
fingerprints of these.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from epilm.errors import UsageError
from epilm.shards import digest, digest_of_file
from epilm.store.reader import Store


def digest_of_input(value: str | Path) -> str:
    """Sum up a file or a folder; a store says its own fingerprint.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, text in (("a", "chr1"), ("b", "chr1"), ("c", "chr2")):
    ...     _ = (folder / name).write_text(text)
    >>> sums = [digest_of_input(folder / name) for name in "abc"]
    >>> sums[0] == sums[1], sums[0] == sums[2]
    (True, False)
    """
    path = Path(value)
    if (path / "store.json").is_file():
        return Store.open(path).fingerprint
    return digest_of_file(path) if path.exists() else digest([str(value).encode()])


def told(
    named: Mapping[str, Any], paths: Collection[str], summed: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Sort what a command was told into options, files and the files' fingerprints.

    Parameters
    ----------
    named : mapping
        Option -> value; None is left out.
    paths : collection of str
        Options that name files, or lists of them.
    summed : collection of str
        Those of them whose content is summed up elsewhere: they are not read here.

    Returns
    -------
    dict
        `call` (JSON values), `files` (whole paths), `data` (fingerprints). A file of words, such as
        jaspar:2018, stays as it is.

    Raises
    ------
    UsageError
        If a value is an open thing of Python, which a part cannot remember.

    Examples
    --------
    >>> told({"window": 101, "genome": None, "chroms": ("chr1",)}, ["genome"])
    {'call': {'window': 101, 'chroms': ['chr1']}, 'files': {}, 'data': {}}
    """
    call: dict[str, Any] = {}
    files: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for name, value in named.items():
        if value is None:
            continue
        for each in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(each, str | Path | int | float | bool):
                raise UsageError(
                    "a shard remembers names of files, and this is an open thing",
                    where=name,
                    found=type(each).__name__,
                    do="Give the path.",
                )
        if name not in paths:
            call[name] = list(value) if isinstance(value, tuple) else value
            continue
        several = isinstance(value, list | tuple)
        files[name] = [_whole(each) for each in value] if several else _whole(value)
        if name not in summed:
            all_of = value if several else [value]
            data[name] = digest(digest_of_input(each).encode() for each in all_of)
    return {"call": call, "files": files, "data": data}


def _whole(value: str | Path) -> str:
    """The whole path; through links, which engines of workflows make and take away, where the name
    (and with it the format) stays the same.
    """
    path = Path(value)
    if not path.exists():
        return str(value)
    real = path.resolve()
    return str(real if real.name == path.name or path.is_dir() else path.absolute())

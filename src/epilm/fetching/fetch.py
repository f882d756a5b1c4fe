"""`epilm.fetch`: the public inputs of a paper, as far as they can be had without a login.

What there is stands in `inputs/NAME.json`: addresses and, where they are published, sizes and
hashes. An address that was never tried is said to be so; what wants a login, or whose address is
not known, is named and left to you.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from epilm.atomic import locked, size_of, write_json
from epilm.errors import EpilmError, InputError, UsageError, nearest
from epilm.fetching.download import FetchError, Wanted, digest_of, download

PAPERS = ("genebert", "ebert")
FETCHED = "fetched.json"  # of a folder: what is in it, from where, with which hash
_KEYS = {
    "name": str,
    "what": str,
    "file": str | None,
    "address": str | None,
    "size": int | None,
    "sha256": str | None,
    "licence": str | None,
    "login": str | None,
    "tried": str | None,
    "note": str | None,
}


@dataclass(frozen=True)
class PublicInput:
    """One input of a paper.

    Attributes
    ----------
    name, what : str
    file : str, optional
        Its name here.
    address : str, optional
        None where it is not known.
    size, sha256 : int, str, optional
        Where published.
    licence, login : str, optional
        As far as is known; and who must be asked.
    tried : str, optional
        When the address was last seen to work; None: never tried.
    note : str, optional
    """

    name: str
    what: str
    file: str | None = None
    address: str | None = None
    size: int | None = None
    sha256: str | None = None
    licence: str | None = None
    login: str | None = None
    tried: str | None = None
    note: str | None = None

    @property
    def by_hand(self) -> str:
        """Why it is not fetched; "" where it is."""
        if self.login:
            return f"wants a login: {self.login}"
        if not self.address or not self.file:
            return "its address is not known" if not self.note else self.note
        return ""

    def text(self) -> str:
        """Lines to print."""
        known = [
            self.address or "no address",
            "size not published" if self.size is None else size_of(self.size),
            "hash not published" if self.sha256 is None else f"SHA-256 {self.sha256[:12]}...",
            f"licence: {self.licence or 'not known to us'}",
        ]
        if self.address:
            known.append(f"worked on {self.tried}" if self.tried else "address never tried by us")
        lines = [f"{self.name}: {self.what}", f"  {'; '.join(known)}"]
        lines += [f"  {self.note}"] if self.note else []
        lines += [f"  wants a login: {self.login}"] if self.login else []
        return "\n".join(lines)


def read_inputs(name: str | Path) -> list[PublicInput]:
    """Read what a paper's inputs are: a name of the package, or a JSON file of that form.

    Raises
    ------
    UsageError, InputError
        For an unknown name, or naming file, entry and key.

    Examples
    --------
    >>> [entry.name for entry in read_inputs("ebert") if entry.login]
    ['dream_labels', 'dream_dnase']
    """
    if str(name) in PAPERS:
        where = f"{name}.json"
        text = (files("epilm.fetching") / "inputs" / where).read_text(encoding="utf-8")
    elif Path(name).is_file():
        where, text = str(name), Path(name).read_text(encoding="utf-8")
    else:
        raise UsageError("unknown inputs", found=str(name), do=nearest(str(name), PAPERS))
    try:
        table = json.loads(text)["inputs"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "not a file of inputs", where=where, found=str(error), expected='{"inputs": [...]}'
        ) from None
    entries: list[PublicInput] = []
    for number, row in enumerate(table):
        at = f"{where}, input {number + 1}"
        for key, value in row.items():
            if key not in _KEYS:
                raise InputError("unknown key", where=at, found=key, do=nearest(key, _KEYS))
            if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
                raise InputError("wrong type", where=at, found=f"{key}: {value!r}")
        for key in ("name", "what"):
            if not row.get(key):
                raise InputError(f"the key {key} is missing", where=at)
        entry = PublicInput(**row)
        if entry.file is not None and Path(entry.file).name != entry.file:
            raise InputError("not the name of a file", where=at, found=entry.file)
        if entry.name in {other.name for other in entries}:
            raise InputError("the name is given twice", where=at, found=entry.name)
        entries.append(entry)
    return entries


def fetch(
    name: str | Path,
    out: str | Path,
    *,
    only: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> dict[str, Path]:
    """Get the public inputs of a paper into a folder.

    Parameters
    ----------
    name : str or path
        "genebert", "ebert", or a JSON file of the same form.
    out : path
        Folder. What is whole in it is not fetched again; what broke off is gone on with.
    only : sequence of str
        Inputs by name; all that can be had where none is named.
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    dict of str to Path
        Input -> its file.

    Raises
    ------
    UsageError, InputError
        For an unknown name, or an input that has to be got by hand.
    FetchError
        If some could not be had; the others are there.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    every = read_inputs(name)
    known = [entry.name for entry in every]
    for wanted in only:
        if wanted not in known:
            raise UsageError(
                "unknown input", where="--only", found=wanted, do=nearest(wanted, known)
            )
    chosen = [entry for entry in every if not only or entry.name in only]
    for entry in chosen:
        if only and entry.by_hand:
            raise InputError(
                "the input has to be got by hand", where=entry.name, found=entry.by_hand
            )
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    got: dict[str, Path] = {}
    failed: list[EpilmError] = []
    with locked(folder):
        for entry in chosen:
            if entry.by_hand:
                say(f"{entry.name}: not fetched: {entry.by_hand}")
                continue
            try:
                got[entry.name] = _one(entry, folder, say)
            except EpilmError as error:
                say(f"{entry.name}: FAILED: {error}")
                failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise FetchError(
            f"{len(failed)} of {len(failed) + len(got)} files could not be had",
            where=str(folder),
            found=str(failed[0]),
            do="The same command tries them again and leaves the others alone.",
        )
    return got


def _one(entry: PublicInput, folder: Path, say: Callable[[str], None]) -> Path:
    assert entry.file is not None
    assert entry.address is not None
    target, listing = folder / entry.file, folder / FETCHED
    done: dict[str, Any] = json.loads(listing.read_text()) if listing.is_file() else {}
    before = done.get(entry.file, {})
    if target.is_file():
        expected = entry.sha256 or before.get("sha256")
        if expected is None:
            raise InputError(
                "the file is there, and from where is not known",
                where=str(target),
                do="Move it away, or leave the input out with --only.",
            )
        if digest_of(target) == expected:
            say(f"{entry.name}: there already")
            return target
        raise InputError(
            "the file is there and is not what was fetched, or should be",
            where=str(target),
            expected=f"SHA-256 {expected}",
            do="Move it away and fetch it again.",
        )
    if not entry.tried:
        say(f"{entry.name}: {entry.address} was never tried by us")
    digest = download(Wanted(entry.file, entry.address, entry.size, entry.sha256), folder, say)
    size = target.stat().st_size
    checked = "as published" if entry.sha256 else "kept to tell a later change; none is published"
    say(f"{entry.name}: {target} ({size_of(size)}), SHA-256 {digest} ({checked})")
    about = {"input": entry.name, "address": entry.address, "size": size, "sha256": digest}
    write_json(listing, done | {entry.file: about})
    return target

"""Work in shards: parts on disk, each whole or absent, and the one order in which they are joined.

A piece of work is a row of units 0 .. U-1 (batches of examples, blocks of variants, regions), each
a few arrays. Shard i of N does the units n with n % N == i - 1 and writes them as the folder
`part-i-of-N`. Joined, all units come in order, and the code that writes what one process says
writes what they say: so the bytes are the same, and no format needs a way of its own.
"""

import hashlib
import heapq
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from epilm.atomic import atomic_folder, read_checked, write_json
from epilm.errors import DamagedError, InputError, UsageError
from epilm.tensor_files import checksum, save_tensors

FORMAT = 1
COMPLETE = ".complete"  # written last: what the part holds, with sizes and checksums
ABOUT = "part.json"
CHUNK = 1 << 26  # bytes of values that are in memory before they are written
BLOCK = 1 << 22  # bytes of a file that are summed up at a time
_NAME = re.compile(r"part-(\d+)-of-(\d+)")
Arrays = dict[str, NDArray[Any]]
# What parts must agree in, with the words of the message.
SAME = {
    "verb": "the parts are of different commands",
    "model": "the parts are of different models",
    "data": "the parts are of different data",
    "call": "the parts were asked different things",
}


class Shard(NamedTuple):
    """One of N shards.

    Attributes
    ----------
    i, n : int
        i from 1 to n.
    """

    i: int
    n: int

    @property
    def name(self) -> str:
        """Name of its part."""
        return f"part-{self.i}-of-{self.n}"

    def has(self, unit: int) -> bool:
        """Whether it does a unit.

        Examples
        --------
        >>> [unit for unit in range(7) if Shard(2, 3).has(unit)]
        [1, 4]
        """
        return unit % self.n == self.i - 1


def parse_shard(text: str) -> Shard:
    """Read "i/N".

    Raises
    ------
    UsageError

    Examples
    --------
    >>> parse_shard("2/5")
    Shard(i=2, n=5)
    """
    try:
        i, n = map(int, text.split("/"))
        if not 1 <= i <= n:
            raise ValueError
    except ValueError:
        raise UsageError(
            "not a shard", where="--shard", found=text, expected="i/N with i from 1 to N"
        ) from None
    return Shard(i, n)


def digest(parts: Iterable[bytes | memoryview]) -> str:
    """Sum up what is said in several pieces.

    Examples
    --------
    >>> digest([b"a", b"b"]) == digest([b"a", b"b"]), digest([b"ab"]) == digest([b"a", b"b"])
    (True, False)
    """
    sum_ = hashlib.sha256()
    for part in parts:
        sum_.update(b"%d:" % len(part))
        sum_.update(part)
    return sum_.hexdigest()[:16]


def digest_of_weights(network: torch.nn.Module) -> str:
    """Sum up a network's weights and their names."""
    sums = (checksum(name, tensor.cpu()) for name, tensor in sorted(network.state_dict().items()))
    return digest(sum_.encode() for sum_ in sums)


def digest_of_file(path: Path) -> str:
    """Sum up the bytes of a file, or of all files of a folder with their names."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        return digest(
            said.encode() for each in files for said in (str(each.relative_to(path)), _sha(each))
        )
    return _sha(path)


def _sha(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", where=str(path)) from None


def machine_of(device: Any) -> dict[str, Any]:
    """Give what the last bits of a number may hang on, beside the model and the data."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": str(device),
    }


class PartWritten(NamedTuple):
    """What a shard wrote.

    Attributes
    ----------
    out : Path
        The part.
    units : int
        That it holds.
    of : int
        All units of the work.
    before : bool
        Whether it lay there already.
    """

    out: Path
    units: int
    of: int
    before: bool = False

    def summary(self) -> dict[str, Any]:
        """JSON values."""
        return self._asdict() | {"out": str(self.out)}

    def text(self) -> str:
        """A line to print."""
        if self.before:
            return f"{self.out} is there already: nothing to do"
        return f"{self.units:,} of {self.of:,} units: {self.out}"


class PartWriter:
    """The part that is being written; see `write_part`.

    Attributes
    ----------
    units : int
        All units of the work, said before the end.
    notes : list of str
        Kept in the part; the joined result repeats them.
    """

    def __init__(self, folder: Path) -> None:
        self.units, self.notes = 0, list[str]()
        self.done: list[int] = []
        self._folder, self._files = folder, list[str]()
        self._held: dict[str, torch.Tensor] = {}
        self._bytes = 0

    def put(self, unit: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add a unit; units come in rising order."""
        assert not self.done or unit > self.done[-1]
        self.done.append(unit)
        for name, array in arrays.items():
            self._held[f"{unit}/{name}"] = torch.from_numpy(np.array(array))
            self._bytes += array.nbytes
        if self._bytes > CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory as a file."""
        if self._held:
            self._files.append(f"values-{len(self._files):06d}.safetensors")
            save_tensors(self._folder / self._files[-1], self._held)
        self._held, self._bytes = {}, 0

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what the part is of, and last that it is whole."""
        self.flush()
        said = {
            **about,
            "units": self.units,
            "done": len(self.done),
            "notes": self.notes,
            "chunks": self._files,
        }
        write_json(self._folder / ABOUT, said, checked=True)
        sums = {name: _size_and_sum(self._folder / name) for name in (ABOUT, *self._files)}
        write_json(self._folder / COMPLETE, {"files": sums}, checked=True)


def _size_and_sum(path: Path) -> list[Any]:
    size = sum_ = 0
    with open(path, "rb") as file:
        while piece := file.read(BLOCK):
            size, sum_ = size + len(piece), zlib.crc32(piece, sum_)
    return [size, f"{sum_:08x}"]


def written_before(out: str | Path, shard: Shard, asked: Mapping[str, Any]) -> PartWritten | None:
    """Say whether a shard's part lies there already, of the same request.

    Parameters
    ----------
    out : path
        Folder of the parts.
    shard : Shard
    asked : mapping
        See `write_part`.

    Raises
    ------
    InputError
        If it is not whole, or of another request.
    UsageError
        If `out` is a file.
    """
    if Path(out).is_file():
        raise UsageError(
            "with --shard, --out is the folder of the parts",
            where="--out",
            found=f"{out}, a file",
            do="Name a folder; epilm merge FOLDER --out FILE joins them.",
        )
    path = Path(out) / shard.name
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()  # engines of workflows make the folder of an output beforehand
    if not path.exists():
        return None
    about = read_part(path)
    _check_same([(path, about), ("this command", _plain(asked) | {"shard": list(shard)})])
    return PartWritten(path, about["done"], about["units"], True)


@contextmanager
def write_part(out: str | Path, shard: Shard, asked: Mapping[str, Any]) -> Iterator[PartWriter]:
    """Write a shard's part, whole or not at all.

    Parameters
    ----------
    out : path
        Folder of the parts; made where it is missing.
    shard : Shard
    asked : mapping
        JSON values: `verb`, `call` (what the command was told), `files` (where what it reads lies),
        `data` (option -> fingerprint), `model` (fingerprint), `machine` (`machine_of`); `shown`,
        words that the result repeats, such as a path as it was typed. All but `files`, `machine`
        and `shown` must be the same in all parts.

    Yields
    ------
    PartWriter

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> asked = {"verb": "x", "call": {}, "files": {}, "model": "m", "data": {}, "machine": {}}
    >>> for i in (1, 2):
    ...     with write_part(folder, Shard(i, 2), asked) as part:
    ...         part.units = 3
    ...         for unit in filter(Shard(i, 2).has, range(3)):
    ...             part.put(unit, {"values": np.array([unit * 10])})
    >>> with JoinedParts([folder]) as joined:
    ...     [unit["values"].tolist() for unit in joined.units()]
    [[0], [10], [20]]
    """
    with atomic_folder(Path(out) / shard.name) as folder:
        part = PartWriter(folder)
        yield part
        part.close({"format": FORMAT, "shard": list(shard), **asked})


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(value)))
    return plain


def read_part(path: Path) -> dict[str, Any]:
    """Read what a part is of, and look at every file of it.

    Raises
    ------
    InputError
        If it is not whole.
    """
    again = "Remove the folder and run that shard again, or copy it again from where it is whole."
    try:
        sums = read_checked(path / COMPLETE)["files"]
    except FileNotFoundError:
        raise InputError(
            "the part is not whole",
            where=str(path),
            found=f"no {COMPLETE}, which is written last",
            do=again,
        ) from None
    except (OSError, ValueError, KeyError, DamagedError) as error:
        raise InputError("the part is damaged", where=str(path), found=error, do=again) from None
    for name, wanted in sums.items():
        file = path / Path(name).name
        there = _size_and_sum(file) if file.is_file() else None
        if there != wanted:
            raise InputError(
                "the part is not whole",
                where=str(file),
                found="no such file" if there is None else f"{there[0]} bytes, sum {there[1]}",
                expected=f"{wanted[0]} bytes, sum {wanted[1]}",
                do=again,
            )
    about = read_checked(path / ABOUT)
    if about.get("format") != FORMAT:
        raise InputError(
            "the part is of another version",
            where=str(path),
            found=f"format {about.get('format')}",
            expected=FORMAT,
            do="Run the shards again.",
        )
    name = Shard(*about["shard"]).name
    if _NAME.fullmatch(path.name) and path.name != name:
        raise InputError(
            "the part was renamed", where=str(path), found=name, do=f"Call it {name} again."
        )
    return about


def find_parts(paths: Sequence[str | Path]) -> list[Path]:
    """Find parts: folders of them, or parts themselves.

    Raises
    ------
    InputError
        If there is none.
    """
    parts: list[Path] = []
    for each in map(Path, paths):
        if not each.is_dir():
            raise InputError("there is no such folder", where=str(each), expected="parts")
        inside = [p for p in each.iterdir() if _NAME.fullmatch(p.name) and p.is_dir()]
        own = bool(_NAME.fullmatch(each.name)) or (each / ABOUT).is_file()
        here = [each] if own else sorted(inside)
        if not here:
            raise InputError(
                "there are no parts in it",
                where=str(each),
                expected="folders part-1-of-N to part-N-of-N, which --shard i/N writes",
            )
        parts += here
    return list(dict.fromkeys(part.absolute() for part in parts))


def _check_same(parts: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
    """Refuse parts of another command, model, data or request than the first's."""
    first, about = parts[0]
    for path, other in parts[1:]:
        for key, what in SAME.items():
            mine, theirs = about.get(key), other.get(key)
            if mine == theirs:
                continue
            if isinstance(mine, dict) and isinstance(theirs, dict):
                keys = [k for k in sorted({*mine, *theirs}) if mine.get(k) != theirs.get(k)]
                mine = ", ".join(f"{k} {mine.get(k)}" for k in keys)
                theirs = ", ".join(f"{k} {theirs.get(k)}" for k in keys)
            raise InputError(
                what,
                where=str(path),
                found=theirs,
                expected=f"{mine}, as {first} has it",
                do="Join the parts of one command; run the other shards again.",
            )


class JoinedParts:
    """Parts that are one whole, checked: of one request, none missing, none twice.

    Parameters
    ----------
    paths : sequence of path
        See `find_parts`.

    Attributes
    ----------
    about : dict
        What the first part says (verb, call, files, model, data, machine, units).
    notes : list of str
        Of all parts, each once; also that they were computed on machines of several kinds.

    Raises
    ------
    InputError
        If a part is not whole, missing, there twice, or of another model, data or request.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.parts = [(path, read_part(path)) for path in find_parts(paths)]
        self._check_shards()
        _check_same(self.parts)
        self._check_units()
        self.about = self.parts[0][1]
        notes = [note for _, about in self.parts for note in about["notes"]]
        machines = {json.dumps(about["machine"], sort_keys=True) for _, about in self.parts}
        if len(machines) > 1:
            told = "; ".join(
                ", ".join(f"{key} {value}" for key, value in json.loads(each).items())
                for each in sorted(machines)
            )
            notes.append(
                f"the parts were computed on machines of several kinds ({told}): last digits may"
                " differ from those of one process"
            )
        self.notes = list(dict.fromkeys(notes))
        self._stack, self._stream = ExitStack(), self._in_order()

    def _check_shards(self) -> None:
        shards = [(Shard(*about["shard"]), path) for path, about in self.parts]
        n = shards[0][0].n
        for shard, path in shards:
            if shard.n != n:
                raise InputError(
                    "the parts are of two divisions",
                    where=str(path),
                    found=shard.name,
                    expected=f"one of {n} parts, as {shards[0][1]}",
                    do="Join the parts of one division.",
                )
        first: dict[int, Path] = {}
        for shard, path in shards:
            if shard.i in first:
                raise InputError(
                    "a shard is there twice",
                    found=f"{first[shard.i]} and {path}",
                    do="Leave one of them out.",
                )
            first[shard.i] = path
        if missing := [Shard(i, n).name for i in range(1, n + 1) if i not in first]:
            more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
            raise InputError(
                f"{len(missing)} of {n} shards are missing",
                where=str(shards[0][1].parent),
                found=f"no {', '.join(missing[:8])}{more}",
                do=f"Run the same command with --shard {missing[0].split('-')[1]}/{n} and so on.",
            )

    def _check_units(self) -> None:
        units = {about["units"] for _, about in self.parts}
        if len(units) > 1 or sum(about["done"] for _, about in self.parts) != units.pop():
            raise InputError(
                "the parts leave a gap or overlap",
                found=", ".join(f"{a['done']} of {a['units']} units" for _, a in self.parts),
                do="Run the shards again.",
            )

    def __enter__(self) -> "JoinedParts":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _of_part(self, path: Path, about: Mapping[str, Any]) -> Iterator[tuple[int, int, Arrays]]:
        """Units of a part, in order, one in memory at a time."""
        for name in about["chunks"]:
            try:
                with safe_open(path / Path(name).name, "pt") as file:
                    names: dict[int, list[str]] = {}
                    for key in file.keys():  # noqa: SIM118
                        names.setdefault(int(key.split("/")[0]), []).append(key)
                    for unit in sorted(names):
                        arrays = {
                            key.split("/", 1)[1]: file.get_tensor(key).numpy()
                            for key in names[unit]
                        }
                        yield unit, int(about["shard"][0]), arrays
            except (OSError, SafetensorError, ValueError) as error:
                raise InputError(
                    "the values cannot be read", where=str(path / name), found=error
                ) from None

    def _in_order(self) -> Iterator[Arrays]:
        streams = [self._of_part(path, about) for path, about in self.parts]
        for stream in streams:
            self._stack.callback(stream.close)  # type: ignore[attr-defined]
        merged = heapq.merge(*streams, key=lambda each: each[:2])
        for wanted, (unit, _, arrays) in enumerate(merged):
            if unit != wanted:
                raise InputError(
                    "the parts leave a gap or overlap",
                    found=f"unit {unit}",
                    expected=f"unit {wanted}",
                    do="Run the shards again.",
                )
            yield arrays

    def units(self) -> Iterator[Arrays]:
        """Give what is left of all units, in order; the stream is one, whoever asks."""
        return self._stream

    def next_unit(self) -> Arrays:
        """Give the next unit.

        Raises
        ------
        InputError
            If there is none: the data are others than those of the parts.
        """
        unit = next(self._stream, None)
        if unit is None:
            raise self.other_data("more than the parts answer")
        return unit

    def finish(self) -> None:
        """Refuse parts that hold more than was asked for."""
        if next(self._stream, None) is not None:
            raise self.other_data("less than the parts answer")

    def other_data(self, what: str) -> InputError:
        """The refusal of data that the parts do not fit."""
        return InputError(
            "the data are not those of the parts",
            where=str(self.parts[0][0].parent),
            found=what,
            do="Give the files that the shards read, or run the shards again.",
        )

    def check_request(self, asked: Mapping[str, Any]) -> None:
        """Refuse a command that asks something else than the parts were asked.

        Parameters
        ----------
        asked : mapping
            As `write_part` took it, of this command.
        """
        _check_same([self.parts[0], ("this command", _plain(asked))])

    def check_now(self, asked: Mapping[str, Any]) -> None:
        """Refuse a model or data that changed since the parts were made.

        Parameters
        ----------
        asked : mapping
            As `write_part` took it, found now.
        """
        changed = _plain(asked)
        for key, what in (("model", "the model"), ("data", "the data")):
            if self.about[key] != changed[key]:
                raise InputError(
                    f"{what} changed since the parts were made",
                    where=str(self.parts[0][0].parent),
                    found=changed[key],
                    expected=self.about[key],
                    do="Put back what the shards read, or run them again.",
                )

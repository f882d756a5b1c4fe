"""What is scored of an unfinished run, beside its output: the same command goes on from there.

A part is a block of variants' values, whole or absent, with a checksum. The folder remembers what
was asked (variants, bases, weights, windows): another request is refused and not mixed in.
"""

import re
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epilm.atomic import atomic_file, cannot_write, read_checked, write_json
from epilm.errors import DamagedError, UsageError
from epilm.shards import digest
from epilm.tasks.reference import Reference
from epilm.tensor_files import load_tensors, save_tensors

Values = NDArray[np.float64]
ASKED = "asked.json"


class Parts:
    """Blocks of values on disk.

    Parameters
    ----------
    out : path
        The output; its parts lie in `.NAME.parts` beside it. Held locked by the caller.
    asked : mapping of str to JSON values
        All that the values depend on.

    Attributes
    ----------
    before : int
        Parts that were there already.
    notes : list of str
        Of parts that were damaged and are scored again.

    Raises
    ------
    UsageError
        If parts of another request lie there.

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "scored.tsv"
    >>> Parts(out, {"window": 64}).put(0, np.ones((2, 1)))
    >>> again = Parts(out, {"window": 64})
    >>> again.before, again.get(0).tolist(), again.get(1)
    (1, [[1.0], [1.0]], None)
    >>> again.remove()
    """

    def __init__(self, out: Path, asked: Mapping[str, Any]) -> None:
        self.folder = out.parent / f".{out.name}.parts"
        self.notes: list[str] = []
        if (self.folder / ASKED).is_file():
            self._refuse_other(asked)
        else:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(error, out) from error
            write_json(self.folder / ASKED, dict(asked), checked=True)
        self.before = sum(
            re.fullmatch(r"\d+\.safetensors", path.name) is not None
            for path in self.folder.iterdir()
        )

    def _refuse_other(self, asked: Mapping[str, Any]) -> None:
        try:
            before = read_checked(self.folder / ASKED)
        except (ValueError, OSError, DamagedError):
            before = {}
        other = [key for key in asked if before.get(key) != asked[key]]
        if other:
            raise UsageError(
                "parts of an unfinished run of another request lie beside the output",
                where=str(self.folder),
                found=", ".join(f"{key} {before.get(key)}" for key in other),
                expected=", ".join(f"{key} {asked[key]}" for key in other),
                do="Finish it with its own options, remove the folder, or choose another --out.",
            )

    def _path(self, block: int) -> Path:
        return self.folder / f"{block:06d}.safetensors"

    def get(self, block: int) -> Values | None:
        """Give a block's values (N, C); None where they are not there, or damaged."""
        if not self._path(block).is_file():
            return None
        try:
            values: Values = load_tensors(self._path(block))["values"].numpy()
        except DamagedError:
            self.notes.append(f"{self._path(block).name} was damaged and is scored again")
            return None
        return values

    def put(self, block: int, values: Values) -> None:
        """Write a block's values (N, C)."""
        with atomic_file(self._path(block)) as new:
            save_tensors(new, {"values": torch.from_numpy(np.ascontiguousarray(values))})

    def remove(self) -> None:
        """Remove all of it: the output is there."""
        shutil.rmtree(self.folder, ignore_errors=True)


def digest_of_bases(genome: Reference, chroms: Iterable[str]) -> str:
    """Sum up the bases of chromosomes."""
    return digest(b"%d" % zlib.crc32(genome.codes(chrom).tobytes()) for chrom in chroms)

"""A command as a function of the shard's number: what every executor calls, here or elsewhere.

It goes to other processes by the name of the command's function; paths as they were typed are read
from where they were typed.
"""

from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epilm import __version__
from epilm.errors import EpilmError


@dataclass(frozen=True)
class ShardCall:
    """All parts of one command.

    Parameters
    ----------
    run : function (*words, out, shard=, **named)
        Public, of a module: other processes import it.
    words, named
        What it is told.
    parts : Path
        Folder of the parts, whole path.
    n : int
        How many.
    home : Path
        Where the command was typed, whole path.
    threads : int, optional
        Of a part; as the process has them where not given.
    version : str
        Of epilm: parts of two versions need not be the same bytes.

    Examples
    --------
    >>> from pathlib import Path
    >>> call = ShardCall(print, ("predict",), {}, Path("/tmp"), 3, Path("/nowhere"))
    >>> call(2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    epilm.errors.EpilmError: /nowhere: the folder where the command was typed is not to be seen ...
    """

    run: Callable[..., Any]
    words: tuple[Any, ...]
    named: Mapping[str, Any]
    parts: Path
    n: int
    home: Path
    threads: int | None = None
    version: str = __version__

    def __call__(self, i: int) -> Any:
        """Compute part i of n.

        Raises
        ------
        EpilmError
            If this is another version of epilm, or the disk is another one; and what the command
            raises.
        """
        import torch

        if self.version != __version__:
            raise EpilmError(
                "a worker has another epilm",
                found=__version__,
                expected=self.version,
                do="Install one version on all machines.",
            )
        if not self.home.is_dir():
            raise EpilmError(
                "the folder where the command was typed is not to be seen from a worker",
                where=str(self.home),
                do="Workers of other machines need the same disk.",
            )
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        with chdir(self.home):
            return self.run(*self.words, self.parts, shard=f"{i}/{self.n}", **self.named)

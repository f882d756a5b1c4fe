"""Tensors on disk: safetensors with a checksum of every tensor, looked at whenever they are read.

One flipped bit turns a weight into another number that no later check can tell from a trained
one. The checksums (CRC-32 of name, kind, shape and bytes) lie in the file's own metadata and so
go where the file is copied. Files without them, made before or by others, are read as they are.
Needs torch and safetensors.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from epilm.errors import DamagedError

SUMS = "crc32"  # the key of the checksums in the file's metadata


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Count the bytes that tensors take on disk (the names besides, some kB, are not counted).

    Examples
    --------
    >>> bytes_of([torch.zeros(3, 2), torch.zeros(4, dtype=torch.uint8)])
    28
    """
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def digest_of(tensors: Iterable[Tensor]) -> str:
    """Give the SHA-256 of the bytes of tensors, in their order.

    Examples
    --------
    >>> digest_of([torch.zeros(2)]) == digest_of([torch.zeros(1), torch.zeros(1)])
    True
    >>> digest_of([torch.zeros(2)]) == digest_of([torch.tensor([0.0, 1.0])])
    False
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def checksum(name: str, tensor: Tensor) -> str:
    """Sum up a tensor under its name: any changed bit of value, kind or shape changes the sum.

    Parameters
    ----------
    name : str
    tensor : tensor
        On the CPU.

    Examples
    --------
    >>> ones = torch.ones(2)
    >>> checksum("a", ones) == checksum("a", torch.ones(2))
    True
    >>> checksum("a", ones) == checksum("a", torch.tensor([1.0, -1.0]))
    False
    """
    about = f"{name} {tensor.dtype} {list(tensor.shape)} "
    if not tensor.numel():  # torch gives no bytes of it where its stride is 0
        return f"{zlib.crc32(about.encode()):08x}"
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{zlib.crc32(content.data, zlib.crc32(about.encode())):08x}"


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors with their checksums.

    Parameters
    ----------
    path : path
        Inside `atomic_folder` or `atomic_file`, which leave nothing half-written.
    tensors : mapping
        Name to tensor, on any device; no two may share memory.

    Raises
    ------
    OSError
        If the disk is full or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> save_tensors(name, {"x": torch.arange(3)})
    >>> load_tensors(name)
    {'x': tensor([0, 1, 2])}
    """
    here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sums = {name: checksum(name, tensor) for name, tensor in here.items()}
    with plain_os_errors():
        save_file(here, path, metadata={"format": "pt", SUMS: json.dumps(sums, sort_keys=True)})
        _order_metadata(path)


def _order_metadata(path: str | Path) -> None:
    """Put the metadata of a file in the order of their names.

    The library writes them in an order of chance: the same weights were not the same bytes.
    """
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
        head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
        text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size  # it is the same text in another order
        file.seek(8)
        file.write(text.ljust(size))


def with_checksums(path: str | Path) -> bool:
    """Say whether a file carries checksums; those of older versions have none.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> save_tensors(name, {"a": torch.zeros(2)})
    >>> with_checksums(name)
    True
    """
    with safe_open(path, "pt") as file:
        return SUMS in (file.metadata() or {})


def load_tensors(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Read tensors and look at their checksums.

    Parameters
    ----------
    path : path
        A safetensors file; one without checksums is read as it is.
    device : str or torch.device
        Where the tensors go.

    Raises
    ------
    DamagedError
        If the file is missing, cut short, or a tensor is not the one that was written.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sums = json.loads(about[SUMS]) if SUMS in about else None
    except (OSError, SafetensorError, ValueError) as error:
        raise DamagedError(
            "the weights cannot be read",
            where=str(path),
            found=error,
            do="The checkpoint is damaged or incomplete; take an earlier one.",
        ) from error
    if sums is not None:
        changed = sorted(
            name
            for name in sums.keys() | tensors.keys()
            if name not in tensors or sums.get(name) != checksum(name, tensors[name])
        )
        if changed:
            raise DamagedError(
                "the file is damaged: it does not hold what was written",
                where=str(path),
                found=f"another checksum of {len(changed)} of {len(sums)} tensors"
                f" ({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''})",
                do="Take an earlier checkpoint, or copy this one again from where it is whole.",
            )
    return {name: tensor.to(device) for name, tensor in tensors.items()}


@contextmanager
def plain_os_errors() -> Iterator[None]:
    """Turn what safetensors says of a failed write into the OSError that it was.

    Since 0.8 its own exception is no OSError and carries the number in its text alone.

    Examples
    --------
    >>> with plain_os_errors():
    ...     raise SafetensorError("I/O error: No space left on device (os error 28)")
    Traceback (most recent call last):
    OSError: [Errno 28] I/O error: No space left on device (os error 28)
    """
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), str(error)) from error

"""The step that ended a run with a loss that is no number, kept beside the run to be looked at.

`RUN/failed_step/` holds what the step read, as safetensors, and `failed.json`: step, rate, rows. It
is the last one that failed; nothing reads it but who looks for the reason. Needs torch and
safetensors.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

from torch import Tensor

from epilm.atomic import atomic_folder, read_checked, write_json
from epilm.errors import EpilmError
from epilm.tensor_files import bytes_of, load_tensors, save_tensors

FAILED, ABOUT = "failed_step", "failed.json"
Bundle = TypeVar("Bundle")


class FailedStep(NamedTuple):
    """A step as it was kept.

    Attributes
    ----------
    about : dict
        JSON values: the step (and epoch), the learning rate, the rows of each batch.
    batches : list of dict of str to tensor
        What it read, by the dotted names of the fields: "dna.ids". `bundle_of` makes it what it
        was.
    """

    about: dict[str, Any]
    batches: list[dict[str, Tensor]]


def named_tensors(bundle: Any) -> dict[str, Tensor]:
    """Give the tensors of a bundle by the dotted names of its fields; those of a tuple by number.

    Examples
    --------
    >>> import torch
    >>> from epilm.batch import Sequences
    >>> ids = torch.tensor([[2, 5, 3]])
    >>> sorted(named_tensors((Sequences(ids, ids * 0, ids > 0), ids)))
    ['0.ids', '0.mask', '0.segments', '1']
    """
    if isinstance(bundle, tuple):
        parts = {str(number): part for number, part in enumerate(bundle)}
    else:
        assert is_dataclass(bundle)
        parts = {field.name: getattr(bundle, field.name) for field in fields(bundle)}
    out: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, Tensor):
            out[name] = part.detach()
        elif is_dataclass(part):
            out |= {f"{name}.{key}": tensor for key, tensor in named_tensors(part).items()}
    return out


def bundle_of(kind: type[Bundle], tensors: Mapping[str, Tensor]) -> Bundle:
    """Make a bundle of its tensors again; what is no tensor in it is a hint, and left out.

    Parameters
    ----------
    kind : class
        `epilm.batch.Batch`, `Windows` or `Sequences`.
    tensors : mapping
        As `named_tensors` gives them.

    Examples
    --------
    >>> import torch
    >>> from epilm.batch import Sequences
    >>> ids = torch.tensor([[2, 5, 3]])
    >>> named = named_tensors(Sequences(ids, ids * 0, ids > 0))
    >>> bundle_of(Sequences, named).ids.tolist()
    [[2, 5, 3]]
    """
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        inner: Any = next((each for each in (hint, *get_args(hint)) if is_dataclass(each)), None)
        if name in tensors:
            values[name] = tensors[name]
        elif inner is not None:
            below = {
                key.removeprefix(f"{name}."): tensor
                for key, tensor in tensors.items()
                if key.startswith(f"{name}.")
            }
            values |= {name: bundle_of(inner, below)} if below else {}
    return kind(**values)


def keep_failed(out: Path, about: Mapping[str, Any], batches: Sequence[Any], rank: int = 0) -> str:
    """Keep a step that failed; give a sentence for the message that says where, or why not.

    Parameters
    ----------
    out : path
        The run's folder.
    about : mapping
        JSON values.
    batches : sequence of bundles
        Dataclasses of tensors, or tuples of them.
    rank : int
        Of several processes each keeps what it read.
    """
    folder = out / (f"{FAILED}-{rank}" if rank else FAILED)
    wants = bytes_of(tensor for batch in batches for tensor in named_tensors(batch).values())
    try:
        with atomic_folder(folder, overwrite=True, wants=wants) as new:
            for number, batch in enumerate(batches):
                # A copy of each: tensors of a batch may be views of one memory.
                own = {name: tensor.clone() for name, tensor in named_tensors(batch).items()}
                save_tensors(new / f"batch_{number:04d}.safetensors", own)
            write_json(new / ABOUT, {**about, "batches": len(batches)}, checked=True)
    except EpilmError as error:
        return f"What the step read could not be kept: {error}"
    return f"What the step read is kept in {folder}"


def load_failed(folder: str | Path) -> FailedStep:
    """Read a step that `keep_failed` kept.

    Raises
    ------
    EpilmError
        If there is none, or it is damaged.

    Examples
    --------
    >>> import tempfile, torch
    >>> from epilm.batch import Sequences
    >>> ids, run = torch.tensor([[2, 5, 3]]), Path(tempfile.mkdtemp())
    >>> said = keep_failed(run, {"step": 7}, [Sequences(ids, ids * 0, ids > 0)])
    >>> kept = load_failed(run / "failed_step")
    >>> kept.about["step"], sorted(kept.batches[0])
    (7, ['ids', 'mask', 'segments'])
    """
    folder = Path(folder)
    try:
        about = read_checked(folder / ABOUT)
    except (OSError, json.JSONDecodeError, ValueError) as error:
        raise EpilmError(
            "no failed step can be read here",
            where=str(folder),
            found=error,
            expected=f"a folder {FAILED} of a run",
        ) from None
    names = [f"batch_{number:04d}.safetensors" for number in range(about["batches"])]
    return FailedStep(about, [load_tensors(folder / name) for name in names])

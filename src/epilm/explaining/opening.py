"""Open a run as what is explained: fine-tuned, pre-trained, of sequences or of a store's places."""

from pathlib import Path
from typing import Any, Literal

from epilm.device import Place, choose_place
from epilm.errors import UsageError
from epilm.explaining.outputs import pretrained_subject
from epilm.explaining.splice_subject import SpliceSubject
from epilm.explaining.subject import BATCH, PlacedSubject, Subject, TaskSubject
from epilm.finetuning.finetuned import (
    Finetuned,
    is_finetuned,
    load_finetuned,
    refuse_members,
    refuse_pairs,
)
from epilm.hub.load import load
from epilm.store.reader import Store


def open_subject(
    path: str | Path | Finetuned,
    *,
    store: Any = None,
    cell: str | None = None,
    output: str | None = None,
    both_strands: bool | None = None,
    batch: int = BATCH,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> Subject:
    """Open a run as a subject.

    Parameters
    ----------
    path : path or Finetuned
        A fine-tuned run, a pre-trained one, or an open fine-tuned model.
    store : path or Store, cell : str, optional
        For models that read places of a store.
    output : str, optional
        Which output is explained: a class, a factor, for a pre-trained model `llr` (its default:
        log-odds of hidden k-mers) or `site_NAME`; of a model of splice sites a class and, if one
        likes, a base (`splice_subject.parse_site`).
    both_strands : bool, optional
        The mean over both strands; as the model learned where not given.
    batch : int
        Windows of a forward pass.
    device : {"auto", "cpu", "cuda", "mps"}

    Raises
    ------
    UsageError, StoreError, CheckpointError
    """
    if batch < 1:
        raise UsageError("impossible value", where="--batch-size", found=batch, expected="1")
    machine = choose_place(device, "fp32")
    if not isinstance(path, Finetuned) and not is_finetuned(path):
        loaded = load(path, device=machine.device)  # first: a run that is not there has no streams
        if store is not None or cell is not None:
            raise _needless(str(path))
        subject = pretrained_subject(loaded, machine, output, batch)
    else:
        model = path if isinstance(path, Finetuned) else load_finetuned(path)
        refuse_members(model)
        if model.labels.per_base:
            return _of_bases(model, machine, store, cell, output, both_strands, batch)
        refuse_pairs(model)
        subject = _tuned(model, machine, store, cell, batch)
        subject.choose(output)
    if both_strands is not None and not subject.bases:
        subject.both = both_strands
    return subject


def _of_bases(
    model: Finetuned,
    machine: Place,
    store: Any,
    cell: str | None,
    output: str | None,
    both_strands: bool | None,
    batch: int,
) -> Subject:
    if store is not None or cell is not None:
        raise _needless(str(model.path))
    if both_strands:
        raise UsageError(
            "a splice site lies on one strand",
            where="--both-strands",
            do="Leave it out; a region's own strand is read (the sixth column of a BED).",
        )
    return SpliceSubject(model, machine, output, batch)


def _tuned(model: Finetuned, machine: Place, store: Any, cell: str | None, batch: int) -> Subject:
    where = str(model.path)
    if not model.reads.window_bp:
        if store is not None or cell is not None:
            raise _needless(where)
        return TaskSubject(model, machine, batch)
    if store is None or cell is None:
        raise UsageError(
            "the model reads places of a store, in a cell type",
            where=where,
            do="Give --store and --cell.",
        )
    opened = store if isinstance(store, Store) else Store.open(store)
    return PlacedSubject(model, machine, opened, cell, batch)


def _needless(where: str) -> UsageError:
    return UsageError(
        "the model reads sequences alone",
        where=where,
        found="--store or --cell",
        do="Give --genome, and leave both out.",
    )

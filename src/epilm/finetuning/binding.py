"""Fine-tune EBERT to say where factors bind, in cell types it has labels of; and test it elsewhere.

The order of things: labels, parts that share no base, a trunk with or without its pre-trained
weights, epochs of all positives and fresh negatives, the best epoch by the validation chromosome
(never a test one), a model folder. State is written after every epoch, and the same call goes on
from there with the same weights as an uninterrupted run. FactorNet's kind of network learns in the
same loop.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from epilm.atomic import locked, write_json
from epilm.device import choose_place
from epilm.errors import TrainingError, UsageError
from epilm.finetuning.binding_data import BindingRows
from epilm.finetuning.binding_loop import STATES, BindingLoop, Say
from epilm.finetuning.binding_plan import make_plan
from epilm.finetuning.binding_run import BindingRun, load_binding, save_binding
from epilm.finetuning.binding_spec import BindingSpec, check_settings
from epilm.finetuning.binding_start import prepare_binding, start_at_prior
from epilm.store.reader import Store
from epilm.store.window_table import proxy_notes
from epilm.tasks.binding.labels import BinLabels
from epilm.tasks.binding.load import load_bins
from epilm.training.log import plain
from epilm.training.state import model_tensors

# May differ when a run goes on: where it computes, and how a step is cut (rounding and dropout's
# places, no more).
_FREE = {"device": None, "micro_batch": None}
RUN, RESULT, MODEL = "run.json", "metrics.json", "model"
__all__ = ["BindingResult", "BindingSpec", "finetune_binding"]


@dataclass
class BindingResult:
    """What fine-tuning made.

    Attributes
    ----------
    run : BindingRun
        With the weights of the best epoch.
    metrics : dict
        Factor -> scores on the validation part (`metrics.binding.score_bins`).
    history : list of dict
        One row an epoch.
    best_epoch : int
        Counted from 1.
    notes : list of str
        What was left out, sampled or doubtful.
    out : Path or None
    """

    run: BindingRun
    metrics: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    best_epoch: int
    notes: list[str] = field(default_factory=list)
    out: Path | None = None


def finetune_binding(
    data: str | Path | BinLabels | Sequence[BinLabels],
    store: str | Path | Store,
    checkpoint: str | Path = "random",
    out: str | Path | None = None,
    settings: BindingSpec | None = None,
    *,
    factor: str | Sequence[str] = (),
    init: Literal["checkpoint", "random"] = "checkpoint",
    size: Literal["tiny", "small", "base", "large"] = "small",
    k: int = 7,
    motifs: str | Path | Sequence[Any] | None = None,
    options: dict[str, Any] | None = None,
    overwrite: bool = False,
    say: Say | None = None,
) -> BindingResult:
    """Fine-tune a model on where one or several factors bind.

    Parameters
    ----------
    data : path, BinLabels, or several
        A label file of the challenge, a folder of peaks, or labels already read, one a factor.
    store : path or Store
        With the genome and the tracks of the cell types.
    checkpoint : path or {"random", "ebert", "dbert", "factornet"}
        A run of `epilm pretrain ebert_...` or `dbert_...`, or its model. A name: no pre-trained
        weights, a model of that kind and of `size` and `k`; "random" is "ebert" where the store has
        states, else "dbert".
    out : path, optional
        Folder of the run. One that holds this very run goes on after its last epoch. None: kept in
        memory.
    settings : BindingSpec, optional
    factor : str or sequence of str
        Where `data` is a path: which factors. Several are learned at once, each with an output of
        its own.
    init : {"checkpoint", "random"}
        "random" takes the architecture of `checkpoint` and not its weights: the twin to compare
        with (Figure S1).
    size, k
        Of a model without pre-trained weights.
    motifs : path, "jaspar:2018" or sequence of Motif, optional
        Where `settings.signals` name motifs: the collection; the store's own where not given.
    options : dict, optional
        More for `tasks.dream.labels.load_bins`: regions, blacklist.
    overwrite : bool
        Replace an existing run.
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    BindingResult

    Raises
    ------
    UsageError, InputError, StoreError, CheckpointError
        What is wrong with the call, the labels, the store, the checkpoint.
    TrainingError
        If the loss is not a number, or the folder holds something else.
    """
    settings = settings or BindingSpec()
    check_settings(settings)
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    opened = store if isinstance(store, Store) else Store.open(store)
    tables = _labels(data, factor, opened, options or {})
    notes = list(dict.fromkeys(note for table in tables for note in table.notes))
    plan = make_plan(tables, opened, settings)
    notes += plan.notes
    run, told = prepare_binding(
        checkpoint,
        opened,
        settings,
        factors=plan.rows.factors,
        width=plan.rows.width,
        init=init,
        size=size,
        k=k,
        motifs=motifs,
    )
    if run.about.get("head", {}).get("shortcut"):
        start_at_prior(run.model, plan.rows.take(plan.draw.epoch(0))[3])
    used = sorted({plan.rows.cells[c] for c in (*plan.train_cells, *plan.valid_cells)})
    run.check(opened, used)
    notes += proxy_notes(opened, used) if run.reads_states else []
    place = choose_place(settings.device, settings.precision)
    for line in (*place.said, *told, *plan.said(), *notes):
        say(line)
    run.about |= plan.about() | {"store": opened.fingerprint, "assembly": opened.info.assembly}
    run.about["settings"] = asdict(settings)
    identity = json.loads(
        json.dumps(
            {
                "settings": asdict(settings) | _FREE,
                "labels": _digest(plan.rows),
                "checkpoint": str(checkpoint),
                "init": init,
                "store": opened.fingerprint,
                "weights": _digest_of(model_tensors(run.model).values()),
            }
            | ({"motifs": run.about["motifs"]} if run.motifs else {})
        )
    )
    if out is None:
        loop = BindingLoop(run, plan, opened, settings, place, say, None)
        return _result(loop, loop.fit(notes))
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out):
        if overwrite and out.exists():
            shutil.rmtree(out)
        done = _begin(out, identity, say)
        if done is not None:
            return done
        loop = BindingLoop(run, plan, opened, settings, place, say, out)
        result = _result(loop, loop.fit(notes))
        save_binding(out / MODEL, result.run, overwrite=True)
        write_json(
            out / RESULT,
            {
                "task": "dream",
                "valid": {f: plain(t) for f, t in result.metrics.items()},
                "best_epoch": result.best_epoch,
                "history": [plain(row) for row in result.history],
                "notes": result.notes,
            },
        )  # last but one: it says that the run is complete
        shutil.rmtree(out / STATES, ignore_errors=True)
    result.out, result.run.path = out, out / MODEL
    say(f"the model of epoch {result.best_epoch} is in {out / MODEL}")
    return result


def _result(loop: BindingLoop, notes: list[str]) -> BindingResult:
    return BindingResult(loop.run, loop.tables, loop.history, loop.best_epoch, notes)


def _labels(
    data: Any, factor: str | Sequence[str], store: Store, options: dict[str, Any]
) -> list[BinLabels]:
    if isinstance(data, BinLabels):
        return [data]
    if not isinstance(data, str | Path):
        return list(data)
    names = [factor] if isinstance(factor, str) else list(factor)
    if not names:
        raise UsageError(
            "the factor is not named", where=str(data), do="Give --factor, e.g. --factor CTCF."
        )
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    return [load_bins(data, factor=name, sizes=sizes, **options) for name in names]


def _begin(out: Path, identity: dict[str, Any], say: Say) -> BindingResult | None:
    """Say what a folder is to this run; the finished result if there is nothing left to do."""
    if out.exists() and not out.is_dir():
        raise TrainingError("a file stands where the run's folder should be", where=str(out))
    held = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if held and RUN not in held:
        raise TrainingError(
            "the folder holds something that is not a run",
            where=str(out),
            found=", ".join(sorted(held)[:5]),
            do="Choose another folder with --out.",
        )
    if not held:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / RUN, identity)
        return None
    before = json.loads((out / RUN).read_text(encoding="utf-8"))
    flat = {f"settings.{k}": v for k, v in (before.get("settings", {}) | _FREE).items()} | before
    now = {f"settings.{k}": v for k, v in identity["settings"].items()} | identity
    other = [key for key in now if key != "settings" and flat.get(key) != now[key]]
    if other:
        shown = [f"{key} was {flat.get(key)!s:.60}, is {now[key]!s:.60}" for key in other[:4]]
        raise TrainingError(
            "the folder holds another run",
            where=str(out),
            found="; ".join(shown),
            do="Choose another --out, or pass --overwrite.",
        )
    if RESULT not in held:
        return None
    kept = json.loads((out / RESULT).read_text(encoding="utf-8"))
    run = load_binding(out)
    say(f"the run is complete: best epoch {kept['best_epoch']}, the model is in {out / MODEL}")
    return BindingResult(
        run, kept["valid"], kept["history"], kept["best_epoch"], kept["notes"], out
    )


def _digest(rows: BindingRows) -> str:
    found = hashlib.sha256()
    for array in (rows.chrom, rows.start, rows.values):
        found.update(np.ascontiguousarray(array).data)
    found.update(json.dumps([rows.cells, rows.factors, rows.chroms]).encode())
    return found.hexdigest()


def _digest_of(tensors: Iterable[Tensor]) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()

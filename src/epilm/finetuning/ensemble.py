"""Fine-tuned models as one that says the mean of what they say: pre-trainings and seeds differ in
their mistakes, and a mean has fewer.

A part of what is gained by a larger network, for what a few small ones cost. The folder holds all
weights, and needs the runs no more.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError
from epilm.finetuning.finetuned import Finetuned, load_finetuned
from epilm.finetuning.run_folder import TASK
from epilm.hub.provenance import memories
from epilm.models.ensemble import Ensemble
from epilm.shards import digest_of_weights
from epilm.tasks.label_kinds import Classes
from epilm.tasks.sequence_scores import Told, read_predictions

# What members may differ in; all else says how a window is read and what the outputs are.
OWN = frozenset(
    (
        *("checkpoint", "init", "made_by", "pretraining", "settings", "preset", "adapter"),
        *("best_epoch", "tries", "valid", "notes", "labels", "head"),
    )
)
_LEARNED = ("dropout",)  # options of a head that matter while it learns alone
_FITTED = ("threshold", "temperature")  # of labels
_PLACE = ("labels", "split", "chrom", "start", "end")  # of a row of predictions
OTHER_ROWS = "members were judged on other rows: what one is tested on, another may have learned"
PREDICTIONS = "predictions.tsv"


def ensemble(runs: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> Finetuned:
    """Join fine-tuned models of one task into one model folder.

    Its answer is the mean of their logits. Where they say from which probability on the second of
    two classes begins (`finetune --threshold valid`), that is fitted anew, on what they say
    together of their valid part.

    Parameters
    ----------
    runs : sequence of path
        At least two runs of `epilm finetune`, or model folders, that read the same and answer the
        same: other pre-trainings of one recipe, other seeds. Where they were judged on other rows
        a note says so.
    out : path
        The model folder; `epilm predict`, `evaluate` and `score-variants` take it as they take a
        run.
    overwrite : bool
        Replace an existing folder.

    Returns
    -------
    Finetuned

    Raises
    ------
    UsageError
        If there are fewer than two, one of them stands there twice, or they do not fit each other.
    InputError
        If a threshold is to be fitted and their predictions are not there, or of other rows.
    CheckpointError
        If one of them is no fine-tuned model.
    """
    if len(runs) < 2:
        raise UsageError(
            "an ensemble has several members",
            found=f"{len(runs)} run{'s' * (len(runs) != 1)}",
            expected="at least two",
        )
    models = [load_finetuned(run) for run in runs]
    _check_alike(runs, models)
    scales = [1 / float(model.about["labels"].get("temperature", 1)) for model in models]
    first = models[0]
    about = {key: value for key, value in first.about.items() if key not in OWN}
    labels = {key: v for key, v in first.about["labels"].items() if key not in _FITTED}
    told = [_told_of(model) for model in models]
    other = _judged_otherwise(runs, told)
    if any("threshold" in model.about["labels"] or _divided(model) for model in models):
        labels = _divide(labels, runs, told, other)
    about |= {
        "labels": labels,
        "head": first.about.get("head", {}),
        "checkpoint": ", ".join(str(run) for run in runs),
        "init": "ensemble",
        "settings": {},
        "notes": [f"{OTHER_ROWS}: {', '.join(map(str, other))}"] if other else [],
        "members": [
            {"path": str(run), "scale": scale, **_of_member(model.about)}
            for run, model, scale in zip(runs, models, scales, strict=True)
        ],
    }
    runs_of = [_run_of(model) for model in models]
    if lengths := [each for kept in runs_of if (each := (kept.get("set") or {}).get("length_bp"))]:
        about["length_bp"] = [min(low for low, _ in lengths), max(high for _, high in lengths)]
    about["named"] = {
        key: value
        for key, value in runs_of[0].get("named", {}).items()
        if all(kept.get("named", {}).get(key) == value for kept in runs_of)
    }
    if seen := _seen(models):
        about["pretraining"] = seen
    joined = Finetuned(Ensemble([m.network for m in models], scales).eval(), first.spec, about)
    joined.save(out, overwrite=overwrite)
    return joined


def _of_member(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a member was made of, for a reader."""
    return {key: about[key] for key in ("checkpoint", "init", "settings") if key in about}


def _divided(model: Finetuned) -> bool:
    return bool(model.about.get("settings", {}).get("threshold") == "valid")


def _check_alike(runs: Sequence[str | Path], models: Sequence[Finetuned]) -> None:
    """Refuse members that are one model, or that read or answer something else.

    Raises
    ------
    UsageError
    """
    seen: dict[str, str | Path] = {}
    for run, model in zip(runs, models, strict=True):
        if isinstance(model.network, Ensemble):
            raise UsageError(
                "an ensemble is no member of another", where=str(run), do="Name its own runs."
            )
        weights = digest_of_weights(model.network)
        if weights in seen:
            raise UsageError(
                "two members have the same weights",
                where=str(run),
                found=f"those of {seen[weights]}",
            )
        seen[weights] = run
    wanted = _reading(models[0])
    for run, model in zip(runs[1:], models[1:], strict=True):
        mine = _reading(model)
        other = [key for key in {**wanted, **mine} if wanted.get(key) != mine.get(key)]
        if other:
            key = other[0]
            raise UsageError(
                f"the members do not fit each other: another {', '.join(other)}",
                where=str(run),
                found=f"{mine.get(key)!s:.80}",
                expected=f"{wanted.get(key)!s:.80}, as {runs[0]} has it",
                do="Join runs of one task on the same data, from pre-trainings of one recipe.",
            )


def _reading(model: Finetuned) -> dict[str, Any]:
    """What a member reads and answers."""
    about, spec = model.about, model.spec
    out = {key: value for key, value in about.items() if key not in OWN}
    out["labels"] = {k: v for k, v in about["labels"].items() if k not in _FITTED}
    out["head"] = {k: v for k, v in about.get("head", {}).items() if k not in _LEARNED}
    shapes = {name: tuple(value.shape) for name, value in model.network.state_dict().items()}
    return out | {"model": spec, "shape of weights": shapes}


def _seen(models: Sequence[Finetuned]) -> dict[str, Any]:
    """What the members have read before, as one memory (`hub.provenance`)."""
    known = [model.about["pretraining"] for model in models if model.about.get("pretraining")]
    if not known:
        return {}
    last = known[-1]
    before: list[dict[str, Any]] = []
    for one in (each for memory in known for each in memories(memory)):
        if one not in (*before, last):
            before.append({key: value for key, value in one.items() if key != "before"})
    return last | {"before": before}


def _run_of(model: Finetuned) -> dict[str, Any]:
    """What the run of a member keeps of its data; nothing where the folder is a model alone."""
    path = None if model.path is None else model.path.parent / TASK
    if path is None or not path.is_file():
        return {}
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def _told_of(model: Finetuned) -> Told | None:
    """What a member said of the rows that judged it; None where that is not kept."""
    path = None if model.path is None else model.path.parent / PREDICTIONS
    return read_predictions(path) if path is not None and path.is_file() else None


def _judged_otherwise(runs: Sequence[str | Path], told: Sequence[Told | None]) -> list[str | Path]:
    """Members whose valid and test rows are not those of the first that has any."""
    known = [(run, each) for run, each in zip(runs, told, strict=True) if each is not None]
    return [
        run
        for run, each in known[1:]
        if not all(np.array_equal(getattr(each, n), getattr(known[0][1], n)) for n in _PLACE)
    ]


def _divide(
    labels: Mapping[str, Any],
    runs: Sequence[str | Path],
    told: Sequence[Told | None],
    other: Sequence[str | Path],
) -> dict[str, Any]:
    """Labels, divided where all together say of their valid rows.

    Raises
    ------
    InputError
        If what they say is not kept, or is of other rows.
    """
    there = [each for each in told if each is not None]
    if len(there) < len(told):
        raise InputError(
            "where the second class begins is fitted on what all members say of their valid part",
            where=str(runs[told.index(None)]),
            found=f"no {PREDICTIONS}",
            do="Give whole runs of epilm finetune, not model folders that were taken out of one.",
        )
    if other:
        raise InputError(
            "the members were judged on other rows, so that no threshold can be fitted on them",
            where=str(other[0]),
            found="other valid or test rows",
            expected=f"those of {runs[0]}",
            do="Join runs on the same data and split, or of --threshold half.",
        )
    valid = there[0].split == "valid"
    if not valid.any():
        raise InputError("the members have no valid rows to fit on", where=str(runs[0]))
    said = said_together([each.said[valid] for each in there])
    classes = Classes(labels["names"], labels.get("weights"))
    return classes.with_threshold(there[0].labels[valid], said).described()


def said_together(said: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """What an ensemble says of rows, from the probabilities of its members, (N, C) each.

    The softmax of the mean of logarithms, which is that of the mean of logits.

    Examples
    --------
    >>> said_together([np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])]).round(3).tolist()
    [[0.75, 0.25]]
    """
    tiny = np.finfo(np.float64).tiny
    logs = np.mean([np.log(np.maximum(each, tiny)) for each in said], axis=0)
    raised = np.exp(logs - logs.max(-1, keepdims=True))
    together: NDArray[np.float64] = raised / raised.sum(-1, keepdims=True)
    return together

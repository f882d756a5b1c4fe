"""A prediction in shards: a unit is a batch of examples, as one process would score it.

Merged, the batches come back in their order and the task writes what it always writes.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import UsageError
from epilm.finetuning.finetuned import Finetuned, load_finetuned
from epilm.finetuning.scorer import ModelScorer, logits_of_block, open_scorer, rows_at_once, said_of
from epilm.finetuning.windows import reading_of
from epilm.shards import (
    JoinedParts,
    PartWritten,
    digest,
    digest_of_weights,
    machine_of,
    parse_shard,
    write_part,
    written_before,
)
from epilm.store.input_digests import told
from epilm.tasks import TASKS, find_task
from epilm.tasks.contract import Say, Task, options_from
from epilm.training.heap import kept_heap

OWN = ("batch_size", "both_strands", "precision")  # of the command itself


def _asked(
    model: Finetuned, task: Task, named: dict[str, Any], given: Any, device: Any
) -> dict[str, Any]:
    """All that a part remembers of its request."""
    options = {each.name: getattr(given, each.name) for each in fields(given)}
    paths = {"source"} | {
        each.name for each in fields(given) if "Path" in str(each.metadata.get("type", ""))
    }
    known = told({key: named[key] for key in ("source", *OWN)} | options, paths)
    about = json.dumps(model.about, sort_keys=True, default=str).encode()
    fingerprint = digest([about, digest_of_weights(model.network).encode()])
    files = {"model": str(Path(named["model"]).resolve())} | known["files"]
    return {
        **known,
        "verb": "predict",
        "files": files,
        "model": fingerprint,
        "machine": machine_of(device),
        "shown": {"model": str(model.path or "")},
    }


def predict_shard(
    opened: Finetuned,
    task: Task,
    named: dict[str, Any],
    given: Any,
    out: Any,
    shard: str,
    device: Any,
    say: Say,
) -> PartWritten:
    """Compute one of N parts of a prediction; see `predict.predict`.

    Raises
    ------
    UsageError
        If no folder is named, or what is read is not named by a path.
    InputError
        If another request's part lies there.
    """
    mine = parse_shard(shard)
    if out is None:
        raise UsageError("the parts need a folder", where="--shard", do="Give --out FOLDER.")
    if named["model"] is None:
        raise UsageError(
            "a shard remembers where its model lies, and this one lies in memory alone",
            where="--shard",
            do="Give the path of a run.",
        )
    score = open_scorer(
        opened,
        batch_size=named["batch_size"],
        both_strands=named["both_strands"],
        device=device,
        precision=named["precision"],
        say=say,
    )
    asked = _asked(opened, task, named, given, score.place.device)
    if (before := written_before(out, mine, asked)) is not None:
        return before
    was_training, unit = opened.network.training, 0
    opened.network.eval()
    with write_part(out, mine, asked) as part, kept_heap(score.place.device):
        for examples, store in task.to_predict(named["source"], given, score, say):
            reading = reading_of(opened, examples, store, score.place.device, say)
            piece = rows_at_once(examples)
            for first in range(0, len(examples), piece):
                rows = np.arange(first, min(first + piece, len(examples)))
                for at in reading.blocks(rows, score.rows_of_a_pass(examples)):
                    if mine.has(unit):
                        values = logits_of_block(
                            opened,
                            reading,
                            rows[at],
                            place=score.place,
                            both_strands=named["both_strands"],
                        )
                        part.put(unit, {"at": at.astype(np.int64), "values": values})
                    unit += 1
            part.notes += [note for note in reading.notes if note not in part.notes]
        part.units = unit
        done = len(part.done)
    opened.network.train(was_training)
    return PartWritten(Path(out) / mine.name, done, unit)


class JoinedScorer:
    """Parts as the function that a task is handed: what the shards said, in its order.

    Parameters
    ----------
    model : Finetuned
    joined : JoinedParts
    """

    def __init__(self, model: Finetuned, joined: JoinedParts) -> None:
        own = ModelScorer(model, open_place())
        self.about, self.reads = own.about, own.reads
        self.about["read_notes"] = list(joined.notes)
        self.about["path"] = joined.about["shown"]["model"]
        self._labels, self._joined = model.labels, joined

    def __call__(self, examples: Any, store: Any = None) -> Iterator[NDArray[Any]]:
        """See `tasks.contract.Scorer`."""
        piece = rows_at_once(examples)
        for first in range(0, len(examples), piece):
            logits: NDArray[np.float32] | None = None
            missing = np.ones(min(piece, len(examples) - first), bool)
            while missing.any():
                unit = self._joined.next_unit()
                at, values = unit["at"], unit["values"]
                if logits is None:
                    logits = np.zeros((len(missing), *values.shape[1:]), np.float32)
                inside = len(at) > 0 and at.min() >= 0 and at.max() < len(missing)
                if not inside or not missing[at].all() or values.shape[1:] != logits.shape[1:]:
                    raise self._joined.other_data("other examples than the parts answer")
                logits[at], missing[at] = values, False
            assert logits is not None
            yield said_of(self._labels, logits)


def open_place() -> Any:
    """Where nothing is computed."""
    from epilm.device import choose_place

    return choose_place("cpu", "fp32")


def merge_predictions(joined: JoinedParts, out: Any, say: Say) -> Any:
    """Write what the parts of a prediction say, as one process would.

    Raises
    ------
    InputError
        If model or data changed since.
    """
    files, call = joined.about["files"], dict(joined.about["call"])
    named = {"model": files["model"], "source": files.get("source")}
    named |= {key: call.pop(key, None) for key in OWN}
    opened = load_finetuned(files["model"])
    task = find_task(opened.about["task"])
    options = call | {key: value for key, value in files.items() if key not in named}
    given = options_from(task, "predict", None, options, TASKS)
    joined.check_now(_asked(opened, task, named, given, "cpu"))
    done = task.predict(named["source"], out, given, JoinedScorer(opened, joined), say)
    joined.finish()
    return done

"""Explanations in shards: a unit is a region with its shuffled copies.

Merged, seqlets and patterns are called of all maps together, as in one process.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import UsageError
from epilm.explaining.asked_frames import read_frames
from epilm.explaining.explain_options import ExplainOptions, options_of
from epilm.explaining.explain_steps import Say, about_of, explanation_of, map_with_null, open_asked
from epilm.explaining.explanation import Explanation
from epilm.explaining.region_map import RegionMap
from epilm.explaining.subject import Subject
from epilm.shards import (
    Arrays,
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

FILES = ("regions", "fasta", "variants", "genome", "store", "motifs", "against")
TABLES = ("codes", "scores", "changes", "worth", "deletions")
NOT_ASKED = ("overwrite", "device", "score")  # nothing that is written depends on them


def _asked(subject: Subject, model: Any, asked: ExplainOptions, device: Any) -> dict[str, Any]:
    """All that a part remembers of its request."""
    options = {key: value for key, value in asdict(asked).items() if key not in NOT_ASKED}
    known = told(options, FILES)
    fingerprint = (repr(subject.spec), subject.names[subject.output], str(subject.both))
    weights = digest_of_weights(subject.network)
    files = {"model": str(Path(model).resolve())} | known["files"]
    return {
        **known,
        "verb": "explain",
        "files": files,
        "model": digest(word.encode() for word in (*fingerprint, weights)),
        "machine": machine_of(device),
        "shown": about_of(subject, asked),
    }


def explain_shard(model: Any, asked: ExplainOptions, out: Any, shard: str, say: Say) -> PartWritten:
    """Explain one of N parts; see `explain.explain`.

    Raises
    ------
    UsageError
        If the method has no regions to divide, or no folder is named.
    InputError
        If another request's part lies there.
    """
    mine = parse_shard(shard)
    if asked.score is not None or asked.method == "inputs":
        raise UsageError(
            "it is not computed in shards",
            where="--shard",
            found="--score" if asked.score is not None else "--method inputs",
            do="Leave --shard and --executor out.",
        )
    if out is None or not isinstance(model, str | Path):
        raise UsageError("the parts need a folder, and a model's path", where="--shard")
    subject = open_asked(model, asked)
    device = next(subject.network.parameters()).device
    request = _asked(subject, model, asked, device)
    if (before := written_before(out, mine, request)) is not None:
        return before
    frames, _ = read_frames(subject, asked)
    with write_part(out, mine, request) as part:
        for unit in filter(mine.has, range(len(frames))):
            region, windows = frames[unit]
            each, null = map_with_null(subject, region, windows, asked)
            part.put(unit, _arrays(each, null))
        part.units = len(frames)
        part.notes += subject.notes
    return PartWritten(Path(out) / mine.name, len(part.done), len(frames))


def _arrays(each: RegionMap, null: list[Any]) -> Arrays:
    """A map and its null as arrays."""
    arrays: Arrays = {
        name: getattr(each, name) for name in TABLES if getattr(each, name) is not None
    }
    arrays |= {f"fact_{name}": np.array(value) for name, value in each.facts.items()}
    return arrays | {f"null_{copy:04d}": scores for copy, scores in enumerate(null)}


def merge_explanations(
    joined: JoinedParts, out: str | Path, say: Say, *, overwrite: bool = False
) -> Explanation:
    """Write what the parts of an explanation say, as one process would.

    Raises
    ------
    InputError
        If model or data changed since.
    """
    files = dict(joined.about["files"])
    model = files.pop("model")
    asked = options_of(joined.about["call"] | files | {"device": "cpu"})
    subject = open_asked(model, asked)
    joined.check_now(_asked(subject, model, asked, "cpu"))
    frames, sizes = read_frames(subject, asked)
    maps: list[RegionMap] = []
    null = []
    for region, _ in frames:
        unit = joined.next_unit()
        if len(unit["scores"]) != region.end - region.start:
            raise joined.other_data("other regions than the parts answer")
        tables = {name: unit.get(name) for name in TABLES}
        facts = {k.removeprefix("fact_"): float(v) for k, v in unit.items() if k[:5] == "fact_"}
        maps.append(RegionMap(region, **tables, facts=facts))  # type: ignore[arg-type]
        null += [unit[key] for key in sorted(unit) if key.startswith("null_")]
    joined.finish()
    subject.notes[:] = joined.notes
    shown = joined.about["shown"]
    done = explanation_of(subject, asked, frames, sizes, maps, null, shown)
    done.write(out, overwrite=overwrite, pictures=asked.pictures)
    return done

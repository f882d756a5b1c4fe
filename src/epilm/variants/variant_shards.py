"""Scores of variants in shards: a unit is a block of haplotypes of the whole file's plan.

A random variant that several rank against is thus scored in one shard alone.
"""

from pathlib import Path
from typing import Any

import numpy as np

from epilm.atomic import locked
from epilm.shards import (
    JoinedParts,
    PartWritten,
    machine_of,
    parse_shard,
    write_part,
    written_before,
)
from epilm.store.input_digests import told
from epilm.variants.prepared_scoring import Say, Scoring, VariantScores, prepare_scoring
from epilm.variants.work import PIECE

FILES = ("variants", "genome", "store", "motifs", "model", "genes", "conservation")
MACHINE = ("torch", "threads", "device")


def _asked(scoring: Scoring, given: dict[str, Any]) -> dict[str, Any]:
    """All that a part remembers of its request."""
    own = scoring.asked()
    # What is read of the genome, the store and the model is summed up there.
    known = told(given, FILES, summed=("genome", "store", "model"))
    data = known["data"] | {key: own[key] for key in own if key not in (*MACHINE, "model")}
    device = own["device"][0] if own["device"] else "cpu"
    return {
        **known,
        "verb": "score-variants",
        "data": data,
        "model": str(own["model"]),
        "machine": machine_of(device),
    }


def score_shard(
    given: dict[str, Any], out: str | Path, shard: str, device: Any, say: Say
) -> PartWritten:
    """Score one of N parts; see `score.score_variants`.

    Raises
    ------
    InputError
        If another request's part lies there.
    UsageError
    """
    mine = parse_shard(shard)
    scoring = prepare_scoring(**given, device=device)
    asked = _asked(scoring, given)
    if (before := written_before(out, mine, asked)) is not None:
        return before
    n = len(scoring.work.changes)
    units = -(-n // PIECE)
    with write_part(out, mine, asked) as part:
        for unit in filter(mine.has, range(units)):
            block = slice(unit * PIECE, min((unit + 1) * PIECE, n))
            part.put(unit, {"values": scoring.score_block(block)})
            if len(part.done) % 64 == 0:
                say(f"{len(part.done):,} of {-(-units // mine.n):,} blocks of this part")
        part.units = units
        part.notes += [note for scorer in scoring.scorers for note in scorer.notes]
    return PartWritten(Path(out) / mine.name, len(part.done), units)


def merge_scores(joined: JoinedParts, out: str | Path, say: Say) -> VariantScores:
    """Write what the parts of a scoring say, as one process would.

    Raises
    ------
    InputError
        If model or data changed since.
    """
    may_be_none = "model genome store cell motifs window scores pooling distance genes conservation"
    names = dict.fromkeys(may_be_none.split())
    given = names | joined.about["call"] | joined.about["files"]
    scoring = prepare_scoring(**given, out=out, device="cpu")
    joined.check_now(_asked(scoring, given))
    n = len(scoring.work.changes)
    table = np.full((n, len(scoring.columns())), np.nan)
    for first in range(0, n, PIECE):
        values = joined.next_unit()["values"]
        if values.shape != table[first : first + PIECE].shape:
            raise joined.other_data("other haplotypes than the parts answer")
        table[first : first + PIECE] = values
    joined.finish()
    with locked(out):
        return scoring.finish(table, Path(out), joined.notes)

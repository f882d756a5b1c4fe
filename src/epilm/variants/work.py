"""What a run of `score-variants` has to score, scored part by part, and spread over the alleles.

Axes: N alleles, D different haplotypes, C columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from epilm.shards import digest
from epilm.tasks.reference import Reference
from epilm.training.heap import kept_heap
from epilm.variants.haplotypes import Change, Checked
from epilm.variants.kept_parts import Parts, digest_of_bases
from epilm.variants.null import Stratum, draw_null, percentile, stratum_of
from epilm.variants.passes import SIZES
from epilm.variants.score_writers import Columns
from epilm.variants.scorers import ChangeScorer, Codes, Values

PIECE = 256  # haplotypes whose windows are in memory at a time
CPU = torch.device("cpu")
PARTS = 200  # at most so many parts of an unfinished run
Say = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """The different haplotypes of a run, in the order they are scored.

    Attributes
    ----------
    changes : list of Change, length D
        Chromosome by chromosome, along it; then what only the null needs.
    asked : int
        How many of them the file asks for.
    null : dict of Stratum to list of Change
        Matched random variants.
    stratum : dict of Change to Stratum
        Of each that the file asks for, where a null is wanted.
    """

    changes: list[Change]
    asked: int
    null: dict[Stratum, list[Change]]
    stratum: dict[Change, Stratum]


def plan_work(
    checked: Checked, genome: Reference, scorers: Sequence[ChangeScorer], null: int, seed: int
) -> Work:
    """List what is to be scored; why a change cannot be is noted in `checked`.

    Parameters
    ----------
    checked : Checked
    genome : Reference
    scorers : sequence of ChangeScorer
    null, seed : int
        Matched random variants of a kind, and which are drawn.
    """

    def reason_of(bases: Codes, change: Change) -> str | None:
        reasons = (scorer.reason(bases, change) for scorer in scorers)
        return next((reason for reason in reasons if reason is not None), None)

    by_chrom: dict[str, dict[Change, list[int]]] = {}
    for row, change in enumerate(checked.changes):
        if change is not None:
            by_chrom.setdefault(change.chrom, {}).setdefault(change, []).append(row)
    asked: list[Change] = []
    drawn: dict[Stratum, list[Change]] = {}
    stratum: dict[Change, Stratum] = {}
    for chrom in genome.sizes:
        if chrom not in by_chrom:
            continue
        bases = genome.codes(chrom)
        for change, rows in sorted(by_chrom[chrom].items()):
            reason = reason_of(bases, change)
            for row in rows if reason is not None else ():
                checked.reasons[row] = reason or ""
            if reason is None:
                asked.append(change)
                if null:
                    stratum[change] = stratum_of(bases, change)
        for each in sorted({s for c, s in stratum.items() if c.chrom == chrom}):
            drawn[each] = draw_null(bases, each, reason_of, null, seed)
    more = sorted({change for of in drawn.values() for change in of} - set(asked))
    return Work(asked + more, len(asked), drawn, stratum)


def identity_of(
    work: Work,
    scorers: Sequence[ChangeScorer],
    genome: Reference,
    store: Any,
    cell: str | None,
) -> dict[str, Any]:
    """Give all that values depend on, to be compared with what an unfinished run was asked."""
    chroms = list(dict.fromkeys(change.chrom for change in work.changes))
    said: dict[str, Any] = {
        "variants": digest("|".join(map(str, change)).encode() for change in work.changes),
        "genome": digest_of_bases(genome, chroms),
        "model": digest(()),
        "store": None if store is None else store.fingerprint,
        "cell": cell,
        "rows": list(SIZES),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": sorted({str(s.device) for s in scorers if s.device is not None}),
    }
    for scorer in scorers:
        said |= scorer.identity()
    return said


def score_work(
    scorers: Sequence[ChangeScorer],
    work: Work,
    genome: Reference,
    batch: int,
    parts: Parts | None,
    say: Say,
) -> Values:
    """Values (D, C) of all haplotypes, part by part; what was scored before is taken over."""
    names, n = list(columns_of(scorers)), len(work.changes)
    table = np.full((n, len(names)), np.nan)
    if not names:
        return table
    # A function of how many there are, so that a run that goes on has the same parts.
    size = PIECE * max(1, -(-n // (PIECE * PARTS)))
    if parts is not None and parts.before:
        say(f"{parts.before} of {-(-n // size)} parts were scored before: going on")
    for number, first in enumerate(range(0, n, size)):
        part = slice(first, min(first + size, n))
        values = None if parts is None else parts.get(number)
        if values is None:
            table[part] = score_block(scorers, work, genome, batch, part)
            if parts is not None:
                parts.put(number, table[part])
        else:
            table[part] = values
        if n > 4 * PIECE and number % 16 == 15:
            say(f"{part.stop:,} of {n:,} haplotypes")
    return table


def score_block(
    scorers: Sequence[ChangeScorer], work: Work, genome: Reference, batch: int, block: slice
) -> Values:
    """Values of haplotypes side by side, `batch` of them in memory at a time."""
    names = list(columns_of(scorers))
    rows: list[Values] = []
    # Passes are of a few shapes: their memory is the same again and again.
    with kept_heap(CPU):
        for at in range(block.start, block.stop, batch):
            here = slice(at, min(at + batch, block.stop))
            said: dict[str, Values] = {}
            for scorer in scorers:
                said |= scorer(work.changes[here], genome)
            rows.append(np.stack([said[name] for name in names], 1))
    return np.concatenate(rows)


def columns_of(scorers: Sequence[ChangeScorer]) -> dict[str, str]:
    """Give the columns of a table (D, C), each with what it is."""
    return {name: text for scorer in scorers for name, text in scorer.columns.items()}


def spread(
    scorers: Sequence[ChangeScorer], work: Work, table: Values, checked: Checked, null: int
) -> Columns:
    """Give each allele its haplotype's values, and its percentiles."""
    row_of = {change: row for row, change in enumerate(work.changes)}
    scored = [
        (row, row_of[change])
        for row, (change, reason) in enumerate(zip(checked.changes, checked.reasons))
        if change is not None and not reason
    ]
    n, texts = len(checked.changes), columns_of(scorers)
    values = {name: np.full(n, np.nan) for name in texts}
    to = [row for row, _ in scored]
    taken = [row for _, row in scored]
    for column, name in enumerate(list(texts)):
        values[name][to] = table[taken, column]
    if null:
        numbers = {name: column for column, name in enumerate(texts)}
        null_rows = {each: [row_of[c] for c in of] for each, of in work.null.items()}
        ranked = {column: name for scorer in scorers for column, name in scorer.ranked.items()}
        for column_name, name in ranked.items():
            size = np.abs(table[:, numbers[column_name]])
            text = f"{name}: percent of {null} matched random variants with a smaller effect"
            texts[f"{name}_percentile"] = text
            values[f"{name}_percentile"] = ranks = np.full(n, np.nan)
            for row, at in scored:
                others = null_rows[work.stratum[work.changes[at]]]
                ranks[row] = percentile(size[at], size[others])
    words = {column: said for scorer in scorers for column, said in scorer.words.items()}
    return Columns(values, texts, words)

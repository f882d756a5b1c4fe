"""What a model says of each variant, as a vector: ALT less REF on whole windows, both strands.

Embedding of a pre-trained model, logits of a fine-tuned task, best log-odds of motifs; any
`PairScorer` of `variants.scorers`. Blocks are kept as they are made, so that a run that was stopped
goes on where it was. Axes: V variants, D scores, W bases.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from epilm.atomic import write_json
from epilm.cohorts.columns import Floats
from epilm.errors import UsageError
from epilm.hub.load import Loaded
from epilm.shards import digest, digest_of_weights
from epilm.tasks.reference import Reference
from epilm.variants.haplotypes import Change, Windowing, WindowPairs, reason_of_window
from epilm.variants.kept_parts import digest_of_bases
from epilm.variants.open_models import motifs_from, no_answers_of_bases, open_model
from epilm.variants.pair_scores import score_changes, window_width
from epilm.variants.scorers import PairScorer, Said

BLOCK = 256  # variants scored before they are kept
Say = Callable[[str], None]


class EmbeddingScorer:
    """The pooled vector of each haplotype, a score a dimension.

    Parameters
    ----------
    model : Loaded
        On the device that computes.
    """

    between: tuple[str, ...] = ()
    width: int | None = None
    symmetric = False

    def __init__(self, model: Loaded) -> None:
        self.model = model
        self.notes: list[str] = []
        self.network: nn.Module | None = model.model
        self.sides: tuple[str, ...] = tuple(f"v{i}" for i in range(model.encoder.hidden))
        self.widest: int | None = model.widest

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.model.parameters()).device

    def __call__(self, pairs: WindowPairs) -> Said:
        """See `PairScorer`."""
        n, _, width = pairs.codes.shape
        codes = list(pairs.codes.reshape(2 * n, width))
        vectors = self.model.embed(codes, batch_size=2).astype(np.float64).reshape(n, 2, -1)
        return Said({name: vectors[:, :, i] for i, name in enumerate(self.sides)}, {})


@dataclass
class Reader:
    """What reads haplotypes.

    Attributes
    ----------
    scorers : list of PairScorer
    width : int
        Bases of a window.
    identity : dict
        What the scores depend on, for those that are kept.
    loaded : Loaded or None
        The pre-trained model, where one is asked.
    """

    scorers: list[PairScorer]
    width: int
    identity: dict[str, Any]
    loaded: Loaded | None = None

    @property
    def notes(self) -> list[str]:
        """What a reader must know."""
        return [note for scorer in self.scorers for note in scorer.notes]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the D scores."""
        return tuple(name for scorer in self.scorers for name in scorer.sides)


def open_reader(
    model: str | Path | None,
    motifs: str | Path | None,
    *,
    store: Any = None,
    cell: str | None = None,
    window: int | None = None,
    device: Any = "auto",
) -> Reader:
    """Open a model, motifs, or both.

    Raises
    ------
    UsageError, CheckpointError, StoreError
        If there is nothing to read with, or an option does not fit the model.
    """
    if model is None and motifs is None:
        raise UsageError("there is nothing to read variants with", do="Give --model or --motifs.")
    scorers: list[PairScorer] = []
    loaded = None
    if model is not None:
        opened = open_model(
            model, EmbeddingScorer, no_answers_of_bases, store=store, cell=cell, device=device
        )
        loaded = opened.model if isinstance(opened, EmbeddingScorer) else None
        scorers.append(opened)
    elif store is not None or cell is not None:
        raise UsageError(
            "--store and --cell are of a fine-tuned model that reads places of a store",
            where=str(motifs),
            do="Leave both out, and give --genome.",
        )
    if motifs is not None:
        scorers.append(motifs_from(motifs))
    width = window_width(scorers, window, model)
    identity = {
        "model": digest(digest_of_weights(s.network).encode() for s in scorers if s.network),
        "motifs": digest(pwm.tobytes() for s in scorers for pwm in getattr(s, "pwms", ())),
        "store": None if store is None else store.fingerprint,
        "cell": cell,
        "width": width,
    }
    return Reader(scorers, width, identity, loaded)


@dataclass
class Deltas:
    """ALT less REF of V variants.

    Attributes
    ----------
    values : float64 (V, D)
        NaN rows where the window cannot be read.
    left_out : Counter
        Variants by why not.
    """

    values: Floats
    left_out: Counter[str]


def score_deltas(
    reader: Reader,
    changes: Sequence[Change],
    genome: Reference,
    *,
    shifts: Sequence[int] = (0,),
    keep: Path | None = None,
    say: Say | None = None,
) -> Deltas:
    """Score variants, block by block.

    Parameters
    ----------
    reader : Reader
    changes : sequence of Change, length V
        Normalised.
    genome : Reference
    shifts : sequence of int
        Places of the variant off the window's middle, in bp; the mean over them counts.
    keep : path, optional
        Folder for finished blocks: those of the same model, window and variants are not made again.
    say : callable, optional

    Returns
    -------
    Deltas
    """
    windowing = Windowing(reader.width, tuple(shifts))
    out = np.full((len(changes), len(reader.names)), np.nan)
    left_out: Counter[str] = Counter()
    good: list[int] = []
    for row, change in enumerate(changes):
        reason = reason_of_window(genome.codes(change.chrom), change, windowing)
        if reason is None:
            good.append(row)
        else:
            left_out[reason] += 1
    # Neighbours share a chromosome's bases; the numbers do not depend on the order.
    good.sort(key=lambda row: (changes[row].chrom, changes[row].start))
    # Blocks of another genome, model or window are other blocks.
    chroms = dict.fromkeys(changes[row].chrom for row in good)
    about = reader.identity | {"genome": digest_of_bases(genome, chroms)}
    kept = 0
    for start in range(0, len(good), BLOCK):
        rows = good[start : start + BLOCK]
        block = [changes[row] for row in rows]
        values, was_there = _block(reader, about, block, genome, windowing, keep)
        kept += len(rows) if was_there else 0
        out[rows] = values
        if say is not None and len(good) > 2 * BLOCK and start // BLOCK % 8 == 7:
            say(f"{start + len(rows):,} of {len(good):,} variants read")
    if kept and say is not None:
        say(f"{kept:,} of {len(good):,} variants had been read before")
    return Deltas(out, left_out)


def _block(
    reader: Reader,
    identity: dict[str, Any],
    block: Sequence[Change],
    genome: Reference,
    windowing: Windowing,
    keep: Path | None,
) -> tuple[NDArray[np.float64], bool]:
    about = identity | {
        "shifts": list(windowing.shifts),
        "names": list(reader.names),
        "variants": [list(change) for change in block],
    }
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
    file = keep / f"{key}.json" if keep is not None else None
    if file is not None and file.is_file():
        return np.array(json.loads(file.read_text(encoding="utf-8")), np.float64), True
    said = score_changes(reader.scorers, block, genome, windowing)
    values = np.stack([said[f"{name}_delta"] for name in reader.names], 1)
    if file is not None:
        write_json(file, values.tolist())
    return values, False

"""Sequences of which half hold a planted word, and a short fine-tuning on them."""

import numpy as np

from epilm.finetuning.finetune import finetune
from epilm.tasks.base import labelled
from epilm.tasks.sequence_task import SequenceOptions

QUICK = SequenceOptions(epochs=2, lr=1e-3, batch_size=16, device="cpu", precision="fp32")


def planted(count=240, width=40, seed=0, ragged=False):
    """Half of the sequences hold TGACTCA."""
    rng = np.random.default_rng(seed)
    rows = []
    labels = np.arange(count) % 2
    for label in labels:
        n = width - int(rng.integers(0, 10)) if ragged else width
        codes = rng.integers(0, 4, n).astype(np.uint8)
        if label:
            at = rng.integers(2, n - 9)
            codes[at : at + 7] = [3, 2, 0, 1, 3, 1, 0]
        rows.append(codes)
    return labelled(rows, labels, name="planted")


def quick(rows, out=None, **options):
    """A short fine-tuning of a tiny random encoder, and the lines it said."""
    lines = []
    own = {"checkpoint": "random", "size": "tiny", "k": 3, "settings": QUICK}
    result = finetune("sequences", rows, out, say=lines.append, **own | options)
    return result, lines


def said_of_all(result):
    """Probabilities (N, C) of a result's rows, in their order; 0 where no part holds a row."""
    out = np.zeros((len(result.lesson.examples), len(result.lesson.labels.names)))
    for part, rows in result.lesson.parts.items():
        out[rows] = result.said[part]
    return out

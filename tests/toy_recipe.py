"""A recipe as a file, with one line changed."""

from pathlib import Path

GOOD = """\
name: mine
model:
  name: genebert
  streams: [dna, factors]
  encoder: {size: tiny}
optim: {peak_lr: 4e-4, warmup_steps: 1e2}
train: {steps: 10, batch_size: 16, micro_batch: 8}
objectives:
  matching: {batch: 8}
sizes:
  tiny:
    train: {steps: 2}
"""


def written(folder: Path, text: str = GOOD, old: str = "", new: str = "") -> Path:
    assert old in text
    path = folder / "mine.yaml"
    path.write_text(text.replace(old, new) if old else text)
    return path

"""What a user chooses for a trial, as families of options: the command line flattens each of these
dataclasses and takes their docstrings as help; from Python they are passed whole.

Imports nothing heavy: `epilm compare --help` reads it.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class LabFiles:
    """Data of your own that an ablation is run on."""

    store: Path | None = None
    """Genome and tracks of the cell types."""
    data: Path | None = None
    """Of a table of labelled sequences: what its task reads, or a manifest of sets."""
    genome: list[Path] | None = None
    """For intervals of --data: FASTA, .2bit or a store; repeat it for several files."""
    labels: Path | None = None
    """Label file of the challenge, or a folder of such or of
    CELL.FACTOR.conservative.narrowPeak.gz."""
    regions: Path | None = None
    """Region file, or BED of regions: only bins in it."""
    blacklist: Path | None = None
    """BED of regions; bins that touch it are left out."""
    motifs: str | None = None
    """Motif file or jaspar:2018 for the baseline motif; those of the store where not given."""
    rule: Literal["challenge", "bin_half"] = "challenge"
    """How labels are made from peaks, as in epilm finetune."""
    runs: list[Path] | None = None
    """Folders of other ablations, or of epilm pretrain: a finished pre-training there of the same
    recipe, seed and store is linked in, not made again; repeat it for several folders."""

    def given(self) -> dict[str, str]:
        """The options that are not at their default, as text.

        Examples
        --------
        >>> LabFiles(store=Path("my.store"), genome=[Path("a.fa"), Path("b.fa")]).given()
        {'store': 'my.store', 'genome': 'a.fa b.fa'}
        """
        values = {item.name: (getattr(self, item.name), item.default) for item in fields(self)}
        return {
            name: " ".join(map(str, value)) if isinstance(value, list) else str(value)
            for name, (value, default) in values.items()
            if value != default
        }


@dataclass(frozen=True)
class SetFiles:
    """The labelled sets of a comparison: a manifest, or one set."""

    manifest: Path | None = None
    """Table of sets: name, task, data, and columns for options (genome, negatives, valid, test,
    factor, ...); a column published names the set of the GeneBERT paper's Table 2."""
    task: str | None = None
    """Instead of a manifest: one set's task."""
    data: Path | None = None
    """And its data."""
    genome: list[Path] | None = None
    """FASTA, .2bit or a store; repeat it for several files."""
    negative: Path | None = None
    """FASTA of the negatives."""
    negatives: str | None = None
    """How negatives are made, as in epilm finetune."""
    option: list[str] | None = None
    """More for the task, as name=value."""
    factor: str | None = None
    """Whose motif the motif baseline uses."""
    split: Literal["auto", "random", "chromosome", "given"] = "auto"
    """How rows are divided."""
    valid: list[str] | None = None
    """Chromosomes or regions of the valid split."""
    test: list[str] | None = None
    """Chromosomes or regions of the test split."""
    data_seed: int = 0
    """Of negatives and random splits: the same for every seed."""


@dataclass(frozen=True)
class Field:
    """Who competes, and how often."""

    models: list[str] | None = None
    """NAME=RUN; NAME=RUN@concat and NAME=RUN@cross_attention read the motif scores of the input
    too; of NAME=RUN@frozen no weight is changed: a logistic regression over the mean of its
    tokens; NAME=RUN@places and NAME=RUN@convolutions learn with that head (epilm ls heads)."""
    ensemble: bool = False
    """Where one NAME has several runs, one competitor more: NAME.ensemble, the mean of their logits
    (what epilm ensemble makes of fine-tuned runs)."""
    baselines: str = "kmer,cnn,random"
    """Of kmer, cnn, motif, motifs, random (the first model's twin without pre-training)."""
    motifs: str | None = None
    """Motif file or jaspar:2018."""
    seeds: int = 3
    """How many."""


@dataclass(frozen=True)
class Networks:
    """How the networks of a comparison learn."""

    epochs: int = 5
    """Of the language models; the CNN takes three times as many."""
    lr: list[float] | None = None
    """Learning rates; several are chosen among by valid AP. Where not given 2e-4; 2e-3 if lab
    recipes pre-trained all the models."""
    batch_size: int = 32
    """Rows of a step."""
    freeze: str = "none"
    """none, embeddings, encoder, or layers:N."""
    lora: int = 0
    """Rank of LoRA, of the language models; 0: none."""
    both_strands: bool = False
    """Learn from either strand and answer with the mean of both."""
    dropout: float = 0.1
    """Of encoder and head."""
    ema: float = 0.0
    """Judge and keep a moving average of the weights, of which so much stays at each step; 0: the
    weights themselves."""
    threshold: Literal["half", "valid"] = "half"
    """Where the second of two classes begins: half, at a probability of 0.5; valid, there too
    unless MCC on the valid part is better elsewhere by more than its standard error; of baselines
    too."""
    patience: int = 0
    """Stop after so many epochs without a better valid score; 0 never."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward pass."""

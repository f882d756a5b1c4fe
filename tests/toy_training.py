"""A model and batches small enough to reason about, with the shapes of the real ones."""

import numpy as np
import torch
from torch import Tensor, nn

from epilm.batch import Batch, Outputs, Sequences
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.objectives.contacts import ContactsSpec
from epilm.objectives.table import MaskSpec, MatchingSpec, NextSegmentSpec, ObjectivesSpec

VOCAB, LENGTH, REGIONS, FACTORS, WIDTH = 69, 12, 3, 8, 16


class ToyModel(nn.Module):
    """Mean of embedded tokens; a linear tower; dropout in both."""

    def __init__(self, dropout: float = 0.1, seed: int = 0, contacts: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(VOCAB, WIDTH)
            self.mix = nn.Linear(WIDTH, WIDTH)
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, VOCAB)
            self.head.weight = self.embed.weight
            self.tower = nn.Sequential(
                nn.Linear(FACTORS, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)
            )
            self.contact = nn.Linear(FACTORS, WIDTH) if contacts else None
        self.drop = nn.Dropout(dropout)
        self.log_temperature = nn.Parameter(torch.tensor(-1.0))

    def _dna(self, batch: Batch) -> tuple[Tensor, Tensor]:
        hidden = self.norm(
            self.drop(torch.tanh(self.mix(self.embed(batch.dna.ids)))) + self.embed(batch.dna.ids)
        )
        return hidden, hidden.mean(1).view(len(batch), REGIONS, -1).mean(1)

    def encode_contrasts(self, batch: Batch) -> Outputs:
        return Outputs(
            seq_embedding=self._dna(batch)[1],
            region_embedding=self.drop(self.tower(batch.factors)).mean(1),
            contact_embedding=self._contact(batch),
        )

    def _contact(self, batch: Batch) -> Tensor | None:
        return None if self.contact is None else self.contact(batch.factors[:, 0])

    def forward(self, batch: Batch) -> Outputs:
        hidden, seq = self._dna(batch)
        reg = self.drop(self.tower(batch.factors)).mean(1)
        scored = batch.dna.labels != -100
        return Outputs(
            masked_logits=self.head(hidden[scored]),
            masked_labels=batch.dna.labels[scored],
            seq_embedding=seq,
            region_embedding=reg,
            contact_embedding=self._contact(batch),
            log_temperature=self.log_temperature,
        )


def toy_genebert(dropout: float = 0.1) -> nn.Module:
    """A GeneBERT for the same batches: blocks, a tower, activations computed again."""
    spec = ModelSpec(
        k=3,
        regions=REGIONS,
        factors=FACTORS,
        encoder=EncoderSpec(
            hidden=WIDTH,
            layers=2,
            heads=2,
            ffn=WIDTH,
            max_positions=LENGTH,
            dropout=dropout,
            checkpoint_activations=True,
        ),
        max_tokens=LENGTH,
        next_segment="none",
        projection_dim=WIDTH,
    )
    return build_model(spec, seed=0)


def make_batch(rows: np.ndarray, step: int) -> Batch:
    """A function of rows and step alone, as the real maker is."""
    made = []
    for row in rows:
        draw = np.random.default_rng([int(row), step])
        same = np.random.default_rng([int(row)])  # what a sample is does not depend on the step
        ids = same.integers(5, VOCAB, (REGIONS, LENGTH))
        factors = same.normal(size=(REGIONS, FACTORS))
        labels = np.where(draw.random((REGIONS, LENGTH)) < 0.3, ids, -100)
        labels[:, 1] = ids[:, 1]
        made.append((np.where(labels >= 0, 4, ids), labels, factors))
    ids, labels, factors = (np.stack(part) for part in zip(*made, strict=True))
    flat = torch.from_numpy(ids).view(-1, LENGTH)
    n = len(rows)
    return Batch(
        rows=torch.as_tensor(rows),
        cells=torch.zeros(n, dtype=torch.int64),
        regions=torch.as_tensor(rows)[:, None] * REGIONS + torch.arange(REGIONS),
        dna=Sequences(
            flat,
            torch.zeros_like(flat),
            torch.ones_like(flat, dtype=torch.bool),
            torch.from_numpy(labels).view(-1, LENGTH),
        ),
        owner=torch.arange(n).repeat_interleave(REGIONS),
        factors=torch.from_numpy(factors).float(),
    )


def toy_objectives(
    group: int | None = 8, contacts: float = 0.0, **matching: object
) -> ObjectivesSpec:
    return ObjectivesSpec(
        contacts=ContactsSpec(weight=contacts),
        masked_kmers=MaskSpec(),
        next_segment=NextSegmentSpec(weight=0.0),
        matching=MatchingSpec(batch=group, **matching),  # type: ignore[arg-type]
    )

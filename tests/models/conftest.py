"""Toy specs and toy batches for models: random but lawful."""

from dataclasses import replace

import pytest
import torch

from epilm.batch import Batch, Sequences
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec

REGIONS, FACTORS, CELLS, LENGTH = 4, 13, 3, 12
ENCODER = EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=32, max_positions=16)
TOWER = TowerSpec(name="native", embed=8, depths=(1, 1), heads=(1, 2), window=2)


def make_spec(**changes):
    given = {
        "k": 3,
        "regions": REGIONS,
        "factors": FACTORS,
        "cells": CELLS,
        "encoder": ENCODER,
        "tower": TOWER,
        "max_tokens": 16,
        "projection_dim": 8,
    }
    return ModelSpec(**(given | changes))


def sequences(n, length=LENGTH, *, seed=0, labels=True):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 69, (n, length), generator=g)
    ids[:, 0], ids[:, -1] = 2, 3
    mask = torch.ones(n, length, dtype=torch.bool)
    mask[1::3, -3:] = False
    ids[~mask] = 0
    chosen = (torch.rand(n, length, generator=g) < 0.3) & mask
    chosen[:, [0, -1]] = False
    chosen[:, 2] = True
    answers = torch.where(chosen, ids, -100)
    segments = torch.zeros_like(ids)
    segments[:, length // 2 :] = 1
    return Sequences(torch.where(chosen, 4, ids), segments, mask, answers if labels else None)


def make_batch(spec, size=3, *, seed=0, clean=False, labels=True):
    g = torch.Generator().manual_seed(100 + seed)
    r = spec.regions
    if spec.layout == "per_region":
        owner = torch.arange(size).repeat_interleave(r)
    elif spec.layout == "chunk_rnn":
        owner = torch.cat([torch.full((2 + i % 2,), i) for i in range(size)])
    else:
        owner = torch.arange(size)
    dna = sequences(len(owner), seed=seed, labels=labels)
    factors = torch.randn(size, r, spec.factors, generator=g)
    contacts = torch.rand(size, r, r, generator=g)
    batch = Batch(
        rows=torch.arange(size),
        cells=torch.arange(size) % spec.cells,
        regions=torch.arange(size * r).view(size, r),
        dna=dna,
        owner=owner,
    )
    if clean:
        batch = replace(batch, clean=replace(sequences(len(owner), seed=seed), labels=None))
    if "factors" in spec.streams:
        three = spec.tower.prepare == "channels"
        batch = replace(batch, factors=factors[..., None].repeat(1, 1, 1, 3) if three else factors)
    if spec.masked_factors:
        hidden = torch.rand(factors.shape, generator=g) < 0.3
        batch = replace(
            batch,
            factor_hidden=hidden,
            factor_targets=factors,
            factors=factors.masked_fill(hidden, 0.0),
        )
    if "contacts" in spec.streams:
        batch = replace(batch, contacts=(contacts + contacts.transpose(1, 2)) / 2)
    if "states" in spec.streams:
        known = torch.randint(2, 3 + spec.states, dna.ids.shape, generator=g)
        known[(dna.ids < 4) & ~dna.mask | (dna.ids == 2) | (dna.ids == 3)] = 0
        answers = torch.full_like(known, -100)
        answers[:, 2] = 3 + torch.arange(len(known)) % spec.states
        batch = replace(batch, states=known, state_labels=answers)
    if spec.motif_sites:
        batch = replace(
            batch, motif_sites=torch.rand((*dna.ids.shape, spec.motif_sites), generator=g) < 0.1
        )
    if spec.next_segment == "cross":
        batch = replace(batch, pairs=sequences(5, seed=seed + 7), pair_labels=torch.arange(5) % 2)
    elif spec.next_segment == "bi":
        batch = replace(
            batch,
            pair_index=torch.tensor([[0, 1], [1, 5], [2, 3]]),
            pair_labels=torch.tensor([1, 0, 1]),
        )
    return batch


@pytest.fixture
def toy():
    class Toy:
        spec = staticmethod(make_spec)
        batch = staticmethod(make_batch)
        sequences = staticmethod(sequences)

    return Toy

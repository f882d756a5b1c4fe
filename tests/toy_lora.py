"""A small pre-trained model, and a short fine-tuning that adapts it."""

from dataclasses import replace

import torch

from epilm.models.model_spec import EncoderSpec, ModelSpec
from toy_sequences import QUICK, planted, quick

SHAPE = EncoderSpec(hidden=16, layers=2, heads=2, ffn=32, max_positions=64)


SPEC = ModelSpec(name="dnabert", streams=("dna",), k=3, max_tokens=20, encoder=SHAPE)


LORA = replace(QUICK, lora=2, lr=1e-2, dropout=0.2, both_strands=True)


def learned(base, out, rows=None, **changes):
    settings = replace(LORA, **changes)
    return quick(planted(60) if rows is None else rows, out, checkpoint=base, settings=settings)


def weights(model):
    return dict(model.network.state_dict())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

"""Heads that answer for every token: made where asked, kept under their name, silent else."""

from dataclasses import replace

import pytest
import torch

from epilm.batch import TOKEN_ANSWERS, Batch, Outputs, Sequences
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.token_heads import answer_tokens, asked_of_tokens, build_token_heads

ENCODER = EncoderSpec(size="tiny", hidden=8, layers=1, heads=2, ffn=8, dropout=0.0)
SPEC = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=ENCODER, motif_sites=4)
IDS = torch.tensor([[2, 7, 9, 3]])


def batch(sites):
    dna = Sequences(IDS, torch.zeros_like(IDS), IDS > 0)
    zero = torch.zeros(1, dtype=torch.int64)
    return Batch(
        rows=zero, cells=zero, regions=zero[:, None], dna=dna, owner=zero, motif_sites=sites
    )


def test_every_answer_has_its_fields_in_batch_outputs_and_spec():
    for answer in TOKEN_ANSWERS:
        assert answer.asked in Batch.__dataclass_fields__
        assert answer.said in Outputs.__dataclass_fields__
        assert answer.asked in ModelSpec.__dataclass_fields__


def test_a_head_says_at_first_that_things_are_as_rare_as_its_bias():
    (head,) = build_token_heads(SPEC, 8).values()
    assert head.weight.shape == (4, 8)
    assert float(torch.sigmoid(head.bias.detach()).mean()) == pytest.approx(0.001, abs=2e-4)
    assert build_token_heads(replace(SPEC, motif_sites=0), 8) == {}


@pytest.mark.parametrize("name", ["dbert", "dnabert"])
def test_tokens_are_answered_where_the_batch_asks_and_the_model_has_the_head(name):
    model = build_model(replace(SPEC, name=name, next_segment="none"), seed=1).eval()
    sites = torch.zeros((1, 4, 4), dtype=torch.bool)
    said = model(batch(sites)).motif_logits
    hidden = model.encoder(IDS, mask=IDS > 0)[0]
    torch.testing.assert_close(said, model.motif_head(hidden))
    assert model(batch(None)).motif_logits is None
    bare = build_model(replace(SPEC, name=name, next_segment="none", motif_sites=0), seed=1)
    assert bare(batch(sites)).motif_logits is None
    assert not asked_of_tokens(bare, batch(sites))
    out = Outputs()
    answer_tokens(bare, [], hidden, out)
    assert out.motif_logits is None

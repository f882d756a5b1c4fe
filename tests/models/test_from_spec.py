"""A model is built from what a checkpoint keeps of it, and what cannot be built is refused."""

from dataclasses import replace

import pytest
import torch

from epilm.errors import RecipeError
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec

SPEC = ModelSpec(
    name="dnabert",
    streams=("dna",),
    k=3,
    encoder=EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=32),
    next_segment="none",
)


def test_weights_are_a_function_of_the_seed_and_torchs_own_state_is_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = (build_model(SPEC, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.words.weight"], other["encoder.words.weight"])
    drawn = build_model(SPEC).state_dict()
    assert not torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(drawn["encoder.words.weight"], one["encoder.words.weight"])


def test_the_model_has_the_parts_that_its_spec_names():
    model = build_model(SPEC, seed=1)
    assert (model.encoder.vocab, len(model.encoder.blocks)) == (69, 1)
    assert model.tower is None
    states = replace(SPEC, name="ebert", streams=("dna", "states"), states=4, cells=2)
    assert build_model(states, seed=1).states.num_embeddings == 4 + 3  # three special states
    assert build_model(replace(SPEC, name="dbert", motif_sites=5), seed=1).motif_head is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "bert"}, r"model\.name: unknown model. Found bert. Did you mean"),
        ({"k": 8}, r"model\.k: k-mers of this width have no vocabulary. Found 8; expected 3 to 7"),
        ({"pooling": "sum"}, r"model\.pooling: unknown value. Found sum"),
        ({"streams": ("dna", "states")}, "dnabert reads dna alone"),
        ({"streams": ()}, r"model\.streams"),
        ({"stride": 0}, r"model\.stride"),
        ({"name": "ebert", "streams": ("dna", "states"), "states": 255}, "254"),
        ({"encoder": EncoderSpec(size="tiny", heads=5)}, "heads"),
    ],
)
def test_a_spec_that_cannot_become_a_model_is_refused_by_its_key(changes, message):
    with pytest.raises(RecipeError, match=message):
        build_model(replace(SPEC, **changes))

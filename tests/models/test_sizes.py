"""Named sizes of models."""

import pytest
import torch
from transformers import BertConfig, BertModel

from epilm.models.model_spec import EncoderSpec
from epilm.models.sizes import ENCODER_SIZES, encoder_from_spec, encoder_size


def test_named_sizes_are_those_of_the_table_and_can_be_changed():
    assert ENCODER_SIZES["tiny"] == (2, 64, 2, 256)
    assert ENCODER_SIZES["small"] == (4, 128, 4, 512)
    assert ENCODER_SIZES["base"] == (12, 768, 12, 3072)
    assert ENCODER_SIZES["large"] == (24, 1024, 16, 4096)
    assert encoder_size(EncoderSpec(size="tiny", hidden=48, ffn=9)) == (2, 48, 2, 9)


def test_impossible_sizes_name_the_key():
    from epilm.errors import RecipeError

    with pytest.raises(RecipeError, match=r"encoder\.hidden must be a multiple of encoder\.heads"):
        encoder_size(EncoderSpec(size="tiny", heads=3))
    with pytest.raises(RecipeError, match=r"unknown encoder size. Found bas. Did you mean base"):
        encoder_size(EncoderSpec(size="bas"))  # type: ignore[arg-type]


def test_base_has_the_parameters_of_bert_base():
    with torch.device("meta"):
        encoder = encoder_from_spec(EncoderSpec(size="base"), vocab=4101)
        bert = BertModel(BertConfig(vocab_size=4101))
    assert sum(p.numel() for p in encoder.parameters()) == sum(p.numel() for p in bert.parameters())

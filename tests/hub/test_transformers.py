"""Checkpoints in BERT's layout: DNABERT's loader rules (protocols 1.2) and messages."""

import json
import logging
import pickle

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM

from epilm.errors import CheckpointError
from epilm.hub.load import load
from epilm.hub.transformers import (
    from_bert_state,
    load_encoder,
    read_bert,
    to_bert_state,
)
from epilm.nn.encoder import SequenceEncoder
from epilm.tokens.kmers import vocab_size


def dnabert(k: int, seed: int = 0) -> BertForMaskedLM:
    torch.manual_seed(seed)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=vocab_size(k),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            max_position_embeddings=24,
        )
    ).eval()


def public_layout(model: BertForMaskedLM, pooler: bool = True) -> dict[str, torch.Tensor]:
    """The keys of zhihan1996/DNA_bert_k: position_ids, a pooler, a decoder."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["bert.embeddings.position_ids"] = torch.arange(24)[None]
    if pooler:
        state["bert.pooler.dense.weight"] = torch.randn(16, 16)
        state["bert.pooler.dense.bias"] = torch.randn(16)
    return state


def write(folder, state, model, binary=True):
    folder.mkdir(exist_ok=True)
    if binary:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(
            {name: value.contiguous() for name, value in state.items()},
            folder / "model.safetensors",
        )
    # Foreign keys of the published config are ignored by a plain BertConfig and by us.
    config = model.config.to_dict() | {
        "split": 10,
        "rnn": "lstm",
        "num_rnn_layer": 1,
        "rnn_hidden": 768,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("k", [3, 4, 5, 6])
@pytest.mark.parametrize("binary", [True, False])
def test_a_dnabert_checkpoint_gives_the_scores_of_bert(tmp_path, k, binary):
    model = dnabert(k)
    folder = write(tmp_path / "dnabert", public_layout(model), model, binary)
    loaded = load(folder)
    encoder, head = loaded.encoder, loaded.model.masked_head
    ids = torch.randint(5, vocab_size(k), (2, 11))
    mask = torch.arange(11) < torch.tensor([[11], [6]])
    with torch.no_grad():
        ours = head(encoder(ids, None, mask)[0])
        theirs = model(ids, attention_mask=mask.long()).logits
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=1e-5)


def test_a_missing_pooler_is_accepted_with_a_warning(tmp_path, caplog):
    model = dnabert(3)
    folder = write(tmp_path / "mlm", public_layout(model, pooler=False), model)
    with caplog.at_level(logging.WARNING):
        encoder = load(folder).encoder
    assert "no pooler (masked-LM weights alone)" in caplog.text
    assert encoder.pooler.weight.std() > 0


def test_weights_without_the_prefix_and_old_names_are_read():
    state = public_layout(dnabert(3))
    old = {
        name.removeprefix("bert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in state.items()
    }
    now, then = from_bert_state(state, 4), from_bert_state(old, 4)
    assert now.encoder.keys() == then.encoder.keys()
    assert all(torch.equal(now.encoder[name], then.encoder[name]) for name in now.encoder)
    assert now.head.keys() == then.head.keys()


def test_the_decoder_bias_stands_in_for_a_missing_prediction_bias():
    state = public_layout(dnabert(3))
    state["cls.predictions.decoder.bias"] = torch.arange(69.0)
    del state["cls.predictions.bias"]
    assert from_bert_state(state, 4).head["bias"].tolist() == list(range(69))


def test_classifier_and_rnn_weights_are_kept_apart():
    state = public_layout(dnabert(3)) | {
        "classifier.weight": torch.ones(2, 16),
        "rnn.bias": torch.ones(3),
    }
    assert sorted(from_bert_state(state, 4).other) == ["classifier.weight", "rnn.bias"]


def test_the_way_there_and_back_changes_nothing():
    state = public_layout(dnabert(3))
    found = from_bert_state(state, 4)
    back = to_bert_state(found.encoder, found.head)
    del state["bert.embeddings.position_ids"]
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_another_vocabulary_is_refused_and_its_k_named(tmp_path):
    model = dnabert(4)
    folder = write(tmp_path / "four", public_layout(model), model)
    with pytest.raises(CheckpointError) as error:
        read_bert(folder, 6)
    text = str(error.value)
    assert "the vocabulary is not that of 6-mers" in text
    assert "Found 261 ids, those of 4-mers; expected 4**6 + 5 = 4101" in text
    assert "Set model.k to 4" in text


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"bert.x": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"cannot be read as plain tensors.*which is never opened"
    ):
        read_bert(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match=r"cannot be read as plain tensors"):
        read_bert(tmp_path)


def test_a_truncated_file_is_refused(tmp_path):
    model = dnabert(3)
    for binary, name in ((True, "pytorch_model.bin"), (False, "model.safetensors")):
        folder = write(tmp_path / name, public_layout(model), model, binary)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match=r"cannot be read as plain tensors"):
            read_bert(folder)


def test_a_missing_layer_part_is_named(tmp_path):
    state = public_layout(dnabert(3))
    del state["bert.encoder.layer.1.attention.self.key.bias"]
    with pytest.raises(
        CheckpointError,
        match=r"Expected a weight named encoder\.layer\.1\.attention\.self\.key\.bias",
    ):
        from_bert_state(state, 4)


def test_nothing_is_downloaded(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"there is no such file or folder.*nothing is downloaded"
    ):
        read_bert("zhihan1996/DNA_bert_6")
    with pytest.raises(CheckpointError, match=r"there are no weights"):
        read_bert(tmp_path)


def test_another_arithmetic_is_refused(tmp_path):
    model = dnabert(3)
    model.config.hidden_act = "relu"
    folder = write(tmp_path / "relu", public_layout(model), model)
    with pytest.raises(
        CheckpointError, match=r"hidden_act is not BERT's. Found relu; expected gelu"
    ):
        read_bert(folder)


def test_an_encoder_with_more_positions_and_segments_takes_what_there_is():
    state = from_bert_state(public_layout(dnabert(3)), 4).encoder
    encoder = SequenceEncoder(69, 16, 2, 4, 32, max_positions=60, segments=10)
    own = encoder.types.weight.detach().clone()
    notes = load_encoder(encoder, state, "tile")
    assert torch.equal(encoder.positions.weight[24:48], encoder.positions.weight[:24])
    assert torch.equal(encoder.types.weight[:2], state["types.weight"])
    assert torch.equal(encoder.types.weight[2:], own[2:])
    assert notes == ["positions enlarged from 24 to 60 (tile)", "2 segment kinds taken over"]


def test_an_encoder_of_another_size_is_refused():
    state = from_bert_state(public_layout(dnabert(3)), 4).encoder
    with pytest.raises(
        CheckpointError, match=r"the encoders differ in depth. Found 2 layers; expected 1"
    ):
        load_encoder(SequenceEncoder(69, 16, 1, 4, 32), state)
    with pytest.raises(
        CheckpointError, match=r"words\.weight: the encoders differ. Found \(69, 16\)"
    ):
        load_encoder(SequenceEncoder(261, 16, 2, 4, 32), state)

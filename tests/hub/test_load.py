"""Checkpoints of EBERT, DBERT and their binding heads: round trips, starts, sequences without
states, export.
"""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.batch import Windows
from epilm.errors import CheckpointError
from epilm.hub.checkpoint import load_model, read_spec, save_model
from epilm.hub.export import export
from epilm.hub.load import find_masked_head, find_trunk, initialise, load
from epilm.models.binding_head import BindingModel, binding_from
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec, StemSpec
from epilm.tokens.kmers import kmer_ids, vocabulary, wrap
from epilm.tokens.state_tokens import PAD_STATE, UNKNOWN_STATE, real_tokens

TINY = EncoderSpec(size="tiny", layers=1)
EB = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=3,
    stride=3,
    states=5,
    encoder=TINY,
    max_tokens=40,
    next_segment="none",
)
DB = replace(EB, name="dbert", streams=("dna",), states=0)
CONCAT = replace(EB, state_combine="concat", special_tokens=False, tail="pad", pad_to_max=True)
OWN = replace(EB, state_output="own")
ABOUT = {"state_names": ["a", "b", "c", "d", "e"], "state_bin": 200, "window_bp": 100}


def saved(path, spec=EB, seed=3, extra=ABOUT):
    model = build_model(spec, seed=seed).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01)  # nothing stands at its start, the row of padding neither
    save_model(path, model, spec, extra)
    return model


@pytest.mark.parametrize("spec", [EB, DB, CONCAT, OWN], ids=["ebert", "dbert", "concat", "own"])
def test_a_model_comes_back_to_the_bit(tmp_path, spec):
    model = saved(tmp_path / "c", spec)
    again, found, extra = load_model(tmp_path / "c")
    assert (found, extra) == (spec, ABOUT)
    assert type(again) is type(model)
    mine, other = model.state_dict(), again.state_dict()
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert again.masked_head.weight is again.encoder.words.weight
    if spec.states:
        assert again.state_head.weight is (again.state_table or again.states).weight
    assert "ebert" in (tmp_path / "c" / "card.md").read_text() or not spec.states


def test_both_heads_are_found_by_what_they_are_tied_to(tmp_path):
    model = saved(tmp_path / "c")
    assert find_masked_head(model) is model.masked_head
    assert find_trunk(model) is model
    trunk = binding_from(model).trunk
    assert find_masked_head(trunk) is None


def test_a_binding_model_comes_back(tmp_path):
    about = {
        "signals": ["accessibility"],
        "factors": ["CTCF", "MAX"],
        "head": {"conv_channels": [4, 4], "dense": 6},
    }
    model = binding_from(
        build_model(EB, seed=1), signals=1, outputs=2, conv_channels=(4, 4), dense=6
    ).eval()
    save_model(tmp_path / "c", model, EB, {"binding": about})
    again = load(tmp_path / "c")
    assert isinstance(again.model, BindingModel)
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    windows = Windows(ids, ids > 0, torch.tensor([[0, 3, 4, 2, 0]]), torch.rand(1, 5, 1))
    assert torch.equal(again.model(windows), model(windows))
    assert again.embed(["ACGTAC"]).shape == (1, 64)


def test_a_factornet_comes_back_and_has_no_vectors_of_sequences(tmp_path):
    from epilm.models.baselines import FactorNet

    head = {"window_bp": 100, "filters": 6, "lstm": 4, "dense": 5}
    about = {"kind": "factornet", "signals": ["accessibility"], "factors": ["CTCF"], "head": head}
    model = FactorNet(1, 1, **head).eval()
    save_model(tmp_path / "c", model, DB, {"binding": about})
    again = load(tmp_path / "c")
    assert isinstance(again.model, FactorNet)
    assert torch.equal(again.model.motifs.weight, model.motifs.weight)
    with pytest.raises(CheckpointError, match=r"no sequence encoder. Found FactorNet"):
        again.embed(["ACGTAC"])


def test_sequences_are_embedded_with_unknown_states_and_this_is_said(tmp_path, caplog):
    model = saved(tmp_path / "c")
    sequence = "ACGTTGCAACGTACG"
    with caplog.at_level(logging.WARNING):
        vectors = load(tmp_path / "c").embed([sequence])
    assert "states are read as unknown" in caplog.text
    codes = np.array([["ACGT".index(letter) for letter in sequence]], dtype=np.uint8)
    ids, mask = wrap(torch.from_numpy(kmer_ids(codes, 3, 3)))
    states = torch.where(real_tokens(ids, mask), UNKNOWN_STATE, PAD_STATE)
    by_hand = model.encode(ids, mask, states)[:, 0].detach().numpy()
    np.testing.assert_allclose(vectors, by_hand, atol=1e-6)


def test_dbert_is_embedded_without_a_word_on_states(tmp_path, caplog):
    saved(tmp_path / "c", DB)
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path / "c").embed(["ACGTAC", "ACGTACGTA"]).shape == (2, 64)
    assert "states" not in caplog.text


def test_a_model_without_special_tokens_is_embedded_without_them(tmp_path):
    model = saved(tmp_path / "c", CONCAT)
    loaded = load(tmp_path / "c")
    codes = np.array([[0, 1, 2, 3, 0, 1, 2, 3, 3]], dtype=np.uint8)
    ids = torch.from_numpy(kmer_ids(codes, 3, 3))
    mean = model.encode(ids, torch.ones_like(ids, dtype=torch.bool)).mean(1).detach().numpy()
    np.testing.assert_allclose(loaded.embed([codes[0]]), mean, atol=1e-6)


def test_a_classifier_of_sequences_on_ebert_reads_unknown_states(tmp_path):
    from epilm.batch import Sequences
    from epilm.models.classifier import classifier_from

    model = saved(tmp_path / "c")
    arguments = {"n_labels": 2}
    classifier = classifier_from(model, **arguments).eval()
    ids = torch.tensor([[2, 7, 8, 9, 3, 0]])
    given = Sequences(ids, torch.zeros_like(ids), ids > 0)
    by_hand = classifier.head(model.encode(ids, ids > 0)[:, 0])
    assert torch.allclose(classifier(given), by_hand, atol=1e-6)
    save_model(tmp_path / "d", classifier, EB, {"classifier": arguments})
    again = load(tmp_path / "d").model
    assert torch.allclose(again(given), classifier(given), atol=1e-6)


# --- starting from a checkpoint ----------------------------------------------------


def start(tmp_path, spec=EB):
    model = build_model(spec, seed=9)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    named = replace(spec, encoder=replace(spec.encoder, init=str(tmp_path / "c")))
    return model, fresh, initialise(model, named)


def test_ebert_starts_from_ebert_with_its_states(tmp_path):
    source = saved(tmp_path / "c")
    model, _, notes = start(tmp_path)
    assert all(
        torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items()
    )
    assert notes == [
        "the vectors of 5 states taken over: number i must mean the same state in both stores"
    ]


def test_ebert_starts_from_dbert_with_fresh_states(tmp_path):
    source = saved(tmp_path / "c", DB)
    model, fresh, notes = start(tmp_path)
    assert torch.equal(model.encoder.words.weight, source.encoder.words.weight)
    assert torch.equal(model.masked_head.dense.weight, source.masked_head.dense.weight)
    assert torch.equal(model.states.weight, fresh["states.weight"])
    assert notes == ["the vectors of the 5 states are drawn anew (the checkpoint has none)"]


def test_another_number_of_states_is_drawn_anew_and_said(tmp_path):
    saved(tmp_path / "c", replace(EB, states=7))
    model, fresh, notes = start(tmp_path)
    assert torch.equal(model.states.weight, fresh["states.weight"])
    assert torch.equal(model.state_head.dense.weight, fresh["state_head.dense.weight"])
    assert "the checkpoint has 7" in notes[0]


def test_dbert_starts_from_ebert_with_the_head_of_kmers(tmp_path):
    source = saved(tmp_path / "c")
    model, _, notes = start(tmp_path, DB)
    assert torch.equal(model.masked_head.dense.weight, source.masked_head.dense.weight)
    assert not torch.equal(model.masked_head.dense.weight, source.state_head.dense.weight)
    assert notes == ["the checkpoint's states are not read"]


def test_concat_starts_from_sum_and_says_what_stays(tmp_path):
    saved(tmp_path / "c")
    model, fresh, notes = start(tmp_path, replace(EB, state_combine="concat"))
    assert torch.equal(model.join.dense.weight, fresh["join.dense.weight"])
    assert "join is not in both models: left as it was" in notes


def test_ebert_starts_from_dnabert(tmp_path):
    source = saved(
        tmp_path / "c",
        ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=TINY, next_segment="none"),
    )
    model, _, notes = start(tmp_path)
    assert torch.equal(model.encoder.blocks[0].up.weight, source.encoder.blocks[0].up.weight)
    assert any("drawn anew" in note for note in notes)


# --- refusals and export -----------------------------------------------------------


def test_weights_of_another_number_of_states_are_refused(tmp_path):
    saved(tmp_path / "c")
    path = tmp_path / "c" / "spec.json"
    table = json.loads(path.read_text().replace('"states": 5', '"states": 6'))
    del table["crc32"]  # a change that is meant
    path.write_text(json.dumps(table))
    assert read_spec(tmp_path / "c")[0].states == 6
    with pytest.raises(
        CheckpointError, match=r"of another shape \(state_head\.bias, states\.weight\)"
    ):
        load(tmp_path / "c")


@pytest.mark.parametrize(
    "spec", [EB, DB, replace(EB, state_combine="concat")], ids=["ebert", "dbert", "concat"]
)
def test_transformers_opens_an_export_and_reads_states_as_unknown(tmp_path, spec):
    pytest.importorskip("transformers")
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    model = saved(tmp_path / "c", spec)
    out = export(tmp_path / "c", tmp_path / "out")
    ids = torch.tensor([[2, 7, 8, 4, 9, 3]])
    words = " ".join(vocabulary(3)[number] for number in ids[0, 1:-1])
    given = AutoTokenizer.from_pretrained(out)(words, return_tensors="pt")
    assert given["input_ids"].tolist() == ids.tolist()
    with torch.no_grad():
        hidden = model.encode(ids, ids > 0)
        plain = AutoModel.from_pretrained(out).eval()(**given).last_hidden_state
        masked = AutoModelForMaskedLM.from_pretrained(out).eval()(**given).logits
        np.testing.assert_allclose(plain, hidden, atol=1e-5)
        np.testing.assert_allclose(masked, model.masked_head(hidden), atol=1e-5)
    said = "every state is read as unknown" in (out / "README.md").read_text()
    assert said == (spec.states > 0)
    assert "len(sequence) - 2, 3)" in (out / "README.md").read_text()


def test_rotary_positions_come_back_and_are_no_bert(tmp_path):
    spec = replace(EB, encoder=replace(EB.encoder, rotary=True))
    path = tmp_path / "model"
    again = saved(path, spec)
    loaded = load(path)
    assert loaded.encoder.rotary
    ids = torch.randint(5, 60, (2, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 12, dtype=torch.bool)
    assert torch.equal(loaded.model.encode(ids, mask), again.encode(ids, mask))
    with pytest.raises(CheckpointError, match="no rotary positions"):
        export(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spec", [EB, DB, CONCAT], ids=["ebert", "dbert", "concat"])
def test_a_stem_comes_back_reads_true_bases_and_is_no_bert(tmp_path, spec):
    spec = replace(spec, stem=StemSpec(filters=6, width=7))
    path = tmp_path / "model"
    model = saved(path, spec)
    again, found, _ = load_model(path)
    assert found == spec
    sequences = ["ACGTACGTTGCAAGCTGATTACA", "TTTTGATTACAGGGG"]
    vectors = load(path).embed(sequences)
    with torch.no_grad():
        model.encoder.stem.dense.weight.zero_()
        model.encoder.stem.dense.bias.zero_()
    save_model(tmp_path / "bare", model, spec, ABOUT)
    assert not np.allclose(load(tmp_path / "bare").embed(sequences), vectors)
    assert torch.equal(again.encoder.stem.table, model.encoder.stem.table)
    # The binding head's copy of the trunk has it, without a word said there.
    assert binding_from(again, seed=0).trunk.encoder.stem is not None
    with pytest.raises(CheckpointError, match="no stem of base resolution"):
        export(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_from_before_there_were_stems_opens(tmp_path):
    saved(tmp_path / "model", DB)
    about = tmp_path / "model" / "spec.json"
    table = json.loads(about.read_text())
    del table["model"]["stem"], table["crc32"]
    about.write_text(json.dumps(table))
    assert read_spec(tmp_path / "model")[0] == DB


def test_a_stem_is_started_from_where_there_is_one_and_else_anew(tmp_path):
    stem = StemSpec(filters=6, width=7)
    model = saved(tmp_path / "with", replace(DB, stem=stem))
    bare = saved(tmp_path / "without", DB)

    def started(start, stem):
        spec = replace(DB, stem=stem, encoder=replace(TINY, init=str(tmp_path / start)))
        fresh = build_model(spec, seed=9)
        return fresh, initialise(fresh, spec)

    fresh, notes = started("with", stem)
    assert torch.equal(fresh.encoder.stem.conv.weight, model.encoder.stem.conv.weight)
    assert notes == []
    fresh, notes = started("without", stem)
    assert notes == ["the stem left as it was: the weights have none"]
    assert torch.equal(fresh.encoder.words.weight, bare.encoder.words.weight)
    for other, said in ((None, "expected none"), (StemSpec(6, 5), "expected 6 filters of 5 bases")):
        with pytest.raises(
            CheckpointError, match=rf"a stem of 6 filters of 7 bases; {said}.*model\.stem"
        ):
            started("with", other)

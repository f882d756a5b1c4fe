"""Checkpoints of our own: round trip, export, opening, and every refusal."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from epilm.batch import Sequences
from epilm.errors import CheckpointError, DamagedError, EpilmError, InputError
from epilm.hub.checkpoint import load_model, read_spec, save_model, spec_from_dict
from epilm.hub.export import export
from epilm.hub.load import find_checkpoint, find_encoder, find_masked_head, initialise, load
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec
from epilm.tokens.kmers import kmer_ids, vocabulary

build_model = pytest.importorskip("epilm.models.from_spec").build_model

TINY = EncoderSpec(size="tiny", layers=1)
DNA = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=TINY, next_segment="none")
SMALL = TowerSpec(embed=8, depths=(1, 1), heads=(1, 2), window=2)
GENE = ModelSpec(k=3, regions=4, factors=16, encoder=TINY, tower=SMALL, projection_dim=16)


@pytest.fixture(scope="module")
def model():
    return build_model(DNA, seed=1).eval()


@pytest.fixture
def saved(tmp_path, model):
    return save_model(tmp_path / "checkpoint", model, DNA, {"store": "f00d", "step": 7})


def test_a_checkpoint_is_plain_files_and_nothing_else(saved):
    assert sorted(p.name for p in saved.iterdir()) == [
        "card.md",
        "model.safetensors",
        "spec.json",
        "vocab.txt",
    ]
    assert (saved / "vocab.txt").read_text().split() == vocabulary(3)
    table = json.loads((saved / "spec.json").read_text())
    assert table["model"]["k"] == 3
    assert table["extra"] == {"store": "f00d", "step": 7}
    assert "- step: 7" in (saved / "card.md").read_text()


@pytest.mark.parametrize("spec", [DNA, GENE], ids=["dna", "genebert"])
def test_a_model_comes_back_to_the_bit(tmp_path, spec):
    model = build_model(spec, seed=3)
    save_model(tmp_path / "c", model, spec)
    again, found, extra = load_model(tmp_path / "c")
    assert (found, extra) == (spec, {})
    assert not again.training
    assert again.masked_head.weight is again.encoder.words.weight
    mine, other = model.state_dict(), again.state_dict()
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_a_classifier_comes_back(tmp_path):
    from epilm.models.classifier import SequenceClassifier, classifier_from

    arguments = {"n_labels": 3, "pooling": "mean"}
    classifier = classifier_from(build_model(DNA, seed=3), **arguments)
    save_model(tmp_path / "c", classifier, DNA, {"classifier": arguments})
    again = load(tmp_path / "c")
    assert isinstance(again.model, SequenceClassifier)
    assert torch.equal(again.model.head.out.weight, classifier.head.out.weight)
    assert again.embed(["ACGTAC"]).shape == (1, 64)


def test_an_existing_folder_is_kept_unless_told_otherwise(saved, model):
    with pytest.raises(EpilmError, match=r"the folder exists already"):
        save_model(saved, model, DNA)
    save_model(saved, model, DNA, {"step": 8}, overwrite=True)
    assert read_spec(saved)[1] == {"step": 8}


def test_a_failure_leaves_nothing_behind(tmp_path, model):
    with pytest.raises(TypeError):
        save_model(tmp_path / "c", model, DNA, {"step": object()})
    assert [p.name for p in tmp_path.iterdir()] == []


def test_a_damaged_checkpoint_is_refused(saved):
    whole = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(CheckpointError, match=r"the weights cannot be read"):
        load_model(saved)
    (saved / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"the weights cannot be read"):
        load_model(saved)
    (saved / "spec.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"the checkpoint's spec cannot be read"):
        load_model(saved)
    (saved / "spec.json").unlink()
    with pytest.raises(
        CheckpointError, match=r"this is no checkpoint. Expected a folder with spec\.json"
    ):
        load_model(saved)


def flip_a_bit(file, at):
    """Change the lowest bit of one byte; `at` counts from the end where it is negative."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("at", [-1, -5000, -100_000])
def test_one_flipped_bit_of_a_weight_is_found_and_the_weight_named(saved, at):
    flip_a_bit(saved / "model.safetensors", at)
    with pytest.raises(
        DamagedError, match=r"does not hold what was written. Found another checksum of 1 of \d+"
    ):
        load_model(saved)
    with pytest.raises(DamagedError, match=r"does not hold what was written"):
        load(saved)


def test_a_changed_digit_of_the_spec_is_found(saved):
    path = saved / "spec.json"
    path.write_text(path.read_text().replace('"step": 7', '"step": 6'))
    with pytest.raises(
        DamagedError, match=r"damaged, or was changed by hand.*remove \"crc32\" from the file"
    ):
        read_spec(saved)


def test_a_checkpoint_made_before_there_were_checksums_opens(saved, model):
    from safetensors.torch import load_file, save_file

    save_file(load_file(saved / "model.safetensors"), saved / "old", metadata={"format": "pt"})
    (saved / "old").replace(saved / "model.safetensors")
    change(saved)
    again, _, extra = load_model(saved)
    assert torch.equal(again.encoder.words.weight, model.encoder.words.weight)
    assert extra == {"store": "f00d", "step": 7}


def test_of_a_run_the_last_intact_checkpoint_is_taken_and_said(tmp_path, model, caplog):
    steps = [tmp_path / "run" / "checkpoints" / f"step_{n:08d}" for n in (5, 10)]
    for folder in steps:
        save_model(folder, model, DNA, {"at": folder.name})
    assert find_checkpoint(tmp_path / "run") == steps[1]
    flip_a_bit(steps[1] / "model.safetensors", -1)
    assert load(tmp_path / "run").extra == {"at": "step_00000005"}
    assert "does not hold what was written" in caplog.text
    assert f"{steps[0]} is read instead" in caplog.text
    flip_a_bit(steps[0] / "model.safetensors", -1)
    with pytest.raises(DamagedError, match=r"step_00000010.*does not hold what was written"):
        load(tmp_path / "run")


def test_weights_to_start_from_are_looked_at_too(saved, model):
    flip_a_bit(saved / "model.safetensors", -1)
    spec = dataclasses.replace(DNA, encoder=dataclasses.replace(TINY, init=str(saved)))
    with pytest.raises(DamagedError, match=r"does not hold what was written"):
        initialise(build_model(spec), spec)


def test_a_damaged_export_is_refused(exported):
    load(exported)
    flip_a_bit(exported / "model.safetensors", -1)
    with pytest.raises(DamagedError, match=r"does not hold what was written"):
        load(exported)


def change(saved, **values):
    table = json.loads((saved / "spec.json").read_text())
    table.pop("crc32", None)  # a change that is meant
    for key, value in values.items():
        (table["model"] if key in table["model"] or key == "heads2" else table)[key] = value
    (saved / "spec.json").write_text(json.dumps(table))


def test_weights_of_another_model_are_refused(saved):
    change(saved, k=4)
    with pytest.raises(
        CheckpointError,
        match=r"not those of the model.*2 of another shape \(encoder\.words\.weight",
    ):
        load_model(saved)


def test_a_newer_checkpoint_is_refused(saved):
    change(saved, heads2=3)
    with pytest.raises(CheckpointError, match=r"unknown key; a newer epilm wrote it. Found heads2"):
        load_model(saved)
    change(saved, format=2)
    with pytest.raises(CheckpointError, match=r"has another format. Found 2; expected 1"):
        load_model(saved)


def test_a_spec_survives_json():
    spec = ModelSpec(
        streams=("dna", "factors"), factors=5, encoder=EncoderSpec(size="small", layers=3)
    )
    from dataclasses import asdict

    assert spec_from_dict(ModelSpec, json.loads(json.dumps(asdict(spec)))) == spec


def test_a_run_is_opened_at_its_newest_checkpoint(tmp_path, model):
    for step in (9, 10, 100):
        save_model(
            tmp_path / "run" / "checkpoints" / f"step_{step}" / "model", model, DNA, {"step": step}
        )
    assert load(tmp_path / "run").extra == {"step": 100}
    save_model(tmp_path / "run" / "model", model, DNA, {"step": "final"})
    assert load(tmp_path / "run").extra == {"step": "final"}


def test_a_run_without_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no such run or checkpoint"):
        load(tmp_path / "nothing")
    with pytest.raises(
        CheckpointError, match=r"there is no checkpoint in it.*start it again; it resumes"
    ):
        find_checkpoint(tmp_path)


def test_embeddings_are_the_encoders(saved, model):
    loaded = load(saved)
    vectors = loaded.embed(
        ["ACGTACGTA", "acgnacgtacgtt", np.array([0, 1, 2, 3, 0], dtype=np.uint8)], batch_size=2
    )
    assert vectors.shape == (3, 64)
    assert vectors.dtype == np.float32
    ids = torch.tensor(
        [[2, *kmer_ids(np.array([0, 1, 2, 3, 0, 1, 2, 3, 0], dtype=np.uint8), 3), 3]]
    )
    with torch.no_grad():
        hidden, _ = model.encoder(ids)
    np.testing.assert_allclose(vectors[0], hidden[0, 0].numpy(), atol=1e-5)
    mean = loaded.embed(["ACGTACGTA"], pooling="mean")
    np.testing.assert_allclose(mean[0], hidden[0].mean(0).numpy(), atol=1e-5)
    pooled = loaded.embed(["ACGTACGTA"], pooling="pooler")
    np.testing.assert_allclose(pooled[0], model.encoder.pool(hidden)[0].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_a_vector_is_the_one_that_was_trained(tmp_path, pooling):
    """What `embed` gives is what the losses saw: the model's own pool, padding left out."""
    spec = dataclasses.replace(DNA, pooling=pooling)
    model = build_model(spec, seed=5).eval()
    loaded = load(save_model(tmp_path / "c", model, spec))
    sequences = [np.array([0, 1, 2, 3, 0, 1, 2], np.uint8), np.array([3, 2, 1, 0, 3], np.uint8)]
    ids = torch.zeros((2, 7), dtype=torch.int64)
    for row, codes in zip(ids, sequences, strict=True):
        kmers = [2, *kmer_ids(codes, 3), 3]
        row[: len(kmers)] = torch.tensor(kmers)
    with torch.no_grad():
        read = model.read(Sequences(ids, torch.zeros_like(ids), ids != 0))
        trained = model.pool(read.tokens, ids != 0)
    np.testing.assert_allclose(loaded.embed(sequences), trained.numpy(), atol=1e-6)


def test_a_pooling_that_is_none_is_refused(saved):
    with pytest.raises(
        InputError, match=r"unknown pooling. Found first; expected cls \| mean \| pooler \| max"
    ):
        load(saved).embed(["ACGTACGTA"], pooling="first")


def test_a_long_sequence_is_the_mean_of_its_pieces(saved):
    loaded = load(saved)
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 4, 1000, dtype=np.uint8)  # 998 3-mers: pieces of 499 and 499
    whole = loaded.embed([codes])[0]
    pieces = loaded.embed([codes[:501], codes[499:]])
    np.testing.assert_allclose(whole, pieces.mean(0), atol=1e-5)


def test_embedding_leaves_the_model_as_it_was(saved):
    loaded = load(saved)
    loaded.model.train()
    first = loaded.embed(["ACGTACGTA"])
    assert loaded.model.training
    assert np.array_equal(first, loaded.embed(["ACGTACGTA"]))
    assert loaded.embed([]).shape == (0, 64)


def test_a_sequence_that_is_too_short_is_named(saved):
    loaded = load(saved)
    with pytest.raises(
        InputError,
        match=r"sequence 2: the sequence is too short. Found 2 bases; expected at least k = 3",
    ):
        loaded.embed(["ACGT", "AC"])
    with pytest.raises(InputError, match=r"Pass a list of sequences"):
        loaded.embed("ACGT")


@pytest.fixture
def exported(tmp_path, saved):
    return export(saved, tmp_path / "exported")


def test_transformers_opens_an_export_without_our_code(exported, saved, model):
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(exported)
    sequence = "ACGTACGGTNCA"
    batch = tokenizer(" ".join(sequence[i : i + 3] for i in range(10)), return_tensors="pt")
    codes = np.array(["ACGTN".index(base) for base in sequence], dtype=np.uint8)
    assert batch["input_ids"][0].tolist() == [2, *kmer_ids(codes, 3), 3]
    with torch.no_grad():
        hidden, _ = model.encoder(batch["input_ids"])
        plain = AutoModel.from_pretrained(exported).eval()(**batch)
        masked = AutoModelForMaskedLM.from_pretrained(exported).eval()(**batch)
    torch.testing.assert_close(plain.last_hidden_state, hidden, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        plain.pooler_output, model.encoder.pool(hidden), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(masked.logits, model.masked_head(hidden), atol=1e-5, rtol=1e-5)
    assert tokenizer.mask_token_id == 4
    assert tokenizer.convert_ids_to_tokens([5, 68]) == ["AAA", "GGG"]


def test_an_export_can_be_loaded_again(exported, saved):
    first, again = load(saved), load(exported)
    np.testing.assert_allclose(again.embed(["ACGTACGTA"]), first.embed(["ACGTACGTA"]), atol=1e-6)
    assert again.spec.k == 3


def spec_with_init(path, **changes):
    from dataclasses import replace

    return replace(DNA, encoder=replace(TINY, init=str(path), **changes))


@pytest.mark.parametrize("kind", ["ours", "exported"])
def test_a_new_model_starts_from_the_weights_a_recipe_names(saved, exported, model, kind):
    spec = spec_with_init(saved if kind == "ours" else exported, max_positions=700)
    fresh = build_model(spec, seed=9)
    notes = initialise(fresh, spec)
    assert notes == ["positions enlarged from 512 to 700 (tile)"]
    assert torch.equal(find_encoder(fresh).words.weight, model.encoder.words.weight)
    assert torch.equal(
        find_encoder(fresh).positions.weight[512:], model.encoder.positions.weight[:188]
    )
    assert torch.equal(find_masked_head(fresh).dense.weight, model.masked_head.dense.weight)
    assert find_masked_head(fresh).weight is find_encoder(fresh).words.weight


def test_no_init_changes_nothing():
    fresh = build_model(DNA, seed=9)
    before = fresh.state_dict()["encoder.words.weight"].clone()
    assert initialise(fresh, DNA) == []
    assert torch.equal(fresh.state_dict()["encoder.words.weight"], before)


def test_an_init_of_another_k_or_heads_is_refused(saved, exported):
    from dataclasses import replace

    spec = replace(spec_with_init(saved), k=4)
    with pytest.raises(
        CheckpointError,
        match=r"the checkpoint has another k. Found 3; expected 4. Set model\.k to 3",
    ):
        initialise(build_model(spec), spec)
    spec = spec_with_init(exported, heads=4)
    with pytest.raises(CheckpointError, match=r"differ in attention heads. Found 2; expected 4"):
        initialise(build_model(spec), spec)
    spec = spec_with_init(saved, heads=4)
    with pytest.raises(CheckpointError, match=r"differ in attention heads. Found 2; expected 4"):
        initialise(build_model(spec), spec)
    spec = spec_with_init(saved.parent / "gone")
    with pytest.raises(CheckpointError, match=r"there is no such file or folder"):
        initialise(build_model(spec), spec)

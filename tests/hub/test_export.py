"""A checkpoint handed to transformers gives the same numbers there."""

import json
import os

import pytest
import torch

from epilm.errors import CheckpointError, EpilmError
from epilm.hub.checkpoint import load_model, save_model
from epilm.hub.export import export
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec

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


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_every_file_of_a_checkpoint_has_the_rights_that_the_umask_leaves(
    tmp_path, model, mask, mode
):
    before = os.umask(mask)
    try:
        saved = save_model(tmp_path / "c", model, DNA)
        out = export(saved, tmp_path / "out")
    finally:
        os.umask(before)
    for folder in (saved, out):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in files} == {mode}
        assert folder.stat().st_mode & 0o777 == 0o777 & ~mask


def test_an_export_keeps_what_has_no_place_in_the_layout(tmp_path):
    model = build_model(GENE, seed=2)
    save_model(tmp_path / "c", model, GENE, {"step": 1})
    out = export(tmp_path / "c", tmp_path / "out")
    again, spec, _ = load_model(out / "epilm")
    assert spec == GENE
    assert torch.equal(
        again.tower.state_dict()[next(iter(again.tower.state_dict()))],
        model.tower.state_dict()[next(iter(model.tower.state_dict()))],
    )


def test_the_pair_head_is_exported_with_its_classes_the_other_way_round(tmp_path):
    from transformers import BertForNextSentencePrediction

    spec = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=TINY, next_segment="cross")
    model = build_model(spec, seed=2).eval()
    save_model(tmp_path / "c", model, spec)
    bert = BertForNextSentencePrediction.from_pretrained(
        export(tmp_path / "c", tmp_path / "out")
    ).eval()
    ids = torch.tensor([[2, 7, 8, 3, 9, 10, 3]])
    segments = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    with torch.no_grad():
        ours = model.pair_head(model.encoder.pool(model.encoder(ids, segments)[0]))
        theirs = bert(ids, token_type_ids=segments).logits
    torch.testing.assert_close(theirs.flip(1), ours, atol=1e-5, rtol=1e-5)


def test_a_model_without_masked_head_is_exported_as_a_plain_encoder(tmp_path):
    from transformers import AutoModel

    from epilm.models.classifier import classifier_from

    classifier = classifier_from(build_model(DNA, seed=3), n_labels=2).eval()
    save_model(tmp_path / "c", classifier, DNA, {"classifier": {"n_labels": 2}})
    out = export(tmp_path / "c", tmp_path / "out")
    assert json.loads((out / "config.json").read_text())["architectures"] == ["BertModel"]
    ids = torch.tensor([[2, 7, 8, 3]])
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(out).eval()(ids).last_hidden_state
        torch.testing.assert_close(hidden, classifier.encoder(ids)[0], atol=1e-5, rtol=1e-5)


def test_a_runs_state_without_card_is_exported(tmp_path, saved):
    (saved / "card.md").unlink()
    (saved / "vocab.txt").unlink()
    out = export(saved, tmp_path / "out")
    assert sorted(p.name for p in (out / "epilm").iterdir()) == ["model.safetensors", "spec.json"]


def test_an_export_is_whole_or_absent(tmp_path, saved):
    (tmp_path / "out").mkdir()
    with pytest.raises(EpilmError, match=r"the folder exists already"):
        export(saved, tmp_path / "out")
    with pytest.raises(CheckpointError):
        export(tmp_path / "nothing", tmp_path / "out2")
    assert not (tmp_path / "out2").exists()
    with pytest.raises(
        EpilmError, match=r"there is no such layout. Found onnx; expected transformers"
    ):
        export(saved, tmp_path / "out3", "onnx")


def test_the_command_exports(tmp_path, saved, capsys):
    from epilm.cli import main

    assert main(["export", str(saved), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "config.json").is_file()
    assert str(tmp_path / "out") in capsys.readouterr().out

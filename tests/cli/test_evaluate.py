"""`epilm evaluate`: what it says of a path that is not there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.cli import main
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from toy_sequences import planted, quick
from toy_store import toy_store


@pytest.mark.parametrize(
    "words", [[], ["--data", "rows.tsv"], ["--task", "promoter", "--data", "rows.tsv"]]
)
def test_a_run_that_is_not_there_says_what_may_be_given(tmp_path, capsys, words):
    assert main(["evaluate", str(tmp_path / "nothere.tab"), *words]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "nothere.tab: there is no such run or table of predictions. Expected a run of epilm"
        " finetune" in said
    )
    assert "(.tab, .tab.gz) are scored with --task binding" in said


def test_a_device_is_refused_where_it_is_not_and_said_to_be_unused_where_nothing_is_predicted(
    tmp_path, capsys, monkeypatch
):
    table = tmp_path / "predictions.tsv"
    table.write_text(
        "origin\tchrom\tstart\tend\tsplit\tlabel\tp_0\tp_1\n"
        "a\tchr1\t0\t9\ttest\t0\t0.9\t0.1\nb\tchr1\t9\t18\ttest\t1\t0.2\t0.8\n"
    )
    assert main(["evaluate", str(table), "--device", "cpu"]) == 0
    assert "--device cpu is not used: predictions made before are scored" in capsys.readouterr().err
    assert main(["evaluate", str(table)]) == 0
    assert "not used" not in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for more in ([], ["--task", "dream"]):
        assert main(["evaluate", str(table), "--device", "cuda", *more]) == 1
        assert "the run asks for cuda, which is not here" in " ".join(
            capsys.readouterr().err.split()
        )


def test_a_store_of_another_pretraining_is_refused(tmp_path, capsys):
    """Overlaps with the regions of a store that the model never saw would say nothing of a leak."""
    store = toy_store(tmp_path / "toy.store")
    spec = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))
    rows = planted(60)
    placed = replace(
        rows,
        chrom=np.full(60, store.chroms[0]),
        start=np.arange(60) * 100,
    )
    for name, fingerprint in (("same", store.fingerprint), ("other", "0" * 64)):
        began = {"holdout_chroms": [], "store": fingerprint}
        save_model(tmp_path / name, build_model(spec), spec, began)
        quick(placed, tmp_path / f"ft_{name}", checkpoint=tmp_path / name, epochs=1)
    given = ["--store", str(store.path)]
    assert main(["evaluate", str(tmp_path / "ft_same"), *given]) == 0
    assert "of the test sequences overlap regions of the pre-training" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "ft_other"), *given]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "the pre-training of this model belongs to another store: other regions" in said
    assert f"Found fingerprint {'0' * 12}; expected {store.fingerprint[:12]}" in said

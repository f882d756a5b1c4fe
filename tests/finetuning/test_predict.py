"""What a model says: the same numbers in any batch and order, letters, intervals and bins, files,
what is refused.
"""

import gzip
from dataclasses import replace

import numpy as np
import pybigtools
import pytest
import torch

from epilm.errors import CheckpointError, InputError, StoreError, UsageError
from epilm.finetuning.predict import predict
from epilm.models.classifier import SequenceClassifier
from epilm.tasks.base import labelled
from epilm.tasks.binding import Bins
from epilm.tasks.binding.dream.submission import read_submission
from toy_binding import said
from toy_sequences import QUICK as SHORT
from toy_sequences import planted, quick, said_of_all

# -- sequences


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ft"
    result, _ = quick(planted(80, ragged=True), folder, settings=replace(SHORT, epochs=1))
    return result


def test_batch_sizes_agree(tuned):
    rows = tuned.lesson.examples
    one = predict(tuned.model, rows, device="cpu", batch_size=1).probabilities
    many = predict(tuned.model, rows, device="cpu", batch_size=64).probabilities
    assert np.allclose(one, many, atol=1e-6)


@pytest.mark.parametrize("learned", ["either strand", "one strand"])
def test_both_strands_give_the_same_answer_to_either(learned):
    """Also asked of a model that learned from one strand alone."""
    both = learned == "either strand"
    result, _ = quick(planted(80), settings=replace(SHORT, epochs=1, both_strands=both))
    rows = result.lesson.examples
    turned = labelled(list(3 - rows.codes[:, ::-1]), rows.labels)
    asked = {"device": "cpu"} if both else {"device": "cpu", "both_strands": True}
    there, back = (predict(result.model, each, **asked).probabilities for each in (rows, turned))
    assert np.allclose(there, back, atol=1e-5)
    alone = predict(result.model, rows, device="cpu", both_strands=False).probabilities
    assert not np.allclose(alone, there, atol=1e-5)


def test_what_cannot_be_predicted_is_named(tuned, tmp_path):
    with pytest.raises(UsageError, match="nothing to predict is named"):
        predict(tuned.model)
    with pytest.raises(InputError, match="there are no sequences to predict"):
        predict(tuned.model, [])
    with pytest.raises(UsageError, match=r"predict sequences: no such option. Found --cell, an op"):
        predict(tuned.model, ["ACGT"], cell="typeA")
    with pytest.raises(UsageError, match=r"--batch-size: impossible value. Found 0"):
        predict(tuned.model, ["ACGT"], batch_size=0)


def test_running_out_of_memory_names_what_fits(tuned, monkeypatch):
    """Passes of more than 10 sequences fail as a full card does."""
    plain = SequenceClassifier.forward

    def full(self, windows, *more):
        if len(windows.ids) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, windows, *more)

    monkeypatch.setattr(SequenceClassifier, "forward", full)
    texts = [tuned.lesson.examples.text(i) for i in range(40)]
    with pytest.raises(
        UsageError, match=r"out of memory. Found 40 rows on cpu.*set --batch-size to 10"
    ):
        predict(tuned.model, texts, device="cpu")
    fitting = predict(tuned.model, texts, device="cpu", batch_size=10)
    assert np.allclose(fitting.probabilities, said_of_all(tuned)[:40], atol=1e-6)


# -- bins


def written(model, store, cell, bins, out, **options):
    """What `predict` writes."""
    options = {"device": "cpu", "precision": "fp32", "say": lambda line: None} | options
    return predict(model, out=out, store=store, cell=cell, bins=bins, **options)


def test_a_cell_type_without_states_is_refused_and_one_without_labels_is_not(
    model, store, bins, tmp_path
):
    out = tmp_path / "F.MAX.x.tab"
    asked = {"factor": "MAX", "out": out}
    with pytest.raises(StoreError, match=r"no track of states. Found typeD"):
        written(model, store, "typeD", bins, **asked)
    with pytest.raises(StoreError, match=r"no such cell type"):
        written(model, store, "liver", bins, **asked)
    wide = Bins(bins.chroms, bins.chrom, bins.start, 100)
    with pytest.raises(
        UsageError, match=r"not those the model was made for. Found 100 bp; expected 200 bp"
    ):
        written(model, store, "typeA", wide, **asked)
    other = Bins(("chr9",), np.zeros(1, np.int16), np.zeros(1, np.int32))
    with pytest.raises(StoreError, match=r"no such chromosome"):
        written(model, store, "typeA", other, **asked)
    past = Bins(store.chroms, np.array([0, 2], np.int16), np.array([0, store.sizes[2] - 150]), 200)
    with pytest.raises(
        InputError, match=r"a bin ends past its chromosome; 1 on chr3 do.*two assemblies"
    ):
        written(model, store, "typeA", past, **asked)
    names = replace(store.states, names=("a", "b", "c", "d"))
    with pytest.raises(
        CheckpointError, match=r"not those the model was made with. Found 4 states \(a, b, c"
    ):
        written(model, replace(store, states=names), "typeA", bins, **asked)
    assert not out.exists()


def test_what_bins_need_is_asked_for(model, store, bins, tmp_path):
    with pytest.raises(UsageError, match=r"bins need a store, a cell type and a file.*--cell"):
        predict(model, store=store)
    with pytest.raises(UsageError, match=r"no bins are named.*--chroms, --regions FILE, or --bins"):
        predict(model, out=tmp_path / "p.tab", store=store, cell="typeA", device="cpu")
    with pytest.raises(UsageError, match=r"sequences and bins do not go together. Found a.fa"):
        predict(model, "a.fa", tmp_path / "p.tab", store=store)
    with pytest.raises(UsageError, match=r"predict binding: no such option. Found --window, an op"):
        predict(model, window=100)


def test_a_declared_proxy_is_said(model, store, bins, tmp_path):
    declared = replace(store, states=replace(store.states, proxies={"typeA": "typeB"}))
    told = []
    out = tmp_path / "F.MAX.typeA.tab"
    few = bins.take(slice(4))
    written(model, declared, "typeA", few, out, factor="MAX", say=told.append)
    assert "WARNING: the states of typeA are those of typeB, a declared proxy" in told


def test_predictions_go_to_the_challenges_file_to_bigwig_and_to_parquet(
    model, store, bins, tmp_path
):
    import pyarrow.parquet

    expected = said(model, store, "typeA", bins)[:, 1]
    done = written(model, store, "typeA", bins, tmp_path / "F.MAX.typeA.tab.gz", factor="MAX")
    assert done.mean == pytest.approx(expected.mean(), rel=1e-4)
    assert (done.bins, done.cell) == (len(bins), "typeA")
    submission = read_submission(tmp_path / "F.MAX.typeA.tab.gz", bins)
    assert np.allclose(submission.scores, expected, atol=1e-6)
    with gzip.open(tmp_path / "F.MAX.typeA.tab.gz", "rt") as text:
        assert text.readline().split("\t")[:3] == ["chr2", "600", "800"]
    written(model, store, "typeA", bins, tmp_path / "p.bw", factor="MAX")
    track = pybigtools.open(str(tmp_path / "p.bw"))
    one_bin_alone = track.values("chr2", 600, 650)[0]
    assert one_bin_alone == pytest.approx(expected[0], abs=1e-5)
    written(model, store, "typeA", bins, tmp_path / "p.parquet", factor="MAX")
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    assert np.allclose(table["score"].to_numpy(), expected, atol=1e-6)
    with pytest.raises(UsageError, match=r"the factor is not named. Found CTCF, MAX"):
        written(model, store, "typeA", bins, tmp_path / "q.bw")
    with pytest.raises(UsageError, match=r"not made for this factor. Found MAXX. Did you mean MAX"):
        written(model, store, "typeA", bins, tmp_path / "q.bw", factor="MAXX")
    assert not (tmp_path / "q.bw").exists()

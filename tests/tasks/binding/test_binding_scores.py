"""Tables of ENCODE-DREAM: scores, controls that do what they say, what has been met, files of
predictions.
"""

import dataclasses
import json

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetuned import load_finetuned
from epilm.metrics.bin_scores import score_bins
from epilm.tasks.binding import BinLabels, grid, write_labels
from epilm.tasks.binding.binding_scores import DreamEvaluation
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.controls import controlled
from epilm.tasks.binding.dream.submission import write_submission
from epilm.tasks.binding.leak import leak_of
from toy_binding import LARGE, quick, started, toy_labels, toy_store


def one_table(run, data, *, cell, **options):
    """The one table of one cell type."""
    options = {"precision": "fp32", "say": lambda line: None} | options
    (table,) = evaluate(run, "dream", data, cell=(cell,), **options)
    return table


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), chroms=LARGE)


@pytest.fixture(scope="module")
def labels(store):
    return toy_labels(store, ambiguous=0.05)


@pytest.fixture(scope="module")
def folder(store, labels, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ft"
    quick(store, labels, out, positives_per_epoch=250)
    return out


def test_a_model_of_states_is_good_with_its_own_states_and_at_chance_under_every_control(
    folder, store, labels
):
    scored = one_table(folder, labels, cell="typeC", store=store, controls=True, device="cpu")
    here = labels.bins.inside(["chr3"])  # the run's test chromosome
    truth = labels.of("typeC")[here]
    assert scored.scores["n"] == (truth >= 0).sum()
    assert scored.scores["ambiguous"] == (truth < 0).sum()
    assert scored.scores["auprc_dg"] > 0.9
    assert set(scored.controls) == {
        "shuffled_states",
        "mean_of_cells",
        "sequence_only",
        "gc_content",
    }
    for table in scored.controls.values():
        assert table["auprc_dg"] < 0.6
        assert table["n"] == scored.scores["n"]
    assert len(scored.resamples) == 10
    values = json.loads(json.dumps(scored.as_dict()))
    assert (values["task"], values["model"], values["factor"], values["cell"]) == (
        "dream",
        "ft",
        "TF",
        "typeC",
    )
    assert "does the cell type matter? auPRC (DG)" in scored.text()
    assert scored.leak["training"] | {"chroms": 0, "cells": 0} == {
        "bins_seen": 0.0,
        "bins_choosing": 0.0,
        "cell_seen": False,
        "chroms": 0,
        "cells": 0,
    }
    assert not any("LEAK" in warning for warning in scored.warnings)


def test_bins_that_were_learned_from_or_chose_the_epoch_are_called_a_leak(folder, store, labels):
    scored = one_table(
        folder, labels, cell="typeA", store=store, chroms=["chr1", "chr2"], device="cpu"
    )
    assert scored.leak["training"]["cell_seen"]
    said = " ".join(scored.warnings)
    assert "test bins lie where training learned, in typeA itself" in said
    assert "test bins chose the best epoch" in said
    assert scored.leak["training"]["bins_seen"] == pytest.approx(2 / 3, abs=0.01)


def test_a_file_of_motifs_that_cannot_be_read_is_no_missing_motif(folder, store, labels, tmp_path):
    about = {"cell": "typeC", "store": store, "chroms": ["chr3"], "controls": True, "device": "cpu"}
    with pytest.raises(InputError, match=r"nothere\.jaspar"):
        one_table(folder, labels, motifs=tmp_path / "nothere.jaspar", **about)


@pytest.mark.parametrize(("cell", "proxy"), [("HepG2", "MCF-7"), ("MCF-7", "HepG2")])
def test_cell_types_of_one_track_are_named_together_whichever_is_the_proxy(cell, proxy):
    about = {"pretraining": {"cell_types": ["HepG2"]}, "cells": ["HepG2"]}
    leak = leak_of(about, grid({"chr1": 4000}), cell, reads_states=True, same_track=[proxy])
    assert f"has seen {cell} or {proxy} (one track of states)" in leak["said"]
    assert f"training has met {cell} or {proxy} (one track of states)" in leak["said"]


def test_the_mean_of_cell_types_has_nothing_of_a_track_that_the_cell_type_reads_itself(store):
    """typeC reads the track of typeA, as a declared proxy does: typeB alone is another one."""
    rows = np.array([0, 1, 0])
    states = dataclasses.replace(store.states, rows=rows, proxies={"typeC": "typeA"})
    access = dataclasses.replace(store.signals["accessibility"], rows=rows)
    signals = dict(store.signals) | {"accessibility": access}
    proxied = dataclasses.replace(store, states=states, signals=signals)
    other = controlled(proxied, "typeC", "mean_of_cells", cells=["typeA", "typeB"])
    assert np.array_equal(other.states.of(2), np.asarray(proxied.states.of(1)))
    where = np.array([0]), np.array([500])
    mean = other.signals["accessibility"].windows(np.array([2]), *where, 50)
    assert np.allclose(mean, access.windows(np.array([1]), *where, 50))
    assert controlled(proxied, "typeC", "mean_of_cells", cells=["typeA"]) is None
    # Two names of one track are one track: it does not outvote another.
    both = controlled(proxied, "typeB", "mean_of_cells", cells=["typeA", "typeC"])
    assert np.array_equal(both.states.of(1), np.asarray(proxied.states.of(0)))


def test_where_no_score_is_defined_no_control_is_compared(labels):
    undefined = {"auprc_dg": float("nan")}
    table = DreamEvaluation("m", "TF", "typeA", undefined, controls={"sequence_only": undefined})
    assert table.verdict() == (
        "does the cell type matter? Not defined: no bound and unbound bins are scored"
    )


def test_a_model_of_dna_alone_says_that_controls_are_idle(store, labels):
    run, _ = started("dbert", store)
    run.about |= {"test_chroms": ["chr3:0-3000"], "cells": ["typeA"]}
    scored = one_table(run, labels, cell="typeB", store=store, controls=True, device="cpu")
    assert set(scored.controls) == {"gc_content"}
    assert any("reads nothing of a cell type" in warning for warning in scored.warnings)


# -- files of predictions, odd labels


def test_a_file_of_predictions_is_scored_as_it_is(store, labels, tmp_path):
    scores = np.random.default_rng(0).random(len(labels))
    path = tmp_path / "F.TF.typeA.tab.gz"
    write_submission(path, labels.bins, scores)
    scored = one_table(path, labels, cell="typeA", controls=True)
    expected = score_bins(labels.of("typeA"), scores)
    assert scored.scores == pytest.approx(dict(expected))
    assert scored.factor == "TF"
    assert "no leak report" in scored.leak["said"]
    assert any("controls need a model" in warning for warning in scored.warnings)
    part = one_table(path, labels, cell="typeA", chroms=["chr2"])
    here = labels.bins.inside(["chr2"])
    assert part.scores["auroc"] == pytest.approx(
        score_bins(labels.of("typeA")[here], scores[here])["auroc"]
    )
    short = tmp_path / "F.TF.typeA.short.tab.gz"
    write_submission(short, labels.bins.take(slice(5, None)), scores[5:])
    with pytest.raises(
        InputError, match=r"lack bins of the labels. Found 5 of .* missing, the first chr1:0-200"
    ):
        one_table(short, labels, cell="typeA")


def test_one_class_alone_and_one_score_for_all_are_said(labels, tmp_path):
    path = tmp_path / "F.TF.typeA.tab.gz"
    write_submission(path, labels.bins, np.full(len(labels), 0.5))
    assert any("COLLAPSE" in w for w in one_table(path, labels, cell="typeA").warnings)
    empty = BinLabels(labels.bins, labels.cells, np.zeros_like(labels.values), "TF")
    scored = one_table(path, empty, cell="typeA")
    assert scored.as_dict()["scores"]["auroc"] is None
    assert any("every score is undefined" in w for w in scored.warnings)
    unknown = BinLabels(labels.bins, labels.cells, -np.ones_like(labels.values), "TF")
    scored = one_table(path, unknown, cell="typeA")
    assert (
        f"every bin is ambiguous ({len(labels):,} of them): every score is undefined"
        in scored.warnings
    )
    assert not any("of one class" in w for w in scored.warnings)
    (row,) = [line.split() for line in scored.text().splitlines() if line.startswith("ambiguous")]
    assert row == ["ambiguous", str(len(labels))]
    assert "n/a" in scored.text()


def test_what_is_missing_is_named(folder, store, labels, tmp_path):
    with pytest.raises(UsageError, match=r"a store is needed.*--store"):
        one_table(folder, labels, cell="typeA")
    with pytest.raises(InputError, match=r"no such cell type. Found liver"):
        one_table(folder, labels, cell="liver", store=store)
    with pytest.raises(UsageError, match=r"not made for this factor. Found MAX"):
        one_table(folder, labels, cell="typeA", store=store, factor="MAX")
    with pytest.raises(UsageError, match=r"unknown control. Found mean"):
        one_table(
            folder,
            labels,
            cell="typeA",
            store=store,
            chroms=["chr3:0-2000"],
            controls=["mean"],
            device="cpu",
        )
    gaps = toy_store(tmp_path, n_share=3.0, name="gaps", chroms=LARGE)
    run = load_finetuned(folder)
    scored = one_table(
        run, toy_labels(gaps), cell="typeA", store=gaps, chroms=["chr3"], device="cpu"
    )
    assert any("hold N alone" in warning for warning in scored.warnings)
    none = dataclasses.replace(toy_labels(gaps), values=-np.ones_like(toy_labels(gaps).values))
    scored = one_table(run, none, cell="typeA", store=gaps, chroms=["chr3"], device="cpu")
    assert not any("hold N alone" in warning for warning in scored.warnings)  # none is scored


def test_predictions_named_as_of_another_factor_or_cell_type_are_refused(labels, tmp_path):
    path = tmp_path / "F.MAX.typeB.tab"
    write_submission(path, labels.bins, np.linspace(0, 1, len(labels)))
    data = tmp_path / "TF.train.labels.tsv"
    write_labels(data, labels)
    with pytest.raises(
        InputError,
        match=(
            r"typeB.tab: the predictions are of another cell type. Found typeB in the file's name;"
            r" expected typeA, as --cell says. Give the predictions of typeA, or --cell typeB"
        ),
    ):
        one_table(path, data, cell="typeA")
    with pytest.raises(
        InputError,
        match=(
            r"typeB.tab: the predictions are of another factor. Found MAX in the file's name;"
            r" expected TF, as the labels are named \(.*TF.train.labels.tsv\). Give the predictions"
            r" of TF, or the labels of MAX"
        ),
    ):
        one_table(path, data, cell="typeB")
    with pytest.raises(
        InputError, match=r"another factor. Found MAX .* expected TF, as the labels are named\. "
    ):
        one_table(path, labels, cell="typeB")
    with pytest.raises(
        InputError, match=r"another factor. Found MAX .* expected TF, as --factor says"
    ):
        one_table(path, data, cell="typeB", factor="TF")
    path.rename(tmp_path / "F.tf.TYPEB.tab")  # upper and lower case are one
    assert one_table(tmp_path / "F.tf.TYPEB.tab", data, cell="typeB").factor == "tf"


def test_labels_that_name_their_chromosomes_without_chr_are_refused_by_name(
    folder, store, labels, tmp_path
):
    bins = dataclasses.replace(
        labels.bins, chroms=tuple(name.removeprefix("chr") for name in labels.bins.chroms)
    )
    bare = dataclasses.replace(labels, bins=bins)
    with pytest.raises(
        InputError, match=r"named differently than in the store. Found 1; expected chr1"
    ):
        one_table(folder, bare, cell="typeC", store=store, device="cpu")
    path = tmp_path / "F.TF.typeA.tab"
    write_submission(path, labels.bins, np.linspace(0, 1, len(labels)))
    with pytest.raises(
        InputError,
        match=r"typeA.tab: the chromosomes are named differently than in the predictions",
    ):
        one_table(path, bare, cell="typeA")


def test_predictions_of_another_kind_of_file_are_named(labels, tmp_path):
    path = tmp_path / "F.TF.typeA.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"Found .parquet; expected .tab or .tab.gz"):
        one_table(path, labels, cell="typeA")


def test_a_name_not_of_the_challenges_form_says_no_factor(labels, tmp_path):
    path = tmp_path / "my.run.v2.tab.gz"
    write_submission(path, labels.bins, np.linspace(0, 1, len(labels)))
    assert one_table(path, labels, cell="typeB").factor == "TF"  # that of the labels
    with pytest.raises(
        InputError, match=r"the labels are of another factor. Found TF .* expected MAX"
    ):
        one_table(path, labels, cell="typeB", factor="MAX")


def test_bins_past_the_end_of_a_chromosome_are_refused_for_a_model_and_for_predictions(
    folder, store, labels, tmp_path
):
    far = Bins(
        ("chr1", "chr3"), np.array([0, 1, 1], np.int16), np.array([0, 19_800, 19_850], np.int32)
    )
    other = BinLabels(far, ("typeA",), np.array([[1], [0], [1]], np.int8), "TF")
    data, path = tmp_path / "TF.train.labels.tsv", tmp_path / "F.TF.typeA.tab"
    write_labels(data, other)
    write_submission(path, far, np.array([0.5, 0.25, 1.0]))
    said = (
        r"TF.train.labels.tsv: a bin of the labels ends past its chromosome; 1 on chr3 do. Found"
        r" chr3:19850-20050; expected an end of at most 20000 \(chr3 in the store .*\). The labels"
        r" are of another assembly"
    )
    for run in (folder, path):
        for chroms in ((), ["chr1"]):  # one bin is enough to show the assembly, scored or not
            with pytest.raises(InputError, match=said):
                one_table(run, data, cell="typeA", store=store, chroms=chroms, device="cpu")
    assert one_table(path, data, cell="typeA").scores["n"] == 3  # without a store no size is known


def test_a_path_that_is_not_there_says_what_may_be_given(labels, tmp_path):
    with pytest.raises(
        InputError,
        match=(
            r"nothere.tab: there is no such run or file of predictions. Expected a run of epilm"
            r" finetune binding, its model folder, or predictions .*\.tab\.gz"
        ),
    ):
        one_table(tmp_path / "nothere.tab", labels, cell="typeA")

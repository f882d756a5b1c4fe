"""Several fine-tuned models as one: the mean of their logits, where a class begins, what is
refused.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from epilm.cli import main
from epilm.errors import CheckpointError, InputError, UsageError
from epilm.explaining.opening import open_subject
from epilm.finetuning.ensemble import ensemble
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.predict import predict
from epilm.finetuning.scorer import open_scorer
from epilm.hub.checkpoint import save_model
from epilm.hub.load import load
from epilm.hub.provenance import held_out
from epilm.metrics.thresholded import fit_threshold
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.store.reader import Store
from toy_binding import quick as quick_bins
from toy_binding import toy_labels, toy_store
from toy_sequences import QUICK, planted, quick
from toy_splice import short_run

ONE = replace(QUICK, epochs=1)
SPEC = ModelSpec(name="dnabert", streams=("dna",), k=3, encoder=EncoderSpec(size="tiny"))
ROWS = planted(80)


def of_sequences(folder, seed, rows=ROWS, **options):
    result, _ = quick(rows, folder, settings=replace(ONE, seed=seed, both_strands=True), **options)
    return result


def of_a_cnn(folder, seed):
    return of_sequences(folder, seed, checkpoint="cnn")


def of_bins(folder, seed):
    place = folder.parent / "of_bins"
    place.mkdir(exist_ok=True)
    store = Store.open(place / "store") if (place / "store").exists() else toy_store(place)
    return quick_bins(store, toy_labels(store), folder, seed=seed, epochs=1)[0]


def of_bases(folder, seed):
    return short_run(folder.parent, folder, seed=seed)[0]


def all_of(path, result):
    """Probabilities of all rows."""
    score = open_scorer(path, device="cpu")
    return np.concatenate(list(score(result.lesson.examples, result.lesson.store)))


@pytest.mark.parametrize("learn", [of_sequences, of_a_cnn, of_bins, of_bases])
def test_it_says_the_mean_of_the_logits_of_its_members_and_needs_them_no_more(learn, tmp_path):
    folders = [tmp_path / f"ft{seed}" for seed in (1, 2, 3)]
    results = [learn(folder, seed) for seed, folder in enumerate(folders, 1)]
    alone = np.stack([all_of(folder, results[0]) for folder in folders]).astype(np.float64)
    ensemble(folders, tmp_path / "all")
    for folder in folders:
        shutil.rmtree(folder)
    together = all_of(tmp_path / "all", results[0])
    if learn is of_bins:  # each by itself
        odds = np.log(alone / (1 - alone)).mean(0)
        expected = 1 / (1 + np.exp(-odds))
    else:  # logits but for a sum that all classes share
        expected = np.exp(np.log(alone).mean(0))
        expected /= expected.sum(-1, keepdims=True)
    assert np.abs(alone[0] - expected).max() > 1e-3
    assert np.allclose(together, expected, atol=1e-5)


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """Three runs of one set, each with a threshold of its own; few rows are of the second class."""
    folder = tmp_path_factory.mktemp("divided")
    rows = planted(480)
    rows = rows.take([n for n in range(480) if n % 2 == 0 or n % 10 == 1])
    own = replace(ONE, epochs=4, lr=3e-3, threshold="valid")
    for seed in (1, 2, 3):
        result, _ = quick(rows, folder / f"ft{seed}", settings=replace(own, seed=seed))
    return folder, result.lesson.examples


def test_where_the_second_class_begins_is_fitted_on_what_they_say_together(divided, tmp_path):
    folder, rows = divided
    runs = [folder / f"ft{seed}" for seed in (1, 2, 3)]
    made = ensemble(runs, tmp_path / "all")
    told = [pd.read_csv(run / "predictions.tsv", sep="\t") for run in runs]
    valid = told[0]["split"] == "valid"
    logs = np.mean([np.log(each[["p_0", "p_1"]]) for each in told], axis=0)
    said = np.exp(logs[:, 1]) / np.exp(logs).sum(1)
    true = told[0]["label"].to_numpy()
    threshold = fit_threshold(true[valid], said[valid])
    assert made.labels.threshold == pytest.approx(threshold, abs=1e-6)
    assert threshold != 0.5
    assert all(load_finetuned(run).labels.threshold != threshold for run in runs)
    # Evaluated, it is divided there.
    scores = evaluate(tmp_path / "all", data=rows, device="cpu").table["test"]
    right = (said > threshold) == true
    assert scores["accuracy"] == pytest.approx(right[told[0]["split"] == "test"].mean())


@pytest.mark.parametrize("change", ["no predictions", "other rows"])
def test_without_what_all_say_of_the_same_valid_rows_there_is_no_threshold(
    divided, tmp_path, change
):
    folder, _ = divided
    shutil.copytree(folder, tmp_path / "runs")
    told = tmp_path / "runs/ft2/predictions.tsv"
    if change == "no predictions":
        told.unlink()
    else:
        lines = told.read_text().splitlines()
        drop = next(n for n, line in enumerate(lines) if line.startswith("valid"))
        told.write_text("\n".join(lines[:drop] + lines[drop + 1 :]) + "\n")
    message = {"no predictions": r"ft2: where the second class begins.*no predictions\.tsv"}
    with pytest.raises(
        InputError, match=message.get(change, "ft2: the members were judged on other rows")
    ):
        ensemble([tmp_path / f"runs/ft{n}" for n in (1, 2, 3)], tmp_path / "all")
    assert not (tmp_path / "all").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one task from two pre-trainings that held other chromosomes out, one of another
    k, one of other classes.
    """
    folder = tmp_path_factory.mktemp("runs")
    for seed, held in ((1, ["chr22", "chr21"]), (2, ["chr22"])):
        pre = folder / f"pre{seed}"
        save_model(pre, build_model(SPEC, seed=seed), SPEC, {"holdout_chroms": held})
        of_sequences(folder / f"ft{seed}", seed, checkpoint=pre)
    quick(ROWS, folder / "k4", settings=ONE, k=4)
    named = replace(ROWS, label_names=("no", "yes"))
    quick(named, folder / "named", settings=ONE, checkpoint=folder / "pre1")
    ensemble([folder / "ft1", folder / "ft2"], folder / "all")
    return folder


def test_it_remembers_what_no_member_has_read_and_how_wide_their_sequences_were(runs):
    about = load_finetuned(runs / "all").about
    assert about["length_bp"] == [40, 40]
    assert held_out(about["pretraining"]) == ["chr22"]
    assert [each["checkpoint"] for each in about["members"]] == [
        str(runs / f"pre{n}") for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ft1"], "an ensemble has several members. Found 1 run"),
        (["ft1", "ft2", "ft1"], "ft1: two members have the same weights"),
        (["ft1", "k4"], r"k4: the members do not fit each other: another .*model"),
        (["ft1", "named"], "named: the members do not fit each other: another .*labels"),
        (["ft1", "all"], "all: an ensemble is no member of another"),
    ],
)
def test_what_is_no_ensemble_is_refused_and_nothing_is_written(runs, tmp_path, names, message):
    with pytest.raises(UsageError, match=message):
        ensemble([runs / name for name in names], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_members_that_were_judged_on_other_rows_are_said(runs, tmp_path, capsys):
    of_sequences(tmp_path / "other", 3, checkpoint=runs / "pre1", rows=planted(90))
    words = ["ensemble", str(runs / "ft1"), str(tmp_path / "other"), "--out", str(tmp_path / "all")]
    assert main(words) == 0
    assert "WARNING: members were judged on other rows" in capsys.readouterr().err
    assert main([*words[:2], str(runs / "ft2"), "--out", str(tmp_path / "alike")]) == 0
    assert capsys.readouterr().err == ""


def test_what_looks_into_one_network_refuses_several(runs, tmp_path):
    with pytest.raises(UsageError, match="an ensemble is explained one member at a time.*ft1"):
        open_subject(runs / "all")
    with pytest.raises(CheckpointError, match="an ensemble has an encoder a member"):
        load(runs / "all").embed(["ACGTACGT"])
    with pytest.raises(CheckpointError, match="an ensemble has an encoder a member"):
        quick(ROWS, tmp_path / "ft", settings=ONE, checkpoint=runs / "all")


def test_the_command_joins_and_the_other_commands_take_it(runs, tmp_path, capsys):
    words = ["ensemble", str(runs / "ft1"), str(runs / "ft2"), "--out", str(tmp_path / "all")]
    assert main(words) == 0
    assert "2 models of sequences in " in capsys.readouterr().out
    assert main(words) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["members"]) == 2
    (tmp_path / "s.txt").write_text("".join(f"{ROWS.text(n)}\n" for n in range(5)))
    out = tmp_path / "said.tsv"
    assert main(["predict", str(tmp_path / "all"), str(tmp_path / "s.txt"), "--out", str(out)]) == 0
    said = predict(tmp_path / "all", [ROWS.text(n) for n in range(5)], device="cpu").probabilities
    assert np.allclose(np.loadtxt(out, skiprows=1, usecols=(-2, -1)), said, atol=1e-6)

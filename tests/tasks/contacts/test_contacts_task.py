"""Pairs are learned, scored beside distance and composition, and predicted from a list."""

import numpy as np
import pytest
import torch

from epilm.cli import main
from epilm.errors import UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetune import finetune
from epilm.finetuning.predict import predict
from epilm.finetuning.scorer import open_scorer
from epilm.tasks import TASKS
from epilm.tasks.base import labelled
from epilm.tasks.contacts.contacts_options import ContactsOptions
from epilm.tasks.sequences import read_lines
from toy_contacts import write_contacts

MADE = {"locus": 50, "min_distance": 100, "max_distance": 900, "enriched": 1.2, "depleted": 0.9}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contacts")
    files, _ = write_contacts(folder)
    result = finetune(
        "contacts",
        files["data"],
        folder / "run",
        genome=files["genome"],
        test=("chr3",),
        valid=("chr2",),
        checkpoint="random",
        size="tiny",
        k=3,
        epochs=1,
        device="cpu",
        say=lambda line: None,
        **MADE,
    )
    return folder, files, result


def test_distance_says_nothing_where_it_is_matched_and_composition_does(run):
    beside = run[2].beside
    assert abs(beside["distance"]["test"][""]["auroc"] - 0.5) < 0.15
    assert beside["gc"]["test"][""]["auroc"] > 0.9
    assert beside["kmer"]["test"][""]["auroc"] > 0.9
    assert not any("also in train" in note for note in run[2].notes)


def test_the_answer_is_the_same_whichever_locus_comes_first(run):
    result = run[2]
    rows = result.lesson.examples.take(np.arange(6))
    score = open_scorer(result.model, device="cpu")
    turned = labelled(
        list(rows.second.codes), rows.labels, chrom=rows.chrom, start=rows.second.start
    )
    swapped = type(rows)(
        **{f: getattr(turned, f) for f in ("codes", "lengths", "labels", "chrom", "start")},
        origin=rows.origin,
        split=rows.split,
        label_names=rows.label_names,
        second=rows.first,
    )
    first, second = (np.concatenate(list(score(each))) for each in (rows, swapped))
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert first.shape == (6, 2)


def test_a_pair_learned_by_the_trunk_moves_it_and_does_not_depend_on_the_batch(run):
    result = run[2]
    assert result.model.about["loci"] == 2
    one = open_scorer(result.model, batch_size=1, device="cpu")
    rows = result.lesson.examples
    said = np.concatenate(list(one(rows.take(result.lesson.parts["test"]))))
    np.testing.assert_allclose(said, result.said["test"], atol=1e-6)
    network = result.model.network.train()
    windows = torch.arange(48).reshape(4, 12) % 60 + 5
    from epilm.batch import Windows

    network(Windows(windows, windows > 0)).sum().backward()
    assert network.trunk.encoder.words.weight.grad.abs().sum() > 0


def test_pairs_are_predicted_from_a_list_and_scored_as_they_were(run):
    folder, files, result = run
    rows = result.lesson.examples.take(result.lesson.parts["test"])
    lines = [
        f"{c}\t{a}\t{a + 50}\t{c}\t{b}\t{b + 50}\n"
        for c, a, b in zip(rows.chrom, rows.start, rows.second.start, strict=True)
    ]
    (folder / "pairs.bedpe").write_text("".join(lines))
    words = ["predict", str(folder / "run"), str(folder / "pairs.bedpe"), "--device", "cpu"]
    out = folder / "said.tsv"
    assert main([*words, "--genome", str(files["genome"]), "--out", str(out)]) == 0
    table = [line.split("\t") for _, line in read_lines(out)]
    assert table[0] == ["name", "chrom", "start", "end", "p_apart", "p_contact"]
    assert (
        table[1][0]
        == f"chr3:{rows.start[0]}-{rows.start[0] + 50} x chr3:{rows.second.start[0]}-{rows.ends[0]}"
    )
    said = np.array([[float(cell) for cell in row[4:]] for row in table[1:]])
    np.testing.assert_allclose(said, result.said["test"], atol=1e-6)
    kept = evaluate(folder / "run").table["test"]
    assert kept["auroc"] == pytest.approx(result.tables["test"][""]["auroc"])
    again = evaluate(
        folder / "run",
        data=files["data"],
        genome=files["genome"],
        split="chromosome",
        test=("chr3",),
        valid=("chr2",),
        device="cpu",
        say=lambda line: None,
        **{name: value for name, value in MADE.items() if name != "locus"},
    )  # the locus is the model's
    assert again.table["test"]["auroc"] == pytest.approx(kept["auroc"], abs=1e-6)


def test_a_random_split_says_how_many_pairs_share_a_locus_with_train(run):
    _, files, _ = run
    options = ContactsOptions(genome=files["genome"], **MADE)
    lesson = TASKS["contacts"].lesson(files["data"], options, print)
    assert any("test pairs have a locus that is also in train" in note for note in lesson.notes)


def test_what_reads_one_locus_is_refused_and_the_other_way(run):
    _, files, _ = run
    more = {"genome": files["genome"], "device": "cpu", "say": lambda line: None, **MADE}
    with pytest.raises(
        UsageError, match="--head: .*Found the head linear reads one locus; expected a pair.*pair"
    ):
        finetune("contacts", files["data"], head="linear", size="tiny", **more)
    with pytest.raises(UsageError, match="factornet reads one locus.*Take --checkpoint cnn"):
        finetune("contacts", files["data"], checkpoint="factornet", **more)
    rng = np.random.default_rng(0)
    rows = labelled(list(rng.integers(0, 4, (40, 12)).astype(np.uint8)), [0, 1] * 20)
    with pytest.raises(UsageError, match="the head pair reads a pair of loci; expected one locus"):
        finetune("sequences", rows, head="pair", size="tiny", say=lambda line: None)
    with pytest.raises(UsageError, match="--beside: the baseline is of pairs of loci"):
        finetune("sequences", rows, beside=("distance",), checkpoint="cnn", say=lambda line: None)
    with pytest.raises(UsageError, match="rows are pairs of loci. Found LabelledSequences"):
        finetune("contacts", rows, checkpoint="cnn", say=lambda line: None)
    with pytest.raises(UsageError, match="nothing to predict is named. Give pairs of loci"):
        predict(run[0] / "run", say=lambda line: None)

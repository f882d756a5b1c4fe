"""Comparing: every competitor on the same rows, mean and sample sd, going on after a stop."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score as ap
from sklearn.metrics import matthews_corrcoef, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from epilm.baselines import sequence_models as simple
from epilm.cli import main
from epilm.errors import CheckpointError, InputError, TrainingError, UsageError
from epilm.finetuning.finetune import finetune
from epilm.finetuning.start import prepare
from epilm.hub.checkpoint import save_model
from epilm.hub.load import load, spec_of
from epilm.metrics.thresholded import fit_threshold
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.motifs.motif import Motif
from epilm.tasks import find_task
from epilm.tasks.base import labelled
from epilm.tasks.sequence_task import SequenceOptions
from epilm.tasks.splits import random_split
from epilm.training.learning import Learning
from epilm.trials import learn
from epilm.trials.choices import Networks
from epilm.trials.compare import compare, compare_sets
from epilm.trials.competitors import competitors_of, learning_of, with_ensembles
from epilm.trials.learn import Competitor, DataSet, tune_model
from epilm.trials.results import write_results

SIZE = EncoderSpec(hidden=8, layers=1, heads=2, ffn=8, max_positions=8)
FAST = Learning(epochs=1, lr=1e-3, batch_size=16, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (160, 30)).astype(np.uint8)
    labels = np.arange(160) % 2
    codes[labels == 1, 5:9] = 2
    return DataSet("planted", random_split(labelled(list(codes), labels), 0), "sequences")


def test_a_comparison_writes_its_table_and_goes_on(tmp_path, data, monkeypatch):
    few = partial(simple.fit_kmer, ks=(3,), penalties=(0.01,))
    monkeypatch.setattr(simple, "fit_kmer", few)
    lines = []
    scratch = Competitor("scratch", "random", size="tiny", k=3)
    options = {"models": [scratch], "baselines": ("kmer",), "settings": FAST, "say": lines.append}
    first = compare([data], tmp_path / "c", seeds=(0,), **options)
    assert "planted" in (tmp_path / "c/report.html").read_text()
    assert {(r["competitor"], r["seeds"]) for r in first} == {("kmer", 1), ("scratch", 1)}
    lines.clear()
    result = compare_sets([data], tmp_path / "c", seeds=(0, 1), **options)
    assert [line.split(":")[0] for line in lines] == ["seed 1, planted, scratch"]
    second = result.table
    scratched = next(r for r in second if r["competitor"] == "scratch")
    runs = [json.loads(line) for line in (tmp_path / "c" / "runs.jsonl").read_text().splitlines()]
    values = [r["auroc"] for r in runs if r["competitor"] == "scratch"]
    assert scratched["auroc_mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert scratched["auroc_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    heads = (tmp_path / "c" / "table.tsv").read_text().splitlines()
    assert heads[0].startswith("set\tcompetitor\tseeds\tauroc_mean\tauroc_sd")
    # The interval over the test rows, a mean over seeds; the same draws for every competitor.
    ends = [(r["auroc_lo"], r["auroc_hi"]) for r in runs if r["competitor"] == "scratch"]
    assert all(low <= value <= high for value, (low, high) in zip(values, ends, strict=True))
    assert scratched["auroc_lo"] == pytest.approx(np.mean([low for low, _ in ends]), abs=1e-6)
    assert heads[0].endswith("mcc_lo\tmcc_hi")
    assert "95 % of auROC" in result.text()
    assert "planted" in result.text()
    # Another set and model are added; the folder keeps what this call does not name.
    other = replace(data, name="other")
    compare([other], tmp_path / "c", baselines=("kmer",), settings=FAST, say=lines.append)
    plan = json.loads((tmp_path / "c/plan.json").read_text())
    assert (list(plan["sets"]), plan["models"][0]["name"]) == (["planted", "other"], "scratch")
    with pytest.raises(TrainingError, match="of other data or settings"):
        compare([data], tmp_path / "c", baselines=(), settings=Learning(epochs=2))
    # A plan from before there was an option has learned as its default does.
    del plan["settings"]["ema"]
    (tmp_path / "c/plan.json").write_text(json.dumps(plan))
    with pytest.raises(TrainingError, match=r"Found settings\.ema was 0\.0, is 0\.9"):
        compare([data], tmp_path / "c", baselines=(), settings=replace(FAST, ema=0.9))
    compare([data], tmp_path / "c", baselines=("kmer",), settings=FAST, say=lines.append)


def test_weights_in_dnaberts_layout_are_an_arm(tmp_path, data):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=69,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
    )
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "dnabert3")
    told = load(tmp_path / "dnabert3").spec
    assert (told.k, told.encoder.max_positions) == (3, 40)
    assert spec_of(tmp_path / "dnabert3") == told
    [model] = competitors_of([f"DNABERT={tmp_path / 'dnabert3'}"])
    options = {"baselines": ("random",), "seeds": (0,), "settings": FAST}
    table = compare([data], tmp_path / "c", models=[model], say=print, **options)
    rows = {row["competitor"]: row for row in table}
    assert set(rows) == {"DNABERT", "random"}
    assert rows["DNABERT"]["auroc_mean"] != rows["random"]["auroc_mean"]  # its weights, its shape
    # The pooler and word vectors of the folder are where fine-tuning starts.
    start, _ = prepare(
        find_task("sequences"),
        find_task("sequences").lesson(data.rows, SequenceOptions(split="given"), print),
        SequenceOptions(),
        tmp_path / "dnabert3",
    )
    words = transformers.BertModel.from_pretrained(tmp_path / "dnabert3").embeddings
    ours = start.network.encoder.words.weight
    assert torch.equal(ours, words.word_embeddings.weight)


def test_several_rates_are_chosen_among_on_valid(tmp_path, data):
    table = compare(
        [data],
        tmp_path / "c",
        models=[Competitor("scratch", "random", size="tiny", k=3)],
        baselines=(),
        seeds=(0,),
        settings=FAST,
        lrs=(1e-9, 2e-3),
        say=lambda line: None,
    )
    assert table[0]["chosen"][0]["lr"] in (1e-9, 2e-3)


def test_wrong_calls(tmp_path, data):
    with pytest.raises(UsageError, match=r"Did you mean kmer"):
        compare([data], tmp_path / "c", baselines=("kmers",))
    with pytest.raises(UsageError, match="the motif baselines need motifs"):
        compare([data], tmp_path / "c", baselines=("motif",))
    with pytest.raises(UsageError, match=r"--lr: impossible value. Found 0"):
        compare([data], tmp_path / "c", lrs=(1e-3, 0))
    with pytest.raises(UsageError, match=r"two competitors have one name. Found kmer"):
        compare([data], tmp_path / "c", models=[Competitor("kmer", "random")])
    assert not (tmp_path / "c").exists()


# -- what would fail late is refused, or left out, before the first row


@pytest.fixture
def nothing_learns(monkeypatch):
    def fail(*args, **options):
        raise AssertionError("a row was begun")

    for name in ("finetune", "fit_simple"):
        monkeypatch.setattr(learn, name, fail)


def test_a_checkpoint_that_is_none_is_refused_before_the_first_row(tmp_path, data, nothing_learns):
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        compare([data], tmp_path / "c", models=[Competitor("mine", str(tmp_path / "none"))])
    assert not (tmp_path / "c").exists()


def test_sequences_shorter_than_a_kmer_are_refused_before_the_first_row(
    tmp_path, data, nothing_learns
):
    short = labelled([[n % 4, n // 4 % 4, n // 16, 0, 1] for n in range(60)], np.arange(60) % 2)
    sets = [data, DataSet("short", random_split(short, 0), "sequences")]
    with pytest.raises(InputError, match="shorter than one k-mer"):
        compare(sets, tmp_path / "c", baselines=("kmer", "random"))


@pytest.mark.parametrize(
    ("labels", "split", "message"),
    [
        (np.zeros(20, np.int64), None, "bad: the train split has one class alone"),
        (np.arange(20) % 2, "train", "bad: the test split is empty"),
        (np.arange(20) % 2, "test", "bad: the train split is empty"),
    ],
)
def test_a_set_that_nothing_can_learn_is_refused_before_the_first_row(
    tmp_path, data, nothing_learns, labels, split, message
):
    codes = np.random.default_rng(0).integers(0, 4, (20, 30)).astype(np.uint8)
    rows = random_split(labelled(list(codes), labels), 0)
    if split:
        rows = replace(rows, split=np.full(20, split))
    with pytest.raises(InputError, match=message):
        compare([data, DataSet("bad", rows, "sequences")], tmp_path / "c", baselines=("kmer",))


def test_a_baseline_that_no_set_can_have_is_refused(tmp_path, data, nothing_learns):
    motifs = [Motif("M1", "CTCF", np.full((8, 4), 5.0), is_counts=True)]
    with pytest.raises(
        InputError, match=r"no set can have the baseline motif.*no motif of planted"
    ):
        compare([data], tmp_path / "c", baselines=("motif",), motifs=motifs)


FACTORS = ("CTCF", "JUND", "MAX", "CEBPB", "EP300", "GABPA")


@pytest.fixture
def six_sets(tmp_path):
    """A manifest of six sets; of the fifth one's factor there is no motif."""
    rng = np.random.default_rng(0)
    for factor in FACTORS:
        rows = ["".join("ACGT"[b] for b in rng.integers(0, 4, 30)) for _ in range(60)]
        lines = [f"{row}\t{number % 2}" for number, row in enumerate(rows)]
        (tmp_path / f"{factor}.tsv").write_text("\n".join(["sequence\tlabel", *lines]) + "\n")
    rows = [f"{factor}_set\tsequences\t{factor}.tsv\trandom\t{factor}" for factor in FACTORS]
    (tmp_path / "sets.tsv").write_text("\n".join(["name\ttask\tdata\tsplit\tfactor", *rows]) + "\n")
    counts = "".join(f"{base} [ 9 1 1 1 1 9 ]\n" for base in "ACGT")
    known = [f">M{number} {factor}\n{counts}" for number, factor in enumerate(FACTORS)]
    (tmp_path / "motifs.jaspar").write_text("".join(t for t in known if "EP300" not in t))
    return tmp_path


def test_a_baseline_that_one_of_six_sets_cannot_have_is_left_out_and_said(six_sets, capsys):
    words = ["compare", "--manifest", "sets.tsv", "--motifs", "motifs.jaspar"]
    words = [str(six_sets / word) if "." in word else word for word in words]
    assert main([*words, "--baselines", "motif", "--out", str(six_sets / "c")]) == 0
    said = capsys.readouterr()
    left = "left out: EP300_set, motif: the collection has no motif of EP300"
    lines = said.err.splitlines()
    (first_row,) = [n for n, line in enumerate(lines) if line.startswith("seed 0, CTCF_set, motif")]
    assert left in lines[:first_row]
    assert said.out.splitlines()[-1] == left
    rows = [json.loads(line) for line in (six_sets / "c/runs.jsonl").read_text().splitlines()]
    assert [row["set"] for row in rows] == [f"{f}_set" for f in FACTORS if f != "EP300"]
    # Again: nothing is left to do, and it is said again.
    assert main([*words, "--baselines", "motif", "--out", str(six_sets / "c"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5


# -- a manifest of many sets


def command(folder, *more):
    words = ["compare", "--manifest", str(folder / "sets.tsv"), "--motifs"]
    words += [str(folder / "motifs.jaspar"), "--baselines", "motif", "--out", str(folder / "c")]
    return [*words, *more]


def rows_in(folder):
    lines = (folder / "c/runs.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_set_that_cannot_be_used_is_a_row_with_its_reason_and_the_rest_goes_on(six_sets, capsys):
    jund = (six_sets / "JUND.tsv").read_text()
    (six_sets / "JUND.tsv").write_text("sequence\tlabel\nACGTX\t1\n")
    (six_sets / "MAX.tsv").unlink()
    assert main(command(six_sets)) == 0
    rows, said = rows_in(six_sets), capsys.readouterr()
    reasons = {row["set"]: row["failed"] for row in rows if "failed" in row}
    assert list(reasons) == ["JUND_set", "MAX_set"]
    assert "JUND.tsv:2: the sequence has a letter that is no base" in reasons["JUND_set"]
    assert "sets.tsv, line 4: there is no such file. Found data MAX.tsv" in reasons["MAX_set"]
    assert said.err.count("FAILED: ") == 2
    # Each row was written when it was made: a set's own, before the next one was opened.
    assert [row["set"] for row in rows] == [f"{f}_set" for f in FACTORS if f != "EP300"]
    assert "over 5 sets:" in said.out
    scores = sorted(row["auroc"] for row in rows if "auroc" in row)
    assert f"motif: 3 sets, median auROC {scores[1]:.4f}" in said.out
    assert "2 could not be used" in said.out
    summary = (six_sets / "c/summary.tsv").read_text().splitlines()
    assert summary[1].split("\t")[:3] == ["motif", "3", "0"]
    page = (six_sets / "c/report.html").read_text()
    assert "Without a score" in page
    # The file is mended: the same command does that set, and nothing else.
    (six_sets / "JUND.tsv").write_text(jund)
    assert main(command(six_sets, "--json")) == 0
    table = json.loads(capsys.readouterr().out)
    assert [line["set"] for line in table] == [f"{f}_set" for f in FACTORS if f != "EP300"]
    assert [line["set"] for line in table if "failed" in line] == ["MAX_set"]
    assert [row["set"] for row in rows_in(six_sets)[5:]] == ["JUND_set", "MAX_set"]
    # A set whose rows are there may not become another one.
    (six_sets / "JUND.tsv").write_text(jund + "ACGT\t1\n")
    assert main(command(six_sets)) == 1
    assert "a comparison of other data or settings. Found JUND_set: its" in capsys.readouterr().err


@pytest.mark.twin  # the processes: tests/trials/test_side_by_side.py
def test_several_sets_at_a_time_have_the_rows_that_one_after_another_has(six_sets, capsys):
    # Three sets, the last of them without its file: both processes have something to do.
    lines = (six_sets / "sets.tsv").read_text().splitlines(keepends=True)
    (six_sets / "sets.tsv").write_text("".join(lines[:4]))
    (six_sets / "MAX.tsv").unlink()
    assert main(command(six_sets)) == 0
    one = {row["set"]: row for row in rows_in(six_sets)}
    text = capsys.readouterr().out
    (six_sets / "c/runs.jsonl").unlink()
    assert main(command(six_sets, "--jobs", "2")) == 0
    assert capsys.readouterr().out == text
    two = {row["set"]: row for row in rows_in(six_sets)}
    assert two.keys() == one.keys()
    for name, row in one.items():
        assert row | {"seconds": 0} == two[name] | {"seconds": 0}


def test_a_manifest_whose_sets_all_fail_is_an_error(six_sets, capsys):
    for factor in FACTORS:
        (six_sets / f"{factor}.tsv").unlink()
    assert main(command(six_sets)) == 1
    assert "no set could be used. Found" in capsys.readouterr().err
    assert main(command(six_sets, "--jobs", "0")) == 2
    assert "--jobs: impossible value. Found 0" in capsys.readouterr().err


def test_sets_of_the_paper_stand_beside_it(six_sets, capsys):
    rows = ["CTCF\tsequences\tCTCF.tsv\trandom\tA549-UW", "JUND\tsequences\tJUND.tsv\trandom\t"]
    text = "\n".join(["name\ttask\tdata\tsplit\tpublished", *rows]) + "\n"
    (six_sets / "sets.tsv").write_text(text)
    assert main(command(six_sets)) == 0
    lines = capsys.readouterr().out.splitlines()
    beside = [line.split() for line in lines if "published" in line and line.startswith("CTCF")]
    assert [words[1] for words in beside] == ["GeneBERT,", "DNABERT,"]
    assert beside[0][3:] == ["-", "0.983", "-", "0.925", "-", "0.921"]
    assert beside[1][3:] == ["-", "0.542", "-", "0.250", "-", "0.500"]
    table = (six_sets / "c/published.tsv").read_text().splitlines()
    assert table[1].split("\t")[:2] == ["CTCF", "motif"]
    assert "Beside the paper" in (six_sets / "c/report.html").read_text()


def test_what_others_reached_is_a_column_that_can_come_later(six_sets, capsys):
    rows = ["CTCF\tsequences\tCTCF.tsv\trandom", "JUND\tsequences\tJUND.tsv\trandom"]
    (six_sets / "sets.tsv").write_text("\n".join(["name\ttask\tdata\tsplit", *rows]) + "\n")
    assert main(command(six_sets)) == 0
    made = rows_in(six_sets)
    beside = ["name\ttask\tdata\tsplit\tmcc:DNABERT-2", f"{rows[0]}\t0.71", rows[1]]
    (six_sets / "sets.tsv").write_text("\n".join(beside) + "\n")
    capsys.readouterr()
    assert main(command(six_sets)) == 0
    assert rows_in(six_sets) == made  # nothing was done again
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if "DNABERT-2" in line] == [
        ["CTCF", "DNABERT-2", "-", "0.710"]
    ]
    table = (six_sets / "c/published.tsv").read_text().splitlines()
    assert table[0].split("\t")[-1] == "mcc_published"
    assert table[-1].split("\t")[1:3] == ["DNABERT-2", "0"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("mc:them", "0.7", "Did you mean mcc"),
        ("mcc:them", "7", "between -1 and 1"),
        ("mcc:", "0.7", "a name behind the colon"),
        ("mcc:them", "high", "Found mcc:them high"),
    ],
)
def test_a_column_of_others_that_is_none_is_refused_with_its_line(
    six_sets, capsys, column, value, said
):
    text = f"name\ttask\tdata\t{column}\nCTCF\tsequences\tCTCF.tsv\t{value}\n"
    (six_sets / "sets.tsv").write_text(text)
    assert main(command(six_sets)) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "sets.tsv, line 2" in err


def test_one_name_for_several_runs_is_a_row_each_and_a_row_of_all(tmp_path, data):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    for seed in (1, 2):
        save_model(tmp_path / f"run{seed}", build_model(spec, seed=seed), spec, {})
    models = competitors_of([f"lab={tmp_path / f'run{seed}'}" for seed in (1, 2)])
    result = compare_sets(
        [data], tmp_path / "c", models=models, baselines=(), seeds=(0, 1), settings=FAST, say=print
    )
    runs = [json.loads(line) for line in (tmp_path / "c/runs.jsonl").read_text().splitlines()]
    assert {(r["competitor"], r["seed"]) for r in runs} == {
        (f"lab.{number}", seed) for number in (1, 2) for seed in (0, 1)
    }
    line = next(line for line in result.table if line["competitor"] == "lab")
    values = [r["auroc"] for r in runs]
    assert (line["title"], line["seeds"]) == ("lab, 2 pre-trainings", 4)
    assert line["auroc_mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert line["auroc_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    with pytest.raises(UsageError, match="stands twice under one name"):
        competitors_of(["lab=run", "lab=run"])
    with pytest.raises(UsageError, match="two competitors have one name"):
        compare([data], tmp_path / "d", models=[*models, Competitor("lab", "random")], baselines=())


@pytest.mark.parametrize("threshold", ["half", "valid"])
def test_an_ensemble_is_the_mean_of_what_its_members_said(tmp_path, data, monkeypatch, threshold):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    for seed in (1, 2):
        save_model(tmp_path / f"run{seed}", build_model(spec, seed=seed), spec, {})
    models = competitors_of([f"lab={tmp_path / f'run{seed}'}" for seed in (1, 2)])
    own = replace(FAST, epochs=3, threshold=threshold)
    asked = {"baselines": (), "seeds": (0, 1), "settings": own, "say": print}
    begun = []
    monkeypatch.setattr(
        learn, "finetune", lambda *words, **how: begun.append(1) or finetune(*words, **how)
    )
    whole = compare_sets([data], tmp_path / "c", models=with_ensembles(models), **asked)
    assert len(begun) == 4  # a member learns once
    rows = {(row["competitor"], row["seed"]): row for row in whole.rows}
    for seed in (0, 1):
        answers = [tune_model(m, data, None, replace(own, seed=seed), ()) for m in models]
        said = {
            part: np.exp(np.mean([np.log(each.said[part]) for each in answers], 0))
            for part in ("valid", "test")
        }
        said = {part: of[:, 1] / of.sum(1) for part, of in said.items()}
        true = data.rows.part("test").labels
        begins = 0.5
        if threshold == "valid":
            begins = fit_threshold(data.rows.part("valid").labels, said["valid"])
        row = rows["lab.ensemble", seed]
        assert row["auroc"] == pytest.approx(roc_auc_score(true, said["test"]), abs=1e-6)
        assert row["mcc"] == pytest.approx(matthews_corrcoef(true, said["test"] > begins), abs=1e-6)
    # Begun without it, and gone on with: the members learn once more, and it is the same.
    compare_sets([data], tmp_path / "d", models=models, **asked)
    again = compare_sets([data], tmp_path / "d", models=with_ensembles(models), **asked)
    there = {(row["competitor"], row["seed"]): row for row in again.rows}
    for key in (("lab.ensemble", 0), ("lab.ensemble", 1)):
        assert there[key]["auroc"] == rows[key]["auroc"]
    assert "lab.ensemble" in (tmp_path / "d/report.html").read_text()
    with pytest.raises(UsageError, match="an ensemble is of several pre-trainings of one recipe"):
        with_ensembles(competitors_of([f"lab={tmp_path / 'run1'}"]))


def test_a_frozen_model_is_a_regression_over_its_vectors(tmp_path, data):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    long = replace(spec, encoder=replace(SIZE, max_positions=40))
    before = build_model(long, seed=1)
    save_model(tmp_path / "run", before, long, {})
    models = competitors_of([f"vectors={tmp_path / 'run'}@frozen"])
    own = replace(FAST, both_strands=True)
    asked = {"models": models, "baselines": ("random",), "settings": own, "say": print}
    made = compare_sets([data], tmp_path / "c", seeds=(0, 1), **asked)
    rows = {(row["competitor"], row["seed"]): row for row in made.rows}
    # Without chance, so one row; its random twin has one a seed.
    assert set(rows) == {("vectors", 0), ("random", 0), ("random", 1)}
    assert rows["random", 0]["auroc"] != rows["random", 1]["auroc"]

    def vectors(model, part):
        letters = ["".join("ACGT"[c] for c in line) for line in data.rows.part(part).codes]
        other = [line[::-1].translate(str.maketrans("ACGT", "TGCA")) for line in letters]
        return sum(model.embed(each, pooling="mean") for each in (letters, other)) / 2

    def scores(model):
        x = {part: vectors(model, part) for part in ("train", "valid", "test")}
        y = {part: data.rows.part(part).labels for part in x}
        fits = [
            make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(
                x["train"], y["train"]
            )
            for c in (1.0, 0.1, 0.01, 0.001, 0.0001)
        ]
        best = max(fits, key=lambda m: ap(y["valid"], m.predict_proba(x["valid"])[:, 1]))
        said = best.predict_proba(x["test"])[:, 1]
        return roc_auc_score(y["test"], said), matthews_corrcoef(y["test"], said > 0.5)

    opened = load(tmp_path / "run")
    auroc, mcc = scores(opened)
    assert rows["vectors", 0]["auroc"] == pytest.approx(auroc, abs=1e-6)
    assert rows["vectors", 0]["mcc"] == pytest.approx(mcc, abs=1e-6)
    task, lone = find_task("sequences"), SequenceOptions(split="given", seed=1)
    lesson = task.lesson(data.rows, lone, print)
    start, _ = prepare(task, lesson, lone, tmp_path / "run", init="random")  # what is fine-tuned
    twin = replace(opened, model=start.network)
    assert rows["random", 1]["auroc"] == pytest.approx(scores(twin)[0], abs=1e-6)
    # No weight was changed.
    assert all(
        torch.equal(value, before.state_dict()[name])
        for name, value in load(tmp_path / "run").model.state_dict().items()
    )
    text = (tmp_path / "c/report.html").read_text()
    assert "vectors" in text


def test_frozen_models_group_and_join_as_others_do(tmp_path, data):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    for seed in (1, 2):
        save_model(tmp_path / f"run{seed}", build_model(spec, seed=seed), spec, {})
    models = competitors_of([f"v={tmp_path / f'run{seed}'}@frozen" for seed in (1, 2)])
    asked = {"baselines": (), "seeds": (0, 1), "settings": FAST, "say": print}
    made = compare_sets([data], tmp_path / "c", models=with_ensembles(models), **asked)
    assert [(row["competitor"], row["seed"]) for row in made.rows] == [
        ("v.1", 0),
        ("v.2", 0),
        ("v.ensemble", 0),
    ]
    assert {line["competitor"]: line["seeds"] for line in made.table}["v"] == 2
    plan = json.loads((tmp_path / "c/plan.json").read_text())
    assert [model["frozen"] for model in plan["models"]] == [True] * 3
    write_results([tmp_path / "c"], tmp_path / "results")
    text = (tmp_path / "results/results.md").read_text()
    assert f"* Model v.1: {tmp_path / 'run1'} (frozen: a regression over its vectors)" in text
    assert "epochs" not in text  # nothing was fine-tuned


def test_the_command_of_frozen_models_is_what_made_them(tmp_path, data, monkeypatch):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    save_model(tmp_path / "run", build_model(spec, seed=1), spec, {})
    both = zip(data.rows.codes, data.rows.labels, strict=True)
    rows = [f"{''.join('ACGT'[code] for code in line)},{label}" for line, label in both]
    (tmp_path / "rows.csv").write_text("sequence,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "sets.tsv").write_text("name\ttask\tdata\nplanted\tsequences\trows.csv\n")
    monkeypatch.chdir(tmp_path)
    asked = (
        "compare --manifest sets.tsv --models v=run@frozen --baselines random --both-strands"
        " --seeds 2 --out c"
    )
    main(asked.split())
    write_results(["c"], "results")
    assert f"epilm {asked}\n" in Path("results/results.md").read_text()


def test_sets_whose_test_rows_are_of_one_class_are_a_page_without_auroc(tmp_path, data):
    one = np.where((data.rows.split == "test") & (data.rows.labels == 0), "", data.rows.split)
    sets = [replace(data, name=name, rows=replace(data.rows, split=one)) for name in "ab"]
    made = compare_sets(sets, tmp_path / "c", baselines=("kmer",), seeds=(0,), settings=FAST)
    assert [row["auroc"] for row in made.rows] == [None, None]
    text = (tmp_path / "c/report.html").read_text()
    assert "kmer: 2 sets, no auROC: one class alone in every test part" in text


def test_a_model_learns_with_the_head_that_is_named_and_so_does_its_twin(
    tmp_path, data, monkeypatch
):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    save_model(tmp_path / "run", build_model(spec, seed=1), spec, {})
    both = zip(data.rows.codes, data.rows.labels, strict=True)
    rows = [f"{''.join('ACGT'[code] for code in line)},{label}" for line, label in both]
    (tmp_path / "rows.csv").write_text("sequence,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "sets.tsv").write_text("name\ttask\tdata\nplanted\tsequences\trows.csv\n")
    monkeypatch.chdir(tmp_path)
    asked = (
        "compare --manifest sets.tsv --models laid=run@places --baselines random --epochs 1"
        " --batch-size 16 --lr 0.001 --seeds 1 --out c"
    )
    main(asked.split())
    lines = Path("c/runs.jsonl").read_text().splitlines()
    made = {row["competitor"]: row for row in map(json.loads, lines)}
    for name, init in (("laid", "checkpoint"), ("random", "random")):
        alone = finetune(
            "sequences",
            "rows.csv",
            checkpoint="run",
            init=init,
            head="places",
            preset="none",
            settings=SequenceOptions(epochs=1, batch_size=16, lr=0.001),
            say=lambda _: None,
        )
        assert alone.model.about["head"] == {"name": "places", "dropout": 0.1}
        (scores,) = alone.tables["test"].values()
        assert made[name]["auroc"] == pytest.approx(scores["auroc"], abs=1e-9), name
    write_results(["c"], "results")
    text = Path("results/results.md").read_text()
    assert f"epilm {asked}\n" in text
    assert "* Model laid: run (checkpoint, head places)" in text


def test_what_a_frozen_model_cannot_have_is_refused(tmp_path, data):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    save_model(tmp_path / "run", build_model(spec, seed=1), spec, {})
    [model] = competitors_of([f"v={tmp_path / 'run'}@frozen"])
    short = replace(data, rows=replace(data.rows, lengths=np.full(160, 2)))
    with pytest.raises(InputError, match="sequence is too short"):
        compare([short], tmp_path / "c", models=[model], baselines=(), settings=FAST)
    judged = replace(data.rows, split=np.where(data.rows.split == "valid", "", data.rows.split))
    with pytest.raises(InputError, match="no valid rows to choose the penalty on"):
        compare([replace(data, rows=judged)], tmp_path / "c", models=[model], baselines=())
    three = replace(data, rows=replace(data.rows, labels=np.arange(160) % 3))
    for models in ([model], []):
        with pytest.raises(UsageError, match="only between two classes is there one threshold"):
            asked = {"models": models, "baselines": ("kmer",), "say": print}
            own = replace(FAST, threshold="valid")
            compare([three], tmp_path / "c", settings=own, **asked)
    with pytest.raises(CheckpointError, match="nowhere"):
        compare([data], tmp_path / "c", models=competitors_of(["v=nowhere@frozen"]))
    with pytest.raises(UsageError, match="Did you mean frozen"):
        competitors_of(["v=run@frozn"])
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("recipe", "rate"), [("dnabert_lab", 2e-3), ("dbert_base", 2e-4)])
def test_the_rate_that_is_not_given_is_that_of_the_recipes(tmp_path, recipe, rate):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    save_model(tmp_path / "run", build_model(spec, seed=0), spec, {"recipe": {"name": recipe}})
    models = competitors_of([f"a={tmp_path / 'run'}"])
    assert learning_of(Networks(), models)[0].lr == rate
    assert learning_of(Networks(), [*models, *competitors_of(["b=cnn"])])[0].lr == 2e-4
    assert learning_of(Networks(lr=[1e-5]), models)[0].lr == 1e-5


def test_with_a_threshold_of_valid_rows_baselines_have_their_own_too(tmp_path, monkeypatch):
    """k-mers on rows of which a fifth is of class 1: MCC by scikit-learn, divided as valid says."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (400, 30)).astype(np.uint8)
    labels = (np.arange(400) % 5 == 1).astype(np.int64)
    codes[labels == 1, 5:9] = 2
    codes[::3, 5:9] = 2
    rows = random_split(labelled(list(codes), labels), 0, (0.4, 0.3, 0.3))
    monkeypatch.setattr(simple, "fit_kmer", partial(simple.fit_kmer, ks=(3,), penalties=(0.01,)))
    few = DataSet("few", rows, "sequences")
    made = {
        how: compare(
            [few], tmp_path / how, baselines=("kmer",), settings=replace(FAST, threshold=how)
        )
        for how in ("half", "valid")
    }
    train, valid, test = (rows.part(part) for part in ("train", "valid", "test"))
    model = simple.fit_kmer(train, valid)
    of_valid, of_test = (model.probabilities(part)[:, 1] for part in (valid, test))
    threshold = fit_threshold(valid.labels, of_valid)
    expected = matthews_corrcoef(test.labels, of_test > threshold)
    assert threshold < 0.5
    (half,), (moved,) = made["half"], made["valid"]
    assert moved["mcc_mean"] == pytest.approx(expected, abs=1e-4)
    assert moved["mcc_mean"] != pytest.approx(half["mcc_mean"], abs=1e-3)
    assert moved["auroc_mean"] == half["auroc_mean"]

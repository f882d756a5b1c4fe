"""Comparing: every competitor on the same rows, mean and sample sd, going on after a stop."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from epilm.baselines import sequence_models as simple
from epilm.cli import main
from epilm.errors import CheckpointError, InputError, TrainingError, UsageError
from epilm.motifs.motif import Motif
from epilm.tasks.base import labelled
from epilm.tasks.splits import random_split
from epilm.training.learning import Learning
from epilm.trials import learn
from epilm.trials.compare import compare, compare_sets
from epilm.trials.learn import Competitor, DataSet

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
    assert said.err.splitlines()[0] == left  # before the first row
    assert said.out.splitlines()[-1] == left
    rows = [json.loads(line) for line in (six_sets / "c/runs.jsonl").read_text().splitlines()]
    assert [row["set"] for row in rows] == [f"{f}_set" for f in FACTORS if f != "EP300"]
    # Again: nothing is left to do, and it is said again.
    assert main([*words, "--baselines", "motif", "--out", str(six_sets / "c"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5

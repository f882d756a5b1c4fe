"""Comparing: every competitor on the same rows, mean and sample sd, going on after a stop."""

import json
from functools import partial

import numpy as np
import pytest

from epilm.baselines import sequences as baselines
from epilm.errors import TrainingError, UsageError
from epilm.finetuning.finetune import FinetuneSpec
from epilm.tasks.base import labelled
from epilm.tasks.splits import random_split
from epilm.trials.compare import Competitor, DataSet, compare, read_sets, summarise, text_of

FAST = FinetuneSpec(epochs=1, lr=1e-3, batch_size=16, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (160, 30)).astype(np.uint8)
    labels = np.arange(160) % 2
    codes[labels == 1, 5:9] = 2
    return DataSet("planted", random_split(labelled(list(codes), labels), 0), "sequences")


def test_a_comparison_writes_its_table_and_goes_on(tmp_path, data, monkeypatch):
    few = partial(baselines.fit_kmer, ks=(3,), penalties=(0.01,))
    monkeypatch.setattr(baselines, "fit_kmer", few)
    lines = []
    scratch = Competitor("scratch", "random", size="tiny", k=3)
    options = {"models": [scratch], "baselines": ("kmer",), "settings": FAST, "say": lines.append}
    first = compare([data], tmp_path / "c", seeds=(0,), **options)
    assert {(r["competitor"], r["seeds"]) for r in first} == {("kmer", 1), ("scratch", 1)}
    lines.clear()
    second = compare([data], tmp_path / "c", seeds=(0, 1), **options)
    assert [line.split(":")[0] for line in lines] == ["planted scratch seed 1"]
    scratched = next(r for r in second if r["competitor"] == "scratch")
    runs = [json.loads(line) for line in (tmp_path / "c" / "runs.jsonl").read_text().splitlines()]
    values = [r["auroc"] for r in runs if r["competitor"] == "scratch"]
    assert scratched["auroc_mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert scratched["auroc_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    heads = (tmp_path / "c" / "table.tsv").read_text().splitlines()
    assert heads[0].startswith("set\tcompetitor\tseeds\tauroc_mean\tauroc_sd")
    assert "planted" in text_of(second)
    with pytest.raises(TrainingError, match="of other data or settings"):
        compare([data], tmp_path / "c", baselines=(), settings=FinetuneSpec(epochs=2))


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
    with pytest.raises(UsageError, match="Did you mean kmer"):
        compare([data], tmp_path / "c", baselines=("kmers",))
    with pytest.raises(UsageError, match="the motif baselines need motifs"):
        compare([data], tmp_path / "c", baselines=("motif",))


def test_a_single_run_has_no_sd():
    (row,) = summarise([{"set": "a", "competitor": "x", "seed": 0, "auroc": 0.5}])
    assert row["auroc_sd"] is None


def test_sets_come_from_a_manifest(tmp_path):
    lines = "\n".join(
        f"{'ACGT' * 3}{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16 % 4]}\t{i % 2}"
        for i in range(60)
    )
    (tmp_path / "a.tsv").write_text("sequence\tlabel\n" + lines + "\n")
    (tmp_path / "sets.tsv").write_text(
        "name\ttask\tdata\tsplit\tfactor\nA\tsequences\ta.tsv\trandom\tCTCF\n"
    )
    (one,) = read_sets(tmp_path / "sets.tsv")
    assert (one.name, one.factor, sorted(one.rows.counts())) == (
        "A",
        "CTCF",
        ["test", "train", "valid"],
    )

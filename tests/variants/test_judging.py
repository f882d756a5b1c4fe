"""Scores against what is known: scipy's and scikit-learn's figures, baselines by hand."""

import gzip

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from epilm.errors import InputError, UsageError
from epilm.variants.haplotypes import Change
from epilm.variants.judging import baselines, judge, read_truth, spearman
from epilm.variants.prepared_scoring import VariantScores
from epilm.variants.variant_files import Allele

RNG = np.random.default_rng(3)


def scored(values, changes=None, reasons=None, effects=()):
    n = len(next(iter(values.values())))
    changes = changes or [Change("chr1", 10 * i, "A", "C") for i in range(n)]
    alleles = [Allele(i, 0, c.chrom, c.start, "A", "C", ".", "") for i, c in enumerate(changes)]
    return VariantScores(alleles, changes, reasons or [""] * n, values, effects=effects)


def table(tmp_path, columns, rows, name="t.tsv"):
    lines = ["\t".join(["chrom", "pos", "ref", "alt", *columns])]
    lines += [
        "\t".join(["chr1", str(i + 1), "A", "C", *map(str, row)]) for i, row in enumerate(rows)
    ]
    text = "\n".join(lines) + "\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_a_correlation_is_scipys_with_ties():
    a, b = RNG.integers(0, 9, 60), RNG.integers(0, 9, 60)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_effects_and_labels_each_by_their_measure_group_by_group(tmp_path):
    n = 40
    effect = RNG.normal(size=n)
    label = (effect > 0.2).astype(int)
    groups = ["x" if i % 4 else "y" for i in range(n)]
    rows = [[e, v, g] for e, v, g in zip(effect, label, groups)]
    rows[3][0] = "NA"
    path = table(tmp_path, ["effect", "label", "element"], rows, "t.tsv.gz")
    truth = read_truth(path, ["effect", "label"], "element")
    delta = effect + RNG.normal(size=n)
    delta[5] = np.nan
    others = {f"s_{side}": delta for side in ("ref", "alt", "strands")}
    distance = {"d": np.abs(delta), "d_strands": delta, "s_percentile": delta}
    done = scored({**others, "s_delta": delta, **distance}, effects=("s_delta", "d"))
    said = {(r.group, r.truth, r.score): r for r in judge(done, truth).rows}
    assert {score for _, _, score in said} == {"s_delta", "d", "baseline gc"}
    here = np.isfinite(delta) & (np.arange(n) != 3) & (np.array(groups) == "x")
    row = said["x", "effect", "s_delta"]
    assert (row.n, row.measure) == (here.sum(), "spearman")
    assert row.signed == pytest.approx(spearmanr(delta[here], effect[here]).statistic)
    sizes = np.abs(delta[here]), np.abs(effect[here])
    assert row.of_size == pytest.approx(spearmanr(*sizes).statistic)
    here = np.isfinite(delta)
    row = said["all", "label", "s_delta"]
    assert (row.n, row.positives) == (here.sum(), label[here].sum())
    assert row.signed == pytest.approx(roc_auc_score(label[here], delta[here]))
    assert row.of_size == pytest.approx(roc_auc_score(label[here], np.abs(delta[here])))
    assert "effect, x: spearman" in judge(done, truth).text()


def test_baselines_by_hand(tmp_path):
    changes = [
        Change("chr1", 100, "A", "G"),
        Change("chr1", 110, "GC", ""),
        Change("chr1", 990, "", "TC"),
        Change("chr2", 5, "A", "C"),
    ]
    (tmp_path / "tss.bed").write_text("chr1\t100\t101\ta\t0\t+\nchr1\t1000\t1001\tb\t0\t-\n")
    values = {
        "motif_a_delta": np.array([1.0, -2.0, 0.5, np.nan]),
        "motif_b_delta": np.array([-3.0, 1.0, 0.1, np.nan]),
        "conservation": np.array([2.0, -1.0, 0.5, np.nan]),
    }
    done = scored(values, changes, ["", "", "", "n_in_window"])
    said = baselines(done, tmp_path / "tss.bed")
    assert said["baseline gc"][:3].tolist() == [1, -2, 1]
    assert said["baseline motif"][:3].tolist() == [-3, -2, 0.5]
    assert said["baseline motifs"][:3] == pytest.approx([4, 3, 0.6])
    assert said["baseline tss"][:3] == pytest.approx([0, -np.log10(11), -np.log10(11)])
    assert said["baseline conservation"][:3].tolist() == [2, -1, 0.5]
    for each in said.values():
        assert np.isnan(each[3])


def test_a_group_without_both_labels_is_left_out(tmp_path):
    path = table(tmp_path, ["label", "g"], [[1, "x"]] * 4 + [[0, "y"], [1, "y"], [0, "y"]])
    done = scored({"s_delta": np.arange(7.0)}, effects=("s_delta",))
    groups = {row.group for row in judge(done, read_truth(path, ["label"], "g")).rows}
    assert groups == {"all", "y"}


def test_columns_that_cannot_be_read_are_named(tmp_path):
    path = table(tmp_path, ["effect"], [[0.5], ["high"]])
    with pytest.raises(InputError, match=r"no such column.*effekt.*Did you mean effect"):
        read_truth(path, ["effekt"])
    with pytest.raises(InputError, match=r"line 3: effect is no number\. Found high"):
        read_truth(path, ["effect"])
    with pytest.raises(UsageError, match="stand in a table"):
        read_truth(tmp_path / "v.vcf", ["effect"])

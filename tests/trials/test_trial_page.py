"""The page of a trial says what its table leaves open."""

import json
import math

import pytest

from epilm.trials.descriptions import load_design
from epilm.trials.trial_page import COMPARED, design_of
from epilm.trials.trial_table import beside_paper
from epilm.trials.trial_text import text_of, write_tables
from epilm.trials.verdicts import over_baselines, said_level


def compared(**values):
    """kmer=[0.9]: auROC of a competitor in seeds 0, 1, ...; one set."""
    return [
        {"set": "s", "competitor": name, "seed": seed, "auroc": value, "seconds": 1.0}
        for name, column in values.items()
        for seed, value in enumerate(column)
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.91, 0.89, 0.90], "level with"),  # the mean difference is 0
        ([0.95, 0.96, 0.95], ""),  # above by more than two errors
        ([0.70, 0.71, 0.72], "below"),
        ([0.95], ""),  # one seed above says nothing against it
        ([0.85], "below"),
    ],
)
def test_a_model_that_does_not_beat_the_best_trivial_baseline_is_said(values, said):
    # The baseline without chance has one row, which stands beside every seed.
    rows = compared(kmer=[0.90], motif=[0.60], model=values)
    (verdict,) = over_baselines(COMPARED, rows)
    assert (verdict.more, verdict.less, verdict.seeds) == ("model", "kmer", len(values))
    assert verdict.mean == pytest.approx(sum(values) / len(values) - 0.90)
    text = " ".join(said_level([verdict]))
    assert (
        text.startswith(f"s: model is {said} a trivial baseline, kmer: auroc") if said else not text
    )
    assert (f"{said} a trivial baseline" in text_of(COMPARED, rows)) == bool(said)


def test_without_a_baseline_nothing_is_said():
    assert over_baselines(COMPARED, compared(model=[0.5, 0.6, 0.7])) == []


def test_the_files_of_a_comparison_are_a_list_and_tables(tmp_path):
    rows = compared(kmer=[0.9], model=[0.5, 0.7])
    write_tables(tmp_path, COMPARED, rows)
    first, second = json.loads((tmp_path / "table.json").read_text())
    assert (first["competitor"], first["auroc_mean"], first["auroc_sd"]) == ("kmer", 0.9, None)
    assert second["auroc_sd"] == pytest.approx(math.sqrt(0.02), abs=1e-6)
    heads, kmer, _ = (tmp_path / "table.tsv").read_text().splitlines()
    assert heads.startswith("set\tcompetitor\tseeds\tauroc_mean\tauroc_sd\tap_mean")
    assert kmer.startswith("s\tkmer\t1\t0.9000\t\t\t")
    claims = (tmp_path / "claims.tsv").read_text().splitlines()
    assert claims[1].split("\t")[1:6] == ["model", "kmer", "auroc", "2", "-0.3000"]


def test_our_ranks_of_the_papers_own_models_stand_beside_its(tmp_path):
    """E2F1 in K562, where the paper has EBERT before EBERT+ (ranks 2.875, 1.5, 1.625)."""
    design = design_of(load_design("ebert_table1"))
    assert len(design.published) == 13 * 3
    # EBERT+ is first in three of four metrics and second in one; a CNN is not among the ranked.
    scores = {"dbert": (1, 1, 1, 1), "ebert": (2, 2, 2, 3), "ebert_plus": (3, 3, 3, 2)}
    scores["factornet"] = (9, 9, 9, 9)
    metrics = ("auroc", "auprc_dg", "recall_at_fdr10", "recall_at_fdr50")
    rows = [
        {"seed": 1, "setting": "E2F1.K562", "arm": arm, "seconds": 1.0, "ap": 0.1}
        | {metric: value / 10 for metric, value in zip(metrics, values)}
        | {"factors": {"E2F1": {"ap": 0.1}}}
        for arm, values in scores.items()
    ]
    beside = [line for line in beside_paper(design, rows) if line["setting"] == "E2F1.K562"]
    ranks = {line["arm"]: (line["mean_rank_mean"], line["mean_rank_published"]) for line in beside}
    assert {arm: ranks[arm] for arm in ("dbert", "ebert", "ebert_plus")} == {
        "dbert": (3.0, 2.875),
        "ebert": (1.75, 1.5),
        "ebert_plus": (1.25, 1.625),
    }
    assert ranks["factornet"] == (None, None)
    # Without one of the three there is no rank of ours.
    beside = [line for line in beside_paper(design, rows[1:]) if line["setting"] == "E2F1.K562"]
    assert {line["mean_rank_mean"] for line in beside} == {None}

"""What was planted is there: found by a plain scan, bound by the stated rules, marked by the stated
states.
"""

import numpy as np
import pandas as pd
import pytest

from epilm.errors import EpilmError, UsageError
from epilm.playground.ground_plan import SIZES
from epilm.playground.programmes import PROGRAMMES, motif_index, planted_motifs
from epilm.playground.simulate import simulate


def test_a_plain_scan_finds_every_planted_site_with_its_stated_score(tiny, sites):
    from pyfaidx import Fasta

    genome = Fasta(str(tiny / "genome.fa"), sequence_always_upper=True)
    whole = {c: str(genome[c]) for c in genome.keys()}  # noqa: SIM118
    motifs = {m.id: m for m in planted_motifs()}
    for row in sites.itertuples():
        word = whole[row.chrom][row.start : row.end]
        if row.strand == "-":
            word = word[::-1].translate(str.maketrans("ACGT", "TGCA"))
        odds = motifs[row.motif].log_odds
        score = sum(odds[i]["ACGT".index(base)] for i, base in enumerate(word))
        assert score == pytest.approx(row.score, abs=2e-3)
        assert score > 0.6 * odds.max(1).sum() - 1e-6


def test_sites_do_not_overlap_and_lie_in_their_region(sites, regions):
    for _, rows in sites.groupby("chrom"):
        assert (rows["start"].to_numpy()[1:] >= rows["end"].to_numpy()[:-1]).all()
    inside = sites[sites["region"] >= 0]
    home = regions.loc[inside["region"].to_numpy()]
    assert (inside["start"].to_numpy() >= home["start"].to_numpy() + 15).all()
    assert (inside["end"].to_numpy() <= home["end"].to_numpy() - 15).all()
    assert set(sites[sites["region"] < 0]["kind"]) == {"decoy"}


def test_sites_are_bound_only_where_open_and_pairs_only_at_their_spacing(sites, regions):
    inside = sites[sites["region"] >= 0]
    home = regions.loc[inside["region"].to_numpy()]
    for cell in ("typeA", "typeB", "typeC"):
        bound = inside["bound"].str.contains(cell).to_numpy()
        is_open = home["open"].str.contains(cell).to_numpy()
        assert not bound[~is_open].any()
        apart = (inside["kind"] == "apart").to_numpy()
        assert bound[is_open & ~apart].mean() > 0.9
        assert bound[is_open & apart].mean() < 0.35
    assert (sites[sites["kind"] == "decoy"]["bound"] == ".").all()


def test_good_pairs_have_the_gap_and_strands_of_the_grammar(sites):
    rules = {p.pair: p for p in PROGRAMMES}
    good = sites[sites["kind"] == "pair"].groupby("pair")
    assert len(good) > 10
    for _, two in good:
        left, right = two.iloc[0], two.iloc[1]
        rule = (
            rules.get((left["factor"], right["factor"])) or rules[right["factor"], left["factor"]]
        )
        assert right["start"] - left["end"] == rule.gap
        assert (left["strand"] == right["strand"]) == (rule.strands == "++")


def test_conservative_chip_peaks_hold_a_bound_site_and_are_among_the_relaxed(tiny, sites):
    for path in sorted((tiny / "chip").glob("*.conservative.*")):
        cell, factor = path.name.split(".")[:2]
        strong = pd.read_csv(path, sep="\t", header=None)
        loose = pd.read_csv(str(path).replace("conservative", "relaxed"), sep="\t", header=None)
        assert set(zip(strong[0], strong[1], strong[2])) <= set(zip(loose[0], loose[1], loose[2]))
        assert len(loose) > len(strong)
        mine = sites[(sites["factor"] == factor) & sites["bound"].str.contains(cell)]
        for chrom, start, end in zip(strong[0], strong[1], strong[2]):
            here = mine[mine["chrom"] == chrom]
            assert ((here["start"] >= start) & (here["end"] <= end)).any()


def test_states_tell_open_enhancers_and_also_primed_ones(tiny, regions):
    states = pd.read_csv(tiny / "states/typeA.bed.gz", sep="\t", header=None)
    middle = (regions["start"] + regions["end"]) // 2
    for kind, least, most in (("open", 0.75, 1), ("primed", 0.6, 1), ("closed", 0, 0.15)):
        closed = ~(regions["open"] + regions["primed"]).str.contains("typeA")
        chosen = closed if kind == "closed" else regions[kind].str.contains("typeA")
        rows = regions[chosen & (regions["kind"] == "distal")].index
        hits = [
            states[
                (states[0] == regions["chrom"][r])
                & (states[1] <= middle[r])
                & (states[2] > middle[r])
            ][3]
            .eq("7_Enh")
            .any()
            for r in rows
        ]
        assert least <= np.mean(hits) <= most


def test_every_named_factor_has_a_motif():
    named = {f for p in PROGRAMMES for f in p.leads} | {f for s in SIZES.values() for f in s.chip}
    assert named <= set(motif_index())


def test_wrong_use_is_said_and_leaves_nothing(tmp_path):
    with pytest.raises(UsageError, match=r"unknown playground size.*Known: large, small, tiny"):
        simulate(tmp_path / "a", "medium")
    with pytest.raises(UsageError, match="seed is negative"):
        simulate(tmp_path / "a", "tiny", seed=-1)
    (tmp_path / "b").mkdir()
    with pytest.raises(EpilmError, match="exists already"):
        simulate(tmp_path / "b", "tiny")
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    from epilm.playground import writers

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers, "write_h5ad", full)
    with pytest.raises(EpilmError, match="the disk is full"):
        simulate(tmp_path / "a", "tiny")
    assert list(tmp_path.iterdir()) == []

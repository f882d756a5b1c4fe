"""DNABERT-viz's motifs: protocols 1.6 step by step, Biopython's alignment as a peer, an example."""

import numpy as np
import pytest
from Bio import Align
from scipy.stats import fisher_exact

from epilm.errors import UsageError
from epilm.explaining.attention_motifs import (
    Instance,
    agreement,
    attention_patterns,
    centred,
    enrichment,
    high_stretches,
    merge_stretches,
)
from epilm.explaining.explain import explain
from epilm.explaining.frames import Region
from epilm.explaining.region_map import RegionMap
from epilm.genome.sequence import encode
from toy_explained import subject


def test_a_stretch_is_above_the_mean_and_above_ten_times_the_least():
    scores = np.full(30, 0.2)
    scores[3:8] = 1.0  # mean 0.33: above it, but not above ten times 0.2
    assert high_stretches(scores) == []
    scores[20] = 0.05  # ten times 0.05 is 0.5
    assert high_stretches(scores) == [(3, 8)]
    assert high_stretches(scores, 6) == []
    scores[5] = np.nan
    assert high_stretches(scores, 2) == [(3, 5), (6, 8)]
    assert high_stretches(np.full(9, np.nan)) == []


def test_enrichment_is_fishers_one_sided_test_once_a_sequence():
    positives = ["ACGTACGT", "TTACGTT", "CCCCCC", "ACGT"]
    negatives = ["ACGTT", "GGGGG", "CCCCCC"]
    one, other = enrichment(["ACGT", "CCCC"], positives, negatives)
    assert (one.positives, one.all) == (3, 4)
    p = [fisher_exact([[x, n - x], [4 - x, 3 - n + x]], "greater")[1] for x, n in ((3, 4), (1, 2))]
    assert one.q == pytest.approx(min(2 * p[0], p[1]))
    assert other.q == pytest.approx(p[1])


def test_stretches_agree_as_the_published_aligner_says():
    # As Biopython's defaults were when the tool was published; later ones charge for ends too.
    aligner = Align.PairwiseAligner(match_score=1, mismatch_score=0, end_gap_score=0)
    aligner.internal_gap_score = -10000.0
    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = ("".join(rng.choice(list("ACGT"), rng.integers(5, 11))) for _ in range(2))
        same, shift = agreement(a, b)
        assert same == aligner.score(a, b)
        assert same == sum(
            a[at] == b[at - shift] for at in range(max(shift, 0), min(len(a), shift + len(b)))
        )


def test_what_agrees_too_little_stays_apart_and_ties_go_to_both():
    told = {
        "AAAAACCCCC": [Instance(0, 0, 10)],
        "AAAAA": [Instance(1, 4, 9)],
        "CCCCC": [Instance(2, 7, 12)],
        "GTGTG": [Instance(3, 1, 6)],
    }
    assert merge_stretches(told) == {
        "AAAAA": [Instance(1, 4, 9), Instance(0, 0, 5)],
        "CCCCC": [Instance(2, 7, 12), Instance(0, 5, 10)],
        "GTGTG": [Instance(3, 1, 6)],
    }


def test_a_window_lies_around_its_stretch_and_inside_its_region():
    assert centred(Instance(0, 10, 16), 40) == Instance(0, 1, 25)
    assert centred(Instance(0, 10, 15), 40) == Instance(0, 1, 25)  # one more on the right
    assert centred(Instance(0, 10, 36), 40) == Instance(0, 11, 35)
    assert centred(Instance(0, 16, 22), 31) == Instance(0, 7, 31)
    assert centred(Instance(0, 16, 22), 30) is None


def planted(count=20, width=60, word="TGACTCAG", seed=0):
    rng = np.random.default_rng(seed)
    maps, others = [], []
    for number in range(count):
        codes = rng.integers(0, 4, width).astype(np.uint8)
        at = int(rng.integers(12, width - 24))
        codes[at : at + len(word)] = encode(word)
        scores = rng.random(width) * 0.01
        scores[0] = 0
        scores[at : at + len(word)] = 1
        maps.append(
            RegionMap(Region("chr1", 100 * number, 100 * number + width, "r"), codes, scores)
        )
        others.append(rng.integers(0, 4, width).astype(np.uint8))
    return maps, others


def test_a_planted_word_becomes_one_motif_whose_windows_lie_where_they_are_said_to():
    maps, others = planted()
    (pattern,) = attention_patterns(maps, others)
    assert pattern.name == "attention_1"
    assert pattern.counts.shape == (24, 4)
    assert "TGACTCAG" in pattern.consensus
    assert len(pattern.seqlets) == 20
    counts = np.zeros((24, 4))
    for member in pattern.seqlets:
        each = maps[member.region]
        first = member.start - each.region.start
        counts += each.codes[first : first + 24, None] == np.arange(4)
    np.testing.assert_array_equal(counts, pattern.counts)
    # Where the others hold it as often, it is no motif.
    assert attention_patterns(maps, [each.codes for each in maps]) == []


def test_the_option_is_of_attention_and_says_what_it_is_of(tmp_path):
    lines = [f">s{n}\n{'ACGTTGCATGACTCAGTTACGATCAGGCAT' * 2}\n" for n in range(3)]
    (tmp_path / "a.fa").write_text("".join(lines))
    (tmp_path / "b.fa").write_text(">t\nACGTTGCATTTTTTTTTTACGATCAGGCAT\n")
    given = {"fasta": tmp_path / "a.fa", "against": tmp_path / "b.fa"}
    done = explain(subject("dna"), method="attention", out=tmp_path / "why", **given)
    assert any(
        "after DNABERT-viz" in note and "3 sequences against 1" in note for note in done.notes
    )
    assert done.summary()["patterns"] == len(done.patterns)
    assert not (tmp_path / "why/modisco_results.h5").exists()
    with pytest.raises(UsageError, match="--against: the method does not read it"):
        explain(subject("dna"), **given)
    with pytest.raises(UsageError, match="another way to find motifs"):
        explain(subject("dna"), method="attention", null=1, **given)

"""Seqlets, patterns and names, with sites planted by hand on both strands."""

import builtins

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.explaining.discovery import (
    Pattern,
    Seqlet,
    adjusted,
    call_seqlets,
    cores,
    false_discovery,
    find_patterns,
    named,
)
from epilm.genome.sequence import decode, encode, reverse_complement
from epilm.motifs.motif import Motif
from toy_patterns import WORD, planted


def test_every_member_maps_back_to_its_place_and_strand():
    maps, null, sites = planted()
    seqlets = call_seqlets(maps, null, 1)
    (pattern,) = find_patterns(maps, seqlets)
    assert pattern.name == "pattern_1"
    assert len(pattern.seqlets) >= 38
    consensus = pattern.consensus
    forward = WORD in consensus
    assert forward or decode(reverse_complement(encode(WORD))) in consensus
    off = consensus.index(WORD) if forward else None
    for member in pattern.seqlets:
        start, strand = sites[member.region]
        each = maps[member.region]
        first = member.start - each.region.start
        bases = each.codes[first : first + member.end - member.start]
        if member.strand < 0:
            bases = reverse_complement(bases)
        assert decode(bases) == consensus or WORD in decode(bases) or not forward
        assert member.strand == (strand if forward else -strand)
        assert member.chrom == "chr1"
        if forward:
            at = member.start + off if strand > 0 else member.end - off - len(WORD)
            assert at == start
        assert member.start <= start
        assert start + len(WORD) <= member.end
        assert member.row()[5] == ("-" if member.strand < 0 else "+")
    assert {member.strand for member in pattern.seqlets} == {1, -1}


def test_what_is_as_frequent_in_shuffled_copies_is_not_called():
    maps, _, _ = planted()
    same = [each.scores for each in maps]
    assert call_seqlets(maps, same, 1) == []
    assert call_seqlets(maps, [], 1)  # none by chance


def test_what_holds_the_output_down_is_a_pattern_of_its_own():
    from dataclasses import replace

    maps, null, _ = planted()
    turned = [replace(each, scores=-each.scores) for each in maps]
    patterns = find_patterns(turned, call_seqlets(turned, null, 1))
    assert [pattern.name for pattern in patterns] == ["minus_1"]
    assert patterns[0].mean_score < 0


def test_two_words_are_two_patterns():
    first, null, _ = planted(30)
    second, more, _ = planted(20, seed=5, word="GGGCGGAAGT")
    maps = first + second
    patterns = find_patterns(maps, call_seqlets(maps, null + more, 1))
    assert [len(pattern.seqlets) >= 18 for pattern in patterns] == [True, True]
    both = "".join(decode(encode(p.consensus)) for p in patterns)
    turned = decode(reverse_complement(encode(both)))
    assert "TGACTCAGCA" in both + "-" + turned
    assert "GGGCGGAAGT" in both + "-" + turned


def test_a_steeper_model_on_shuffled_copies_hides_nothing():
    """All scores of the copies ten times as large: the same seqlets, scored as before."""
    maps, null, _ = planted()
    plain = call_seqlets(maps, null, 1)
    assert call_seqlets(maps, [10 * scores for scores in null], 1) == plain
    best = max(plain, key=lambda seqlet: seqlet.score)
    each = maps[best.region]
    at = best.start - each.region.start + 7
    assert best.score == pytest.approx(each.scores[at : at + 11].sum())


def test_false_discovery_is_a_share_of_those_above():
    """Real 10, 8, 5; of two copies 9 and 5: above 8 half a false one a copy among two."""
    q = false_discovery(np.array([10.0, 8, 5]), np.array([9.0, 5]), 2)
    assert q.tolist() == pytest.approx([0, 0.25, 1 / 3])
    assert false_discovery(np.array([1.0]), np.array([5.0, 6]), 1).tolist() == [1]


def test_cores_do_not_overlap():
    scores = np.random.default_rng(0).normal(size=200)
    places = sorted(peak.at for peak in cores([scores], 7))
    assert min(np.diff(places)) >= 7
    for peak in cores([scores], 7):
        assert peak.score == pytest.approx(scores[peak.at : peak.at + 7].sum())


def test_q_is_that_of_scipy():
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(0).random(50)
    assert adjusted(p) == pytest.approx(false_discovery_control(p))


def counts_of(word, weight=20.0):
    table = np.full((len(word), 4), 0.5)
    table[np.arange(len(word)), encode(word)] = weight
    return table


def random_motifs(count=60):
    rng = np.random.default_rng(1)
    return [
        Motif(f"R{i}", f"R{i}", rng.dirichlet([0.3] * 4, 12) * 50, is_counts=True)
        for i in range(count)
    ]


@pytest.mark.twin  # memelite compiles for a minute or two, once an installation
def test_only_a_significant_likeness_gives_a_name():
    pytest.importorskip("memelite")
    seqlet = Seqlet(0, "c", 0, 10, 1, 1.0, 0.0, "x")
    asked = [
        Pattern("a", counts_of(WORD), counts_of(WORD), (seqlet,)),
        Pattern("b", np.full((9, 4), 5.0), np.zeros((9, 4)), (seqlet,)),
    ]
    # Given from the other strand: TOMTOM finds it.
    target = Motif("M1", "AP1", counts_of(decode(reverse_complement(encode(WORD)))), True)
    done = named(asked, [*random_motifs(), target])
    assert done[0].match is not None
    assert done[0].match.name == "AP1"
    assert done[0].match.q < 0.05
    assert done[1].match is None
    assert done[0].motif().name == "a_AP1"
    assert "no name" in done[1].text()


def test_a_missing_extra_names_the_pip_line(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named_):
        if name.startswith("memelite"):
            raise ImportError(name)
        return real(name, *rest, **named_)

    monkeypatch.setattr(builtins, "__import__", without)
    seqlet = Seqlet(0, "c", 0, 10, 1, 1.0, 0.0, "x")
    with pytest.raises(UsageError, match=r'needs memelite.*pip install "epilm\[explain\]"'):
        named([Pattern("a", counts_of(WORD), counts_of(WORD), (seqlet,))], random_motifs(2))

"""Fast scans equal the plain loop, for every kind of processor, around N, at edges, on both
strands.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.motifs import scan as scan_module
from epilm.motifs.log_odds import log_odds
from epilm.motifs.pwm import reverse_complement, thresholds
from epilm.motifs.scan import best_scores, scan

from .reference import plain_best, plain_hits, random_motifs

ACG = log_odds(np.eye(4)[:3] * 100)


def encode(text):
    return np.array(["ACGTN".index(letter) for letter in text], dtype=np.uint8)


def listed(hits):
    return list(
        zip(hits.motif.tolist(), hits.start.tolist(), hits.strand.tolist(), hits.score.tolist())
    )


def assert_same_hits(found, expected):
    assert [hit[:3] for hit in found] == [hit[:3] for hit in expected]
    np.testing.assert_allclose(
        [hit[3] for hit in found], [hit[3] for hit in expected], rtol=0, atol=1e-9
    )


def test_worked_scan_finds_the_reverse_strand_only():
    (hit,) = listed(scan(encode("TTCGTAA"), [ACG], [4.0]))
    assert hit[:3] == (0, 2, -1)
    assert hit[3] == pytest.approx(3 * 1.3788, abs=2e-4)
    assert best_scores(encode("TTCGTAA"), [0], [7], [ACG])[0, 0] == pytest.approx(4.1364, abs=2e-4)


def test_a_palindrome_counts_once_a_position_unless_asked():
    ecori = log_odds(np.eye(4)[[2, 0, 0, 3, 3, 1]] * 100)  # GAATTC
    np.testing.assert_allclose(ecori, reverse_complement(ecori))
    codes = encode("AAGAATTCAAGAATTC")
    assert [hit[:3] for hit in listed(scan(codes, [ecori], [8.0]))] == [(0, 2, 1), (0, 10, 1)]
    both = scan(codes, [ecori], [8.0], dedup=False)
    assert [hit[:3] for hit in listed(both)] == [(0, 2, 1), (0, 2, -1), (0, 10, 1), (0, 10, -1)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_hits_and_best_scores_equal_the_plain_loop(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    length = data.draw(st.integers(0, 300))
    widths = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    pwms = [
        log_odds(m, pseudocount=data.draw(st.sampled_from([0.0, 1.0])))
        for m in random_motifs(rng, widths)
    ]
    share = data.draw(st.sampled_from([0, 0.01, 0.3]))
    codes = rng.choice(5, size=length, p=[*[(1 - share) / 4] * 4, share]).astype(np.uint8)
    cuts = thresholds(pwms, data.draw(st.sampled_from([0.3, 0.01, 1e-4]))).scores
    dedup = data.draw(st.booleans())
    assert_same_hits(
        listed(scan(codes, pwms, cuts, dedup=dedup, threads=1)),
        plain_hits(codes, pwms, cuts, dedup),
    )
    starts = rng.integers(0, length + 1, size=4)
    ends = rng.integers(starts, length + 1)
    np.testing.assert_allclose(
        best_scores(codes, starts, ends, pwms, threads=1),
        plain_best(codes, starts, ends, pwms),
        atol=1e-4,
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_pieces_and_threads_change_nothing(monkeypatch, threads):
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, size=5000).astype(np.uint8)
    codes[2000:2100] = 4
    pwms = [log_odds(m) for m in random_motifs(rng, [6, 12, 20])]
    cuts = thresholds(pwms, 1e-2).scores
    whole = listed(scan(codes, pwms, cuts, threads=1))
    assert len(whole) > 100
    monkeypatch.setattr(scan_module, "CHUNK", 333)
    assert listed(scan(codes, pwms, cuts, threads=threads)) == whole


def test_more_hits_than_expected_are_not_lost():
    flat = np.zeros((2, 4))
    assert (
        len(scan(np.zeros(5000, dtype=np.uint8), [flat] * 3, [-1.0] * 3, dedup=False).start)
        == 3 * 2 * 4999
    )


def test_a_motif_without_a_possible_hit_has_none():
    codes = encode("ACGACGACG")
    assert len(scan(codes, [ACG, ACG], [np.inf, 5.0]).start) == 0
    assert len(scan(codes[:0], [ACG], [1.0]).start) == 0
    assert len(scan(codes, [], []).start) == 0
    assert best_scores(codes, [], [], [ACG]).shape == (0, 1)


def test_a_memory_map_reads_like_an_array(tmp_path):
    codes = np.random.default_rng(6).integers(0, 5, size=3000).astype(np.uint8)
    np.save(tmp_path / "g.npy", codes)
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    assert listed(scan(mapped, [ACG], [2.0])) == listed(scan(codes, [ACG], [2.0]))
    np.testing.assert_array_equal(
        best_scores(mapped, [0, 50], [90, 80], [ACG]), best_scores(codes, [0, 50], [90, 80], [ACG])
    )


def test_the_peer_moods_finds_the_same_hits():
    peer = pytest.importorskip("MOODS.scan")
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 4, size=20_000).astype(np.uint8)
    pwms = [log_odds(m) for m in random_motifs(rng, range(6, 22))]
    cuts = thresholds(pwms, 1e-3).scores
    scanner = peer.Scanner(7)
    both = [p.T.tolist() for p in pwms] + [reverse_complement(p).T.tolist() for p in pwms]
    scanner.set_motifs(both, [0.25] * 4, [*cuts, *cuts])
    theirs = set()
    for row, results in enumerate(scanner.scan("".join("ACGT"[c] for c in codes))):
        theirs |= {(row % len(pwms), hit.pos, 1 if row < len(pwms) else -1) for hit in results}
    ours = {hit[:3] for hit in listed(scan(codes, pwms, cuts, dedup=False))}
    assert len(ours) > 400
    assert ours == theirs


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: best_scores(c, [0], [99], [ACG]),
            "region 0 does not lie in the sequence. Found 0-99",
        ),
        (lambda c: best_scores(c, [5], [4], [ACG]), "Found 5-4"),
        (lambda c: best_scores(c, [0, 1], [4], [ACG]), "differ in number. Found 2 and 1"),
        (lambda c: scan(c.astype(int), [ACG], [1.0]), "one row of uint8.*Found int64"),
        (lambda c: scan(c, [ACG], [1.0, 2.0]), "each motif needs one cut"),
        (lambda c: scan(c, [ACG], [1.0], threads=0), "at least one thread is needed. Found 0"),
    ],
)
def test_wrong_use_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call(encode("ACGTACGT"))

"""The factor matrix: each statistic by hand and against the plain loop; the report; memory maps;
progress.
"""

import json

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.motifs.formats import Motif
from epilm.motifs.log_odds import log_odds
from epilm.motifs.matrix import factor_matrices, factor_matrix
from epilm.motifs.pwm import base_background, gc_bins, tail_table, thresholds
from epilm.motifs.scan import HitScanner, best_scores

from .reference import plain_best, plain_hits, plain_scores, random_motifs


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    codes = rng.choice(5, size=4000, p=[0.3, 0.2, 0.2, 0.29, 0.01]).astype(np.uint8)
    codes[1000:1200] = 4
    starts = np.array([0, 300, 900, 1050, 2000, 3990])
    ends = np.array([200, 700, 1300, 1150, 2404, 4000])
    motifs = [
        Motif(f"M{i}", f"F{i}", m, is_counts=True)
        for i, m in enumerate(random_motifs(rng, [6, 8, 11, 15]))
    ]
    return codes, starts, ends, motifs


def test_worked_statistics_of_three_sites():
    # AA scores 5.1, CC 3.4, AC 2.7; their reverse complements hold G and T and score far below
    pwm = np.array([[1.0, 1.7, -9, -9], [4.1, 1.7, -9, -9]])
    codes = np.array([0, 0, 4, 1, 1, 4, 0, 1], dtype=np.uint8)
    scanner = HitScanner([pwm], np.array([3.0]))
    starts, ends = np.array([0, 6]), np.array([8, 8])
    count, total = np.empty((2, 1), np.float32), np.empty((2, 1), np.float32)
    scanner.tally(codes, starts, ends, count, scores=False)
    scanner.tally(codes, starts, ends, total, scores=True)
    assert count[:, 0].tolist() == [2, 0]
    assert total[:, 0].tolist() == pytest.approx([8.5, 0])
    assert best_scores(codes, starts, ends, [pwm])[:, 0].tolist() == pytest.approx([5.1, 2.7])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("statistic", ["best", "binary", "count", "sum", "occupancy", "neglog10p"])
def test_every_statistic_equals_the_plain_loop(scene, statistic, threads):
    codes, starts, ends, motifs = scene
    pwms = [log_odds(m) for m in motifs]
    cuts = thresholds(pwms, 1e-2).scores
    matrix, report = factor_matrix(
        codes, starts, ends, motifs, statistic=statistic, p=1e-2, threads=threads
    )
    assert matrix.dtype == np.float16
    assert report.statistic == statistic
    best = plain_best(codes, starts, ends, pwms)
    expected = np.zeros(best.shape)
    for r, (a, b) in enumerate(zip(starts, ends)):
        for m, pwm in enumerate(pwms):
            hits = plain_hits(codes[a:b], [pwm], cuts[m : m + 1])
            if statistic == "best":
                expected[r, m] = max(best[r, m], 0)
            elif statistic == "binary":
                expected[r, m] = bool(hits)
            elif statistic == "count":
                expected[r, m] = len(hits)
            elif statistic == "sum":
                expected[r, m] = sum(hit[3] for hit in hits)
            elif statistic == "occupancy":
                expected[r, m] = np.log1p(np.nansum(np.exp(plain_scores(codes[a:b], pwm))))
            elif np.isfinite(best[r, m]):
                table, top, step = tail_table(pwm, bins=1 << 20)  # so fine that no word strays
                at = round((top - best[r, m]) / step) + len(pwm)
                expected[r, m] = -np.log10(table[min(at, len(table) - 1)])
    assert expected[3].tolist() == [0] * 4  # nothing but N
    apart = 0.02 if statistic == "neglog10p" else 2e-3  # below the best words, from a table
    np.testing.assert_allclose(matrix.astype(float), expected, rtol=2e-3, atol=apart)


def test_each_background_gives_its_own_scores(scene):
    codes, starts, ends, motifs = scene
    genome, report = factor_matrix(codes, starts, ends, motifs, background="genome")
    bg = base_background(codes)
    assert report.backgrounds == (tuple(bg),)
    pwms = [log_odds(m, bg) for m in motifs]
    np.testing.assert_allclose(
        genome.astype(float),
        np.maximum(plain_best(codes, starts, ends, pwms), 0),
        rtol=1e-3,
        atol=1e-3,
    )
    binned, report = factor_matrix(codes, starts, ends, motifs, background="gc_bins")
    group, backgrounds = gc_bins(codes, starts, ends)
    assert len(report.backgrounds) == len(backgrounds) > 1
    for r in range(len(starts)):
        pwms = [log_odds(m, backgrounds[group[r]]) for m in motifs]
        row = np.maximum(plain_best(codes, starts[r : r + 1], ends[r : r + 1], pwms)[0], 0)
        np.testing.assert_allclose(binned[r].astype(float), row, rtol=1e-3, atol=1e-3)


def test_a_memory_map_is_filled_and_progress_told(scene, tmp_path, monkeypatch):
    codes, starts, ends, motifs = scene
    plain, _ = factor_matrix(codes, starts, ends, motifs)
    monkeypatch.setattr("epilm.motifs.matrix.BLOCK", 1)
    monkeypatch.setattr("epilm.motifs.matrix.BLOCKS_A_STEP", 2)
    out = np.lib.format.open_memmap(tmp_path / "f.npy", mode="w+", dtype=np.float16, shape=(6, 4))
    told = []
    factor_matrix(
        codes, starts, ends, motifs, out=out, threads=1, progress=lambda *now: told.append(now)
    )
    out.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), plain)
    assert told == [(2, 6), (4, 6), (6, 6)]


@pytest.mark.parametrize("background", ["uniform", "gc_bins"])
def test_several_statistics_in_one_pass_are_the_single_ones(scene, background):
    codes, starts, ends, motifs = scene
    names = ("sum", "best", "occupancy", "count", "binary", "neglog10p")
    switches = {"p": 1e-2, "background": background, "threads": 1}
    matrices, report = factor_matrices(codes, starts, ends, motifs, names, **switches)
    for name, matrix in zip(names, matrices, strict=True):
        alone, single = factor_matrix(codes, starts, ends, motifs, statistic=name, **switches)
        np.testing.assert_array_equal(matrix, alone, err_msg=name)
        assert single.thresholds == report.thresholds
        assert single.more_statistics == ()
    assert (report.statistic, report.more_statistics) == ("sum", names[1:])
    assert "statistic sum, best, occupancy" in str(report)


@pytest.mark.parametrize(
    ("statistics", "more", "message"),
    [
        ((), {}, "each matrix needs a statistic of its own. Found none"),
        (("best", "best"), {}, "each matrix needs a statistic of its own. Found best, best"),
        (("best", "mean"), {}, "unknown statistic 'mean'"),
        (
            ("best", "sum"),
            {"out": [np.zeros((6, 4), np.float16)]},
            "each statistic needs a result. Found 1",
        ),
    ],
)
def test_wrong_sets_of_statistics_are_refused(scene, statistics, more, message):
    codes, starts, ends, motifs = scene
    with pytest.raises(InputError, match=message):
        factor_matrices(codes, starts, ends, motifs, statistics, **more)


def test_the_report_names_motifs_that_cannot_reach_the_cut(scene):
    codes, starts, ends, motifs = scene
    _, report = factor_matrix(
        codes, starts, ends, motifs, statistic="binary", p=1e-6, short="exact"
    )
    assert "M0" in report.unreachable
    assert report.thresholds[0] == np.inf
    assert "motifs cannot reach p 1e-06 (they have no hit): M0" in str(report)
    kept = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert kept["thresholds"][0] is None
    assert kept["ids"] == ["M0", "M1", "M2", "M3"]
    short, _ = factor_matrix(codes, starts, ends, motifs, statistic="binary", p=1e-6, short="exact")
    assert short[:, 0].sum() == 0


def test_frequencies_are_said_to_shrink():
    motifs = [
        Motif("M1", "x", np.eye(4), is_counts=False),
        Motif("M2", "y", np.eye(4), False, sites=50),
    ]
    codes = np.array([0, 1, 2, 3], dtype=np.uint8)
    matrix, report = factor_matrix(codes, np.array([0]), np.array([4]), motifs)
    assert (report.counts, report.frequencies, report.scaled) == (0, 1, 1)
    assert "the pseudocount shrinks their scores" in str(report)
    assert matrix[0, 0] == pytest.approx(4 * 0.9163, abs=2e-3)
    assert matrix[0, 1] > 4 * 1.3


def test_nothing_to_score_is_an_empty_matrix(scene):
    codes, starts, ends, motifs = scene
    for background in ("uniform", "genome", "gc_bins"):
        matrix, _ = factor_matrix(codes, starts[:0], ends[:0], motifs, background=background)
        assert matrix.shape == (0, 4)
    matrix, report = factor_matrix(codes, starts, ends, [])
    assert matrix.shape == (6, 0)
    assert report.unreachable == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statistic": "mean"}, "unknown statistic 'mean'. Expected best, binary"),
        ({"background": "flat"}, "unknown background 'flat'. Expected uniform, genome, gc_bins"),
        (
            {"out": np.zeros((1, 1), np.float16)},
            r"no room for regions x motifs. Found \(1, 1\); expected \(6, 4\)",
        ),
        ({"ends": np.array([1, 2, 3, 4, 5, 9999])}, "region 0|region 1"),
        ({"threads": 0}, "at least one thread"),
    ],
)
def test_wrong_use_is_said(scene, change, message):
    codes, starts, ends, motifs = scene
    arguments = {"starts": starts, "ends": ends, "motifs": motifs} | change
    with pytest.raises(InputError, match=message):
        factor_matrix(codes, **arguments)


def test_one_id_twice_is_refused(scene):
    codes, starts, ends, motifs = scene
    with pytest.raises(InputError, match=r"two motifs have one id. Found M0"):
        factor_matrix(codes, starts, ends, [*motifs, motifs[0]])

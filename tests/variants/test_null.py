"""Matched random variants: of the stratum, different, a function of seed and stratum alone."""

import numpy as np
import pytest
from scipy.stats import percentileofscore

from epilm.genome.sequence import decode
from epilm.variants.haplotypes import Change, Windowing, normalise, reason_of_window
from epilm.variants.null import draw_null, percentile, stratum_of

BASES = np.random.default_rng(4).integers(0, 4, 5000).astype(np.uint8)


def reason_of(bases, change):
    return reason_of_window(bases, change, Windowing(40, (0, 4)))


def some_changes():
    at = [300, 777, 1500, 2222]
    for p in at:
        here = decode(BASES[p : p + 3])
        other = "ACGT"[("ACGT".index(here[0]) + 1) % 4]
        yield Change("chr1", p, here[0], other)
        yield normalise(BASES, Change("chr1", p, here, ""))
        yield normalise(BASES, Change("chr1", p, "", "GATC"))


def test_a_null_is_of_the_stratum_and_readable_and_different():
    for change in some_changes():
        stratum = stratum_of(BASES, change)
        drawn = draw_null(BASES, stratum, reason_of, 12)
        assert len(set(drawn)) == len(drawn) == 12
        for each in drawn:
            assert stratum_of(BASES, each) == stratum
            assert normalise(BASES, each) == each
            assert reason_of(BASES, each) is None
            assert decode(BASES[each.start : each.start + len(each.ref)]) == each.ref


def test_more_are_the_same_ones_and_more_and_a_seed_draws_others():
    stratum = stratum_of(BASES, next(some_changes()))
    many = draw_null(BASES, stratum, reason_of, 20)
    assert draw_null(BASES, stratum, reason_of, 5) == many[:5]
    assert set(draw_null(BASES, stratum, reason_of, 20, seed=1)) != set(many)


def test_a_chromosome_with_fewer_gives_all_it_has():
    """An SNV of one trinucleotide: as many as there are places, counted by hand."""
    bases = np.zeros(400, np.uint8)
    bases[[100, 200, 300]] = 1  # ACA three times
    drawn = draw_null(bases, stratum_of(bases, Change("chr1", 100, "C", "G")), reason_of, 50)
    assert sorted(change.start for change in drawn) == [100, 200, 300]


def test_no_window_of_the_null_has_an_n():
    bases = BASES.copy()
    bases[1000:4000] = 4
    drawn = draw_null(bases, stratum_of(bases, next(some_changes())), reason_of, 10)
    assert drawn
    assert all(not 960 < change.start < 4020 for change in drawn)


def test_percentiles_are_scipys():
    rng = np.random.default_rng(0)
    null = rng.integers(0, 10, 50).astype(float)
    for value in (0.0, 3.0, 4.5, 20.0):
        assert percentile(value, null) == pytest.approx(percentileofscore(null, value, "mean"))
    assert np.isnan(percentile(1.0, []))

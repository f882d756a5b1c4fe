"""Simulated cohorts: frequencies, heritability and families are those that were asked for."""

import numpy as np
import pytest
from scipy.stats import norm

from epilm.cohorts.frequencies import AlleleSite, read_sites
from epilm.cohorts.risk_choices import Illness, Population
from epilm.cohorts.simulate_cohort import draw_cohort, simulate_cohort
from epilm.errors import UsageError
from toy_cohort import snv, write_sites


def sites(v=30, frequency=0.3, effects=True):
    rng = np.random.default_rng(0)
    return [
        AlleleSite(
            "chr1", 10 * i, "A", "C", ".", frequency, float(rng.normal()) if effects else 0.0, ""
        )
        for i in range(v)
    ]


def test_genotypes_are_in_hardy_weinberg_proportions():
    cohort = draw_cohort(
        sites(20, 0.2), Illness(0.0, prevalence=0.5), Population(1000, 1000), seed=1
    )
    dosage = cohort.copies.sum(2)
    shares = [float((dosage == n).mean()) for n in range(3)]
    np.testing.assert_allclose(shares, [0.64, 0.32, 0.04], atol=0.01)


@pytest.mark.parametrize("heritability", [0.1, 0.5])
def test_the_variants_make_the_share_of_variance_that_was_asked_for(heritability):
    """With a prevalence of one half and as many of either, the collected are the population."""
    cohort = draw_cohort(
        sites(), Illness(heritability, 0.5, effect="e"), Population(3000, 3000), seed=2
    )
    assert cohort.genetic.var() == pytest.approx(heritability, rel=0.08)
    assert cohort.liability.var() == pytest.approx(1, rel=0.06)
    effects = np.array([site.effect for site in cohort.sites])
    centred = cohort.copies.sum(2) @ effects
    np.testing.assert_allclose(centred - cohort.genetic, np.full(6000, (0.6 * effects).sum()))


def test_the_ill_are_above_the_threshold_and_as_many_as_asked():
    cohort = draw_cohort(sites(), Illness(0.4, 0.05, effect="e"), Population(120, 300), seed=3)
    assert (int(cohort.labels.sum()), len(cohort.labels)) == (120, 420)
    np.testing.assert_array_equal(cohort.labels == 1, cohort.liability > norm.isf(0.05))
    assert cohort.genetic[cohort.labels == 1].mean() > 0.3


def test_children_of_one_family_share_half_of_their_copies():
    cohort = draw_cohort(
        sites(200, effects=False),
        Illness(0.0, 0.3, causal=0.5),
        Population(300, 300, family_size=2),
        seed=4,
    )
    dosage = cohort.copies.sum(2) - 2 * 0.3
    pairs = [np.flatnonzero(cohort.family == f) for f in np.unique(cohort.family)]
    pairs = [pair for pair in pairs if len(pair) == 2]
    assert len(pairs) > 100
    alike = np.mean([np.mean(dosage[a] * dosage[b]) for a, b in pairs]) / (2 * 0.3 * 0.7)
    assert alike == pytest.approx(0.5, abs=0.03)
    apart = np.mean(dosage[:300] * dosage[300:]) / (2 * 0.3 * 0.7)
    assert abs(apart) < 0.05


def test_ancestries_differ_in_frequency_as_far_as_asked():
    cohort = draw_cohort(
        sites(400, 0.5, effects=False),
        Illness(0.0, 0.5),
        Population(900, 900, ancestries=2, fst=0.1),
        seed=5,
    )
    dosage = cohort.copies.sum(2) / 2
    one, two = (dosage[cohort.ancestry == a].mean(0) for a in (0, 1))
    # Of two draws of Balding and Nichols the difference has variance 2 Fst p (1 - p).
    assert np.var(one - two) == pytest.approx(2 * 0.1 * 0.25, rel=0.2)


def test_variants_of_the_same_bases_do_not_meet_on_one_haplotype(tmp_path):
    chrom, pos, ref, alt = snv(100)
    third = next(iter(set("ACGT") - {ref, alt}))
    rows = [(chrom, pos, ref, alt, 0.3, 1), (chrom, pos, ref, third, 0.3, 1), (*snv(90), 0.3, 1)]
    found, _ = read_sites(write_sites(tmp_path / "v.tsv", rows), Illness())
    cohort = draw_cohort(found, Illness(), Population(5, 5), 0)
    assert [site.start for site in cohort.sites] == [89, 99]
    assert "1 variants left out that change the bases of another" in cohort.notes


@pytest.mark.parametrize(
    ("illness", "people", "message"),
    [
        (Illness(heritability=1.0), Population(5, 5), "--heritability: impossible value"),
        (Illness(prevalence=0.0), Population(5, 5), "--prevalence: impossible value"),
        (Illness(effect_by="x"), Population(5, 5), "Give --effect too"),
        (Illness(), Population(), "--cases: how many people is not said"),
        (Illness(), Population(5, 5, variants_used=9), "there are not as many variants"),
        (Illness(), Population(5, 5, missing=1.0), "--missing: impossible value"),
    ],
)
def test_impossible_cohorts_are_refused(tmp_path, illness, people, message):
    table = write_sites(tmp_path / "v.tsv", [(*snv(100), 0.3, 1)])
    with pytest.raises(UsageError, match=message):
        simulate_cohort(tmp_path / "c", table, illness=illness, population=people)
    assert not (tmp_path / "c").exists()

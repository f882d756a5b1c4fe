"""Simulated cohorts: frequencies, heritability and families are those that were asked for."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from epilm.cohorts.frequencies import AlleleSite, read_sites
from epilm.cohorts.genotypes import open_genotypes
from epilm.cohorts.risk_choices import Illness, Population
from epilm.cohorts.simulate_cohort import draw_cohort, simulate_cohort
from epilm.errors import InputError, UsageError
from epilm.tasks.reference import open_reference
from toy_cohort import snv, write_genome


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


def write_sites(path, rows, header="chrom\tpos\tref\talt\taf\teffect"):
    path.write_text("\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_the_files_hold_the_same_people_and_say_that_they_are_simulated(tmp_path):
    pytest.importorskip("bed_reader")
    genome = open_reference(write_genome(tmp_path))
    rows = [(*snv(p), 0.4, 1) for p in range(100, 150, 10)]
    table = write_sites(tmp_path / "v.tsv", rows)
    given = {"illness": Illness(effect="effect"), "population": Population(8, 9, missing=0.2)}
    folders = [
        simulate_cohort(tmp_path / name, table, format=name, **given) for name in ("vcf", "plink")
    ]
    opened = [
        open_genotypes(folders[0] / "genotypes.vcf.gz", genome),
        open_genotypes(folders[1] / "genotypes.bed", genome),
    ]
    assert opened[0].samples == opened[1].samples
    both = [np.concatenate([b.dosages for b in each.blocks(range(5))], 1) for each in opened]
    np.testing.assert_array_equal(*both)
    assert np.isnan(both[0]).any()
    assert all(each.simulated for each in opened)
    assert json.loads((folders[0] / "cohort.json").read_text())["simulated"] is True
    again = simulate_cohort(tmp_path / "again", table, **given)
    for path in again.iterdir():
        if path.name != "cohort.json":
            assert path.read_bytes() == (folders[0] / path.name).read_bytes()


def test_frequencies_that_no_file_has_are_drawn_and_said(tmp_path):
    table = write_sites(tmp_path / "v.tsv", [(*snv(100), "NA", 1), (*snv(120), 0.25, 1)])
    found, _ = read_sites(table, Illness(effect="effect"))
    cohort = draw_cohort(found, Illness(effect="effect"), Population(5, 5), 0)
    assert cohort.sites[1].frequency == 0.25
    assert any("1 of 2 allele frequencies drawn" in note for note in cohort.notes)


def test_variants_of_the_same_bases_do_not_meet_on_one_haplotype(tmp_path):
    chrom, pos, ref, alt = snv(100)
    third = next(iter(set("ACGT") - {ref, alt}))
    rows = [(chrom, pos, ref, alt, 0.3, 1), (chrom, pos, ref, third, 0.3, 1), (*snv(90), 0.3, 1)]
    found, _ = read_sites(write_sites(tmp_path / "v.tsv", rows), Illness())
    cohort = draw_cohort(found, Illness(), Population(5, 5), 0)
    assert [site.start for site in cohort.sites] == [89, 99]
    assert "1 variants left out that change the bases of another" in cohort.notes


def test_the_sets_of_the_paper_give_their_sizes_or_say_that_there_are_none(tmp_path):
    table = write_sites(tmp_path / "v.tsv", [(*snv(100), 0.3, 1)])
    folder = simulate_cohort(
        tmp_path / "a", table, like="hscr_ret", illness=Illness(prevalence=0.3)
    )
    words = [line.split("\t")[1] for line in (folder / "phenotypes.tsv").read_text().splitlines()]
    assert (words.count("case"), words.count("control")) == (431, 487)
    with pytest.raises(UsageError, match="not said by the paper for hscr_ret_long"):
        simulate_cohort(tmp_path / "b", table, like="hscr_ret_long")
    with pytest.raises(UsageError, match="no such set. Found hscr. Did you mean hscr_ret"):
        simulate_cohort(tmp_path / "b", table, like="hscr")


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


def test_an_effect_that_the_file_has_not_is_refused(tmp_path):
    table = write_sites(tmp_path / "v.tsv", [(*snv(100), 0.3, "")])
    with pytest.raises(InputError, match="the table has no column beta"):
        read_sites(table, Illness(effect="beta"))
    with pytest.raises(InputError, match="no variant has the effect asked for"):
        read_sites(table, Illness(effect="effect"))

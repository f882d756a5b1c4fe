"""What the demo's end asks: changes that the playground knows, and the site it explains."""

import gzip

import numpy as np
import pandas as pd
import pytest

from epilm.explaining.frames import Region
from epilm.explaining.region_map import RegionMap
from epilm.motifs.formats import read_motifs
from epilm.motifs.log_odds import log_odds
from epilm.playground.simulate import simulate
from epilm.tasks.reference import open_reference
from epilm.tour.ending import (
    Site,
    _against_sites,
    planted_changes,
    planted_sites,
    surest_site,
)

LETTERS = "ACGT"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tour") / "world"
    simulate(folder, "tiny", 1)
    return folder


def test_sites_are_those_that_are_bound_in_the_cell_type(world):
    with gzip.open(world / "truth_sites.tsv.gz", "rt") as lines:
        table = pd.read_csv(lines, sep="\t", keep_default_na=False)
    mine = table[(table["factor"] == "CTCF") & table["bound"].str.contains("typeA")]
    sites = planted_sites(world, "CTCF", "typeA")
    assert [site.start for site in sites] == mine["start"].tolist()
    assert len(planted_sites(world, None, None)) == len(table)


def test_each_break_has_the_same_letters_beside_it_where_nothing_is_planted(world):
    changes = planted_changes(world, "CTCF", "typeA", ["chr2"], 0)
    genome, everywhere = open_reference(world / "genome.fa"), planted_sites(world, None, None)
    tables = {m.id: log_odds(m) for m in read_motifs(world / "motifs.jaspar")}
    sites = [s for s in planted_sites(world, "CTCF", "typeA") if s.chrom == "chr2"]
    broken = [each for each in changes if each.causal]
    assert 0 < len(broken) <= len(sites)
    assert {"".join(sorted(c.ref + c.alt)) for c in changes if not c.causal} <= {
        "".join(sorted(c.ref + c.alt)) for c in broken
    }
    for each in changes:
        codes = genome.codes(each.chrom)
        assert LETTERS[codes[each.start]] == each.ref != each.alt
        holding = [s for s in everywhere if s.chrom == each.chrom and s.start <= each.start < s.end]
        if not each.causal:
            assert holding == []
            continue
        losses = []
        for site in (s for s in sites if s.start <= each.start < s.end):
            # Every single change of the site, scored on its own strand, the slow way.
            for at in range(site.start, site.end):
                for alt in range(4):
                    other = codes[site.start : site.end].copy()
                    other[at - site.start] = alt
                    losses.append((score(tables[site.motif], other, site.strand), at, alt))
        assert min(losses)[0] == pytest.approx(
            next(v for v, at, alt in losses if (at, LETTERS[alt]) == (each.start, each.alt))
        )
    assert planted_changes(world, "CTCF", "typeA", ["chr2"], 0) == changes


def score(table, codes, strand):
    read = codes if strand > 0 else 3 - codes[::-1]
    return float(table[np.arange(len(read)), read].sum())


def test_the_surest_bound_row_that_holds_a_site_is_explained(tmp_path):
    rows = ["split\tchrom\tstart\tend\torigin\tlabel\tp_0\tp_1"]
    for split, start, label, p in (
        ("train", 0, 1, 0.99),
        ("test", 100, 1, 0.9),  # no site
        ("test", 200, 1, 0.8),
        ("test", 300, 1, 0.7),
        ("test", 400, 0, 0.95),
    ):
        rows.append(f"{split}\tchr1\t{start}\t{start + 50}\tx\t{label}\t{1 - p}\t{p}")
    (tmp_path / "predictions.tsv").write_text("\n".join(rows) + "\n")
    sites = [Site("chr1", at, at + 10, 1, "M") for at in (210, 310, 410)]
    assert surest_site(tmp_path, sites) == ("chr1", 200, 250)
    assert surest_site(tmp_path, []) == ("chr1", 100, 150)


def test_how_many_of_the_best_bases_lie_in_the_site():
    scores = np.array([0.1, 3.0, 2.0, 0.0, 2.5, 0.2])
    each = RegionMap(Region("chr1", 100, 106, "r"), np.zeros(6, np.uint8), scores)
    said = _against_sites(each, [Site("chr1", 101, 104, 1, "M"), Site("chr1", 300, 305, 1, "M")])
    assert (said["planted"], said["best_in_site"]) == (3, 2)
    assert said["auprc"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)

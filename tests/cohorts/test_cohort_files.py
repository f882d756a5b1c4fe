"""Files of a simulated cohort hold the same people in either format."""

import json

import numpy as np
import pytest

from epilm.cohorts.genotypes import open_genotypes
from epilm.cohorts.risk_choices import Illness, Population
from epilm.cohorts.simulate_cohort import simulate_cohort
from epilm.tasks.reference import open_reference
from toy_cohort import snv, write_genome, write_sites


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

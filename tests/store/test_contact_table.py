"""Contact maps of chromosomes as a store's one table."""

import numpy as np
import pandas as pd
import pytest

from epilm.errors import InputError
from toy_raw import make


def test_contacts_are_observed_over_expected(raw, tmp_path):
    store = make(raw, tmp_path / "s", contacts=raw / "chr1.tsv")
    # Each distance has one value, so observed / expected is 1 everywhere.
    np.testing.assert_allclose(np.asarray(store.contacts.values), np.log(2), rtol=1e-6)
    assert store.contacts.resolution == 1000
    assert len(store.contacts.keys) == 21


def test_contacts_that_are_left_out_are_counted(raw, tmp_path):
    dump = tmp_path / "dump.txt"
    dump.write_text(
        "chr1\t0\t1000\tchr1\t2000\t3000\t7\nchr1\t0\t1000\tchr2\t0\t1000\t9\n"
        "chrUn_7\t0\t1000\tchrUn_7\t0\t1000\t9\n"
    )
    store = make(raw, tmp_path / "s", contacts=dump)
    assert store.contacts.resolution == 1000
    assert len(store.contacts.keys) == 1
    said = [note for note in store.info.notes if "dump.txt" in note]
    assert any("1 contacts between two chromosomes: left out" in note for note in said)
    assert any("1 of 2 contacts are on chromosomes the genome does not" in note for note in said)
    dump.write_text("1\t0\t1000\t1\t2000\t3000\t7\n")
    with pytest.raises(InputError, match="named differently than in the genome"):
        make(raw, tmp_path / "t", contacts=dump)


def test_juicers_names_of_chromosomes_are_those_of_the_genome(raw, tmp_path):
    hictkpy = pytest.importorskip("hictkpy")
    writer = hictkpy.hic.FileWriter(str(tmp_path / "a.hic"), {"1": 6000, "2": 4000}, [1000, 2000])
    rows = pd.DataFrame([(0, 2, 7), (6, 6, 3)], columns=["bin1_id", "bin2_id", "count"])
    writer.add_pixels(rows)
    writer.finalize()
    store = make(raw, tmp_path / "s", contacts=tmp_path / "a.hic", contacts_resolution=1000)
    low, high = divmod(np.asarray(store.contacts.keys), store.contacts.n_bins)
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == [(0, 2), (6, 6)]
    assert any("named without chr: it was added" in note for note in store.info.notes)


def test_one_bin_of_text_is_as_wide_as_is_said(raw, tmp_path):
    one = tmp_path / "chr1.txt"
    one.write_text("1000\t1000\t7\n")
    with pytest.raises(InputError, match=r"width of the bins cannot be found.*--contacts-resol"):
        make(raw, tmp_path / "s", contacts=one)
    store = make(raw, tmp_path / "s", contacts=one, contacts_resolution=500)
    assert (store.contacts.resolution, len(store.contacts.keys)) == (500, 1)


def test_finer_contact_maps_are_joined_to_the_resolution_asked_for(raw, tmp_path):
    (tmp_path / "chr2.tsv").write_text(
        "0\t500\t3\n500\t500\t2\n0\t1000\t4\n500\t1500\t6\n1000\t1500\t2\n"
    )
    given = [raw / "chr1.tsv", tmp_path / "chr2.tsv"]
    store = make(raw, tmp_path / "s", contacts=given, contacts_resolution=1000)
    table = store.contacts
    low, high = (
        np.asarray(table.keys) // table.n_bins - 6,
        np.asarray(table.keys) % table.n_bins - 6,
    )
    held = {
        (int(i), int(j)): float(v)
        for i, j, v in zip(low, high, table.values, strict=True)
        if i >= 0
    }
    # counts 5, 10, 2 at (0, 0), (0, 1), (1, 1); expected 3.5 on the diagonal, 10 beside it
    assert held == pytest.approx(
        {(0, 0): np.log1p(5 / 3.5), (0, 1): np.log(2), (1, 1): np.log1p(2 / 3.5)}
    )
    with pytest.raises(InputError, match=r"do not have this resolution.*divisors of 1500 bp"):
        make(raw, tmp_path / "t", contacts=given, contacts_resolution=1500)

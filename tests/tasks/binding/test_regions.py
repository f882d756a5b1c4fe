"""Bins over regions: laid, counted, refused."""

import pytest

from epilm.errors import InputError
from epilm.tasks.binding.bins import Bins, grid
from epilm.tasks.binding.regions import bins_among, bins_of_regions


def test_bins_are_laid_over_regions_and_what_holds_none_is_counted(tmp_path):
    sizes = {"chr1": 10_000, "chr2": 3_000}
    path = tmp_path / "regions.bed"
    path.write_text("chr1\t1000\t1300\nchr1\t5000\t5100\nchrUn\t0\t900\nchr2\t0\t200\n")
    bins, notes = bins_of_regions(path, sizes)
    assert [bins.place(n) for n in range(len(bins))] == [
        "chr1:1000-1200",
        "chr1:1050-1250",
        "chr1:1100-1300",
        "chr2:0-200",
    ]
    assert notes == [
        "1 of 4 regions lie on chromosomes that the store has not (chrUn)",
        "1 of 3 regions hold no whole bin of 200 bp",
    ]
    assert len(bins_of_regions(path, sizes, ["chr2"])[0]) == 1
    with pytest.raises(InputError, match=r"no bin is left to predict.*outside of chr2:500-900"):
        bins_of_regions(path, sizes, ["chr2:500-900"])
    path.write_text("chr2\t2000\t9000\n")
    with pytest.raises(InputError, match=r"ends past its chromosome.*of two assemblies"):
        bins_of_regions(path, sizes)
    path.write_text("2\t2000\t2500\n")
    with pytest.raises(InputError, match=r"named differently than in the store. Found 2"):
        bins_of_regions(path, sizes)


def test_bins_that_are_given_stay_and_places_are_filled():
    given = grid({"chr1": 2000, "chr2": 1000}, margin=0)
    assert bins_among(given) is given
    assert set(bins_among(given, ["chr2"]).counts()) == {"chr2"}
    laid = bins_among(["chr1:1000-1300"])
    assert isinstance(laid, Bins)
    assert laid.start.tolist() == [1000, 1050, 1100]

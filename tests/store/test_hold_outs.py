import numpy as np
import pytest

from epilm.errors import InputError, RecipeError
from epilm.store.hold_outs import leak_report, split_regions
from epilm.store.sample_spec import SampleSpec
from toy_store import toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("splits"), per_chrom=(20, 15), cells=3)


def test_training_regions_are_open_in_a_training_cell_type_on_a_training_chromosome(store):
    split = split_regions(store, SampleSpec(holdout_chroms=("chr2",), holdout_cells=("cell0",)))
    expected = (store.accessible(1) | store.accessible(2)) & (store.regions["chrom"] == 0)
    assert np.array_equal(split["train"], expected)
    assert np.array_equal(split["holdout"], ~expected)
    with pytest.raises(RecipeError, match="holdout_chroms"):
        split_regions(store, SampleSpec(holdout_chroms=("chr9",)))


def test_leaks_are_counted_base_by_base(store):
    spec = SampleSpec(holdout_chroms=("chr2",))
    train = store.regions[split_regions(store, spec)["train"]]
    first = train[0]
    chroms = ["chr1", "chr1", "chr2", "chrX"]
    starts = [first["start"] + 10, 0, store.regions["start"][-1], 5]
    ends = [first["end"] + 5, first["start"], store.regions["end"][-1], 9]
    report = {leak.chrom: leak for leak in leak_report(store, spec, chroms, starts, ends)}
    assert report["chr1"].intervals == 2
    assert report["chr1"].touching == 1
    assert report["chr1"].shared == first["end"] - first["start"] - 10
    assert report["chr1"].fraction == 0.5
    assert report["chr2"].touching == report["chrX"].touching == 0
    assert report["all"].intervals == 4
    assert report["all"].bases == sum(e - s for s, e in zip(starts, ends, strict=True))


def test_against_counting_bases_one_by_one(store):
    spec, rng = SampleSpec(), np.random.default_rng(0)
    starts = rng.integers(0, store.sizes[0] - 60, 50)
    ends = starts + rng.integers(1, 60, 50)
    held = np.zeros(store.sizes[0], bool)
    for r in store.regions[split_regions(store, spec)["train"]]:
        if r["chrom"] == 0:
            held[r["start"] : r["end"]] = True
    shared = [int(held[a:b].sum()) for a, b in zip(starts, ends, strict=True)]
    leak = leak_report(store, spec, ["chr1"] * 50, starts, ends)[0]
    assert leak.shared == sum(shared)
    assert leak.touching == sum(s > 0 for s in shared)


def test_holding_everything_out_leaves_no_leak(store):
    spec = SampleSpec(holdout_chroms=("chr1", "chr2"))
    assert leak_report(store, spec, ["chr1"], [0], [9999])[-1].fraction == 0


def test_uneven_intervals_are_refused(store):
    with pytest.raises(InputError, match="as many chromosomes, starts and ends"):
        leak_report(store, SampleSpec(), ["chr1"], [0, 1], [5])

"""From what a user has to labels of bins: a label file, a folder of peaks, or a dict."""

import gzip
import shutil

import pytest

from epilm.errors import InputError, UsageError
from epilm.genome.checks import make_table
from epilm.genome.peaks import write_narrow_peak
from epilm.tasks.binding import (
    load_bins,
    write_labels,
)
from epilm.tasks.binding.sources import cells_of
from toy_labels import one_peak, peak_folder, toy


def test_cell_types_missing_on_either_side_are_named():
    labels = toy()
    with pytest.raises(
        InputError,
        match=(
            r"a cell type of the labels is not in the store a.store. Found K562. Known: A549. Name"
        ),
    ):
        labels.check_cells(["A549"], "the store a.store")
    labels.check_cells(["A549"], "the store a.store", wanted=["A549"])
    with pytest.raises(
        InputError, match=r"CTCF: the labels have no such cell type. Found HepG2. Known: A549, K562"
    ):
        labels.check_cells(["HepG2"], "the store", wanted=["HepG2"])


def test_a_folder_of_peaks_and_a_dict_of_them_give_the_same_labels(tmp_path):
    folder = peak_folder(tmp_path / "chip")
    from_folder = load_bins(folder, sizes={"chr1": 10_000, "chr2": 3_000})
    assert from_folder.cells == ("typeA", "typeB")
    assert from_folder.factor == "CTCF"
    assert any("no peak on chr2" in note for note in from_folder.notes)
    pair = [folder / f"typeA.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]
    from_dict = load_bins({"typeA": pair}, factor="CTCF", sizes={"chr1": 10_000, "chr2": 3_000})
    assert (from_dict.of("typeA") == from_folder.of("typeA")).all()
    counts = from_folder.counts()["typeA"]
    assert counts["bound"] == 5
    assert counts["ambiguous"] == 2 + 7 + 33  # chr2 has no peak
    write_labels(folder / "CTCF.train.labels.tsv.gz", from_folder)
    again = load_bins(folder, factor="CTCF", chroms=["chr1"])  # a label file goes before peaks
    assert again.bins.counts() == {"chr1": from_folder.bins.counts()["chr1"]}


def test_what_a_folder_lacks_is_named(tmp_path):
    folder = peak_folder(tmp_path / "chip", relaxed=False)
    labels = load_bins(folder, factor="CTCF", cells=["typeB"], sizes={"chr1": 10_000})
    assert any(note.startswith("typeB: no relaxed peaks") for note in labels.notes)
    with pytest.raises(
        InputError, match=r"holds no labels of this factor. Found CTFC. Did you mean CTCF"
    ):
        load_bins(folder, factor="CTFC", sizes={"chr1": 10_000})
    with pytest.raises(
        InputError,
        match=(
            r"there are no conservative peaks of CTCF in this cell type. Found typeC. Did you mean"
        ),
    ):
        load_bins(folder, factor="CTCF", cells=["typeC"], sizes={"chr1": 10_000})
    with pytest.raises(
        UsageError,
        match=(
            r"nothing says where those lie. Give the store, .* \(--store\), or regions \(--regions"
            r" FILE\)"
        ),
    ):
        load_bins(folder, factor="CTCF")
    with pytest.raises(
        InputError, match=r"named differently than in the bins. Found chr1; expected 1"
    ):
        load_bins(folder, factor="CTCF", sizes={"1": 10_000})
    shutil.copy(
        folder / "typeA.CTCF.conservative.narrowPeak.gz",
        folder / "typeA.MAX.conservative.narrowPeak.gz",
    )
    with pytest.raises(UsageError, match=r"the folder holds several factors. Found CTCF, MAX"):
        load_bins(folder, sizes={"chr1": 10_000})
    with pytest.raises(UsageError, match=r"this is the peak file of one cell type"):
        load_bins(folder / "typeA.CTCF.conservative.narrowPeak.gz", sizes={"chr1": 10_000})
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"the folder holds neither labels nor peaks"):
        load_bins(empty, sizes={"chr1": 10_000})
    with pytest.raises(UsageError, match=r"unknown rule for bound bins. Found 'half'"):
        load_bins(folder, factor="MAX", sizes={"chr1": 10_000}, rule="half")


def test_region_files_of_bins_and_of_regions_and_a_blacklist_narrow_the_bins(tmp_path):
    folder = peak_folder(tmp_path / "chip")
    (tmp_path / "bins.bed.gz").write_bytes(
        gzip.compress(b"chr1\t2950\t3150\nchr1\t3000\t3200\nchr1\t7000\t7200\n")
    )
    labels = load_bins(folder, regions=tmp_path / "bins.bed.gz")
    assert labels.of("typeA").tolist() == [1, 1, 0]
    (tmp_path / "regions.bed").write_text("chr1\t2900\t3300\nchr1\t7000\t7250\n")
    labels = load_bins(folder, regions=tmp_path / "regions.bed", blacklist=one_peak(7240, 7241))
    assert labels.bins.start.tolist() == [2900, 2950, 3000, 3050, 3100, 7000]
    assert any("1 of 7 bins touch the blacklist" in note for note in labels.notes)
    write_labels(tmp_path / "CTCF.labels.tsv", labels)
    narrowed = load_bins(tmp_path / "CTCF.labels.tsv", regions=tmp_path / "bins.bed.gz")
    assert narrowed.bins.start.tolist() == [2950, 3000, 7000]
    assert any("3 of 6 bins are not in the region file" in note for note in narrowed.notes)


def test_labels_of_another_factor_than_the_one_asked_for_are_refused(tmp_path):
    path = tmp_path / "CTCF.train.labels.tsv"
    write_labels(path, toy())
    with pytest.raises(
        InputError,
        match=(
            r"CTCF.train.labels.tsv: the labels are of another factor. Found CTCF in the name;"
            r" expected MAX. Give the labels of MAX \(--data\), or ask for CTCF \(--factor CTCF\);"
            r" .* MAX.train.labels.tsv.gz"
        ),
    ):
        load_bins(path, factor="MAX")
    with pytest.raises(
        InputError, match=r"another factor. Found CTCF in BinLabels.factor; expected MAX"
    ):
        load_bins(toy(), factor="MAX")
    assert load_bins(path, factor="ctcf").factor == "ctcf"
    assert load_bins(path).factor == "CTCF"
    shutil.copy(path, tmp_path / "of_today.tsv")  # a name that says nothing
    assert load_bins(tmp_path / "of_today.tsv", factor="MAX").factor == "MAX"


def test_bins_of_a_chromosome_without_any_peak_are_not_known_unless_said_otherwise(tmp_path):
    """chr1, chr8 and chr21 of the challenge: held back from its peak files, not empty."""
    folder, sizes = peak_folder(tmp_path / "chip"), {"chr1": 10_000, "chr2": 3_000}
    labels = load_bins(folder, sizes=sizes)
    silent = labels.bins.inside(["chr2"])
    assert (labels.values[silent] == -1).all()
    assert (labels.values[~silent] == 0).any()
    assert (
        f"typeA: no peak on chr2; the {silent.sum()} bins there are not known, neither learned from"
        " nor scored (if it was looked there: --without-peaks unbound)"
    ) in labels.notes
    said = load_bins(folder, sizes=sizes, without_peaks="unbound")
    assert (said.values[silent] == 0).all()
    assert "typeA: no peak on chr2; all bins there count as not bound" in said.notes
    assert (said.values[~silent] == labels.values[~silent]).all()
    # One relaxed peak shows that it was looked at: the rest is unbound.
    wide = make_table(["chr1", "chr2"], [3000, 1000], [3200, 1100])
    write_narrow_peak(folder / "typeA.CTCF.relaxed.narrowPeak.gz", wide)
    looked = load_bins(folder, sizes=sizes)
    assert set(looked.of("typeA")[silent].tolist()) == {0, -1}
    assert (looked.of("typeB")[silent] == -1).all()


@pytest.mark.parametrize("option", [{"rule": "bin_half"}, {"without_peaks": "unbound"}])
def test_how_peaks_become_labels_is_refused_where_labels_are_given(tmp_path, option):
    write_labels(tmp_path / "CTCF.train.labels.tsv", toy())
    for data in (tmp_path, tmp_path / "CTCF.train.labels.tsv", toy()):
        with pytest.raises(
            UsageError,
            match=rf"the labels are given: no peaks are read.*{next(iter(option.values()))}",
        ):
            load_bins(data, **option)


def test_cell_types_are_named_without_reading_the_labels(tmp_path):
    folder = peak_folder(tmp_path / "chip")
    (folder / "typeC.CTCF.relaxed.narrowPeak.gz").write_bytes(b"no peaks at all")
    assert cells_of(folder) == cells_of(folder, "CTCF") == ("typeA", "typeB")
    write_labels(tmp_path / "CTCF.train.labels.tsv", toy())
    assert cells_of(tmp_path) == cells_of(toy()) == toy().cells


def test_cell_types_that_differ_in_punctuation_alone_are_hinted_at(tmp_path):
    folder = peak_folder(tmp_path / "chip")
    (folder / "typeA.CTCF.relaxed.narrowPeak.gz").rename(
        folder / "type-A.CTCF.relaxed.narrowPeak.gz"
    )
    labels = load_bins(folder, sizes={"chr1": 10_000})
    assert (
        "type-A and typeA differ in case and punctuation alone: if they are one cell type, name"
        " their files alike"
    ) in labels.notes


@pytest.mark.parametrize("kind", ["conservative", "relaxed"])
def test_a_peak_a_little_past_the_end_is_cut_and_counted_and_one_far_past_it_refused(
    tmp_path, kind
):
    folder = peak_folder(tmp_path / "chip")
    path = folder / f"typeA.CTCF.{kind}.narrowPeak.gz"

    def write(end):
        write_narrow_peak(
            path, make_table(["chr1", "chr1", "chr9"], [3000, 9000, 0], [3200, end, 99_999])
        )

    write(10_021)  # callers that extend reads do that
    labels = load_bins(folder, sizes={"chr1": 10_000})
    assert "typeA: 1 peaks end past their chromosome and are cut there" in labels.notes
    write(10_000)
    whole = load_bins(folder, sizes={"chr1": 10_000})  # chr9 is not in the genome: no bin there
    assert (whole.values == labels.values).all()
    assert not any("end past" in note for note in whole.notes)
    write(11_001)
    with pytest.raises(InputError) as error:
        load_bins(folder, sizes={"chr1": 10_000})
    assert str(error.value).startswith(
        f"{path}, line 2: the peak ends past its chromosome; 1 of 3 do. Found chr1:9000-11001;"
        " expected an end of at most 10000 (chr1 in the genome given). The peaks belong to another"
        " assembly: give the store of the genome they were called on (--store), or lift them over."
    )
    load_bins(folder, sizes={"chr1": 10_000}, cells=["typeB"])  # typeA was not asked for
    with pytest.raises(InputError, match=r"typeA, row 2: the peak ends past its chromosome"):
        load_bins(
            {"typeA": make_table(["chr1"] * 2, [0, 9900], [9, 12_001])}, sizes={"chr1": 10_000}
        )

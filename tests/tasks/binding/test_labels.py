"""Labels: the challenge's file, labels rebuilt from peaks, and what is refused."""

import gzip
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError, UsageError
from epilm.genome.checks import make_table
from epilm.genome.peaks import write_narrow_peak
from epilm.tasks.binding import (
    BinLabels,
    grid,
    labels_from_peaks,
    load_bins,
    read_labels,
    write_labels,
)
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.lines import iter_lines
from epilm.tasks.binding.sources import bins_of_regions, cells_of

CHIP = "encode_dream_chip_hg19"
SLICES = ["chr20:60000-11095000", "chr22:16050000-22000000"]


def one_peak(start, end):
    return make_table(["chr1"], [start], [end])


def bound(labels, bins):
    return bins.start[labels == 1].tolist()


@pytest.mark.parametrize(
    ("overlap", "challenge", "factornet"), [(99, -1, -1), (100, 1, -1), (101, 1, 1), (200, 1, 1)]
)
def test_half_of_a_bin_is_enough_for_the_challenge_and_one_base_more_for_factornet(
    overlap, challenge, factornet
):
    bins = grid(["chr1:1000-1200"])
    peak = one_peak(1200 - overlap, 1600)
    assert labels_from_peaks(bins, peak).tolist() == [challenge]
    assert labels_from_peaks(bins, peak, rule="bin_half").tolist() == [factornet]


def test_half_of_a_narrow_peak_is_enough_for_the_challenge():
    bins = grid(["chr1:800-1400"])
    peak = one_peak(990, 1090)  # 100 bp: no bin can share 101
    assert bound(labels_from_peaks(bins, peak), bins) == [850, 900, 950, 1000]
    assert bound(labels_from_peaks(bins, peak, rule="bin_half"), bins) == []
    assert (labels_from_peaks(bins, peak, rule="bin_half") == -1).sum() == len(range(800, 1090, 50))


def test_peaks_that_touch_are_one_for_the_challenge_and_two_for_factornet():
    bins = grid(["chr1:1000-1200"])
    pair = make_table(["chr1"] * 2, [1000, 1060], [1060, 1120])
    # One peak of 120 bp: the bin holds all of it, and 120 of its own 200 bp.
    assert labels_from_peaks(bins, pair).tolist() == [1]
    assert labels_from_peaks(bins, pair, rule="bin_half").tolist() == [-1]
    apart = make_table(["chr1"] * 2, [900, 1150], [1060, 1310])
    assert labels_from_peaks(bins, apart).tolist() == [
        -1
    ]  # 60 of 200, 60 of 160; 50 of 200, 50 of 160


def test_a_bin_with_a_relaxed_peak_alone_is_ambiguous_and_one_without_any_is_unbound():
    bins = grid(["chr1:0-2000"])
    labels = labels_from_peaks(
        bins, one_peak(500, 700), make_table(["chr1"] * 2, [500, 1500], [700, 1501])
    )
    assert bound(labels, bins) == [400, 450, 500, 550, 600]
    assert bins.start[labels == -1].tolist() == [350, 650, *range(1350, 1501, 50)]


def test_blacklisted_bins_are_neither_learned_from_nor_scored():
    bins = grid(["chr1:0-1000"])
    labels = labels_from_peaks(bins, one_peak(400, 600), blacklist=one_peak(410, 420))
    assert (labels[bins.overlaps(one_peak(410, 420))] == -1).all()
    assert bound(labels, bins) == [450, 500]


@pytest.mark.parametrize(
    ("factor", "cell", "share"),
    [("CTCF", "K562", 0.81), ("HNF4A", "HepG2", 0.33), ("NANOG", "H1-hESC", 0.07)],
)
def test_the_shares_of_bound_bins_on_the_slices_are_those_of_the_data_s_description(
    real_data, factor, cell, share
):
    labels = load_bins(real_data / CHIP, factor=factor, cells=[cell], regions=SLICES)
    assert len(labels) == 339_694
    assert 100 * (labels.of(cell) == 1).mean() == pytest.approx(share, abs=0.0075)
    narrow = load_bins(
        real_data / CHIP, factor=factor, cells=[cell], regions=SLICES, rule="bin_half"
    )
    assert ((narrow.of(cell) == 1) <= (labels.of(cell) == 1)).all()


def test_conservative_peaks_alone_are_told_and_leave_fewer_ambiguous_bins(real_data):
    labels = load_bins(real_data / CHIP, factor="MAX", regions=["chr22:16050000-22000000"])
    assert "K562" in labels.cells
    assert "GM12878" in labels.cells
    assert any(note.startswith("K562: no relaxed peaks") for note in labels.notes)
    assert not any(note.startswith("GM12878: no relaxed") for note in labels.notes)


def test_the_sample_of_the_challenge_s_label_file_is_read_and_written_back(real_data, tmp_path):
    source = real_data / CHIP / "label_format_sample.tsv"
    labels = read_labels(source)
    assert labels.cells == ("HepG2",)
    assert labels.bins.place(0) == "chr10:600-800"
    assert len(labels) == 99
    write_labels(tmp_path / "again.tsv", labels)
    assert (tmp_path / "again.tsv").read_bytes() == source.read_bytes().replace(b"\r\n", b"\n")


def toy(n=4, cells=("A549", "K562"), values=None):
    bins = grid({"chr1": 1400 + 50 * (n - 1)})
    values = np.zeros((n, len(cells)), np.int8) if values is None else np.array(values, np.int8)
    return BinLabels(bins, cells, values, "CTCF")


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=30),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_labels_written_are_labels_read(tmp_path_factory, steps, n_cells, packed, seed):
    chrom = np.cumsum([new == 0 for _, new in steps]).astype(np.int16)
    chrom -= chrom[0]
    gaps = np.array([50 * gap for gap, _ in steps])
    start = np.cumsum(gaps).astype(np.int32)
    names = tuple(f"chr{i + 1}" for i in range(int(chrom[-1]) + 1))
    values = np.random.default_rng(seed).integers(-1, 2, (len(steps), n_cells)).astype(np.int8)
    labels = BinLabels(
        Bins(names, chrom, start), tuple(f"C{c}" for c in range(n_cells)), values, "F"
    )
    path = tmp_path_factory.mktemp("labels") / ("F.labels.tsv" + (".gz" if packed else ""))
    write_labels(path, labels)
    again = read_labels(path)
    assert again.bins.differs(labels.bins) is None
    assert again.bins.chroms == names
    assert again.cells == labels.cells
    assert (again.values == values).all()
    assert again.factor == "F"


def test_blocks_of_any_size_give_the_same_lines(tmp_path):
    labels = toy(60, values=np.random.default_rng(0).integers(-1, 2, (60, 2)))
    write_labels(tmp_path / "a.tsv", labels)
    whole = [
        (b.first + i, b.line(i))
        for b in iter_lines(tmp_path / "a.tsv", "x", skip=1)
        for i in range(len(b))
    ]
    for size in (17, 64, 1000):
        parts = [
            (b.first + i, b.line(i))
            for b in iter_lines(tmp_path / "a.tsv", "x", skip=1, size=size)
            for i in range(len(b))
        ]
        assert parts == whole
        assert parts[0][0] == 2


def test_chosen_chromosomes_and_cell_types_alone_are_kept(tmp_path):
    bins = grid({"chr1": 1600, "chr2": 1500})
    values = np.stack([np.arange(len(bins)) % 3 - 1, np.ones(len(bins))], 1).astype(np.int8)
    write_labels(tmp_path / "MAX.train.labels.tsv.gz", BinLabels(bins, ("A", "B"), values))
    labels = read_labels(
        tmp_path / "MAX.train.labels.tsv.gz", chroms=["chr2", "chr1:650-900"], cells=["B", "A"]
    )
    assert labels.factor == "MAX"
    assert labels.bins.counts() == {"chr1": 2, "chr2": 3}
    assert labels.of("A").tolist() == values[[1, 2, 5, 6, 7], 0].tolist()
    with pytest.raises(
        InputError, match=r"has no bin on the chromosome. Found chr9; expected one of chr1, chr2"
    ):
        read_labels(tmp_path / "MAX.train.labels.tsv.gz", chroms=["chr9"])
    with pytest.raises(
        InputError, match=r"line 1: the label file has no such cell type. Found C. Known: A, B"
    ):
        read_labels(tmp_path / "MAX.train.labels.tsv.gz", cells=["C"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chr\tstart\tstop\tA\nchr1\t0\t200\tX\n",
            (
                "line 2, column 4 (A): not a label. Found 'X'; expected B (bound), U (unbound) or A"
                " (ambiguous)"
            ),
        ),
        (
            "chr\tstart\tstop\tA\nchr1\t0\t200\tB\nchr1\t50\t250\tBU\n",
            "line 3, column 4 (A): not a label. Found 'BU'",
        ),
        ("chr\tstart\tstop\tA\nchr1\t0\t200\t\n", "line 2, column 4 (A): not a label. Found ''"),
        (
            "chr\tstart\tstop\tA\nchr1\t50\t250\tB\nchr1\t0\t200\tB\n",
            "line 3: the bins are not sorted by start",
        ),
        (
            "chr\tstart\tstop\tA\nchr1\t50\t250\tB\tU\n",
            "line 2: the line has another number of columns. Found 5: 'chr1",
        ),
        ("chr1\t50\t250\tB\n", "line 1: the header is not that of a label file"),
        ("chr\tstart\tstop\nchr1\t50\t250\n", "line 1: the header is not that of a label file"),
        (
            "chr\tstart\tstop\nchr1\t50\t250\tB\n",
            (
                "line 1: the header is not that of a label file. Found 'chr\\tstart\\tstop';"
                " expected chr, start, stop and the cell types"
            ),
        ),
        (
            "chr start stop A\nchr1\t50\t250\tB\n",
            "line 1: the header is not that of a label file. Found 'chr start stop A'",
        ),
        (
            "chr\tstart\tstop\tA\tA\nchr1\t50\t250\tB\tB\n",
            "line 1: a cell type is there twice. Found A",
        ),
        ("chr\tstart\tstop\tA\n", "the label file holds no bin. Found a header alone"),
    ],
)
def test_a_wrong_label_file_is_refused_by_line(tmp_path, text, message):
    path = tmp_path / "a.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_labels(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_truncated_file_is_refused(tmp_path):
    write_labels(tmp_path / "a.tsv.gz", toy(3000))
    (tmp_path / "b.tsv.gz").write_bytes((tmp_path / "a.tsv.gz").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"the gzip file is truncated"):
        read_labels(tmp_path / "b.tsv.gz")


def test_one_class_alone_and_all_ambiguous_are_said():
    with pytest.raises(
        InputError,
        match=r"CTCF: the labels hold one class alone. Found 0 bound, 4 unbound, 0 ambiguous",
    ):
        toy().check_classes(["K562"])
    with pytest.raises(
        InputError,
        match=(
            r"CTCF: every bin is ambiguous. Found 0 bound, 0 unbound, 8 ambiguous bins in A549,"
            r" K562"
        ),
    ):
        toy(values=-np.ones((4, 2))).check_classes()
    toy(values=[[1, 0]] * 4).check_classes()


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


def peak_folder(folder, relaxed=True):
    folder.mkdir()
    core, wide = one_peak(3000, 3200), make_table(["chr1"] * 2, [3000, 5000], [3200, 5200])
    for cell in ("typeA", "typeB"):
        write_narrow_peak(folder / f"{cell}.CTCF.conservative.narrowPeak.gz", core)
        if relaxed or cell == "typeA":
            write_narrow_peak(folder / f"{cell}.CTCF.relaxed.narrowPeak.gz", wide)
    return folder


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

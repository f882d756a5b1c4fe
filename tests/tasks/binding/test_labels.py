"""Labels: the challenge's file, labels rebuilt from peaks, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.checks import make_table
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
from toy_labels import bound, one_peak, toy

CHIP = "encode_dream_chip_hg19"
SLICES = ["chr20:60000-11095000", "chr22:16050000-22000000"]


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

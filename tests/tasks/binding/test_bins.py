"""Bins: where they lie, what they overlap, how they are read and split."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.checks import make_table
from epilm.tasks.binding.bins import Bins, grid, joined, read_bins, split_bins
from epilm.tasks.binding.regions import among

LADDER = "encode_dream_chip_hg19/ladder_regions_sample_100k.bed.gz"


MANY = 40_000  # more names than int16 has numbers


def test_contigs_past_the_numbers_of_two_bytes_keep_their_names(tmp_path):
    sizes = {f"ctg{i}": 1500 for i in range(MANY)}
    bins = grid(sizes)
    assert bins.chrom.dtype == np.int32
    assert bins.counts() == dict.fromkeys(sizes, 3)
    assert bins.place(3 * 39_999 + 1) == "ctg39999:650-850"
    last = bins.inside(["ctg39999"])
    assert np.flatnonzero(last).tolist() == [119_997, 119_998, 119_999]
    path = tmp_path / "bins.bed"
    path.write_text("".join(f"ctg{i}\t600\t800\n" for i in range(MANY)))
    again = read_bins(path)
    assert again.chrom.tolist() == list(range(MANY))
    assert again.differs(grid(sizes).take(bins.start == 600)) is None


def test_numbers_of_up_to_32767_names_take_two_bytes():
    bins = grid({f"ctg{i}": 1400 for i in range(32_767)})
    assert bins.chrom.dtype == np.int16
    assert list(bins.runs())[-1] == ("ctg32766", 32_766, 32_767)


def plain_overlap(bins, table, need=1):
    """One bin at a time."""
    out = []
    for row in range(len(bins)):
        chrom, start = bins.chroms[bins.chrom[row]], int(bins.start[row])
        hit = False
        for (c, s, e), least in zip(
            zip(table["chrom"], table["start"], table["end"]), np.broadcast_to(need, len(table))
        ):
            hit |= c == chrom and min(start + bins.width, e) - max(start, s) >= least
        out.append(hit)
    return out


def test_the_first_bin_of_the_challenge_is_chr1_600_800():
    bins = grid({"chr1": 249250621, "chr10": 135534747})
    assert bins.place(0) == "chr1:600-800"
    assert bins.place(1) == "chr1:650-850"
    assert bins.place(int(np.flatnonzero(bins.chrom == 1)[0])) == "chr10:600-800"
    assert len(bins) == (249250621 - 1400) // 50 + 1 + (135534747 - 1400) // 50 + 1


def test_the_two_slices_hold_one_bin_each_more_than_a_half_open_count():
    # shared/data/README.md counts range(start, end - 200, 50), which leaves out the last bin of
    # each slice.
    assert len(grid(["chr20:60000-11095000", "chr22:16050000-22000000"])) == 339692 + 2


def test_bins_stay_inside_their_region_and_on_the_grid():
    bins = grid(["chr2:101-1000", "chr1:990-1500", "chr2:1000-1100"])
    assert bins.chroms == ("chr2", "chr1")
    assert bins.start.tolist() == [*range(150, 901, 50), *range(1000, 1301, 50)]


def test_bins_keep_their_distance_from_both_ends_of_a_chromosome():
    assert grid({"chr1": 1450}).start.tolist() == [600, 650]
    assert grid({"chr1": 450}, margin=0).start.tolist() == [0, 50, 100, 150, 200, 250]
    with pytest.raises(
        InputError, match=r"no bin fits.*1 regions of at most 199 bp; expected at least 200 bp"
    ):
        grid({"chr1": 1399})


def test_a_blacklist_leaves_out_every_bin_that_touches_it():
    bins = grid(["chr1:0-1000"], blacklist=make_table(["chr1"], [399], [401]))
    assert bins.start.tolist() == [0, 50, 100, 150, *range(450, 801, 50)]


def test_the_ladder_regions_lie_on_our_grid(real_data):
    ladder = read_bins(real_data / LADDER)
    bins = grid({"chr1": 249250621})
    assert len(ladder) == 100_000
    assert ladder.place(0) == "chr1:600-800"
    assert among(ladder, bins).all()
    # The gaps are five blacklisted stretches; elsewhere not one bin of the grid is missing.
    gaps = np.flatnonzero(np.diff(ladder.start) != 50)
    assert len(gaps) == 5
    assert ladder.start[gaps[0]] == 564200
    assert ladder.start[gaps[0] + 1] == 570400


def test_a_region_file_is_read_as_it_stands(tmp_path):
    path = tmp_path / "regions.bed.gz"
    path.write_bytes(
        gzip.compress(b"chr10\t600\t800\tx\r\nchr10\t700\t900\ty\r\nchr2\t0\t200\tz\r\n\r\n")
    )
    bins = read_bins(path)
    assert bins.chroms == ("chr10", "chr2")
    assert bins.start.tolist() == [600, 700, 0]
    assert read_bins(path, chroms=["chr2"]).counts() == {"chr2": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chr1\t0\t200\nchr1\t50\t350\n",
            "line 2: the bin has another width. Found chr1:50-350, 300 bp; expected 200 bp",
        ),
        (
            "chr1\t50\t250\nchr1\t0\t200\n",
            (
                "line 2: the bins are not sorted by start. Found chr1:0 after chr1:50; expected a"
                " start above 50"
            ),
        ),
        ("chr1\t50\t250\nchr1\t50\t250\n", "line 2: the bin is there twice"),
        (
            "chr1\t0\t200\nchr2\t0\t200\nchr1\t50\t250\n",
            (
                "line 3: the bins are not sorted: the chromosome was left before. Found chr1 after"
                " chr2"
            ),
        ),
        ("chr1\t0\t200\nchr1\tx\t250\n", "line 2: the start is not a whole number. Found 'x'"),
        ("chr1\t0\t200\nchr1\t50\t-250\n", "line 2: the stop is not a whole number. Found '-250'"),
        (
            "chr1\t0\t200\nchr1\t50\n",
            "line 2: the line has another number of columns. Found 2: 'chr1",
        ),
        ("chr1\t0\t200\n\nchr1\t50\t250\n", "line 2: the line is blank"),
        ("chr1\t200\n", "line 1: wrong format"),
        ("chr1\t0\t0\n", "line 1: the bin has another width. Found chr1:0-0, 0 bp"),
        ("chr1\t3000000000\t3000000200\n", "line 1: the start is no position on a chromosome"),
        ("\t0\t200\n", "line 1: the chromosome has no name"),
    ],
)
def test_the_first_wrong_line_is_named(tmp_path, text, message):
    path = tmp_path / "bins.bed"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_bins(path)
    assert f"{path}, {message}" in str(error.value)


def test_order_is_kept_across_blocks(tmp_path):
    from epilm.tasks.binding.bins import BinOrder
    from epilm.tasks.binding.lines import iter_lines

    rows = [("chr1", i * 50) for i in range(40)] + [("chr2", i * 50) for i in range(40)]
    path = tmp_path / "bins.bed"
    path.write_text("".join(f"{c}\t{s}\t{s + 200}\n" for c, s in rows))
    order, got = BinOrder(), []
    for block in iter_lines(path, "bins", size=64):
        chrom, start = order.add(block)
        got += [(order.chroms[c], int(s)) for c, s in zip(chrom, start)]
    assert got == rows
    path.write_text(path.read_text() + "chr2\t50\t250\n")
    with pytest.raises(InputError, match=r"line 81: the bins are not sorted by start"):
        order = BinOrder()
        for block in iter_lines(path, "bins", size=64):
            order.add(block)


intervals = st.lists(
    st.tuples(st.sampled_from(["chr1", "chr2", "chr3"]), st.integers(0, 900), st.integers(1, 400)),
    max_size=8,
)


@given(intervals, st.integers(1, 200))
def test_overlaps_equal_those_of_one_bin_at_a_time(given_intervals, need):
    bins = grid(["chr1:100-1000", "chr2:0-600"])
    table = make_table(
        *([list(x) for x in zip(*((c, s, s + w) for c, s, w in given_intervals))] or [[], [], []])
    )
    assert bins.overlaps(table, need).tolist() == plain_overlap(bins, table, need)


@given(intervals)
def test_joined_intervals_cover_the_same_bases_and_do_not_touch(given_intervals):
    chroms, starts, ends = (
        zip(*((c, s, s + w) for c, s, w in given_intervals)) if given_intervals else ((), (), ())
    )
    out = joined({"chrom": list(chroms), "start": list(starts), "end": list(ends)})
    covered = {(c, x) for c, s, e in zip(chroms, starts, ends) for x in range(s, e)}
    assert {
        (c, x) for c, s, e in zip(out["chrom"], out["start"], out["end"]) for x in range(s, e)
    } == covered
    for name in set(chroms):
        here = out["chrom"] == name
        assert (out["start"][here][1:] > out["end"][here][:-1]).all()


def test_parts_of_a_chromosome_split_without_a_shared_base():
    bins = grid(["chr20:60000-62000", "chr22:0-1000"])
    split = split_bins(bins, valid=["chr20:61000-62000"], test=["chr22"])
    place = {row: (bins.chroms[bins.chrom[row]], int(bins.start[row])) for row in range(len(bins))}
    assert all(place[r][1] + 200 <= 61000 for r in np.flatnonzero(split == 0))
    assert all(place[r][1] >= 61000 for r in np.flatnonzero(split == 1))
    assert all(place[r][0] == "chr22" for r in np.flatnonzero(split == 2))
    assert (split == -1).sum() == 3  # 60850, 60900, 60950 reach over 61000
    wider = split_bins(bins, valid=["chr20:61000-62000"], test=["chr22"], apart_bp=400)
    assert bins.start[wider == 0].max() + 200 <= 60600


def test_a_split_says_what_is_missing():
    bins = grid(["chr20:0-1000"])
    with pytest.raises(
        InputError, match=r"no bin lies on the chromosome. Found chr11; expected one of chr20"
    ):
        split_bins(bins)
    with pytest.raises(
        InputError, match=r"Found 20; expected one of chr20. The bins call it chr20"
    ):
        split_bins(bins, valid=["20"])
    with pytest.raises(InputError, match=r"the valid split has no bin. Found chr20:0-100"):
        split_bins(bins, valid=["chr20:0-100"])


def test_two_sets_differ_at_the_first_unlike_row_whatever_their_numbers():
    a = Bins(("chr1", "chr2"), np.array([0, 1], np.int16), np.array([0, 50], np.int32))
    b = Bins(("chr9", "chr1", "chr2"), np.array([1, 2], np.int16), np.array([0, 50], np.int32))
    c = Bins(("chr1", "chr3"), np.array([0, 1], np.int16), np.array([0, 50], np.int32))
    assert a.differs(b) is None
    assert a.differs(c) == 1


# -- the ends of chromosomes

ENDS = {"chr1": 1000, "chr2": 400}


def ends(*rows):
    names = ("chr1", "chr2", "chrM")
    chrom = np.array([names.index(name) for name, _ in rows], np.int16)
    return Bins(names, chrom, np.array([start for _, start in rows], np.int32), 200)


def test_a_bin_may_end_with_its_chromosome_and_lie_on_one_without_a_size():
    rows = ends(("chr1", 800), ("chr2", 200), ("chrM", 90_000))
    rows.check_inside(ENDS, store="s", do="")


def test_the_first_bin_of_a_chromosome_that_ends_past_it_is_named_and_all_are_counted():
    rows = ends(("chr1", 0), ("chr2", 200), ("chr2", 201), ("chr2", 350))
    with pytest.raises(
        InputError,
        match=r"f\.tab: a region ends past its chromosome; 2 on chr2 do. Found chr2:201-401;"
        r" expected an end of at most 400 \(chr2 in the store s\). Cut them",
    ):
        rows.check_inside(ENDS, store="s", what="a region", where="f.tab", do="Cut them.")

"""Segmentations become bins: what is covered has a state, the rest is unknown, and a bad line is
named.
"""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pybigtools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.chromosomes import read_sizes
from epilm.genome.segmentation import UNKNOWN, join_states, read_states

from .track_lines import GOOD, SIZES, bed


def bigbed(folder: Path, sizes: dict[str, int], *rows: tuple) -> Path:
    path = folder / "liver.bb"
    pybigtools.open(str(path), "w").write(sizes, iter(rows))
    return path


def test_segments_cover_bins_and_the_rest_is_unknown(tmp_path):
    states = read_states(bed(tmp_path, *GOOD), SIZES)
    assert states.cell == "liver"
    assert states.bin_bp == 200
    assert states.names == ("1_TssA", "2_Tx", "10_Quies")
    assert states.numbers == (1, 2, 10)
    assert states.colours == ("", "", "")
    # the last bin of chr1 has 100 bp
    assert states.codes["chr1"].tolist() == [0, 0, 1, 255, 255, 0, 0, 0, 0, 0, 0]
    assert states.codes["chr2"].tolist() == [255, 2, 255, 255, 255]
    assert all(codes.dtype == np.uint8 for codes in states.codes.values())
    assert states.notes == ()


def test_a_chromosome_without_segments_is_unknown_and_said(tmp_path):
    path = bed(tmp_path, "chr1 0 400 1_A", "chr1 600 800 2_B")
    states = read_states(path, SIZES)
    assert states.codes["chr2"].tolist() == [UNKNOWN] * 5
    assert states.notes == (f"{path}: no states on chr2: unknown there",)


def test_a_given_width_makes_finer_bins(tmp_path):
    path = bed(tmp_path, "chr2 0 1000 1_A", "chr1 0 1000 1_A")
    assert read_states(path, SIZES, bin_bp=500).codes["chr2"].tolist() == [0, 0]
    assert read_states(path, SIZES, bin_bp=200).codes["chr2"].tolist() == [0] * 5


def test_the_last_bin_may_be_written_whole(tmp_path):
    states = read_states(bed(tmp_path, "chr1 0 200 1_A", "chr1 2000 2200 2_B"), SIZES)
    assert states.codes["chr1"][[0, 9, 10]].tolist() == [0, 255, 1]


def test_a_genome_of_first_parts_cuts_and_counts(tmp_path):
    path = bed(
        tmp_path, "chr1 0 800 1_A", "chr1 800 3000 2_B", "chr1 3000 3400 1_A", "chr2 0 200 1_A"
    )
    with pytest.raises(InputError, match=r"past_end='cut', --past-end cut"):
        read_states(path, SIZES)
    states = read_states(path, SIZES, past_end="cut")
    assert states.codes["chr1"].tolist() == [0] * 4 + [1] * 7
    assert states.notes == (
        (
            f"{path}: 2 of 4 segments reach past the end of their chromosome in the genome given:"
            " cut there"
        ),
    )


def test_off_a_given_grid_and_on_one_base_off_grids(tmp_path):
    path = bed(tmp_path, "chr1 0 200 1_A", "chr1 200 300 2_B")
    assert read_states(path, SIZES).bin_bp == 100
    with pytest.raises(
        InputError, match=r"line 2: the segment is off the grid .* multiples of 200"
    ):
        read_states(path, SIZES, bin_bp=200)
    path = bed(tmp_path, "chr1 1 200 1_A", "chr1 201 400 2_B")
    with pytest.raises(
        InputError, match=r"All starts are 1 past a multiple: if they are 1-based, subtract 1"
    ):
        read_states(path, SIZES, bin_bp=200)


def plain_majority(rows, size, width):
    """Base by base: the state most bases of a bin have, unknown where most have none."""
    names = sorted({row[2] for row in rows})
    base = np.full(-(-size // width) * width, -1)
    for start, end, name in rows:
        base[start:end] = names.index(name)
    out, several = [], 0
    for at in range(0, size, width):
        piece = base[at : min(at + width, size)]
        counts = [(piece == i).sum() for i in range(len(names))]
        unknown = (piece == -1).sum() > max(counts)
        firsts = [np.flatnonzero(piece == i)[0] if counts[i] else width for i in range(len(names))]
        best = min(range(len(names)), key=lambda i: (-counts[i], firsts[i]))
        out.append(255 if unknown or not max(counts) else best)
        several += out[-1] != 255 and sum(count > 0 for count in counts) > 1
    return names, out, several


@pytest.mark.parametrize("seed", range(6))
def test_lifted_states_give_each_bin_the_state_of_most_of_its_bases(tmp_path, seed):
    rng = np.random.default_rng(seed)
    size, at, rows = 20_050, int(rng.integers(0, 300)), []
    while True:
        end = at + 200 * int(rng.integers(1, 4))
        if end > size:
            break
        rows.append((at, end, f"{rng.integers(1, 4)}_S"))
        # Now and then a gap, and behind it another offset, also one that gives ties.
        at = end + (int(rng.choice([7, 40, 100, 130, 250])) if rng.random() < 0.2 else 0)
    names, expected, several = plain_majority(rows, size, 200)
    path = bed(tmp_path, *(f"chr1 {a} {b} {name}" for a, b, name in rows))
    for width in (None, 200):
        states = read_states(path, {"chr1": size}, bin_bp=width)
        assert (states.bin_bp, list(states.names)) == (200, names)
        assert states.codes["chr1"].tolist() == expected
        known = sum(code != 255 for code in expected)
        assert f"{several} of {known} bins with a state hold more than one" in states.notes[0]
    halves = plain_majority(rows, size, 100)[1]
    assert read_states(path, {"chr1": size}, bin_bp=100).codes["chr1"].tolist() == halves


def test_fixed_width_peaks_and_shifted_bins_are_not_taken_for_lifted_states(tmp_path):
    peaks = bed(
        tmp_path, *(f"chr1 {250 * i + 3 * i * i} {250 * i + 3 * i * i + 200} 1_A" for i in range(6))
    )
    with pytest.raises(InputError, match="share no grid of bins"):
        read_states(peaks, SIZES)
    shifted = bed(
        tmp_path, *(f"chr1 {200 * i + 1} {200 * i + 201} {1 + i % 2}_A" for i in range(6))
    )
    with pytest.raises(InputError, match="All starts are 1 past a multiple"):
        read_states(shifted, SIZES, bin_bp=200)


def test_ucscs_own_tracks_give_the_states_of_the_majority(real_data):
    folder = real_data / "more" / "hg19" / "chromatin_states"
    if not folder.is_dir():
        pytest.skip(f"no UCSC tracks at {folder}")
    sizes = {"chr20": 63_025_520, "chr22": 51_304_566}
    for cell in ("GM12878", "H1-hESC"):
        lifted = read_states(folder / f"broad15.{cell}.as_at_UCSC.bed.gz", sizes)
        right = read_states(folder / f"broad15.{cell}.grid200.bed.gz", sizes)
        assert (lifted.bin_bp, lifted.names) == (200, right.names)
        for chrom in sizes:
            assert np.array_equal(lifted.codes[chrom], right.codes[chrom])
        assert "hold more than one" in lifted.notes[0]
        assert not any("hold more than one" in note for note in right.notes)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no such file"):
        read_states(tmp_path / "none.bed", SIZES)
    (tmp_path / "empty.bed").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.bed: the file is empty"):
        read_states(tmp_path / "empty.bed", SIZES)
    whole = gzip.compress(
        ("".join(f"chr1\t{200 * i}\t{200 * i + 200}\t1_A\n" for i in range(5000))).encode()
    )
    (tmp_path / "half.bed.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half.bed.gz: the gzip file is truncated"):
        read_states(tmp_path / "half.bed.gz", {"chr1": 10**6})
    (tmp_path / "a.bed").write_bytes(b"\x26\xfc\x8f\x88" + b"\x00" * 99)
    with pytest.raises(InputError, match=r"wrong format. Found bigWig"):
        read_states(tmp_path / "a.bed", SIZES)


ROWS = (
    ("chr1", 0, 400, "1_TssA\t1000\t.\t0\t400\t255,0,0"),
    ("chr1", 400, 600, "2_Tx\t1000\t.\t400\t600\t0,128,0"),
    ("chr1", 1000, 2100, "1_TssA\t1000\t.\t1000\t2100\t255,0,0"),
    ("chr2", 200, 400, "10_Quies\t1000\t.\t200\t400\t0"),
)


def test_bigbed_is_the_same_as_bed_and_carries_colours(tmp_path):
    states = read_states(bigbed(tmp_path, SIZES, *ROWS), SIZES)
    plain = read_states(bed(tmp_path, *GOOD), SIZES)
    assert states.colours == ("255,0,0", "0,128,0", "")
    assert (states.cell, states.names, states.numbers) == (plain.cell, plain.names, plain.numbers)
    assert all(np.array_equal(states.codes[chrom], plain.codes[chrom]) for chrom in SIZES)


def test_bad_bigbeds_are_named(tmp_path):
    path = bigbed(tmp_path, SIZES | {"chr2": 900}, *ROWS)
    with pytest.raises(
        InputError,
        match=r"the segmentation's chromosome is shorter .* Found chr2 of 900 bp; expected 1000",
    ):
        read_states(path, SIZES)
    path = bigbed(tmp_path, SIZES, ("chr1", 0, 400, "1_A"), ("chr1", 200, 600, "2_B"))
    with pytest.raises(InputError, match=r"liver.bb, record 2: two segments overlap"):
        read_states(path, SIZES)
    path = bigbed(tmp_path, SIZES, ("chr1", 0, 400, ""))
    with pytest.raises(InputError, match=r"liver.bb: the segments have no state. Found 3 columns"):
        read_states(path, SIZES)
    whole = bigbed(tmp_path, SIZES, *ROWS).read_bytes()
    for n in (100, len(whole) // 3):
        (tmp_path / "half.bb").write_bytes(whole[:n])
        with pytest.raises(
            InputError,
            match=(
                rf"half.bb: the bigBed file cannot be read. Found the end of the file after {n}"
                r" bytes, its index at"
            ),
        ):
            read_states(tmp_path / "half.bb", SIZES)


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=40), st.integers(0, 199), st.randoms())
@settings(max_examples=60)
def test_any_bins_written_as_merged_segments_come_back(bins, short, random):
    """Bins, -1 unknown; neighbours of one state become one segment, in any order of lines."""
    size = 200 * len(bins) - short
    lines, start = [], 0
    for i, state in enumerate(bins):
        if i + 1 == len(bins) or bins[i + 1] != state:
            if state >= 0:
                lines.append(f"c\t{start}\t{min(200 * i + 200, size)}\t{state}_S")
            start = 200 * i + 200
    if not lines:
        return
    random.shuffle(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bed"
        path.write_text("\n".join(lines))
        states = read_states(path, {"c": size}, bin_bp=200)
    found = [-1 if code == UNKNOWN else states.numbers[code] for code in states.codes["c"]]
    assert found == bins


def by_hand(path: Path, chrom: str, width: int, size: int) -> list[str]:
    """The state of each bin, line by line; "" where there is none."""
    bins = [""] * -(-size // width)
    with gzip.open(path, "rt") as handle:
        for line in handle:
            fields = line.split()
            if fields[0] == chrom:
                for i in range(int(fields[1]) // width, -(-int(fields[2]) // width)):
                    bins[i] = fields[3]
    return bins


@pytest.mark.parametrize(
    ("name", "width", "n_states", "colour"),
    [
        ("chromhmm13_200bp_chr22.Liver", 200, 13, "255,0,0"),
        ("chromhmm15_5kb_chr20_chr22.K562", 5000, 15, ""),
    ],
)
def test_real_segmentations_bin_by_bin(real_data, name, width, n_states, colour):
    path = real_data / "chromatin_states_hg19" / f"{name}.bed.gz"
    sizes = read_sizes(real_data / "reference_hg19" / "chrom.sizes")
    states = read_states(path, sizes)
    assert states.bin_bp == width
    assert len(states.names) == n_states
    assert states.colours[0] == colour
    expected = by_hand(path, "chr22", width, sizes["chr22"])
    found = ["" if code == UNKNOWN else states.names[code] for code in states.codes["chr22"]]
    assert found == expected


def test_real_cell_types_share_one_list(real_data):
    folder = real_data / "chromatin_states_hg19"
    sizes = read_sizes(real_data / "reference_hg19" / "chrom.sizes")
    thirteen = [read_states(path, sizes) for path in sorted(folder.glob("chromhmm13*.bed.gz"))]
    fifteen = [read_states(path, sizes) for path in sorted(folder.glob("chromhmm15*.bed.gz"))]
    assert len(thirteen) == 4
    assert join_states(thirteen)[0][-1] == "18_Quiescent/low_signal"
    assert join_states(fifteen)[0] == tuple(f"E{i}" for i in range(1, 16))
    with pytest.raises(InputError, match=r"bins of different width"):
        join_states([thirteen[0], fifteen[0]])
    # the sequence slices stop at 11 and 22 Mb
    slices = {"chr20": 11_095_000, "chr22": 22_000_000}
    path = folder / "chromhmm15_5kb_chr20_chr22.K562.bed.gz"
    with pytest.raises(InputError, match=r"the segment ends past its chromosome"):
        read_states(path, slices)
    cut = read_states(path, slices, past_end="cut")
    whole = fifteen[-1]
    assert all(
        np.array_equal(cut.codes[chrom], whole.codes[chrom][: len(cut.codes[chrom])])
        for chrom in slices
    )

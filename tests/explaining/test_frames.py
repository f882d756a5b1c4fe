"""Which window a base is read in: a function of its coordinate where regions are long."""

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.explaining.frames import Region, frames_of, read_regions, read_sequences, window_of
from epilm.tasks.reference import open_reference

BASES = np.random.default_rng(0).integers(0, 4, 1000).astype(np.uint8)


def spans(start, end, window, bases=BASES, **options):
    region = Region("chr1", start, end, "r", 1, (start + end) // 2, "a.bed, line 1")
    made = frames_of(region, bases, window, **options)
    for frame in made:
        assert (frame.codes == bases[frame.start : frame.start + frame.width]).all()
    return {
        base: frame.start
        for frame in made
        for base in range(frame.start + frame.first, frame.start + frame.last)
    }


@pytest.mark.parametrize("step", [None, 20, 7])
def test_a_region_and_a_part_of_it_read_each_base_in_the_same_window(step):
    whole = spans(0, 1000, 100, step=step)
    assert list(whole) == list(range(1000))
    part = spans(333, 612, 100, step=step)
    assert list(part) == list(range(333, 612))
    assert part.items() <= whole.items()
    inside = {b: s for b, s in whole.items() if 50 <= b < 950}
    assert all(25 <= b - s < 75 for b, s in inside.items())
    assert {whole[0], whole[999]} == {0, 900}  # at the ends the window stays on the chromosome


def test_a_short_region_is_in_the_middle_of_its_window():
    assert set(spans(500, 520, 100).values()) == {460}
    assert set(spans(500, 600, 100).values()) == {500}
    assert set(spans(2, 8, 100).values()) == {0}
    assert set(spans(990, 1000, 100).values()) == {900}
    assert set(spans(500, 520, None).values()) == {500}


def test_a_summit_moves_the_window_as_far_as_the_region_stays_in_it():
    region = Region("chr1", 500, 560, "r", 1, 510)
    assert frames_of(region, BASES, 100)[0].start == 460
    assert frames_of(region._replace(middle=501), BASES, 100)[0].start == 480


def test_bases_behind_a_window_are_those_of_the_genome():
    (frame,) = frames_of(Region("chr1", 950, 960, "r", 1, 955), BASES, 80)
    assert frame.more.tolist() == BASES[995:].tolist()
    (frame,) = frames_of(Region("chr1", 500, 510, "r", 1, 505), BASES, 40)
    assert frame.more.tolist() == BASES[525:535].tolist()


def test_how_wide_a_window_is():
    region = Region("c", 0, 300, "r")
    assert window_of(region, None, None) is None
    assert window_of(region, None, 515) is None
    assert window_of(region, None, 100) == 100
    assert window_of(region, 200, 515) == 200
    with pytest.raises(UsageError, match="--window: impossible value. Found 600; expected 1 to 51"):
        window_of(region, 600, 515)


def test_what_cannot_be_explained_is_refused():
    unknown = BASES.copy()
    unknown[100:200] = 4
    with pytest.raises(InputError, match=r"a.bed, line 1: there is no base.*chr1:120-180 is N"):
        spans(120, 180, 100, unknown)
    with pytest.raises(InputError, match=r"wider than what there is. Found 1000 bp.*least 1200"):
        spans(10, 20, 1200)


def test_regions_of_a_file(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGT" * 25 + "\n>chr2\n" + "A" * 50 + "\n")
    genome = open_reference(tmp_path / "g.fa")
    bed = tmp_path / "a.bed"
    bed.write_text("chr1\t10\t20\tx\t0\t-\nchr2\t0\t5\tx\t0\t+\nchr1\t1\t9\t.\t0\t.\n")
    regions = read_regions(bed, genome)
    assert [tuple(r[:6]) for r in regions] == [
        ("chr1", 10, 20, "x", -1, 15),
        ("chr2", 0, 5, "x_2", 1, 2),
        ("chr1", 1, 9, "chr1_1_9", 1, 5),
    ]
    assert regions[1].where == f"{bed}, line 2"
    peaks = tmp_path / "p.narrowPeak"
    peaks.write_text("chr1\t10\t30\tp\t0\t.\t1\t-1\t-1\t4\n")
    assert read_regions(peaks, genome)[0].middle == 14
    bed.write_text("chr1\t90\t120\n")
    with pytest.raises(InputError, match="ends past its chromosome.*chr1:90-120"):
        read_regions(bed, genome)
    bed.write_text("1\t9\t12\n")
    with pytest.raises(InputError, match="named differently than in the genome"):
        read_regions(bed, genome)
    bed.write_text("chr1\t9\t12\nchr7\t9\t12\n")
    with pytest.raises(InputError, match="not all chromosomes of the regions. Found chr7"):
        read_regions(bed, genome)


def test_sequences_bring_their_bases(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">one\nACGTN\n>chr1:5-9\nAAAA\n>one\nCC\n")
    regions, codes = read_sequences(path)
    assert [tuple(r[:4]) for r in regions] == [
        ("one", 0, 5, "one"),
        ("chr1", 5, 9, "chr1:5-9"),
        ("one_2", 0, 2, "one_2"),
    ]
    assert codes[0].tolist() == [0, 1, 2, 3, 4]

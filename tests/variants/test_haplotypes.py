"""Two spellings of one haplotype are one change; its two windows are those of the haplotypes."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.sequence import decode, encode
from epilm.variants.haplotypes import (
    Change,
    Windowing,
    check_alleles,
    make_pairs,
    normalise,
    reason_of_letters,
    reason_of_window,
)
from epilm.variants.variant_files import Allele, VariantFile

# Repeats, so that much can be moved to the left.
LETTERS = "GCACACACATTTTTGGCAGCAGCAGTACGT" * 3
BASES = encode(LETTERS)


class Genome:
    sizes = {"chr1": len(LETTERS)}  # noqa: RUF012

    def codes(self, chrom):
        return BASES


def haplotype(change):
    after = change.start + len(change.ref)
    return LETTERS[: change.start] + change.alt + LETTERS[after:]


def random_changes(count, seed=0):
    rng = np.random.default_rng(seed)
    while count:
        start, n = int(rng.integers(0, len(LETTERS) - 8)), int(rng.integers(0, 6))
        ref = LETTERS[start : start + n]
        alt = decode(rng.integers(0, 4, int(rng.integers(0, 6))).astype(np.uint8))
        if ref != alt:
            count -= 1
            yield Change("chr1", start, ref, alt)


def test_normalised_a_change_makes_the_same_haplotype_and_shares_nothing_at_its_ends():
    for change in random_changes(300):
        done = normalise(BASES, change)
        assert haplotype(done) == haplotype(change)
        assert normalise(BASES, done) == done
        assert not (done.ref and done.alt and done.ref[-1] == done.alt[-1])
        assert not (done.ref and done.alt and done.ref[0] == done.alt[0])


def test_of_all_spellings_of_an_insertion_or_deletion_one_is_left():
    """All single insertions and deletions of up to three bases, by the haplotype they make."""
    spelled = {}
    for start in range(30):
        for n in (1, 2, 3):
            deleted = Change("chr1", start, LETTERS[start : start + n], "")
            spelled.setdefault(haplotype(deleted), set()).add(normalise(BASES, deleted))
            for alt in ("A", "CA", "CAG"):
                added = Change("chr1", start, "", alt)
                spelled.setdefault(haplotype(added), set()).add(normalise(BASES, added))
    assert all(len(changes) == 1 for changes in spelled.values())


@pytest.mark.parametrize(
    ("ref", "alt", "reason"),
    [
        ("A", ".", "no_alt"),
        ("A", "*", "star"),
        ("A", "A[chr2:5[", "breakend"),
        ("A", "AC.", "breakend"),
        ("A", "<DEL>", "symbolic"),
        ("A", "R", "not_acgt"),
        ("", "A", "not_acgt"),
        ("-", "A", "not_acgt"),
        ("A", "A", "alt_is_ref"),
        ("A", "-", None),
        ("AC", "T", None),
    ],
)
def test_letters_that_name_no_bases_have_a_reason(ref, alt, reason):
    assert reason_of_letters(Allele(0, 0, "chr1", 3, ref, alt, ".", "")) == reason


def test_windows_hold_the_two_haplotypes_and_the_smaller_comes_first():
    windowing = Windowing(20)
    changes = [
        change
        for change in (normalise(BASES, each) for each in random_changes(120, seed=2))
        if reason_of_window(BASES, change, windowing) is None
    ]
    assert len(changes) > 50
    pairs, alt_first = make_pairs(Genome(), changes, windowing)
    for row, change in enumerate(changes):
        start = int(pairs.start[row])
        two = [decode(codes) for codes in pairs.codes[row]]
        ref, alt = two[::-1] if alt_first[row] else two
        assert ref == LETTERS[start : start + 20]
        assert alt == haplotype(change)[start : start + 20]
        assert encode(two[0]).tobytes() <= encode(two[1]).tobytes()
        begin, ends = pairs.begin[row].tolist(), pairs.ends[row].tolist()
        alleles = [word[a:b] for word, a, b in zip(two, begin, ends, strict=True)]
        expected = [change.ref, change.alt]
        assert alleles == (expected[::-1] if alt_first[row] else expected)
    turned = pairs.turned()
    assert turned.reverse
    back = turned.turned()
    assert (back.codes == pairs.codes).all()
    assert (back.begin == pairs.begin).all()
    first = decode(turned.codes[0, 0, turned.begin[0, 0] : turned.ends[0, 0]])
    forward = decode(pairs.codes[0, 0, pairs.begin[0, 0] : pairs.ends[0, 0]])
    assert first == forward[::-1].translate(str.maketrans("ACGT", "TGCA"))


@pytest.mark.parametrize("shift", [0, 3, -2])
@pytest.mark.parametrize("grid", [1, 4, 5])
def test_alleles_of_one_length_lie_in_one_stretch_of_all_windows_of_a_grid(grid, shift):
    windowing = Windowing(40, (shift,), grid)
    for length in (1, 2, 5):
        changes = [
            Change("chr1", at, LETTERS[at : at + length], "A" * length) for at in range(30, 60)
        ]
        pairs, _ = make_pairs(Genome(), changes, windowing, shift)
        assert (pairs.cells == pairs.cells[0]).all()
        begin, end = pairs.cells[0]
        # As narrow as it can be: somewhere they stand at either end.
        assert (pairs.begin.min(), pairs.ends.max()) == (begin, end)
        turned = pairs.turned()
        assert (turned.begin.min(), turned.ends.max()) == tuple(turned.cells[0])


def test_a_window_that_cannot_be_read_has_a_reason():
    bases = BASES.copy()
    bases[60] = 4
    windowing = Windowing(20, (0, 4))
    snv = "A", "C"
    assert reason_of_window(bases, Change("chr1", 9, *snv), windowing) is None
    assert reason_of_window(bases, Change("chr1", 8, *snv), windowing) == "window_past_end"
    assert reason_of_window(bases, Change("chr1", 46, *snv), windowing) == "n_in_window"
    assert reason_of_window(bases, Change("chr1", 30, "A" * 11, ""), windowing) == "too_long"


def test_a_file_of_another_assembly_is_refused_and_a_few_wrong_lines_are_counted(tmp_path):
    def file(wrong, right):
        alleles = [
            Allele(i, 0, "chr1", i % 80, LETTERS[i % 80], "-", ".", f"v.tsv, line {i + 2}")
            for i in range(right)
        ]
        swapped = Allele(right, 0, "chr1", 0, "A", LETTERS[0], ".", "v.tsv, line 9")
        other = Allele(right, 0, "chr1", 0, "A", "T", ".", "v.tsv, line 8")
        return VariantFile(tmp_path / "v.tsv", alleles + [swapped, other][:wrong], 1, {})

    few = file(1, 99)
    checked = check_alleles(few, few.alleles, Genome())
    assert checked.counts() == {"scored": 99, "ref_swapped": 1}
    assert checked.scored()[-1] is None
    many = file(2, 99)
    with pytest.raises(
        InputError,
        match=r"line 9: REF is not what the genome has. Found 2 of 101 alleles: 1 with REF and ALT"
        r" swapped, 1 with other bases.*at most 1%",
    ):
        check_alleles(many, many.alleles, Genome())

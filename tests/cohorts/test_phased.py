"""Haplotypes of a region: what lies on one chromosome together is read together."""

import numpy as np
import pytest

from epilm.cohorts.deltas import Reader
from epilm.cohorts.phased import RegionSpan, check_phase, encode_region, haplotype_bases
from epilm.errors import InputError
from epilm.genome.sequence import decode, encode, reverse_complement
from epilm.tasks.reference import open_reference
from epilm.variants.haplotypes import Change
from toy_cohort import LETTERS, OTHER, write_genome


class Counting:
    """Reads a sequence as (bases, A or T, whether ACGT... holds GC): enough to tell them apart."""

    class encoder:
        hidden = 3

    def embed(self, sequences):
        rows = [decode(codes) for codes in sequences]
        said = [
            [len(s), s.count("A"), sum(3**i * "ACGT".index(c) for i, c in enumerate(s[:9]))]
            for s in rows
        ]
        return np.array(said, np.float32)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return open_reference(write_genome(tmp_path_factory.mktemp("genome")))


REGION = RegionSpan("chr1", 100, 120, "r")
READER = Reader([], 20, {}, Counting())
CHANGES = [
    Change("chr1", 102, LETTERS[102], OTHER[LETTERS[102]]),
    Change("chr1", 105, "", "AAA"),
]


def plain(on):
    """Vector of a haplotype, written out by letters."""
    line = list(LETTERS[100:120])
    if on[1]:
        line[5] = "AAA" + line[5]
    if on[0]:
        line[2] = OTHER[line[2]]
    codes = encode("".join(line))
    return (Counting().embed([codes])[0] + Counting().embed([reverse_complement(codes)])[0]) / 2


def test_a_person_is_the_mean_of_both_haplotypes_and_phase_matters(genome):
    copies = np.array(
        [
            [[0, 0], [0, 0]],
            [[1, 0], [1, 0]],  # both on the first
            [[1, 0], [0, 1]],  # one on each
            [[1, 1], [0, -1]],  # a call is missing
        ],
        np.int8,
    )
    vectors, n, clashes = encode_region(READER, REGION, CHANGES, copies, genome)
    none, one, two, both = plain((0, 0)), plain((1, 0)), plain((0, 1)), plain((1, 1))
    np.testing.assert_allclose(vectors[0], none)
    np.testing.assert_allclose(vectors[1], (both + none) / 2)
    np.testing.assert_allclose(vectors[2], (one + two) / 2)
    assert np.isnan(vectors[3]).all()
    assert (n, clashes) == (4, 0)


def test_of_two_variants_of_the_same_bases_the_first_is_put_in_and_that_is_counted(genome):
    changes = [Change("chr1", 102, LETTERS[102:105], ""), Change("chr1", 104, LETTERS[104], "A")]
    copies = np.array([[[1, 0], [1, 0]]], np.int8)
    vectors, _, clashes = encode_region(READER, REGION, changes, copies, genome)
    assert clashes == 1
    assert vectors[0, 0] == (17 + 20) / 2
    line, lost = haplotype_bases(encode(LETTERS), REGION, changes)
    assert (decode(line), lost) == (LETTERS[100:102] + LETTERS[105:120], 1)


def test_unphased_calls_are_refused_with_a_cure():
    check_phase(0, 10, "a.vcf")
    with pytest.raises(InputError, match=r"2 of 10 calls heterozygous .*SHAPEIT.* --features del"):
        check_phase(2, 10, "a.vcf")

"""Bins past the end of a chromosome are refused, and only those."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.tasks.binding.bins import Bins
from epilm.tasks.binding.inside import check_inside

SIZES = {"chr1": 1000, "chr2": 400}


def bins(*rows):
    names = ("chr1", "chr2", "chrM")
    chrom = np.array([names.index(name) for name, _ in rows], np.int16)
    return Bins(names, chrom, np.array([start for _, start in rows], np.int32), 200)


def test_a_bin_may_end_with_its_chromosome_and_lie_on_one_without_a_size():
    check_inside(bins(("chr1", 800), ("chr2", 200), ("chrM", 90_000)), SIZES, store="s", do="")


def test_the_first_bin_of_a_chromosome_that_ends_past_it_is_named_and_all_are_counted():
    rows = bins(("chr1", 0), ("chr2", 200), ("chr2", 201), ("chr2", 350))
    with pytest.raises(
        InputError,
        match=r"f\.tab: a region ends past its chromosome; 2 on chr2 do. Found chr2:201-401;"
        r" expected an end of at most 400 \(chr2 in the store s\). Cut them",
    ):
        check_inside(rows, SIZES, store="s", what="a region", where="f.tab", do="Cut them.")

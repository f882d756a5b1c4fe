"""The inputs of the measurement of CTCF in five lines."""

import numpy as np
from benchmarks.ctcf_lines import CUT, texts_of

from epilm.tasks.base import labelled


def test_a_row_is_taught_chosen_on_or_tested_by_its_place() -> None:
    rows = labelled(
        [np.zeros(4, np.uint8)] * 4,
        [1, 0, 1, 0],
        chrom=["chr20", "chr20", "chr22", "chr21"],
        start=[CUT - 4, CUT, 9, 9],
    )
    both = texts_of(rows, ("train", "valid"))
    assert both == [f"chr20\t{CUT - 4}\t{CUT}\t1\ttrain", f"chr20\t{CUT}\t{CUT + 4}\t0\tvalid"]
    assert texts_of(rows, ("test",)) == ["chr22\t9\t13\t1\ttest"]

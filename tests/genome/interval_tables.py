"""Intervals in any order for the tests of tables."""

from hypothesis import strategies as st

from epilm.genome.intervals import (
    make_table,
)

ROWS = st.lists(
    st.tuples(st.sampled_from(["chr1", "chr2", "chr10"]), st.integers(0, 60), st.integers(1, 20)),
    min_size=1,
    max_size=14,
)


def table_of(rows):
    return make_table(*zip(*((c, s, s + w) for c, s, w in rows), strict=True))

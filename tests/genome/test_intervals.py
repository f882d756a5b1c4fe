"""Checks, merging, union, blacklist: by hand, against a slow plain version, and against
bioframe.
"""

import bioframe
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.intervals import (
    check_intervals,
    drop_blacklisted,
    make_table,
    merge_intervals,
    overlap_bp,
    overlaps,
    sort_intervals,
    union,
)
from epilm.genome.peaks import read_peaks

from .interval_tables import ROWS, table_of


def bases(table):
    """Slow and plain: every base of every interval."""
    return [
        {(c, p) for p in range(s, e)}
        for c, s, e in table[["chrom", "start", "end"]].itertuples(index=False)
    ]


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_merging_covers_the_same_bases_with_disjoint_sorted_intervals(rows):
    table = table_of(rows)
    merged = merge_intervals(table)
    parts = bases(merged)
    assert set().union(*parts) == set().union(*bases(table))
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert merged["n_intervals"].sum() == len(table)
    for part, n in zip(parts, merged["n_intervals"], strict=True):
        assert n == sum(bool(part & one) for one in bases(table))
    assert sort_intervals(merged).equals(merged)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 5))
def test_merging_with_a_gap_agrees_with_bioframe(rows, gap):
    table = table_of(rows)
    ours = merge_intervals(table, gap=gap)
    theirs = sort_intervals(bioframe.merge(table, min_dist=gap))
    for column in ("chrom", "start", "end", "n_intervals"):
        assert ours[column].tolist() == theirs[column].tolist()


@settings(max_examples=100, deadline=None)
@given(ROWS, ROWS)
def test_overlap_counts_shared_bases(rows, others):
    table, other = table_of(rows), table_of(others)
    covered = set().union(*bases(other))
    assert overlap_bp(table, other).tolist() == [len(one & covered) for one in bases(table)]
    assert overlaps(table, other).tolist() == [bool(one & covered) for one in bases(table)]
    left, kept = drop_blacklisted(table, other)
    assert len(left) == kept.sum() == sum(not (one & covered) for one in bases(table))


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["B", "NK", "HSC"]), ROWS, min_size=1),
    st.sampled_from(["merge", "keep"]),
)
def test_union_says_which_cell_type_has_which_region(cells, how):
    tables = {cell: table_of(rows) for cell, rows in cells.items()}
    made = union(tables, how=how)
    assert made.cell_types == tuple(tables)
    assert made.members.shape == (len(made.table), len(tables))
    assert made.members.any(axis=1).all()
    for t, table in enumerate(tables.values()):
        mine = bases(table)
        for r, region in enumerate(bases(made.table)):
            expected = any(one & region for one in mine) if how == "merge" else region in mine
            assert made.members[r, t] == expected
    fewer = made.counts["merged" if how == "merge" else "duplicates"]
    assert made.counts["given"] == made.counts["regions"] + fewer == sum(map(len, tables.values()))
    assert sort_intervals(made.table).equals(made.table)
    near = union(tables, how="keep", membership="overlap").members
    assert (near >= union(tables, how="keep").members).all()


def test_touching_intervals_stay_apart_unless_a_gap_is_allowed():
    table = make_table(["chr1"] * 2, [0, 5], [5, 9])
    assert len(merge_intervals(table)) == 2
    assert len(merge_intervals(table, gap=0)) == 1


def test_a_union_without_regions_and_unknown_switches_are_refused():
    empty = make_table([], [], [])
    with pytest.raises(InputError, match="there are no regions"):
        union({"B": empty})
    with pytest.raises(ValueError, match="how must be"):
        union({"B": empty}, how="both")
    assert len(merge_intervals(empty)) == 0
    assert overlaps(make_table(["chr1"], [0], [5]), empty).tolist() == [False]


def test_real_blood_cells_unite_as_bioframe_says(real_data):
    files = sorted((real_data / "atac_blood_hg19").glob("*.narrowPeak.gz"))
    sizes = {"chr20": 63025520, "chr22": 51304566}
    tables = {
        path.name.split(".")[0]: check_intervals(read_peaks(path), sizes).table for path in files
    }
    assert len(tables) == 14
    made = union(tables, sizes=sizes)
    peer = bioframe.merge(
        pd.concat([table[["chrom", "start", "end"]] for table in tables.values()]), min_dist=None
    )
    assert made.table["start"].tolist() == sort_intervals(peer)["start"].tolist()
    assert made.table["end"].tolist() == sort_intervals(peer)["end"].tolist()
    for t, table in enumerate(tables.values()):
        counted = bioframe.count_overlaps(made.table, table)["count"].to_numpy() > 0
        assert (counted == made.members[:, t]).all()

"""A store of another genome or with other states than a model's is refused."""

from dataclasses import replace

import pytest

from epilm.errors import CheckpointError
from epilm.store.identity import check_assembly, check_states, identity_of
from toy_tracks import toy_track_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    chroms = {"chr1": 1_000, "chr2": 3_000}
    return toy_track_store(tmp_path_factory.mktemp("s"), chroms=chroms, signals=())


def named(store, assembly):
    return replace(store, info=replace(store.info, assembly=assembly))


def test_a_store_is_of_its_own_genome(store):
    kept = identity_of(store)
    assert kept["chrom_sizes"] == {"chr1": 1_000, "chr2": 3_000}
    assert kept["store"] == store.fingerprint
    check_assembly(store, kept, "the run")
    check_assembly(store, {}, "a run that keeps nothing")
    # A name is no more than a name where lengths are known.
    check_assembly(named(store, "mine"), kept, "the run")


def test_one_chromosome_of_another_length_is_another_genome(store):
    kept = identity_of(store) | {"chrom_sizes": {"chr2": 3_001, "chrX": 9}}
    with pytest.raises(
        CheckpointError,
        match=r"the run: the store is of another assembly.*Found invented, chr2 of 3,000 bp.*"
        r"expected invented, chr2 of 3,001 bp.*--other-assembly",
    ):
        check_assembly(store, kept, "the run")
    check_assembly(store, kept, "the run", meant=True)


@pytest.mark.parametrize(
    ("mine", "theirs", "refused"),
    [
        ("hg19", "GRCh37", False),
        ("hg19", "hg38", True),
        ("mm10", "GRCm39", True),
        ("hg38", "GRCh38", False),
        ("invented", "hg38", False),
    ],
)
def test_without_lengths_names_of_known_genomes_are_compared(store, mine, theirs, refused):
    if refused:
        with pytest.raises(CheckpointError, match=f"Found {mine} .*expected {theirs}"):
            check_assembly(named(store, mine), {"assembly": theirs}, "the run")
    else:
        check_assembly(named(store, mine), {"assembly": theirs}, "the run")


def test_states_are_the_same_by_name_order_and_width(store):
    names, width = store.states.names, store.states.bin
    check_states(names, width, store, "the run")
    check_states(list(names), width, store, "the run")
    check_states(None, None, store, "a run that keeps none")
    check_states(("x",), 200, replace(store, states=None), "a store without states")
    for other, bp in ((names[::-1], width), (names[:-1], width), (names, 2 * width)):
        with pytest.raises(
            CheckpointError,
            match=rf"the run: the states.*Found 5 states \({names[0]}, .*in bins of {width} bp.*"
            rf"expected {len(other)} \({other[0]}.*in bins of {bp} bp",
        ):
            check_states(other, bp, store, "the run")

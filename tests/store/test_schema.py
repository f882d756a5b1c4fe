"""What a folder must say to be a store, and what its fingerprint names."""

import json

import numpy as np
import pytest

from epilm.errors import StoreError
from epilm.store.schema import (
    MANIFEST,
    REGION_TYPE,
    SCHEMA,
    StoreInfo,
    file_sha256,
    fingerprint,
    read_info,
)

REGIONS = np.array([(0, 5, 9), (1, 2, 8)], REGION_TYPE)
STATES = {"bin": 200, "names": ["a", "b"], "cell_types": {"X": 0, "Y": 1}}
INFO = StoreInfo(SCHEMA, "toy", ("chr1", "chr2"), (10, 20), ("X",), 2, 1, "f" * 64, {})


def written(folder, value):
    (folder / MANIFEST).write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def test_what_is_written_is_read_and_a_later_writers_keys_are_passed_over(tmp_path):
    folder = written(tmp_path, INFO.to_dict() | {"plans": {"cells": 3}})
    assert read_info(folder) == INFO
    more = INFO.to_dict() | {"factors": {"statistic": "best", "more_statistics": ["sum"]}}
    assert read_info(written(tmp_path, more)).statistics == ("best", "sum")
    assert INFO.statistics == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"this is not a store. Found a folder without store\.json.*epilm build"),
        ("{", r"store\.json: the file is not valid JSON"),
        ([], r"this is not a store. Found a store\.json without a schema"),
        ({"schema": SCHEMA + 1}, rf"another schema version. Found {SCHEMA + 1}; expected {SCHEMA}"),
        ({"schema": SCHEMA, "assembly": "hg19"}, "a key is missing"),
    ],
)
def test_a_folder_that_is_no_store_is_told_what_it_is(tmp_path, value, message):
    if value is not None:
        written(tmp_path, value)
    with pytest.raises(StoreError, match=message):
        read_info(tmp_path)


def test_no_folder_and_the_folder_of_a_run(tmp_path):
    with pytest.raises(StoreError, match="no folder of that name"):
        read_info(tmp_path / "none")
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(StoreError, match=r"the folder of a run.*Give the store itself"):
        read_info(written(tmp_path, {"path": "my.store", "fingerprint": "0"}))


def test_the_fingerprint_names_what_rows_columns_and_states_mean():
    def of(chroms=("chr1", "chr2"), sizes=(10, 20), regions=REGIONS, ids=("M1", "M2"), **more):
        return fingerprint(chroms, sizes, regions, ids, **more)

    longer = REGIONS.copy()
    longer["end"][1] += 1
    all_of_them = [
        of(),
        of(chroms=("chr1", "chrX")),
        of(sizes=(10, 21)),
        of(regions=REGIONS[::-1]),
        of(regions=longer),
        of(ids=("M2", "M1")),
        of(states=STATES),
        of(states=STATES | {"bin": 100}),
        of(states=STATES | {"names": ["b", "a"]}),
        of(states=STATES | {"cell_types": {"X": 1, "Y": 0}}),
    ]
    assert len(set(all_of_them)) == len(all_of_them)
    wide = REGIONS.astype([("chrom", "<u4"), ("start", "<i8"), ("end", "<i8")])
    assert of(regions=wide) == of()  # of how many bits a number is kept says nothing
    colours = STATES | {"colours": ["1,2,3", ""]}
    assert of(states=colours) == of(states=STATES)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, B.1
    assert file_sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")

"""Parts on disk: whole or absent, in order when they are joined, and what they are of."""

import json

import numpy as np
import pytest
import torch

from epilm.errors import InputError, UsageError
from epilm.shards import (
    CHUNK,
    JoinedParts,
    Shard,
    digest_of_file,
    digest_of_weights,
    write_part,
    written_before,
)

ASKED = {
    "verb": "x",
    "call": {"n": (1, 2)},
    "files": {},
    "model": "m",
    "data": {},
    "machine": {"threads": 1},
}


def write(folder, i, n, units, asked=ASKED, notes=()):
    with write_part(folder, Shard(i, n), asked) as part:
        part.units = units
        part.notes += notes
        for unit in filter(Shard(i, n).has, range(units)):
            part.put(unit, {"a": np.arange(unit), "b": np.float32([[unit]])})


@pytest.mark.parametrize(("n", "units"), [(1, 5), (3, 7), (4, 2), (2, 0)])
def test_units_come_back_in_order_to_the_bit(tmp_path, n, units):
    for i in reversed(range(1, n + 1)):
        write(tmp_path, i, n, units)
    with JoinedParts([tmp_path]) as joined:
        for unit in range(units):
            arrays = joined.next_unit()
            assert arrays["a"].tolist() == list(range(unit))
            assert arrays["b"].dtype == np.float32
            assert arrays["b"].tolist() == [[unit]]
        joined.finish()
    with (
        JoinedParts([tmp_path]) as joined,
        pytest.raises(InputError, match="more than the parts answer"),
    ):
        for _ in range(units + 1):
            joined.next_unit()
    if units:
        with (
            JoinedParts([tmp_path]) as joined,
            pytest.raises(InputError, match="less than the parts answer"),
        ):
            joined.finish()


def test_values_of_many_units_lie_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr("epilm.shards.CHUNK", 64)
    write(tmp_path, 1, 1, 20)
    about = json.loads((tmp_path / "part-1-of-1" / "part.json").read_text())
    assert len(about["chunks"]) > 3
    with JoinedParts([tmp_path]) as joined:
        assert [len(unit["a"]) for unit in joined.units()] == list(range(20))
    assert CHUNK > 64


def test_a_part_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), write_part(tmp_path, Shard(1, 2), ASKED) as part:
        part.put(0, {"a": np.zeros(3)})
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []


def test_a_part_is_there_of_the_same_request_alone(tmp_path):
    assert written_before(tmp_path, Shard(1, 2), ASKED) is None
    (tmp_path / "part-1-of-2").mkdir()  # as an engine of workflows makes it
    assert written_before(tmp_path, Shard(1, 2), ASKED) is None
    write(tmp_path, 1, 2, 5)
    before = written_before(tmp_path, Shard(1, 2), ASKED)
    assert (before.units, before.of) == (3, 5)
    elsewhere = ASKED | {"files": {"s": "/other"}, "machine": {"threads": 8}}
    assert written_before(tmp_path, Shard(1, 2), elsewhere) is not None
    with pytest.raises(InputError, match="this command: the parts are of different models"):
        written_before(tmp_path, Shard(1, 2), ASKED | {"model": "other"})
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="with --shard, --out is the folder of the parts"):
        written_before(tmp_path / "file", Shard(1, 2), ASKED)


def test_parts_of_several_kinds_of_machines_are_joined_and_that_is_said(tmp_path):
    write(tmp_path, 1, 2, 4, notes=["cut"])
    write(tmp_path, 2, 2, 4, ASKED | {"machine": {"threads": 2}}, notes=["cut", "long"])
    with JoinedParts([tmp_path]) as joined:
        assert joined.notes[:2] == ["cut", "long"]
        assert "machines of several kinds (threads 1; threads 2): last digits" in joined.notes[2]


def test_a_gap_that_no_part_owns_up_to_is_seen(tmp_path):
    """Parts that count other units than they hold: no shard writes them so."""
    write(tmp_path, 1, 2, 4)
    write(tmp_path, 2, 2, 6)
    with pytest.raises(InputError, match="leave a gap or overlap. Found 2 of 4 units, 3 of 6"):
        JoinedParts([tmp_path])


def test_files_and_folders_are_told_apart_by_their_bytes(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(text)
    sums = [digest_of_file(tmp_path / name) for name in "abc"]
    assert sums[0] == sums[1] != sums[2]
    assert digest_of_file(tmp_path / "a" / "f") == digest_of_file(tmp_path / "b" / "f")
    with pytest.raises(InputError, match="the file cannot be read"):
        digest_of_file(tmp_path / "none")


def test_weights_are_told_apart_by_one_bit():
    layer = torch.nn.Linear(2, 2)
    before = digest_of_weights(layer)
    assert digest_of_weights(layer) == before
    with torch.no_grad():
        layer.bias[0] = torch.nextafter(layer.bias[0], torch.tensor(9.0))
    assert digest_of_weights(layer) != before

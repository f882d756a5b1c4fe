"""What comes back is what was written, bit for bit, or it is refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from epilm.errors import DamagedError
from epilm.tensor_files import load_tensors, save_tensors

MANY = {
    "words": torch.arange(12.0).view(3, 4),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "scalar": torch.tensor(3.0),
    "flags": torch.tensor([True, False]),
    "none": torch.zeros(0, 4),
    "steps": torch.tensor([7], dtype=torch.int64),
    "turned": torch.arange(6.0).view(2, 3).T,
}


def test_every_kind_of_tensor_comes_back_and_others_can_read_it(tmp_path):
    name = tmp_path / "a.safetensors"
    save_tensors(name, MANY)
    for read in (load_tensors, load_file):
        again = read(name)
        assert again.keys() == MANY.keys()
        assert all(torch.equal(again[key], MANY[key]) for key in MANY)
        assert all(again[key].dtype == MANY[key].dtype for key in MANY)


def test_any_flipped_bit_of_the_values_is_found(tmp_path):
    name = tmp_path / "a.safetensors"
    save_tensors(name, MANY)
    whole = name.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    for bit in range(begin * 8, len(whole) * 8):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        name.write_bytes(content)
        with pytest.raises(DamagedError, match=r"another checksum of 1 of 7 tensors \(\w+\)"):
            load_tensors(name)


def test_a_flipped_bit_of_the_names_and_shapes_never_gives_other_tensors(tmp_path):
    name = tmp_path / "a.safetensors"
    save_tensors(name, MANY)
    whole = name.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    draws = np.random.default_rng(0).integers(0, begin * 8, 400)
    for bit in draws.tolist():
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        name.write_bytes(content)
        try:
            again = load_tensors(name)
        except DamagedError:
            continue
        assert again.keys() == MANY.keys()
        assert all(torch.equal(again[key], MANY[key]) for key in MANY)


def test_a_file_of_others_has_no_checksums_and_is_read(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    assert load_tensors(tmp_path / "a.safetensors")["x"].tolist() == [1.0, 1.0]
    with pytest.raises(DamagedError, match="the weights cannot be read"):
        load_tensors(tmp_path / "missing.safetensors")


def test_the_same_tensors_are_the_same_bytes(tmp_path):
    """The library writes metadata in an order of chance."""
    for number in range(12):  # in any order, too
        tensors = list((MANY | {"é \u2028": torch.ones(1)}).items())
        save_tensors(tmp_path / f"{number}", dict(tensors[number % 4 :] + tensors[: number % 4]))
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    assert len(load_tensors(tmp_path / "0")) == len(load_file(tmp_path / "0")) == len(MANY) + 1

"""The blocks of a bigWig: a damaged one is named by its place."""

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.genome.signals import open_signal, write_bigwig


def test_a_damaged_block_is_named_by_its_place(tmp_path):
    rng = np.random.default_rng(1)
    start = np.arange(0, 50_000, 5)
    write_bigwig(
        tmp_path / "a.bw",
        {"chr1": 50_000},
        [("chr1", start, start + 5, rng.normal(size=len(start)))],
    )
    data = bytearray((tmp_path / "a.bw").read_bytes())
    begin = int.from_bytes(data[16:24], "little") + 100
    data[begin : begin + 3000] = b"\x07" * 3000
    (tmp_path / "a.bw").write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"a.bw: the bigWig file cannot be read at chr1:0-50000"):
        open_signal(tmp_path / "a.bw").read("chr1", 50_000)

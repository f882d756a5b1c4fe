"""Parts of an unfinished run: taken over, refused, or scored again."""

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.variants.kept_parts import ASKED, Parts

ASKS = {"window": [64, [0], 1], "model": "abc"}


def test_values_come_back_to_the_bit_and_are_gone_in_the_end(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 3))
    values[2, 1] = np.nan
    parts = Parts(tmp_path / "o.tsv", ASKS)
    parts.put(3, values)
    again = Parts(tmp_path / "o.tsv", ASKS)
    assert (again.before, again.get(0)) == (1, None)
    assert again.get(3).tobytes() == values.tobytes()
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_request_is_named_and_refused(tmp_path):
    Parts(tmp_path / "o.tsv", ASKS).put(0, np.zeros((1, 1)))
    with pytest.raises(UsageError, match=r"another request.*model abc; expected model xyz\."):
        Parts(tmp_path / "o.tsv", {**ASKS, "model": "xyz"})
    file = tmp_path / ".o.tsv.parts" / ASKED
    file.write_text(file.read_text().replace("64", "65"))
    with pytest.raises(UsageError, match="another request"):  # what it was cannot be told
        Parts(tmp_path / "o.tsv", ASKS)


def test_a_damaged_part_is_scored_again_and_that_is_said(tmp_path):
    parts = Parts(tmp_path / "o.tsv", ASKS)
    parts.put(0, np.arange(4.0).reshape(2, 2))
    file = tmp_path / ".o.tsv.parts" / "000000.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    again = Parts(tmp_path / "o.tsv", ASKS)
    assert again.get(0) is None
    assert again.notes == ["000000.safetensors was damaged and is scored again"]

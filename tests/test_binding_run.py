"""How signals are named. A model's way over the disk: tests/test_prediction_bins.py."""

import pytest

from epilm.binding_run import parse_signal
from epilm.errors import UsageError


def test_words_for_signals():
    assert parse_signal("mappability") == ("mappability", "min", "raw")
    assert parse_signal("h3k27ac") == ("h3k27ac", "max", "log1p")
    with pytest.raises(UsageError, match=r"Did you mean min|Known: max, mean, min"):
        parse_signal("mappability:mim")

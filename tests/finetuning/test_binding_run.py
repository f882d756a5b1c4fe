"""How signals are named. A model's way over the disk: tests/test_prediction_bins.py."""

import pytest

from epilm.errors import UsageError
from epilm.finetuning.binding_run import parse_signal


def test_words_for_signals():
    assert parse_signal("mappability") == ("mappability", "min", "raw")
    assert parse_signal("h3k27ac") == ("h3k27ac", "max", "log1p")
    with pytest.raises(UsageError, match=r"Did you mean min|Known: max, mean, min"):
        parse_signal("mappability:mim")

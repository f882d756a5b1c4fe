"""Impossible options of splice sites are refused by name."""

from dataclasses import replace

import pytest

from epilm.errors import UsageError
from epilm.finetuning.preset import with_preset
from epilm.tasks import TASKS
from epilm.tasks.splice.splice_options import SpliceOptions, check_splice


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"context": 81}, "--context: impossible value. Found 81; expected an even number"),
        ({"context": -2}, "--context"),
        ({"block": 0}, "--block: impossible value. Found 0"),
        ({"site_weight": 0.0}, "--site-weight: impossible value"),
        ({"both_strands": True}, "--both-strands: a transcript lies on one strand"),
        ({"flank": "none"}, "--flank: unknown value. Found 'none'"),
        ({"paralogs": "test"}, "--paralogs: unknown value"),
        ({"epochs": 0}, "--epochs: impossible value"),
    ],
)
def test_what_is_impossible_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        check_splice(replace(SpliceOptions(), **values))


def test_spliceai_s_values_are_the_defaults_and_a_preset_leaves_the_strands_alone():
    options = SpliceOptions()
    check_splice(options)
    kept = (options.epochs, options.lr, options.batch_size, options.decay, options.block)
    assert kept == (10, 1e-3, 18, "halving", 5000)
    how = {"checkpoint": "dilated", "head": None}
    filled, chosen = with_preset("lab", TASKS["splice"], options, {}, **how)
    assert "both_strands" not in chosen
    check_splice(filled)

"""The contract every task passes: documented, the same arguments, a set with labels from 0."""

import inspect

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.tasks import TASKS, LabelledSequences, find_task


@pytest.mark.parametrize("name", TASKS)
def test_contract(name, tmp_path):
    task = find_task(name)
    assert task.name == name
    assert task.about.endswith(".")
    assert task.data
    parameters = inspect.signature(task.load).parameters
    assert {"data", "genome", "negative", "seed"} <= set(parameters)
    assert all(p.kind is p.KEYWORD_ONLY for n, p in parameters.items() if n != "data")
    assert task.load.__doc__
    (tmp_path / "set.tsv").write_text("sequence\tlabel\nACGTACGT\t1\nTTTTAAAA\t0\n")
    rows = task.load(tmp_path / "set.tsv", seed=3)
    assert isinstance(rows, LabelledSequences)
    assert rows.codes.dtype == np.uint8
    assert rows.labels.tolist() == [1, 0]
    assert len(task.label_names) in (0, 2)
    with pytest.raises(InputError, match="there is no such file"):
        task.load(tmp_path / "nothing.tsv")

import numpy as np
import pytest

from epilm.errors import TrainingError
from epilm.store.sampling import order, rows_at, steps_per_epoch


def test_an_epoch_visits_every_row_once_and_drops_the_remainder():
    rows = np.concatenate([rows_at(103, batch=10, step=s, seed=4) for s in range(10)])
    assert len(set(rows.tolist())) == 100
    assert not np.array_equal(
        rows_at(103, batch=10, step=0, seed=4), rows_at(103, batch=10, step=10, seed=4)
    )


def test_rows_are_a_pure_function_of_seed_and_step():
    wanted = [rows_at(50, batch=8, step=s, seed=1).tolist() for s in range(20)]
    order.cache_clear()
    assert [rows_at(50, batch=8, step=s, seed=1).tolist() for s in reversed(range(20))] == wanted[
        ::-1
    ]
    assert wanted[0] != rows_at(50, batch=8, step=0, seed=2).tolist()


def test_a_batch_larger_than_the_samples_says_how_many_there_are():
    with pytest.raises(TrainingError, match="Found 7 samples; expected at least 8"):
        rows_at(7, batch=8, step=0, seed=0)
    with pytest.raises(TrainingError, match=r"Lower the batch \(train\.batch_size, "):
        rows_at(7, batch=8, step=0, seed=0)
    with pytest.raises(TrainingError, match="at least 1"):
        steps_per_epoch(7, 0)

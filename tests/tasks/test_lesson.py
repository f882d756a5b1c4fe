"""What is drawn in every epoch: all rows once, like lengths together, by seed and epoch alone."""

import numpy as np

from epilm.tasks.lesson import AllOnce, same_sample


def draw_of(lengths, seed=0):
    return AllOnce(np.arange(len(lengths)) * 3, np.asarray(lengths, np.int64), seed)


def test_every_row_comes_once_in_another_order_every_epoch():
    draw = draw_of([7] * 50)
    first, second = (np.concatenate(draw.steps(epoch, 8)) for epoch in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == (np.arange(50) * 3).tolist()
    assert not np.array_equal(first, second)
    assert np.array_equal(first, np.concatenate(draw_of([7] * 50).steps(0, 8)))
    assert not np.array_equal(first, np.concatenate(draw_of([7] * 50, seed=1).steps(0, 8)))
    assert len(draw) == 50


def test_every_epoch_has_as_many_steps():
    draw = draw_of(np.random.default_rng(0).integers(5, 60, 101))
    for epoch in range(3):
        steps = draw.steps(epoch, 10)
        assert sorted(map(len, steps)) == [1] + [10] * 10


def test_rows_of_like_length_share_a_step():
    lengths = np.random.default_rng(0).integers(5, 500, 400)
    spread = [np.ptp(lengths[rows // 3]) for rows in draw_of(lengths).steps(2, 16)]
    assert np.mean(spread) < 30
    sizes = [lengths[rows[0] // 3] for rows in draw_of(lengths).steps(2, 16)]
    assert sizes != sorted(sizes)  # steps themselves are not sorted


def test_a_sample_is_the_same_every_time_and_grows():
    rows = np.arange(100, 400)
    ten, twenty = same_sample(rows, 10, 5, 1), same_sample(rows, 20, 5, 1)
    assert len(ten) == 10
    assert set(ten.tolist()) < set(twenty.tolist()) < set(rows.tolist())
    assert np.array_equal(ten, same_sample(rows, 10, 5, 1))
    assert not np.array_equal(ten, same_sample(rows, 10, 6, 1))
    assert np.array_equal(same_sample(rows, 1000, 5, 1), rows)

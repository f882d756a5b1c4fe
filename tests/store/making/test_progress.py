"""Bars of a build: what is iterated over stays the same, shown or not."""

import pytest

from epilm.store.making.progress import bars


@pytest.mark.parametrize("show", [True, False])
def test_what_is_iterated_over_stays_as_it_is(show, capsys):
    with bars(show) as bar:
        assert list(bar([3, 1, 2], "scan")) == [3, 1, 2]
        assert list(bar({"chr1": 5, "chr2": 6}, "genome").items()) == [("chr1", 5), ("chr2", 6)]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("genome" in shown.err and "2/2" in shown.err) is show


def test_work_that_counts_by_itself_is_done_in_the_end(capsys):
    with bars(True) as bar, bar.counting("motifs", 40) as count:
        count(10, 40)
    assert "40/40" in capsys.readouterr().err
    with bars(False) as bar, bar.counting("motifs", 40) as count:
        assert count is None


def test_a_bar_that_was_stopped_does_not_stand_above_the_message(capsys):
    with pytest.raises(ZeroDivisionError), bars(True) as bar:
        for _ in bar([1, 2, 3], "scan"):
            raise ZeroDivisionError
    assert "scan" not in capsys.readouterr().err.splitlines()[-1:]

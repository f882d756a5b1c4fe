"""Each process hears at once that another is gone, and of one that has finished nothing."""

import re

import pytest

import two_devices


@pytest.mark.parametrize("dies", [0, 2])
def test_the_others_are_told_which_process_is_gone(dies, tmp_path):
    two_devices.spawn(two_devices.lifeline, tmp_path, 3, dies)
    said = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(said) == {"0", "1", "2"} - {str(dies)}
    where = r"\(127\.0\.0\.1\)" if dies == 0 else r"\(\S+, pid \d+\)"
    for each in said.values():
        assert re.match(
            rf"a process of the run is lost\. Found process {dies} of 3 {where} gone without a"
            r" word to the others\. What it said last",
            each,
        )


def test_who_has_finished_is_not_missed(tmp_path):
    two_devices.spawn(two_devices.lifeline, tmp_path, 3, None)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["None"] * 3

"""Colours of states: those of the files, Roadmap's by name, else a circle; all can be seen."""

import pytest

from epilm.exploring.state_colours import PALE, ROADMAP, state_colours


@pytest.mark.parametrize("prefix", ["", "1_", "E7_", "U12_"])
def test_roadmaps_names_have_roadmaps_colours_whatever_number_stands_before(prefix):
    names = ["TssA", "Enh", "Quies"]
    colours = state_colours([prefix + name for name in names], [""] * 3)
    assert colours == ("255,0,0", "255,255,0", PALE)


def test_one_name_that_is_not_roadmaps_and_all_are_hues():
    colours = state_colours(["1_TssA", "2_Mine"], ["", ""])
    assert ROADMAP["TssA"] not in colours


def test_what_the_files_say_wins_and_white_is_never_drawn():
    assert state_colours(["1_TssA", "2_Enh"], ["1,2,3", "255, 255, 255"]) == ("1,2,3", PALE)


@pytest.mark.parametrize("count", [2, 8, 15, 51])
def test_hues_are_all_different_and_can_be_written(count):
    colours = state_colours([f"s{number}" for number in range(count)], [""] * count)
    assert len(set(colours)) == count
    for colour in colours:
        assert all(0 <= int(part) <= 255 for part in colour.split(","))

"""Twenty kills at random moments: what was killed goes on or begins anew, and ends with the same
bytes. At length: `python tools/kills.py --kills 200` (docs/reliability.md).
"""

import pytest

from killed import SUBJECTS, differing, kill_once, undisturbed, world_in

# Kills of each command; their moments are functions of these numbers.
NUMBERS = {
    "build": range(4),
    "pretrain": range(2),
    "finetune": range(3),
    "predict": range(4),
    "score-variants": range(3),
    "merge": range(4),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return world_in(tmp_path_factory.mktemp("kills") / "world")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_killed_command_ends_with_the_same_bytes(name, world, tmp_path):
    whole = undisturbed(SUBJECTS[name], world, tmp_path / "whole")
    killed = 0
    for number in NUMBERS[name]:
        kill = kill_once(SUBJECTS[name], world, tmp_path / f"{number}", number, whole)
        assert kill.faults == [], f"number {number}, {kill.moment}"
        killed += bool(kill.moment)
    assert killed, "every run was over before it could be killed"


def test_what_is_not_alike_is_seen(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.json").write_text(f'{{"loss": 1, "seconds": {len(name)}}}')
        (tmp_path / name / "b.tsv").write_text(f"{tmp_path / name}/x\n")
    assert differing(tmp_path / "one", tmp_path / "other") == []
    (tmp_path / "one" / ".b.tsv.half").touch()
    (tmp_path / "one" / "a.json").write_text('{"loss": 2}')
    (tmp_path / "other" / "c").touch()
    assert differing(tmp_path / "one", tmp_path / "other") == [
        ".b.tsv.half: left over",
        "c: missing",
        "a.json",
    ]

"""Kill commands at random moments, start them again, compare: python tools/kills.py [--kills N].

Over build, pretrain, finetune, predict, score-variants and merge, turn by turn. Every kill has a
number: its moment is a function of it (--only NAME --from NUMBER --kills 1 repeats one). A command
is a fork of a process that has imported everything (tests/forked.py), so a kill costs a second.

"Bytes equal" is: the names of all files and their bytes are those of a run that nobody killed; of
JSON the values, without times. `versions.json` lists the starts, `card.md` has times in its text
and TensorBoard's files in their names: they are not compared. With --keep FILE each kill is a line
of JSON there, and the same command goes on behind the last one.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from killed import SUBJECTS, Killed, kill_once, undisturbed, world_in  # noqa: E402


def table(kills: list[Killed]) -> str:
    """Write what came of the kills, a row a command."""
    lines = [
        "| command | kills | between two changes of files | at any moment | went on | began anew"
        " | bytes equal |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    rows = [(name, [kill for kill in kills if kill.subject == name]) for name in SUBJECTS]
    for name, own in (*rows, ("all", kills)):
        if not own:
            continue
        between = sum(kill.moment.startswith("before") for kill in own)
        on, equal = sum(kill.went_on for kill in own), sum(not kill.faults for kill in own)
        figures = (len(own), between, len(own) - between, on, len(own) - on, equal)
        lines.append(f"| {name} | " + " | ".join(map(str, figures)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and every fault."""
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--kills", type=int, default=60, help="all together")
    asked.add_argument("--from", type=int, default=0, dest="first", help="number of the first")
    asked.add_argument("--only", default="", help="commands whose name holds this")
    asked.add_argument("--keep", type=Path, help="file of what came of each")
    given = asked.parse_args()
    kills: list[Killed] = []
    if given.keep is not None and given.keep.is_file():
        kills = [Killed(**json.loads(line)) for line in given.keep.read_text().splitlines()]
    subjects = [subject for name, subject in SUBJECTS.items() if given.only in name]
    scratch = Path(tempfile.mkdtemp(prefix="epilm-kills-"))
    try:
        world = world_in(scratch / "world")
        whole = {
            each.name: undisturbed(each, world, scratch / f"whole-{each.name}") for each in subjects
        }
        number = 1 + max((kill.number for kill in kills), default=given.first - 1)
        while sum(bool(kill.moment) for kill in kills) < given.kills:
            subject = subjects[number % len(subjects)]
            folder = scratch / "killed"
            kills.append(kill_once(subject, world, folder, number, whole[subject.name]))
            shutil.rmtree(folder)
            for fault in kills[-1].faults:
                print(f"{subject.name}, number {number}, {kills[-1].moment}: {fault}", flush=True)
            if given.keep is not None:
                with open(given.keep, "a", encoding="utf-8") as lines:
                    lines.write(json.dumps(kills[-1]._asdict()) + "\n")
            number += 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(table([kill for kill in kills if kill.moment]))


if __name__ == "__main__":
    main()

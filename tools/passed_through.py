"""Which modules a command really passes through: those of which a function ran.

    PYTHONPATH=TREE/src python tools/passed_through.py finetune binding --store S --out RUN ...

Runs the command in this process, and prints to standard error how many folders and modules of the
package had a function that ran (not: were imported), then each folder with its modules. Of two
trees it compares what a reader has to open to follow the command. Work in other processes is not
seen.
"""

import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any


def main() -> None:
    """Run the command, then count."""
    import epilm
    from epilm.__main__ import main as command

    package = str(Path(epilm.__file__).parent)
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        # Bodies of modules and classes run when they are imported: that is not passing through.
        if event == "call" and name.startswith(package) and frame.f_code.co_flags & 2:
            files.add(name)

    sys.argv = ["epilm", *sys.argv[1:]]
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        command()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
        rooms = defaultdict(list)
        for path in sorted(Path(name).relative_to(package) for name in files):
            rooms[str(path.parent)].append(path.stem)
        print(f"{len(rooms)} rooms, {len(files)} modules", file=sys.stderr)
        for room, names in rooms.items():
            print(f"  {room}: {' '.join(names)}", file=sys.stderr)


if __name__ == "__main__":
    main()

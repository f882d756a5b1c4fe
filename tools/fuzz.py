"""Edit whole files at random and read them: python tools/fuzz.py [--inputs N] [--only NAME].

Every input has a number: the edits are a function of it, so that a find can be made again
(--only NAME --from NUMBER --inputs 1). A parser runs in a process of its own with 4 GB of memory,
and an input has 10 seconds of a processor; a crash, a time-out and any error that is not of epilm
is a find.

Parsers take turns. With --keep FILE the counts and the finds stand in a file after every turn, and
the same command goes on from there: a long campaign can be stopped and needs no watching.

--coverage says instead how much of the readers the edits reach: of the functions of epilm that
were entered, the share of their lines, by the whole file alone and with the edited ones. A traced
input takes several times as long.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from epilm.errors import EpilmError  # noqa: E402
from fuzz.parsers import PARSERS, Parser, drawn, mutate  # noqa: E402

MEMORY = 4 << 30
SECONDS = 10  # of a processor
STUCK = 3 * SECONDS  # of a processor without a new input: in C no alarm is heard
TURN = 500  # inputs of a parser before the next parser's turn
# A file in memory is written ten times as fast; many an input takes less than that.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
OWN = str(ROOT / "src" / "epilm") + os.sep
# Of what each find says, while a child hears nothing of what libraries print.
ERRORS = os.fdopen(os.dup(2), "w", buffering=1)
Finds = dict[str, list[int]]
# Imported before processes part: each would do it again, in up to two seconds.
HEAVY = (
    *("torch", "anndata", "h5py", "pandas", "scipy.io"),
    *("pysam", "rdata", "cooler", "numba", "yaml"),
    *("epilm.tasks.sequences", "epilm.tasks.binding.labels", "epilm.cohorts.genotypes"),
    *("epilm.rankings.score_tables", "epilm.trials.manifest", "epilm.trials.descriptions"),
)


class TooLong(BaseException):
    """An input took too long."""


def attempt(parser: Parser, path: Path, content: bytes) -> str | None:
    """Read edited bytes; what got out, or None where they were read or refused."""
    path.write_bytes(content)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        parser.read(path)
    except EpilmError:
        return None
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [f for f in traceback.extract_tb(error.__traceback__) if "/epilm/" in f.filename]
        place = own[-1] if own else last
        at = f"{Path(place.filename).name}:{place.lineno}"
        print(f"{parser.name}: {type(error).__name__} at {at}: {str(error)[:120]}", file=ERRORS)
        return f"{type(error).__name__} at {at}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def prepare(parser: Parser, folder: Path) -> bytes:
    """Make a parser's files, the first time, and limit this process; give the whole file."""

    def late(*_: Any) -> None:
        raise TooLong(f"more than {SECONDS} s of a processor")

    files, whole = folder / "files", folder / "whole"
    if not whole.is_file():
        files.mkdir()
        parser.make(files)
        shutil.copyfile(files / parser.file, whole)
    signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    content = whole.read_bytes()
    (files / parser.file).write_bytes(content)
    parser.read(files / parser.file)  # a whole file that cannot be read shows nothing
    return content


def work(parser: Parser, folder: Path, first: int, last: int, said: Path) -> None:
    """Try inputs in this process; each begins with a line of its number."""
    whole = prepare(parser, folder)
    path = folder / "files" / parser.file
    with open(said, "a", encoding="utf-8") as out:
        for number in range(first, last):
            out.write(f'{{"at": {number}}}\n')
            out.flush()
            if (got := attempt(parser, path, mutate(whole, drawn(number)))) is not None:
                out.write(json.dumps({"number": number, "found": got}) + "\n")


def busy(child: int) -> float:
    """Seconds of a processor that a process has had; the clock, where the system does not tell."""
    try:
        # Behind the name in brackets: state is the third field, user and system time 14 and 15.
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forked(do: Any, said: Path) -> tuple[int, bool]:
    """Run a function in a process of its own; its status, and whether it had to be ended."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)  # panics of Rust print
        try:
            do()
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(3)
        os._exit(0)
    hung = False
    seen, since = -1, 0.0
    while True:
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            return status, hung
        size = said.stat().st_size
        if size != seen:
            seen, since = size, busy(child)
        elif busy(child) - since > STUCK:
            os.kill(child, signal.SIGKILL)
            hung = True
        time.sleep(0.05)


def fuzz(parser: Parser, folder: Path, first: int, count: int) -> tuple[int, Finds]:
    """Try inputs of one parser; how many there were, and each kind of find with its numbers."""
    finds: Finds = {}
    done, at = 0, first
    said = folder / "said.jsonl"
    while at < first + count:
        said.write_bytes(b"")
        status, hung = forked(lambda at=at: work(parser, folder, at, first + count, said), said)
        lines = [json.loads(line) for line in said.read_text().splitlines()]
        numbers = [line["at"] for line in lines if "at" in line]
        for line in lines:
            if "found" in line:
                finds.setdefault(line["found"], []).append(line["number"])
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 3:
            finds["the whole file cannot be made or read"] = [0]
            break
        if not numbers:
            break
        done += len(numbers)
        at = numbers[-1] + 1
        if os.WIFSIGNALED(status):
            what = "no end" if hung else f"killed by signal {os.WTERMSIG(status)}"
            finds.setdefault(what, []).append(numbers[-1])
        else:
            break
    return done, finds


def lines_of(code: CodeType) -> set[int]:
    """Lines of a function, without its head and the functions inside of it."""
    return {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}


def cover(parser: Parser, folder: Path, first: int, count: int, said: Path) -> None:
    """Count the lines reached; written as JSON: inputs, lines, by the whole file, with edits."""
    reached: dict[CodeType, set[int]] = defaultdict(set)

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        # Only functions: what runs once, at an import, is no reading.
        if not code.co_filename.startswith(OWN) or code.co_name == "<module>":
            return None
        lines = reached[code]

        def line(frame: FrameType, event: str, _: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line

    whole = prepare(parser, folder)
    path = folder / "files" / parser.file
    path.write_bytes(whole)
    sys.settrace(enter)
    parser.read(path)
    sys.settrace(None)
    alone = {code: set(lines) for code, lines in reached.items()}
    for number in range(first, first + count):
        content = mutate(whole, drawn(number))
        sys.settrace(enter)
        attempt(parser, path, content)
        sys.settrace(None)
        with open(said, "a", encoding="utf-8") as out:
            out.write("\n")
    all_lines = {code: lines_of(code) for code in reached}
    figures = [
        sum(map(len, all_lines.values())),
        sum(len(alone.get(code, set()) & lines) for code, lines in all_lines.items()),
        sum(len(reached[code] & lines) for code, lines in all_lines.items()),
    ]
    (folder / "covered.json").write_text(json.dumps(figures))


def coverage(parsers: list[Parser], scratch: Path, first: int, count: int) -> None:
    """Print how much of the readers is reached."""
    print("| parser | inputs | lines | by the whole file | with edits |\n|---|---:|---:|---:|---:|")
    for number, parser in enumerate(parsers):
        folder = scratch / f"{number}"
        folder.mkdir()
        said = folder / "said.jsonl"
        said.touch()
        forked(lambda p=parser, f=folder, s=said: cover(p, f, first, count, s), said)
        if not (folder / "covered.json").is_file():
            print(f"| {parser.name} | died | | | |", flush=True)
            continue
        lines, alone, reached = json.loads((folder / "covered.json").read_text())
        shares = f"{alone / lines:.0%} | {reached / lines:.0%}"
        print(f"| {parser.name} | {count:,} | {lines:,} | {shares} |", flush=True)


def campaign(
    parsers: list[Parser], scratch: Path, first: int, count: int, until: float, kept: Path | None
) -> dict[str, dict[str, Any]]:
    """Let parsers take turns until each has had its inputs, or the time is over."""
    tally: dict[str, dict[str, Any]] = {}
    if kept is not None and kept.is_file():
        tally = json.loads(kept.read_text())
    for number, parser in enumerate(parsers):
        tally.setdefault(parser.name, {"from": first, "inputs": 0, "finds": {}})
        (scratch / f"{number}").mkdir()
    waiting = dict(enumerate(parsers))
    while waiting and time.monotonic() < until:
        for number, parser in list(waiting.items()):
            if time.monotonic() > until:
                break
            mine = tally[parser.name]
            turn = min(TURN, count - mine["inputs"])
            at = mine["from"] + mine["inputs"]
            done, finds = fuzz(parser, scratch / f"{number}", at, turn) if turn > 0 else (0, {})
            mine["inputs"] += done
            for what, numbers in finds.items():
                mine["finds"].setdefault(what, []).extend(numbers)
            if done < turn or mine["inputs"] >= count:
                del waiting[number]
            if kept is not None:
                half = kept.with_suffix(".half")
                half.write_text(json.dumps(tally, indent=1) + "\n")
                half.replace(kept)
    return tally


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--inputs", type=int, default=1000, help="a parser")
    asked.add_argument("--from", type=int, default=0, dest="first", help="number of the first")
    asked.add_argument("--seconds", type=float, default=600, help="at most, all together")
    asked.add_argument("--only", default="", help="parsers whose name holds this")
    asked.add_argument("--keep", type=Path, help="file of the counts; goes on from what it says")
    asked.add_argument("--coverage", action="store_true", help="lines reached, instead of finds")
    given = asked.parse_args()
    for module in HEAVY:
        import_module(module)
    parsers = [parser for parser in PARSERS if given.only in parser.name]
    scratch = Path(tempfile.mkdtemp(prefix="epilm-fuzz-", dir=SCRATCH))
    try:
        if given.coverage:
            coverage(parsers, scratch, given.first, given.inputs)
            return
        until = time.monotonic() + given.seconds
        tally = campaign(parsers, scratch, given.first, given.inputs, until, given.keep)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print("| parser | inputs | finds |\n|---|---:|---|")
    for parser in parsers:
        mine = tally[parser.name]
        told = "; ".join(f"{what} ({len(n)}: {n[0]})" for what, n in mine["finds"].items()) or "0"
        print(f"| {parser.name} | {mine['inputs']:,} | {told} |")
    print(f"| all | {sum(tally[parser.name]['inputs'] for parser in parsers):,} | |")


if __name__ == "__main__":
    main()

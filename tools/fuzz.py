"""Edit whole files at random and read them: python tools/fuzz.py [--inputs N] [--only NAME].

Every input has a number: the edits are a function of it, so that a find can be made again
(--only NAME --from NUMBER --inputs 1). A parser runs in a process of its own with 4 GB of memory,
and an input has 10 seconds; a crash, a time-out and any error that is not of epilm is a find.
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
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from epilm.errors import EpilmError  # noqa: E402
from fuzz.parsers import PARSERS, Parser, drawn, mutate  # noqa: E402

MEMORY = 4 << 30
SECONDS = 10
# Of what each find says, while a child hears nothing of what libraries print.
ERRORS = os.fdopen(os.dup(2), "w", buffering=1)
Finds = dict[str, list[int]]
# Imported before processes part: each would do it again.
HEAVY = (
    *("torch", "anndata", "h5py", "pandas", "scipy.io"),
    *("pysam", "rdata", "cooler", "numba", "yaml"),
)


class TooLong(BaseException):
    """An input took too long."""


def attempt(parser: Parser, path: Path, content: bytes) -> str | None:
    """Read edited bytes; what got out, or None where they were read or refused."""
    path.write_bytes(content)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
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
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def work(parser: Parser, folder: Path, first: int, last: int, said: Path, until: float) -> None:
    """Try inputs in this process; each begins with a line of its number."""

    def late(*_: Any) -> None:
        raise TooLong(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path = folder / parser.file
    whole = path.read_bytes()
    parser.read(path)  # imports what it needs; a whole file that cannot be read shows nothing
    with open(said, "a", encoding="utf-8") as out:
        for number in range(first, last):
            out.write(json.dumps({"at": number}) + "\n")
            out.flush()
            if (got := attempt(parser, path, mutate(whole, drawn(number)))) is not None:
                out.write(json.dumps({"number": number, "found": got}) + "\n")
            if time.monotonic() > until:
                break


def fuzz(parser: Parser, first: int, count: int, seconds: float) -> tuple[int, Finds]:
    """Try inputs of one parser; how many there were, and each kind of find with its numbers."""
    finds: Finds = {}
    done, at, until = 0, first, time.monotonic() + seconds
    while at < first + count and time.monotonic() < until:
        folder = Path(tempfile.mkdtemp(prefix="epilm-fuzz-"))
        said = folder / "said.jsonl"
        said.touch()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)  # panics of Rust print
            try:
                (folder / "files").mkdir()
                parser.make(folder / "files")
                work(parser, folder / "files", at, first + count, said, until)
            except BaseException:
                traceback.print_exc(file=sys.stdout)
                os._exit(3)
            os._exit(0)
        hung = False
        seen, since = -1, time.monotonic()
        while True:
            gone, status = os.waitpid(child, os.WNOHANG)
            if gone:
                break
            size = said.stat().st_size
            if size != seen:
                seen, since = size, time.monotonic()
            elif time.monotonic() - since > 6 * SECONDS:  # in C, where no alarm is heard
                os.kill(child, signal.SIGKILL)
                hung = True
            time.sleep(0.05)
        lines = [json.loads(line) for line in said.read_text().splitlines()]
        numbers = [line["at"] for line in lines if "at" in line]
        for line in lines:
            if "found" in line:
                finds.setdefault(line["found"], []).append(line["number"])
        shutil.rmtree(folder, ignore_errors=True)
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


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--inputs", type=int, default=1000, help="a parser")
    asked.add_argument("--from", type=int, default=0, dest="first", help="number of the first")
    asked.add_argument("--seconds", type=float, default=600, help="at most, a parser")
    asked.add_argument("--only", default="", help="parsers whose name holds this")
    given = asked.parse_args()
    for module in HEAVY:
        import_module(module)
    print("| parser | inputs | finds |\n|---|---:|---|")
    total = 0
    for parser in PARSERS:
        if given.only not in parser.name:
            continue
        done, finds = fuzz(parser, given.first, given.inputs, given.seconds)
        total += done
        told = "; ".join(f"{what} ({len(n)}: {n[0]})" for what, n in finds.items()) or "0"
        print(f"| {parser.name} | {done:,} | {told} |", flush=True)
    print(f"| all | {total:,} | |")


if __name__ == "__main__":
    main()

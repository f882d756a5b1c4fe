"""Two sides of one comparison in one process: interleaved rounds, the minimum of each, the answer
checked.

The rules are those of the table of goals: both sides in the same process, rounds interleaved (ours,
peer, peer, ours, ...) so that a noisy neighbour hits both, the minimum of at least 7 rounds, the
same threads on both sides, and correctness checked in the same script, on the very results that
were timed. Standard library only, so that every row's script can use it.

Usage::

    row = compare(
        "row 4: hits",
        ours,
        peer,
        check=check,
        goal=3,
        stretch=10,
        peer_name="MOODS-python",
        setup_note="2 Mb of hg19 chr20, 579 motifs, 1 thread",
    )
    write_row(row, "benchmarks/results/row04.json")

`check(ours_result, peer_result)` raises AssertionError when the two disagree; a string it returns
is kept in the row (say what was compared and how many). A ratio is peer time / ours, larger is
better; with ``better="lower"`` it is ours / peer and must stay below the goal (row 14).
"""

import datetime
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).parent / "results"

_PACKAGES = [
    "numpy",
    "numba",
    "torch",
    "transformers",
    "tokenizers",
    "biopython",
    "MOODS-python",
    "lightmotif",
    "memelite",
    "genvarloader",
    "pyBigWig",
    "pybigtools",
    "pysam",
    "scikit-learn",
]


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system: what a figure was measured on, without the host's name."""
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    try:
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (OSError, ValueError):
        memory = 0.0
    return {
        "cpu": cpu,
        "cores": (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "simd": [
            name for name in ("avx2", "avx512bw", "avx512_bf16", "amx_bf16") if f" {name} " in flags
        ],
        "memory_gb": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str]:
    """Versions of Python and of every package a row may use, as installed."""
    out = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def _timed(call: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    gc.collect()
    gc.disable()
    try:
        start = clock()
        result = call()
        return clock() - start, result
    finally:
        gc.enable()


def compare(
    name: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    check: Callable[[Any, Any], Any],
    rounds: int = 7,
    goal: float,
    stretch: float | None = None,
    peer_name: str,
    setup_note: str,
    better: Literal["higher", "lower"] = "higher",
    threads: int | None = None,
    quiet: bool = False,
    bound: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Time two callables against each other and check that they agree.

    Parameters
    ----------
    name : str
        The row of the table, e.g. "row 4: hits at p = 1e-4".
    ours, peer : callable
        Take nothing, return the result to check. Set-up stays outside of them.
    check : callable
        ``check(ours_result, peer_result)``: raises AssertionError when they disagree; may return a
        sentence.
    rounds : int
        Timed rounds of each side, at least 7, after one untimed warm-up whose results are checked.
    goal, stretch : float
        The ratio to reach.
    peer_name, setup_note : str
        Who the peer is, and what was run (sizes, threads).
    better : {"higher", "lower"}
        "higher": ratio = peer / ours. "lower": ratio = ours / peer, to stay below the goal.
    threads : int, optional
        The number both sides used, kept in the row.
    quiet : bool
        Print nothing.
    bound : str, optional
        What a profile shows to take the time, e.g. "matrix products 71 % of the step, the same on
        both sides": kept in the row, and printed in the table where the row is below its goal or
        its stretch.
    clock : callable
        `time.process_time` where both sides are one thread and wait for nothing: on a busy machine
        it does not count the time that others have. Say so in `setup_note`.

    Returns
    -------
    dict
        The row: times in seconds, ratio, verdicts, machine, versions, UTC date.
    """
    if rounds < 7:
        raise ValueError(f"at least 7 rounds, not {rounds}")
    result_ours, result_peer = ours(), peer()
    checked = check(result_ours, result_peer)
    del result_ours, result_peer
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    sides: dict[str, Callable[[], Any]] = {"ours": ours, "peer": peer}
    last: dict[str, Any] = {}
    for index in range(rounds):
        for side in ("ours", "peer") if index % 2 == 0 else ("peer", "ours"):
            last.pop(side, None)
            seconds, last[side] = _timed(sides[side], clock)
            times[side].append(seconds)
    again = check(last["ours"], last["peer"])  # the timed results, not only the warm-up's
    best = {side: min(values) for side, values in times.items()}
    ratio = best["peer"] / best["ours"] if better == "higher" else best["ours"] / best["peer"]

    def reached(aim: float | None) -> bool | None:
        if aim is None:
            return None
        return ratio >= aim if better == "higher" else ratio <= aim

    row = {
        "name": name,
        "peer": peer_name,
        "setup": setup_note,
        "ratio": round(ratio, 3),
        "better": better,
        "goal": goal,
        "stretch": stretch,
        "goal_reached": reached(goal),
        "stretch_reached": reached(stretch),
        "ours_s": best["ours"],
        "peer_s": best["peer"],
        "ours_median_s": statistics.median(times["ours"]),
        "peer_median_s": statistics.median(times["peer"]),
        "rounds": rounds,
        "threads": threads,
        "checked": again or checked or "results agree",
        "bound": bound,
        "machine": machine(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "command": f"python benchmarks/{Path(sys.argv[0]).name}",
    }
    if not quiet:
        verdict = (
            "stretch"
            if row["stretch_reached"]
            else "goal"
            if row["goal_reached"]
            else "below the goal"
        )
        print(
            f"{name}: {ratio:.2f}x against {peer_name} ({verdict}; goal {goal:g}x"
            + (f", stretch {stretch:g}x" if stretch is not None else "")
            + f") ours {best['ours'] * 1e3:.2f} ms, peer {best['peer'] * 1e3:.2f} ms. "
            f"Checked: {row['checked']}. {setup_note}"
            + (f" Bound by {bound}." if bound and not row["stretch_reached"] else "")
        )
    return row


def write_row(row: dict[str, Any], out: str | Path) -> Path:
    """Write one row as JSON, whole or not at all.

    Parameters
    ----------
    row : dict
        What `compare` returned.
    out : path
        A file, or a bare name put into ``benchmarks/results/``.
    """
    path = Path(out)
    if path.parent == Path("."):
        path = RESULTS / path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(row, indent=2) + "\n")
    os.replace(temporary, path)
    os.chmod(path, 0o644)
    return path

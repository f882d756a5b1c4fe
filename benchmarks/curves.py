# ruff: noqa: E402 (threads are set before anything that reads them)
"""Cost curves: time and memory against genome size, regions, motifs, cell types, window length and
model size.

Each point runs in a process of its own (forked where the system can): its files are made before, in
another one. Time is the smallest of a few rounds. Memory is the highest anonymous memory of the
process (its arrays; not the pages of mapped files) above what it held after its imports: a model,
its optimiser and what the work keeps. Exponents are the slopes of least squares on logarithms, with
their standard error; the slope between the last two points says where it is going; a line `fixed +
slope x` through all points, relative errors, says how much of the smallest point does not grow.
What is varied and why it should cost what it does: `curve_points.py`.

    python benchmarks/curves.py [--only build_genome step_window] [--threads 1] [--quick] [--seconds
    1.5]

Writes results/curves.json, results/curves.md and docs/pictures/cost_curves.svg (`--quick` only
prints).
"""

import argparse
import contextlib
import ctypes
import datetime
import io
import math
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from curve_points import CURVES, Curve, building, ebert, in_blocks, write_raw
from harness import RESULTS, machine, versions, write_row
from training_step import invented_store

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "cost_curves.svg"
SMALLEST_MB = 2.0  # memory below this is not told from the allocator's own
BAND = 0.15  # an exponent so near the expected one is called as expected
ROUNDS = (2, 40)


# ---- fitting


class Fit(NamedTuple):
    """A power law through points.

    Attributes
    ----------
    exponent, error : float
        Slope on logarithms, and its standard error (0 where two points leave none).
    last : float
        Slope between the two largest points.
    fixed : float
        Share of the smallest point that does not grow, from a line through all points (0 to 1).
    """

    exponent: float
    error: float
    last: float
    fixed: float


def fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Fit y = c x^exponent.

    Parameters
    ----------
    x, y : sequences of float > 0
        At least two points, in rising x.

    Raises
    ------
    ValueError
        If there are fewer than two points, one is not positive, or x does not rise.

    Examples
    --------
    >>> fit([1, 2, 4, 8], [3, 12, 48, 192])
    Fit(exponent=2.0, error=0.0, last=2.0, fixed=0.0)
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if len(xs) < 2 or len(xs) != len(ys):
        raise ValueError(f"at least two points, as many x as y, not {len(xs)} and {len(ys)}")
    if min(xs.min(), ys.min()) <= 0 or (np.diff(xs) <= 0).any():
        raise ValueError("points of a power law are positive and rise in x")
    a, b = np.log(xs), np.log(ys)
    spread = ((a - a.mean()) ** 2).sum()
    slope = float(((a - a.mean()) * (b - b.mean())).sum() / spread)
    left = b - b.mean() - slope * (a - a.mean())
    error = math.sqrt(float((left**2).sum()) / (len(xs) - 2) / spread) if len(xs) > 2 else 0.0
    last = float((b[-1] - b[-2]) / (a[-1] - a[-2]))
    return Fit(round(slope, 4), round(error, 4), round(last, 4), round(_fixed(xs, ys), 4))


def _fixed(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the smallest point that a line with relative errors leaves at x = 0."""
    design = np.stack([1 / y, x / y], axis=1)
    (base, slope), *_ = np.linalg.lstsq(design, np.ones(len(x)), rcond=None)
    if slope <= 0:
        return 1.0
    return float(np.clip(base / (base + slope * x[0]), 0.0, 1.0))


def verdict(found: Fit, expected: float | None) -> str:
    """Say how an exponent stands to the expected one.

    Examples
    --------
    >>> verdict(Fit(0.97, 0.02, 0.99, 0.05), 1.0)
    'as expected'
    >>> verdict(Fit(0.6, 0.1, 0.93, 0.7), 1.0)
    'below 1: 70% of the smallest point is fixed, 0.93 at the end'
    >>> verdict(Fit(1.4, 0.1, 1.6, 0.0), 1.0)
    'above 1'
    >>> verdict(Fit(1.4, 0.1, 1.6, 0.0), None)
    ''
    """
    if expected is None:
        return ""
    if abs(found.exponent - expected) <= max(BAND, 2 * found.error):
        return "as expected"
    if found.exponent > expected:
        return f"above {expected:g}"
    if found.fixed > 0.1:
        return (
            f"below {expected:g}: {found.fixed:.0%} of the smallest point is fixed,"
            f" {found.last:.2f} at the end"
        )
    return f"below {expected:g}"


# ---- measuring


def measure(curve: Curve, x: int, seconds: float, threads: int) -> dict[str, float]:
    """Measure one point: files in one process, the work in another."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _in_child(_prepare, curve.key, x, folder)
        return _in_child(_work, curve.key, x, folder, seconds, threads)


def _by_key(key: str) -> Curve:
    return next(curve for curve in CURVES if curve.key == key)


def _in_child(target: Callable[..., None], *words: Any) -> dict[str, float]:
    """Run a function in a process of its own and follow its memory until it says that it is
    done.
    """
    ways = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    mine, its = ways.Pipe()
    process = ways.Process(target=target, args=(its, *words))
    process.start()
    its.close()
    base = peak = 0.0
    said: dict[str, Any] = {}
    try:
        while not said:
            if mine.poll(0.004):
                message = mine.recv()  # EOFError: it died
                if message == "begins":
                    base = peak = anonymous_mb(process.pid)
                    mine.send("go")
                else:
                    said = message
            peak = max(peak, anonymous_mb(process.pid))
    except EOFError:
        said = {"error": "the process ended without a word"}
    process.join()
    if "error" in said:
        raise RuntimeError(said["error"])
    return {**said, "memory_mb": said.get("memory_mb", peak - base)}


def anonymous_mb(pid: int | None = None) -> float:
    """Memory of a process that belongs to no file, in MB; 0 where the system does not say."""
    try:
        for line in Path(f"/proc/{pid or 'self'}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def _prepare(pipe: Any, key: str, x: int, folder: Path) -> None:
    _answering(pipe, lambda: _by_key(key).prepare(x, folder) and None)


def _work(pipe: Any, key: str, x: int, folder: Path, seconds: float, threads: int) -> None:
    def run() -> dict[str, float]:
        import torch

        torch.set_num_threads(threads)
        warm()
        _give_back()
        pipe.send("begins")
        pipe.recv()
        call = _by_key(key).start(x, folder)
        return timed(call, seconds)

    _answering(pipe, run)


def timed(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Run a call until `seconds` are over, 2 to 40 times, after one that does not count where it is
    short.
    """
    begin, used = time.perf_counter(), time.process_time()
    call()
    first, of_it = time.perf_counter() - begin, time.process_time() - used
    clock, cpu = ([], []) if first < seconds else ([first], [of_it])
    while len(clock) < ROUNDS[0] or (sum(clock) < seconds and len(clock) < ROUNDS[1]):
        start, used = time.perf_counter(), time.process_time()
        call()
        clock.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return {"seconds": min(clock), "cpu_seconds": min(cpu), "rounds": len(clock)}


def _answering(pipe: Any, run: Callable[[], dict[str, float] | None]) -> None:
    try:
        pipe.send(run() or {"done": 1})
    except BaseException as error:
        pipe.send({"error": f"{type(error).__name__}: {error}"})


@cache
def warm() -> None:
    """Import what any point needs and build a tiny store: imports and compiled loops are nobody's
    memory or time.

    No backward pass here: threads of torch do not survive a fork.
    """
    import torch._dynamo  # noqa: F401

    import epilm.pretraining.pretrain  # noqa: F401

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_raw(folder, genome_bp=40_000, regions=40, cells=2, motifs=4)
        building(folder, True)()
        invented_store(folder / "store", genome_bp=40_000)
        ebert(folder, "tiny", 120, 4).batch()


def _give_back() -> None:
    """Hand freed memory back to the system, where the C library can."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


# ---- all of it


def run_curve(
    curve: Curve, *, quick: bool, seconds: float, threads: int, clock: str
) -> dict[str, Any]:
    """Measure all points of a curve, and fit them."""
    values = curve.quick if quick else curve.values
    points = []
    for x in values:
        point = measure(curve, x, seconds, threads)
        at = in_blocks(x) / 1e6 if curve.key == "step_size" else float(x)
        points.append({"x": at, **point})
        print(
            f"  {curve.title} {at:g} {curve.axis}: {point[clock] * 1e3:.1f} ms,"
            f" {point['memory_mb']:.1f} MB",
            flush=True,
        )
    return with_fits(curve, points, clock)


def with_fits(
    curve: Curve, points: list[dict[str, float]], clock: str = "seconds"
) -> dict[str, Any]:
    """Add the exponents to the points of a curve; no exponent where memory is too small to be
    told.
    """
    xs = [point["x"] for point in points]
    time_fit = fit(xs, [point[clock] for point in points])
    held = [point["memory_mb"] for point in points]
    memory_fit = fit(xs, held) if min(held) >= SMALLEST_MB else None
    return {
        "key": curve.key,
        "title": curve.title,
        "axis": curve.axis,
        "setup": curve.setup,
        "why": curve.why,
        "points": points,
        "clock": clock,
        "expected": curve.expected,
        "time": time_fit._asdict(),
        "memory": None if memory_fit is None else memory_fit._asdict(),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Render the curves as Markdown, a line each, then the reasons."""
    lines = [
        "| curve | points | time | exponent | memory | exponent |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        first, last = row["points"][0], row["points"][-1]
        fits = [None if row[key] is None else Fit(**row[key]) for key in ("time", "memory")]
        times, memory = (
            _exponent(found, expected)
            for found, expected in zip(fits, row["expected"], strict=True)
        )
        lines.append(
            f"| {row['title']} | {len(row['points'])}, {first['x']:g} to {last['x']:g}"
            f" {row['axis']} | {_time(first[row['clock']])} to {_time(last[row['clock']])} |"
            f" {times} | {_memory(first['memory_mb'])} to {_memory(last['memory_mb'])} | {memory} |"
        )
    lines += ["", *(f"- **{row['title']}** ({row['setup']}): {row['why']}." for row in rows)]
    return "\n".join(lines)


def _exponent(found: Fit | None, expected: float | None) -> str:
    if found is None:
        return f"(under {SMALLEST_MB:g} MB at the smallest)"
    said = verdict(found, expected)
    return (
        f"**{found.exponent:.2f}** ±"
        f" {found.error:.2f}{f' ({said})' if said else f' ({found.last:.2f} at the end)'}"
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _memory(mb: float) -> str:
    return (
        f"under {SMALLEST_MB:g} MB"
        if mb < SMALLEST_MB
        else f"{mb:.0f} MB"
        if mb < 1000
        else f"{mb / 1000:.2f} GB"
    )


def draw(rows: Sequence[dict[str, Any]], path: Path) -> int:
    """Draw all curves in one picture; bytes written."""
    import matplotlib
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    from epilm.plots.style import CHANCE, COLOURS, figure

    columns = min(len(rows), 4)
    lines = -(-len(rows) // columns)
    with figure(width=2.5 * columns, height=2.4 * lines) as (fig, _):
        fig.clear()
        for number, row in enumerate(rows):
            ax = fig.add_subplot(lines, columns, number + 1)
            xs = [point["x"] for point in row["points"]]
            ax.plot(xs, [x / xs[0] for x in xs], color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.0)
            for key, value, colour in (
                ("time", row["clock"], COLOURS[0]),
                ("memory", "memory_mb", COLOURS[1]),
            ):
                if row[key] is None:
                    continue
                ys = [point[value] / row["points"][0][value] for point in row["points"]]
                label = f"{key}, {row[key]['exponent']:.2f}"
                ax.plot(
                    xs, ys, color=colour, marker="o", markersize=3.0, linewidth=1.4, label=label
                )
            ax.set(xscale="log", yscale="log", title=row["title"], xlabel=row["axis"])
            ax.title.set_fontsize(8.5)
            ax.set_xticks(xs, [f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in xs])
            ax.set_ylim(min(ax.get_ylim()[0], 0.6), max(ax.get_ylim()[1], 4.0))
            ax.yaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
            ax.yaxis.set_major_formatter("{x:g}x")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_minor_locator(NullLocator())
                axis.set_minor_formatter(NullFormatter())
            ax.legend(loc="upper left")
        text = io.StringIO()
        with matplotlib.rc_context(
            {"svg.fonttype": "none", "font.sans-serif": ["Arial", "DejaVu Sans"]}
        ):
            fig.savefig(text, format="svg", metadata={"Date": None, "Creator": "epilm"})
    # Half of the bytes are turns by nothing, indentation, and digits nobody sees.
    short = re.sub(r' transform="rotate\(-0 [^"]*"', "", text.getvalue())
    short = re.sub(r"(\d+\.\d\d)\d+", r"\1", re.sub(r"\n +", "\n", short))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(short, encoding="utf-8")
    return path.stat().st_size


def main() -> int:
    """Measure the curves asked for, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [curve.key for curve in CURVES]
    parser.add_argument(
        "--only", nargs="*", default=known, choices=known, metavar="CURVE", help=", ".join(known)
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny points, nothing written unless --out"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="fit the processor's time: for a busy machine, one thread",
    )
    parser.add_argument("--seconds", type=float, help="of rounds a point; 1.5, 0.1 with --quick")
    parser.add_argument(
        "--out", type=Path, help="folder for the table, JSON and picture instead of their places"
    )
    given = parser.parse_args()
    seconds = given.seconds if given.seconds is not None else 0.1 if given.quick else 1.5
    clock = "cpu_seconds" if given.cpu_time else "seconds"
    begin = time.perf_counter()
    warm()  # before the fork: once, not in every point
    rows = []
    for curve in CURVES:
        if curve.key not in given.only:
            continue
        start = time.perf_counter()
        print(f"{curve.title} ({curve.setup})", flush=True)
        rows.append(
            run_curve(curve, quick=given.quick, seconds=seconds, threads=given.threads, clock=clock)
        )
        found = Fit(**rows[-1]["time"])
        print(
            f"  time x^{found.exponent:.2f} +- {found.error:.2f}; {time.perf_counter() - start:.0f}"
            f" s, {time.perf_counter() - begin:.0f} s in all",
            flush=True,
        )
    text = table(rows)
    print(text)
    if given.quick and given.out is None:
        return 0
    result = {
        "name": "cost curves",
        "curves": rows,
        "clock": clock,
        "threads": given.threads,
        "seconds": time.perf_counter() - begin,
        "machine": machine(),
        "versions": versions(),
        "command": "python benchmarks/curves.py",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
    }
    folder = given.out or RESULTS
    write_row(result, folder / "curves.json")
    (folder / "curves.md").write_text(text + "\n", encoding="utf-8")
    picture = given.out / "cost_curves.svg" if given.out else PICTURE
    print(
        f"{picture.name}: {draw(rows, picture) / 1000:.0f} KB; table and points in"
        f" {folder.name}/curves.md, curves.json"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks`: run every row this machine can, then write the table of docs/performance.md.

A row whose peer is not installed is skipped with the pip line; a row that fails
is said and leaves its former result alone. `--table` only writes the table again.

    python -m benchmarks                 # all rows
    python -m benchmarks 4 7 13          # some
    python -m benchmarks --table
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- rows: written by python -m benchmarks -->", "<!-- end of rows -->"


@dataclass(frozen=True)
class Row:
    """One script, the import its peer needs, and the package that brings it."""

    number: int
    script: str
    module: str
    package: str
    arguments: tuple[str, ...] = ()


ROWS = (
    Row(1, "row01_masked_sample.py", "pysam", "pysam"),
    Row(1, "row01_masked_sample.py", "pysam", "pysam", ("--plain",)),
    Row(2, "row02_kmer_ids.py", "tokenizers", "tokenizers"),
    Row(2, "row02_kmer_ids.py", "tokenizers", "tokenizers", ("--plain",)),
    Row(3, "row03_windows.py", "genvarloader", "genvarloader"),
    Row(4, "row04_hits_moods.py", "MOODS", "MOODS-python"),
    Row(5, "row05_hits_lightmotif.py", "lightmotif", "lightmotif"),
    Row(6, "row06_hits_memelite.py", "memelite", "memelite"),
    Row(7, "row07_factor_matrix.py", "lightmotif", "lightmotif"),
    Row(8, "row08_thresholds.py", "MOODS", "MOODS-python"),
    Row(13, "row13_region_tower.py", "transformers", "transformers", ("--threads", "1")),
    Row(14, "row14_contrastive.py", "torch", "torch", ("--threads", "1")),
    Row(15, "row15_track_windows.py", "pyBigWig", "pyBigWig"),
)


def run(row: Row) -> str | None:
    """Run one script; None when it worked, otherwise why not."""
    if importlib.util.find_spec(row.module) is None:
        return f"skipped: {row.package} is not installed (pip install -c constraints.txt '{row.package}')"
    words = [sys.executable, str(HERE / row.script), *row.arguments]
    done = subprocess.run(words, cwd=HERE, check=False)
    return None if done.returncode == 0 else f"failed with code {done.returncode}; the former result stays"


def table(results: list[dict[str, Any]]) -> str:
    """Render the rows as Markdown, with the machine and versions behind them.

    Examples
    --------
    >>> row = {"name": "row 2: ids", "peer": "tokenizers", "setup": "1 thread", "ratio": 12.0, "goal": 10,
    ...        "better": "higher", "stretch": None, "ours_s": 0.001, "peer_s": 0.012, "checked": "ids equal",
    ...        "date": "2026-01-01T00:00Z", "machine": {"cpu": "X", "cores": 2, "load_1min": 0.1}, "versions": {"python": "3.11"}}
    >>> print(table([row]).splitlines()[2])
    | 2: ids | tokenizers | 10x | - | **12.0x** | 1.00 / 12.00 ms | ids equal; 1 thread |
    """
    lines = [
        "| row | peer | goal | stretch | measured | ours / peer | checked in the same run; setup |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        sign = "" if row["better"] == "higher" else "at most "
        stretch = "-" if row["stretch"] is None else f"{sign}{row['stretch']:g}x"
        ratio = f"{row['ratio']:.1f}x" if row["ratio"] >= 10 else f"{row['ratio']:.2f}x"
        reached = row["ratio"] >= row["goal"] if row["better"] == "higher" else row["ratio"] <= row["goal"]
        lines.append(
            f"| {row['name'].removeprefix('row ')} | {row['peer']} | {sign}{row['goal']:g}x | {stretch} | "
            f"{'**' + ratio + '**' if reached else ratio + ' (below the goal)'} | "
            f"{row['ours_s'] * 1e3:.2f} / {row['peer_s'] * 1e3:.2f} ms | {row['checked']}; {row['setup']} |"
        )
    machines = {
        f"{row['machine']['cpu']}, {row['machine']['cores']} cores {' '.join(row['machine'].get('simd', []))}".strip()
        for row in results
    }
    versions = {f"{name} {number}" for row in results for name, number in row["versions"].items()}
    loads = [row["machine"]["load_1min"] for row in results if row["machine"].get("load_1min") is not None]
    dates = sorted(row["date"] for row in results)
    lines += [
        "",
        f"Machine: {'; '.join(sorted(machines))}. One-minute load while measuring: {min(loads):.1f} to {max(loads):.1f}. "
        f"Dates: {dates[0]} to {dates[-1]}. Versions: {', '.join(sorted(versions))}.",
    ]
    return "\n".join(lines)


def write_table() -> None:
    """Put the table of all stored results between the markers of the page."""
    files = sorted((HERE / "results").glob("row*.json"))
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{tail}", encoding="utf-8")
    print(f"{len(results)} rows in {PAGE.name}")


def main() -> int:
    """Run the rows asked for and write the table; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, help="numbers of rows; all by default")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    arguments = parser.parse_args()
    failed = False
    if not arguments.table:
        for row in ROWS:
            if arguments.rows and row.number not in arguments.rows:
                continue
            why = run(row)
            if why is not None:
                print(f"row {row.number} ({row.script}): {why}", file=sys.stderr)
                failed |= why.startswith("failed")
    write_table()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

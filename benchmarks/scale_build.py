"""How `epilm build` scales: time, memory and disk, measured, and stated for a whole human genome.

The playground at size large (100 Mb, about 200,000 regions) is built with JASPAR 2018 (579 motifs),
once without and once with motifs, so that both parts can be extrapolated by what they depend on:
reading by base pairs and peaks, scanning by base pairs of regions x motifs. Target: 1,000,029
regions (504.64 bp) x 17 cell types x 579 motifs over 3.1 Gb. Memory is that of the build's own
process: anonymous (its arrays) and all (with the pages of mapped files, which the system takes back
when it needs them).

`--whole` measures the target itself as well: hg19's chromosome lengths filled with random bases, 17
peak files of about 950,000 peaks each, all motifs (9 GB of scratch space, some minutes).

    python benchmarks/scale_build.py --work SCRATCH [--size large] [--threads 2] [--whole]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

TARGET = {
    "regions": 1_000_029,
    "region_bp": 504_657_456,
    "cells": 17,
    "motifs": 579,
    "genome_bp": 3_095_693_983,
}
# hg19, chr1..22, X, Y
HG19 = (
    249250621,
    243199373,
    198022430,
    191154276,
    180915260,
    171115067,
    159138663,
    146364022,
    141213431,
    135534747,
    135006516,
    133851895,
    115169878,
    107349540,
    102531392,
    90354753,
    81195210,
    78077248,
    59128983,
    63025520,
    48129895,
    51304566,
    155270560,
    59373566,
)


def watch(process: "subprocess.Popen[str]") -> dict[str, float]:
    """Follow a process's memory until it ends: peaks in GB."""
    peaks = {"RssAnon": 0.0, "VmRSS": 0.0}

    def follow() -> None:
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except OSError:
                return
            for line in lines:
                key = line.split(":")[0]
                if key in peaks:
                    peaks[key] = max(peaks[key], int(line.split()[1]) / 1e6)
            time.sleep(0.05)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    process.wait()
    thread.join()
    return peaks


def measure(words: list[str]) -> dict[str, Any]:
    """Run one `epilm build` and say what it took."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "epilm", *words, "--quiet", "--json", "--overwrite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    text: list[str] = []
    assert process.stdout is not None
    said = process.stdout
    reader = threading.Thread(target=lambda: text.append(said.read()), daemon=True)
    reader.start()
    peaks = watch(process)
    reader.join()
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(process.stderr.read() if process.stderr else "the build failed")
    about = json.loads(text[0])
    return {
        "seconds": seconds,
        "anonymous_gb": peaks["RssAnon"],
        "resident_gb": peaks["VmRSS"],
        "disk_gb": about["bytes"] / 1e9,
        "about": about,
    }


def write_whole(folder: Path) -> None:
    """Random bases of hg19's lengths, and 17 peak files over one set of regions of the paper's
    number and width.
    """
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)
    folder.mkdir(parents=True)
    names = [f"chr{c}" for c in (*range(1, 23), "X", "Y")]
    with open(folder / "genome.fa", "wb") as handle:
        for name, length in zip(names, HG19, strict=True):
            handle.write(f">{name}\n".encode())
            for a in range(0, length, 50_000_000):
                n = min(50_000_000, length - a)
                handle.write(letters[rng.integers(0, 4, n, dtype=np.uint8)].tobytes() + b"\n")
    total, rows = sum(HG19), []
    for name, length in zip(names, HG19, strict=True):
        n = round(TARGET["regions"] * length / total)
        step = length // (n + 1)
        start = np.arange(n) * step + rng.integers(0, max(step - 1200, 1), n)
        width = np.clip(rng.normal(504.64, 150, n).astype(np.int64), 150, 1100)
        rows += [
            f"{name}\t{s}\t{s + w}\n" for s, w in zip(start.tolist(), width.tolist(), strict=True)
        ]
    (folder / "peaks").mkdir()
    for cell in range(TARGET["cells"]):
        held = np.flatnonzero(rng.random(len(rows)) < 0.95).tolist()
        (folder / "peaks" / f"type{cell}.bed").write_text("".join([rows[i] for i in held]))


def report(
    start: float,
    plain: dict[str, Any],
    full: dict[str, Any],
    whole: dict[str, Any] | None,
    threads: int,
) -> dict[str, Any]:
    """Put the measurements beside what they mean at the target size."""
    about = full["about"]
    here = {
        "genome_bp": about["genome_bp"],
        "regions": about["regions"],
        "region_bp": about["regions_bp"],
        "cells": len(about["cell_types"]),
        "motifs": about["factors"]["number"],
    }
    scan = full["seconds"] - plain["seconds"]
    work = here["region_bp"] * here["motifs"]
    scan_target = scan * TARGET["region_bp"] * TARGET["motifs"] / work
    by_size = TARGET["genome_bp"] / here["genome_bp"]
    by_peaks = TARGET["regions"] * TARGET["cells"] / max(here["regions"] * here["cells"], 1)
    read_target = start + (plain["seconds"] - start) * max(by_size, by_peaks)
    disk_target = (
        TARGET["genome_bp"]
        + TARGET["regions"] * (18 + 28 + -(-TARGET["cells"] // 8))
        + TARGET["regions"] * TARGET["motifs"] * 2
    ) / 1e9
    return {
        "measured_on": here,
        "threads": threads,
        "start_up_seconds": start,
        "without_motifs": {k: v for k, v in plain.items() if k != "about"},
        "with_motifs": {k: v for k, v in full.items() if k != "about"},
        "scan_bp_motifs_per_s": work / scan,
        "target": TARGET,
        "extrapolated": {
            "reading_minutes": read_target / 60,
            "reading_grows_by": max(by_size, by_peaks),
            "scan_minutes": scan_target / 60,
            "total_minutes": (read_target + scan_target) / 60,
            "disk_gb": disk_target,
        },
        "target_measured": (
            None if whole is None else {k: v for k, v in whole.items() if k != "about"}
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--work", type=Path, required=True, help="scratch folder (kept; reused when it is there)"
    )
    parser.add_argument("--size", default="large", choices=("tiny", "small", "large"))
    parser.add_argument("--motifs", default="jaspar:2018", help="motif file or release")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--whole", action="store_true", help="measure reading at the size of a human genome too"
    )
    arguments = parser.parse_args()
    raw = arguments.work / f"raw_{arguments.size}"
    if not raw.is_dir():
        subprocess.run(
            [sys.executable, "-m", "epilm", "simulate", str(raw), "--size", arguments.size],
            check=True,
        )
    store = arguments.work / "scale.store"
    words = [
        "build",
        "--genome",
        str(raw / "genome.fa"),
        "--peaks",
        str(raw / "peaks"),
        "--out",
        str(store),
    ]
    words += ["--threads", str(arguments.threads)]
    tiny = arguments.work / "raw_tiny"
    if not tiny.is_dir():
        subprocess.run(
            [sys.executable, "-m", "epilm", "simulate", str(tiny), "--size", "tiny"], check=True
        )
    start_up = [
        "build",
        "--genome",
        str(tiny / "genome.fa"),
        "--peaks",
        str(tiny / "peaks"),
        "--out",
        str(store),
    ]
    start = measure(start_up)["seconds"]  # imports, mostly: it does not grow
    plain = measure(words)
    full = measure([*words, "--motifs", arguments.motifs])
    whole = None
    if arguments.whole:
        big = arguments.work / "raw_whole"
        if not big.is_dir():
            write_whole(big)
        words = [
            "build",
            "--genome",
            str(big / "genome.fa"),
            "--peaks",
            str(big / "peaks"),
            "--out",
            str(store),
        ]
        whole = measure([*words, "--threads", str(arguments.threads), "--motifs", arguments.motifs])
    shutil.rmtree(store)
    from harness import machine, versions

    row = {
        **report(start, plain, full, whole, arguments.threads),
        "machine": machine(),
        "versions": versions(),
    }
    print(json.dumps({k: v for k, v in row.items() if k not in ("versions",)}, indent=2))
    out = Path(__file__).parent / "results" / "scale_build.json"
    out.parent.mkdir(exist_ok=True)
    if arguments.size == "large":
        out.write_text(json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
    main()

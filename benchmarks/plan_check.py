"""Does `epilm plan` tell the truth? Predicted against measured time and memory, a few real steps of
each size.

Each case is planned by `epilm plan` and then run by `epilm pretrain` in a process of its own: the
time is the smallest step after the first two, the memory the highest of the whole process, its
checkpoint included. Plan and run follow each other, so that both meet the same machine; the
smallest of several rounds counts on both sides. Goals: time within 15 %, memory within 10 %.

    python benchmarks/plan_check.py [--rounds 2] [--store play.store] [--quick] [--seconds 10]
    python benchmarks/plan_check.py --only "EBERT tiny" --rounds 4 --add

On a machine whose speed moves, two rounds may meet it in two states: `--add` puts more rounds
beside the stored ones.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import machine, versions, write_row

TIME, MEMORY = 0.15, 0.10
GENEBERT_BASE = (
    "model.max_tokens=66",
    "train.micro_batch=2",
    "train.batch_size=4",
    "objectives.matching.batch=4",
)
EBERT_BASE = ("samples.holdout_chroms=[]",)
# name, recipe, size, keys, steps
CASES: tuple[tuple[str, str, str, tuple[str, ...], int], ...] = (
    ("GeneBERT tiny", "genebert_native", "tiny", (), 12),
    ("EBERT tiny", "ebert_base", "tiny", (), 12),
    ("GeneBERT small", "genebert_native", "small", (), 6),
    ("EBERT small", "ebert_base", "small", (), 8),
    ("GeneBERT base, micro-batch 2", "genebert_native", "base", GENEBERT_BASE, 4),
    (
        "EBERT base, micro-batch 8",
        "ebert_base",
        "base",
        (*EBERT_BASE, "train.micro_batch=8", "train.batch_size=16"),
        4,
    ),
    (
        "EBERT base, micro-batch 32, from smaller ones",
        "ebert_base",
        "base",
        (*EBERT_BASE, "train.micro_batch=32", "train.batch_size=32"),
        4,
    ),
)
STORED = Path(__file__).parent / "results" / "plan_check.json"
EPILM = (sys.executable, "-m", "epilm")


def main() -> int:
    """Run the cases; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--store", type=Path, help="with regions, motifs and states; simulated where not given"
    )
    parser.add_argument("--quick", action="store_true", help="tiny only, one round")
    parser.add_argument("--seconds", type=float, default=10, help="of calibration")
    parser.add_argument(
        "--only", default="", help="cases whose name has these words; the file of results stays"
    )
    parser.add_argument(
        "--add", action="store_true", help="add the rounds of these cases to the stored ones"
    )
    given = parser.parse_args()
    stored = (
        {row["case"]: row for row in json.loads(STORED.read_text())["rows"]} if given.add else {}
    )
    cases = [case for case in (CASES[:2] if given.quick else CASES) if given.only in case[0]]
    rounds = 1 if given.quick else given.rounds
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or simulated(Path(folder))
        for case in cases:
            rows.append(
                row := check(case, store, Path(folder), rounds, given.seconds, stored.get(case[0]))
            )
            print(line(row), flush=True)
    rows = [*({row["case"]: row for row in [*stored.values(), *rows]}).values()]
    result = {
        "name": "plan: predicted against measured",
        "rows": rows,
        "goal_time": TIME,
        "goal_memory": MEMORY,
        "goal_reached": all(
            abs(row["time"] - 1) <= TIME and abs(row["memory"] - 1) <= MEMORY for row in rows
        ),
        "machine": machine(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "command": "python benchmarks/plan_check.py",
    }
    if given.add or not (given.quick or given.only):
        write_row(result, "plan_check.json")
    return int(not result["goal_reached"])


def simulated(folder: Path) -> Path:
    """A store of an invented genome of 4 Mb."""
    raw, store = folder / "raw", folder / "play.store"
    call("simulate", raw, quiet=True)
    call(
        "build",
        "--genome",
        raw / "genome.fa",
        "--peaks",
        raw / "peaks",
        "--motifs",
        raw / "motifs.jaspar",
        "--states",
        raw / "states",
        "--assembly",
        "toy",
        "--out",
        store,
        quiet=True,
    )
    return store


def check(
    case: tuple[str, str, str, tuple[str, ...], int],
    store: Path,
    folder: Path,
    rounds: int,
    seconds: float,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Plan and run one case; `before` is its row of earlier rounds."""
    name, recipe, size, keys, n_steps = case
    sets = [f"--set={key}" for key in keys]
    plans, steps_taken, peaks = [], [], []
    began = time.monotonic()
    for _ in range(rounds):
        run = folder / f"{recipe}_{size}_{len(peaks)}_{abs(hash(keys))}"
        words = [
            recipe,
            "--store",
            store,
            "--size",
            size,
            "--device",
            "cpu",
            *sets,
            f"--set=train.steps={n_steps}",
        ]
        plans.append(json.loads(call("plan", *words, "--seconds", seconds, "--json")[0]))
        short = ["train.log_every=1", "train.validate_samples=0", "train.checkpoint_every=1000"]
        _, peak = call(
            "pretrain", *words, *(f"--set={key}" for key in short), "--out", run, quiet=True
        )
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        taken = [json.loads(text)["step_seconds"] for text in lines][2:]
        steps_taken += taken
        peaks.append(peak)
    before = before or {}
    steps = [plan["step_seconds"] for plan in plans] + before.get("all_predicted_s", [])
    steps_taken += before.get("all_measured_s", [])
    memory = [plan["memory"]["total"] for plan in plans] + before.get("all_predicted_bytes", [])
    peaks += before.get("all_measured_bytes", [])
    predicted, measured = min(steps), min(steps_taken)
    return {
        "case": name,
        "parameters": plans[0]["parameters"]["total"],
        "calibrated": plans[-1]["calibrated"],
        "predicted_s": predicted,
        "measured_s": measured,
        "time": predicted / measured,
        "predicted_bytes": max(memory),
        "measured_bytes": max(peaks),
        "memory": max(memory) / max(peaks),
        "all_predicted_s": steps,
        "all_measured_s": steps_taken,
        "all_predicted_bytes": memory,
        "all_measured_bytes": peaks,
        "seconds": time.monotonic() - began,
    }


def call(*words: object, quiet: bool = False) -> tuple[str, float]:
    """Run a command of epilm; its output, and the highest memory of its process in bytes."""
    process = subprocess.Popen(
        [*EPILM, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"epilm {' '.join(map(str, words))} ended with {process.returncode}")
    return text, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def line(row: dict[str, Any]) -> str:
    """One case for a person."""
    good = abs(row["time"] - 1) <= TIME and abs(row["memory"] - 1) <= MEMORY
    return (
        f"{row['case']:<46} step {row['predicted_s']:8.3f} s predicted, {row['measured_s']:8.3f} s"
        f" measured ({row['time'] - 1:+.0%}); memory {row['predicted_bytes'] / 1e6:6.0f} /"
        f" {row['measured_bytes'] / 1e6:6.0f} MB"
        f" ({row['memory'] - 1:+.0%}){'' if good else '  MISSED'}; {row['seconds']:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())

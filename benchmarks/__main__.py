"""`python -m benchmarks`: run all that this machine can, then write the table of
docs/performance.md.

A row whose peer is not installed is skipped with the pip line, one whose files are not there with
what they are; a row that fails is said and leaves its former result alone. After the numbered rows
come those with a name: what building at scale takes, cost curves, the profile of a step, plans
against measurements, and last `gpu`, rows H1 to H7 where there is a GPU (`python -m
benchmarks.gpu`; its results are a folder of their own, not rows of the table).

    python -m benchmarks                       # all rows, numbered and named
    python -m benchmarks 4 7 13 curves         # some
    python -m benchmarks --numbered            # the rows of the table of goals alone
    python -m benchmarks --list                # what there is, and what would be skipped
    python -m benchmarks --table               # only write the table again
"""

import argparse
import importlib.util
import json
import os
import string
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- rows: written by python -m benchmarks -->", "<!-- end of rows -->"
WORK = "{work}"  # in a row's arguments: a scratch folder
MOTIFS = "motifs/JASPAR2018_CORE_vertebrates_non-redundant.counts.jaspar.gz"
GENOME = "reference_hg19/hg19_chr20_to_11095000.fa.gz"
# What would do in the place of a file that is not there (motif_data.py reads them).
WHAT = {
    MOTIFS: (
        "any gzipped JASPAR file of the counts of JASPAR 2018 CORE vertebrates, 579 motifs, does"
        " under that name"
    ),
    GENOME: (
        "any gzipped FASTA of hg19 chr20 alone, cut to its first 11,095,000 bp, does under that"
        " name"
    ),
}
# Where the package is not called what is imported.
PACKAGES = {"MOODS": "MOODS-python", "sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Row:
    """One script, and what it needs: imports, files, a kind of processor.

    Attributes
    ----------
    number : int or None
        Of the table of goals; None for a row with a name, which is the script's.
    script : str
    module : tuple of str
        What it imports, its peer first; `PACKAGES` names the package where that is called
        otherwise.
    arguments : tuple of str
    data : tuple of str
        Files of the real data it reads, below the folder EPILM_TEST_DATA or ../shared/data.
    bf16 : bool
        Whether it is about bf16, which a processor without it only emulates.
    gpu : bool
        Whether it needs a GPU. Such a script is a module of this package, run from the folder above
        it.
    """

    number: int | None
    script: str
    module: tuple[str, ...] = ("torch",)
    arguments: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    bf16: bool = False
    gpu: bool = False

    @property
    def name(self) -> str:
        """What the row is called on the command line."""
        return self.script.removesuffix(".py") if self.number is None else str(self.number)


ONE, TWO = ("--threads", "1"), ("--threads", "2")
LONG = ("--samples", "2", "--tokens", "512")  # as long as DNABERT and GeneBERT read
ROWS = (
    Row(1, "row01_masked_sample.py", ("pysam", "tokenizers", "transformers")),
    Row(1, "row01_masked_sample.py", ("pysam", "tokenizers", "transformers"), ("--plain",)),
    Row(2, "row02_kmer_ids.py", ("tokenizers",)),
    Row(2, "row02_kmer_ids.py", ("tokenizers",), ("--plain",)),
    Row(3, "row03_windows.py", ("genvarloader",)),
    Row(4, "row04_hits_moods.py", ("MOODS",), data=(MOTIFS, GENOME)),
    Row(5, "row05_hits_lightmotif.py", ("lightmotif",), data=(MOTIFS, GENOME)),
    Row(6, "row06_hits_memelite.py", ("memelite",), data=(MOTIFS, GENOME)),
    Row(7, "row07_factor_matrix.py", ("lightmotif",), data=(MOTIFS, GENOME)),
    Row(8, "row08_thresholds.py", ("MOODS",), data=(MOTIFS,)),
    Row(9, "row09_bert_step.py", ("transformers",), ONE),
    Row(9, "row09_bert_step.py", ("transformers",), TWO),
    Row(10, "row10_bert_step_bf16.py", ("transformers",), ONE, bf16=True),
    Row(10, "row10_bert_step_bf16.py", ("transformers",), TWO, bf16=True),
    Row(10, "row10_bert_step_bf16.py", ("transformers",), (*ONE, *LONG), bf16=True),
    Row(10, "row10_bert_step_bf16.py", ("transformers",), (*TWO, *LONG), bf16=True),
    Row(11, "row11_bert_step_fp32.py", ("transformers",), ONE),
    Row(11, "row11_bert_step_fp32.py", ("transformers",), TWO),
    Row(12, "row12_packing.py", ("transformers",), ONE),
    Row(12, "row12_packing.py", ("transformers",), (*ONE, "--samples", "4", "--tokens", "512")),
    Row(13, "row13_region_tower.py", ("transformers",), ONE),
    Row(14, "row14_contrastive.py", arguments=ONE),
    Row(15, "row15_track_windows.py", ("pyBigWig",)),
    Row(16, "row16_finetune.py", ("transformers", "accelerate"), ("--rows", "256")),
    Row(17, "row17_splice.py"),
    Row(None, "explain_speed.py"),
    Row(None, "metrics_dream.py", ("sklearn",)),
    Row(None, "predict_bins.py"),
    Row(None, "predict_genome.py"),
    Row(None, "states_build.py"),
    Row(None, "scale_build.py", ("pyjaspar",), ("--work", WORK)),
    Row(None, "score_variants.py"),
    Row(None, "data_step.py"),
    Row(None, "profile_step.py"),
    Row(None, "curves.py"),
    Row(None, "plan_check.py"),
    Row(
        None,
        "gpu.py",
        arguments=("--minutes", "10", "--out", "benchmarks/results/gpu/here"),
        gpu=True,
    ),
)


def skipped(row: Row) -> str | None:
    """Say why a row cannot run here, and what to do; None where it can."""
    if not (HERE / row.script).is_file():
        return f"skipped: benchmarks/{row.script} is not part of this copy"
    missing = [
        PACKAGES.get(name, name) for name in row.module if importlib.util.find_spec(name) is None
    ]
    if missing:
        said = (
            f"{name} is not installed (pip install -c constraints.txt '{name}')" for name in missing
        )
        return f"skipped: {'; '.join(said)}"
    data = Path(os.environ.get("EPILM_TEST_DATA", HERE.parents[1] / "shared" / "data"))
    absent = [f"{name} ({WHAT[name]})" for name in row.data if not (data / name).is_file()]
    if absent:
        return f"skipped: not in {data}: {'; '.join(absent)}; EPILM_TEST_DATA names another folder"
    if row.bf16:
        from epilm.device import cpu_bf16

        if cpu_bf16() is None:
            return (
                "skipped: this processor has no bf16 instructions (avx512_bf16 or amx_bf16) and"
                f" would only emulate them; python benchmarks/{row.script} --threads 2 --samples 2"
                " measures that, in a quarter of an hour"
            )
    if row.gpu:
        import torch

        if not torch.cuda.is_available():
            return (
                "skipped: no GPU here (python -m benchmarks.gpu --minutes 10 --out DIR runs on one)"
            )
    return None


def run(row: Row) -> str | None:
    """Run one script; None when it worked, otherwise why not."""
    why = skipped(row)
    if why is not None:
        return why
    with tempfile.TemporaryDirectory() as work:
        words = [work if word == WORK else word for word in row.arguments]
        if row.gpu:
            script, folder = ["-m", f"benchmarks.{row.script.removesuffix('.py')}"], HERE.parent
        else:
            script, folder = [str(HERE / row.script)], HERE
        done = subprocess.run([sys.executable, *script, *words], cwd=folder, check=False)
    return (
        None
        if done.returncode == 0
        else f"failed with code {done.returncode}; the former result stays"
    )


def chosen(asked: Sequence[str], numbered: bool = False) -> list[Row]:
    """Pick rows by number or name, in the order of the table; all where none is asked for.

    Raises
    ------
    SystemExit
        If a word is neither.

    Examples
    --------
    >>> [row.script for row in chosen(["curves", "7"])]
    ['row07_factor_matrix.py', 'curves.py']
    """
    known = dict.fromkeys(row.name for row in ROWS)
    unknown = [word for word in asked if word not in known]
    if unknown:
        raise SystemExit(f"no such row: {', '.join(unknown)}; known: {', '.join(known)}")
    return [
        row
        for row in ROWS
        if (row.name in asked if asked else True) and not (numbered and row.number is None)
    ]


def table(results: list[dict[str, Any]]) -> str:
    """Render the rows as Markdown, with the machine and versions behind them.

    Examples
    --------
    >>> row = {
    ...     "name": "row 2: ids",
    ...     "peer": "tokenizers",
    ...     "setup": "1 thread",
    ...     "ratio": 12.0,
    ...     "goal": 10,
    ...     "better": "higher",
    ...     "stretch": None,
    ...     "ours_s": 0.001,
    ...     "peer_s": 0.012,
    ...     "checked": "ids equal",
    ...     "date": "2026-01-01T00:00Z",
    ...     "machine": {"cpu": "X", "cores": 2, "load_1min": 0.1},
    ...     "versions": {"python": "3.11"},
    ... }
    >>> print(table([row]).splitlines()[2])
    | 2: ids | tokenizers | 10x | - | **12.0x** | 1.00 / 12.00 ms | ids equal; 1 thread |
    """
    if not results:
        return "No results yet."
    lines = [
        (
            "| row | peer | goal | stretch | measured | ours / peer | checked in the same run;"
            " setup; what bounds it |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    machines = sorted({machine_of(row) for row in results})
    letters = dict(zip(machines, string.ascii_uppercase, strict=False)) if len(machines) > 1 else {}
    for row in results:
        on = f", machine {letters[machine_of(row)]}" if letters else ""
        sign = "" if row["better"] == "higher" else "at most "
        stretch = "-" if row["stretch"] is None else f"{sign}{row['stretch']:g}x"
        ratio = f"{row['ratio']:.1f}x" if row["ratio"] >= 10 else f"{row['ratio']:.2f}x"
        reached = (
            row["ratio"] >= row["goal"]
            if row["better"] == "higher"
            else row["ratio"] <= row["goal"]
        )
        lines.append(
            f"| {row['name'].removeprefix('row ')} | {row['peer']} | {sign}{row['goal']:g}x |"
            f" {stretch} | {'**' + ratio + '**' if reached else ratio + ' (below the goal)'} |"
            f" {row['ours_s'] * 1e3:.2f} / {row['peer_s'] * 1e3:.2f} ms | {row['checked']};"
            f" {row['setup']}{on}{bound_of(row)} |"
        )
    versions = {f"{name} {number}" for row in results for name, number in row["versions"].items()}
    loads = [
        row["machine"]["load_1min"]
        for row in results
        if row["machine"].get("load_1min") is not None
    ]
    load = f"{min(loads):.1f} to {max(loads):.1f}" if loads else "not known"
    dates = sorted(row["date"] for row in results)
    lines += [
        "",
        (
            f"Machine{'s' if letters else ''}:"
            f" {'; '.join(f'{letters[m]} = {m}' if letters else m for m in machines)}. One-minute"
            f" load while measuring: {load}. Dates: {dates[0]} to {dates[-1]}. Versions:"
            f" {', '.join(sorted(versions))}."
        ),
    ]
    return "\n".join(lines)


def machine_of(row: dict[str, Any]) -> str:
    """Name the machine of a row by what decides its speed.

    Examples
    --------
    >>> machine_of({"machine": {"cpu": "X", "cores": 2, "simd": ["avx2"]}})
    'X, 2 cores avx2'
    """
    about = row["machine"]
    return f"{about['cpu']}, {about['cores']} cores {' '.join(about.get('simd', []))}".strip()


def bound_of(row: dict[str, Any]) -> str:
    """Say what bounds a row that is below its goal or its stretch, where its script found out.

    Examples
    --------
    >>> bound_of(
    ...     {
    ...         "bound": "matrix products, 71 % of the step",
    ...         "goal_reached": True,
    ...         "stretch_reached": False,
    ...     }
    ... )
    '; **bound by** matrix products, 71 % of the step'
    >>> bound_of({"bound": "matrix products", "goal_reached": True, "stretch_reached": None})
    ''
    >>> bound_of({"goal_reached": False, "stretch_reached": False})
    ''
    """
    short = row.get("goal_reached") is False or row.get("stretch_reached") is False
    return f"; **bound by** {row['bound']}" if short and row.get("bound") else ""


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Read every result that has two sides: the numbered rows first, then those with a name."""
    numbered = sorted(folder.glob("row*.json"))
    named = [file for file in sorted(folder.glob("*.json")) if file not in numbered]
    results = [json.loads(file.read_text(encoding="utf-8")) for file in (*numbered, *named)]
    return [row for row in results if "ratio" in row and "peer" in row]


def write_table() -> None:
    """Put the table of all stored results between the markers of the page; without any, leave the
    page alone.
    """
    results = read_results(HERE / "results")
    if not results:
        print(f"no results yet; {PAGE.name} stays as it is")
        return
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{tail}", encoding="utf-8")
    print(f"{len(results)} rows in {PAGE.name}")


def main() -> int:
    """Run the rows asked for and write the table; 1 when one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", help="numbers or names of rows; all by default")
    parser.add_argument("--numbered", action="store_true", help="none of the rows with a name")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    arguments = parser.parse_args()
    rows = chosen(arguments.rows, arguments.numbered)
    if arguments.list:
        for row in rows:
            print(
                f"{row.name:>14}  {' '.join((row.script, *row.arguments)):<40} "
                f" {skipped(row) or 'can run'}"
            )
        return 0
    failed = []
    for row in () if arguments.table else rows:
        print(f"-- {row.name}: {' '.join((row.script, *row.arguments))}", flush=True)
        why = run(row)
        if why is not None:
            print(f"row {row.name} ({row.script}): {why}", file=sys.stderr)
            failed += [row.name] if why.startswith("failed") else []
    write_table()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

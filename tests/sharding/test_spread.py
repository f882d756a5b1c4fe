"""Executors, each as it is: processes and workers are killed in the middle of a part, SLURM's
commands are scripts that do what SLURM does; what comes out is what one process writes.
"""

import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from epilm.cli import main
from epilm.errors import EpilmError
from epilm.sharding.local_pool import in_processes
from short_lived import ShortLived
from toy_sequences import planted, quick

COUNT = 600  # sequences, one a batch: some time in which a part is half-written


def epilm(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A run, many sequences, and what one process says of them."""
    folder = tmp_path_factory.mktemp("world")
    rows = planted(40)
    quick(rows, folder / "run", checkpoint="cnn", epochs=1)
    (folder / "s.fa").write_text("".join(f">s{n}\n{rows.text(n % 40)}\n" for n in range(COUNT)))
    assert epilm(*words_of(folder), "--out", folder / "one.tsv") == 0
    return folder


def words_of(world):
    return ["predict", world / "run", world / "s.fa", "--batch-size", 1, "--device", "cpu"]


def writer_of(parts):
    """Process that holds the lock of a part of which something is there; None where none does."""
    locks = [
        parts / f"{half.name.split('.half-')[0]}.lock" for half in parts.glob(".part-*.half-*")
    ]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = {os.readlink(file) for file in (process / "fd").iterdir()}
        except OSError:
            continue
        if opened & {str(lock) for lock in locks}:
            return int(process.name)
    return None


def kill_one(parts, killed):
    """Kill the first process that is in the middle of a part."""
    for _ in range(60_000):
        if (number := writer_of(parts)) is not None:
            os.kill(number, signal.SIGKILL)
            killed.append(number)
            return
        time.sleep(0.002)


@pytest.mark.slow
# With Dask it is Dask that starts the part again.
@pytest.mark.parametrize(
    ("executor", "jobs"), [("local", 1), pytest.param("dask", 2, marks=pytest.mark.twin)]
)
def test_a_part_whose_process_was_killed_is_done_again(world, tmp_path, capfd, executor, jobs):
    killed, out = [], tmp_path / "out.tsv"
    killer = threading.Thread(target=kill_one, args=(tmp_path / ".out.tsv.shards", killed))
    killer.start()
    assert epilm(*words_of(world), "--executor", executor, "--jobs", jobs, "--out", out) == 0
    killer.join()
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    assert out.read_bytes() == (world / "one.tsv").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.tsv"]
    if executor == "local":
        assert "a process was killed: what is not whole is done again" in capfd.readouterr().err


# What SLURM's commands do, as far as submitit asks: an array runs one job after another. Jobs run
# from sbatch's own copy of the script, which submitit moves as soon as sbatch has answered; a job
# that has ended is no longer RUNNING.
SLURM = {
    "sbatch": """
cp "$1" {folder}/submitted.sh
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for i in $(seq 0 $last); do
    (
        SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$i SLURM_NTASKS=1 SLURM_PROCID=0 \\
            bash {folder}/submitted.sh
        echo "ended with code $?" >{folder}/ended-$i
    ) </dev/null >>{folder}/log 2>&1 &
done
echo Submitted batch job 7
""",
    "srun": """
while [ "${{1#--}}" != "$1" ]; do
    case "$1" in --output|--error) shift 2;; *) shift;; esac
done
exec "$@"
""",
    "sacct": """
echo 'JobID|State|NodeList'
for i in 0 1; do
    if [ -e {folder}/ended-$i ]; then state=FAILED; else state={state}; fi
    echo "7_$i|$state|here"
done
""",
    "scancel": 'echo "$@" >>{folder}/cancelled\n',
}


def slurm_of(folder, monkeypatch, state="RUNNING", **scripts):
    """Put SLURM's commands on the path."""
    home = folder / "bin"
    home.mkdir()
    for name, text in (SLURM | scripts).items():
        path = home / name
        path.write_text("#!/bin/bash\n" + text.format(folder=folder, state=state))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))


@pytest.mark.slow
def test_an_array_of_slurm_is_one_process(world, tmp_path, monkeypatch):
    slurm_of(tmp_path, monkeypatch)
    out = tmp_path / "out.tsv"
    words = [*words_of(world), "--executor", "slurm", "--jobs", 2, "--out", out]
    words += ["--slurm", "partition=gpu", "time=30", "mem=4GB", "--slurm", "gpus-per-node=1"]
    assert epilm(*words) == 0
    assert out.read_bytes() == (world / "one.tsv").read_bytes()
    lines = (tmp_path / "submitted.sh").read_text().splitlines()
    for line in ("array=0-1%2", "partition=gpu", "time=30", "mem=4GB", "gpus-per-node=1"):
        assert f"#SBATCH --{line}" in lines
    assert not (tmp_path / ".out.tsv.shards").exists()


def test_a_job_that_ends_without_its_part_is_named_and_the_others_cancelled(
    world, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("submitit.Job._results_timeout_s", 0)
    slurm_of(tmp_path, monkeypatch, "OUT_OF_MEMORY", sbatch="echo Submitted batch job 7\n")
    out = tmp_path / "out.tsv"
    assert epilm(*words_of(world), "--executor", "slurm", "--jobs", 2, "--out", out) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "job 7_0: a job ended without its part. Found state OUT_OF_MEMORY" in said
    assert "--slurm mem=... time=..., or more --jobs" in said
    assert (tmp_path / "cancelled").read_text() == "7_1\n"
    assert not out.exists()


def test_what_sbatch_refuses_is_said(world, tmp_path, monkeypatch, capsys):
    slurm_of(tmp_path, monkeypatch, sbatch="echo invalid partition specified: gpu >&2; exit 1\n")
    out = tmp_path / "out.tsv"
    assert epilm(*words_of(world), "--executor", "slurm", "--jobs", 2, "--out", out) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "--executor slurm: SLURM did not take the jobs. Found" in said
    assert "invalid partition specified: gpu" in said


def test_processes_that_never_live_are_no_endless_loop():
    with pytest.raises(EpilmError, match="killed again and again, perhaps for memory. Found 3 ti"):
        list(in_processes(ShortLived()))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["slurm"], 2, "--executor slurm: it has to be said in how many parts. Give --jobs N"),
        (
            ["dask", "--scheduler", "tcp://127.0.0.1:1"],
            2,
            "--executor dask: it has to be said in how many parts. Give --jobs N",
        ),
        (
            ["local", "--scheduler", "tcp://h:1"],
            2,
            "--scheduler: it is of Dask. Found --executor local. Add --executor dask",
        ),
        (["local", "--slurm", "mem=1GB"], 2, "--slurm: it is of SLURM. Found --executor local"),
        (
            ["slurm", "--jobs", 2, "--slurm", "mem"],
            2,
            "--slurm: a setting of sbatch is NAME=VALUE. Found mem",
        ),
        (
            ["slurm", "--jobs", 2, "--slurm", "partitoin=x"],
            2,
            "--slurm: unknown setting of sbatch. Found partitoin. Did you mean partition?",
        ),
        (
            ["slurm", "--jobs", 2, "--slurm", "time=2:00:00"],
            2,
            "--slurm time: the time of a job is in minutes. Found 2:00:00",
        ),
        (["slurm", "--jobs", 2], 1, "--executor slurm: there is no SLURM here. Found no srun"),
        (
            ["dask", "--jobs", 2, "--scheduler", "tcp://127.0.0.1:1"],
            1,
            "--scheduler tcp://127.0.0.1:1: the scheduler of Dask does not answer",
        ),
    ],
)
def test_what_an_executor_cannot_do_is_refused(
    world, tmp_path, capsys, monkeypatch, words, code, said
):
    monkeypatch.setattr("epilm.sharding.dask_pool.SECONDS", 0.2)
    monkeypatch.setenv("PATH", "/nowhere")
    out = tmp_path / "out.tsv"
    assert epilm(*words_of(world), "--executor", *words, "--out", out) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


@pytest.mark.parametrize(("executor", "library"), [("dask", "distributed"), ("slurm", "submitit")])
def test_a_library_that_is_not_there_is_named(
    world, tmp_path, capsys, monkeypatch, executor, library
):
    monkeypatch.setitem(sys.modules, library, None)
    words = [*words_of(world), "--executor", executor, "--jobs", 1, "--out", tmp_path / "o.tsv"]
    assert epilm(*words) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"--executor {executor}: " in said
    assert f"is not installed. pip install 'epilm[{executor}]'" in said

"""A comparison in shards: joined, its folder is that of one process; what does not fit is told."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from epilm.cli import main

FACTORS = ("CTCF", "MAX", "SPI1", "EP300", "JUND")
LATER = {"seconds"}  # what no two runs have alike
SETS = 6  # of the comparison in which a process is killed behind its first row


def epilm(*words):
    return main([str(word) for word in words])


def write_sets(folder):
    """Sets of the motif baseline: of one factor there is no motif, of another no file."""
    rng = np.random.default_rng(0)
    for factor in FACTORS:
        rows = ["".join("ACGT"[b] for b in rng.integers(0, 4, 30)) for _ in range(60)]
        lines = [f"{row}\t{number % 2}" for number, row in enumerate(rows)]
        (folder / f"{factor}.tsv").write_text("\n".join(["sequence\tlabel", *lines]) + "\n")
    (folder / "MAX.tsv").unlink()
    rows = [f"{factor}_set\tsequences\t{factor}.tsv\trandom\t{factor}" for factor in FACTORS]
    (folder / "sets.tsv").write_text("\n".join(["name\ttask\tdata\tsplit\tfactor", *rows]) + "\n")
    counts = "".join(f"{base} [ 9 1 1 1 1 9 ]\n" for base in "ACGT")
    known = [f">M{number} {factor}\n{counts}" for number, factor in enumerate(FACTORS)]
    (folder / "motifs.jaspar").write_text("".join(text for text in known if "EP300" not in text))


def words_of(folder):
    words = ["compare", "--manifest", folder / "sets.tsv", "--motifs", folder / "motifs.jaspar"]
    return [*words, "--baselines", "motif"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sets, and the parts of two shards."""
    folder = tmp_path_factory.mktemp("sets")
    write_sets(folder)
    for i in (1, 2):
        assert epilm(*words_of(folder), "--shard", f"{i}/2", "--out", folder / "parts") == 0
    return folder


def rows_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(rows):
    return [{key: value for key, value in row.items() if key not in LATER} for row in rows]


def test_two_shards_of_a_manifest_are_one_process(world, tmp_path, capsys):
    assert epilm("merge", world / "parts", "--out", tmp_path / "joined") == 0
    said = capsys.readouterr().out
    assert "motif: 3 sets, median auROC" in said
    assert "left out: EP300_set, motif: the collection has no motif of EP300" in said
    assert epilm(*words_of(world), "--out", tmp_path / "one") == 0
    one, joined = (rows_in(tmp_path / name / "runs.jsonl") for name in ("one", "joined"))
    assert timeless(joined) == timeless(one)
    assert [row["set"] for row in joined if "failed" in row] == ["MAX_set"]
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert sorted(path.name for path in (tmp_path / "joined").iterdir()) == names
    for name in ("plan.json", "table.tsv", "table.json", "summary.tsv", "claims.tsv"):
        mine = (tmp_path / "joined" / name).read_bytes()
        assert mine == (tmp_path / "one" / name).read_bytes(), name
    # Every other set, of those that have a row.
    parts = [world / f"parts/part-{i}-of-2/part.json" for i in (1, 2)]
    assert [json.loads(path.read_text())["done"] for path in parts] == [2, 2]
    # One process that goes on tries the set that failed again, and writes the same page.
    folder = tmp_path / "joined"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert epilm(*words_of(world), "--out", folder) == 0
    assert "5 sets, 1 of them to do" in capsys.readouterr().err
    for path, content in before.items():
        if path.name != "runs.jsonl":
            assert path.read_bytes() == content, path


def test_a_stopped_shard_goes_on_and_a_whole_one_is_left_alone(world, tmp_path, capsys):
    copy = tmp_path / "parts"
    shutil.copytree(world / "parts", copy)
    words = [*words_of(world), "--shard", "1/2", "--out", copy]
    capsys.readouterr()
    assert epilm(*words) == 0
    assert "part-1-of-2 is there already: nothing to do" in capsys.readouterr().out
    shutil.rmtree(copy / "part-1-of-2")
    rows = copy / "work/runs-1-of-2.jsonl"
    rows.write_text(rows.read_text().splitlines()[0][:40])  # killed while it wrote
    assert epilm(*words) == 0
    assert "shard 1/2: 2 of 4 rows to do" in capsys.readouterr().err
    whole = [each / "part-1-of-2/part.json" for each in (world / "parts", copy)]
    assert whole[0].read_bytes() == whole[1].read_bytes()
    shutil.rmtree(copy / "part-1-of-2")
    assert epilm(*words, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["units"] == 2
    assert "shard 1/2: 0 of 4 rows to do" in said.err


def kill_after_a_row(work, killed):
    """Kill the process that holds the rows of the first shard, as soon as there is one."""
    rows = work / "runs-1-of-1.jsonl"
    for _ in range(60_000):
        if rows.is_file() and rows.read_text().count("\n"):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    opened = {os.readlink(file) for file in (process / "fd").iterdir()}
                except OSError:
                    continue
                if str(work / f".{rows.name}.lock") in opened:
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    return
        time.sleep(0.002)


@pytest.mark.slow
def test_one_command_makes_all_parts_and_joins_them_also_when_a_process_is_killed(
    world, tmp_path, capfd
):
    header, first = (world / "sets.tsv").read_text().splitlines()[:2]
    lines = [first.replace("CTCF_set", f"set{n}").replace("CTCF.tsv", "c.tsv") for n in range(SETS)]
    (tmp_path / "sets.tsv").write_text("\n".join([header, *lines]) + "\n")
    shutil.copy(world / "CTCF.tsv", tmp_path / "c.tsv")
    words = words_of(tmp_path)
    words[words.index("--motifs") + 1] = world / "motifs.jaspar"
    assert epilm(*words, "--out", tmp_path / "one") == 0
    killed = []
    work = tmp_path / ".cmp.shards/work"
    killer = threading.Thread(target=kill_after_a_row, args=(work, killed))
    killer.start()
    assert epilm(*words, "--executor", "local", "--jobs", 1, "--out", tmp_path / "cmp") == 0
    killer.join()
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    said = capfd.readouterr().err
    assert "a process was killed: what is not whole is done again" in said
    begun = [line for line in said.splitlines() if line.startswith("shard 1/1: ")]
    assert begun[0] == f"shard 1/1: {SETS} of {SETS} rows to do"
    assert begun[1] != begun[0]  # rows that were made are not made again
    one, spread = (rows_in(tmp_path / name / "runs.jsonl") for name in ("one", "cmp"))
    assert timeless(spread) == timeless(one)
    for name in ("plan.json", "table.tsv", "summary.tsv", "claims.tsv"):
        assert (tmp_path / "cmp" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not (tmp_path / ".cmp.shards").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--executor", "local", "--shard", "1/2"], "--shard is one part of the work"),
        (["--executor", "slurm"], "--executor slurm: it has to be said in how many parts"),
        (["--scheduler", "tcp://h:1", "--jobs", 2], "--scheduler: it is of Dask"),
        (["--executor", "local"], "there: the folder exists already. Choose another name"),
    ],
)
def test_what_an_executor_cannot_do_is_refused(world, tmp_path, capsys, more, said):
    (tmp_path / "there").mkdir()
    assert epilm(*words_of(world), *more, "--out", tmp_path / "there") == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_sets_of_one_comparison_are_rows(world, tmp_path, capsys):
    """Of one set a shard makes every N-th row."""
    words = ["compare", "--task", "sequences", "--data", world / "SPI1.tsv", "--split", "random"]
    words += ["--motifs", world / "motifs.jaspar", "--factor", "SPI1", "--seeds", 1]
    words += ["--baselines", "motif,motifs"]
    for i in (1, 2):
        assert epilm(*words, "--shard", f"{i}/2", "--out", tmp_path / "parts") == 0
        assert "1 of 2 units" in capsys.readouterr().out
    assert epilm("merge", tmp_path / "parts", "--out", tmp_path / "joined") == 0
    rows = rows_in(tmp_path / "joined/runs.jsonl")
    assert [row["competitor"] for row in rows] == ["motif", "motifs"]


def test_shards_of_other_data_are_refused_before_and_after(world, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    write_sets(other)
    text = (other / "JUND.tsv").read_text()
    (other / "JUND.tsv").write_text(text.replace("ACG", "ACT"))
    words = [*words_of(other), "--shard", "2/2"]
    # Where rows of the set as it was are there.
    shutil.copytree(world / "parts", tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts/part-2-of-2")
    assert epilm(*words, "--out", tmp_path / "parts") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "work: the folder holds a comparison of other data or settings. Found JUND_set" in said
    # And where they had a folder of their own.
    assert epilm(*words, "--out", tmp_path / "own") == 0
    (tmp_path / "own/part-2-of-2").rename(tmp_path / "parts/part-2-of-2")
    assert epilm("merge", tmp_path / "parts", "--out", tmp_path / "joined") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "part-2-of-2: the parts are of different data. Found sets.JUND_set" in said
    assert not (tmp_path / "joined").exists()


def test_a_shard_that_is_missing_is_named_and_a_folder_not_overwritten(world, tmp_path, capsys):
    shutil.copytree(world / "parts", tmp_path / "parts")
    (tmp_path / "there").mkdir()
    assert epilm("merge", tmp_path / "parts", "--out", tmp_path / "there") == 1
    assert "there: the folder exists already" in capsys.readouterr().err
    assert epilm("merge", tmp_path / "parts", "--out", tmp_path / "there", "--overwrite") == 0
    shutil.rmtree(tmp_path / "parts/part-1-of-2")
    assert epilm("merge", tmp_path / "parts", "--out", tmp_path / "joined") == 1
    assert "1 of 2 shards are missing. Found no part-1-of-2" in capsys.readouterr().err
    assert epilm(*words_of(world), "--shard", "3/2", "--out", tmp_path / "parts") == 2
    assert "--shard: not a shard. Found 3/2" in capsys.readouterr().err

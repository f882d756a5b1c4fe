"""A build in shards: the store from parts is that of one process in every byte."""

import json
import shutil
from dataclasses import replace

import pytest

from epilm.motifs.formats import read_motifs, write_jaspar
from toy_raw import bed, command

KINDS = {
    "plain": ["--statistic", "count", "--more-statistics", "best", "--p", "0.01"],
    "of GC bins": ["--background", "gc_bins", "--overlaps", "keep"],
}


@pytest.fixture(autouse=True)
def two_regions_a_unit(monkeypatch):
    for module in ("factor_parts", "build_shards"):
        monkeypatch.setattr(f"epilm.store.making.{module}.UNIT", 2)


def words_of(raw, *more):
    words = ["build", "--genome", raw / "g.fa", "--peaks", raw / "peaks", "--threads", 1]
    return [*words, "--motifs", raw / "m.jaspar", "--quiet", *more]


def shards(capsys, words, out, n=3):
    for i in range(1, n + 1):
        code, _, err = command(capsys, *words, "--shard", f"{i}/{n}", "--out", out)
        assert code == 0, err
    return out


def bytes_of(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS)
def test_three_shards_are_the_store_of_one_process(raw, tmp_path, capsys, more):
    words = words_of(raw, *more, "--blacklist", raw / "black.bed")
    parts = shards(capsys, words, tmp_path / "parts")
    assert sorted(path.name for path in parts.iterdir()) == [f"part-{i}-of-3" for i in (1, 2, 3)]
    code, _, err = command(capsys, *words, "--out", tmp_path / "one")
    assert code == 0, err
    joined = [*words, "--from-parts", parts, "--out", tmp_path / "joined"]
    code, _, err = command(capsys, *joined)
    assert code == 0, err
    assert bytes_of(tmp_path / "joined") == bytes_of(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", pytest.param("dask", marks=pytest.mark.twin)])
def test_one_command_scans_in_processes_and_makes_the_store(
    raw, tmp_path, capsys, monkeypatch, executor
):
    monkeypatch.undo()  # other processes have units of their own size
    words = words_of(raw)
    code, _, err = command(capsys, *words, "--out", tmp_path / "one")
    assert code == 0, err
    words += ["--executor", executor, "--jobs", 2, "--out", tmp_path / "spread"]
    code, _, err = command(capsys, *words)
    assert code == 0, err
    assert bytes_of(tmp_path / "spread") == bytes_of(tmp_path / "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "spread"]
    code, _, err = command(capsys, *words)
    assert (code, "spread: the folder exists already" in " ".join(err.split())) == (2, True)


def test_a_shard_without_a_block_is_a_part_and_one_that_is_there_is_left_alone(
    raw, tmp_path, capsys
):
    bed(tmp_path / "few.bed", ["chr1"], [100], [400])
    words = words_of(raw)
    words[words.index("--peaks") + 1] = f"X={tmp_path / 'few.bed'}"
    parts = shards(capsys, words, tmp_path / "parts", 2)
    done = [json.loads((parts / f"part-{i}-of-2/part.json").read_text())["done"] for i in (1, 2)]
    assert done == [1, 0]
    code, out, _ = command(capsys, *words, "--shard", "2/2", "--out", parts)
    assert (code, "part-2-of-2 is there already" in out) == (0, True)
    words += ["--from-parts", parts, "--out", tmp_path / "joined"]
    code, _, err = command(capsys, *words)
    assert code == 0, err
    # A store is replaced where that is said alone.
    code, _, err = command(capsys, *words)
    assert (code, "the folder exists already" in err) == (1, True)
    assert command(capsys, *words, "--overwrite")[0] == 0


def fewer_peaks(raw, words):
    bed(raw / "peaks/X.bed", ["chr1"], [100], [400])
    return words


def another_genome(raw, words):
    (raw / "g.fa").write_text((raw / "g.fa").read_text().replace("ACG", "ACT"))
    return words


def another_motif(raw, words):
    first, *others = read_motifs(raw / "m.jaspar")
    write_jaspar([replace(first, matrix=first.matrix + 1), *others], raw / "m.jaspar")
    return words


def another_cut(raw, words):
    return [*words, "--p", "0.001"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (fewer_peaks, "this command: the parts are of different data. Found regions"),
        (another_genome, "this command: the parts are of different data. Found genome"),
        (another_motif, "this command: the parts are of different data. Found motifs"),
        (
            another_cut,
            "this command: the parts were asked different things. Found p 0.001; expected p 0.0001",
        ),
    ],
)
def test_parts_of_another_build_are_refused(raw, tmp_path, capsys, change, said):
    copy = tmp_path / "raw"
    shutil.copytree(raw, copy)
    words = words_of(copy)
    parts = shards(capsys, words, tmp_path / "parts", 1)
    words = change(copy, words)
    code, _, err = command(capsys, *words, "--from-parts", parts, "--out", tmp_path / "s")
    assert code == 1
    assert said in " ".join(err.split())
    assert not (tmp_path / "s").exists()
    code, _, err = command(capsys, *words, "--shard", "1/1", "--out", parts)
    assert code == 1
    assert said in " ".join(err.split())


def test_a_missing_part_and_merge_are_refused_with_what_to_do(raw, tmp_path, capsys):
    words = words_of(raw)
    parts = shards(capsys, words, tmp_path / "parts", 2)
    code, _, err = command(capsys, "merge", parts, "--out", tmp_path / "s")
    said = " ".join(err.split())
    assert code == 2
    assert "parts of epilm build are not joined here" in said
    assert "Give the same epilm build command with --from-parts in place of --shard" in said
    shutil.rmtree(parts / "part-2-of-2")
    code, _, err = command(capsys, *words, "--from-parts", parts, "--out", tmp_path / "s")
    assert code == 1
    assert "1 of 2 shards are missing. Found no part-2-of-2" in err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--shard", "3/2"], 2, "--shard: not a shard. Found 3/2"),
        (["--shard", "1/2", "--overwrite"], 2, "--overwrite: it is of a whole store, and --shard"),
        (["--shard", "1/2", "--from-parts", "p"], 2, "--from-parts: it is of a whole store"),
        (["--jobs", 2], 2, "--jobs: it says how many processes, and there is one. Found 2"),
        (
            ["--executor", "local", "--from-parts", "p"],
            2,
            "--from-parts is of parts that are there, and --executor makes them. Found",
        ),
    ],
)
def test_options_that_do_not_go_together(raw, tmp_path, capsys, words, code, said):
    met, _, err = command(capsys, *words_of(raw), *words, "--out", tmp_path / "parts")
    assert (met, said in " ".join(err.split())) == (code, True)


@pytest.mark.parametrize("option", ["--shard", "--from-parts"])
def test_where_nothing_is_scanned_there_is_no_shard(raw, tmp_path, capsys, option):
    words = ["build", "--genome", raw / "g.fa", "--out", tmp_path / "parts", option, "1/2"]
    code, _, err = command(capsys, *words, "--peaks", raw / "peaks")
    assert code == 1
    assert f"{option}: the parts are of the scan of regions with motifs" in " ".join(err.split())
    code, _, err = command(capsys, *words, "--motifs", raw / "m.jaspar")
    assert code == 1
    assert "nothing is scanned. Found neither peaks nor counts" in " ".join(err.split())

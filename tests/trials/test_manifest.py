"""Sets from a manifest, or one named on the command line."""

from pathlib import Path

import pytest

from epilm.errors import InputError, UsageError
from epilm.trials.choices import SetFiles
from epilm.trials.manifest import read_sets, sets_of


def test_sets_come_from_a_manifest(tmp_path):
    lines = "\n".join(
        f"{'ACGT' * 3}{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16 % 4]}\t{i % 2}"
        for i in range(60)
    )
    (tmp_path / "a.tsv").write_text("sequence\tlabel\n" + lines + "\n")
    (tmp_path / "sets.tsv").write_text(
        "name\ttask\tdata\tsplit\tfactor\nA\tsequences\ta.tsv\trandom\tCTCF\n"
    )
    one = read_sets(tmp_path / "sets.tsv").open(0)
    assert (one.name, one.factor, sorted(one.rows.counts())) == (
        "A",
        "CTCF",
        ["test", "train", "valid"],
    )


@pytest.mark.parametrize(
    "files",
    [
        SetFiles(),
        SetFiles(task="sequences"),
        SetFiles(manifest=Path("a"), task="sequences", data=Path("b")),
    ],
)
def test_neither_and_both_are_a_wrong_use(files):
    with pytest.raises(UsageError, match="give either --manifest, or --task and --data"):
        sets_of(files)


def test_a_file_that_is_not_there_is_its_set_s_own_trouble(tmp_path):
    (tmp_path / "a.bed").write_text("chr1\t1\t2\n")
    (tmp_path / "sets.tsv").write_text("name\ttask\tdata\nA\ttfbs\tb.bed\nB\ttfbs\ta.bed\n")
    sets = read_sets(tmp_path / "sets.tsv")
    assert [bool(entry.missing) for entry in sets.entries] == [True, False]
    with pytest.raises(InputError, match=r"sets.tsv, line 2: there is no such file. Found data b"):
        sets.open(0)
    # What makes other rows is in the stamp: the bytes of the data, the options, the seed.
    before = sets.stamp(1)
    (tmp_path / "a.bed").write_text("chr1\t1\t3\n")
    assert sets.stamp(1) != before


def test_what_a_manifest_says_in_columns_is_refused_as_an_option(tmp_path):
    files = SetFiles(manifest=tmp_path / "sets.tsv", negatives="gc", split="random")
    with pytest.raises(UsageError, match=r"--negatives, --split: a manifest says this in a column"):
        sets_of(files)

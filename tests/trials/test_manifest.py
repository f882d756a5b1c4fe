"""Sets from a manifest, or one named on the command line."""

from pathlib import Path

import pytest

from epilm.errors import UsageError
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
    (one,) = read_sets(tmp_path / "sets.tsv")
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

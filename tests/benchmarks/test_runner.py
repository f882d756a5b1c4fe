"""`python -m benchmarks`: what is skipped and how that is said, a copy without results, the row of
the GPU.
"""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
MOTIFS = "motifs/JASPAR2018_CORE_vertebrates_non-redundant.counts.jaspar.gz"
GENOME = "reference_hg19/hg19_chr20_to_11095000.fa.gz"


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("benchmarks_main", HERE / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installed(runner, monkeypatch):
    """Call it with the names of what is to be found; everything without an argument."""

    def only(*names):
        monkeypatch.setattr(
            runner.importlib.util,
            "find_spec",
            lambda name: name if not names or name in names else None,
        )

    only()
    return only


@pytest.fixture
def started(runner, monkeypatch):
    """The commands that would have been started, and their folders."""
    calls = []
    fake = SimpleNamespace(
        run=lambda words, cwd, check: calls.append((words, cwd)) or SimpleNamespace(returncode=0)
    )
    monkeypatch.setattr(runner, "subprocess", fake)
    return calls


def result(**machine):
    return {
        "name": "row 2: ids",
        "peer": "tokenizers",
        "setup": "1 thread",
        "ratio": 12.0,
        "goal": 10,
        "better": "higher",
        "stretch": None,
        "ours_s": 0.001,
        "peer_s": 0.012,
        "checked": "ids equal",
        "date": "2026-01-01T00:00Z",
        "machine": {"cpu": "X", "cores": 2} | machine,
        "versions": {"python": "3.11"},
    }


# ---- a copy without results


def test_without_results_the_table_says_so_and_the_page_stays(
    runner, monkeypatch, tmp_path, capsys
):
    page = tmp_path / "performance.md"
    page.write_text(f"before {runner.BEGIN}\nthe former table\n{runner.END} after")
    monkeypatch.setattr(runner, "HERE", tmp_path)  # without a folder of results
    monkeypatch.setattr(runner, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--table"])
    assert runner.main() == 0
    assert capsys.readouterr().out == "no results yet; performance.md stays as it is\n"
    assert "the former table" in page.read_text()
    assert runner.table([]) == "No results yet."


def test_rows_that_are_all_skipped_in_a_copy_without_results_are_no_failure(
    runner, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(runner, "HERE", tmp_path)  # no scripts either
    monkeypatch.setattr(sys, "argv", ["benchmarks", "14"])
    assert runner.main() == 0
    said = capsys.readouterr()
    assert (
        said.err
        == "row 14 (row14_contrastive.py): skipped: benchmarks/row14_contrastive.py is not part of"
        " this copy\n"
    )
    assert said.out.endswith("no results yet; performance.md stays as it is\n")


@pytest.mark.parametrize(
    ("loads", "shown"),
    [([None, None], "not known"), ([None, 0.5], "0.5 to 0.5"), ([2, 1], "1.0 to 2.0")],
)
def test_the_load_is_said_where_a_system_gives_one(runner, loads, shown):
    text = runner.table([result(load_1min=load) for load in loads])
    assert f"One-minute load while measuring: {shown}. Dates: 2026-01-01T00:00Z to 2026" in text


# ---- what is skipped


def test_every_package_that_is_missing_is_named_with_its_pip_line(runner, installed):
    installed("pysam", "torch")
    for row in runner.chosen(["1"]):
        assert (
            runner.run(row)
            == "skipped: tokenizers is not installed (pip install -c constraints.txt"
            " 'tokenizers'); "
            "transformers is not installed (pip install -c constraints.txt 'transformers')"
        )
    assert {runner.run(row) for row in runner.chosen(["2"])} == {
        "skipped: tokenizers is not installed (pip install -c constraints.txt 'tokenizers')"
    }
    (row,) = runner.chosen(["4"])
    assert (
        runner.run(row)
        == "skipped: MOODS-python is not installed (pip install -c constraints.txt 'MOODS-python')"
    )


@pytest.mark.parametrize("number", ["4", "5", "6", "7"])
def test_rows_that_scan_are_skipped_where_only_the_motifs_are_there(
    runner, installed, started, monkeypatch, tmp_path, number
):
    monkeypatch.setenv("EPILM_TEST_DATA", str(tmp_path))
    (row,) = runner.chosen([number])
    (tmp_path / MOTIFS).parent.mkdir()
    (tmp_path / MOTIFS).touch()
    assert (
        runner.run(row)
        == f"skipped: not in {tmp_path}: {GENOME} (any gzipped FASTA of hg19 chr20 alone, cut to"
        " its first 11,095,000 bp, does under that name); EPILM_TEST_DATA names another folder"
    )
    assert started == []
    (tmp_path / GENOME).parent.mkdir()
    (tmp_path / GENOME).touch()
    assert runner.run(row) is None
    assert len(started) == 1


def test_thresholds_need_the_motifs_alone(runner, installed, monkeypatch, tmp_path):
    monkeypatch.setenv("EPILM_TEST_DATA", str(tmp_path))
    (row,) = runner.chosen(["8"])
    assert (
        runner.skipped(row)
        == f"skipped: not in {tmp_path}: {MOTIFS} (any gzipped JASPAR file of the counts of JASPAR"
        " 2018 CORE vertebrates, 579 motifs, does under that name); EPILM_TEST_DATA names"
        " another folder"
    )
    (tmp_path / MOTIFS).parent.mkdir()
    (tmp_path / MOTIFS).touch()
    assert runner.skipped(row) is None


def test_the_files_looked_for_are_those_that_are_read(runner):
    assert (
        {name for row in runner.ROWS for name in row.data} == set(runner.WHAT) == {MOTIFS, GENOME}
    )
    source = (HERE / "motif_data.py").read_text(encoding="utf-8")
    for name in (MOTIFS, GENOME):
        folder, file = name.split("/")
        assert f'DATA / "{folder}" / "{file}"' in source


# ---- the GPU


def test_without_a_gpu_its_row_is_listed_as_skipped(
    runner, installed, started, monkeypatch, capsys
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--list", "gpu"])
    assert runner.main() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:2] == ["gpu", "gpu.py"]
    assert line.endswith(
        "  skipped: no GPU here (python -m benchmarks.gpu --minutes 10 --out DIR runs on one)"
    )
    (row,) = runner.chosen(["gpu"])
    assert runner.run(row).startswith("skipped: no GPU here")
    assert started == []


def test_with_a_gpu_its_module_runs_from_the_folder_above(runner, installed, started, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    (row,) = runner.chosen(["gpu"])
    assert runner.run(row) is None
    words = ["-m", "benchmarks.gpu", "--minutes", "10", "--out", "benchmarks/results/gpu/here"]
    assert started == [([sys.executable, *words], HERE.parent)]
    assert row not in runner.chosen([], numbered=True)

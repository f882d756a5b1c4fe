"""The whole demo at its smallest: every part runs, the page is written, and it goes on after an
interruption.
"""

import json
import shutil

import pytest

from epilm.errors import EpilmError
from epilm.motifs.scan import checked_threads
from epilm.tour.demo import demo


@pytest.mark.twin  # of `make demo`
@pytest.mark.slow
def test_the_demo_runs_from_raw_files_to_a_page_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    said: list[str] = []
    page = demo(tmp_path / "demo", seed=1, size="tiny", say=said.append)
    folder = tmp_path / "demo"
    text = page.read_text()
    assert page == folder / "report.html"
    assert "SIMULATED DATA" in text
    assert "http" not in text
    for name in (
        "data/truth.json",
        "store/store.json",
        "runs/genebert/model",
        "runs/dnabert/summary.json",
    ):
        assert (folder / name).exists()
    for task in ("CTCF", "JUND"):
        for start in ("genebert", "dnabert", "random"):
            scores = json.loads((folder / "tasks" / task / start / "metrics.json").read_text())
            assert scores["test"]["n"] > 5
            assert 0 <= scores["test"]["auroc"] <= 1
    for name in ("explained/locus.html", "explained/why/map.tsv", "variants/pretrained.html"):
        assert (folder / name).is_file()
        if name.endswith(".html"):
            assert f'href="{name}"' in text
    rows = (folder / "variants/table.tsv").read_text().splitlines()
    assert {row.split("\t")[0] for row in rows[1:]} >= {
        "pretrained",
        "random",
        "baseline gc",
        "baseline motif",
    }
    found = json.loads((folder / "pictures/retrieval.json").read_text())
    assert all(1 <= rank <= found["pool"] for rank in found["ranks"])
    rows = [json.loads(line) for line in (folder / "ebert/rows.jsonl").read_text().splitlines()]
    assert {row["arm"] for row in rows} >= {
        "dbert",
        "ebert",
        "ebert_plus",
        "ebert_random",
        "ebert_shuffled",
    }
    assert {row["seed"] for row in rows} == {2}  # not the world of part one
    assert "Part two: binding in an unseen cell type" in text
    times = json.loads((folder / "demo.json").read_text())["stages"]
    assert len(times) == 10
    # Part two in a process of its own where there is a second core: the same rows as in this one
    # (below).
    beside = checked_threads() > 1
    assert said[0].startswith("part two runs beside" if beside else "[1/10]")
    assert times[-1].get("beside", False) is beside
    assert said[-1].endswith(f"Open {page}")

    def scores():
        kept = json.loads((folder / "tasks/CTCF/random/metrics.json").read_text())
        return {key: value for key, value in kept.items() if key != "history"}  # it holds seconds

    before = scores()
    shutil.rmtree(folder / "tasks")
    said.clear()
    demo(folder, seed=1, size="tiny", say=said.append)
    assert sum("there already" in line for line in said) == 8
    assert scores() == before
    monkeypatch.setattr("epilm.tour.demo.checked_threads", lambda: 1)
    shutil.rmtree(folder / "ebert")
    demo(folder, seed=1, size="tiny", say=said.append)
    again = [json.loads(line) for line in (folder / "ebert/rows.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in row.items() if "seconds" not in k} for row in again]
    assert timeless == [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
    with pytest.raises(EpilmError, match="another seed or size"):
        demo(folder, seed=2, size="tiny")


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(EpilmError, match="something that is not a demo"):
        demo(tmp_path, size="tiny")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]

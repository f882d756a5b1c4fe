"""The page is complete in itself and says what the files say."""

import json

import pytest

from epilm.errors import InputError
from epilm.plots.page import duration
from epilm.reporting import report
from html_page import parse


def test_a_finetuned_model_has_its_page(tmp_path):
    run = tmp_path / "promoter"
    run.mkdir()
    scores = {"n": 4, "auroc": 0.75, "ap": 0.8, "macro_f1": 0.5, "mcc": 0.1, "collapse": None}
    task = {
        "task": "promoter",
        "data": "set.tsv",
        "checkpoint": "runs/genebert",
        "init": "checkpoint",
        "set": {"rows": 12, "length_bp": [70, 70], "counts": {"train": [4, 4], "test": [2, 2]}},
        "settings": {"epochs": 2, "batch_size": 4, "lr": 2e-4, "seed": 1},
        "notes": ["COLLAPSE on test: constant prediction", "LEVEL on test: this is G+C content"],
        "about": {},
    }
    (run / "task.json").write_text(json.dumps(task))
    (run / "metrics.json").write_text(json.dumps({"train": scores, "test": scores}))
    (run / "metrics.jsonl").write_text('{"epoch": 1, "step": 2, "loss": 0.7, "valid_auroc": 0.6}\n')
    rows = ["split\tchrom\tstart\tend\torigin\tlabel\tp_0\tp_1"]
    rows += [
        f"test\tchr1\t0\t70\tx\t{y}\t{1 - p}\t{p}"
        for y, p in ((1, 0.9), (0, 0.2), (1, 0.4), (0, 0.6))
    ]
    (run / "predictions.tsv").write_text("\n".join(rows) + "\n")
    words = " ".join(parse(report(run).read_text()).text)
    for expected in (
        "promoter: fine-tuning",
        "pre-trained: genebert",
        "0.750",
        "COLLAPSE on test",
        "LEVEL on test",
        "4 + 4",
    ):
        assert expected in words
    assert (run / "report.html").read_text().count('class="warning"') == 2


def test_a_comparison_has_a_section_for_each_set_with_mean_and_sd(tmp_path):
    rows = [
        {
            "set": s,
            "competitor": c,
            "seed": n,
            "n": 50,
            "auroc": a + n / 10,
            "ap": 0.5,
            "prevalence": 0.5,
            "collapse": None,
        }
        for s in ("CTCF", "REST")
        for c, a in (("pre-trained", 0.7), ("k-mer", 0.6))
        for n in (0, 1)
    ]
    rows[-1]["collapse"] = "constant prediction"
    (tmp_path / "runs.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + '{"set": "CT'
    )
    (tmp_path / "plan.json").write_text(
        json.dumps({"lrs": [1e-4], "settings": {"epochs": 3}, "models": []})
    )
    words = " ".join(parse(report(tmp_path).read_text()).text)
    for expected in (
        "CTCF",
        "REST",
        "0.750 ± 0.071",
        "mean ± sd over 2 seeds",
        "best AUROC: pre-trained",
        "k-mer: collapsed, constant prediction",
    ):
        assert expected in words


def test_a_folder_that_is_no_run_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(
        InputError, match=r"no run to report on.*Found x\.txt; expected a folder written by"
    ):
        report(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        report(tmp_path / "nowhere")
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_durations_are_for_reading():
    assert [duration(x) for x in (0.4, 59.6, 3599, 86400)] == [
        "0 s",
        "1 min 0 s",
        "59 min 59 s",
        "24 h 0 min",
    ]

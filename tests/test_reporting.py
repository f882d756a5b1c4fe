"""The page is complete in itself and says what the files say."""

import json
import re
from html.parser import HTMLParser

import pytest

from epilm.errors import InputError
from epilm.plots.page import duration
from epilm.pretraining.run_page import run_warnings
from epilm.reporting import report


class Tags(HTMLParser):
    """Collects opened tags, their links, and checks that all are closed."""

    VOID = frozenset({"meta", "img", "br", "link", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        assert tag not in ("script", "iframe", "link", "object")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    # Anchors, pictures inside, and the numbers beside the page: nothing is loaded.
    assert all(
        link.startswith(("#", "data:image/")) or re.fullmatch(r"\w+\.numbers/[\w.-]+\.tsv", link)
        for link in tags.links
    )
    assert not re.search(r"https?://|@import|url\(", text)
    return tags


@pytest.fixture
def run(tmp_path):
    """A finished pre-training run as `pretrain` leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    recipe = {
        "name": "genebert_native",
        "size": "tiny",
        "model": {
            "streams": ["dna", "factors"],
            "k": 6,
            "layout": "per_region",
            "max_tokens": 66,
            "encoder": {"size": "tiny"},
            "tower": {"name": "native"},
        },
        "samples": {"regions": 10, "holdout_chroms": ["chr4"], "holdout_cells": []},
        "objectives": {
            "masked_kmers": {"weight": 1.0},
            "next_segment": {"weight": 0.0},
            "matching": {"weight": 0.5},
        },
        "optim": {"name": "adamw", "peak_lr": 0.001},
        "train": {"steps": 20, "batch_size": 8, "seed": 0, "device": "cpu"},
    }
    lines = [
        {
            "step": 0,
            "split": "valid",
            "loss": 9.0,
            "masked_kmers/loss": 8.0,
            "masked_kmers/covered_accuracy": 0.001,
            "masked_kmers/covered_accuracy_chance": 0.01,
            "matching/recall@10": 0.1,
            "matching/recall@10_chance": 0.1,
            "samples": 64.0,
        },
        *(
            {
                "step": s,
                "split": "train",
                "loss": 9 - s / 10,
                "masked_kmers/loss": 8 - s / 10,
                "seconds": s * 1.0,
                "tokens_per_second": 1000.0,
                "memory_gb": 1.5,
            }
            for s in (5, 10, 15, 20)
        ),
        {
            "step": 20,
            "split": "valid",
            "loss": 7.5,
            "masked_kmers/loss": 6.5,
            "masked_kmers/covered_accuracy": 0.123,
            "masked_kmers/covered_accuracy_chance": 0.01,
            "matching/recall@10": 0.456,
            "matching/recall@10_chance": 0.1,
            "samples": 64.0,
        },
    ]
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "store.json").write_text(
        json.dumps({"path": "atlas.store", "fingerprint": "abc" * 20})
    )
    (folder / "versions.json").write_text(
        json.dumps([{"versions": {"epilm": "0.1.0"}, "git": None, "cpus": 2}])
    )
    (folder / "summary.json").write_text(json.dumps({"steps": 20, "seconds": 20.0, "warnings": []}))
    with open(folder / "metrics.jsonl", "w") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)
        out.write('{"step": 25, "spl')  # a line cut by a kill
    return folder


def test_a_pretraining_page_is_complete_and_says_what_was_run(run):
    path = report(run)
    assert path == run / "report.html"
    text = path.read_text()
    tags = parse(text)
    words = " ".join(tags.text)
    for expected in (
        "genebert_native",
        "0.123",
        "0.456",
        "chance 0.010",
        "20 of 20",
        "chr4",
        "abcabcabc",
        "1,000 tokens/s",
        "epilm pretrain genebert_native --store atlas.store",
    ):
        assert expected in words
    assert "SIMULATED" not in words
    assert sum(link.startswith("data:image/svg") for link in tags.links) >= 3


def test_another_file_can_be_named_and_nothing_else_is_written(run, tmp_path):
    before = sorted(p.name for p in run.iterdir())
    assert report(run, tmp_path / "page.html").is_file()
    assert sorted(p.name for p in run.iterdir()) == before


def test_a_run_on_a_playground_store_carries_the_banner(run, tmp_path):
    import numpy as np

    from epilm.store.making.writer import write_store
    from epilm.store.schema import REGION_TYPE

    regions = np.array([(0, 10, 60), (0, 100, 180)], REGION_TYPE)
    write_store(
        tmp_path / "atlas.store",
        genome={"chr1": np.zeros(300, np.uint8)},
        regions=regions,
        accessible=np.array([[True], [False]]),
        cell_types=["typeA"],
        assembly="simulated",
    )
    words = " ".join(parse(report(run).read_text()).text)
    assert "SIMULATED DATA" in words
    assert "accessible regions" in words
    assert "50.0 %" in words


def test_what_looks_wrong_is_said(run):
    assert run_warnings(run) == []
    lines = (run / "metrics.jsonl").read_text().splitlines()[:-1]
    last = json.loads(lines[-1]) | {"step": 12, "masked_kmers/covered_accuracy": 0.009}
    (run / "metrics.jsonl").write_text("\n".join([*lines[:3], json.dumps(last)]))
    (run / "summary.json").write_text(json.dumps({"warnings": ["embeddings are nearly equal"]}))
    assert run_warnings(run) == [
        "embeddings are nearly equal",
        "The run is not finished: 12 of 20 steps. The same command goes on from there.",
        (
            "masked k-mer accuracy under [MASK] on held-out samples (0.009) is no better than"
            " chance (0.010)."
        ),
    ]
    assert "no better than chance" in report(run).read_text()


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

"""The page of a pre-training run says what its files say, and what looks wrong."""

import json

import pytest

from epilm.pretraining.run_page import run_warnings
from epilm.reporting import report
from html_page import parse


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

"""The page of a fine-tuning says the command that makes it again, in its own task's options."""

import json
from dataclasses import replace

import numpy as np

from epilm.cli import application, main
from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned_page import command_of, finetuned_page, finetuning
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from toy_binding import QUICK as BINS
from toy_binding import toy_labels, toy_store
from toy_sequences import QUICK, planted, quick

SIZE = EncoderSpec(hidden=8, layers=1, heads=2, ffn=8, max_positions=40)


def words_of(run):
    first, *rest = command_of(run).splitlines()
    return first.split(), rest


def test_what_differs_from_the_defaults_is_named_and_nothing_of_another_task(tmp_path):
    settings = replace(QUICK, epochs=1, both_strands=True, betas=(0.9, 0.95))
    quick(planted(40), tmp_path / "ft", settings=settings)
    words, rest = words_of(tmp_path / "ft")
    assert words[:3] == ["epilm", "finetune", "sequences"]
    assert words[words.index("--epochs") + 1] == "1"
    assert words[words.index("--betas") + 1 :][:2] == ["0.9", "0.95"]
    assert "--both-strands" in words
    for other in ("--store", "--factor", "--weight-decay", "--device"):
        assert other not in words
    assert rest == []


def test_a_twin_of_a_model_is_made_again_without_its_weights(tmp_path):
    spec = ModelSpec(name="dbert", streams=("dna",), k=3, encoder=SIZE, projection_dim=8)
    save_model(tmp_path / "base", build_model(spec, seed=0), spec, {})
    start = {"checkpoint": str(tmp_path / "base"), "size": None, "k": None}
    for init in ("checkpoint", "random"):
        quick(planted(40), tmp_path / init, **start, init=init)
        words, _ = words_of(tmp_path / init)
        assert ("--init" in words) == (init == "random")
        assert words[words.index("--checkpoint") + 1] == str(tmp_path / "base")
    quick(planted(40), tmp_path / "bare", init="random")
    assert "--init" not in words_of(tmp_path / "bare")[0]


def test_a_run_on_bins_names_its_factors_and_how_it_is_scored(tmp_path):
    store = toy_store(tmp_path / "store")
    settings = replace(BINS, store=store, epochs=1, valid_chroms=("chr2:0-6000",))
    finetune(
        "binding", toy_labels(store), tmp_path / "ft", checkpoint="cnn", settings=settings, say=str
    )
    words, rest = words_of(tmp_path / "ft")
    assert words[:3] == ["epilm", "finetune", "binding"]
    assert words[words.index("--factor") + 1] == "TF"
    assert words[words.index("--valid") + 1] == "chr2:0-6000"
    assert len(rest) == 1
    assert rest[0].startswith("epilm evaluate ")
    application("finetune", words[1:]).parse_args(words[1:], exit_on_error=False, print_error=False)
    section = finetuning(tmp_path / "ft")
    assert "kept for the test, and not read here" in " ".join(section.text)
    assert section.tables[-1].caption.endswith("test scores come from epilm evaluate")


def test_the_numbers_at_the_top_are_scores_and_no_count_of_rows(tmp_path):
    run = tmp_path / "levels"
    run.mkdir()
    level = {"n": 17, "pearson": 0.25, "spearman": 0.5, "r2": 0.125, "collapse": None}
    between = {"n": 17, "difference_pearson": 0.75, "row_pearson": 0.5, "collapse": None}
    tables = {"test": {"liver": level, "brain": level, "between": between}}
    tables["valid"] = {"liver": level}
    (run / "metrics.json").write_text(json.dumps({"tables": tables}))
    assert finetuned_page(run).cards == [
        ("liver", "0.250", "Pearson, test rows"),
        ("brain", "0.250", "Pearson, test rows"),
        ("between", "0.750", "Pearson of differences, test rows"),
    ]
    captions = [table.caption for table in finetuning(run).tables]
    assert len(captions) == 2
    assert captions[0].endswith("so they flatter")  # the test stands below
    assert captions[1] == "test rows"


def test_the_command_of_a_run_makes_it_again(tmp_path):
    """Its data, genome and chromosomes as they were named, its options as they were given."""
    draw = np.random.default_rng(0)
    letters = ["".join("ACGT"[n] for n in draw.integers(0, 4, 6000)) for _ in range(3)]
    genome = tmp_path / "genome.fa"
    genome.write_text("".join(f">chr{n}\n{text}\n" for n, text in enumerate(letters, 1)))
    peaks = tmp_path / "peaks.bed"
    starts = [(n, at) for n in (1, 2, 3) for at in range(200, 5600, 400)]
    peaks.write_text("".join(f"chr{n}\t{at}\t{at + 60}\n" for n, at in starts))
    words = f"finetune tfbs --data {peaks} --genome {genome} --negatives shuffle --valid chr2"
    words += (
        " --test chr3 --length 41 --data-seed 5 --checkpoint random --size tiny --k 3 --head linear"
    )
    assert main([*words.split(), "--epochs", "1", "--out", str(tmp_path / "a"), "--quiet"]) == 0
    again = command_of(tmp_path / "a").split()
    assert again[again.index("--genome") + 1] == str(genome)
    again[again.index("--out") + 1] = str(tmp_path / "b")
    assert main([*again[1:], "--quiet"]) == 0
    one, other = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in "ab")
    assert one["test"] == other["test"]


def test_the_page_has_the_baselines_that_stood_beside_the_model(tmp_path):
    own = {"a": {"pearson": 0.3, "r2": 0.1, "n": 9}, "b": {"pearson": 0.2, "r2": 0.0, "n": 9}}
    beside = {
        "mean": {"test": {"a": {"pearson": None, "r2": -0.1}, "b": {"pearson": None, "r2": -0.1}}},
        "kmer": {"test": {"a": {"pearson": 0.1, "r2": 0.0}, "b": {"pearson": 0.25, "r2": 0.05}}},
    }
    kept = {"task": "expression", "tables": {"valid": own, "test": own}, "beside": beside}
    (tmp_path / "metrics.json").write_text(json.dumps(kept))
    section = finetuning(tmp_path)
    table = next(t for t in section.tables if t.caption == "Beside baselines, test rows")
    assert table.rows[:3] == [
        ["a", "the model", 0.3, 0.1, 9],
        ["a", "mean", None, -0.1, None],
        ["a", "kmer", 0.1, 0.0, None],
    ]
    assert section.text == [
        "Beside baselines: a, Pearson 0.300, above kmer.",
        "Beside baselines: b, Pearson 0.200, not above kmer (0.250).",
    ]
    # One output has no name; without a test part the valid rows are shown.
    kept = {"tables": {"valid": {"": {"ap": 0.5}}}, "beside": {"gc": {"valid": {"": {"ap": 0.4}}}}}
    (tmp_path / "metrics.json").write_text(json.dumps(kept))
    table = finetuning(tmp_path).tables[-1]
    assert (table.header, table.rows) == (["row", "AP"], [["the model", 0.5], ["gc", 0.4]])

"""What a recipe may not ask for: the message names the key."""

import pytest

from epilm.errors import RecipeError
from epilm.recipes.recipe import (
    load_recipe,
)
from toy_recipe import written

CUT = ("train.strategy=fsdp", "train.devices=2", "train.micro_batch=2")


def test_nothing_to_learn_is_refused(tmp_path):
    off = [f"objectives.{name}.weight=0" for name in ("masked_kmers", "next_segment", "matching")]
    with pytest.raises(RecipeError, match="every objective has weight 0"):
        load_recipe(written(tmp_path), overrides=off)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (
            "ebert_tiny",
            ["objectives.masked_kmers.weight=1"],
            (
                r"--set objectives.masked_kmers.weight=1: alpha and a weight that follows from it"
                r" are both given\. Found 1, and objectives.alpha 0.5"
            ),
        ),
        (
            "ebert_tiny",
            ["objectives.alpha=1.5"],
            r"objectives.alpha: the value is out of range|alpha=1.5: the value is out of range",
        ),
        (
            "ebert_tiny",
            ["model.states=15"],
            r"model.states=15: the key cannot be set\. Leave it out: the store says",
        ),
        (
            "ebert_tiny",
            ["model.streams=[dna]"],
            r"masked states need the states stream.*set alpha to 1",
        ),
        (
            "ebert_tiny",
            ["model.streams=[dna]", "objectives.alpha=1"],
            r"ebert reads dna and states",
        ),
        (
            "dbert_base",
            ["model.streams=[dna, states]"],
            r"dbert reads dna\. Found \['dna', 'states'\]; expected \[dna\]",
        ),
        ("dbert_base", ["objectives.alpha=0.5"], r"masked states need the states stream"),
        (
            "ebert_tiny",
            ["samples.unit=regions"],
            r"ebert reads windows of the genome\. Found regions",
        ),
        ("dnabert", ["samples.unit=windows"], r"dnabert reads regions, not windows"),
        (
            "ebert_tiny",
            ["train.strategy=fsdp"],
            (
                r"--set train.strategy=fsdp: fsdp cuts a model up over several devices, and there"
                r" is one\. Found train.devices 1\. Set train.devices, or leave train.strategy out"
            ),
        ),
        (
            "ebert_tiny",
            [*CUT, "optim.name=muon"],
            r"the optimiser moves whole matrices, and fsdp cuts them up\. Found optim.name muon",
        ),
        (
            "ebert_tiny",
            [*CUT, "train.compile=blocks"],
            r"gathered in every pass are not compiled\. Found train.compile blocks",
        ),
        ("ebert_tiny", ["train.strategy=zero"], r"unknown value\. Found zero\. Known: ddp, fsdp"),
        (
            "genebert_native",
            ["model.streams=[dna, factors, states]"],
            r"genebert reads no chromatin states",
        ),
        (
            "ebert_tiny",
            ["objectives.next_segment.weight=1"],
            r"the objective needs regions, and windows have none",
        ),
        (
            "ebert_tiny",
            ["samples.window_bp=6"],
            r"the window holds no k-mer\. Found 6; expected at least model.k, 7",
        ),
        (
            "ebert_tiny",
            ["model.k=5", "model.stride=5"],
            r"tokens of a window do not fit\. Found 150; expected at least 202",
        ),
        ("ebert_tiny", ["samples.window_max_n=2"], r"window_max_n=2: the value is out of range"),
        ("ebert_tiny", ["model.stem.filters=0"], r"stem.filters=0: the value is out of range"),
        ("ebert_tiny", ["model.stem={width: 500}"], r"at least 1 and at most 200"),
        ("ebert_tiny", ["model.stem=true"], r"wrong type. Found True; expected .*a table of keys"),
        ("ebert_tiny", ["model.stem.filter=8"], r"unknown key. Did you mean filters"),
        ("ebert_tiny", ["objectives.masked_states.mode=hole"], r"unknown value\. Found hole"),
        (
            "ebert_tiny",
            ["objectives.masked_states.n_centres=0"],
            r"n_centres=0: the value is out of range",
        ),
    ],
)
def test_what_does_not_go_with_windows_is_refused(name, overrides, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(name, "tiny", overrides)


@pytest.mark.parametrize(
    ("recipe", "key", "message"),
    [
        ("dnabert", "samples.on_regions=0.5", "dnabert reads accessible regions alone"),
        ("dnabert", "samples.shuffled=0.5", "dnabert reads accessible regions alone"),
        ("dbert_base", "samples.region_jitter=5", "dbert reads windows, not regions"),
        ("dbert_base", "samples.shuffled=0.5", "shuffled sequence teaches motif sites alone"),
        ("dbert_base", "samples.on_regions=1.5", "out of range"),
        ("dbert_base", "train.patience=0", "out of range"),
    ],
)
def test_what_a_corpus_cannot_be_is_refused(recipe, key, message):
    with pytest.raises(RecipeError, match=f"--set {key}: .*{message}"):
        load_recipe(recipe, overrides=[key])

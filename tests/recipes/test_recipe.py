"""Recipes are read strictly, and every shipped one in every size."""

import json
from dataclasses import replace

import pytest

from epilm.errors import RecipeError
from epilm.models.sizes import encoder_size
from epilm.recipes.recipe import (
    Source,
    from_dict,
    list_recipes,
    load_recipe,
    read_yaml,
    recipe_sizes,
    to_dict,
)
from toy_recipe import GOOD, written

SHIPPED = [(name, size) for name, path in list_recipes().items() for size in recipe_sizes(path)]


@pytest.mark.parametrize(("name", "size"), SHIPPED)
def test_every_recipe_reads_in_every_size_and_goes_through_json(name, size):
    recipe = load_recipe(name, size)
    assert recipe.name == name
    assert recipe.size == size
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


def test_every_recipe_has_tiny_and_small_and_says_source_and_expectation():
    assert set(list_recipes()) >= {
        "genebert_paper",
        "genebert_native",
        "genebert_summary",
        "genebert_hic",
        "dnabert",
        "ebert_base",
        "dbert_base",
        "ebert_large",
        "ebert_small",
        "ebert_tiny",
    }
    for path in list_recipes().values():
        assert {"tiny", "small"} <= set(recipe_sizes(path))
        text = path.read_text()
        assert f"epilm pretrain {path.stem}" in text
        assert "# Source" in text
        assert "# Expected" in text


def test_the_paper_recipe_is_the_headline_configuration():
    recipe = load_recipe("genebert_paper")
    assert recipe.model.tower.name == "swin_t_224"
    assert recipe.model.tower.prepare == "resize"
    assert recipe.model.next_segment == "cross"
    assert recipe.objectives.matching.weight == 0.5
    assert recipe.objectives.matching.batch == 128
    assert (recipe.train.batch_size, recipe.train.steps) == (2000, 120_000)
    assert (recipe.optim.peak_lr, recipe.optim.warmup_steps) == (4e-4, 10_000)
    mask = recipe.objectives.masked_kmers
    assert (mask.rate, mask.late_rate, mask.late_from_step) == (0.15, 0.20, 100_000)


def test_what_follows_from_other_keys_is_derived(tmp_path):
    text = GOOD.replace("matching: {batch: 8}", "matching: {batch: 8}\n  next_segment: {form: bi}")
    recipe = load_recipe(written(tmp_path, text), overrides=["samples.regions=4"])
    assert recipe.model.next_segment == "bi"
    assert recipe.model.regions == 4
    assert recipe.model.masked_factors is False
    assert load_recipe("genebert_summary").model.masked_factors is True
    assert load_recipe("dnabert").model.next_segment == "none"


def test_sizes_and_overrides_are_laid_on_top(tmp_path):
    path = written(tmp_path)
    assert load_recipe(path).train.steps == 10
    assert load_recipe(path, "tiny").train.steps == 2
    both = load_recipe(path, "tiny", ["train.steps=5", "samples.holdout_chroms=[chr22, chrX]"])
    assert both.train.steps == 5
    assert both.samples.holdout_chroms == ("chr22", "chrX")
    assert load_recipe(path).optim.warmup_steps == 100


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "peak_lr",
            "peak_rl",
            r"mine.yaml, line 6, key optim.peak_rl: unknown key\. Did you mean peak_lr\?",
        ),
        (
            "steps: 10",
            "steps: ten",
            r"line 7, key train.steps: wrong type\. Found 'ten'; expected a whole number",
        ),
        ("steps: 10", "steps: 1.5", r"Found 1.5; expected a whole number"),
        ("steps: 10", "steps: null", r"Found null; expected a whole number"),
        (
            "steps: 10",
            "steps: 0",
            r"train.steps: the value is out of range\. Found 0; expected at least 1",
        ),
        ("steps: 10, ", "", r"mine.yaml, key train.steps: a key is missing"),
        ("steps: 10", "steps: 10, steps: 11", r"line 7, key train.steps: the key stands twice"),
        (
            "size: tiny",
            "size: tony",
            r"line 5, key model.encoder.size: unknown value\. Found tony\. Did you mean tiny\?",
        ),
        (
            "[dna, factors]",
            "dna",
            r"key model.streams: wrong type\. Found 'dna'; expected a list \[...\] of one of dna",
        ),
        ("[dna, factors]", "[dna, rna]", r"unknown value\. Found rna"),
        (
            "[dna, factors]",
            "[dna]",
            r"objectives.matching.weight: the objective needs the factors stream",
        ),
        (
            "{size: tiny}",
            "tiny",
            r"model.encoder: wrong type\. Found 'tiny'; expected a table of keys",
        ),
        (
            "matching: {batch: 8}",
            "matching: {batch: 12}",
            (
                r"objectives.matching.batch: the contrastive batch must be whole.*Found 12;"
                r" expected a multiple.*8"
            ),
        ),
        (
            "matching: {batch: 8}",
            "matching: {batch: 24}",
            r"larger than the batch\. Found 24; expected at most train.batch_size, 16",
        ),
        (
            "batch_size: 16",
            "batch_size: 20",
            r"train.batch_size: the batch must be whole micro-batches.*Found 20",
        ),
        (
            "name: genebert",
            "name: genebert\n  k: 8",
            r"model.k: the value is out of range\. Found 8; expected at least 3 and at most 7",
        ),
        (
            "name: genebert",
            "name: genebert\n  max_tokens: 600",
            r"model.max_tokens: more tokens than the encoder has positions",
        ),
        (
            "name: genebert",
            "name: genebert\n  next_segment: bi",
            r"key model.next_segment: the key cannot be set\. Leave it out: it is objectives",
        ),
        (
            "name: genebert",
            "name: genebert\n  tower: {name: swim_t_224}",
            r"unknown region tower\. Found swim_t_224\. Did you mean swin_t_224",
        ),
        (
            "matching: {batch: 8}",
            "matching: {batch: 8}\n  masked_factors: {weight: 1.0}",
            r"key model.fusion.*: masked factors.*expected concat or cross_attention",
        ),
        (
            "matching: {batch: 8}",
            "matching: {batch: 8}\n  contacts: {weight: 1.0}",
            r"aligning contacts needs their encoder",
        ),
        (
            "name: mine",
            "name: mine\nsize: tiny",
            r"line 2, key size: the key cannot be set\. Pass --size",
        ),
        ("name: mine", "name: [mine", r"mine.yaml, line \d+: the file is not YAML"),
        (
            "  encoder",
            "  extra: !!python/name:os.system x\n  encoder",
            r"a YAML tag that recipes do not use",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, GOOD, old, new))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.peak_rl=1", r"--set optim.peak_rl=1: unknown key\. Did you mean peak_lr"),
        ("optim.peak_lr=-1", r"--set optim.peak_lr=-1: the value is out of range"),
        ("steps", "--set steps: an override reads key=value"),
        ("samples.holdout_chroms=[22]", r"wrong type\. Found 22; expected text"),
        ("optim.betas=[0.9, 1.0]", "optim.betas.*0 <= beta < 1"),
        ("model.factors=3", "--set model.factors=3: the key cannot be set"),
    ],
)
def test_a_wrong_override_is_named(tmp_path, override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path), overrides=[override])


def test_unknown_recipe_size_and_file(tmp_path):
    with pytest.raises(
        RecipeError, match=r"unknown recipe\. Found genebert_pape\. Did you mean genebert_paper\?"
    ):
        load_recipe("genebert_pape")
    with pytest.raises(RecipeError, match=r"no such size\. Found tinny\. Did you mean tiny\?"):
        load_recipe("dnabert", "tinny")
    with pytest.raises(RecipeError, match="no such recipe file"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="a recipe is a table of keys"):
        load_recipe(written(tmp_path, "- a\n- b\n"))


def test_numbers_and_words_are_those_of_yaml_12():
    text = "a: 4e-4\nb: no\nc: 010\nd: 1_000\ne: 1:30\nf: on\ng: true\nh: ~\ni: .5\n"
    assert read_yaml(text, Source("x")) == {
        "a": 4e-4,
        "b": "no",
        "c": 10,
        "d": 1000,
        "e": "1:30",
        "f": "on",
        "g": True,
        "h": None,
        "i": 0.5,
    }


# -- windows


def test_ebert_and_dbert_are_those_of_table_s2():
    for name, steps, batch, lr, warmup, streams in (
        ("ebert_base", 70_000, 8192, 6e-5, 30_000, ("dna", "states")),
        ("dbert_base", 120_000, 4096, 4e-4, 24_000, ("dna",)),
    ):
        recipe = load_recipe(name)
        assert (recipe.train.steps, recipe.train.batch_size) == (steps, batch)
        assert (recipe.optim.peak_lr, recipe.optim.warmup_steps) == (lr, warmup)
        assert (recipe.optim.betas, recipe.optim.eps) == ((0.9, 0.98), 1e-4)
        assert recipe.model.streams == streams
        assert (recipe.model.k, recipe.model.stride, recipe.samples.window_bp) == (7, 7, 1000)
        assert recipe.samples.holdout_chroms == ("chr8", "chr21")
        mask = recipe.objectives.masked_kmers
        assert (mask.scheme, mask.rate, mask.late_rate) == ("iid", 0.15, 0.15)
        assert recipe.model.encoder.dropout == 0.1
    ebert = load_recipe("ebert_base").objectives
    assert (ebert.masked_kmers.weight, ebert.masked_states.weight) == (0.5, 0.5)
    assert (
        ebert.masked_states.mode,
        ebert.masked_states.flank_bp,
        ebert.masked_states.n_centres,
    ) == (
        "flank",
        100,
        1,
    )
    dbert = load_recipe("dbert_base").objectives
    assert (dbert.masked_kmers.weight, dbert.masked_states.weight) == (1, 0)
    large = encoder_size(load_recipe("ebert_large").model.encoder)
    assert (large.layers, large.heads, large.hidden) == (24, 16, 1024)


@pytest.mark.parametrize("size", ["small", "tiny"])
def test_the_small_recipes_are_the_sizes_of_the_large_ones(size):
    alone = replace(load_recipe(f"ebert_{size}"), name="", size="")
    assert replace(load_recipe("ebert_base", size), name="", size="") == alone
    control = load_recipe("dbert_base", size)
    assert (control.samples, control.train, control.optim) == (
        alone.samples,
        alone.train,
        alone.optim,
    )
    assert control.model.encoder == alone.model.encoder


def test_alpha_is_the_weight_of_both_objectives():
    objectives = load_recipe("ebert_tiny", overrides=["objectives.alpha=0.8"]).objectives
    assert objectives.masked_kmers.weight == 0.8
    assert objectives.masked_states.weight == pytest.approx(0.2)


def test_a_stem_is_off_in_the_papers_recipes_and_a_table_where_asked_for():
    for name, size in SHIPPED:
        stem = load_recipe(name, size).model.stem
        assert (stem is not None) == name.endswith("_lab"), (name, size)
    stem = load_recipe("dnabert", "tiny", ["model.stem.filters=8"]).model.stem
    assert (stem.filters, stem.width) == (8, 20)
    recipe = load_recipe("ebert_tiny", overrides=["model.stem={}"])
    assert recipe.model.stem.filters == 64
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a0: &a0 [x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
            "the file says far more than a recipe does. Found .* values, aliases written out",
        ),
        ("a: &a [1, *a]\n", "line 1: an alias is inside of what it stands for"),
        ("[" * 5000, "nested far deeper than a recipe"),
        (f"a: {'1' * 5000}\n", "key a: the number is longer than any. Found 5000 digits"),
        ("a: !!python/object/apply:os.system [echo]\n", "a YAML tag that recipes do not use"),
        ("a: !!python/name:os.system x\n", "a YAML tag that recipes do not use"),
    ],
)
def test_yaml_that_would_take_all_memory_or_run_code_is_refused(text, message):
    with pytest.raises(RecipeError, match=message):
        read_yaml(text, Source("r.yaml"))

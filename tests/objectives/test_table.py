"""The table of objectives: each says its own name, and what each refuses is refused in a recipe."""

import pytest

from epilm.errors import RecipeError
from epilm.objectives.table import OBJECTIVES, ObjectivesSpec
from epilm.recipes.recipe import load_recipe


def test_the_table_has_every_objective_and_each_says_its_own_name():
    assert set(OBJECTIVES) == set(ObjectivesSpec().parts())
    for name, objective in OBJECTIVES.items():
        assert objective.name == name
        assert isinstance(getattr(ObjectivesSpec(), name), objective.spec)
        assert {f"{name}.{key}" for key in objective.ranges} <= {
            f"{name}.{key}" for key in objective.spec.__dataclass_fields__
        }


# name of a recipe -> what no run can be asked; messages are the objectives' own.
REFUSED = [
    ("masked_kmers.weight=-1", r"masked_kmers\.weight=-1: the value is out of range\. Found -1"),
    ("masked_kmers.rate=0", r"masked_kmers\.rate=0: the value is out of range"),
    ("masked_kmers.late_rate=1.5", r"at least 0\.001 and at most 0\.9"),
    ("masked_kmers.scheme=span", r"unknown value\. Found span\. Did you mean"),
    ("masked_kmers.span_tokens=0", r"expected at least 1"),
    ("masked_kmers.late_from_step=-1", r"expected at least 0"),
    ("next_segment.negative=none", r"next_segment\.negative=none: unknown value"),
    ("matching.form=x", r"matching\.form=x: unknown value"),
    ("matching.temperature=0", r"expected at least 0\.001 and at most 100"),
    ("matching.batch=1", r"expected at least 2"),
    ("masked_factors.loss=mae", r"masked_factors\.loss=mae: unknown value"),
    ("masked_factors.rate=0", r"masked_factors\.rate=0: the value is out of range"),
    ("masked_factors.weight=1", "which fusion none keeps apart"),
    ("contacts.weight=1", "aligning contacts needs their encoder"),
    ("masked_states.weight=1", "masked states need the states stream"),
    ("masked_states.flank_bp=-7", r"masked_states\.flank_bp=-7: the value is out of range"),
    ("masked_states.flank_round=up", "unknown value"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_an_objective_refuses_is_refused_in_a_recipe(change, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("genebert_native", "tiny", [f"objectives.{change}"])


@pytest.mark.parametrize("how", ["zscore", "max", "none"])
def test_bce_is_not_asked_of_z_scores(how):
    given = [
        "objectives.masked_factors.weight=1",
        "objectives.masked_factors.loss=bce",
        "model.fusion=concat",
        f"samples.normalise_factors={how}",
    ]
    if how != "zscore":
        assert load_recipe("genebert_native", "tiny", given).samples.normalise_factors == how
        return
    with pytest.raises(RecipeError, match=r"a z-score is above 0 wherever.*expected mse, or samp"):
        load_recipe("genebert_native", "tiny", given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], None),
        (["objectives.matching.weight=0", "objectives.matching.batch=6"], "whole micro-batches"),
        (
            ["objectives.matching.weight=0", "objectives.matching.batch=null"],
            "one sample alone has nothing to be contrasted with",
        ),
    ],
)
def test_contacts_alone_are_contrasted_among_whole_micro_batches_too(changes, message):
    given = ["train.micro_batch=4"] if "null" not in str(changes) else ["train.micro_batch=1"]
    if message is None:
        load_recipe("genebert_hic", "tiny", given)
        return
    with pytest.raises(RecipeError, match=message):
        load_recipe("genebert_hic", "tiny", [*given, *changes])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["next_segment.form=bi"], None),
        (["next_segment.form=bi", "next_segment.unit=sample"], "bi compares single regions"),
    ],
)
def test_form_bi_compares_regions_of_one_pass(changes, message):
    given = [f"objectives.{change}" for change in changes]
    if message is None:
        load_recipe("genebert_native", "tiny", given)
        return
    with pytest.raises(RecipeError, match=message):
        load_recipe("genebert_native", "tiny", given)

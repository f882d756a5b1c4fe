"""`epilm finetune`: each task has its own options."""

import re

import pytest

from epilm.cli import main


def one_line(capsys):
    return " ".join(capsys.readouterr().err.split())


# -- options are the task's own


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["finetune", "promoter", "--data", "p.tsv", "--out", "ft", "--kernel", "99"],
            "finetune promoter: no such option. Found --kernel, an option of binding.",
        ),
        (
            ["finetune", "promoter", "--data", "p.tsv", "--out", "ft", "--pair", "CTCF:PC-3"],
            "Found --pair, an option of binding.",
        ),
        (
            ["finetune", "dream", "--data", "d", "--out", "ft", "--genome", "g.fa"],
            "finetune binding: no such option. Found --genome, an option of promoter, tfbs,",
        ),
        (
            ["finetune", "dream", "--data", "d", "--out", "ft", "--negatives", "gc"],
            "an option of promoter, tfbs, contacts. Did you mean --negatives-per-positive",
        ),
        (
            ["finetune", "tfbs", "--data", "d", "--out", "ft", "--lenght=5"],
            "finetune tfbs: no such option. Found --lenght. Did you mean --length",
        ),
        (
            ["evaluate", "F.tab", "--task", "dream", "--genome", "g.fa"],
            "evaluate binding: no such option. Found --genome, an option of promoter, tfbs, seq",
        ),
        (
            ["evaluate", "F.tab", "--task=promoter", "--cell", "liver"],
            "evaluate promoter: no such option. Found --cell, an option of binding.",
        ),
    ],
)
def test_an_option_of_another_task_is_refused_with_the_nearest_known(words, said, capsys):
    assert main(words) == 2
    assert said in one_line(capsys)


def options_in(text):
    """Names at the left of the boxes of a help page: the examples above name others' options."""
    return set(re.findall(r"^│ [* ]*(?:[A-Z-]+ )?(--[a-z-]+)", text, re.MULTILINE))


def test_help_of_a_task_shows_its_options_alone(capsys):
    for word in ("binding", "dream"):
        assert main(["finetune", word, "--help"]) == 0
        options = options_in(capsys.readouterr().out)
        assert {"--kernel", "--pair", "--negatives-per-positive", "--epochs", "--data"} <= options
        assert not {"--negative", "--negatives", "--genome", "--fusion"} & options
    assert main(["finetune", "promoter", "--help"]) == 0
    options = options_in(capsys.readouterr().out)
    assert {"--negative", "--negatives", "--genome", "--window", "--epochs"} <= options
    assert not {"--kernel", "--pair", "--store"} & options

"""The contract of a task: its options are its own, a foreign one is refused with whose it is."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from epilm.errors import UsageError
from epilm.tasks import TASKS, find_task
from epilm.tasks.binding.binding_options import BindingOptions
from epilm.tasks.contract import VERBS, foreign_option, learned_settings, options_from, owners_of
from epilm.tasks.promoter import PromoterOptions
from epilm.tasks.sequence_task import SequenceOptions
from epilm.training.learning import Learning


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_options_for_every_verb_and_all_of_them_a_default(name):
    task = find_task(name)
    assert task.name == name
    assert task.about.endswith(".")
    assert task.data
    for verb in VERBS:
        spec = task.options_of(verb)
        assert spec() == spec()
        assert spec.__dataclass_params__.frozen
    assert issubclass(task.options_of("finetune"), Learning)


def test_an_option_of_another_task_is_refused_with_whose_it_is_and_the_nearest():
    promoter, binding = TASKS["promoter"], TASKS["binding"]
    assert owners_of("--kernel", "finetune", TASKS) == ("binding",)
    assert set(owners_of("--genome", "finetune", TASKS)) == {
        "promoter",
        "tfbs",
        "sequences",
        "splice",
        "expression",
        "contacts",
    }
    assert "Found --kernel, an option of binding." in str(
        foreign_option(promoter, "finetune", "--kernel", TASKS)
    )
    said = str(foreign_option(binding, "finetune", "--negatives", TASKS))
    assert (
        "finetune binding: no such option. Found --negatives, an option of promoter, tfbs" in said
    )
    assert "Did you mean --negatives-per-positive" in said
    assert "an option of" not in str(foreign_option(promoter, "finetune", "--ephocs", TASKS))


def test_options_are_made_from_an_instance_names_or_both():
    task = TASKS["promoter"]
    made = options_from(task, "finetune", Learning(epochs=9), {"window": "300"}, TASKS)
    assert isinstance(made, PromoterOptions)
    assert (made.epochs, made.window) == (9, "300")
    whole = PromoterOptions(epochs=4)
    assert options_from(task, "finetune", whole, {"epochs": 5}, TASKS) == replace(whole, epochs=5)
    with pytest.raises(
        UsageError, match=r"settings are of another task. Found BindingOptions; expected PromoterO"
    ):
        options_from(task, "finetune", BindingOptions(), {}, TASKS)
    with pytest.raises(UsageError, match="Found --pair, an option of binding"):
        options_from(task, "finetune", None, {"pair": "CTCF:PC-3"}, TASKS)


def test_a_lone_text_or_a_list_becomes_a_tuple_where_several_are_wanted():
    made = options_from(
        TASKS["binding"], "finetune", None, {"factor": "CTCF", "signals": ["a", "b"]}, TASKS
    )
    assert made.factor == ("CTCF",)
    assert made.signals == ("a", "b")


def test_settings_that_decide_what_is_learned_do_not_say_where_the_data_lie():
    settings = learned_settings(SequenceOptions(genome="hg19.fa", test=("chr8",), fusion="concat"))
    assert {field.name for field in fields(Learning)} - {"beside"} <= set(settings)
    assert settings["fusion"] == "concat"
    assert not {"genome", "negative", "test", "valid", "split", "motifs"} & set(settings)
    assert "pair" not in learned_settings(BindingOptions())


def test_a_new_task_is_a_class_and_a_line():
    """Ten lines outside of the package; nothing else asks for its name."""
    from epilm.finetuning.finetune import finetune
    from epilm.tasks.base import labelled
    from epilm.tasks.sequence_task import SequenceTask

    @dataclass(frozen=True)
    class RichOptions(SequenceOptions):
        base: str = "G"

    def load(data, *, genome=None, negative=None, seed=0, base="G"):
        texts = Path(data).read_text(encoding="utf-8").split()
        return labelled(texts, [int(text.count(base) > 4) for text in texts], name="rich")

    TASKS["rich"] = SequenceTask("rich", load, ("poor", "rich"), options=RichOptions)
    try:
        import random
        import tempfile

        draw = random.Random(0)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            lines = ("".join(draw.choice("ACGT") for _ in range(16)) for _ in range(80))
            file.write("\n".join(lines))
            file.flush()
            result = finetune(
                "rich",
                file.name,
                checkpoint="cnn",
                base="C",
                epochs=1,
                device="cpu",
                say=lambda line: None,
            )
        assert result.model.about["task"] == "rich"
        assert result.metrics["test"]["n"] > 0
        with pytest.raises(UsageError, match=r"Found --bass. Did you mean --base"):
            finetune("rich", "x", bass="C")
    finally:
        del TASKS["rich"]

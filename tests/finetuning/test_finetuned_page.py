"""The page of a fine-tuning says the command that makes it again, in its own task's options."""

from dataclasses import replace

from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned_page import command_of
from toy_binding import QUICK as BINS
from toy_binding import toy_labels, toy_store
from toy_sequences import QUICK, planted, quick


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


def test_a_run_on_bins_names_its_factors_and_how_it_is_scored(tmp_path):
    store = toy_store(tmp_path / "store")
    settings = replace(BINS, store=store, epochs=1, valid_chroms=("chr2:0-6000",))
    finetune(
        "binding", toy_labels(store), tmp_path / "ft", checkpoint="cnn", settings=settings, say=str
    )
    words, rest = words_of(tmp_path / "ft")
    assert words[:3] == ["epilm", "finetune", "binding"]
    assert words[words.index("--factor") + 1] == "TF"
    assert len(rest) == 1
    assert rest[0].startswith("epilm evaluate ")

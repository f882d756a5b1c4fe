"""The command line's frame: overview, exit codes, messages."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import pytest

from epilm import cli
from epilm.cli import COMMANDS, MEMORY, OF_TASKS, main
from epilm.training.learning import Learning, option_name
from toy_sequences import planted, quick


def test_the_overview_names_every_command_without_importing_any(capsys):
    code = (
        "import sys; from epilm.cli import main; main(['--help']);"
        "print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    for name in COMMANDS:
        assert name in done.stdout


def test_an_unknown_command_is_wrong_use_and_the_nearest_is_named(capsys):
    assert main(["pretrian"]) == 2
    assert "Did you mean pretrain?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["simulate", "x", "--seed", "1.5"], "--seed"),
        (["build", "--genome", "g.fa", "--out", "s", "--top-n", "0.5"], "--top-n"),
        (["inspect", "s", "--regions", "2.01"], "--regions"),
    ],
)
def test_a_fraction_is_no_whole_number(words, option, capsys):
    assert main(words) == 2
    assert f"{option}: not a whole number. Found {words[-1]}" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_with_its_options(command, capsys):
    assert main([command, "--help"]) == 0
    assert "Usage: epilm" in capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(MEMORY))
def test_the_cure_for_memory_names_options_that_the_command_has(command, capsys):
    assert main([command, "--help"]) == 0
    there = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    if command in OF_TASKS:  # --help alone knows no task yet
        there |= {option_name(Learning, "micro_batch")}
    assert set(re.findall(r"--[a-z-]+", MEMORY[command])) <= there


@pytest.mark.parametrize(
    ("words", "module", "cure"),
    [
        (
            ["pretrain", "x", "--store", "s", "--out", "o"],
            "epilm.pretraining.pretrain",
            "--set train.micro_batch=N",
        ),
        (
            ["predict", "ft", "x.fa", "--device", "cpu"],
            "epilm.finetuning.predict",
            "Lower --batch-size",
        ),
        (["evaluate", "ft"], "epilm.finetuning.evaluate", "Lower --batch-size (256"),
        (
            ["plan", "x", "--store", "s"],
            "epilm.planning.plan",
            "Run it where there is more memory",
        ),
    ],
)
def test_running_out_of_memory_names_the_cure_of_the_command(
    words, module, cure, monkeypatch, capsys, tmp_path
):
    if words[0] in OF_TASKS:
        quick(planted(40), tmp_path / "ft", checkpoint="cnn", epochs=1)
        monkeypatch.chdir(tmp_path)

    def full(*_, **__):
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    monkeypatch.setattr(
        importlib.import_module(module),
        module.rpartition(".")[2]
        .replace("prediction", "predict")
        .replace("evaluation", "evaluate"),
        full,
    )
    assert main(words) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "epilm: out of memory. Found DefaultCPUAllocator" in said
    assert cure in said


def test_an_unknown_option_is_wrong_use(capsys):
    assert main(["inspect", "--nonsense", "1"]) == 2


# -- options are the task's own


@pytest.mark.parametrize("module", sorted(m.name for m in pkgutil.iter_modules(cli.__path__)))
def test_no_function_of_the_command_line_has_more_than_12_parameters(module):
    loaded = importlib.import_module(f"epilm.cli.{module}")
    many = {
        name: len(inspect.signature(function).parameters)
        for name, function in inspect.getmembers(loaded, inspect.isfunction)
        if function.__module__ == loaded.__name__
        and len(inspect.signature(function).parameters) > 12
    }
    assert not many

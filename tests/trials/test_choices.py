"""Families of options: what a user types has not changed, and no command takes a long list."""

import inspect
import subprocess
import sys

import pytest

from epilm.cli import application, main
from epilm.cli.ablate import ablate
from epilm.cli.compare import compare
from epilm.processes import same_modules

OPTIONS = {
    ablate: (
        "name out seeds first-seed size store data genome labels regions blacklist motifs rule runs"
        " shard executor jobs scheduler slurm json",
        ["ablate", "x.yaml", "--out", "f", "--rule", "bin_half", "--store", "s"],
    ),
    compare: (
        "out manifest jobs task data genome negative negatives option factor split valid test"
        " data-seed models ensemble baselines motifs seeds epochs lr batch-size freeze"
        " both-strands patience lora dropout ema threshold device precision shard executor"
        " scheduler slurm json",
        ["compare", "--out", "f", "--models", "a=b", "c=d", "--lr", "1e-3", "--lr", "2e-3"],
    ),
}


@pytest.mark.parametrize("command", OPTIONS)
def test_the_options_are_those_there_were_and_each_has_its_help(command, capsys):
    names, words = OPTIONS[command]
    assert len(inspect.signature(command).parameters) <= 12
    arguments = application(words[0])[words[0]].assemble_argument_collection()
    spelled = {argument.name.removeprefix("--") for argument in arguments} - {"*"}
    assert spelled == set(names.split())
    assert main([words[0], "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"--{name} " in shown or f"--{name}\n" in shown for name in spelled)
    if command is compare:  # help of a family is what stands below its field
        assert "Rows of a step." in shown


def test_words_arrive_in_their_family():
    _, bound, *_ = application("compare").parse_args(OPTIONS[compare][1])
    assert bound.arguments["field"].models == ["a=b", "c=d"]
    assert bound.arguments["learning"].lr == [1e-3, 2e-3]
    _, bound, *_ = application("ablate").parse_args(OPTIONS[ablate][1])
    assert bound.arguments["data"].given() == {"store": "s", "rule": "bin_half"}


def test_help_loads_nothing_heavy():
    code = (
        "import sys, epilm.cli.compare, epilm.cli.ablate\n"
        "sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=same_modules(), check=False)
    assert done.returncode == 0

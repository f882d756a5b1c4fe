"""Examples in the help of a command: those of its task, each on lines of its own."""

import importlib
import re

import pytest

from epilm.cli import COMMANDS, main
from toy_sequences import planted, quick


def test_help_of_a_task_shows_its_examples_alone(capsys, tmp_path):
    for word in ("binding", "dream"):
        assert main(["finetune", word, "--help"]) == 0
        said = capsys.readouterr().out
        assert examples_shown(said) == [
            "epilm finetune binding --data chip --factor CTCF --store dream.store"
            " --checkpoint runs/ebert --test-cells liver --out ft"
        ]
    quick(planted(40), tmp_path / "ft", checkpoint="cnn", epochs=1)
    assert main(["predict", str(tmp_path / "ft"), "--help"]) == 0
    shown = examples_shown(capsys.readouterr().out)
    assert [line.split()[3] for line in shown] == ["sequences.fa", "peaks.bed", "peaks.bed"]
    assert main(["evaluate", "F.tab.gz", "--task", "binding", "--help"]) == 0
    shown = examples_shown(capsys.readouterr().out)
    assert [line.split()[2:4] for line in shown] == [
        ["ft"],
        ["ft", "--data"],
        ["F.MAX.liver.tab.gz", "--task"],
    ]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_example_of_a_command_is_on_lines_of_its_own(command, capsys):
    module = command.replace("-", "_")
    text = importlib.import_module(f"epilm.cli.{module}").__dict__[module].__doc__
    block = text.partition("Examples:\n")[2].split("Parameters\n")[0]
    written = re.findall(r"^    (epilm .*(?:\n     .*)*)", block, re.MULTILINE)
    assert main([command, "--help"]) == 0
    shown = examples_shown(capsys.readouterr().out)
    assert shown == [" ".join(line.replace("\\\n", " ").split()) for line in written]


def examples_shown(text):
    """Examples above the boxes of a help page, continued lines joined."""
    joined = re.sub(r"\\\s*\n", " ", text.partition("╭")[0])
    return [" ".join(line.split()) for line in joined.splitlines() if line.startswith(" epilm ")]

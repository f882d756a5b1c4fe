"""The command line's frame: overview, exit codes, messages."""

import subprocess
import sys

import pytest

from epilm.cli import COMMANDS, main


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


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_with_its_options(command, capsys):
    assert main([command, "--help"]) == 0
    assert "Usage: epilm" in capsys.readouterr().out


def test_an_unknown_option_is_wrong_use(capsys):
    assert main(["inspect", "--nonsense", "1"]) == 2

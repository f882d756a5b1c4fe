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


def test_the_challenges_pairs_are_listed_and_fill_the_options(capsys, tmp_path):
    assert main(["ls", "pairs"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("learned in") == 13
    assert "CTCF:PC-3" in listed
    words = [
        "finetune",
        "dream",
        "--data",
        str(tmp_path),
        "--store",
        str(tmp_path),
        "--out",
        str(tmp_path / "x"),
    ]
    assert main([*words, "--pair", "CTCF:PC-3", "--test-cells", "liver"]) == 2
    assert "--pair says it already. Found test_cells" in capsys.readouterr().err.replace("\n", " ")
    assert main([*words, "--pair", "CTCF:PC-4"]) == 2
    assert "Did you mean CTCF:PC-3" in capsys.readouterr().err.replace("\n", " ")


def test_a_pair_is_learned_with_its_own_cell_types(capsys, tmp_path, monkeypatch):
    """REST in liver: what reaches the fine-tuning is the table of protocols 6.1."""
    import epilm.training.finetune as module

    class Asked(Exception):
        pass

    def asked(task, data, out, **options):
        raise Asked(options["factor"], options["settings"])

    monkeypatch.setattr(module, "finetune", asked)
    with pytest.raises(Asked) as found:
        main(["finetune", "dream", "--data", "chip", "--store", "s", "--out", "x", "--pair", "REST:liver"])
    factor, settings = found.value.args
    assert factor == ["REST"]
    assert settings.train_cells == ("H1-hESC", "HeLa-S3", "HepG2", "MCF-7", "Panc1", "SK-N-SH")
    assert (settings.test_cells, settings.valid_chroms) == (("liver",), ("chr11",))
    assert settings.test_chroms == ("chr1", "chr8", "chr21")

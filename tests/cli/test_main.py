"""The command line's frame: overview, exit codes, messages."""

import re
import subprocess
import sys

import pytest

from epilm.cli import COMMANDS, MEMORY, main


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
    words, module, cure, monkeypatch, capsys
):
    import importlib

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
    import epilm.finetuning.finetune as module

    class Asked(Exception):
        pass

    def asked(task, data, out, **options):
        raise Asked(options["factor"], options["settings"])

    monkeypatch.setattr(module, "finetune", asked)
    with pytest.raises(Asked) as found:
        main(
            [
                "finetune",
                "dream",
                "--data",
                "chip",
                "--store",
                "s",
                "--out",
                "x",
                "--pair",
                "REST:liver",
            ]
        )
    factor, settings = found.value.args
    assert factor == ["REST"]
    assert settings.train_cells == ("H1-hESC", "HeLa-S3", "HepG2", "MCF-7", "Panc1", "SK-N-SH")
    assert (settings.test_cells, settings.valid_chroms) == (("liver",), ("chr11",))
    assert settings.test_chroms == ("chr1", "chr8", "chr21")

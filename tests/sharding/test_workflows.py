"""The examples for engines of workflows: what they call parses, and where an engine is installed it
runs them.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from epilm.cli import application, main
from toy_sequences import planted, quick

EXAMPLES = Path(__file__).parents[2] / "examples"
SNAKEFILE, NEXTFLOW = EXAMPLES / "snakemake" / "Snakefile", EXAMPLES / "nextflow" / "main.nf"


@pytest.mark.parametrize("path", [SNAKEFILE, NEXTFLOW], ids=lambda path: path.name)
def test_the_commands_of_an_example_parse(path):
    text = path.read_text()
    lines = re.findall(r"(?:\{EPILM\}|^\s*epilm) ((?:predict|merge) [^\"\n]*)", text, re.MULTILINE)
    assert [line.split()[0] for line in sorted(lines)] == ["merge", "predict"]
    for line in lines:
        plain = re.sub(r"\$?\{[^{}]*(?:[iI]|wildcards\.[in]|shards)\}", "2", line)
        plain = re.sub(r"\{OPTIONS\}|\$\{params\.options\}", "", plain)
        words = shlex.split(re.sub(r"\$?\{[^{}]*\}", "name", plain))
        application(words[0], [*words, "--task", "promoter"]).parse_args(
            words, exit_on_error=False, print_error=False
        )


@pytest.mark.skipif(shutil.which("snakemake") is None, reason="Snakemake is not installed")
def test_snakemake_gives_what_one_process_gives(tmp_path):
    rows = planted(40)
    quick(rows, tmp_path / "ft", checkpoint="cnn", epochs=1)
    (tmp_path / "s.fa").write_text("".join(f">s{n}\n{rows.text(n)}\n" for n in range(20)))
    options = ["--batch-size", "4", "--device", "cpu"]
    words = ["predict", str(tmp_path / "ft"), str(tmp_path / "s.fa"), *options]
    assert main([*words, "--out", str(tmp_path / "one.tsv")]) == 0
    config = ["run=ft", "input=s.fa", "shards=2", f"options={' '.join(options)}"]
    config.append(f"epilm={sys.executable} -m epilm")
    subprocess.run(
        ["snakemake", "--snakefile", str(SNAKEFILE), "--cores", "1", "--config", *config],
        cwd=tmp_path,
        check=True,
    )
    assert (tmp_path / "scores.tsv").read_bytes() == (tmp_path / "one.tsv").read_bytes()

"""What an environment must not hold, and what an import must not cost."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import torch


def test_no_torchvision_arrived():
    # Beside a CPU torch it breaks lightning and transformers at import (docs/how-to/install.md).
    assert "torchvision" not in {(d.metadata["Name"] or "").lower() for d in distributions()}


@pytest.mark.skipif(torch.version.cuda is not None, reason="a CUDA build of torch is installed")
def test_no_cuda_package_arrived_with_a_cpu_build():
    assert [
        d.metadata["Name"]
        for d in distributions()
        if (d.metadata["Name"] or "").startswith("nvidia")
    ] == []


def test_importing_epilm_imports_nothing_heavy():
    code = (
        "import sys, epilm; print([m for m in ('torch', 'pandas', 'numpy', 'cyclopts') if m in"
        " sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_found():
    import epilm

    for name in epilm.__all__:
        assert getattr(epilm, name) is not None, name


def test_every_extra_that_a_message_or_a_page_names_is_one():
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = [*(root / "src").rglob("*.py"), *(root / "docs").rglob("*.md"), root / "README.md"]
    named = {
        extra
        for path in files
        for names in re.findall(r"epilm\[([a-z,]+)\]", path.read_text(encoding="utf-8"))
        for extra in names.split(",")
    }
    assert len(named) > 5
    assert named <= set(project["optional-dependencies"])

"""What an environment must not hold, and what an import must not cost."""

import subprocess
import sys
from importlib.metadata import distributions

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

"""The kernels of a GPU, run by triton's interpreter in a process of its own, against torch's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("what", ["sums", "dropout", "motifs"])
def test_kernels_under_the_interpreter(what):
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/nn/interpreted_kernels.py"), what],
        capture_output=True,
        text=True,
        timeout=600,
        env={
            **os.environ,
            "TRITON_INTERPRET": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path]),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]

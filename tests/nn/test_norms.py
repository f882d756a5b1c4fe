"""The kernels of a GPU, run by triton's interpreter in a process of its own, against torch's
operations.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from epilm.nn.dropout import Dropout, drop
from epilm.nn.norms import add_norm

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_the_sum_is_torchs_own():
    x, update, norm = torch.randn(3, 4, 8), torch.randn(3, 4, 8), nn.LayerNorm(8)
    assert torch.equal(add_norm(x, update, norm, Dropout(0.0)), norm(x + update))
    torch.manual_seed(1)
    dropped = add_norm(x, update, norm, Dropout(0.5))
    torch.manual_seed(1)
    assert torch.equal(dropped, norm(x + drop(update, 0.5)))
    assert torch.equal(add_norm(x, update, norm, Dropout(0.5).eval()), norm(x + update))


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

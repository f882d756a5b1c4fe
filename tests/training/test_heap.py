"""Freed memory stays while a model trains, and is given back after it."""

import re
from pathlib import Path

import pytest
import torch

from epilm.training import heap
from epilm.training.heap import kept_heap

BYTES = 256 << 20


def resident() -> int:
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024


@pytest.mark.skipif(heap._library() is None, reason="the C library is not GNU's")
def test_memory_stays_inside_and_is_given_back_after():
    before = resident()
    with kept_heap(torch.device("cpu")):
        torch.ones(BYTES // 4)
        assert resident() - before > 0.9 * BYTES  # freed, and still here: the next step finds it mapped
    assert resident() - before < 0.5 * BYTES
    torch.ones(BYTES // 4)
    assert resident() - before < 0.5 * BYTES  # outside of it, as ever


def test_without_that_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(heap, "_library", lambda: None)
    with kept_heap(torch.device("cpu")):
        assert float(torch.ones(3).sum()) == 3.0

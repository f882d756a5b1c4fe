"""A device that was asked for is used, or the run does not start."""

import pytest
import torch

from epilm import device
from epilm.errors import TrainingError


def test_a_missing_gpu_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        TrainingError, match=r"asks for cuda, which is not here.*Found cuda; expected cpu"
    ):
        device.choose_place("cuda")


def test_an_idle_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert any("2 GPU here, not used" in line for line in device.choose_place("cpu", "fp32").said)


def test_too_many_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        TrainingError, match=r"more GPUs than there are.*Found 2; expected at most 1"
    ):
        device.choose_device("cuda", 2)


@pytest.mark.parametrize(("flag", "bf16"), [("avx512_bf16", True), (None, False)])
def test_auto_takes_bf16_where_the_processor_has_it(monkeypatch, flag, bf16):
    monkeypatch.setattr(device, "cpu_bf16", lambda: flag)
    place = device.choose_place("cpu", "auto")
    assert place.bf16 is bf16
    assert ("bf16 (the processor has avx512_bf16)" in place.said[0]) is bf16


def test_slow_bf16_is_said(monkeypatch):
    monkeypatch.setattr(device, "cpu_bf16", lambda: None)
    assert "slower than fp32" in device.choose_place("cpu", "bf16").said[0]

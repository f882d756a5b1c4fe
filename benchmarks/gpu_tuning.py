"""Shapes of our own kernels on this card: each of a few, and the bytes or products a second it reaches.

The constants of `epilm.nn.kernels_norm` and `epilm.motifs.kernels_triton` are the best ones of an H200.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.gpu_motifs import random_motifs
from benchmarks.gpu_subjects import empty_cache, synchronise
from epilm.motifs.device import DeviceScorer
from epilm.nn.norms import kernels_there

if TYPE_CHECKING:
    from benchmarks.gpu import Session

FORWARD = ((1, 4), (2, 4), (4, 4), (4, 8), (8, 8))  # rows, warps
BACKWARD = ((1, 4, 8), (2, 4, 4), (2, 4, 8), (4, 4, 4), (4, 8, 2), (4, 8, 4), (8, 8, 2))  # and programs
MOTIFS = (
    (128, 64, 8, 4),
    (128, 128, 8, 8),
    (64, 64, 8, 4),
    (64, 128, 8, 4),
    (128, 64, 8, 8),
)  # places, columns, regions, warps


def shapes(session: "Session", limit: float) -> dict[str, Any]:
    """Try the shapes of both kernels; the module's own constants are put back."""
    if session.place.device.type != "cuda" or not kernels_there():
        return {"note": "kernels of GPUs with triton alone"}
    return {"norms": _norms(session, limit), "motifs": _motifs(session, limit)}


def _seconds(run: Callable[[], Any], device: torch.device, n: int) -> float:
    for _ in range(2):
        run()
    found = []
    for _ in range(n):
        synchronise(device)
        began = time.perf_counter()
        run()
        synchronise(device)
        found.append(time.perf_counter() - began)
    return median(found)


def _norms(session: "Session", limit: float) -> list[dict[str, Any]]:
    from epilm.nn import kernels_norm as kernels

    device, rows, hidden = session.place.device, 147_456, 768
    x, update, grad = (torch.randn(rows, hidden, device=device, dtype=torch.bfloat16) for _ in range(3))
    norm = torch.nn.LayerNorm(hidden, device=device)
    x.requires_grad_()
    update.requires_grad_()

    def forward() -> torch.Tensor:
        return kernels.AddNorm.apply(x, update, norm.weight, norm.bias, 0.1, 1e-12)  # type: ignore[no-any-return]

    before = {
        name: getattr(kernels, name) for name in dir(kernels) if name.startswith(("FORWARD_", "BACKWARD_"))
    }
    found: list[dict[str, Any]] = []
    try:
        for shape in FORWARD:
            kernels.FORWARD_ROWS, kernels.FORWARD_WARPS = shape
            spent = _seconds(forward, device, 9)
            found.append(
                {
                    "way": "forward",
                    "shape": shape,
                    "seconds": spent,
                    "bytes_per_second": 8 * x.numel() / spent,
                }
            )
        for shape in BACKWARD:
            if time.monotonic() > limit:
                break
            kernels.BACKWARD_ROWS, kernels.BACKWARD_WARPS, kernels.BACKWARD_PROGRAMS = shape
            out = forward()
            spent = _seconds(
                lambda out=out: torch.autograd.grad(out, (x, update, norm.weight), grad, retain_graph=True),
                device,
                9,
            )
            found.append(
                {
                    "way": "backward",
                    "shape": shape,
                    "seconds": spent,
                    "bytes_per_second": 8 * x.numel() / spent,
                }
            )
    finally:
        for name, value in before.items():
            setattr(kernels, name, value)
    plain = _seconds(lambda: norm(x + torch.nn.functional.dropout(update, 0.1)), device, 5)
    out = norm(x + torch.nn.functional.dropout(update, 0.1))
    back = _seconds(
        lambda: torch.autograd.grad(out, (x, update, norm.weight), grad, retain_graph=True), device, 5
    )
    return [*found, {"way": "plain, bf16", "forward_seconds": plain, "backward_seconds": back}]


def _motifs(session: "Session", limit: float) -> list[dict[str, Any]]:
    from epilm.motifs import kernels_triton as kernels

    device, regions = session.place.device, 16_384
    pwms = random_motifs(579)
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 4, (regions, 500), dtype=np.uint8)).to(
        device
    )
    places = sum(codes.shape[1] - len(pwm) + 1 for pwm in pwms) * regions
    names = ("PLACES", "COLUMNS", "REGIONS", "WARPS")
    before = [getattr(kernels, name) for name in names]
    found: list[dict[str, Any]] = []
    try:
        for shape in MOTIFS:
            if time.monotonic() > limit:
                break
            for name, value in zip(names, shape, strict=True):
                setattr(kernels, name, value)
            try:
                scorer = DeviceScorer(pwms, device, form="kernel")
                spent = _seconds(lambda scorer=scorer: scorer.best(codes), device, 3)
                found.append({"shape": shape, "seconds": spent, "per_second": places / spent})
            except Exception as error:  # a shape that does not fit the chip
                found.append(
                    {
                        "shape": shape,
                        "note": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
                    }
                )
            empty_cache(device)
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(kernels, name, value)
    scorer = DeviceScorer(pwms, device, form="kernel")
    return [*found, {"reach_seconds": _seconds(lambda: kernels.reach(codes), device, 5)}]

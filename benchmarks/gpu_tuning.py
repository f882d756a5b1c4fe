"""Shapes of our own kernels on this card: each of a few, how fast it is; the rows after it run with
the best.

The constants of `epilm.nn.kernels_norm` and `epilm.motifs.kernels_triton` are the best ones of an
H200.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.gpu_motifs import random_motifs
from benchmarks.gpu_subjects import empty_cache
from epilm.motifs.device_scorer import DeviceScorer
from epilm.nn.norms import kernels_there

if TYPE_CHECKING:
    from benchmarks.gpu import Session

# Rows a program, warps; and on the way back programs a multiprocessor.
FORWARD = ((4, 4), (1, 1), (2, 2), (4, 2))
BACKWARD = ((4, 4, 4), (1, 1, 16), (2, 1, 16), (2, 2, 8), (4, 2, 8), (4, 4, 8))
# Places, columns, regions a program, warps.
MOTIFS = ((64, 64, 8, 4), (64, 64, 16, 4), (64, 32, 16, 4))


def shapes(session: "Session", limit: float) -> dict[str, Any]:
    """Try the shapes of all kernels."""
    if session.place.device.type != "cuda" or not kernels_there():
        return {"note": "kernels of GPUs with triton alone"}
    from epilm.motifs import kernels_triton
    from epilm.nn import kernels_norm

    device, rows, hidden = session.place.device, 147_456, 768
    x, update, grad = (
        torch.randn(rows, hidden, device=device, dtype=torch.bfloat16) for _ in range(3)
    )
    norm = torch.nn.LayerNorm(hidden, device=device)
    x.requires_grad_()
    update.requires_grad_()
    inputs = (x, update, norm.weight)

    def forward(rate: float = 0.1) -> torch.Tensor:
        return kernels_norm.AddNorm.apply(x, update, norm.weight, norm.bias, rate, 1e-12)

    def torchs() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return norm(x + torch.nn.functional.dropout(update, 0.1))

    def back(out: torch.Tensor) -> Callable[[], Any]:
        given = grad.to(out.dtype)
        return lambda: torch.autograd.grad(out, inputs, given, retain_graph=True)

    found: dict[str, Any] = {"bytes_of_one_way": 8 * x.numel()}
    ways = [f"BACKWARD_{name}" for name in ("ROWS", "WARPS", "PROGRAMS")]
    found["forward"] = _best(
        kernels_norm, ["FORWARD_ROWS", "FORWARD_WARPS"], FORWARD, lambda: forward, limit
    )
    found["backward"] = _best(kernels_norm, ways, BACKWARD, lambda: back(forward()), limit)
    found["forward without dropout"] = _seconds(lambda: forward(0.0))
    found["torch, bf16 autocast"] = {
        "forward": _seconds(torchs),
        "backward": _seconds(back(torchs())),
    }
    empty_cache(device)

    pwms = random_motifs(579)
    letters = np.random.default_rng(1).integers(0, 4, (16_384, 500), dtype=np.uint8)
    codes = torch.from_numpy(letters).to(device)

    def scores() -> Callable[[], Any]:
        scorer = DeviceScorer(pwms, device, form="kernel")
        return lambda: scorer.best(codes)

    names = ["PLACES", "COLUMNS", "REGIONS", "WARPS"]
    found["motifs"] = _best(kernels_triton, names, MOTIFS, scores, limit)
    found["positions_of_motifs"] = sum(codes.shape[1] - len(pwm) + 1 for pwm in pwms) * len(letters)
    return found


def _best(
    module: Any,
    names: list[str],
    shapes: tuple[tuple[int, ...], ...],
    make: Callable[[], Callable[[], Any]],
    limit: float,
) -> list[dict[str, Any]]:
    """Try shapes by setting a module's constants, and leave the fastest there."""
    found: list[dict[str, Any]] = []
    for shape in shapes:
        if found and time.monotonic() > limit:
            break
        for name, value in zip(names, shape, strict=True):
            setattr(module, name, value)
        try:
            found.append({"shape": shape, "seconds": _seconds(make())})
        except Exception as error:  # a shape that does not fit the chip
            found.append(
                {
                    "shape": shape,
                    "seconds": float("inf"),
                    "note": (str(error).splitlines() or [""])[0][:200],
                }
            )
    best = min(found, key=lambda one: one["seconds"])
    if "note" in best:
        raise RuntimeError(f"no shape of {module.__name__} runs here: {best['note']}")
    for name, value in zip(names, best["shape"], strict=True):
        setattr(module, name, value)
    return found


def _seconds(run: Callable[[], Any], n: int = 10) -> float:
    """Seconds of one call, by the device's own clock over n calls after two."""
    for _ in range(2):
        run()
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    for _ in range(n):
        run()
    ended.record()
    ended.synchronize()
    return began.elapsed_time(ended) / 1e3 / n

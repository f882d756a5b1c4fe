"""Where the time of a step goes: kernels sorted by what they do, beside the time the device waited.

Shares are of the device's busy time (of the processor's own time on a CPU), by the names of
kernels: a rule below says which. "idle" is the part of the step in which the device did nothing:
what starves it.
"""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_subjects import Subject, synchronise

if TYPE_CHECKING:
    from benchmarks.gpu import Session

# The first word found in a kernel's name decides.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "elementwise and norms",
        ("triton_",),
    ),  # what torch.compile makes: named after all that it holds
    ("optimiser", ("adam", "fusedadam", "multi_tensor", "_foreach", "muon")),
    ("attention", ("fmha", "flash", "attention", "cudnn_generated", "sdpa", "mha_")),
    (
        "matrix products",
        (
            "gemm",
            "nvjet",
            "cutlass",
            "cublas",
            "addmm",
            "bmm",
            "aten::mm",
            "linear",
            "splitkreduce",
            "conv",
            "matmul",
        ),
    ),
    (
        "gather and index",
        (
            "index",
            "gather",
            "scatter",
            "embedding",
            "unique",
            "sort",
            "nonzero",
            "masked_select",
            "scan",
        ),
    ),
    ("copies", ("memcpy", "memset", "copy", "_to_copy", "catarray", "aten::cat")),
)


def kind_of(name: str) -> str:
    """Say what a kernel does.

    Examples
    --------
    >>> (
    ...     kind_of("sm90_xmma_gemm_bf16bf16"),
    ...     kind_of("void at::native::vectorized_elementwise_kernel<4>"),
    ... )
    ('matrix products', 'elementwise and norms')
    """
    lowered = name.lower()
    return next(
        (kind for kind, words in RULES if any(word in lowered for word in words)),
        "elementwise and norms",
    )


def step_shares(session: "Session", limit: float) -> dict[str, Any]:
    """Profile two steps of each model that was measured, and the making of one step's data by
    itself.
    """
    out: dict[str, Any] = {}
    for name, subject in session.subjects.items():
        out[name] = _shares(subject, 1 if session.tiny else 2)
    if not out:
        raise RuntimeError("no model was measured before")
    return out


def waits(session: "Session", limit: float) -> dict[str, Any]:
    """Where the host waits for the device within a step: lines of code, and how often."""
    if session.place.device.type != "cuda":
        return {"note": "only a GPU is waited for"}
    out: dict[str, Any] = {}
    for name, subject in session.subjects.items():
        subject.steps(1)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                subject.steps(1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        lines = Counter(
            f"{'/'.join(Path(w.filename).parts[-3:])}:{w.lineno}"
            for w in found
            if "synchroniz" in str(w.message)
        )
        out[name] = dict(lines.most_common(20))
    return out


def _shares(subject: Subject, steps: int) -> dict[str, Any]:
    subject.steps(1, constant=True)
    whole, wall, kernels = _profiled(lambda: subject.steps(steps, constant=True), subject)
    data, _, _ = _profiled(
        lambda: [
            subject.maker(rows, step) for step in range(steps) for rows in subject.micros(step)
        ],
        subject,
    )
    busy, of_data = sum(whole.values()), sum(data.values())
    shares = {
        kind: value / (busy + of_data)
        for kind, value in sorted(whole.items(), key=lambda item: -item[1])
    }
    cuda = subject.place.device.type == "cuda"
    return {
        "shares_of_busy": shares | {"data": of_data / (busy + of_data)},
        "idle_share_of_step": max(0.0, 1 - busy / wall) if cuda else None,
        "busy_s_per_step": busy / steps,
        "wall_s_per_step": wall / steps,
        "largest_kernels": kernels,
        "note": "wall time is that under the profiler",
    }


def _profiled(run: Any, subject: Subject) -> tuple[dict[str, float], float, list[dict[str, Any]]]:
    """Seconds of each kind, the wall time, and the largest kernels."""
    import time

    cuda = subject.place.device.type == "cuda"
    kinds = [ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]
    synchronise(subject.place.device)
    began = time.perf_counter()
    with profile(activities=kinds) as found:
        run()
        synchronise(subject.place.device)
    wall = time.perf_counter() - began
    shares: dict[str, float] = {}
    rows = []
    for event in found.key_averages():
        # On a GPU the kernels themselves, not the calls that start them.
        if cuda and getattr(event, "device_type", None) != torch.autograd.DeviceType.CUDA:
            continue
        micros = float(
            getattr(event, "self_device_time_total", 0.0) if cuda else event.self_cpu_time_total
        )
        if micros <= 0:
            continue
        kind = kind_of(event.key)
        shares[kind] = shares.get(kind, 0.0) + micros / 1e6
        rows.append(
            {"name": event.key[:90], "kind": kind, "seconds": micros / 1e6, "calls": event.count}
        )
    return shares, wall, sorted(rows, key=lambda row: -row["seconds"])[:24]

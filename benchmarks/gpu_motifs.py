"""Row H7: exact motif scores on the device, both strands, 579 motifs of JASPAR's widths; checked in
float64.

A position x motif is both strands of it. Every form of `epilm.motifs.device_scorer` runs; the
fastest that agrees counts.
"""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.gpu_subjects import empty_cache, synchronise
from epilm.motifs.device_scorer import DeviceScorer

if TYPE_CHECKING:
    from benchmarks.gpu import Session

WIDTHS = (6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 21)


def random_motifs(n: int, seed: int = 0) -> list[np.ndarray]:
    """Log-odds of random counts, widths 6 to 21 as JASPAR's."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        counts = rng.dirichlet([0.3] * 4, WIDTHS[i % len(WIDTHS)]) * 100 + 0.025
        found.append(np.log(counts / counts.sum(1, keepdims=True) / 0.25))
    return found


def plain_best(codes: np.ndarray, pwms: list[np.ndarray]) -> np.ndarray:
    """The plain form in float64: every position of both strands, one motif at a time; float64 (R,
    F).
    """
    out = np.full((len(codes), len(pwms)), -np.inf)
    for column, pwm in enumerate(pwms):
        for strand in (pwm, pwm[::-1, ::-1]):
            table = np.concatenate([strand, np.full((len(strand), 1), -np.inf)], 1)
            places = codes.shape[1] - len(strand) + 1
            scores = sum(
                table[i][np.minimum(codes[:, i : i + places], 4)] for i in range(len(strand))
            )
            out[:, column] = np.maximum(out[:, column], np.asarray(scores).max(1))
    return out


def motif_scores(session: "Session", limit: float) -> dict[str, Any]:
    """Rate of each form, and its largest error against the plain form."""
    device = session.place.device
    n, regions, width = (20, 16, 60) if session.tiny else (579, 65_536, 500)
    pwms = random_motifs(n)
    rng = np.random.default_rng(1)
    codes = rng.choice(5, (regions, width), p=[0.249] * 4 + [0.004]).astype(np.uint8)
    some = codes[: 8 if session.tiny else 64]
    want = plain_best(some, pwms)
    on_device = torch.from_numpy(codes).to(device)
    forms: list[dict[str, Any]] = [
        {"form": "product", "kind": "fp32"},
        {"form": "product", "kind": "tf32x3"},
    ]
    if device.type == "cuda":
        large = {"form": "product", "chunk_bytes": 1 << 28}
        forms = [
            {"form": "kernel"},
            {**large, "kind": "bf16x3"},
            {**large, "kind": "tf32x3"},
            {**large, "kind": "fp32"},
        ]
    else:
        forms += [{"form": "lookup"}]
    rows: list[dict[str, Any]] = []
    for form in forms:
        if rows and time.monotonic() > limit:
            rows.append({**form, "note": "no time left"})
            continue
        try:
            rows.append({**form, **_one(form, pwms, on_device, want, session)})
        except Exception as error:  # a form that this torch or chip does not have
            rows.append(
                {
                    **form,
                    "note": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
                }
            )
        empty_cache(device)
    good = [row for row in rows if row.get("worst_error", 1.0) <= 1e-4]
    best = max(good, key=lambda row: row["per_second"], default=None)
    if best is None:
        raise RuntimeError(f"no form agrees: {rows}")
    return {
        "per_second": best["per_second"],
        "best": best,
        "forms": rows,
        "motifs": n,
        "bases": width,
    }


def _one(
    form: dict[str, Any],
    pwms: list[np.ndarray],
    codes: torch.Tensor,
    want: np.ndarray,
    session: "Session",
) -> dict[str, Any]:
    scorer = DeviceScorer(pwms, codes.device, **form)
    got = scorer.best(codes[: len(want)]).cpu().double().numpy()
    held = np.isfinite(want)
    if not np.array_equal(held, np.isfinite(got)):
        raise AssertionError("positions with an N differ")
    worst = float(np.abs(got[held] - want[held]).max())
    part = codes
    synchronise(codes.device)
    began = time.perf_counter()
    scorer.best(part[: max(len(part) // 16, 1)])  # warm-up, and how long the whole would take
    synchronise(codes.device)
    if (time.perf_counter() - began) * 16 > 4:
        part = part[: max(len(part) // 16, 1)]
    times = []
    for _ in range(1 if session.tiny else 3):
        began = time.perf_counter()
        scorer.best(part)
        synchronise(codes.device)
        times.append(time.perf_counter() - began)
    places = sum(codes.shape[1] - len(pwm) + 1 for pwm in pwms) * len(part)
    return {
        "per_second": places / min(times),
        "seconds": min(times),
        "worst_error": worst,
        "regions": len(part),
    }

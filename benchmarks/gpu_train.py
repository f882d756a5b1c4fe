"""Pre-training for the minutes that are left, through `epilm.pretrain` itself: curves, and a
checkpoint small enough to carry.

First the small size (its weights fit into one file of 16 MiB and come back), then base size for the
rest. The number of steps follows from the rate that was measured; a run that is slower than that is
stopped by its part's alarm, and its curve up to there is kept.
"""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_subjects import empty_cache, make_subject
from epilm.pretraining.pretrain import pretrain

if TYPE_CHECKING:
    from benchmarks.gpu import Session

MOST_BYTES = 16 << 20


def train(session: "Session", limit: float, size: str) -> dict[str, Any]:
    """Train for the seconds up to `limit`; curves go into the session, the small model into its
    folder.
    """
    what = session.model
    name = {"ebert": "ebert_base", "genebert": "genebert_native"}[what]
    micro, batch = (4, 8) if session.tiny else (64, 64) if what == "genebert" else (256, 256)
    held = held_out(session)
    sets = [
        f"train.batch_size={batch}",
        f"train.micro_batch={micro}",
        f"samples.holdout_chroms=[{held}]",
        *(
            ["samples.window_stride=200", "samples.window_jitter=199", "samples.strands=both"]
            if what == "ebert"
            else []
        ),
        *(
            ["objectives.masked_states.mode=whole_bin"]
            if what == "ebert"
            else [f"objectives.matching.batch={batch}"]
        ),
    ]
    label = None if size == "base" else size
    began = time.monotonic()
    subject = make_subject(
        name, session.training, session.place, size=label, set=sets[:2] + sets[3:]
    )
    subject.steps(1)
    seconds = subject.steps(2 if session.tiny else 5)
    step = sorted(seconds)[len(seconds) // 2]
    del subject
    empty_cache(session.place.device)
    # What is left after starting, less the time for validations and for writing the weights.
    left = limit - time.monotonic() - (time.monotonic() - began)
    steps = 3 if session.tiny else max(20, int(0.75 * left / step))
    every = max(1, steps // 100)
    sets += [
        f"train.steps={steps}",
        f"train.log_every={every}",
        f"train.validate_every={max(1, steps // 6)}",
        f"train.checkpoint_every={steps}",
        "train.keep_checkpoints=1",
        f"train.validate_samples={8 if session.tiny else 256}",
        f"optim.warmup_steps={max(1, steps // 10)}",
        f"optim.peak_lr={'1e-3' if size != 'base' else '2e-4'}",
        "optim.eps=1e-6",
    ]
    run = session.scratch / f"run{len(session.curves)}_{what}_{size}"
    out: dict[str, Any] = {
        "model": what,
        "size": size,
        "steps_planned": steps,
        "batch": batch,
        "step_seconds_before": step,
        "held_out": held,
        "settings": sets,
    }
    stopped = None
    try:
        done = pretrain(
            name, session.training, run, size=label, set=sets, device=session.place.device.type
        )
        out |= {
            "seconds": done.seconds,
            "train": done.train,
            "valid": done.valid,
            "warnings": done.warnings,
        }
        if size != "base":
            out["checkpoint"] = keep(run / "model", session.out / "model")
    except Exception as error:
        stopped = error
        out["stopped"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
    curve = read_curve(run)
    session.curves[run.name] = curve
    out["steps_done"] = max((row["step"] for row in curve), default=0)
    if stopped is not None and not curve:
        raise stopped
    return out


def held_out(session: "Session") -> str:
    """The smallest chromosome that has what the model reads; one is left to train on."""
    names, sizes = session.training.chroms, session.training.sizes
    order = sorted(range(len(names)), key=sizes.__getitem__)
    held = set(session.training.regions["chrom"].tolist())
    with_regions = [i for i in order if not held or i in held]
    return names[with_regions[0]] if len(names) > 1 and with_regions else ""


def read_curve(run: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl, rounded."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found.append({k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()})
    return found


def keep(model: Path, out: Path) -> dict[str, Any]:
    """Copy weights and spec of a model to where they come back from, where no file is too large."""
    files = [path for path in model.iterdir() if path.suffix in (".safetensors", ".json")]
    large = [path.name for path in files if path.stat().st_size > MOST_BYTES]
    if large:
        return {"kept": False, "why": f"{', '.join(large)} above {MOST_BYTES >> 20} MiB"}
    out.mkdir(exist_ok=True)
    for path in files:
        shutil.copyfile(path, out / path.name)
    return {"kept": True, "files": {path.name: path.stat().st_size for path in files}}

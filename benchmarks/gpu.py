"""Everything one GPU is asked for, in one run that stops inside its minutes: parity, H1 to H7, a
profile, pre-training.

    PYTHONPATH=src python -m benchmarks.gpu --minutes 10 --out DIR [--store my.store]
        [--labels peaks --regions where.bed] [--model ebert|genebert]
    # a rehearsal without a card
    PYTHONPATH=src python -m benchmarks.gpu --minutes 2 --out DIR --tiny --device cpu

Needs torch, transformers, lightning, numpy, safetensors and yaml beside this repository. Each part
has its own seconds; one that fails, or runs out of them, is written down with its reason and the
next begins. `results.json` is written again after every part, so that a run which is killed leaves
all that it had. A watchdog ends the process at its last second. In DIR at the end, at most 8 files:
results.json, results.md, curves.json, curves.svg, model/ (weights and spec of a small model trained
here; `epilm.load(DIR + "/model")` opens it).
"""

import argparse
import datetime
import json
import math
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
STARTED = time.monotonic()  # before torch, whose import is part of the minutes

import torch  # noqa: E402

from benchmarks.gpu_subjects import (  # noqa: E402
    OutOfTime,
    Subject,
    empty_cache,
    has,
    model_to_train,
    random_store,
    synchronise,
)
from epilm.device import Place, choose_place  # noqa: E402
from epilm.errors import EpilmError  # noqa: E402
from epilm.store.reader import Store  # noqa: E402

CEILING = 790e12  # TFLOP/s of a large bf16 product on an H200, measured (goals)
RESERVE = 12.0  # seconds kept for writing the page


@dataclass
class Session:
    """What the parts share."""

    store: Store  # of the rows: random numbers
    training: Store  # of the trainings: the one that was carried
    place: Place
    out: Path
    scratch: Path
    tiny: bool
    model: str  # which the trainings train
    ceiling: float = CEILING
    ceiling_from: str = "790 of the goals: an H200's, measured"
    subjects: dict[str, Subject] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)  # of H1
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    labels: Path | None = None
    regions: Path | None = None
    partial: dict[str, Any] | None = None  # what a part has done before it failed

    @property
    def size(self) -> str | None:
        """Size of the recipes: their own (base), or tiny."""
        return "tiny" if self.tiny else None

    @property
    def bf16_there(self) -> bool:
        """Whether the device has bf16."""
        return choose_place(self.place.device.type, "auto").bf16


@dataclass(frozen=True)
class Part:
    """One part: its function (session, limit) -> values, its share of the minutes, and what the
    store must serve.
    """

    name: str
    run: Callable[[Session, float], dict[str, Any]]
    share: float
    needs: str = ""


def environment(device: torch.device) -> dict[str, Any]:
    """What this is measured on."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "is_gpu": device.type == "cuda",
        "device": device.type,
        "cores": os.cpu_count(),
        "cpu_threads": torch.get_num_threads(),
    }
    for name in ("transformers", "lightning", "numpy", "safetensors", "triton"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found |= {
            "device": about.name,
            "memory_gb": about.total_memory / 1e9,
            "capability": f"{about.major}.{about.minor}",
            "multiprocessors": about.multi_processor_count,
            "cudnn": torch.backends.cudnn.version(),
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
        }
    return found


def ceilings(session: Session, limit: float) -> dict[str, Any]:
    """Measure a large matrix product and a large copy on random numbers: the two rates nothing can
    exceed.
    """
    device = session.place.device
    cuda = device.type == "cuda"
    n, kind = (8192, torch.bfloat16) if cuda else (256, torch.float32)
    a, b = (torch.randn(n, n, device=device).to(kind) for _ in range(2))
    seconds = []
    for _ in range(13):
        synchronise(device)
        began = time.perf_counter()
        a @ b
        synchronise(device)
        seconds.append(time.perf_counter() - began)
    product = 2 * n**3 / sorted(seconds[3:])[5]
    source = torch.randint(0, 100, (1 << (31 if cuda else 20),), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(8):
        synchronise(device)
        began = time.perf_counter()
        target.copy_(source)
        synchronise(device)
        seconds.append(time.perf_counter() - began)
    if cuda and "H200" not in torch.cuda.get_device_name(device):
        session.ceiling, session.ceiling_from = product, "measured here: the card is no H200"
    elif not cuda:
        session.ceiling, session.ceiling_from = product, "an fp32 product on this CPU"
    return {
        "product_flops_per_second": product,
        "product": f"{n} x {n} x {n} {kind}",
        "copy_bytes_per_second": 2 * len(source) / sorted(seconds)[4],
        "ceiling_of_mfu": session.ceiling,
    }


def parts() -> list[Part]:
    """All parts in order. Shares are of the whole time; training takes what is left."""
    from benchmarks import (
        gpu_motifs,
        gpu_parity,
        gpu_profile,
        gpu_rates,
        gpu_slices,
        gpu_train,
        gpu_tuning,
    )

    def parity(session: Session, limit: float) -> dict[str, Any]:
        return gpu_parity.run_checks(session, lambda: time.monotonic() > limit)

    def five(session: Session, limit: float) -> dict[str, Any]:
        first = gpu_rates.genebert(session, limit - (limit - time.monotonic()) / 2, "concat")
        if not session.tiny:
            try:
                first["with dropout of attention"] = gpu_rates.genebert(
                    session, limit, "concat_dropped"
                )
            except Exception as error:
                first["with dropout of attention"] = {"error": str(error).splitlines()[0][:300]}
        return first

    return [
        Part("ceilings", ceilings, 0.03),
        Part("parity", parity, 0.1),
        Part("shapes", gpu_tuning.shapes, 0.12),
        Part("H1", gpu_rates.ebert, 0.12, "ebert"),
        Part("H2", gpu_rates.whole_run, 0.05, "ebert"),
        Part("H4", lambda s, t: gpu_rates.genebert(s, t, "concat_budget"), 0.09, "genebert"),
        Part("H5", five, 0.12, "genebert"),
        Part("H6", gpu_rates.data_share, 0.06),
        Part("H7", gpu_motifs.motif_scores, 0.08),
        Part("H3", gpu_rates.peer, 0.28, "ebert"),
        Part("plan", gpu_rates.planned, 0.16, "ebert"),
        Part("predict", gpu_rates.predicted, 0.05, "ebert"),
        Part("waits", gpu_profile.waits, 0.04),
        Part("profile", gpu_profile.step_shares, 0.08),
        Part(
            "train small", lambda s, t: gpu_train.train(s, t, "tiny" if s.tiny else "small"), 0.07
        ),
        Part("slices", gpu_slices.slices, 1.0, "labels"),
        Part("train base", lambda s, t: gpu_train.train(s, t, "tiny" if s.tiny else "base"), 1.0),
    ]


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the main thread after so many seconds."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise OutOfTime(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_parts(
    session: Session, results: dict[str, Any], chosen: list[Part], minutes: float, end: float
) -> None:
    """Run the parts; whatever happens to one is written down, and the next begins."""
    for part in chosen:
        left = end - time.monotonic()
        entry: dict[str, Any] = {"status": "skipped", "seconds": 0.0}
        results["parts"][part.name] = entry
        serves = not part.needs or (
            session.labels is not None if part.needs == "labels" else has(session.store, part.needs)
        )
        room = min(left, part.share * minutes * 60)
        if not serves:
            entry["error"] = (
                "no --labels given"
                if part.needs == "labels"
                else f"the store serves no {part.needs}"
            )
        elif left < 3 or (room < 1 and not session.tiny):
            entry["error"] = "no time left"
        else:
            session.partial = None
            print(f"{part.name}: up to {left if session.tiny else room:.0f} s", flush=True)
            began = time.monotonic()
            # The limit asks a part to come to its end; the alarm, a third later, ends it.
            grace = left if session.tiny else min(left, room * 1.33)
            try:
                with alarm(grace):
                    entry["values"] = part.run(session, began + (left if session.tiny else room))
                entry["status"] = "ok"
            except KeyboardInterrupt:
                entry |= {"status": "interrupted"}
                raise
            except (
                BaseException
            ) as error:  # also what a library raises to end a program: the next part still runs
                text = (str(error).splitlines() or [""])[0][:400]
                if session.partial is not None:
                    entry["values"] = session.partial
                entry |= {"status": "failed", "error": f"{type(error).__name__}: {text}"}
                print(f"{part.name}: {entry['error']}", file=sys.stderr, flush=True)
            entry["seconds"] = time.monotonic() - began
        results["ceiling"], results["ceiling_from"] = session.ceiling, session.ceiling_from
        if part.name == "profile":
            session.subjects.clear()  # their memory is the trainings' now
        empty_cache(session.place.device)
        write(session.out / "results.json", json.dumps(plain(results), indent=1) + "\n")


def plain(value: Any) -> Any:
    """Values that JSON has: numbers that are not finite become None.

    Examples
    --------
    >>> plain({"a": [float("nan"), 1.23456789012, Path("x")]})
    {'a': [None, 1.234567890, 'x']}
    """
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)


def write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=".part", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def finish(session: Session, results: dict[str, Any]) -> None:
    """Write the page, the curves and their picture."""
    from benchmarks.gpu_page import curves, page

    write(session.out / "results.json", json.dumps(plain(results), indent=1) + "\n")
    write(session.out / "results.md", page(plain(results)))
    write(session.out / "curves.json", json.dumps(plain(session.curves)) + "\n")
    write(session.out / "curves.svg", curves(session.curves))


def main(words: list[str] | None = None) -> int:
    """Run everything; 0 where every part ran or was skipped for a reason, 1 where one failed, or as
    the error of a wrong use says.
    """
    try:
        return _main(words)
    except EpilmError as error:
        print(f"benchmarks.gpu: {type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code


def _main(words: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of the whole run, its start included"
    )
    parser.add_argument("--out", required=True, help="folder of the results; made where missing")
    parser.add_argument(
        "--store",
        help="a store carried here, to train on; rows are measured on one of random numbers",
    )
    parser.add_argument(
        "--labels", type=Path, help="folder of the challenge's peaks, for base size on real slices"
    )
    parser.add_argument("--regions", type=Path, help="BED of where those were called")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument(
        "--model",
        choices=("ebert", "genebert"),
        help="which is pre-trained; ebert where the store has states",
    )
    parser.add_argument(
        "--tiny", action="store_true", help="tiny sizes, a few steps: does the script work here?"
    )
    parser.add_argument(
        "--only",
        nargs="*",
        help="names of parts: ceilings parity H1 ... profile 'train small' 'train base'",
    )
    given = parser.parse_args(words)
    end = STARTED + given.minutes * 60 - (2 if given.tiny else RESERVE)
    known = parts()
    unknown = sorted(set(given.only or ()) - {part.name for part in known})
    if unknown:
        parser.error(
            f"no part {', '.join(unknown)}; there are {', '.join(part.name for part in known)}"
        )
    chosen = [part for part in known if not given.only or part.name in given.only]
    # Refuses a device that is not there, with a message: no silent run on another one.
    place = choose_place(given.device, "auto")
    carried = Store.open(given.store) if given.store else None
    trains = any(part.name.startswith("train ") for part in chosen)
    # One of random numbers serves both models.
    model = model_to_train(carried, given.model) if carried and trains else given.model or "ebert"
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    watchdog(end + (60 if given.tiny else RESERVE - 2))
    with tempfile.TemporaryDirectory(prefix="epilm-gpu-") as scratch:
        store = random_store(Path(scratch), given.tiny)
        training = carried or store
        session = Session(store, training, place, out, Path(scratch), given.tiny, model)
        session.labels, session.regions = given.labels, given.regions
        results: dict[str, Any] = {
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
            "command": " ".join(["python -m benchmarks.gpu", *_said(given, model)]),
            "tiny": given.tiny,
            "minutes": given.minutes,
            "environment": environment(place.device),
            "place": list(place.said),
            "store": about(store) + " (random numbers: losses mean nothing)",
            "training_store": about(training) if carried else "the same",
            "ceiling": session.ceiling,
            "ceiling_from": session.ceiling_from,
            "parts": {},
        }
        try:
            run_parts(session, results, chosen, given.minutes, end)
        finally:
            finish(session, results)
        text = (out / "results.md").read_text(encoding="utf-8")
        print(text.split("## Fast paths")[0])
        return int(any(part["status"] == "failed" for part in results["parts"].values()))


def about(store: Store) -> str:
    """A store in a few words."""
    size = (
        f"{sum(store.sizes) / 1e6:.4g} Mb, {len(store.cell_types)} cell types, {store.n_regions}"
        " regions"
    )
    return f"{store.path.name}, {size}"


def _said(given: argparse.Namespace, model: str) -> list[str]:
    """The options without folders: results name no path of a machine."""
    words = [f"--minutes {given.minutes:g}", f"--device {given.device}", f"--model {model}"]
    return [*words, *(["--tiny"] if given.tiny else []), *(["--store ..."] if given.store else [])]


def watchdog(at: float) -> None:
    """End the process at a moment, whatever it does: what was written after the last part stays."""

    def wait() -> None:
        time.sleep(max(at - time.monotonic(), 0.1))
        print("the minutes are over: stopped by the watchdog", file=sys.stderr, flush=True)
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())

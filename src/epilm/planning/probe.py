"""A few real optimiser steps in a process of their own: how long they take here, and what memory
they need.

`calibrate` starts `python -m epilm.planning.probe`, which imports what a run
imports, builds the model, and takes steps of two micro-batches on the store's own data. Where one
micro-batch of the run would take too long, smaller ones are taken, then fewer layers: `plan`
computes the rest from what `plan_cost` counted. A process of its own, because the highest
memory of a process cannot be measured twice.
"""

import ctypes
import gc
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from epilm import errors
from epilm.device import Place, choose_place
from epilm.errors import TrainingError
from epilm.models.from_spec import build_model
from epilm.motifs.scan import checked_threads
from epilm.pretraining.run_plan import batch_maker, row_order
from epilm.pretraining.step import contrast_size, optimiser_step
from epilm.processes import same_modules
from epilm.recipes.recipe import Recipe, from_dict, to_dict
from epilm.store.reader import Store
from epilm.training.compute import choose_compute
from epilm.training.heap import kept_heap
from epilm.training.log import peak_memory
from epilm.training.optim import Optimiser
from epilm.training.ranks import Ranks

REPEATS = 2  # at least; the smallest time counts
STEADY = 8  # where there is time: a heap takes about so many steps to grow to its size
FEW_LAYERS = (1, 3)  # where all of them take too long
LONGER = 2.0  # a large model may take this times the seconds asked for
SEVERAL = 4  # samples from which on the memory grows as it will; for so many a large model may take
LONGEST = 6.0  # times the seconds
WARM = 1  # steps that do not count: moments are made, the heap grows


@dataclass(frozen=True)
class Point:
    """What was measured at one size.

    Attributes
    ----------
    samples, layers : int
        Of a micro-batch, of the encoder.
    micros : int
        Micro-batches of a step.
    step : float
        Seconds of a step, the smallest of several.
    embed : float
        Seconds of the extra pass of one micro-batch that an exact contrast needs; 0 without.
    move : float
        Seconds that move the weights: clipping and the optimiser.
    data : float
        Seconds that make one micro-batch's data.
    peak : float
        Highest memory in bytes: of the process, or of the GPU.
    weights : int
        Numbers of the model.
    """

    samples: int
    layers: int
    micros: int
    step: float
    embed: float
    move: float
    data: float
    peak: float
    weights: int

    @property
    def pass_(self) -> float:
        """Seconds of one micro-batch, forward and backward, its data included."""
        return max((self.step - self.move - (self.micros - 1) * self.embed) / self.micros, 1e-9)

    def least(self, other: "Point") -> "Point":
        """Join two trials of one size: the smallest of each time, the highest memory.

        Examples
        --------
        >>> Point(8, 2, 2, 3.0, 0, 0.2, 0.1, 5e8, 10).least(
        ...     Point(8, 2, 2, 2.5, 0, 0.3, 0.1, 6e8, 10)
        ... )
        Point(samples=8, layers=2, micros=2, step=2.5, embed=0, move=0.2, data=0.1,
        peak=600000000.0, weights=10)
        """
        times = {
            name: min(getattr(self, name), getattr(other, name))
            for name in ("step", "embed", "move", "data")
        }
        return replace(self, **times, peak=max(self.peak, other.peak))


@dataclass(frozen=True)
class Calibration:
    """What a probe found.

    Attributes
    ----------
    points : tuple of Point
        Small to large.
    libraries : float
        Bytes of the process with everything imported and the store opened, without a model; on a
        GPU torch's there.
    products : float
        Operations a second in one large matrix product in the run's number format.
    seconds : float
        What the calibration took.
    """

    points: tuple[Point, ...]
    libraries: float
    products: float
    seconds: float


def calibrate(
    recipe: Recipe, store: Store, *, device: str, operations: list[float], most: int, seconds: float
) -> Calibration:
    """Measure steps of a run in a new process.

    Parameters
    ----------
    recipe : Recipe
        As `for_store` filled it.
    store : Store
    device : {"cpu", "cuda", "mps"}
    operations : list of float
        Of one sample's forward and backward pass: at no layer, and of each layer.
    most : int
        Samples of a micro-batch that are sure to fit.
    seconds : float
        About how long the steps may take.

    Raises
    ------
    EpilmError
        What the run itself would refuse, as it says it.
    TrainingError
        If the process fails in another way; with its last line.
    """
    began = time.monotonic()
    asked = {
        "recipe": to_dict(recipe),
        "store": str(Path(store.path).resolve()),
        "device": device,
        "operations": operations,
        "most": most,
        "seconds": seconds,
        "threads": threads_of(recipe.train.devices),
    }
    done = subprocess.run(
        [sys.executable, "-m", "epilm.planning.probe"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env=same_modules(),
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"])[-1]
        kind, _, message = last.partition(": ")
        refused = getattr(errors, kind.removeprefix("epilm.errors."), None)
        if kind.startswith("epilm.errors.") and refused is not None:
            # The run would end the same way: it names its own cure, and a plan without a trial is
            # none.
            raise refused(message)
        raise TrainingError(
            "the calibration failed",
            where=f"{recipe.name} on {device}",
            found=last,
            do="Plan with --no-calibrate, or with --seconds 1 for a smaller trial.",
        )
    told = json.loads(done.stdout.strip().splitlines()[-1])
    points = tuple(Point(**point) for point in told.pop("points"))
    return Calibration(points, **told, seconds=time.monotonic() - began)


def probe(asked: dict[str, Any]) -> dict[str, Any]:
    """Do what `calibrate` asks, in this process; see there."""
    torch.set_num_threads(asked["threads"])
    recipe = from_dict(asked["recipe"])
    _import_the_rest(recipe.train.devices)
    store = Store.open(asked["store"])
    machine = choose_place(asked["device"], recipe.train.precision)
    with kept_heap(machine.device):
        return _tried(asked, recipe, store, machine)


def _tried(asked: dict[str, Any], recipe: Recipe, store: Store, place: Place) -> dict[str, Any]:
    maker = batch_maker(store, recipe, "train", place.device)
    rows = row_order(maker.table, recipe)(0)
    libraries = held(place)
    rate = _products(place, recipe)
    sizes, micros, exact = _sizes(recipe, asked, rate)
    share = asked["seconds"] / sum(samples * layers for samples, layers in sizes)

    def measured(samples: int, layers: int, repeats: int) -> Point:
        seconds = share * samples * layers * repeats / REPEATS
        return _measure(
            recipe, maker, rows, place, samples, layers, micros, exact, seconds, repeats
        )

    points = [measured(*size, REPEATS) for size in sizes]
    if len(sizes) > 1:
        # What is computed from two sizes multiplies their errors: each is tried in two moments of a
        # shared machine.
        points = [
            point.least(measured(*size, 1)) for point, size in zip(points, sizes, strict=True)
        ]
    return {"points": [asdict(point) for point in points], "libraries": libraries, "products": rate}


def _sizes(
    recipe: Recipe, asked: dict[str, Any], rate: float
) -> tuple[list[tuple[int, int]], int, bool]:
    """Choose what to measure: (samples, layers) small to large, micro-batches of a step, exact
    contrast or not.
    """
    train = recipe.train
    micro, layers = train.micro_batch, _layers(recipe)
    pieces = -(-train.batch_size // (micro * train.devices))
    group = contrast_size(recipe.objectives, train, train.devices)
    exact = group is not None and group > micro
    outside, layer = asked["operations"]
    # A pass reaches about half of the rate of one large product.
    one = (outside + layers * layer) / (0.5 * rate)
    micros = min(pieces, 2)
    passes = micros * (WARM + REPEATS) * 1.2
    fit = int(
        asked["seconds"] / (one * passes * (1 if one * passes * micro <= asked["seconds"] else 1.5))
    )
    samples = max(1, min(micro, fit, asked["most"]))
    if samples == micro:
        return [(micro, layers)], micros, exact
    if samples >= max(2, min(micro, asked["most"]) // 2):
        return [(max(1, samples // 2), layers), (samples, layers)], micros, exact
    if layers < 4:
        fewer = [(samples // 2, layers)] if samples >= 2 else []
        return [*fewer, (samples, layers)], micros, exact
    several = min(SEVERAL, micro, asked["most"])

    def widest(each: float) -> int:
        wide = max(1, min(micro, asked["most"], int(LONGER * asked["seconds"] / each)))
        return several if wide < several and several * each <= LONGEST * asked["seconds"] else wide

    # Few rows in a product reach less of the chip, and what a layer takes is known from two depths
    # only as well as the machine is steady: rather all layers on several samples, one micro-batch a
    # step; else a few layers on as many as there is time for.
    wide = widest(one * (WARM + REPEATS) * 1.2)
    if wide >= several:
        return [(wide, layers)], 1, exact
    few = FEW_LAYERS if layers >= 2 * FEW_LAYERS[1] else (1, 2)
    wide = widest(sum(outside + n * layer for n in few) / (0.5 * rate) * passes)
    return [(wide, n) for n in few], micros, exact


def _layers(recipe: Recipe) -> int:
    from epilm.models.sizes import encoder_size

    return encoder_size(recipe.model.encoder).layers


def _measure(
    recipe: Recipe,
    maker: Any,
    rows: np.ndarray,
    place: Place,
    samples: int,
    layers: int,
    micros: int,
    exact: bool,
    seconds: float,
    repeats: int,
) -> Point:
    """Take real steps at one size until the time is up, and `repeats` at least."""
    spec = replace(recipe.model, encoder=replace(recipe.model.encoder, layers=layers, init=None))
    spec = replace(spec, tower=replace(spec.tower, weights=None))
    batch = samples * micros
    train = replace(recipe.train, micro_batch=samples, batch_size=batch, devices=1)
    matching = replace(recipe.objectives.matching, batch=batch if exact else samples)
    objectives = replace(recipe.objectives, matching=matching)
    model = build_model(spec, seed=0).to(place.device)
    model.start_temperature(matching.temperature)
    choose_compute(model, train, place.device)
    model.train()
    optimiser = Optimiser(model, recipe.optim)
    picked = np.resize(rows, batch)
    spent = {"data": 0.0, "move": 0.0}

    def timed(key: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            _wait(place)
            began = time.perf_counter()
            out = call(*args, **kwargs)
            _wait(place)
            spent[key] += time.perf_counter() - began
            return out

        return run

    def step(number: int) -> None:
        optimiser_step(
            model,
            timed("data", maker),
            optimiser,
            picked,
            step=number,
            lr=1e-6,
            objectives=objectives,
            train=train,
            clip=recipe.optim.clip,
            ranks=Ranks(),
            place=place,
        )

    gc.collect()  # the model of the size before
    times, data, move = [], [], []
    began = time.monotonic()
    with (
        mock.patch.object(
            torch.nn.utils, "clip_grad_norm_", timed("move", torch.nn.utils.clip_grad_norm_)
        ),
        mock.patch.object(optimiser, "step", timed("move", optimiser.step)),
        _peak(place) as peak,
    ):
        for number in range(WARM + 40):
            spent.update(data=0.0, move=0.0)
            start = time.perf_counter()
            step(number)
            _wait(place)
            if number >= WARM:
                times.append(time.perf_counter() - start)
                data.append(spent["data"])
                move.append(spent["move"])
            passed = time.monotonic() - began
            if passed > seconds and len(times) >= (STEADY if passed < 2 * seconds else repeats):
                break
    embed = _embedding(model, maker(picked[:samples], 0), place) if exact else 0.0
    count = sum(p.numel() for p in model.parameters())
    point = Point(
        samples,
        layers,
        micros,
        min(times),
        embed,
        min(move),
        min(data) / micros,
        peak["bytes"],
        count,
    )
    return point


def _embedding(model: Any, batch: Any, place: Place) -> float:
    """Seconds of the pass without graph."""
    times = []
    for _ in range(REPEATS):
        _wait(place)
        began = time.perf_counter()
        with torch.no_grad(), place.autocast():
            model.encode_contrasts(batch)
        _wait(place)
        times.append(time.perf_counter() - began)
    return min(times)


def _products(place: Place, recipe: Recipe) -> float:
    """Operations a second in a product of the encoder's widest layer on 1,024 tokens."""
    from epilm.models.sizes import encoder_size

    size = encoder_size(recipe.model.encoder)
    a = torch.randn(1024, size.hidden, device=place.device)
    b = torch.randn(size.ffn, size.hidden, device=place.device)
    best, stop = float("inf"), time.monotonic() + 0.3
    with torch.no_grad(), place.autocast():
        while time.monotonic() < stop:
            _wait(place)
            began = time.perf_counter()
            torch.nn.functional.linear(a, b)
            _wait(place)
            best = min(best, time.perf_counter() - began)
    return 2 * 1024 * size.hidden * size.ffn / best


def _wait(place: Place) -> None:
    if place.device.type == "cuda":
        torch.cuda.synchronize(place.device)
    elif place.device.type == "mps":
        torch.mps.synchronize()


def _import_the_rest(processes: int) -> None:
    """What a run imports, so that the memory is its own."""
    if processes > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import lightning.pytorch  # noqa: F401

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with suppress(ImportError):
        from torch.utils.tensorboard import SummaryWriter  # noqa: F401


def _status(key: str) -> float | None:
    """A line of /proc/self/status in bytes; None where there is none."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def resident() -> float:
    """Bytes of this process that are in memory now."""
    now = _status("VmRSS:")
    return peak_memory(torch.device("cpu"))["memory_gb"] * 1e9 if now is None else now


def reserved() -> float:
    """Bytes of this process's address space that hold no memory: files not read yet, room for
    stacks and heaps.
    """
    return (_status("VmSize:") or 0.0) - (_status("VmRSS:") or 0.0)


def threads_of(processes: int) -> int:
    """Threads that each process of a run will have: what Lightning's launcher sets.

    Examples
    --------
    >>> threads_of(1) == torch.get_num_threads()
    True
    """
    if processes == 1 or "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads()
    return max(1, checked_threads() // processes)


def held(place: Place) -> float:
    """Bytes that are in use where the model will be: of this process, or of torch on the GPU."""
    return (
        float(torch.cuda.memory_allocated(place.device))
        if place.device.type == "cuda"
        else resident()
    )


@contextmanager
def _peak(place: Place) -> Iterator[dict[str, float]]:
    """Find the highest memory inside the block; where the system cannot forget the one before, of
    the process so far.
    """
    peak = {"bytes": 0.0}
    if place.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place.device)
        yield peak
        # Not what the allocator reserved: that depends on what came before, and is given back when
        # memory is short.
        peak["bytes"] = float(torch.cuda.max_memory_allocated(place.device))
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    yield peak
    high = _status("VmHWM:")
    peak["bytes"] = peak_memory(torch.device("cpu"))["memory_gb"] * 1e9 if high is None else high


if __name__ == "__main__":
    print(json.dumps(probe(json.load(sys.stdin))))

"""Where the store lies while a model trains: on the device, or as memory maps of the host.

On a GPU with room for what the batches read, gathering, tokenising, pooling and masking run
there and nothing crosses the bus but row numbers. Where there is no room, the memory
maps stay and finished batches are copied: the same batches, bit for bit, and the run says
what that costs. What no batch of the recipe reads is not moved. Needs torch and numpy.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from epilm.batch import tensors_of
from epilm.batches import make_batches
from epilm.batches.maker import BatchMaker
from epilm.batches.window_reader import WindowMaker
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import ObjectivesSpec
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec

# Of the device's free memory, what a store may take: the rest is for weights, optimiser and
# activations.
SHARE = 0.5


class Placed(NamedTuple):
    """A store where batches will be made.

    Attributes
    ----------
    store : Store
    on_device : bool
        False where it stays as memory maps.
    bytes : int
        What the batches read of it.
    said : str
        A line for the user.
    """

    store: Store
    on_device: bool
    bytes: int
    said: str


def read_parts(store: Store, streams: Iterable[str], signals: Iterable[str] = ()) -> Store:
    """Give the store without what batches of these streams never read.

    Parameters
    ----------
    store : Store
    streams : iterable of str
        Of the model: dna, factors, contacts, states.
    signals : iterable of str
        Names of signals that are read; pre-training reads none.
    """
    wanted, named = set(streams), set(signals)
    factors = "factors" in wanted
    return replace(
        store,
        counts=store.counts if factors else None,
        factors=store.factors if factors else None,
        more_factors=store.more_factors if factors else {},
        contacts=store.contacts if "contacts" in wanted else None,
        states=store.states if "states" in wanted else None,
        signals={name: table for name, table in store.signals.items() if name in named},
    )


def moved_bytes(store: Store) -> int:
    """Bytes that `store.to(device)` takes on the device.

    Regions and accessibility stay on the host.
    """
    arrays: list[Any] = [store.genome, store.counts, store.factors, *store.more_factors.values()]
    if store.contacts is not None:
        arrays += [store.contacts.keys, store.contacts.values]
    if store.states is not None:
        arrays.append(store.states.codes)
    arrays += [signal.values for signal in store.signals.values()]
    return sum(int(array.nbytes) for array in arrays if array is not None)


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a GPU; None where it cannot be asked."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


def place_store(
    store: Store,
    device: torch.device | str,
    streams: Iterable[str],
    *,
    signals: Iterable[str] = (),
    free: int | None = None,
) -> Placed:
    """Put what batches read of a store on a device that has room, and say so; else say why not.

    Parameters
    ----------
    store : Store
        Memory maps, or already on the device.
    device : torch.device or str
        The device that trains. A store is moved to a GPU alone: on a CPU the memory maps are as
        good.
    streams, signals : iterable of str
        What is read; see `read_parts`.
    free : int, optional
        Bytes free on the device, where not to be asked.

    Returns
    -------
    Placed
    """
    target = torch.device(device)
    parts = read_parts(store, streams, signals)
    size = moved_bytes(parts)
    if isinstance(store.genome, Tensor):
        return Placed(store, True, size, f"store: {size / 1e9:.3g} GB, on {store.device} already")
    if target.type != "cuda":
        return Placed(store, False, size, f"store: {size / 1e9:.3g} GB read through memory maps")
    room = free_bytes(target) if free is None else free
    assert room is not None
    if size <= SHARE * room:
        return Placed(
            parts.to(target),
            True,
            size,
            f"store: {size / 1e9:.3g} GB on {target}, of {room / 1e9:.3g} GB free there",
        )
    return Placed(
        store,
        False,
        size,
        f"store: {size / 1e9:.3g} GB do not fit into {SHARE:.0%} of the {room / 1e9:.3g} GB free on"
        f" {target}: it stays on the host as memory maps",
    )


def place_batches(
    store: Store,
    spec: ModelSpec,
    objectives: ObjectivesSpec,
    samples: SampleSpec,
    *,
    device: torch.device | str,
    micro_batch: int,
    free: int | None = None,
    **rest: Any,
) -> tuple[BatchMaker | WindowMaker, str]:
    """Make the maker of batches that arrive on a device, from wherever the store finds room.

    Parameters
    ----------
    store, spec, objectives, samples
        As of `make_batches`.
    device : torch.device or str
        Where batches arrive.
    micro_batch : int
        Samples of one call, for the cost that is said where the store does not fit.
    free : int, optional
        As of `place_store`.
    **rest
        seed, subset.

    Returns
    -------
    maker
    said : str
        Where the store lies; on the host of a GPU also what each micro-batch costs.
    """
    target = torch.device(device)
    placed = place_store(store, target, spec.streams, free=free)
    maker = make_batches(placed.store, spec, objectives, samples, device=target, **rest)
    if placed.on_device or target.type != "cuda":
        return maker, placed.said
    # The maker of the cost arrives on the host: what crosses the bus is counted, not moved.
    host = make_batches(placed.store, spec, objectives, samples, **rest)
    return maker, f"{placed.said}, {host_cost(host, micro_batch)}"


def host_cost(maker: BatchMaker | WindowMaker, micro_batch: int) -> str:
    """Measure what making a micro-batch of pre-training on the host costs, in a line for the
    user.
    """
    rows = np.arange(min(micro_batch, len(maker)))
    cost = making_cost(lambda step: maker(rows, step), f"micro-batch of {len(rows)} samples")
    return f"{cost}, while the device works on the step before"


def making_cost(make: Callable[[int], Any], what: str) -> str:
    """Measure what making a batch on the host costs, in words for the user.

    Parameters
    ----------
    make : function (step)
        Makes the batch, or several as a tuple, on the host.
    what : str
        Its name, e.g. "micro-batch of 64 samples".
    """
    make(0)  # the first call reads the pages
    began = time.perf_counter()
    batch = make(1)
    spent = time.perf_counter() - began
    return (
        f"each {what} costs {spent * 1e3:.3g} ms of the host and {batch_bytes(batch) / 1e6:.3g} MB"
        " over the bus"
    )


def batch_bytes(batch: Any) -> int:
    """Bytes of all tensors of a batch, or of a tuple of them; what an expanded tensor repeats is
    counted, because a copy holds it.
    """
    parts = batch if isinstance(batch, tuple) else (batch,)
    return sum(x.numel() * x.element_size() for part in parts for x in tensors_of(part))

"""From counts and measurements to a plan: time, memory and disk of a run, at any micro-batch.

Where a trial took the run's own micro-batches, its numbers are taken as they are.
Elsewhere time follows the line through two trials, or the operations counted; memory
follows the bytes kept for the backward pass.
Axes: b samples of a micro-batch, P weights.
"""

import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path

import torch

from epilm.batches.placement import SHARE as SHARE_OF_DEVICE
from epilm.batches.placement import batch_bytes, host_cost, moved_bytes, read_parts
from epilm.device import Place
from epilm.models.sizes import encoder_size
from epilm.motifs.scan import checked_threads
from epilm.objectives.table import OBJECTIVES
from epilm.planning.answer import Plan
from epilm.planning.chips import DRAW, SHARE, Chip
from epilm.planning.cluster import RESTART, Cluster, best_interval, exchange, lost_share, sent
from epilm.planning.cost import Costs
from epilm.planning.probe import Calibration, reserved, resident, threads_of
from epilm.pretraining.run_plan import RunPlan
from epilm.pretraining.step import contrast_size, contrasting
from epilm.recipes.recipe import Recipe
from epilm.store.reader import Store

CONTEXT = 1e9  # bytes that CUDA takes on a GPU before the first tensor
ALLOCATOR = 1.05  # share that torch's allocator on a GPU holds beyond what is in use
DISK_RATE = 0.5e9  # bytes a second that a checkpoint is written with, assumed
# A heap holds so many times what is counted, as far as a trial is believed. Grown from 4 or 5
# samples to 32, EBERT base held 1.2; from 4 to 16 GeneBERT base 1.1, from three layers to twelve
# 1.2.
HELD, HELD_GPU = (1.1, 1.2), (1.0, 1.25)
# Below either, starting kernels takes longer than their work: EBERT small (4 layers) needs 45 ms
# for 256 windows on an H200, where the operations alone would take 1 ms (../docs/performance.md).
NARROW, FEW_TOKENS = 512, 100_000
NOTED = 0.05  # share of a step above which dropout of attention weights is worth a line
FAULT = 65536  # bytes that one touch of a memory map brings in


@dataclass(frozen=True)
class Sizing:
    """Everything a plan is computed from."""

    recipe: Recipe
    data: RunPlan
    store: Store
    place: Place
    chip: Chip | None
    here: bool
    costs: Costs
    numbers: dict[str, int]
    moments: float
    cluster: Cluster

    @property
    def on_cpu(self) -> bool:
        return self.here and self.place.device.type != "cuda"

    @property
    def micros(self) -> int:
        """Micro-batches of a step on the device that has most of them."""
        train = self.recipe.train
        group = contrast_size(self.recipe.objectives, train, train.devices) or train.batch_size
        whole, rest = divmod(train.batch_size, group)
        return sum(
            n * math.ceil(math.ceil(samples / train.micro_batch) / train.devices)
            for n, samples in ((whole, group), (1, rest))
        )

    @property
    def pieces(self) -> int:
        """Micro-batches of a step on all devices."""
        train = self.recipe.train
        return train.batch_size // train.micro_batch

    def plan(self, measured: Calibration | None) -> Plan:
        """Put the plan together, with what was measured or without."""
        recipe, train = self.recipe, self.recipe.train
        tokens = self._tokens()
        step, forward = self.seconds(measured)
        network = self._network()
        if step is not None:
            step += network.get("seconds", 0.0)
        seconds_of = self._seconds_of(step, forward)
        memory = self.memory(train.micro_batch, measured)
        checkpoint = 4.0 * self.numbers["total"] + self.moments
        whole = self.costs.at(train.batch_size)
        embed = self._embeds() * self.costs.at(train.micro_batch).embed * train.devices
        flops = {"model": whole.step, "contrast": embed, "recomputed": whole.again}
        n = len(self.data.maker)
        return Plan(
            name=recipe.name,
            size=recipe.size,
            device=self.chip.name if self.chip is not None else self.place.device.type,
            said=list(self.place.said),
            here=self.here,
            calibrated=_words(measured, train.micro_batch, self.costs.layers),
            parameters=self.numbers,
            run={
                "steps": train.steps,
                "batch_size": train.batch_size,
                "micro_batch": train.micro_batch,
                "micro_batches": self.micros,
                "pieces": self.pieces,
                "devices": train.devices,
                "samples": train.steps * train.batch_size,
                "available": n,
                "passes": train.steps * train.batch_size / max(n, 1),
                "unit": recipe.samples.unit,
                "tokens_per_sample": tokens,
            },
            memory=memory,
            flops=flops | {"total": sum(flops.values())},
            step_seconds=step,
            samples_per_second=None if step is None else train.batch_size / step,
            tokens_per_second=None if step is None else train.batch_size * tokens / step,
            hours=None if step is None else sum(seconds_of.values()) / 3600,
            seconds_of=seconds_of,
            disk={
                "checkpoint": checkpoint,
                "run": (
                    checkpoint
                    * (min(train.keep_checkpoints, -(-train.steps // train.checkpoint_every)) + 1)
                    # The state of the best validation, and its weights in best/.
                    + (checkpoint + 4.0 * self.numbers["total"]) * bool(len(self.data.valid_rows))
                    + 4.0 * self.numbers["total"]
                ),
                "store": float(sum(entry["bytes"] for entry in self.store.info.files.values())),
            },
            largest_micro_batch=self.largest(measured),
            fits=memory["total"] <= memory["available"],
            notes=self._notes(measured),
            network=network,
            failures={} if step is None else self._failures(step, checkpoint),
        )

    def _network(self) -> dict[str, float]:
        """Bytes and seconds of a step's messages; nothing with one process."""
        recipe, cluster = self.recipe, self.cluster
        if cluster.devices == 1:
            return {}
        # Gradients in fp32; each embedding there and its gradient back, of all samples.
        compared = {
            key for name in contrasting(recipe.objectives) for key in OBJECTIVES[name].contrasts
        }
        hidden = encoder_size(recipe.model.encoder).hidden
        width = hidden if recipe.model.projection == "none" else recipe.model.projection_dim
        embeddings = 4.0 * recipe.train.batch_size * width * len(compared)
        summed, gathered = 4.0 * self.numbers["total"] + embeddings, embeddings
        if recipe.train.strategy == "fsdp":
            # In each pass weights there, and again on the way back, on which gradients go half of
            # the way of a sum; weights alone where embeddings are taken twice.
            passes = 3 * self.micros + self._embeds()
            summed, gathered = embeddings, embeddings + 4.0 * self.numbers["total"] * passes
        each = sent(summed, gathered, cluster.devices)
        seconds = exchange(each, cluster, None if self.chip is None else self.chip.link)
        known = {} if seconds is None else {"seconds": seconds}
        return {"summed": summed, "gathered": gathered, "sent": each, **known}

    def _failures(self, step: float, checkpoint: float) -> dict[str, float]:
        """What failures and checkpoints cost a run of so long a step; nothing with one process."""
        cluster, every = self.cluster, self.recipe.train.checkpoint_every
        if cluster.devices == 1:
            return {}
        write = checkpoint / DISK_RATE
        apart = cluster.between_failures
        best = min(best_interval(write, apart), self.recipe.train.steps * step)
        return {
            "hours_between": apart / 3600,
            "best_every": max(1.0, best / step),
            "lost_at_best": lost_share(best, write, apart, RESTART),
            "lost": lost_share(every * step, write, apart, RESTART),
        }

    def _tokens(self) -> float:
        """Tokens of a sample that the encoder reads, padding left out."""
        several = self.data.maker(self.data.rows_at(0)[:32], 0)
        parts = [part for part in (several.dna, several.clean, several.pairs) if part is not None]
        return sum(int(part.mask.sum()) for part in parts) / len(several)

    # -- time

    def _embeds(self) -> int:
        """Micro-batches of one device whose embeddings are taken twice in a step."""
        train = self.recipe.train
        group = contrast_size(self.recipe.objectives, train, train.devices)
        if group is None or group <= train.micro_batch:
            return 0
        contrasts = -(-train.batch_size // group)
        return self.micros - contrasts

    def seconds(self, measured: Calibration | None) -> tuple[float | None, float]:
        """Give the seconds of a step (None: not known), and of a forward pass of one
        micro-batch.
        """
        train, total = self.recipe.train, self.numbers["total"]
        if measured is None:
            if self.chip is None:
                return None, 0.0
            rate = SHARE * (self.chip.rate if self.place.bf16 else self.chip.fp32)
            one = self.costs.at(train.micro_batch)
            work = self.micros * (one.step + one.again) + self._embeds() * one.embed
            return work / rate + self._drawing(self.chip), one.forward / rate
        b, layers = train.micro_batch, self.costs.layers
        last = measured.points[-1]
        again = self._extrapolated([p.pass_ for p in measured.points], measured, b, layers)
        embed = self._extrapolated([p.embed for p in measured.points], measured, b, layers)
        move = last.move * total / last.weights
        step = (move + self.micros * again + self._embeds() * embed) * self._crowding()
        return step, embed or again * self.costs.at(1).forward / self.costs.at(1).step

    def _drawing(self, chip: Chip) -> float:
        """Seconds of a step in which numbers for dropout of attention weights are drawn; no
        operations of MFU's.
        """
        one = self.costs.at(self.recipe.train.micro_batch)
        return (self.micros * one.draws + self._embeds() * one.embed_draws) * DRAW / chip.fp32

    def _crowding(self) -> float:
        """How many times longer a step takes where the run's processes have fewer cores than the
        trial's one had for itself.
        """
        processes = self.recipe.train.devices
        if self.place.device.type != "cpu":
            return 1.0
        return max(
            1.0, processes * min(threads_of(processes), checked_threads()) / checked_threads()
        )

    def _extrapolated(
        self, values: list[float], measured: Calibration, b: int, layers: int
    ) -> float:
        """From the points to (b, layers): along the line through two of them, or in proportion to
        the operations.
        """
        points, last = measured.points, measured.points[-1]
        if (last.samples, last.layers) == (b, layers) or not values[-1]:
            return values[-1]
        value = values[-1]
        if len(points) == 2 and points[0].layers == last.layers:
            slope = (values[1] - values[0]) / (last.samples - points[0].samples)
            # What does not grow with the samples is at most half: noise must not become a rate.
            slope = min(max(slope, 0.5 * value / last.samples), value / last.samples)
            return value + slope * (b - last.samples)
        if len(points) == 2:
            between = last.layers - points[0].layers
            layer = max((values[1] - values[0]) / between, 0.25 * value / last.layers)
            value += layer * (layers - last.layers)
        else:
            value *= self.costs.at(1, layers).step / self.costs.at(1, last.layers).step
        return value * b / last.samples

    def _seconds_of(self, step: float | None, forward: float) -> dict[str, float]:
        if step is None:
            return {}
        train, n = self.recipe.train, len(self.data.valid_rows)
        validations = train.steps // train.validate_every + 2 if n else 0
        states = -(-train.steps // train.checkpoint_every)
        return {
            "steps": step * train.steps,
            "validation": validations * forward * n / train.micro_batch,
            "checkpoints": states * (4.0 * self.numbers["total"] + self.moments) / DISK_RATE,
        }

    # -- memory

    def memory(self, b: float, measured: Calibration | None) -> dict[str, float]:
        """Bytes by kind at a micro-batch of b samples."""
        train, total = self.recipe.train, self.numbers["total"]
        several = self.data.maker(self.data.rows_at(0)[:8], 0)
        batches = batch_bytes(several) / len(several) * train.batch_size / train.devices
        state = {"weights": 4.0 * total, "gradients": 4.0 * total, "optimiser": self.moments}
        if train.strategy == "fsdp":
            state = {name: size / train.devices for name, size in state.items()}
            state["gathered"] = 8.0 * self._gathered()
        cost = self.costs.at(b)
        counted = cost.kept + cost.working + self.costs.casts
        files = self._files()
        if self.here and self.place.device.type == "cpu":
            libraries = measured.libraries if measured else resident()
            work = self._activations(b, counted, measured) if measured else counted
            # Beyond what the trial touched already.
            touched = min(files, train.steps * train.batch_size * self._touches() * FAULT)
            parts = {
                "libraries": libraries,
                **state,
                "activations": work,
                "batches": batches,
                "store": touched,
            }
            parts = {key: value * train.devices for key, value in parts.items()}
            parts["store"] = touched  # processes share the pages
        else:
            on_device = 0.0 if self._stays_on_host() else files
            parts = {
                "context": CONTEXT,
                **state,
                "activations": counted,
                "batches": batches,
                "store": on_device,
            }
            if measured:
                parts["activations"] = self._activations(b, counted, measured)
            parts["allocator"] = (ALLOCATOR - 1) * (parts["activations"] + 4.0 * total)
        return parts | {"total": sum(parts.values()), "available": self._available()}

    def _gathered(self) -> float:
        """Weights that are whole at one time where they are cut up over processes: those outside of
        the encoder's blocks, and two blocks.
        """
        size = encoder_size(self.recipe.model.encoder)
        h, ffn = size.hidden, size.ffn
        block = 4 * h * h + 2 * h * ffn + 9 * h + ffn  # products, their biases, two norms
        return self.numbers["total"] - max(size.layers - 2, 0) * block

    def _activations(self, b: float, counted: float, measured: Calibration) -> float:
        """Bytes beyond libraries and state, from the peaks of the trial."""
        state = 8.0 + self.moments / self.numbers["total"]
        # With one micro-batch a step the gradients come when the activations go; with more the next
        # ones find them there.
        beyond = [
            p.peak - measured.libraries - (state - 4.0 * (self.micros > p.micros == 1)) * p.weights
            for p in measured.points
        ]
        last, value = measured.points[-1], beyond[-1]
        if (last.samples, last.layers) == (b, self.costs.layers):
            return value
        there = self.costs.at(last.samples, last.layers)
        one = self.costs.at(1)
        slope = one.kept + one.working
        if (
            len(measured.points) == 2
            and measured.points[0].layers == last.layers == self.costs.layers
        ):
            between = last.samples - measured.points[0].samples
            slope = min(max((beyond[1] - beyond[0]) / between, 0.9 * one.kept), 1.5 * slope)
            return value + slope * (b - last.samples)
        if last.layers == self.costs.layers:
            factor = self._held(value / (there.kept + there.working + self.costs.casts))
            return max(value, 0.0) + factor * slope * (b - last.samples)
        if len(measured.points) == 2:
            # A layer's memory from two depths: the little that they differ by says less of the
            # other layers than what is counted.
            layer = self.costs.at(last.samples, 2).kept - self.costs.at(last.samples, 1).kept
            grown = (beyond[1] - beyond[0]) / (last.layers - measured.points[0].layers)
            factor = self._held(grown / layer)
            return max(value, 0.0) + factor * (
                layer * (self.costs.layers - last.layers) + slope * (b - last.samples)
            )
        excess = min(max(value / (there.kept + there.working + self.costs.casts), 0.8), 1.5)
        return counted * excess

    def _held(self, seen: float) -> float:
        """What a heap holds over what is counted, as seen in the trial and as far as that is
        believed.
        """
        least, most = HELD if self.place.device.type == "cpu" else HELD_GPU
        return min(max(seen, least), most)

    def _touches(self) -> int:
        """Places of the store that one sample reads."""
        places = max(self.recipe.samples.regions, 1) if self.recipe.samples.unit == "regions" else 1
        return places * len(self.recipe.model.streams)

    def _files(self) -> float:
        """Bytes of the store that this run reads."""
        return float(moved_bytes(read_parts(self.store, self.recipe.model.streams)))

    def _stays_on_host(self) -> bool:
        """Whether the store is too large for the GPU; as `place_store` decides."""
        return not self.on_cpu and self._files() > SHARE_OF_DEVICE * self._available()

    def _available(self) -> float:
        if not self.here:
            assert self.chip is not None
            return self.chip.memory
        if self.place.device.type == "cuda":
            return float(torch.cuda.mem_get_info(self.place.device)[0])
        return min(free_memory(), self.recipe.train.devices * address_room())

    def largest(self, measured: Calibration | None, most: int | None = None) -> int:
        """Give the largest micro-batch, up to `most`, that fits and divides the batch and the
        contrast; 0: none.
        """
        train = self.recipe.train
        share = train.batch_size // train.devices
        group = self.recipe.objectives.matching.batch or train.batch_size
        if not self.recipe.objectives.matching.weight:
            group = train.batch_size
        smallest = train.batch_size % group or group
        fits = 0
        for b in range(1, min(share, most or share) + 1):
            if train.batch_size % b or group % b or -(-smallest // b) < train.devices:
                continue
            memory = self.memory(b, measured)
            if memory["total"] > memory["available"]:
                break
            fits = b
        return fits

    def _notes(self, measured: Calibration | None) -> list[str]:
        notes = []
        if not self.here:
            assert self.chip is not None
            chip = self.chip
            rate, source, of = (
                (chip.rate, chip.source, "bf16")
                if self.place.bf16
                else (chip.fp32, chip.fp32_source, "fp32")
            )
            notes.append(
                f"{chip.name} is not here: {rate / 1e12:.0f} TFLOP/s in {of} ({source}), of which a"
                f" step is assumed to reach {SHARE:.0%}; memory is counted, not measured"
            )
            narrow = encoder_size(self.recipe.model.encoder).hidden < NARROW
            if narrow or self.recipe.train.micro_batch * self._tokens() < FEW_TOKENS:
                notes.append(
                    "small models and small micro-batches are bound by starting kernels, which is"
                    " not in the time (EBERT small took 45 ms a micro-batch of 256 on an H200):"
                    " expect far fewer samples a second"
                )
        elif measured is None:
            notes.append(
                "not calibrated: memory is counted, not measured"
                + ("" if self.chip else "; time is not known")
            )
        notes += self._notes_on_attention(measured)
        notes += [*self.data.said, *self.data.warnings]
        train = self.recipe.train
        if train.devices > 1 and self.on_cpu:
            line = (
                f"{train.devices} processes of {threads_of(train.devices)} threads on"
                f" {checked_threads()} cores"
            )
            if measured and (longer := self._crowding()) > 1:
                line += f": a step is counted {longer:.3g} times as long as the trial's"
            notes.append(line)
        if self.on_cpu and address_room() < math.inf:
            notes.append(f"ulimit -v leaves a process room for {address_room() / 1e9:.3g} GB")
        if train.devices > 1 and "seconds" not in self._network():
            notes.append("what the processes send each other once a step is not in the time")
        if train.compile == "blocks" and not self.here:
            notes.append(
                "train.compile: its gain, and the half minute it takes at the start, are not in the"
                " time"
            )
        if self._stays_on_host():
            notes.append(
                f"the store's {self._files() / 1e9:.3g} GB do not fit into {SHARE_OF_DEVICE:.0%} of"
                f" the {self._available() / 1e9:.3g} GB of the device: it stays on the host as"
                " memory maps; measured on this machine,"
                f" {host_cost(self.data.maker, train.micro_batch)}"
            )
        if self.on_cpu and (store := self._files()) > 1e9:
            notes.append(
                f"{store / 1e9:.1f} GB of store pages may stay in memory; the system takes them"
                " back when needed"
            )
        return notes

    def _notes_on_attention(self, measured: Calibration | None) -> list[str]:
        if measured is not None or self.chip is None:
            return []
        notes = []
        step, drawing = self.seconds(None)[0], self._drawing(self.chip)
        assert step is not None
        if drawing > NOTED * step:
            notes.append(
                f"dropout of attention weights is {drawing / step:.0%} of the time of a step, from"
                " one constant (on an H200 it took GeneBERT at 5,111 tokens from 58.6 to 44.1"
                " samples/s); model.encoder.attention_dropout=0 leaves it out"
            )
        if self.recipe.train.attention == "plain":
            notes.append(
                "train.attention=plain: its tables are in the memory; moving them is not in the"
                " time: expect a slower step"
            )
        return notes


def _words(measured: Calibration | None, micro: int, layers: int) -> str:
    if measured is None:
        return ""
    last = measured.points[-1]
    what = f"real steps of {last.micros} x {last.samples} samples"
    if last.layers != layers:
        what += f" through {measured.points[0].layers} and {last.layers} of {layers} layers"
    elif last.samples != micro:
        what += f" (a micro-batch of the run has {micro})"
    return f"{what}, {measured.seconds:.0f} s; products {measured.products / 1e9:.0f} GFLOP/s"


def address_room() -> float:
    """Bytes that a process like this one can fill under `ulimit -v`, what it has filled already
    included; inf without a limit.

    Examples
    --------
    >>> address_room() > 0
    True
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if limit == resource.RLIM_INFINITY else max(limit - reserved(), 0.0)


def free_memory() -> float:
    """Bytes that this machine, or the container we are in, can still give.

    Examples
    --------
    >>> free_memory() > 0
    True
    """
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(float(line.split()[1]) * 1024)
    except OSError:
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            limits.append(float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):
            continue  # no such file, or "max"
    return max(min(limits), 0.0)

"""One optimiser step: micro-batches, an exact contrast over many of them, one move of the weights.

The batch is cut into contrasts, a contrast into micro-batches, and these are dealt out to the
processes: the same micro-batches for any number of them, one more or less a process. Losses of
hidden tokens and of hidden states are means over all that the step hides, of all processes: a
micro-batch counts by what it hides of them, and by its samples for the other losses. So the step in
pieces is the step in one piece. Dropout is a function of (seed, step, place in the batch): the same
in one process and in several, before and after an interruption. Needs torch only. Axes: B samples
of the step, over all processes; b of a micro-batch;
D embedding width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from epilm.batch import Batch, Outputs, Sequences, tensors_of
from epilm.device import Place
from epilm.objectives.combine import active, combine
from epilm.objectives.combine import weights as weights_of
from epilm.objectives.contrast import contrastive_micro_batches
from epilm.objectives.parts import need
from epilm.objectives.table import OBJECTIVES, ObjectivesSpec, counted
from epilm.tokens.masking import IGNORED
from epilm.tokens.random import state as mixed
from epilm.training.fsdp import buffers_kept, clip_gradients, is_cut, sum_gradients
from epilm.training.optim import Optimiser
from epilm.training.optim_spec import TrainSpec
from epilm.training.ranks import Ranks
from epilm.training.watch import check_finite

Maker = Callable[[np.ndarray, int], Batch]
Keep = Callable[[list[list[int]], list[Batch]], str]


def hidden_counts(batch: Batch) -> Tensor:
    """Count what a batch hides, for each of `objectives.table.counted`.

    Returns
    -------
    int64 (2,)
        K-mers with a label in passes 1 and 2, states with a label.
    """
    return torch.stack([objective.hides(batch) for objective in counted() if objective.hides])


def shares_of(batch: Batch, totals: Tensor, share: float) -> dict[str, Tensor | float]:
    """Say how much of the step each objective's mean over this batch stands for.

    Parameters
    ----------
    batch : Batch
    totals : int64 (2,)
        `hidden_counts` of the whole step.
    share : float
        Of the step's samples.
    """
    parts = hidden_counts(batch).float() / totals.clamp(min=1).float()
    shares: dict[str, Tensor | float] = dict.fromkeys(OBJECTIVES, share)
    names = [objective.name for objective in counted()]
    return shares | dict(zip(names, parts.unbind(), strict=True))


@dataclass
class Figures:
    """What this process saw in one or more steps; add up with `+=`, over processes with `summed`.

    Attributes
    ----------
    values : dict
        "<objective>/<metric>" to a 0-d tensor: means over the step, summed over steps.
        "loss" is the weighted total.
    tokens : 0-d int64 tensor
        Tokens read by the encoder, special ones included, padding not.
    samples, steps : int
    norm : 0-d tensor
        Gradient length before clipping, summed over steps.
    """

    values: dict[str, Tensor] = field(default_factory=dict)
    tokens: Tensor | None = None
    samples: int = 0
    steps: int = 0
    norm: Tensor | None = None

    def add(
        self, values: Mapping[str, Tensor], shares: float | Mapping[str, Tensor | float]
    ) -> None:
        """Add the values of one micro-batch: its share of the step, one for all or one an
        objective.
        """
        for key, value in values.items():
            objective, _, metric = key.rpartition("/")
            if objective in OBJECTIVES and metric in OBJECTIVES[objective].counts:
                continue
            part = value.detach().float() * (
                shares[objective] if isinstance(shares, Mapping) else shares
            )
            self.values[key] = self.values[key] + part if key in self.values else part

    def __iadd__(self, other: "Figures") -> "Figures":
        for key, value in other.values.items():
            self.values[key] = self.values[key] + value if key in self.values else value
        for name in ("tokens", "norm"):
            mine, its = getattr(self, name), getattr(other, name)
            setattr(self, name, its if mine is None else mine if its is None else mine + its)
        self.samples += other.samples
        self.steps += other.steps
        return self

    def summed(self, ranks: Ranks) -> dict[str, float]:
        """Means over the steps, of all processes together; tokens and samples as counts."""
        assert self.tokens is not None
        keys = sorted(self.values)
        kind = torch.float32 if self.tokens.device.type == "mps" else torch.float64
        flat = torch.stack(
            [part.to(kind) for part in (*(self.values[key] for key in keys), self.tokens)]
        )
        ranks.sum_([flat])
        numbers = flat.tolist()
        out = {key: number / self.steps for key, number in zip(keys, numbers, strict=False)}
        if self.norm is not None:
            out["gradient_norm"] = float(self.norm) / self.steps
        return out | {"tokens": numbers[-1], "samples": float(self.samples)}

    def kept(self, ranks: Ranks) -> dict[str, Any]:
        """Give what all processes saw as JSON values, to go on with after an interruption."""
        if not self.steps:
            return {}
        assert self.tokens is not None
        kind = torch.float32 if self.tokens.device.type == "mps" else torch.float64
        values = {key: value.to(kind) for key, value in self.values.items()}
        tokens = self.tokens.clone()
        ranks.sum_([*(values[key] for key in sorted(values))])
        ranks.sum_([tokens])
        return {
            "values": {key: float(value) for key, value in values.items()},
            "tokens": int(tokens),
            "samples": self.samples,
            "steps": self.steps,
            "norm": None if self.norm is None else float(self.norm),
        }

    @classmethod
    def again(cls, kept: Mapping[str, Any], device: torch.device) -> "Figures":
        """Take up what `kept` gave; nothing where it gave nothing.

        Examples
        --------
        >>> seen = Figures({"loss": torch.tensor(3.0)}, torch.tensor(8), samples=4, steps=2)
        >>> Figures.again(seen.kept(Ranks()), torch.device("cpu")).summed(Ranks())
        {'loss': 1.5, 'tokens': 8.0, 'samples': 4.0}
        """
        if not kept:
            return cls()
        norm = kept["norm"]
        return cls(
            {key: torch.tensor(value, device=device) for key, value in kept["values"].items()},
            torch.tensor(kept["tokens"], device=device),
            kept["samples"],
            kept["steps"],
            None if norm is None else torch.tensor(norm, device=device),
        )


@dataclass(frozen=True)
class Micro:
    """A micro-batch of this process: its samples, and where they stand in the step's batch."""

    rows: np.ndarray
    offset: int


def cut(rows: np.ndarray, group: int, micro: int, ranks: Ranks) -> list[list[Micro]]:
    """Cut a step's rows into micro-batches, contrast by contrast, and take this process's.

    Where they are cut does not depend on the number of processes: a micro-batch has the same
    samples, padding and dropout in each.

    Parameters
    ----------
    rows : int64 (B,)
        Of all processes.
    group : int
        Samples of a contrast; the last may be smaller.
    micro : int
        Samples of a micro-batch.
    ranks : Ranks

    Examples
    --------
    >>> parts = cut(np.arange(12), group=8, micro=2, ranks=Ranks(1, 2))
    >>> [[(m.offset, m.rows.tolist()) for m in group] for group in parts]
    [[(4, [4, 5]), (6, [6, 7])], [(10, [10, 11])]]
    >>> parts = cut(np.arange(10), group=10, micro=2, ranks=Ranks(1, 2))  # five micro-batches
    >>> [[(m.offset, m.rows.tolist()) for m in group] for group in parts]
    [[(4, [4, 5]), (6, [6, 7]), (8, [8, 9])]]
    """
    out = []
    for start in range(0, len(rows), group):
        stop = min(start + group, len(rows))
        offsets = range(start, stop, micro)
        out.append(
            [
                Micro(rows[at : min(at + micro, stop)], at)
                for at in offsets[ranks.share(len(offsets))]
            ]
        )
    return out


def held_by(samples: int, micro: int, world: int) -> list[int]:
    """Say how many samples of a contrast each process has, as `cut` deals them out.

    Examples
    --------
    >>> held_by(10, 2, 2), held_by(9, 2, 3)
    ([4, 6], [2, 4, 3])
    """
    parts = [Ranks(rank, world).share(-(-samples // micro)) for rank in range(world)]
    return [min(part.stop * micro, samples) - part.start * micro for part in parts]


def passes_of(samples: int, micro: int, world: int) -> int:
    """Say how many micro-batches of a contrast the process with the most of them has.

    Examples
    --------
    >>> passes_of(10, 2, 2), passes_of(9, 2, 3), passes_of(8, 2, 1)
    (3, 2, 4)
    """
    pieces = -(-samples // micro)
    return -(-pieces // world)


# hidden tokens are counted up to a multiple: few shapes, and one compiled program serves many steps
ROUND = 64


def with_counts(loaded: list[list[tuple[Micro, Batch]]]) -> list[list[tuple[Micro, Batch]]]:
    """Write into every batch how much it hides at most and whether it has padding: one question to
    the device for all.

    Without it the heads of each micro-batch would ask for themselves, and a GPU would run dry, and
    attention would have to heed a mask; on a CPU oneDNN would keep a program of its own for every
    number of rows it ever saw, some MB each.
    """
    asked: list[Tensor] = []
    for batch in (batch for pairs in loaded for _, batch in pairs):
        asked += [_n_labels(batch.state_labels)] if batch.state_labels is not None else []
        for part in _sequences(batch):
            asked += [] if part.full else [part.mask.all().long()]
            asked += [_n_labels(part.labels)] if part.labels is not None else []
    if not asked:
        return loaded
    answers = iter(torch.stack(asked).tolist())

    def most(labels: Tensor) -> int:
        return min(-(-next(answers) // ROUND) * ROUND, labels.numel())

    def answered(part: Sequences | None) -> Sequences | None:
        if part is None:
            return None
        full = part.full or bool(next(answers))
        return replace(
            part, full=full, most=part.most if part.labels is None else most(part.labels)
        )

    def of(batch: Batch) -> Batch:
        states_most = None if batch.state_labels is None else most(batch.state_labels)
        dna, clean, pairs = (answered(part) for part in (batch.dna, batch.clean, batch.pairs))
        assert dna is not None
        return replace(batch, dna=dna, clean=clean, pairs=pairs, states_most=states_most)

    return [[(micro, of(batch)) for micro, batch in pairs] for pairs in loaded]


def _sequences(batch: Batch) -> list[Sequences]:
    return [part for part in (batch.dna, batch.clean, batch.pairs) if part is not None]


def _n_labels(labels: Tensor) -> Tensor:
    return (labels != IGNORED).sum()


class Ahead:
    """A maker that has the batches of the next step ready, where they were asked for in time.

    Batches are a function of (rows, step), so one made early is the one made late. On CUDA they are
    made in a stream of their own: the many small kernels of gathering and masking fill gaps of the
    step before.
    """

    def __init__(self, make: Maker, device: torch.device | None = None) -> None:
        self.make = make
        self._ready: dict[tuple[int, bytes], tuple[Batch, torch.cuda.Event | None]] = {}
        self._aside: torch.cuda.Stream | None = None
        if device is not None and device.type == "cuda":
            self._aside = torch.cuda.Stream(device)
            # What the maker reads was put there in the stream of now.
            self._aside.wait_stream(torch.cuda.current_stream(device))

    def prepare(self, rows: np.ndarray, step: int) -> None:
        """Make a batch that will be asked for."""
        if self._aside is None:
            self._ready[step, rows.tobytes()] = self.make(rows, step), None
            return
        with torch.cuda.stream(self._aside):
            self._ready[step, rows.tobytes()] = self.make(rows, step), self._aside.record_event()

    def forget(self) -> None:
        """Let go of what was made and not asked for."""
        self._ready.clear()

    def __call__(self, rows: np.ndarray, step: int) -> Batch:
        """Give a batch, and forget it."""
        batch, made = self._ready.pop((step, rows.tobytes()), (None, None))
        if batch is None:
            return self.make(rows, step)
        if made is not None:
            stream = torch.cuda.current_stream(batch.rows.device)
            stream.wait_event(made)
            for tensor in tensors_of(batch):
                tensor.record_stream(
                    stream
                )  # its memory is not given away while this stream may read it
        return batch


def contrasting(objectives: ObjectivesSpec) -> list[str]:
    """Name the objectives that are on and compare samples with each other.

    Examples
    --------
    >>> contrasting(ObjectivesSpec())
    ['matching']
    """
    return [name for name in active(objectives) if OBJECTIVES[name].contrasts]


def contrast_size(objectives: ObjectivesSpec, train: TrainSpec, world: int) -> int | None:
    """Say how many samples are contrasted with each other, or None where no objective does."""
    if not contrasting(objectives):
        return None
    return objectives.matching.batch or train.micro_batch * world


def optimiser_step(
    model: nn.Module,
    make: Maker,
    optimiser: Optimiser,
    rows: np.ndarray,
    *,
    step: int,
    lr: float,
    objectives: ObjectivesSpec,
    train: TrainSpec,
    clip: float,
    ranks: Ranks,
    place: Place,
    meanwhile: Callable[[], None] | None = None,
    keep: Keep | None = None,
) -> Figures:
    """Move the weights once.

    Parameters
    ----------
    model : Module
        Maps a Batch to Outputs; with a contrast also `encode_contrasts` and `log_temperature`.
        In training mode, on `place.device`.
    make : callable
        (rows, step) to a Batch on the device.
    optimiser : Optimiser
    rows : int64 (B,)
        The step's samples, of all processes.
    step, lr : int, float
        From 0; the rate of this step.
    objectives, train : spec
        Reads `train.micro_batch` and `train.seed`.
    clip : float
        Largest gradient length; 0 = no limit.
    ranks, place : Ranks, Place
    meanwhile : callable, optional
        Called when all work is handed to the device and before anything waits for it: the time to
        make the next batches (`Ahead`).
    keep : callable, optional
        Keeps the batches of a step that fails, of this process: (rows of each, batches) to a
        sentence of the message.

    Returns
    -------
    Figures
        Of this process alone.

    Raises
    ------
    TrainingError
        If a loss or the gradient is not finite; the weights are not moved then.

    Notes
    -----
    Where a contrast holds more than one micro-batch, or several processes share it,
    its embeddings are taken twice (`objectives.contrast`): gradients are those of one large batch.
    """
    n = len(rows)
    group = contrast_size(objectives, train, ranks.world)
    exact = group is not None and (group > train.micro_batch or ranks.world > 1)
    figures = Figures(samples=n, steps=1)
    seen: list[tuple[Sequence[int], dict[str, Tensor]]] = []
    totals: list[Tensor] = []
    skip = contrasting(objectives) if exact else []
    # Each embedding once, also where several objectives compare it.
    compared = list(dict.fromkeys(key for name in skip for key in OBJECTIVES[name].contrasts))
    factor = weights_of(objectives)

    def load(micro: Micro) -> Batch:
        batch = make(micro.rows, step)
        count = torch.stack([part.mask.sum() for part in _sequences(batch)]).sum()
        figures.tokens = count if figures.tokens is None else figures.tokens + count
        return batch

    def dropout_of(micro: Micro) -> None:
        torch.manual_seed(mixed(train.seed, step, micro.offset) & 0x7FFFFFFFFFFFFFFF)

    def of_contrasts(outputs: Outputs) -> tuple[Tensor, ...]:
        return tuple(need(getattr(outputs, key), ", ".join(skip), key).float() for key in compared)

    def losses(micro: Micro, batch: Batch) -> tuple[tuple[Tensor, ...], Tensor]:
        dropout_of(micro)
        shares = shares_of(batch, hidden, len(micro.rows) / n)
        with place.autocast():
            outputs = model(batch)
            total, values = combine(outputs, batch, objectives, skip=skip, shares=shares)
        figures.add(values, shares)
        figures.add({"loss": total}, 1.0)
        seen.append((micro.rows.tolist(), values))
        totals.append(total.detach())
        return of_contrasts(outputs), total

    def embed(pair: tuple[Micro, Batch]) -> tuple[Tensor, ...]:
        micro, batch = pair
        dropout_of(micro)
        with place.autocast():
            outputs = model.encode_contrasts(batch)  # type: ignore[operator]
        return of_contrasts(outputs)

    def keep_pace(pair: tuple[Micro, Batch], alone: bool) -> None:
        """Go through a batch once more for nothing: another process has one more, and weights that
        are cut up are gathered by all processes together. `alone`: the embeddings.
        """
        micro, batch = pair
        with buffers_kept(model):
            if alone:
                with torch.no_grad():
                    embed(pair)
                return
            dropout_of(micro)
            with place.autocast():
                outputs = model(batch)
                shares = shares_of(batch, hidden, 0.0)
                loss, _ = combine(outputs, batch, objectives, skip=skip, shares=shares)
            parts = (loss, *of_contrasts(outputs))
            torch.stack([part.sum() * 0.0 for part in parts]).sum().backward()

    optimiser.zero_grad()
    # All batches first: how much the step hides is known before the first loss counts for its part.
    loaded = [
        [(micro, load(micro)) for micro in micros]
        for micros in cut(rows, group or n, train.micro_batch, ranks)
    ]
    loaded = with_counts(loaded)
    temperature: Tensor | None = getattr(model, "log_temperature", None)
    learns = isinstance(temperature, nn.Parameter) and temperature.requires_grad
    hidden = torch.stack([hidden_counts(batch) for pairs in loaded for _, batch in pairs]).sum(0)
    ranks.sum_([hidden])
    cut_up = any(is_cut(weight) for weight in optimiser.weights)
    for number, pairs in enumerate(loaded):
        contrast_n = min(group or n, n - number * (group or n))
        most = passes_of(contrast_n, train.micro_batch, ranks.world) if cut_up else 0
        idle = range(len(pairs), most)
        if not exact:
            for micro, batch in pairs:
                losses(micro, batch)[1].backward()
            for _ in idle:
                keep_pace(pairs[-1], alone=False)
            continue
        for _ in idle:
            keep_pace(pairs[-1], alone=True)
        sizes = held_by(contrast_n, train.micro_batch, ranks.world)
        share = sizes[ranks.rank] / n  # of this process, in this contrast
        mine = [micro.rows.tolist() for micro, _ in pairs]

        def contrast_loss(
            *leaves: Tensor,
            batch: Batch = pairs[-1][1],
            share: float = share,
            mine: list[list[int]] = mine,
            sizes: list[int] = sizes,
        ) -> Tensor:
            joined = [ranks.gather(leaf, sizes) for leaf in leaves[: len(compared)]]
            outputs = Outputs(
                **dict(zip(compared, joined, strict=True)),
                log_temperature=leaves[-1] if learns else temperature,
            )
            weighted = torch.zeros((), device=place.device)
            values: dict[str, Tensor] = {}
            for name in skip:
                result = OBJECTIVES[name].loss(outputs, batch, getattr(objectives, name))
                weighted = weighted + factor[name] * result["loss"]
                values |= {
                    f"{name}/{key}": torch.as_tensor(value).detach()
                    for key, value in result.items()
                }
            # Every process computes the whole contrast: each counts for its share.
            figures.add(values | {"loss": weighted}, share)
            seen.append(([row for part in mine for row in part], values))
            totals.append(weighted.detach() * share)
            return weighted * share

        contrastive_micro_batches(
            pairs,
            embed,
            contrast_loss,
            forward=lambda pair: losses(*pair),
            shared=(temperature,) if learns else (),  # type: ignore[arg-type]
        )
        for _ in idle:
            keep_pace(pairs[-1], alone=False)
    if meanwhile is not None:
        meanwhile()
    total = torch.stack([part.float() for part in totals]).sum()
    sum_gradients(optimiser.weights, total, ranks)
    norm = clip_gradients(optimiser.weights, clip, ranks)

    def kept() -> str:
        assert keep is not None
        read = [pair for pairs in loaded for pair in pairs]
        return keep([micro.rows.tolist() for micro, _ in read], [batch for _, batch in read])

    check_finite(total, norm, seen, step=step, lr=lr, keep=kept if keep else None)
    optimiser.step(lr)
    figures.norm = norm.detach()
    return figures

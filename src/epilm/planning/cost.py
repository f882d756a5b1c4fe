"""What a step costs, counted from the model's own code on tensors without numbers.

The model runs on fake tensors: shapes and types go through the very code that trains,
nothing is computed, and no memory is filled. Counted are multiplications and
additions of matrix products, attention and convolutions, and the bytes kept for the backward pass.
All of it is linear in the samples of a micro-batch and in the layers of the encoder, so two small
counts give every size. Needs torch only.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from epilm.batch import Batch, Sequences
from epilm.device import Place
from epilm.models.grouping import ChunkPool, grouped_evenly
from epilm.nn.attention import Attention, attend
from epilm.nn.dropout import Dropout
from epilm.nn.encoder import BlockKernels, SequenceEncoder
from epilm.nn.norms import add_norm


@dataclass(frozen=True)
class Cost:
    """The cost of one micro-batch; numbers add up and can be scaled.

    Attributes
    ----------
    forward, backward : float
        Operations (a multiplication and an addition are two).
    embed : float
        Operations of the extra pass that an exact contrast needs, without graph.
    again : float
        Operations done a second time because activations were not kept.
    kept : float
        Bytes kept for the backward pass, weights left out.
    working : float
        Bytes of the largest temporaries beside them: gradients of scores, of the widest layer.
    draws, embed_draws : float
        Random numbers for dropout of attention weights on a GPU: of the passes there, again and
        back; of the extra one.
    """

    forward: float = 0.0
    backward: float = 0.0
    embed: float = 0.0
    again: float = 0.0
    kept: float = 0.0
    working: float = 0.0
    draws: float = 0.0
    embed_draws: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, factor: float) -> "Cost":
        return Cost(*(getattr(self, f.name) * factor for f in fields(self)))

    @property
    def step(self) -> float:
        """Operations of forward and backward pass, recomputation left out: what MFU counts."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Costs:
    """The cost of a micro-batch of any size, from the cost of one sample at two depths.

    Attributes
    ----------
    shallow, deep : Cost
        Of one sample, through `depth` and through `depth` + 1 layers.
    depth, layers : int
        Layers counted, and layers of the model.
    casts : float
        Bytes of the weights in the number format of the products; 0 where it is their own.

    Examples
    --------
    >>> costs = Costs(Cost(10), Cost(13), depth=1, layers=3, casts=0)
    >>> costs.at(1).forward, costs.at(2).forward, costs.at(1, layers=2).forward
    (16, 32, 13)
    """

    shallow: Cost
    deep: Cost
    depth: int
    layers: int
    casts: float

    def at(self, samples: float, layers: int | None = None) -> Cost:
        """Give the cost of a micro-batch of so many samples, through so many layers (all of
        them).
        """
        more = (self.layers if layers is None else layers) - self.depth
        # Temporaries are those of one layer at a time. The last one is the lightest: alone it says
        # nothing of the others.
        working = (self.deep if more else self.shallow).working
        return replace(self.shallow * (1 - more) + self.deep * more, working=working) * samples


@contextmanager
def _set(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute that is there, and put back what it was."""
    before = getattr(owner, name)  # an error where it is gone
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def without_initialising() -> Iterator[None]:
    """Make weights without drawing them: they take no memory until something writes them."""
    names = [name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_set(nn.init, name, lambda tensor, *_, **__: tensor))
        yield


class _How(NamedTuple):
    """How a pass is run, as `count` takes it."""

    place: Place
    exact: bool
    fused: bool
    compiled: bool


def count(
    model: nn.Module,
    batch: Batch,
    hidden: tuple[float, float],
    place: Place,
    *,
    exact: bool,
    fused: bool,
    compiled: bool = False,
) -> Costs:
    """Count what micro-batches cost.

    Parameters
    ----------
    model : GeneBERT or EBERT
        In any mode; left as it was.
    batch : Batch
        Of a few samples; its shapes are read.
    hidden : (float, float)
        K-mers and states under the vocabulary heads, of one sample.
    place : Place
        Number format.
    exact : bool
        Whether the contrast takes its embeddings twice.
    fused : bool
        Whether kernels of GPUs run: attention keeps no table of tokens by tokens unless the encoder
        was told to compute it the plain way (`SequenceEncoder.compute`), sums and norms keep what
        `nn.kernels_norm` keeps.
    compiled : bool
        Whether blocks are programs of `torch.compile`: the last one works on all tokens then, not
        on those that are read.
    """
    encoder: Any = model.encoder
    blocks, training = encoder.blocks, model.training
    how = _How(place, exact, fused, compiled)
    heads = (round(hidden[0] * len(batch)), round(hidden[1] * len(batch)))
    by_depth = []
    model.train()
    try:
        for depth in (1, 2):
            # A model of one layer is counted with that layer twice.
            encoder.blocks = nn.ModuleList([blocks[0], blocks[min(1, len(blocks) - 1)]][:depth])
            by_depth.append(_count(model, batch, heads, how) * (1 / len(batch)))
    finally:
        encoder.blocks = blocks
        model.train(training)
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    return Costs(by_depth[0], by_depth[1], 1, len(blocks), 2.0 * matrices if place.bf16 else 0.0)


def _count(model: nn.Module, batch: Batch, heads: tuple[int, int], how: _How) -> Cost:
    plain = _run(model, batch, heads, how)
    encoder: Any = model.encoder
    if not encoder.checkpoint_activations:
        return plain
    # A checkpointed block keeps its input, and all of one block when its turn comes; the last one
    # is the lightest.
    blocks, n = encoder.blocks, len(encoder.blocks)
    try:
        encoder.blocks = nn.ModuleList()
        outside = _run(model, batch, heads, how)
        encoder.blocks = nn.ModuleList([blocks[0], *blocks])
        more = _run(model, batch, heads, how)
    finally:
        encoder.blocks = blocks
    tokens = sum(
        part.ids.numel() for part in (batch.dna, batch.clean, batch.pairs) if part is not None
    )
    return replace(
        plain,
        kept=outside.kept + n * tokens * encoder.hidden * 4,
        working=plain.working + more.kept - plain.kept,
        again=plain.forward - outside.forward,
    )


def _run(model: nn.Module, batch: Batch, heads: tuple[int, int], how: _How) -> Cost:
    """Forward pass of one micro-batch on fake tensors, and what autograd would keep of it."""
    kept: dict[int, int] = {}
    shapes = {(tuple(p.shape), p.dtype) for p in model.parameters()}

    def pack(x: Tensor) -> Tensor:
        # A weight, or its copy in bf16, is no activation.
        if not any((tuple(shape), torch.float32) in shapes for shape in (x.shape, x.shape[::-1])):
            storage = x.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
            alive.append(x)
        return x

    alive: list[Tensor] = []  # so that no two storages have one address
    drawn: list[int] = []
    with ExitStack() as stack:
        fake = stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_counted(model, how, drawn))
        batch = _faked(batch, fake, heads)

        def amp() -> Any:
            return torch.autocast("cpu", torch.bfloat16) if how.place.bf16 else nullcontext()

        with (
            _counter() as forward,
            torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x),
            amp(),
        ):
            scores = _pass(model, batch)
        draws, embed = sum(drawn), 0
        if how.exact:
            with _counter() as extra, torch.no_grad(), amp():
                model.encode_contrasts(batch)  # type: ignore[operator]
            embed = extra.get_total_flops()
    widest = max(kept.values(), default=0)
    # Backward: each product has two gradients, each of them a product of the same size.
    operations = float(forward.get_total_flops())
    return Cost(
        operations,
        2 * operations,
        embed,
        0,
        sum(kept.values()),
        2 * scores + 3 * widest,
        draws,
        sum(drawn) - draws,
    )


def _pass(model: Any, batch: Batch) -> int:
    """Everything the losses read; give the bytes of the scores."""
    out = model(batch)
    scores = 0
    for logits, labels in (
        (out.masked_logits, out.masked_labels),
        (out.state_logits, out.state_labels),
    ):
        if logits is not None and len(logits):
            F.cross_entropy(logits.float(), labels)
            scores += logits.numel() * 4
    return scores


def _faked(batch: Batch, fake: FakeTensorMode, heads: tuple[int, int]) -> Batch:
    """The batch without numbers; `heads` k-mers and states are hidden, as what depends on numbers
    cannot run on fake tensors.
    """
    hiding = [
        part for part in (batch.dna, batch.pairs) if part is not None and part.labels is not None
    ]
    tokens = sum(part.ids.numel() for part in hiding)

    def of(value: Any) -> Any:
        if not isinstance(value, Sequences):
            return fake.from_tensor(value) if isinstance(value, Tensor) else value
        ids, segments, mask = map(fake.from_tensor, (value.ids, value.segments, value.mask))
        if value.labels is None:
            return Sequences(ids, segments, mask)
        most = round(heads[0] * ids.numel() / tokens)
        return Sequences(ids, segments, mask, labels=fake.from_tensor(value.labels), most=most)

    moved = {f.name: of(getattr(batch, f.name)) for f in fields(batch)}
    return Batch(**moved | {"states_most": heads[1]})


@contextmanager
def _counted(model: Any, how: _How, drawn: list[int]) -> Iterator[None]:
    """What looks at numbers, replaced by what looks at shapes; put back afterwards. Draws are
    added to `drawn`.
    """
    encoder: SequenceEncoder = model.encoder
    kernels = _Kernels(how.fused, encoder.checkpoint_activations, drawn)
    with ExitStack() as stack:
        stack.enter_context(_shapes_alone(encoder, how.compiled))
        stack.enter_context(encoder.computed_by(BlockKernels(kernels.attend, kernels.add_norm)))
        stack.enter_context(_set(encoder, "checkpoint_activations", False))
        stack.enter_context(grouped_evenly())
        chunks = getattr(model, "chunks", None)
        if isinstance(chunks, ChunkPool):
            # H x H a piece: nothing beside the encoder
            stack.enter_context(_set(chunks, "lstm", None))
        yield
    missed = {"attend", "add_norm"} - kernels.called
    assert not (missed and encoder.blocks), f"blocks go past the counting versions of {missed}"


@contextmanager
def _shapes_alone(encoder: SequenceEncoder, compiled: bool) -> Iterator[None]:
    """Within, the encoder gets no mask: a full one is the same work as none. Compiled, its blocks
    work on all tokens, and those that are read are taken at the end.
    """
    places: list[Tensor | None] = []

    def before(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        # forward(ids, segments, mask, *, ...)
        places.append(named.get("rows") if compiled else None)
        return args[:2], named | {"mask": None} | ({"rows": None} if compiled else {})

    def after(_: Any, args: tuple[Any, ...], out: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        rows = places.pop()
        hidden, tables = out
        return (hidden if rows is None else hidden.flatten(0, 1).index_select(0, rows)), tables

    hooks = (
        encoder.register_forward_pre_hook(before, with_kwargs=True),
        encoder.register_forward_hook(after),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Kernels:
    """The counting versions of the functions that blocks compute by.

    With `fused` as GPUs compute, else as a CPU does. `again`: checkpointed blocks draw once more.
    """

    def __init__(self, fused: bool, again: bool, drawn: list[int]) -> None:
        self.fused, self.again, self.drawn = fused, again, drawn
        self.called: set[str] = set()

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Any, dropout: float, wish: Attention
    ) -> Tensor:
        self.called.add("attend")
        if not self.fused:
            # The same work in one block, counted at once.
            return attend(q, k, v, mask, dropout, wish, block=1 << 62)
        if dropout > 0:
            # A kernel draws again on the way back, a table is kept.
            passes = 1 + (self.again + (wish != "plain")) * torch.is_grad_enabled()
            self.drawn.append(passes * q.shape[0] * q.shape[1] * q.shape[2] ** 2)
        if wish == "plain":
            return _plain_on_gpus(q, k, v, dropout)
        out: Tensor = _KeptByAttention.apply(q, k, v)
        return out

    def add_norm(self, x: Tensor, update: Tensor, norm: nn.LayerNorm, dropout: Dropout) -> Tensor:
        self.called.add("add_norm")
        if not self.fused:
            return add_norm(x, update, norm, dropout)
        out: Tensor = _KeptByKernel.apply(x.to(update.dtype), update, norm.weight, norm.bias)
        return out


class _KeptByAttention(torch.autograd.Function):
    """Keeps what a kernel of GPUs keeps: what it reads, what it gives with tokens before heads, one
    number a row.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        F.scaled_dot_product_attention(q, k, v)  # for its operations
        n, heads, length, width = q.shape
        out = torch.empty(n, length, heads, width, dtype=q.dtype).transpose(1, 2)
        ctx.save_for_backward(q, k, v, out, torch.empty(n, heads, length))
        return out


def _plain_on_gpus(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    """`nn.attention._plain` with the tables of CUDA: autocast takes the softmax in fp32, dropout
    keeps one byte a number.
    """
    weights = (q @ k.transpose(-1, -2)).softmax(-1, dtype=torch.float32)
    if dropout > 0:
        weights = torch.native_dropout(weights, dropout, True)[0]
    return weights @ v


class _KeptByKernel(torch.autograd.Function):
    """Keeps for the way back what `nn.kernels_norm.AddNorm` keeps: the sum, and two numbers a
    row.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, update: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = torch.empty(update.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(x + update, rows, torch.empty_like(rows))
        return torch.empty_like(update)


def _counter() -> FlopCounterMode:
    """Count with the one kernel that torch's own counter does not know."""
    aten = torch.ops.aten
    known = {
        "_scaled_dot_product_flash_attention_for_cpu": lambda q, k, v, *_, **__: sdpa_flop_count(
            q, k, v
        ),
    }
    table = {getattr(aten, name): formula for name, formula in known.items() if hasattr(aten, name)}
    return FlopCounterMode(display=False, custom_mapping=table)

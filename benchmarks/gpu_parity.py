"""Is every fast path on this card the function that the plain one is? One short check each, on
fresh random numbers.

A check gives the difference it found and the limit it must keep; one that fails or cannot run is
written down, and the others go on.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu_subjects import Subject, attention, has, make_subject
from epilm.batch import Batch, Sequences
from epilm.nn.encoder import SequenceEncoder
from epilm.objectives.combine import combine
from epilm.pretraining.step import optimiser_step
from epilm.training.ranks import Ranks

if TYPE_CHECKING:
    from benchmarks.gpu import Session

Check = Callable[["Session"], tuple[float, float, str]]


class Absent(Exception):
    """A path that this torch, this chip or this store does not have."""


def run_checks(session: "Session", over: Callable[[], bool]) -> dict[str, Any]:
    """Run all checks until the time is over."""
    rows, counts = [], {"agrees": 0, "differs": 0, "failed": 0, "absent": 0}
    for name, check in CHECKS.items():
        row: dict[str, Any] = {"check": name}
        try:
            if over():
                raise Absent("no time left")
            found, limit, note = check(session)
            row |= {"found": found, "limit": limit, "note": note}
            row["verdict"] = "agrees" if math.isfinite(found) and found <= limit else "differs"
        except Absent as error:
            row |= {"verdict": "absent", "note": str(error)}
        except Exception as error:
            row |= {
                "verdict": "failed",
                "note": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
            }
        counts[row["verdict"]] += 1
        rows.append(row)
    return {"checks": rows, **counts}


def relative(out: torch.Tensor, reference: torch.Tensor) -> float:
    """Length of the difference over the length of the reference."""
    a, b = out.detach().double(), reference.detach().double()
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


def attention_kernel(name: str) -> Check:
    """Outputs and gradients of one kernel in bf16 (fp32 on a CPU) against the plain form in
    float64.
    """

    def check(session: "Session") -> tuple[float, float, str]:
        device, cuda = session.place.device, session.place.device.type == "cuda"
        if not cuda and name != "math":
            raise Absent("a kernel of GPUs")
        kind, limit = (torch.bfloat16, 2e-2) if cuda else (torch.float32, 1e-5)
        shape = (2, 3, 16, 8) if session.tiny else (8, 12, 144, 64)
        worst = 0.0
        given = [torch.randn(shape, device=device, dtype=torch.float64) for _ in range(4)]
        q, k, v = (x.to(kind).double().requires_grad_() for x in given[:3])
        plain = ((q @ k.transpose(-1, -2)) / math.sqrt(shape[-1])).softmax(-1) @ v
        wanted = (plain, *torch.autograd.grad(plain, (q, k, v), given[3]))
        inputs = [x.detach().to(kind).requires_grad_() for x in (q, k, v)]
        with attention(name):
            out = F.scaled_dot_product_attention(*inputs)
            got = (out, *torch.autograd.grad(out, inputs, given[3].to(kind)))
        for a, b in zip(got, wanted, strict=True):
            worst = max(worst, relative(a, b))
        return worst, limit, f"{str(kind).removeprefix('torch.')}, out and gradients, {shape}"

    return check


def subject_of(session: "Session", name: str, **how: Any) -> Subject:
    """A small subject of one of the two models, fp32, without dropout."""
    if not has(session.store, name):
        raise Absent(f"the store serves no {name}")
    recipe = {"ebert": "ebert_base", "genebert": "genebert_native"}[name]
    size = "tiny" if session.tiny else "small"
    sets = [
        "train.batch_size=8",
        "train.micro_batch=4",
        "train.compile=off",
        "model.encoder.dropout=0",
        *how.pop("set", ()),
    ]
    if name == "genebert":
        sets.append("objectives.matching.batch=8")
    return make_subject(
        recipe, session.store, session.place._replace(bf16=False), size=size, set=sets, **how
    )


def same_batches(name: str) -> Check:
    """Batches made on the device, and on the host from memory maps: bit for bit."""

    def check(session: "Session") -> tuple[float, float, str]:
        from epilm.batches import make_batches

        subject = subject_of(session, name)
        r = subject.recipe
        host = make_batches(session.store, r.model, r.objectives, r.samples, seed=r.train.seed)
        rows = subject.rows_at(3)
        one, other = subject.maker(rows, 3), host(rows, 3)
        return (
            float(tensors_that_differ(one, other)),
            0.0,
            f"tensors that differ; store on {subject.maker.store.device}",
        )

    return check


def made_ahead(session: "Session") -> tuple[float, float, str]:
    """Batches made in a stream of their own while the device is busy with other work, against those
    of the host.
    """
    from epilm.batches import make_batches
    from epilm.pretraining.step import Ahead

    subject = subject_of(session, "ebert")
    r, device = subject.recipe, session.place.device
    host = make_batches(session.store, r.model, r.objectives, r.samples, seed=r.train.seed)
    ahead = Ahead(subject.maker, device)
    busy = torch.randn(2048, 2048, device=device) if device.type == "cuda" else torch.randn(64, 64)
    differ = 0
    for step in range(8):
        rows = np.resize(subject.rows_at(step), 64)
        for _ in range(20):
            busy = (busy @ busy).tanh()
        ahead.prepare(rows, step)
        found = ahead(rows, step)
        busy = busy + float(step)  # memory of what was dropped is asked for again
        differ += tensors_that_differ(found, host(rows, step))
    return float(differ), 0.0, "tensors that differ, 8 batches"


def tensors_that_differ(one: Batch, other: Batch) -> int:
    """Count them: whole numbers bit for bit, normalised factors to rounding."""
    return sum(_differs(a, b) for a, b in _tensors(one, other))


def _tensors(one: Batch, other: Batch) -> list[tuple[Any, Any]]:
    found = []
    for name in vars(one):
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, torch.Tensor):
            found.append((a, b))
        elif isinstance(a, Sequences):
            found += [
                (x, getattr(b, key)) for key, x in vars(a).items() if isinstance(x, torch.Tensor)
            ]
    return found


def _differs(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.is_floating_point():  # normalised factors: the division rounds as the device does
        return not torch.allclose(a.cpu(), b.cpu(), rtol=1e-6, atol=1e-6)
    return not torch.equal(a.cpu(), b.cpu())


def gradients(subject: Subject, batch: Batch) -> torch.Tensor:
    """All gradients of the summed losses, end to end."""
    subject.model.zero_grad(set_to_none=True)
    with subject.place.autocast():
        loss, _ = combine(subject.model(batch), batch, subject.recipe.objectives)
    loss.backward()
    return torch.cat(
        [p.grad.float().reshape(-1) for p in subject.model.parameters() if p.grad is not None]
        + [loss.detach()[None]]
    )


def bf16_against_fp32(session: "Session") -> tuple[float, float, str]:
    if not session.bf16_there:
        raise Absent("no bf16 here")
    subject = subject_of(session, "ebert")
    batch = subject.maker(np.arange(8), 0)
    exact = gradients(subject, batch)
    subject.place = subject.place._replace(bf16=True)
    return relative(gradients(subject, batch), exact), 5e-2, "losses and gradients of a step"


def device_against_cpu(session: "Session") -> tuple[float, float, str]:
    subject = subject_of(session, "ebert")
    batch = subject.maker(np.arange(8), 0)
    here = gradients(subject, batch).cpu()
    subject.model.to("cpu")
    there = gradients(subject, batch.to("cpu"))
    return relative(here, there), 1e-3, "fp32 gradients of a step, this device against the CPU"


def compiled_against_eager(session: "Session") -> tuple[float, float, str]:
    if session.tiny or session.place.device.type != "cuda":
        raise Absent(
            "torch.compile is off by default here, and its start costs more than this script has"
        )
    subject = subject_of(session, "ebert")
    batch = subject.maker(np.arange(8), 0)
    plain = gradients(subject, batch)
    subject.model.encoder.compile_blocks()
    return relative(gradients(subject, batch), plain), 1e-3, "fp32 losses and gradients of a step"


def compiled_drops_the_same(session: "Session") -> tuple[float, float, str]:
    """An exact contrast embeds twice, without and with gradients: compiled dropout must be the same
    both times.
    """
    if session.tiny or session.place.device.type != "cuda":
        raise Absent("torch.compile is off by default here")
    subject = subject_of(session, "ebert", set=["model.encoder.dropout=0.1"])
    subject.model.encoder.compile_blocks()
    dna, place = subject.maker(np.arange(8), 0).dna, session.place

    def vectors() -> torch.Tensor:
        torch.manual_seed(7)
        with place.autocast():
            return subject.model.encode(dna.ids, dna.mask, full=dna.full)

    with torch.no_grad():
        first = vectors()
    torch.clear_autocast_cache()
    return (
        relative(first, vectors()),
        1e-2,
        "bf16 vectors of one seed, without and with gradients; another dropout would give 0.4",
    )


def checkpointed_against_kept(session: "Session") -> tuple[float, float, str]:
    subject = subject_of(session, "ebert")
    batch = subject.maker(np.arange(8), 0)
    plain = gradients(subject, batch)
    subject.model.encoder.checkpoint_activations = True
    return (
        relative(gradients(subject, batch), plain),
        1e-4,
        "gradients with activations computed again",
    )


def micro_against_whole(session: "Session") -> tuple[float, float, str]:
    """An exact contrast in micro-batches and in one piece: the same weights after a step."""
    moved = []
    for micro in (2, 8):
        subject = subject_of(session, "genebert")
        recipe = replace(subject.recipe, train=replace(subject.recipe.train, micro_batch=micro))
        for module in subject.model.modules():
            if type(module).__name__ == "StochasticDepth":
                module.rate = 0.0
        torch.manual_seed(0)
        captured: list[torch.Tensor] = []
        step, model = subject.optimiser.step, subject.model

        def keep(lr: float, model: Any = model, captured: list[torch.Tensor] = captured) -> None:
            captured.append(
                torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
            )

        subject.optimiser.step = keep  # type: ignore[method-assign]
        optimiser_step(
            model,
            subject.maker,
            subject.optimiser,
            subject.rows_at(0),
            step=0,
            lr=0.0,
            objectives=recipe.objectives,
            train=recipe.train,
            clip=0.0,
            ranks=Ranks(),
            place=subject.place,
        )
        subject.optimiser.step = step  # type: ignore[method-assign]
        moved.append(captured[0])
    return (
        relative(moved[0], moved[1]),
        1e-3,
        "gradients of a contrast of 8, micro-batches of 2 against one of 8",
    )


def fused_optimiser(session: "Session") -> tuple[float, float, str]:
    device = session.place.device
    weights = [torch.randn(64, 64, device=device) for _ in range(3)]
    grads = [torch.randn(64, 64, device=device) for _ in range(3)]
    moved = []
    for fused in (True, False):
        params = [torch.nn.Parameter(w.clone()) for w in weights]
        rule = torch.optim.AdamW(params, lr=1e-2, fused=fused, foreach=False)
        for _ in range(5):
            for p, g in zip(params, grads, strict=True):
                p.grad = g.clone()
            rule.step()
        moved.append(torch.cat([p.detach() for p in params]))
    return relative(moved[0], moved[1]), 1e-5, "weights after 5 steps of AdamW"


def fused_norms(session: "Session") -> tuple[float, float, str]:
    """The kernel of residual sum, dropout and norm against torch's operations: out and gradients,
    then a whole step.
    """
    from epilm.nn import norms

    if session.place.device.type != "cuda" or not norms.kernels_there():
        raise Absent("a kernel of GPUs with triton")
    subject = subject_of(session, "ebert")
    batch = subject.maker(np.arange(8), 0)
    fast = gradients(subject, batch)
    fused, norms._fused = norms._fused, lambda update: False
    try:
        return (
            relative(fast, gradients(subject, batch)),
            1e-4,
            "fp32 gradients of a step, fused norms against torch's",
        )
    finally:
        norms._fused = fused


def fused_dropout(session: "Session") -> tuple[float, float, str]:
    """What the kernel drops: the right share, the same places both ways, and torch's answer on
    those places.
    """
    from epilm.nn import norms
    from epilm.nn.dropout import Dropout

    device = session.place.device
    if device.type != "cuda" or not norms.kernels_there():
        raise Absent("a kernel of GPUs with triton")
    x, update = (torch.randn(4096, 768, device=device, requires_grad=True) for _ in range(2))
    norm = torch.nn.LayerNorm(768, eps=1e-12, device=device)
    weights = torch.randn(4096, 768, device=device)
    out = norms.add_norm(x, update, norm, Dropout(0.1))
    dx, dupdate, dweight = torch.autograd.grad(out, (x, update, norm.weight), weights)
    kept = dupdate != 0
    wanted = norm(x + torch.where(kept, update / 0.9, 0.0))
    plain = torch.autograd.grad(wanted, (x, norm.weight), weights)
    worst = max(
        relative(out, wanted),
        relative(dx, plain[0]),
        relative(dweight, plain[1]),
        relative(dupdate, torch.where(kept, dx / 0.9, 0.0)),
    )
    share = abs(float(kept.float().mean()) - 0.9)
    return (
        worst if share < 1e-3 else math.inf,
        1e-5,
        f"out and gradients on the places kept; share of them off by {share:.1e}",
    )


def masked_rows_head(session: "Session") -> tuple[float, float, str]:
    """The loss of hidden tokens alone against scores of every token."""
    subject = subject_of(session, "ebert", set=["objectives.alpha=1.0"])
    model, batch = subject.model.eval(), subject.maker(np.arange(8), 0)
    with torch.no_grad():
        fast = combine(model(batch), batch, subject.recipe.objectives)[0]
        every = model.masked_head(model.encode(batch.dna.ids, batch.dna.mask, batch.states))
        plain = F.cross_entropy(
            every.flatten(0, 1).float(), batch.dna.labels.flatten(), ignore_index=-100
        )
    return float((fast - plain).abs()), 1e-4, "loss, hidden tokens alone against every token"


def packed_against_padded(session: "Session") -> tuple[float, float, str]:
    """Rows of unequal length, their padding left out, against each sequence by itself."""
    device = session.place.device
    torch.manual_seed(0)
    encoder = SequenceEncoder(
        vocab=69, hidden=64, layers=2, heads=2, ffn=128, max_positions=64, dropout=0.0
    ).to(device)
    if not hasattr(encoder, "compute"):
        raise Absent("no packing in this version")
    lengths = [5, 64, 17, 33]
    ids = torch.randint(5, 69, (len(lengths), 64), device=device)
    mask = torch.arange(64, device=device) < torch.tensor(lengths, device=device)[:, None]
    worst = 0.0
    for packing in ("off", "packed"):
        encoder.compute(packing=packing)
        together = encoder(torch.where(mask, ids, 0), None, mask)[0]
        for row, length in enumerate(lengths):
            alone = encoder(ids[row : row + 1, :length])[0]
            worst = max(worst, relative(together[row, :length], alone[0]))
    return worst, 1e-4, "fp32 vectors, padded and packed, against each sequence alone"


def any_length_against_plain(session: "Session") -> tuple[float, float, str]:
    """Torch's kernel for rows of any length, in bf16, against each row by itself in float64."""
    from epilm.nn.attention import attention_weights
    from epilm.nn.packing import attend_packed, packed, takes_any_length

    device, heads, width = session.place.device, 12, 64
    lengths = torch.tensor([5, 512, 170, 333])
    mask = (torch.arange(512) < lengths[:, None]).to(device)
    pack = packed(mask)
    given = torch.randn(len(pack.at), 3 * heads * width, device=device).to(torch.bfloat16)
    if not takes_any_length(given, width, 0.0):
        raise Absent("no kernel for rows of any length here (torch.nn.attention.varlen, CUDA)")
    weights = torch.randn(len(pack.at), heads * width, device=device, dtype=torch.float64)
    fast, plain = given.clone().requires_grad_(), given.double().requires_grad_()
    out = attend_packed(fast, pack, heads, 0.0)
    rows = []
    for a, b in zip(pack.ends.tolist()[:-1], pack.ends.tolist()[1:], strict=True):
        q, k, v = plain[a:b].view(b - a, 3, heads, width).permute(1, 2, 0, 3)
        rows.append((attention_weights(q[None], k[None], None)[0] @ v).transpose(0, 1).flatten(1))
    wanted = torch.cat(rows)
    (out.double() * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert fast.grad is not None
    assert plain.grad is not None
    worst = max(relative(out, wanted), relative(fast.grad, plain.grad))
    return worst, 2e-2, "bf16, out and gradients, rows of 5 to 512 tokens"


def chosen_against_plain(session: "Session") -> tuple[float, float, str]:
    """A step under the recipe's own choices of kernels against one with all of them plain."""
    subject = subject_of(session, "ebert")
    batch = subject.maker(np.arange(8), 0)
    encoder = subject.model.encoder
    if not hasattr(encoder, "compute"):
        raise Absent("no choice of kernels in this version")
    encoder.compute(attention="plain", packing="off")
    plain = gradients(subject, batch)
    encoder.compute()
    return (
        relative(gradients(subject, batch), plain),
        1e-3,
        "fp32 gradients of a step, automatic against plain",
    )


CHECKS: dict[str, Check] = {
    **{
        f"attention {name}": attention_kernel(name)
        for name in ("math", "efficient", "flash", "cudnn")
    },
    "batches of EBERT, device = host": same_batches("ebert"),
    "batches of GeneBERT, device = host": same_batches("genebert"),
    "batches made ahead = at once": made_ahead,
    "this device = CPU": device_against_cpu,
    "bf16 = fp32": bf16_against_fp32,
    "vocabulary head on hidden tokens": masked_rows_head,
    "rows of unequal length": packed_against_padded,
    "kernel for rows of any length = plain": any_length_against_plain,
    "kernels as chosen = plain": chosen_against_plain,
    "activation checkpointing": checkpointed_against_kept,
    "fused AdamW": fused_optimiser,
    "exact contrast in micro-batches": micro_against_whole,
    "fused norms = plain": fused_norms,
    "fused dropout": fused_dropout,
    "torch.compile = eager": compiled_against_eager,
    "dropout of torch.compile, twice": compiled_drops_the_same,
}

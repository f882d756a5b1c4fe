"""Rows H1 to H6: what a training step reaches of the card, beside `transformers`, and with data
beside without.

Each function takes the session, measures, and returns plain values; the page is made elsewhere.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.gpu_subjects import (
    MEMORY_ERRORS,
    Subject,
    empty_cache,
    make_subject,
    peak_gb,
    synchronise,
)
from epilm.batch import Sequences
from epilm.errors import EpilmError
from epilm.recipes.recipe import load_recipe

if TYPE_CHECKING:
    from benchmarks.gpu import Session


def rate(subject: Subject, n: int, limit: float, ceiling: float, **how: Any) -> dict[str, Any]:
    """Samples a second, operations a second and their share of the ceiling: the median of n steps
    after one.
    """
    empty_cache(subject.place.device)
    subject.steps(1, **how)
    seconds = subject.steps(n, limit=limit, **how)
    spent = median(seconds)
    flops = subject.flops()
    return {
        "samples_per_second": subject.batch / spent,
        "step_seconds": spent,
        "steps_timed": len(seconds),
        "flops_per_step": flops,
        "tflops": flops / spent / 1e12,
        "mfu": flops / spent / ceiling,
        "memory_gb": peak_gb(subject.place.device),
        "batch": subject.batch,
        "micro_batch": subject.recipe.train.micro_batch,
    }


def best_micro(
    session: "Session", recipe: str, sizes: list[int], batch: int, limit: float, sets: list[str]
) -> tuple[Subject, dict[str, Any], list[dict[str, Any]]]:
    """Try micro-batches and keep the fastest; one that does not fit is written down."""
    tried: list[dict[str, Any]] = []
    best: tuple[float, Subject, dict[str, Any]] | None = None
    for micro in sizes:
        if best is not None and time.monotonic() > limit:
            break
        subject = None
        try:
            subject = make_subject(
                recipe,
                session.store,
                session.place,
                size=session.size,
                set=[f"train.batch_size={batch}", f"train.micro_batch={micro}", *sets],
            )
            found = rate(subject, 2, limit, session.ceiling)
        except (*MEMORY_ERRORS, EpilmError) as error:
            tried.append({"micro_batch": micro, "error": str(error).splitlines()[0][:300]})
            continue
        tried.append({"micro_batch": micro, "samples_per_second": found["samples_per_second"]})
        if best is None or found["samples_per_second"] > best[0]:
            best = found["samples_per_second"], subject, found
    if best is None:
        raise RuntimeError(f"no micro-batch ran: {tried}")
    return best[1], best[2], tried


def ebert(session: "Session", limit: float) -> dict[str, Any]:
    """H1: EBERT at base size, data included, as `epilm pretrain` does it; then other ways to
    compute the same step.
    """
    batch, sizes = (8, [4]) if session.tiny else (2048, [1024, 2048])
    subject, found, tried = best_micro(session, "ebert_base", sizes, batch, limit, [])
    session.subjects["ebert"] = subject
    session.rates["ebert"] = found["samples_per_second"]
    session.measured = dict(found)
    out = {**found, "tried": tried, "kernels": subject.said, "attention": {}, "other": {}}
    for name in ("plain",) if session.tiny else ("sdpa", "flash"):
        if time.monotonic() > limit:
            break
        try:
            with held_to(subject, name):
                out["attention"][name] = rate(subject, 2, limit, session.ceiling)[
                    "samples_per_second"
                ]
        except Exception as error:  # a kernel that refuses the shape is a finding, not an end
            out["attention"][name] = f"refused: {(str(error).splitlines() or [''])[0][:200]}"
    for key in ("model.encoder.attention_dropout=0",):
        if time.monotonic() > limit:
            break
        other = make_subject(
            "ebert_base",
            session.store,
            session.place,
            size=session.size,
            set=[*same_size(subject), key],
        )
        out["other"][key] = rate(other, 2, limit, session.ceiling)["samples_per_second"]
    return out


def same_size(subject: Subject) -> list[str]:
    """Batch and micro-batch of a subject, for another one."""
    return [
        f"train.batch_size={subject.batch}",
        f"train.micro_batch={subject.recipe.train.micro_batch}",
    ]


@contextmanager
def held_to(subject: Subject, kernel: str) -> Iterator[None]:
    """Let a subject compute attention one way (`train.attention`), and as it did before
    afterwards.
    """
    recipe, encoder = subject.recipe, subject.model.encoder
    before = encoder.blocks[0].attention
    if hasattr(recipe.train, "attention"):
        subject.recipe = replace(recipe, train=replace(recipe.train, attention=kernel))
    encoder.compute(attention=kernel, packing=encoder.packing)
    try:
        yield
    finally:
        subject.recipe = recipe
        encoder.compute(attention=before, packing=encoder.packing)


def whole_run(session: "Session", limit: float) -> dict[str, Any]:
    """H2: the paper's whole pre-training at the rates measured, EBERT and DBERT."""
    subject = session.subjects["ebert"]
    other = make_subject(
        "dbert_base",
        session.store,
        session.place,
        size=session.size,
        set=same_size(subject),
    )
    found = rate(other, 3, limit, session.ceiling)
    rates = {"ebert": session.rates["ebert"], "dbert": found["samples_per_second"]}
    papers = {name: load_recipe(f"{name}_base").train for name in rates}
    windows = {name: train.steps * train.batch_size for name, train in papers.items()}
    return {
        "hours_ebert": windows["ebert"] / rates["ebert"] / 3600,
        "hours_dbert": windows["dbert"] / rates["dbert"] / 3600,
        "dbert": found,
        "windows": windows,
    }


def planned(session: "Session", limit: float) -> dict[str, Any]:
    """What `epilm.plan` foretells of the run that H1 measured, beside what was measured."""
    try:
        from epilm.planning.plan import plan
    except ImportError as error:
        return {"absent": f"no epilm.plan here: {error}"}
    empty_cache(session.place.device)  # the trial is another process
    subject, seen = session.subjects["ebert"], session.measured
    sets = [
        "samples.holdout_chroms=[]",
        f"train.batch_size={subject.batch}",
        f"train.micro_batch={subject.recipe.train.micro_batch}",
    ]
    told = plan(
        "ebert_base",
        session.store,
        session.size,
        sets,
        device=session.place.device.type,
        calibrated=not session.tiny,
        seconds=4.0,
    )
    # Measured is what torch gave out: without what CUDA and the allocator hold beside.
    beside = told.memory.get("context", 0.0) + told.memory.get("allocator", 0.0)
    rate_told, memory = told.samples_per_second, (told.memory["total"] - beside) / 1e9
    return {
        "samples_per_second": {"told": rate_told, "measured": seen["samples_per_second"]},
        "time_told_over_measured": seen["samples_per_second"] / rate_told if rate_told else None,
        "memory_gb": {"told": memory, "measured": seen["memory_gb"]},
        "memory_told_over_measured": memory / seen["memory_gb"] if seen["memory_gb"] else None,
        "flops_told_over_counted": told.flops["model"] / seen["flops_per_step"],
        "calibrated": told.calibrated,
    }


def predicted(session: "Session", limit: float) -> dict[str, Any]:
    """Bins a second of the one predictor with EBERT (random weights: the work is the same), one in
    50 bp, at several batches.
    """
    import numpy as np

    from benchmarks.ebert_plus import ebert_plus
    from epilm.finetuning.scorer import logits_of
    from epilm.finetuning.windows import reading_of
    from epilm.tasks.binding.bins import grid
    from epilm.tasks.binding.rows import CellBins

    store, place = session.store, session.place
    model = ebert_plus(store, size=session.size or "base")
    model.network.to(place.device)
    chrom = max(range(len(store.sizes)), key=store.sizes.__getitem__)
    bins = grid({store.chroms[chrom]: int(store.sizes[chrom])}, margin=0)
    cell = next(number for number, row in enumerate(store.states.rows) if row >= 0)
    examples = CellBins(bins, cell, tuple(store.chroms))
    reading = reading_of(model, examples, store, place.device, lambda line: None)
    tried = []
    for batch in (64,) if session.tiny else (256, 1024, 4096):
        if tried and time.monotonic() > limit - 4:
            break
        done, began = 0, 0.0
        for at in range(0, len(bins), batch):
            rows = np.arange(at, min(at + batch, len(bins)))
            logits_of(model, reading, rows, place=place, batch=batch)
            synchronise(place.device)
            if not began:  # the first block warms up
                began = time.monotonic()
                continue
            done += len(rows)
            if time.monotonic() - began > (0.2 if session.tiny else 3):
                break
        tried.append(
            {"batch": batch, "bins_per_second": done / max(time.monotonic() - began, 1e-9)}
        )
    best = max(tried, key=lambda row: row["bins_per_second"])
    hours = {
        what: n / best["bins_per_second"] / 3600
        for what, n in (("test chromosomes", 8_843_011), ("all training bins", 51_676_736))
    }
    return best | {"tried": tried, "window_bp": model.reads.window_bp, "hours": hours}


def peer(session: "Session", limit: float) -> dict[str, Any]:
    """H3: BertForMaskedLM of `transformers` at the same size on the same tokens, sdpa, bf16
    autocast, compiled.

    It reads k-mers alone: EBERT's state stream is work that only our side does. Rounds are
    interleaved.
    """
    from transformers import BertConfig, BertForMaskedLM

    subject = session.subjects["ebert"]
    device, encoder = session.place.device, subject.model.encoder
    block = encoder.blocks[0]
    config = BertConfig(
        vocab_size=encoder.vocab,
        hidden_size=encoder.hidden,
        num_hidden_layers=len(encoder.blocks),
        num_attention_heads=block.heads,
        intermediate_size=block.up.out_features,
        max_position_embeddings=encoder.max_positions,
        attn_implementation="sdpa",
    )
    model: Any = BertForMaskedLM(config).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=device.type == "cuda")
    batches = [subject.maker(rows, 0).dna for rows in subject.micros(0)]

    def step(run: Any) -> float:
        synchronise(device)
        began = time.perf_counter()
        optimiser.zero_grad()
        for dna in batches:
            with (
                torch.autocast(device.type, torch.bfloat16) if session.place.bf16 else nullcontext()
            ):
                loss = run(
                    input_ids=dna.ids, attention_mask=dna.mask.to(torch.int64), labels=dna.labels
                ).loss
            (loss / len(batches)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        synchronise(device)
        return time.perf_counter() - began

    runs: dict[str, Any] = {"eager": model}
    notes: dict[str, Any] = {}
    while True:  # the peer scores every token: where that does not fit, in smaller pieces
        try:
            step(model)
            break
        except MEMORY_ERRORS:
            if len(batches[0].ids) == 1:
                raise
        batches = [half for dna in batches for half in halves(dna)]
        empty_cache(device)
    notes["peer_micro_batch"] = len(batches[0].ids)
    if device.type == "cuda" and time.monotonic() < limit - 30:
        try:
            fast = torch.compile(model)
            step(fast)
            step(fast)
            runs["compiled"] = fast
        except Exception as error:  # then the peer is timed as it is
            notes["compile"] = f"failed: {str(error).splitlines()[0][:200]}"
    times: dict[str, list[float]] = {name: [] for name in ("ours", *runs)}
    subject.steps(1, constant=True)
    for _ in range(1 if session.tiny else 5):
        if min(map(len, times.values())) and time.monotonic() > limit:
            break
        times["ours"] += subject.steps(1, constant=True)
        for name, run in runs.items():
            times[name].append(step(run))
    best = {name: min(found) for name, found in times.items()}
    fastest = min((name for name in runs), key=best.__getitem__)
    return {
        "ratio": best[fastest] / best["ours"],
        "peer": fastest,
        "step_seconds": best,
        "ours": subject.said,
        "rounds": len(times["ours"]),
        **notes,
    }


def halves(dna: Sequences) -> list[Sequences]:
    """Cut the sequences of a micro-batch in two."""
    at = -(-len(dna.ids) // 2)
    return [
        Sequences(
            *(x[part] for x in (dna.ids, dna.segments, dna.mask, dna.labels) if x is not None)
        )
        for part in (slice(0, at), slice(at, None))
    ]


LONG = [
    "model.layout=concat",
    "model.max_tokens=5160",
    "objectives.next_segment.weight=0",
]
GENEBERT: dict[str, dict[str, Any]] = {
    "concat_budget": {
        "sets": ["model.layout=concat_budget", "model.max_tokens=512"],
        "card": (512, [128, 256]),
    },
    "concat": {"sets": [*LONG, "model.encoder.attention_dropout=0"], "card": (64, [32, 16])},
    "concat_dropped": {"sets": LONG, "card": (64, [32])},
}


def genebert(session: "Session", limit: float, layout: str) -> dict[str, Any]:
    """H4 and H5: GeneBERT with the native tower and an exact contrast over all samples of the
    step.
    """
    plan = GENEBERT[layout]
    batch, sizes = (8, [4]) if session.tiny else plan["card"]
    sets = [*plan["sets"], f"objectives.matching.batch={batch}"]
    if session.tiny:  # the size's own 66 tokens, or what ten short regions make
        sets = [text for text in sets if "max_tokens" not in text]
        sets += (
            ["model.max_tokens=700"]
            if layout.startswith("concat") and layout != "concat_budget"
            else []
        )
    subject, found, tried = best_micro(session, "genebert_native", sizes, batch, limit, sets)
    tokens = int(subject.maker(subject.micros(0)[0], 0).dna.mask[0].sum())
    session.subjects.setdefault("genebert", subject)  # of H4, where it was measured
    return {
        **found,
        "tried": tried,
        "layout": layout,
        "tokens_of_a_sequence": tokens,
        "exact_contrast": subject.recipe.objectives.matching.batch,
    }


def data_share(session: "Session", limit: float) -> dict[str, Any]:
    """H6: the step with its data over the step on one constant batch, rounds interleaved."""
    out: dict[str, Any] = {}
    for name, subject in session.subjects.items():
        times: dict[bool, list[float]] = {True: [], False: []}
        for constant in (True, False):
            subject.steps(1, constant=constant)
        for _ in range(2 if session.tiny else 5):
            if min(map(len, times.values())) and time.monotonic() > limit:
                break
            for constant in (True, False):
                times[constant] += subject.steps(1, constant=constant)
        out[name] = {
            "ratio": median(times[False]) / median(times[True]),
            "with_data_s": median(times[False]),
            "constant_s": median(times[True]),
            "rounds": len(times[True]),
        }
    if not out:
        raise RuntimeError("no model was measured before")
    return out | {"ratio": max(one["ratio"] for one in out.values())}

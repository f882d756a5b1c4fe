"""Row 12: a BERT-base masked-LM step on DNABERT's mix of lengths, padding left out against our own
padded path.

Half of the sequences are full, half have a length drawn evenly from 5 tokens up (protocols 1.4,
sampling a). Both sides are the same model and step in the same format; `train.packing` is packed or
off. Checked: loss and every gradient without dropout are the same (1e-5), and the hidden tokens and
labels are the very same tensors. Bound: the share of padding, since at best a step costs as its
tokens do (beyond that attention gains more, and the optimiser nothing). DNABERT's own lengths go to
512 tokens: `--samples 4 --tokens 512`.

    python benchmarks/row12_packing.py [--threads 1] [--samples 8] [--tokens 128] [--fp32]
"""

import argparse
import sys
import time
from dataclasses import replace

import torch
from harness import compare, write_row
from profile_step import bound_of
from row09_bert_step import Ours, make_batch

from epilm.batch import Batch, Sequences
from epilm.device import cpu_bf16
from epilm.tokens.kmers import PAD, SEP

SHORTEST = 5


def mixed_batch(samples: int, tokens: int) -> Batch:
    """The batch of row 9 with every second sequence cut; lengths spread evenly, not drawn: a fair
    small sample.
    """
    batch = make_batch(samples, tokens)
    lengths = torch.full((samples,), tokens)
    short = samples // 2
    lengths[1 : 2 * short : 2] = torch.linspace(SHORTEST, tokens, short + 2)[1:-1].round().long()
    mask = torch.arange(tokens) < lengths[:, None]
    last = torch.arange(tokens) == lengths[:, None] - 1
    ids = torch.where(last, SEP, batch.dna.ids).where(mask, PAD)
    assert batch.dna.labels is not None
    labels = batch.dna.labels.where(mask & ~last, -100)
    return replace(batch, dna=Sequences(ids, batch.dna.segments, mask, labels))


def check_equal(batch: Batch, size: str) -> str:
    """Loss and gradients in fp32 without dropout."""
    found = []
    for packing in ("packed", "off"):
        side = Ours(batch, False, 0.0, size)
        side.model.encoder.compute(packing=packing)
        out = side.model(batch)
        loss = torch.nn.functional.cross_entropy(out.masked_logits, out.masked_labels)
        loss.backward()
        found.append(
            (
                loss.item(),
                {name: p.grad for name, p in side.model.named_parameters() if p.grad is not None},
            )
        )
    (a, ours), (b, plain) = found
    assert ours.keys() == plain.keys()
    assert abs(a - b) < 1e-5 * b, (a, b)
    scale = max(float(g.norm()) for g in plain.values())
    worst = max(float((ours[name] - plain[name]).norm()) for name in plain) / scale
    assert worst < 1e-5, worst
    return f"loss {a:.6f} and {b:.6f}, gradients equal to {worst:.0e} (fp32, no dropout)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="base")
    parser.add_argument("--fp32", action="store_true")
    parser.add_argument(
        "--cpu-time", action="store_true", help="the processor's time, for a look; not stored"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    bf16 = cpu_bf16() is not None and not given.fp32
    batch = mixed_batch(given.samples, given.tokens)
    share = float(batch.dna.mask.float().mean())
    equal = check_equal(batch, given.size)
    sides = {}
    for packing in ("packed", "off"):
        sides[packing] = Ours(batch, bf16, 0.1, given.size)
        sides[packing].model.encoder.compute(packing=packing)
    if given.cpu_time:
        best: dict[str, float] = {}
        for _ in range(given.rounds):
            for packing, side in sides.items():
                start = time.process_time()
                side.step()
                best[packing] = min(best.get(packing, 1e9), time.process_time() - start)
        print(
            f"{equal}; processor time {best}, ratio {best['off'] / best['packed']:.3f}, bound"
            f" {1 / share:.3f}"
        )
        return

    def check(a: float, b: float) -> str:
        losses = [side.loss(False) for side in sides.values()]
        assert abs(losses[0] - losses[1]) < 0.05 * losses[1], losses
        assert a > 0
        assert b > 0
        return f"{equal}; after the timed steps {losses[0]:.3f} and {losses[1]:.3f}"

    row = compare(
        "row 12: padding left out, DNABERT's mix of lengths",
        sides["packed"].step,
        sides["off"].step,
        check=check,
        rounds=given.rounds,
        goal=1.25,
        stretch=1.32,
        peer_name="our own step with the padding",
        setup_note=(
            f"{given.size}, {given.samples} x {given.tokens} tokens, {share:.2f} of them real"
            f" (matrix products alone would give {1 / share:.2f}x; attention without a mask gives"
            f" the rest), {'bf16' if bf16 else 'fp32'}, dropout 0.1, {given.threads}"
            f" thread{'s' if given.threads > 1 else ''}"
        ),
        threads=given.threads,
    )
    row["bound"] = bound_of(sides["packed"].step)  # after the rounds: it takes steps
    row["command"] += "".join(f" {word}" for word in sys.argv[1:])
    write_row(row, "row12.json" if given.tokens == 128 else f"row12_{given.tokens}.json")


if __name__ == "__main__":
    main()

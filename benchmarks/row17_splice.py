"""Row 17: splice sites of whole transcripts, bases a second against SpliceAI's dilated network of
the same context in plain torch.

Ours: blocks of 5,000 bases through the scorer of `epilm predict`, (a) with the dilated network, (b)
with a language model and the head `bases`. Peer: the same dilated network, each transcript in one
pass, unknown bases on either side. Checked: (a) gives the peer's probabilities to 1e-4, base by
base; (b) answers each base once.

    python benchmarks/row17_splice.py [--transcripts 4] [--bases 20000] [--context 80] [--rounds 7]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch
from harness import compare, write_row

from epilm.device import choose_place
from epilm.finetuning.scorer import ModelScorer
from epilm.tasks.splice.transcript_blocks import BlockSpan, SpliceBlocks
from toy_splice import short_run

BLOCK = 5000


def invented(count: int, bases: int, context: int) -> SpliceBlocks:
    """Transcripts of random bases, no sites."""
    rng = np.random.default_rng(0)
    none = np.zeros(0, np.int64)
    spans = [
        BlockSpan(
            f"t{n}",
            "chr1",
            "+",
            n * bases,
            (n + 1) * bases,
            rng.integers(0, 4, bases).astype(np.uint8),
            0,
            none,
            none.astype(np.int8),
        )
        for n in range(count)
    ]
    return SpliceBlocks(spans, context=context, block=BLOCK)


def main() -> None:
    """Check, time, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transcripts", type=int, default=4)
    parser.add_argument("--bases", type=int, default=20_000)
    parser.add_argument("--context", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    blocks = invented(given.transcripts, given.bases, given.context)
    place = choose_place("cpu", "fp32")
    models: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("dilated", "random"):
            done, _ = short_run(
                Path(folder) / name, checkpoint=name, epochs=1, context=given.context
            )
            models[name] = done.model
    network = models["dilated"].network.eval()
    half = np.full(given.context // 2, 4, np.uint8)

    @torch.inference_mode()
    def plain() -> np.ndarray:
        out = []
        for span in blocks.spans:
            codes = torch.from_numpy(np.concatenate([half, span.codes, half]))[None]
            out.append(network(SimpleNamespace(codes=codes))[0].softmax(-1).numpy())
        return np.concatenate(out)  # (bases of all, 3)

    def ours(name: str) -> np.ndarray:
        said = np.concatenate(list(ModelScorer(models[name], place)(blocks, None)))
        return said.reshape(-1, 3)  # blocks are whole: bases divide by BLOCK

    temperature = float(models["dilated"].about["labels"].get("temperature", 1.0))

    def same(one: np.ndarray, two: np.ndarray) -> str:
        assert one.shape == two.shape
        warmed = two ** (1 / temperature)
        np.testing.assert_allclose(one, warmed / warmed.sum(1, keepdims=True), atol=1e-4)
        return f"{len(one):,} bases equal"

    def whole(one: np.ndarray, two: np.ndarray) -> str:
        assert one.shape == two.shape
        assert np.isfinite(one).all()
        return f"{len(one):,} bases, each once"

    assert given.bases % BLOCK == 0
    where = f"{given.transcripts} transcripts of {given.bases:,} bp, context {given.context}, fp32"
    for key, name, check in (("a", "dilated", same), ("b", "random", whole)):
        title = {"a": "dilated network", "b": "trunk of 2 layers x 64, 6-mers at stride 1"}[key]
        row = compare(
            f"row 17{key}: splice sites, {title}",
            lambda name=name: ours(name),
            plain,
            check=check,
            rounds=given.rounds,
            goal=1,
            stretch=3,
            peer_name="the dilated network in plain torch, a transcript a pass",
            setup_note=f"{where}, 1 thread",
        )
        write_row(row, f"row17{key}.json")


if __name__ == "__main__":
    main()

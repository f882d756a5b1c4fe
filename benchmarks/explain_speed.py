"""Every substitution of a window scored, against a plain loop over the same model; and how many
windows a second each way of attribution explains.

Ours: `epilm.explaining` as it is: the changed windows in passes of `--batch`. Peer: one changed
window after the other, each in a pass of its own, the same strands. Checked in the same run: the
changes agree to rounding.

    python benchmarks/explain_speed.py [--window 1000] [--bases 1000] [--k 7] [--stride 7]
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--bases", type=int, default=1000, help="explained ones, in its middle")
    parser.add_argument("--k", type=int, default=7)
    parser.add_argument("--stride", type=int, default=7)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()

    import numpy as np
    import torch
    from harness import compare, write_row

    from epilm.device import choose_place
    from epilm.explaining.attribution import gradients, integrated_gradients, occlusion
    from epilm.explaining.frames import Frame
    from epilm.explaining.subject import TaskSubject
    from epilm.finetuning.finetuned import Finetuned
    from epilm.models.classifier import classifier_from
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec
    from toy_explained import ABOUT

    torch.set_num_threads(1)
    width, hidden = arguments.window, arguments.hidden
    tokens = (width - arguments.k) // arguments.stride + 1
    spec = ModelSpec(
        name="dbert",
        streams=("dna",),
        k=arguments.k,
        stride=arguments.stride,
        encoder=EncoderSpec(
            hidden=hidden,
            layers=arguments.layers,
            heads=max(1, hidden // 32),
            ffn=4 * hidden,
            max_positions=tokens + 2,
            dropout=0.0,
        ),
        max_tokens=tokens + 2,
        next_segment="none",
    )
    network = classifier_from(build_model(spec, seed=1), 2).eval()
    subject = TaskSubject(Finetuned(network, spec, ABOUT), choose_place("cpu", "fp32"))
    subject.batch = arguments.batch
    codes = np.random.default_rng(0).integers(0, 4, width + 10).astype(np.uint8)
    first = (width - arguments.bases) // 2
    frame = Frame("chr1", 0, codes[:width], codes[width:], first, first + arguments.bases, 1)

    def one_pass_a_change() -> np.ndarray:
        whole = subject.score(frame.codes[None], frame)[0]
        out = np.zeros((4, arguments.bases))
        for at in range(frame.first, frame.last):
            for base in range(4):
                if base != frame.codes[at]:
                    changed = frame.codes.copy()
                    changed[at] = base
                    out[base, at - frame.first] = subject.score(changed[None], frame)[0] - whole
        return out

    def check(ours: np.ndarray, theirs: np.ndarray) -> str:
        assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
        return f"{ours.size - ours.shape[1]} substitutions agree"

    row: dict[str, Any] = compare(
        f"substitutions of a window of {width} bp",
        lambda: subject.substitutions(frame),
        one_pass_a_change,
        check=check,
        goal=5,
        peer_name="one pass a substitution, the same model",
        setup_note=(
            f"{arguments.bases} of {width} bp, {tokens} tokens, hidden {hidden},"
            f" {arguments.layers} layers, batches of {arguments.batch}, both strands, 1 thread"
        ),
    )
    row["rates"] = {}
    for name, explain in (
        ("ism", lambda: subject.substitutions(frame)),
        ("deletions", lambda: subject.deletions(frame, 10)),
        ("gradients", lambda: gradients(subject, frame)),
        ("integrated", lambda: integrated_gradients(subject, frame)),
        ("occlusion", lambda: occlusion(subject.of(frame), frame)),
    ):
        begun = time.perf_counter()
        explain()
        row["rates"][name] = round(1 / (time.perf_counter() - begun), 4)
        print(f"{name}: {row['rates'][name]:g} windows/s")
    write_row(row, "explain_speed.json")


if __name__ == "__main__":
    main()

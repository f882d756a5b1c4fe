"""Every substitution of a window scored, against a plain loop over the same model; and how many
windows a second each way of attribution explains.

Ours: `epilm.explaining` as it is. A network of convolutions that answers locally computes of each
changed window what the change reaches (`models.local_answers`); a transformer takes whole windows
in passes of `--batch`. Peer: one changed window after the other, each in a pass of its own, the
network called directly and no gradients kept, the same strands, of splice sites no base more than
the answer sees. Checked in the same run, on what was timed: the changes agree to rounding.

    python benchmarks/explain_speed.py [--models cnn factornet dilated transformer] [--window 1000]

Writes explain_speed.json (the transformer) and explain_speed_MODEL.json. Of each model the middle
`BASES` of the window are changed on both sides; how long ours takes for all of them is `all_s`.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

# Bases that both sides change: as many as let a plain loop end in some seconds.
BASES = {"cnn": 1000, "factornet": 300, "dilated": 20, "transformer": 12}
CONTEXT = 2000  # bp that the dilated network sees: the least that holds a window of 1,000
NAMES = {
    "cnn": "small CNN",
    "factornet": "FactorNet's kind",
    "dilated": f"SpliceAI's network, context {CONTEXT:,}",
    "transformer": "transformer",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(BASES), default=list(BASES))
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--bases", type=int, help="changed ones, in its middle")
    parser.add_argument("--k", type=int, default=7)
    parser.add_argument("--stride", type=int, default=7)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for model in arguments.models:
        measure(model, arguments)


def measure(model: str, arguments: argparse.Namespace) -> None:
    """Time one model and write its row."""
    import numpy as np
    from harness import compare, write_row

    width = arguments.window
    bases = min(arguments.bases or BASES[model], width)
    subject, whole, score, about = MODELS[model](arguments)
    first = whole.first + (whole.last - whole.first - bases) // 2
    frame = type(whole)(**vars(whole) | {"first": first, "last": first + bases})

    def one_pass_a_change() -> np.ndarray:
        codes = frame.codes.copy()
        as_it_is = score(codes)
        out = np.zeros((4, bases))
        for at in range(frame.first, frame.last):
            own = codes[at]
            for base in range(4):
                if base != own:
                    codes[at] = base
                    out[base, at - frame.first] = score(codes) - as_it_is
            codes[at] = own
        return out

    def check(ours: np.ndarray, theirs: np.ndarray) -> str:
        most = float(np.abs(ours - theirs).max())
        assert most < 1e-5 * max(1.0, float(np.abs(theirs).max())), most
        return f"{3 * bases:,} substitutions agree, largest difference {most:.1e}"

    row: dict[str, Any] = compare(
        f"substitutions of a window of {width} bp, {NAMES[model]}",
        lambda: subject.substitutions(frame),
        one_pass_a_change,
        check=check,
        goal=5,
        peer_name="one pass a substitution, the same network",
        setup_note=f"{bases} of {width} bp, {about}, batches of {arguments.batch}, 1 thread",
        threads=1,
        bound=BOUND if model == "transformer" else None,
    )
    row["all_s"] = round(seconds(lambda: subject.substitutions(whole)), 3)
    print(f"all {3 * width:,}: {row['all_s']:g} s")
    if model == "transformer":
        row["ms_by_batch"] = by_batch(subject, frame)
    row["rates"] = rates(subject, whole, slow=model != "dilated")
    suffix = "" if model == "transformer" else f"_{model}"
    write_row(row, f"explain_speed{suffix}.json")


BOUND = (
    "its arithmetic: a change reaches every token behind the first block, so each changed window"
    " is computed whole on both sides"
)


def seconds(call: Callable[[], Any]) -> float:
    """How long it takes, once."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def by_batch(subject: Any, frame: Any) -> dict[int, float]:
    """Milliseconds a substitution by windows of a pass, the least of three rounds."""
    kept, out = subject.batch, {}
    for batch in (1, 4, 16, 64, 256):
        subject.batch = batch
        least = min(seconds(lambda: subject.substitutions(frame)) for _ in range(3))
        out[batch] = round(least * 1e3 / (3 * (frame.last - frame.first)), 2)
    subject.batch = kept
    print("ms a substitution, by windows of a pass:", out)
    return out


def rates(subject: Any, frame: Any, slow: bool) -> dict[str, float]:
    """Windows a second of each way of attribution; `slow`: those of a pass a changed window too."""
    from epilm.explaining.attribution import gradients, integrated_gradients, occlusion
    from epilm.explaining.deeplift import deeplift

    ways: dict[str, Callable[[], Any]] = {
        "gradients": lambda: gradients(subject, frame),
        "integrated": lambda: integrated_gradients(subject, frame),
        "deeplift": lambda: deeplift(subject, frame),
    }
    if slow:
        ways["ism"] = lambda: subject.substitutions(frame)
        ways["deletions"] = lambda: subject.deletions(frame, 10)
        ways["occlusion"] = lambda: occlusion(subject.of(frame), frame)
    out = {}
    for name, explain in ways.items():
        out[name] = round(1 / seconds(explain), 4)
        print(f"{name}: {out[name]:g} windows/s")
    return out


Made = tuple[Any, Any, Callable[[Any], float], str]


def _task(network: Any, spec: Any, arguments: argparse.Namespace, **about: Any) -> tuple[Any, Any]:
    """A subject of sequences, and a window of random bases."""
    import numpy as np

    from epilm.device import choose_place
    from epilm.explaining.frames import Frame
    from epilm.explaining.subject import TaskSubject
    from epilm.finetuning.finetuned import Finetuned
    from toy_explained import ABOUT

    subject = TaskSubject(Finetuned(network, spec, ABOUT | about), choose_place("cpu", "fp32"))
    subject.batch = arguments.batch
    width = arguments.window
    codes = np.random.default_rng(0).integers(0, 4, width + 10).astype(np.uint8)
    return subject, Frame("chr1", 0, codes[:width], codes[width:], 0, width, 1)


def transformer(arguments: argparse.Namespace) -> Made:
    """A classifier of k-mers side by side, both strands read one after the other."""
    import torch

    from epilm.explaining.subject import token_windows
    from epilm.genome.sequence import reverse_complement
    from epilm.models.classifier import classifier_from
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec

    hidden = arguments.hidden
    tokens = (arguments.window - arguments.k) // arguments.stride + 1
    encoder = EncoderSpec(
        hidden=hidden,
        layers=arguments.layers,
        heads=max(1, hidden // 32),
        ffn=4 * hidden,
        max_positions=tokens + 2,
        dropout=0.0,
    )
    spec = ModelSpec(
        name="dbert",
        streams=("dna",),
        k=arguments.k,
        stride=arguments.stride,
        encoder=encoder,
        max_tokens=tokens + 2,
        next_segment="none",
    )
    network = classifier_from(build_model(spec, seed=1), 2).eval()
    subject, frame = _task(network, spec, arguments)

    used = (tokens - 1) * arguments.stride + arguments.k  # whole tokens, in the middle
    left = (arguments.window - used) // 2

    def score(codes: Any) -> float:
        read = codes[None, left : left + used]
        with torch.inference_mode():
            strands = [read, reverse_complement(read)]
            logits = [network(token_windows(strand, spec)) for strand in strands]
            mean = (logits[0] + logits[1])[0] / 2
            return float(mean[1] - mean[0])

    about = f"{tokens} tokens, hidden {hidden}, {arguments.layers} layers, both strands"
    return subject, frame, score, about


def _of_bases(kind: str, arguments: argparse.Namespace, **head: Any) -> Made:
    """A network over bases, which reads both strands by itself."""
    import torch

    from epilm.batch import Windows
    from epilm.models.networks import build_network
    from toy_explained import ABOUT, DNA

    about = {"kind": kind, "head": head}
    network = build_network(None, ABOUT | about, seed=1).eval()
    subject, frame = _task(network, DNA, arguments, **about)
    ids = torch.zeros(1, 1, dtype=torch.int64)

    def score(codes: Any) -> float:
        with torch.inference_mode():
            row = torch.from_numpy(codes)[None]
            logits = network(Windows(ids, ids == 0, codes=row))[0]
            return float(logits[1] - logits[0])

    return subject, frame, score, "as fine-tuning builds it, both strands"


def dilated(arguments: argparse.Namespace) -> Made:
    """The dilated network's word on one site, in the middle of the window."""
    import numpy as np
    import torch

    from epilm.batch import Windows
    from epilm.device import choose_place
    from epilm.explaining.frames import Region
    from epilm.explaining.splice_subject import SpliceSubject
    from epilm.finetuning.finetuned import BARE, Finetuned
    from epilm.models.networks import build_network

    block, half = 100, CONTEXT // 2
    about = {
        "task": "splice",
        "kind": "dilated",
        "labels": {"kind": "bases", "names": ["neither", "acceptor", "donor"]},
        "head": {},
        "window_bp": block + CONTEXT,
        "width": block,
    }
    network = build_network(None, about, seed=1).eval()
    codes = np.random.default_rng(0).integers(0, 4, 8000).astype(np.uint8)
    site, width = 4000, arguments.window
    model = Finetuned(network, BARE, about)
    subject = SpliceSubject(model, choose_place("cpu", "fp32"), f"donor@{site}", arguments.batch)
    region = Region("chr1", site - width // 2, site - width // 2 + width, "window", 1, site)
    frame = subject.frames(region, codes, None, 0)[1][0]
    ids = torch.zeros(1, 1, dtype=torch.int64)

    def score(codes: Any) -> float:
        seen = torch.from_numpy(codes[frame.site - half : frame.site + half + 1])[None]
        with torch.inference_mode():
            logits = network(Windows(ids, ids == 0, codes=seen))[0, 0].double()
            return float(logits[2] - logits[:2].logsumexp(0))

    return subject, frame, score, f"32 channels, one strand, {CONTEXT + 1:,} bp read"


MODELS: dict[str, Callable[[argparse.Namespace], Made]] = {
    "cnn": lambda arguments: _of_bases("cnn", arguments),
    "factornet": lambda arguments: _of_bases("factornet", arguments, window_bp=arguments.window),
    "dilated": dilated,
    "transformer": transformer,
}


if __name__ == "__main__":
    main()

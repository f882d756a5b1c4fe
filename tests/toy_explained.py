"""Small models with random weights, as subjects of explanations: nothing is trained."""

import numpy as np
import torch

from epilm.device import choose_place
from epilm.explaining.frames import Frame, Region
from epilm.explaining.splice_subject import SpliceSubject
from epilm.explaining.subject import PlacedSubject, TaskSubject
from epilm.finetuning.finetuned import BARE, Finetuned
from epilm.models.binding_head import binding_from
from epilm.models.classifier import classifier_from
from epilm.models.dilated import DilatedCNN
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec, StemSpec
from epilm.models.networks import build_network

SMALL = EncoderSpec(hidden=16, layers=2, heads=2, ffn=32, max_positions=64, dropout=0.0)
DNA = ModelSpec(
    name="dnabert",
    streams=("dna",),
    k=3,
    encoder=SMALL,
    max_tokens=64,
    next_segment="none",
    projection="none",
    projection_dim=16,
)
# Tokens side by side, a stem, no [CLS]: what the recipes for a lab have.
STEM = ModelSpec(
    name="dbert",
    streams=("dna",),
    k=4,
    stride=4,
    encoder=SMALL,
    stem=StemSpec(filters=8, width=5),
    max_tokens=64,
    pooling="mean",
    next_segment="none",
)
STATES = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=5,
    stride=5,
    encoder=SMALL,
    states=5,
    max_tokens=64,
    next_segment="none",
)
ABOUT = {
    "task": "sequences",
    "kind": "trunk",
    "labels": {"kind": "classes", "names": ["0", "1"]},
    "head": {"name": "linear"},
    "streams": ["dna"],
    "strands": "both",
}
CPU = choose_place("cpu", "fp32")
MEAN = {"activation": "tanh", "pool": "mean"}
WIDTH = 60  # of the window that `factornet` reads


def louder(network, seed=1):
    """Weights large enough that a base changes the first digits of an output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def tuned(kind, **about):
    """A fine-tuned model of sequences: "dna", "stem" or "cnn"."""
    about = ABOUT | about
    if kind == "cnn":
        about |= {"kind": "cnn", "head": {}}
        network = build_network(None, about, seed=1)
        network.eval()
        # Random statistics, so that the filters are not all alike.
        network.norm.running_mean.normal_(generator=torch.Generator().manual_seed(2))
        return Finetuned(network, DNA, about)
    return of_spec({"dna": DNA, "stem": STEM}[kind], **about)


def of_spec(spec, **about):
    """A classifier on a trunk of this spec."""
    about = ABOUT | about
    outputs = len(about["labels"]["names"])
    return Finetuned(louder(classifier_from(build_model(spec, seed=1), outputs)), spec, about)


def subject(kind, **about):
    return TaskSubject(tuned(kind, **about), CPU)


def binding(signals=(), spec=STATES, head=(), **about):
    """A fine-tuned model of places in a store, of two factors; `head`: what its head has else."""
    about = {
        "task": "binding",
        "kind": "trunk",
        "labels": {"kind": "factors", "names": ["CTCF", "JUND"]},
        "head": {"name": "convolutions"},
        "streams": ["dna", "states"],
        "signals": [list(signal) for signal in signals],
        "window_bp": 100,
        "width": 40,
        "strands": "both",
        "state_names": [f"{i + 1}_State{i + 1}" for i in range(5)],
        "state_bin": 200,
    } | about
    network = binding_from(
        build_model(spec, seed=1),
        signals=len(signals),
        outputs=2,
        seed=1,
        **({"conv_channels": (8,), "kernel": 3, "dense": 8} | MEAN | dict(head)),
    )
    return Finetuned(louder(network), spec, about)


def placed(store, cell="typeA", output="CTCF", **options):
    made = PlacedSubject(binding(**options), CPU, store, cell)
    made.choose(output)
    return made


def frame(width=30, first=0, last=None, seed=0, strand=1, n_at=(), more=10):
    """A window of random bases, N at some places."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, width + more).astype(np.uint8)
    codes[list(n_at)] = 4
    last = width if last is None else last
    return Frame("chr1", 100, codes[:width], codes[width:], first, last, strand)


def factornet():
    """FactorNet's kind of network on windows of `WIDTH` bases."""
    about = ABOUT | {"kind": "factornet", "head": {"window_bp": WIDTH}}
    return TaskSubject(Finetuned(louder(build_network(None, about, seed=1)), DNA, about), CPU)


def sites():
    """A dilated network's word on a donor at base 70."""
    torch.manual_seed(1)
    labels = {"kind": "bases", "names": ["neither", "acceptor", "donor"]}
    about = {"task": "splice", "kind": "dilated", "labels": labels}
    about |= {"window_bp": 100, "width": 20}
    network = louder(DilatedCNN(3, 80, channels=4))
    return SpliceSubject(Finetuned(network, BARE, about), CPU, "donor@70")


def site_frame(made, strand):
    """The window around that site, of either strand, with an N on either side."""
    codes = np.random.default_rng(0).integers(0, 4, 140).astype(np.uint8)
    codes[[66, 75]] = 4
    return made.frames(Region("c", 64, 76, "r", strand, 70), codes, None, 0)[1][0]

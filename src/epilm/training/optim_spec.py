"""How a run learns, as plain values (protocols 1.4, A17..A19)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class OptimSpec:
    name: Literal["adamw", "muon"] = "adamw"
    peak_lr: float = 4e-4
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.01  # none on biases and LayerNorm weights
    warmup_steps: int = 10_000
    decay: Literal["linear", "cosine", "constant", "halving"] = "linear"
    clip: float = 1.0  # gradient norm; 0 = off
    tower_lr_multiplier: float = 1.0


@dataclass(frozen=True)
class TrainSpec:
    steps: int = 120_000
    batch_size: int = 2000  # samples of one optimiser step, over all devices
    micro_batch: int = 16  # samples of one forward pass on one device
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1  # processes / GPUs, over all machines
    # Of several: each has all weights (ddp), or a part of each, of its gradient and its moments
    strategy: Literal["ddp", "fsdp"] = "ddp"
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    log_every: int = 10
    validate_every: int = 1000
    validate_samples: int = 512
    # Which figure of the validation decides what is best: a loss (least) or anything else (most)
    best_by: str = "loss"
    # Validations in a row without a better one after which training ends; None: all steps
    patience: int | None = None
    model: Literal["last", "best"] = "last"  # which weights become the run's model/
    compile: Literal["auto", "blocks", "off"] = (
        "auto"  # torch.compile of the encoder's blocks; auto: wide ones on CUDA
    )
    attention: Literal["auto", "plain", "sdpa", "flash", "cudnn"] = (
        "auto"  # which kernel; auto: by chip
    )
    packing: Literal["auto", "off", "packed"] = (
        "auto"  # leave padding out of what looks at single tokens
    )

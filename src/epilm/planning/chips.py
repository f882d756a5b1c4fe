"""GPUs that a plan can be made for without having one: memory, rate, and where the numbers are
from.

The rates are what large matrix products reach; a training step reaches a share of
them. Only the H200's in bf16 was measured (../docs/performance.md); the others are their vendors'
dense figures times what the H200 reaches of its own. Those of fp32 are without TF32, which training
never turns on.
"""

import re
from dataclasses import dataclass, replace

# An H200 reaches 790 of the 989 TFLOP/s its vendor names, in a large bf16 product.
REACHED = 790 / 989
# Words of a name that make it another GPU than the one of the table.
OTHERS = {"d", "laptop", "nvl", "super", "ti"}
# Total memory is not the round number of the name: of those known it is 0.98 to 1.07 times of it.
LEAST, MOST = 0.9, 1.15
# Share of that rate a whole step is aimed at: the goal of row H1.
SHARE = 0.45
# What one random number for dropout of an attention weight takes, in operations at the fp32 rate:
# .6 ps on an H200. GeneBERT at 5,111 tokens: 58.6 samples/s without, 44.1 with, drawn two and a
# half times a pair of tokens (there, back, half of it embedded twice); in micro-batches of 16 53.5
# and 39.9, 2.75 times. EBERT's 144 tokens fill the kernel's tiles badly: there it is 1.2 ps, and
# the 3.6 % measured are planned as 1.7 %.
DRAW = 32.0


@dataclass(frozen=True)
class Chip:
    """One GPU.

    Attributes
    ----------
    name : str
        As a person would write it.
    memory : float
        Bytes.
    rate, fp32 : float
        Operations a second in large matrix products, in bf16 and in fp32.
    source, fp32_source : str
        Where they are from.
    found_as : str
        Words that `torch.cuda.get_device_name` holds where it is this one; see `chip_of`.
    link : float
        Bytes a second to the others of its machine, each way, as its vendor gives it: NVLink of the
        SXM kinds, PCIe of the others. What sums over processes reach of it was not measured.
    """

    name: str
    memory: float
    rate: float
    fp32: float
    source: str
    fp32_source: str
    found_as: str
    link: float


def _chip(name: str, gb: float, tflops: float, fp32: float, found_as: str, link: float) -> Chip:
    source, source32 = (
        f"vendor's {figure:g} TFLOP/s times {REACHED:.2f}" for figure in (tflops, fp32)
    )
    rates = tflops * 1e12 * REACHED, fp32 * 1e12 * REACHED
    return Chip(name, gb * 1e9, *rates, source, source32, found_as, link * 1e9)


CHIPS: dict[str, Chip] = {
    "h200": replace(
        _chip("H200", 141, 989, 67, "H200", 450), rate=790e12, source="790 TFLOP/s measured on one"
    ),
    "h100": _chip("H100 SXM", 80, 989, 67, "H100", 450),
    "h100-pcie": _chip("H100 PCIe", 80, 756, 51, "H100 PCIe", 64),
    "a100": _chip("A100 80 GB", 80, 312, 19.5, "A100", 300),
    "a100-40": _chip("A100 40 GB", 40, 312, 19.5, "A100", 300),
    "l40s": _chip("L40S", 48, 362, 91.6, "L40S", 32),
    "a10": _chip("A10", 24, 125, 31.2, "A10", 32),
    "l4": _chip("L4", 24, 121, 30.3, "L4", 32),
    "rtx4090": _chip("RTX 4090", 24, 165, 82.6, "RTX 4090", 32),
    "rtx3090": _chip("RTX 3090", 24, 71, 35.6, "RTX 3090", 32),
}


def chip_of(name: str, total_memory: float) -> Chip | None:
    """Find the chip of the table that a GPU is, by the words of its name and its memory.

    Parameters
    ----------
    name : str
        As `torch.cuda.get_device_name` gives it.
    total_memory : float
        Bytes, as `torch.cuda.get_device_properties` gives them. They tell an A100 of 40 GB from one
        of 80 GB, and a slice of a GPU from a whole one.

    Returns
    -------
    Chip or None
        None where the table has no such chip.

    Examples
    --------
    >>> chip_of("NVIDIA A100-SXM4-80GB", 85e9).name, chip_of("NVIDIA A100-SXM4-40GB", 42e9).name
    ('A100 80 GB', 'A100 40 GB')
    >>> chip_of("NVIDIA GH200 480GB", 102e9) is None
    True
    """
    words = _words(name)
    if words & OTHERS:
        return None
    # The most words first: an "H100 PCIe" is also an "H100".
    for chip in sorted(CHIPS.values(), key=lambda chip: -len(_words(chip.found_as))):
        if (
            _words(chip.found_as) <= words
            and LEAST * chip.memory <= total_memory <= MOST * chip.memory
        ):
            return chip
    return None


def _words(name: str) -> set[str]:
    return set(re.findall("[a-z0-9]+", name.lower()))

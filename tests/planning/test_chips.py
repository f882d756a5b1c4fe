"""A chip is found by the name and memory that its driver says."""

import pytest

from epilm.planning.chips import CHIPS, chip_of

NAMES = [
    ("NVIDIA A100-SXM4-80GB", 85.1e9, "a100"),
    ("NVIDIA A100 80GB PCIe", 85.0e9, "a100"),
    ("NVIDIA A100-SXM4-40GB", 42.4e9, "a100-40"),
    ("A100-PCIE-40GB", 42.3e9, "a100-40"),
    ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 10.2e9, None),
    ("NVIDIA H200", 150.1e9, "h200"),
    ("NVIDIA GH200 480GB", 102.0e9, None),
    ("NVIDIA H100 80GB HBM3", 85.0e9, "h100"),
    ("NVIDIA H100 PCIe", 85.0e9, "h100-pcie"),
    ("NVIDIA H100 NVL", 99.9e9, None),
    ("NVIDIA L40S", 47.7e9, "l40s"),
    ("NVIDIA L40", 47.7e9, None),
    ("NVIDIA L4", 23.7e9, "l4"),
    ("NVIDIA A10", 24.1e9, "a10"),
    ("NVIDIA A10G", 24.1e9, None),
    ("NVIDIA GeForce RTX 4090", 25.4e9, "rtx4090"),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", 17.2e9, None),
    ("NVIDIA GeForce RTX 3090", 25.4e9, "rtx3090"),
    ("NVIDIA GeForce RTX 3090 Ti", 25.4e9, None),
]


@pytest.mark.parametrize(("name", "memory", "key"), NAMES)
def test_a_gpu_is_found_by_the_words_of_its_name_and_its_memory(name, memory, key):
    assert chip_of(name, memory) is (None if key is None else CHIPS[key])

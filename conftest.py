"""Doctests of modules whose library is not installed are not collected."""

import importlib.util

collect_ignore = []
if importlib.util.find_spec("triton") is None:  # kernels of GPUs
    collect_ignore += ["src/epilm/nn/kernels_norm.py", "src/epilm/motifs/kernels_triton.py"]
if importlib.util.find_spec("submitit") is None:
    collect_ignore += ["src/epilm/sharding/slurm_array.py"]

"""Memory that a step gives back stays with the process while a model trains, or scores variants, on
a CPU.

Linux's C library maps large tensors anew at each step and returns them after it, so every page is
faulted in again: a fifth of a step of a small model (docs/performance.md). Needs torch only.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

# Names and defaults of malloc.h.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
DEFAULT_TRIM, DEFAULT_MAPS = 128 * 1024, 65536
_inside = 0  # blocks that are open: scoring in the middle of learning is one within another


@lru_cache(maxsize=1)
def _library() -> Any:
    """The C library where it is GNU's, None elsewhere."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    known = all(
        hasattr(library, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")
    )
    return library if known else None


@contextmanager
def kept_heap(device: torch.device) -> Iterator[None]:
    """Keep freed memory in the process until the end of the outermost block; then give it back.

    The peak grows by 2 to 6 % (measured); on other systems and on GPUs nothing changes.

    Examples
    --------
    >>> with kept_heap(torch.device("cpu")):
    ...     float(torch.ones(3).sum())
    3.0
    """
    library = _library() if device.type == "cpu" else None
    if library is None:
        yield
        return
    global _inside
    _inside += 1
    if _inside == 1:
        library.mallopt(MMAP_MAX, 0)
        library.mallopt(TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        _inside -= 1
        if _inside == 0:
            library.mallopt(MMAP_MAX, DEFAULT_MAPS)
            library.mallopt(TRIM_THRESHOLD, DEFAULT_TRIM)
            library.malloc_trim(0)

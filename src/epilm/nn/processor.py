"""What the processor can do, by the names that Linux gives its instructions; nothing elsewhere.
Standard library only.
"""

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Read the instructions that /proc/cpuinfo lists, and the vendor's name; empty where there is
    no such file.

    Examples
    --------
    >>> "amx_bf16" in cpu_flags() or cpu_bf16() != "amx_bf16"
    True
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()  # not Linux
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        word
        for key, _, words in lines
        if key.strip() in ("flags", "vendor_id")
        for word in words.split()
    )


@lru_cache(maxsize=1)
def cpu_bf16() -> str | None:
    """Name the processor's bf16 instructions, or None where it has none.

    Without them bf16 is emulated, slower than fp32.
    """
    return next((flag for flag in ("amx_bf16", "avx512_bf16") if flag in cpu_flags()), None)

"""Numbers whose exponent pandas cannot hold: seen before it reads them, and read by Python.

pandas counts an exponent in 32 bits. Of `1e2147483648` its reader of text, and `to_numeric`, die
of a segmentation fault; of `1e4294967295` they make 0.1. Such a number has ten digits behind its
e: where a text has one, pandas is told to read numbers as Python does (20 to 30 % slower), and
else it reads them its own way, to the last bit as ever.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_DIGITS = 10  # of 2^31
_LONG = re.compile(r"e[-+]?[0-9]{10}", re.IGNORECASE)


def precision_for(text: bytes) -> Literal["round_trip"] | None:
    """Say how `pandas.read_csv` must read the numbers of a text: its `float_precision`.

    Examples
    --------
    >>> precision_for(b"chr1\\t5\\t1e-5\\tpeak_12345678901\\n") is None
    True
    >>> precision_for(b"chr1\\t5\\t1e-2147483648\\n")
    'round_trip'
    """
    if b"e" not in text and b"E" not in text:
        return None
    letters = np.frombuffer(text, np.uint8)
    at = np.flatnonzero((letters | 32) == ord("e"))
    at = at[at + _DIGITS < len(letters)]
    # The second to the tenth behind the e are digits, be the first one a digit or a sign.
    for behind in range(2, _DIGITS + 1):
        if not len(at):
            return None
        at = at[letters[at + behind] - np.uint8(ord("0")) < 10]  # wraps around below 0
    return "round_trip" if len(at) else None


def to_numbers(values: Iterable[Any]) -> NDArray[np.float64]:
    """Read each value as a number, NaN where it is none: `pandas.to_numeric` for any text.

    Examples
    --------
    >>> to_numbers(["1e3", "x", "1e-4294967295", "1e2147483648"]).tolist()
    [1000.0, nan, 0.0, inf]
    """
    series = pd.Series(values, dtype=None if isinstance(values, pd.Series) else object)
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(np.float64)
    words = series.to_numpy(object)
    # One search in all of them costs less than one in each.
    joined = "\n".join(word for word in words if isinstance(word, str))
    if ("e" in joined or "E" in joined) and _LONG.search(joined):
        words = np.array([_by_python(word) for word in words], object)
    numbers = pd.to_numeric(pd.Series(words), errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _by_python(word: Any) -> Any:
    if not (isinstance(word, str) and _LONG.search(word)):
        return word
    try:
        return float(word)
    except ValueError:
        return np.nan

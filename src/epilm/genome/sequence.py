"""Bases as bytes: A=0 C=1 G=2 T=3 N=4, the code of every array in epilm.

Lower case (soft-masked) letters are the same bases. U is read as T. Every
other IUPAC letter, X and gaps become N. Anything else is not DNA.
"""

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError

A, C, G, T, N = range(5)
LETTERS = "ACGTN"
AMBIGUOUS = "RYKMSWBDHVX-."
NOT_DNA = 255


def _make_table() -> bytes:
    table = np.full(256, NOT_DNA, dtype=np.uint8)
    for letter in AMBIGUOUS:
        table[ord(letter)] = table[ord(letter.lower())] = N
    for code, letter in enumerate(LETTERS):
        table[ord(letter)] = table[ord(letter.lower())] = code
    table[ord("U")] = table[ord("u")] = T
    return table.tobytes()


CODE_OF_BYTE = _make_table()  # 256 bytes for bytes.translate
_LETTER_OF_CODE = bytes(ord(LETTERS[min(code, N)]) for code in range(256))
_COMPLEMENT = np.array([T, G, C, A, N], dtype=np.uint8)


def encode(sequence: str | bytes) -> NDArray[np.uint8]:
    """Turn letters into base codes.

    Parameters
    ----------
    sequence : str or bytes, length n
        DNA letters in either case; IUPAC letters other than A, C, G, T, U become N.

    Returns
    -------
    uint8 array, shape (n,)
        A=0, C=1, G=2, T=3, N=4; writable.

    Raises
    ------
    InputError
        If a letter is not a nucleotide letter; the position is 1-based.

    Examples
    --------
    >>> encode("ACGTNacgtR")
    array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4], dtype=uint8)
    >>> encode("ACE")
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: not a DNA sequence. Found 'E' at position 3; expected the letters A C G
        T N (or IUPAC R Y K M S W B D H V).
    """
    if isinstance(sequence, str):
        raw = sequence.encode("latin-1", errors="replace")
    else:
        raw = bytes(sequence)
    codes = np.frombuffer(bytearray(raw.translate(CODE_OF_BYTE)), dtype=np.uint8)
    if codes.size and codes.max() == NOT_DNA:
        position = int(codes.argmax())
        letter = sequence[position] if isinstance(sequence, str) else chr(raw[position])
        raise InputError(
            "not a DNA sequence",
            found=f"{letter!r} at position {position + 1}",
            expected="the letters A C G T N (or IUPAC R Y K M S W B D H V)",
        )
    return codes


def decode(codes: NDArray[np.uint8]) -> str:
    """Turn base codes into upper-case letters; every code above 3 reads N.

    Parameters
    ----------
    codes : uint8 array, shape (n,)

    Returns
    -------
    str, length n

    Examples
    --------
    >>> decode(encode("acgtn"))
    'ACGTN'
    """
    return (
        np.ascontiguousarray(codes, dtype=np.uint8)
        .tobytes()
        .translate(_LETTER_OF_CODE)
        .decode("ascii")
    )


def reverse_complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Read the other strand, 5' to 3'.

    Parameters
    ----------
    codes : uint8 array, shape (..., n)
        Base codes 0 to 4; the last axis is the sequence.

    Returns
    -------
    uint8 array, shape (..., n)

    Examples
    --------
    >>> decode(reverse_complement(encode("AACGN")))
    'NCGTT'
    """
    return _COMPLEMENT[np.asarray(codes)[..., ::-1]]

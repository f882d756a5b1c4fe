"""Chromatin contacts: how often two bins of a chromosome were found together.

One chromosome's map is kept as sorted (bin, bin) keys of the upper triangle, so
the contacts of any set of regions are one vectorised look-up.
Text (`contact_text`) needs numpy and pandas; .cool, .mcool and .hic (`contact_files`)
the packages cooler and hictkpy (extra "hic").
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, nearest
from epilm.genome.contact_files import COOL, HIC, read_cool, read_hic
from epilm.genome.contact_text import WHAT, read_text_map
from epilm.genome.files import check_file, first_bytes, is_gzip


@dataclass(frozen=True)
class ChromContacts:
    """Contacts inside one chromosome.

    Attributes
    ----------
    n_bins : int
    keys : int64 array, shape (P,)
        i * n_bins + j of each stored pair with i <= j; sorted, unique.
    values : float32 array, shape (P,)
        Raw counts, or balanced ones.
    """

    n_bins: int
    keys: NDArray[np.int64]
    values: NDArray[np.float32]

    def expected(self) -> NDArray[np.float64]:
        """Mean value of all pairs at each distance, shape (n_bins,); bins without any contact left
        out.
        """
        i, j = self.keys // self.n_bins, self.keys % self.n_bins
        used = np.zeros(self.n_bins, dtype=bool)
        used[i], used[j] = True, True
        total = np.bincount(j - i, weights=self.values, minlength=self.n_bins)
        # How many pairs of used bins lie d apart: the autocorrelation of `used`.
        spectrum = np.abs(np.fft.rfft(used.astype(np.float64), 2 * self.n_bins)) ** 2
        pairs = np.rint(np.fft.irfft(spectrum, 2 * self.n_bins)[: self.n_bins])
        return total / np.maximum(pairs, 1)


@dataclass(frozen=True)
class Contacts:
    """A contact map.

    Attributes
    ----------
    resolution : int
        Bin width in bp.
    chroms : dict of str to ChromContacts
    source : str
    notes : tuple of str
        One printable line for everything left out.
    """

    resolution: int
    chroms: dict[str, ChromContacts]
    source: str
    notes: tuple[str, ...] = ()
    _expected: dict[str, NDArray[np.float64]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def submatrix(
        self, chrom: str, centres: NDArray[np.integer], form: Literal["raw", "log1p", "oe"] = "raw"
    ) -> NDArray[np.float32]:
        """Look up the contacts between regions.

        Parameters
        ----------
        chrom : str
        centres : int array, shape (..., R)
            Positions in bp; each belongs to the bin it lies in.
        form : {"raw", "log1p", "oe"}
            As stored; ln(1 + x); or observed over expected at that distance.

        Returns
        -------
        float32 array, shape (..., R, R)
            Symmetric; 0 where nothing was stored, also beyond the last bin of the map.

        Raises
        ------
        InputError
            If the map has no such chromosome.

        Examples
        --------
        >>> one = ChromContacts(3, np.array([0, 1, 5]), np.array([8, 2, 4], np.float32))
        >>> Contacts(100, {"chr1": one}, "a").submatrix("chr1", np.array([50, 150, 250]))
        array([[8., 2., 0.],
               [2., 0., 4.],
               [0., 4., 0.]], dtype=float32)
        """
        if form not in ("raw", "log1p", "oe"):
            raise ValueError(f"form must be 'raw', 'log1p' or 'oe', not {form!r}")
        if chrom not in self.chroms:
            raise InputError(
                "the contact map has no such chromosome",
                where=self.source,
                found=chrom,
                expected=nearest(chrom, self.chroms),
            )
        one = self.chroms[chrom]
        bins = np.asarray(centres, dtype=np.int64) // self.resolution
        a, b = bins[..., :, None], bins[..., None, :]
        low, high = np.minimum(a, b), np.maximum(a, b)
        inside = (low >= 0) & (high < one.n_bins)
        key = np.where(inside, low * one.n_bins + high, -1)
        at = np.minimum(np.searchsorted(one.keys, key), max(len(one.keys) - 1, 0))
        hit = inside & (one.keys[at] == key) if len(one.keys) else np.zeros(key.shape, dtype=bool)
        values = np.where(hit, one.values[at] if len(one.keys) else 0, 0).astype(np.float32)
        if form == "log1p":
            return np.log1p(values)
        if form == "oe":
            if chrom not in self._expected:
                self._expected[chrom] = one.expected()
            expected = self._expected[chrom][np.where(inside, high - low, 0)]
            return np.where(expected > 0, values / np.maximum(expected, 1e-30), 0).astype(
                np.float32
            )
        return values


def read_contacts(
    path: str | Path,
    resolution: int | None = None,
    chrom: str | None = None,
    balanced: bool = False,
    finer: bool = False,
) -> Contacts:
    """Read a contact map.

    Parameters
    ----------
    path : path
        .cool, .mcool or .hic; or text, plain or gzip: bin1 start, bin2 start, count (the chromosome
        from `chrom`, or from the file's name), or chrom, bin1 start, bin2 start, count, or the
        seven columns of `cooler dump --join`, whose ends say how wide the bins are. Only pairs
        inside a chromosome are kept, the others are counted.
    resolution : int, optional
        Bin width in bp. Needed where a file has several (.mcool, .hic); for text found from the
        ends, or else from the starts and the name (chr20_5kb).
    chrom : str, optional
        Chromosome of three-column text; of other files the only one to read.
    balanced : bool
        Use the balanced values (column "weight") of a .cool.
    finer : bool
        Let a file of one resolution have narrower bins than `resolution`, which the caller joins.

    Returns
    -------
    Contacts

    Raises
    ------
    InputError
        If the file is missing, damaged or of another format (read pairs, HiC-Pro's bin numbers), a
        count is negative or NaN, a pair is given twice with different counts, a bin is not on the
        grid, no pair is inside a chromosome, or the resolution is not in the file.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "dump.txt"
    >>> _ = name.write_text("chr1\\t0\\t1000\\tchr1\\t2000\\t3000\\t7\\n")
    >>> contacts = read_contacts(name)
    >>> contacts.resolution, contacts.submatrix("chr1", np.array([500, 2500])).tolist()
    (1000, [[0.0, 7.0], [7.0, 0.0]])
    """
    path = check_file(path, WHAT)
    head = first_bytes(path, 4)
    if is_gzip(path) and head in (COOL, HIC):
        raise InputError(
            "the file is packed with gzip",
            where=str(path),
            expected=WHAT,
            do=f"Unpack it: gunzip {path.name}; it is read in places, not from end to end.",
        )
    notes: list[str] = []
    if head in (COOL, HIC):
        read = read_cool if head == COOL else read_hic
        width, pixels = read(path, resolution, chrom, balanced, finer)
    else:
        text = read_text_map(path, resolution, chrom, finer)
        width, pixels = text.resolution, text.pixels
        if text.between:
            notes.append(f"{path}: {text.between} contacts between two chromosomes: left out")
    chroms = {name: _build(*three, str(path)) for name, three in pixels.items()}
    return Contacts(width, chroms, str(path), tuple(notes))


def _build(
    i: NDArray[np.int64], j: NDArray[np.int64], values: NDArray[np.float64], where: str
) -> ChromContacts:
    low, high = np.minimum(i, j), np.maximum(i, j)
    n_bins = int(high.max()) + 1 if len(high) else 1
    keys = low * n_bins + high
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    same = keys[1:] == keys[:-1]
    if same.any():
        if (values[1:][same] != values[:-1][same]).any():
            at = int((same & (values[1:] != values[:-1])).argmax()) + 1
            raise InputError(
                "a pair of bins has two counts",
                where=where,
                found=(
                    f"bins {keys[at] // n_bins} and {keys[at] % n_bins}: {values[at - 1]:g} and"
                    f" {values[at]:g}"
                ),
                expected="each pair once (or both triangles alike)",
            )
        keep = np.concatenate([[True], ~same])
        keys, values = keys[keep], values[keep]
    return ChromContacts(n_bins, keys, values.astype(np.float32))

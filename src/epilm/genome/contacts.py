"""Chromatin contacts: how often two bins of a chromosome were found together.

One chromosome's map is kept as sorted (bin, bin) keys of the upper triangle, so
the contacts of any set of regions are one vectorised look-up.
Text (bin start, bin start, count) needs numpy and pandas; .cool and .mcool the
package cooler (extra "hic").
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.errors import InputError, nearest
from epilm.genome.files import check_file, data_lines, read_text

WHAT = "contacts: .cool, .mcool, or text of bin start, bin start, count"


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
    """

    resolution: int
    chroms: dict[str, ChromContacts]
    source: str
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
        found = np.where(hit, one.values[at] if len(one.keys) else 0, 0).astype(np.float32)
        if form == "log1p":
            return np.log1p(found)
        if form == "oe":
            if chrom not in self._expected:
                self._expected[chrom] = one.expected()
            expected = self._expected[chrom][np.where(inside, high - low, 0)]
            return np.where(expected > 0, found / np.maximum(expected, 1e-30), 0).astype(np.float32)
        return found


def read_contacts(
    path: str | Path,
    resolution: int | None = None,
    chrom: str | None = None,
    balanced: bool = False,
) -> Contacts:
    """Read a contact map.

    Parameters
    ----------
    path : path
        .cool or .mcool; or text, plain or gzip: bin1 start, bin2 start, count (the chromosome from
        `chrom`, or from the file's name), or chrom, bin1 start, bin2 start, count, or cooler dump's
        seven columns. Only pairs inside a chromosome are kept.
    resolution : int, optional
        Bin width in bp. Needed for .mcool (which has several); for text found from the starts.
    chrom : str, optional
        Chromosome of three-column text; of .cool, the only one to read.
    balanced : bool
        Use the balanced values (column "weight") of a .cool.

    Returns
    -------
    Contacts

    Raises
    ------
    InputError
        If the file is missing, damaged or of another format, a count is negative or NaN, a pair is
        given twice with different counts, a start is not on the grid, or the resolution is not in
        the file.
    """
    path = check_file(path, WHAT)
    with open(path, "rb") as handle:
        head = handle.read(8)
    if head.startswith(b"\x89HDF"):
        return _read_cool(path, resolution, chrom, balanced)
    return _read_text(path, resolution, chrom)


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


_LAYOUTS = {
    3: ["start1", "start2", "count"],
    4: ["chrom", "start1", "start2", "count"],
    7: ["chrom", "start1", "end1", "chrom2", "start2", "end2", "count"],
}


def _read_text(path: Path, resolution: int | None, chrom: str | None) -> Contacts:
    text, lines = data_lines(read_text(path, WHAT))
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").split("\t")
    if len(first) not in _LAYOUTS:
        raise InputError(
            "wrong format",
            where=str(path),
            found=f"{len(first)} columns: {' '.join(first)[:60]!r}",
            expected="3 (bin start, bin start, count), 4 (chrom first) or 7 tab-separated columns",
        )
    names = _LAYOUTS[len(first)]
    if (
        not first[-1].replace(".", "").isdigit()
        and first[names.index("start1")].isalnum()
        and not first[names.index("start1")].isdigit()
    ):
        text, lines = text.split(b"\n", 1)[1], lines[1:]  # a header without #
    try:
        table = pd.read_csv(
            io.BytesIO(text), sep="\t", header=None, names=names, dtype=str, keep_default_na=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            "a line is no contact",
            where=str(path),
            found=str(error).strip(),
            expected=" ".join(names),
        ) from None
    numbers = {
        name: pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        for name in ("start1", "start2", "count")
    }
    wrong = np.zeros(len(table), dtype=bool)
    for name, column in numbers.items():
        wrong |= (
            ~np.isfinite(column) | (column < 0) | (name != "count" and column != np.floor(column))
        )
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            "a contact is negative or not a number",
            where=f"{path}, line {int(lines[row])}",
            found=" ".join(map(str, table.iloc[row])),
            expected=" ".join(names) + ", starts and counts of 0 or more",
        )
    table["count"] = numbers["count"]
    for name in ("start1", "start2"):
        table[name] = numbers[name].astype(np.int64)
    if "chrom2" in table:
        table = table[table["chrom"] == table["chrom2"]]
    if "chrom" not in table:
        chrom = chrom or _chrom_of(path.name)
        if chrom is None:
            raise InputError(
                "three columns do not say the chromosome",
                where=str(path),
                expected="a fourth column, or chr20 in the file's name",
                do="Give it with chrom='chr20'.",
            )
        table["chrom"] = chrom
    elif chrom is not None:
        table = table[table["chrom"] == chrom]
    starts = np.unique(np.concatenate([table["start1"].to_numpy(), table["start2"].to_numpy()]))
    width = int(np.gcd.reduce(np.diff(starts))) if len(starts) > 1 else int(resolution or 0)
    resolution = resolution or width
    if not resolution or (starts % resolution).any():
        off = int(starts[(starts % resolution != 0).argmax()]) if resolution else int(starts[0])
        raise InputError(
            "a bin does not start on the grid",
            where=str(path),
            found=f"start {off}",
            expected=f"multiples of {resolution} bp",
            do="Give the bin width of the file as resolution.",
        )
    chroms = {
        str(name): _build(
            part["start1"].to_numpy() // resolution,
            part["start2"].to_numpy() // resolution,
            part["count"].to_numpy(),
            str(path),
        )
        for name, part in table.groupby("chrom", sort=False)
    }
    return Contacts(resolution, chroms, str(path))


def _chrom_of(name: str) -> str | None:
    return next(
        (part.split("_")[0] for part in name.split(".") if part.split("_")[0].startswith("chr")),
        None,
    )


def _read_cool(path: Path, resolution: int | None, chrom: str | None, balanced: bool) -> Contacts:
    try:
        import cooler
    except ImportError:
        raise InputError(
            "reading .cool needs the package cooler",
            where=str(path),
            do="pip install 'epilm[hic]', or write it as text: cooler dump --join file.cool",
        ) from None
    try:
        maps = cooler.fileops.list_coolers(str(path))
    except Exception as error:  # h5py and cooler raise many kinds
        raise InputError(
            "the file cannot be read as a contact map",
            where=str(path),
            found=str(error).split("\n")[0],
            expected=".cool or .mcool",
        ) from None
    if not maps:
        raise InputError(
            "the HDF5 file holds no contact map", where=str(path), expected=".cool or .mcool"
        )
    by_width = {int(cooler.Cooler(f"{path}::{uri}").binsize or 0): uri for uri in maps}
    if resolution is None and len(by_width) > 1:
        raise InputError(
            "the file holds several resolutions",
            where=str(path),
            found=", ".join(map(str, sorted(by_width))),
            expected="one",
            do="Choose with resolution=...",
        )
    resolution = resolution or next(iter(by_width))
    if resolution not in by_width:
        raise InputError(
            "the file does not hold this resolution",
            where=str(path),
            found=resolution,
            expected=", ".join(map(str, sorted(by_width))),
        )
    one = cooler.Cooler(f"{path}::{by_width[resolution]}")
    if balanced and "weight" not in one.bins().columns:
        raise InputError(
            "the map is not balanced",
            where=str(path),
            expected="a bin column 'weight'",
            do="Run cooler balance, or use raw counts.",
        )
    if chrom is not None and chrom not in one.chromnames:
        raise InputError(
            "the contact map has no such chromosome",
            where=str(path),
            found=chrom,
            expected=nearest(chrom, one.chromnames),
        )
    chroms = {}
    for name in [chrom] if chrom else one.chromnames:
        first = int(one.offset(name))
        pairs = one.matrix(balance=balanced, as_pixels=True, ignore_index=True, join=False).fetch(
            name
        )
        values = pairs["balanced" if balanced else "count"].to_numpy(dtype=np.float64)
        keep = np.isfinite(values)
        chroms[name] = _build(
            pairs["bin1_id"].to_numpy(np.int64)[keep] - first,
            pairs["bin2_id"].to_numpy(np.int64)[keep] - first,
            values[keep],
            str(path),
        )
    return Contacts(resolution, chroms, str(path))

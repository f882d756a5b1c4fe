"""Contact maps in the containers of cooler (.cool, .mcool) and Juicer (.hic).

The readers are extras: cooler and hictkpy. Both give (i, j, value) a chromosome, the numbers of
bins counted from its start. Used by `contacts`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import InputError, nearest
from epilm.genome.contact_text import Pixels
from epilm.genome.hdf5_walk import check_hdf5

COOL = b"\x89HDF"
HIC = b"HIC\x00"


def _choose(path: Path, resolutions: list[int], resolution: int | None, kind: str) -> int:
    """The bin width to read, of those a file holds."""
    listed = ", ".join(map(str, sorted(resolutions)))
    if resolution is None and len(resolutions) > 1:
        raise InputError(
            "the file holds several resolutions",
            where=str(path),
            found=listed,
            expected="one",
            do="Choose one (resolution, --contacts-resolution).",
        )
    chosen = resolutions[0] if resolution is None else resolution
    if chosen not in resolutions:
        raise InputError(
            "the file does not hold this resolution",
            where=str(path),
            found=chosen,
            expected=listed,
        )
    if chosen < 1:
        raise InputError(
            "the bins have no one width",
            where=str(path),
            found="bins of different widths, such as restriction fragments",
            expected=f"a {kind} file of bins in bp",
        )
    return chosen


def _check_chrom(path: Path, chrom: str | None, names: list[str]) -> list[str]:
    if chrom is not None and chrom not in names:
        raise InputError(
            "the contact map has no such chromosome",
            where=str(path),
            found=chrom,
            expected=nearest(chrom, names),
        )
    return names if chrom is None else [chrom]


def read_cool(
    path: Path, resolution: int | None, chrom: str | None, balanced: bool, finer: bool = False
) -> tuple[int, dict[str, Pixels]]:
    """Read a .cool or .mcool file; see `contacts.read_contacts`."""
    try:
        import cooler
    except ImportError:
        raise InputError(
            "reading .cool needs the package cooler",
            where=str(path),
            do="pip install 'epilm[hic]', or write it as text: cooler dump --join file.cool",
        ) from None
    check_hdf5(path)
    try:
        return _read_cool(cooler, path, resolution, chrom, balanced, finer)
    except InputError:
        raise
    except Exception as error:  # h5py and cooler raise many kinds, wherever the file is damaged
        raise InputError(
            "the file cannot be read as a contact map",
            where=str(path),
            found=str(error).split("\n")[0],
            expected=".cool or .mcool",
        ) from None


def _read_cool(
    cooler: Any,
    path: Path,
    resolution: int | None,
    chrom: str | None,
    balanced: bool,
    finer: bool,
) -> tuple[int, dict[str, Pixels]]:
    maps = cooler.fileops.list_coolers(str(path))
    if not maps:
        raise InputError(
            "the HDF5 file holds no contact map", where=str(path), expected=".cool or .mcool"
        )
    widths = [int(cooler.Cooler(f"{path}::{uri}").binsize or 0) for uri in maps]
    if len(set(widths)) < len(widths):
        raise InputError(
            "the file holds several maps of one resolution",
            where=str(path),
            found=f"{len(maps)} maps ({', '.join(maps[:3])}, ...)",
            expected="one a resolution",
            do="A single-cell file (.scool) must be summed first: cooler merge.",
        )
    if finer and len(widths) == 1:
        resolution = None
    resolution = _choose(path, widths, resolution, ".cool")
    one = cooler.Cooler(f"{path}::{maps[widths.index(resolution)]}")
    if balanced and "weight" not in one.bins().columns:
        raise InputError(
            "the map is not balanced",
            where=str(path),
            expected="a bin column 'weight'",
            do="Run cooler balance, or use raw counts.",
        )
    pixels = {}
    for name in _check_chrom(path, chrom, list(one.chromnames)):
        first = int(one.offset(name))
        pairs = one.matrix(balance=balanced, as_pixels=True, ignore_index=True, join=False).fetch(
            name
        )
        values = pairs["balanced" if balanced else "count"].to_numpy(dtype=np.float64)
        keep = np.isfinite(values)
        pixels[name] = (
            pairs["bin1_id"].to_numpy(np.int64)[keep] - first,
            pairs["bin2_id"].to_numpy(np.int64)[keep] - first,
            values[keep],
        )
    return resolution, pixels


def read_hic(
    path: Path, resolution: int | None, chrom: str | None, balanced: bool, finer: bool = False
) -> tuple[int, dict[str, Pixels]]:
    """Read a .hic file of Juicer; see `contacts.read_contacts`."""
    try:
        import hictkpy
    except ImportError:
        raise InputError(
            "reading .hic needs the package hictkpy",
            where=str(path),
            do="pip install 'epilm[hic]', or convert it: hictk convert file.hic file.mcool",
        ) from None
    if balanced:
        raise InputError(
            "balanced values are read of .cool files alone",
            where=str(path),
            do="Convert it: hictk convert file.hic file.mcool",
        )

    def reading(call: Any, *words: Any, **more: Any) -> Any:
        try:
            return call(*words, **more)
        except Exception as error:  # the library raises RuntimeError for whatever it meets
            raise InputError(
                "the file cannot be read as a contact map",
                where=str(path),
                found=" ".join(str(error).split())[:200],
                expected="a whole .hic file",
                do="It is truncated or damaged, or of a version before 6: copy it again.",
            ) from None

    widths = [int(width) for width in reading(hictkpy.MultiResFile, str(path)).resolutions()]
    if finer and len(widths) == 1:
        resolution = None
    resolution = _choose(path, widths, resolution, ".hic")
    one = reading(hictkpy.File, str(path), resolution)
    pixels = {}
    for name in _check_chrom(path, chrom, list(one.chromosomes())):
        entries = reading(lambda name=name: one.fetch(name, count_type="float64").to_coo())
        pixels[name] = (
            entries.row.astype(np.int64),
            entries.col.astype(np.int64),
            entries.data.astype(np.float64),
        )
    return resolution, pixels

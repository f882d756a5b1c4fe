"""What a store is: the words of `store.json`, the files beside it, the fingerprint.

A store is a folder of plain arrays that numpy alone can open. `store.json`
names each file with its type, shape, size and SHA-256, so that damage is seen
before a run and not inside it. Needs numpy and the standard library only; the
writer and the reader share this file, nothing else.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import StoreError

SCHEMA = 1
MANIFEST = "store.json"
GENOME = "genome.u8.npy"
REGIONS = "regions.npy"
REGIONS_BED = "regions.bed"
ACCESS = "access.npy"
COUNTS = "counts.npy"
MOTIFS = "motifs.json"
FACTORS = "factors.f16.npy"
FACTOR_SUMS = "factor_sums.npy"
# A store may hold further matrices of the same regions and motifs, one a statistic.
MORE_FACTORS = "factors.{}.f16.npy"
MORE_SUMS = "factor_sums.{}.npy"
CONTACT_KEYS = "contacts/keys.npy"
CONTACT_VALUES = "contacts/values.npy"
STATES = "states.u8.npy"
SIGNAL = "signals/{}.f16.npy"
MOST_BASES = 1 << 40  # of a chromosome, or a bin of one

# chrom: number in the chromosome table; start, end: 0-based, half-open.
REGION_TYPE = np.dtype([("chrom", "<u2"), ("start", "<i8"), ("end", "<i8")])
_OF_MANY_CONTIGS = np.dtype([("chrom", "<u4"), ("start", "<i8"), ("end", "<i8")])


def region_type(n_chroms: int) -> np.dtype:
    """Type of `regions.npy`: contig numbers of 16 bits, of 32 where there are more than fit.

    Examples
    --------
    >>> region_type(25)["chrom"], region_type(65_536)["chrom"], region_type(65_537)["chrom"]
    (dtype('uint16'), dtype('uint16'), dtype('uint32'))
    """
    most = np.iinfo(REGION_TYPE["chrom"]).max + 1
    return REGION_TYPE if n_chroms <= most else _OF_MANY_CONTIGS


@dataclass(frozen=True)
class StoreInfo:
    """All of `store.json`.

    Attributes
    ----------
    schema : int
        Version of this layout.
    assembly : str
        The name the user gave, e.g. hg19; free text.
    chroms, sizes : tuple
        The chromosome table, in the order of `genome.u8.npy`.
    cell_types : tuple of str
        Columns of `access.npy` (bit t of a row) and of `counts.npy`.
    n_regions, n_factors : int
    fingerprint : str
        SHA-256 of chromosome table, regions and motif order; with states also of their bins, names
        and tracks.
    files : dict
        File name -> {"bytes", "sha256", and "dtype", "shape" of arrays}.
    factors : dict
        How the factor matrix was made: statistic, p, pseudocount, background, ...;
        more_statistics: of the further matrices (`MORE_FACTORS`).
    contacts : dict
        Resolution and source of the contact table; empty when there is none.
    access : dict
        How accessibility was decided: from peaks or counts, and the thresholds.
    states : dict
        bin, names, colours, cell_types (cell type -> track), proxies (cell type -> whose track it
        reads), sources (a line a track); empty without states.
    signals : dict
        name -> resolution, pooled, cell_types (cell type -> track, or None: one for all), sources;
        scale where values were divided by something.
    sources : list of dict
        Input files: role, name, bytes, sha256.
    dropped : dict
        Reason -> number of regions or peaks left out.
    notes : list of str
        What else the user should know.
    versions : dict
        Tool -> version.
    """

    schema: int
    assembly: str
    chroms: tuple[str, ...]
    sizes: tuple[int, ...]
    cell_types: tuple[str, ...]
    n_regions: int
    n_factors: int
    fingerprint: str
    files: dict[str, dict[str, Any]]
    factors: dict[str, Any] = field(default_factory=dict)
    contacts: dict[str, Any] = field(default_factory=dict)
    access: dict[str, Any] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def statistics(self) -> tuple[str, ...]:
        """What the factor matrices hold, that of `factors.f16.npy` first; empty without a
        matrix.
        """
        if "statistic" not in self.factors:
            return ()
        return (str(self.factors["statistic"]), *map(str, self.factors.get("more_statistics", ())))

    def to_dict(self) -> dict[str, Any]:
        """Give the plain value that becomes JSON."""
        return asdict(self)


def read_info(folder: str | Path) -> StoreInfo:
    """Read `store.json` and check that this code can read the store.

    Parameters
    ----------
    folder : path
        A store.

    Raises
    ------
    StoreError
        If there is no store, the JSON is damaged, a key is missing, or the schema is another one.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise StoreError(
            "this is not a store",
            where=str(folder),
            found=(
                "no folder of that name"
                if not Path(folder).is_dir()
                else f"a folder without {MANIFEST}"
            ),
            do="Make one with `epilm build`, or give the folder that it wrote.",
        )
    again = "Build the store again."
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise StoreError(
            "the file is not valid JSON", where=str(path), found=str(error), do=again
        ) from None
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema is None:
        run = path.with_name("recipe.json").is_file()
        raise StoreError(
            "this is not a store",
            where=str(folder),
            found=(
                f"the folder of a run: its {MANIFEST} says which store it read"
                if run
                else f"a {MANIFEST} without a schema"
            ),
            do=(
                f"Give the store itself{', its path stands in that file' if run else ''}; `epilm"
                " build` makes one."
            ),
        )
    if schema != SCHEMA:
        raise StoreError(
            "the store has another schema version",
            where=str(path),
            found=schema,
            expected=SCHEMA,
            do=(
                "Build the store again with this version of epilm, or use the version that"
                " wrote it."
            ),
        )
    known = {f.name for f in fields(StoreInfo)}
    try:
        info = StoreInfo(**{k: v for k, v in value.items() if k in known})
    except TypeError as error:
        raise StoreError("a key is missing", where=str(path), found=str(error), do=again) from None
    _check_kinds(info, path)
    tuples = {k: tuple(getattr(info, k)) for k in ("chroms", "sizes", "cell_types")}
    return StoreInfo(**{**{f.name: getattr(info, f.name) for f in fields(StoreInfo)}, **tuples})


_TABLES = ("files", "factors", "contacts", "access", "states", "signals", "dropped", "versions")
_LISTS = ("chroms", "sizes", "cell_types", "sources", "notes")


def _check_kinds(info: StoreInfo, path: Path) -> None:
    """Refuse tables and lists that are none, and chromosomes of which no offsets can be made."""
    for names, kind, word in ((_TABLES, dict, "table"), (_LISTS, list, "list")):
        for name in names:
            if not isinstance(getattr(info, name), kind):
                raise damaged(path, f"{name} is no {word}")
    if not isinstance(info.factors.get("more_statistics", []), list):
        raise damaged(path, "factors.more_statistics is no list")
    for name, entry in (*info.files.items(), *info.signals.items()):
        shape = entry.get("shape", []) if isinstance(entry, dict) else None
        if not isinstance(shape, list) or any(type(side) is not int for side in shape):
            raise damaged(path, f"it does not say what {name} is")
    if len(info.chroms) != len(info.sizes) or any(type(name) is not str for name in info.chroms):
        raise damaged(path, f"{len(info.chroms)} chromosomes with {len(info.sizes)} sizes")
    for name, size in zip(info.chroms, info.sizes, strict=True):
        if type(size) is not int or not 0 <= size <= MOST_BASES:
            raise damaged(path, f"the size of {name} is no number of bases: {str(size)[:60]}")


def fingerprint(
    chroms: Sequence[str],
    sizes: Sequence[int],
    regions: np.ndarray,
    motif_ids: Sequence[str],
    states: Mapping[str, Any] | None = None,
) -> str:
    """Name the order of regions and motifs, and the meaning of states, by one SHA-256.

    Two stores with the same fingerprint have the same chromosome table, the same
    regions in the same order and the same motifs in the same order, so a row or
    column number means the same thing in both.

    Parameters
    ----------
    chroms, sizes : sequences of the same length
        Names and lengths (bp) of the chromosomes, in genome order.
    regions : structured array (R,)
        chrom (number in `chroms`), start, end.
    motif_ids : sequence of str
        In column order; empty without motifs.
    states : dict, optional
        `StoreInfo.states`: bin width, names and the track of each cell type count. Without states
        the fingerprint is what it was before stores had any.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> r = np.array([(0, 5, 9)], REGION_TYPE)
    >>> fingerprint(["chr1"], [10], r, ["MA0139.1"])[:12]
    '6a1bf125bbe7'
    >>> fingerprint(["chr1"], [10], r, ["MA0139.1"]) == fingerprint(["chr1"], [11], r, ["MA0139.1"])
    False
    """
    digest = hashlib.sha256()
    table = [[c, int(s)] for c, s in zip(chroms, sizes, strict=True)]
    digest.update(json.dumps([table, list(motif_ids), len(regions)]).encode())
    for name in ("chrom", "start", "end"):
        digest.update(np.ascontiguousarray(regions[name], dtype="<i8").tobytes())
    if states:
        tracks = [[name, int(row)] for name, row in states["cell_types"].items()]
        digest.update(json.dumps([int(states["bin"]), list(states["names"]), tracks]).encode())
    return digest.hexdigest()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a"
    >>> _ = name.write_bytes(b"ACGT")
    >>> file_sha256(name)[:8]
    '1dff3e84'
    """
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def damaged(path: Path, why: str) -> StoreError:
    """Say that a file of a store is not what `store.json` says."""
    return StoreError(
        "the store is damaged", where=str(path), found=why, do="Copy or build the store again."
    )

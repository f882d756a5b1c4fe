"""Which files a build reads, what they are called in it, and their SHA-256.

Names of cell types come from file names; two files that would give one name
are an error here and not a silent overwrite. Of the several files MACS writes for one sample the
peaks are taken. Standard library only.
"""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epilm.errors import InputError
from epilm.store.schema import file_sha256

# What MACS writes of the sample NAME; a longer ending goes before one that it ends with.
MACS_PEAKS = ("_peaks.narrowPeak", "_peaks.broadPeak", "_peaks.gappedPeak", "_peaks.xls")
MACS_SUMMITS = "_summits.bed"
PEAK_ENDINGS = (*MACS_PEAKS[:3], ".narrowPeak", ".broadPeak", ".gappedPeak", ".bed")
# Read where a file of that name is given; no folder is searched for them.
_NAMED_ALONE = ("_peaks.xls", ".xls")

Peaks = str | Path | Sequence[str | Path] | Mapping[str, str | Path]


def cell_name(path: str | Path, endings: Sequence[str] = PEAK_ENDINGS) -> str:
    """Name a cell type after its file.

    Examples
    --------
    >>> cell_name("peaks/CD4.narrowPeak.gz"), cell_name("liver.ATAC.bed")
    ('CD4', 'liver.ATAC')
    >>> cell_name("macs/NK_peaks.narrowPeak"), cell_name("macs/NK_peaks.xls")
    ('NK', 'NK')
    """
    name = Path(path).name.removesuffix(".gz")
    more = _NAMED_ALONE if tuple(endings) == PEAK_ENDINGS else ()
    for ending in (*endings, *more):
        if name.lower().endswith(ending.lower()) and len(name) > len(ending):
            return name[: -len(ending)].strip()
    return name


def peak_files(peaks: Peaks, left_out: list[str] | None = None) -> dict[str, Path]:
    """List the peak file of each cell type.

    Parameters
    ----------
    peaks : dict, folder, pattern, file, or several of them
        A dict gives the names. A folder gives its .bed, .narrowPeak and .broadPeak files
        (also .gz), each named after the file; a pattern with one `*` names a cell type
        by what the `*` stands for; "name=path" names one file. In a folder or pattern of what
        MACS writes, summits and gapped peaks that lie beside the peaks of the same sample are left
        out.
    left_out : list of str, optional
        Gets a line for the files left out.

    Returns
    -------
    dict of str to Path
        In the order given; inside a folder or pattern sorted by name.

    Raises
    ------
    InputError
        If nothing is found, or two files give one name.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("B.bed", "A.narrowPeak.gz", "neuron.ATAC.txt", "README.md"):
    ...     _ = (root / name).write_text("")
    >>> (
    ...     list(peak_files(root)),
    ...     list(peak_files(f"{root}/*.ATAC.txt")),
    ...     list(peak_files(f"x={root}/B.bed")),
    ... )
    (['A', 'B'], ['neuron'], ['x'])
    """
    return cell_files(peaks, PEAK_ENDINGS, "peak file", "--peaks", left_out)


def cell_files(
    given: Peaks,
    endings: Sequence[str],
    what: str,
    option: str,
    left_out: list[str] | None = None,
) -> dict[str, Path]:
    """List the file of each cell type, for any kind of file.

    Parameters
    ----------
    given
        As in `peak_files`.
    endings : sequence of str
        Of the files a folder gives, without .gz.
    what, option : str
        For messages: "peak file", "--peaks".
    left_out : list of str, optional
        As in `peak_files`.

    Returns
    -------
    dict of str to Path

    Raises
    ------
    InputError
        If nothing is found, or two files give one name.
    """
    files: dict[str, Path] = {}
    if isinstance(given, Mapping):
        pairs = [(str(name).strip(), Path(path)) for name, path in given.items()]
    else:
        several = [given] if isinstance(given, str | Path) else list(given)
        said = [] if left_out is None else left_out
        pairs = [pair for one in several for pair in _expand(str(one), endings, what, option, said)]
    for name, path in pairs:
        if name in files:
            raise InputError(
                f"two {what}s give one cell type",
                where=str(path),
                found=f"{name}, which is also {files[name]}",
                do=f"Name them: {option} NAME=FILE.",
            )
        files[name] = path
    if not files:
        raise InputError(f"no {what} is given", expected="at least one")
    return files


def _beside_macs_peaks(paths: Sequence[Path], left_out: list[str]) -> list[Path]:
    """Leave out what MACS writes beside the peaks of the same sample."""
    by_name = {path.name.removesuffix(".gz"): path for path in paths}
    others = set()
    for name in by_name:
        for ending, mains in ((MACS_SUMMITS, MACS_PEAKS), (MACS_PEAKS[2], MACS_PEAKS[:2])):
            sample = name.removesuffix(ending)
            if sample != name and any(sample + main in by_name for main in mains):
                others.add(by_name[name])
        sample = name.removesuffix(MACS_PEAKS[3])
        if sample != name and any(sample + main in by_name for main in MACS_PEAKS[:2]):
            others.add(by_name[name])
    if others:
        names = sorted(path.name for path in others)
        left_out.append(
            f"{len(names)} files that MACS writes beside its peaks are no cell types of their own:"
            f" {', '.join(names[:5])}{' ...' if len(names) > 5 else ''} left out"
        )
    return [path for path in paths if path not in others]


def _expand(
    one: str, endings: Sequence[str], what: str, option: str, left_out: list[str]
) -> list[tuple[str, Path]]:
    path = Path(one)
    lower = tuple(e.lower() for e in endings)
    if path.is_dir():
        # Names that begin with a dot are of the system, ._A.bed of macOS for one.
        files = sorted(
            p
            for p in path.iterdir()
            if p.name.lower().removesuffix(".gz").endswith(lower) and not p.name.startswith(".")
        )
        if not files:
            raise InputError(
                f"the folder holds no {what}",
                where=one,
                expected=f"files that end in {', '.join(endings)} (also .gz)",
                do=(
                    "Give a pattern, for example 'peaks/*.txt', or NAME=FILE."
                    if option == "--peaks"
                    else "Give a pattern with *, or NAME=FILE."
                ),
            )
        return [(cell_name(p, endings), p) for p in _beside_macs_peaks(files, left_out)]
    if path.exists():
        return [(cell_name(path, endings), path)]
    if glob.has_magic(one):
        matches = sorted(Path(p) for p in glob.glob(one))
        if not matches:
            raise InputError("the pattern matches no file", where=one)
        matches = _beside_macs_peaks(matches, left_out)
        return [(_starred(Path(one).name, p, endings), p) for p in matches]
    if "=" in one:
        name, _, rest = one.partition("=")
        return [(name.strip(), Path(rest))]
    raise InputError(
        f"there is no such {what}",
        where=one,
        expected="a file, a folder, a pattern with *, or NAME=FILE",
    )


def _starred(pattern: str, path: Path, endings: Sequence[str]) -> str:
    """What the only `*` of a pattern stands for; else the name of the file."""
    before, star, after = pattern.partition("*")
    inside = path.name[len(before) : len(path.name) - len(after)]
    return (
        inside
        if star and inside and not glob.has_magic(before + after)
        else cell_name(path, endings)
    )


def source(role: str, path: str | Path, **more: Any) -> dict[str, Any]:
    """Describe an input file by role, name, size and SHA-256; a folder or release by its name
    alone.
    """
    file = Path(path)
    entry: dict[str, Any] = {"role": role, "name": file.name, **more}
    if file.is_file():
        entry |= {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
    return entry

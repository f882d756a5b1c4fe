"""Motif files: JASPAR, MEME, TRANSFAC, frequency tables, and a JASPAR release by name.

Counts and frequencies are told apart by their column sums and kept as they are. A file is read
whole or refused with the line and the cure; nothing is skipped silently. Needs numpy only (pyjaspar
for "jaspar:2018"). Used by the store's builder and by users.
"""

import gzip
import re
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from epilm.atomic import atomic_file
from epilm.errors import InputError
from epilm.genome.limits import LimitedGzip
from epilm.motifs.motif import BASES, Motif, duplicate_free, motif_of
from epilm.motifs.readers import Line, is_column_line, read_meme, read_rows, read_transfac

__all__ = ["BASES", "Format", "Motif", "motif_files", "read_motifs", "write_jaspar"]

Format = Literal["auto", "jaspar", "meme", "transfac", "pfm"]

_KNOWN = (
    "JASPAR (bracketed or bare), MEME or STREME text, TRANSFAC, or a frequency table (.pfm, HOMER,"
    " CIS-BP)"
)


def read_motifs(source: str | Path, format: Format = "auto") -> list[Motif]:
    """Read every motif of a file, or of a JASPAR release by name.

    Parameters
    ----------
    source : str or path
        A file, plain or gzip; a folder of them, each with one motif or more (hidden files are left
        out); or "jaspar:2018" (CORE vertebrates, 579 motifs; other groups as
        "jaspar:2018:plants") from the installed package pyjaspar.
    format : {"auto", "jaspar", "meme", "transfac", "pfm"}
        "jaspar" takes both layouts (``A [ 1 2 ]`` and four bare rows), "pfm" one row of four
        numbers a position (gimmemotifs, HOMER, CIS-BP), "meme" also the text output of MEME and
        STREME. "auto" looks at the content.

    Returns
    -------
    list of Motif
        In the order of the file, or of the names of a folder's files.

    Raises
    ------
    InputError
        Missing, empty or truncated file; bare rows of a motif of four positions of which nothing
        says whether they are bases or positions; zero column; duplicate id; letters other than A,
        C, G, T; negative, missing or non-finite numbers. Names the file, the line and the motif.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "two.jaspar"
    >>> _ = name.write_text(">M1 x\\nA [ 9 0 ]\\nC [ 0 9 ]\\nG [ 1 0 ]\\nT [ 0 1 ]\\n")
    >>> [(m.id, m.name, m.consensus, m.is_counts) for m in read_motifs(name)]
    [('M1', 'x', 'AC', True)]
    """
    if isinstance(source, str) and source.lower().startswith("jaspar:"):
        return _from_jaspar_release(source)
    files = motif_files(source)
    motifs = [motif for path in files for motif in _read_file(path, format)]
    return duplicate_free(motifs, str(source)) if len(files) > 1 else motifs


def motif_files(source: str | Path) -> list[Path]:
    """List the files a motif collection is read from: itself, or those of a folder.

    Parameters
    ----------
    source : path

    Returns
    -------
    list of Path
        Of a folder sorted by name, hidden files left out.

    Raises
    ------
    InputError
        If a folder holds no file.

    Examples
    --------
    >>> motif_files("a.jaspar")
    [PosixPath('a.jaspar')]
    """
    path = Path(source)
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.is_file() and one.name[0] != ".")
    if not files:
        raise InputError(
            "the folder holds no motif file", where=str(path), expected=f"files of {_KNOWN}"
        )
    return files


def _read_file(path: Path, format: Format) -> list[Motif]:
    lines = _lines(path)
    auto = format == "auto"
    if format == "auto":
        format = _guess(lines, path)
    if format in ("jaspar", "pfm"):
        motifs = read_rows(lines, path, layout="auto" if auto else format)
    elif format == "meme":
        motifs = read_meme(lines, path)
    elif format == "transfac":
        motifs = read_transfac(lines, path)
    else:
        raise InputError(
            f"unknown motif format {format!r}", expected="auto, jaspar, meme, transfac or pfm"
        )
    if not motifs:
        raise InputError("no motif in the file", where=str(path), expected=_KNOWN)
    return motifs


def write_jaspar(motifs: Iterable[Motif], path: str | Path) -> Path:
    """Write motifs in JASPAR's bracketed layout, whole or not at all.

    Parameters
    ----------
    motifs : iterable of Motif
        Counts or frequencies; numbers are written so that they read back exactly.
    path : path
        The file; ``.gz`` compresses.

    Returns
    -------
    Path
        The file written.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "one.jaspar"
    >>> _ = write_jaspar([Motif("M1", "x", np.array([[9.0, 0.5, 1, 0]]), is_counts=True)], name)
    >>> name.read_text().splitlines()
    ['>M1\\tx', 'A  [ 9 ]', 'C  [ 0.5 ]', 'G  [ 1 ]', 'T  [ 0 ]']
    """
    path = Path(path)
    text: list[str] = []
    for motif in motifs:
        text.append(f">{motif.id}\t{motif.name}")
        for row, base in enumerate(BASES):
            numbers = " ".join(
                str(int(v)) if v == int(v) else repr(float(v))
                for v in motif.matrix[:, row].tolist()
            )
            text.append(f"{base}  [ {numbers} ]")
    data = ("\n".join(text) + "\n").encode()
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def _lines(path: Path) -> list[Line]:
    if not path.is_file():
        raise InputError(
            "no such motif file",
            where=str(path),
            expected=f"{_KNOWN}, or a release such as jaspar:2018",
        )
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with LimitedGzip(path) as packed:
                data = packed.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"the gzip file is truncated or damaged ({error})",
            where=str(path),
            do="Copy or download it again.",
        ) from None
    except OSError as error:
        raise InputError(f"cannot read ({error.strerror})", where=str(path)) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("not a text file", where=str(path), expected=_KNOWN) from None
    if "\0" in text:
        raise InputError("not a text file", where=str(path), expected=_KNOWN)
    lines = [(n, line.rstrip()) for n, line in enumerate(text.splitlines(), 1)]
    if not any(line.strip() for _, line in lines):
        raise InputError(
            "the file is empty", where=str(path), expected=_KNOWN, do="Copy or download it again."
        )
    return lines


def _guess(lines: list[Line], path: Path) -> Format:
    # In the text output of MEME and STREME it stands below a banner of asterisks.
    if any(raw.startswith("MEME version") for _, raw in lines):
        return "meme"
    for number, raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if re.match(r"(AC|ID|NA|DE|VV|P0|PO|XX)\b", line):
            return "transfac"
        if (
            line.startswith(">")
            or re.match(r"[ACGT]?\s*[\[|:]|([ACGT]\s+)?[-+.\d]", line)
            or is_column_line(line)
        ):
            return "jaspar"
        raise InputError(
            "this is no motif file we know",
            where=f"{path}, line {number}",
            found=line[:60],
            expected=_KNOWN,
            do="Of MEME's results give meme.txt, not its XML or HTML; of a folder, take out what is"
            " no motif file.",
        )
    raise InputError("no motif in the file", where=str(path), expected=_KNOWN)


def _from_jaspar_release(source: str) -> list[Motif]:
    match = re.fullmatch(r"jaspar:(\d{4})(?::(\w+))?", source.lower())
    if not match:
        raise InputError(
            "not a JASPAR release",
            found=source,
            expected="jaspar:YEAR or jaspar:YEAR:group, as jaspar:2018",
        )
    try:
        from pyjaspar import jaspardb
    except ImportError:
        raise InputError(
            f"{source} needs the package pyjaspar, which is not installed",
            do='Install it with `pip install "epilm[jaspar]"`, or give a motif file.',
        ) from None
    release, group = f"JASPAR{match.group(1)}", match.group(2) or "vertebrates"
    known = [str(r) for r in jaspardb().get_releases()]
    if release not in known:
        raise InputError(
            f"JASPAR has no release {match.group(1)}", found=source, expected=", ".join(known)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty answer is our error below
        entries = jaspardb(release=release).fetch_motifs(collection="CORE", tax_group=[group])
    motifs = []
    for entry in entries:
        matrix = np.array([list(entry.counts[base]) for base in BASES], dtype=np.float64).T
        families = getattr(entry, "tf_family", None) or []
        motif = motif_of(entry.matrix_id, entry.name, np.ascontiguousarray(matrix), source)
        text = families if isinstance(families, str) else "; ".join(map(str, families))
        motifs.append(replace(motif, family=text or None))
    if not motifs:
        raise InputError(f"{source} holds no motif", found=f"tax group {group!r}")
    return duplicate_free(motifs, source)


def read_collection(motifs: str | Path | Sequence[Any]) -> list[Any]:
    """Read a motif file, or take motifs as they are."""
    if isinstance(motifs, str | Path):
        return list(read_motifs(motifs))
    return list(motifs)

"""UCSC track hubs: which file holds which cell type's track, and fetching it.

A hub is text: stanzas of `key value` lines, one per track, with the track's file
as an address of its own (bigDataUrl), relative to the text. It may lie in a
folder or on a web server. What is fetched appears whole or not at all, and is
not fetched twice. Reading the tracks: `segmentation`, `signals`.
"""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from epilm.atomic import atomic_file
from epilm.errors import InputError
from epilm.genome.chromosomes import few
from epilm.genome.files import check_file, read_text

WHAT = "a track hub: trackDb.txt, hub.txt or their folder, local or http(s)"
# Settings of stanzas that only group others and have no file of their own.
_GROUPS = ("compositeTrack", "superTrack", "container", "view")
_EPIGENOME = re.compile(r"E[0-9]{3}(?![0-9A-Za-z])")
_TIMEOUT = 60.0


@dataclass(frozen=True)
class HubTrack:
    """One track of a hub.

    Attributes
    ----------
    track : str
        Its name in the hub.
    short_label, long_label : str
        As the hub gives them; the track's name where it gives none.
    cell : str
        The cell type: E### where the short label begins so (Roadmap), else the short label.
    url : str
        Address of the file: http(s) or a local path.
    kind : str
        First word of the track's type: "bigBed", "bigWig"; "" where not said.
    place : str
        File and line of the stanza, for messages.
    """

    track: str
    short_label: str
    long_label: str
    cell: str
    url: str
    kind: str
    place: str = ""


def is_url(source: str | Path) -> bool:
    """Say whether a name is an address on a web server.

    Examples
    --------
    >>> is_url("https://host/trackDb.txt"), is_url("hub/trackDb.txt")
    (True, False)
    """
    return str(source).startswith(("http://", "https://"))


def read_trackdb(
    source: str | Path,
    *,
    tries: int = 3,
    wait: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> list[HubTrack]:
    """List the tracks of a hub that have a file.

    Parameters
    ----------
    source : path or str
        A trackDb file, a hub.txt (with one genome; also a hub in one file, `useOneFile on`), or a
        folder that holds one of them; a path or http(s).
    tries, wait, sleep
        As in `fetch`.

    Returns
    -------
    list of HubTrack
        In the order of the hub. Stanzas that only group others (compositeTrack, superTrack,
        container, view) are left out.

    Raises
    ------
    InputError
        If there is no such file or server; for a stanza without `track`, without `bigDataUrl`, or
        whose track occurs before. The message names the line.

    References
    ----------
    https://genome.ucsc.edu/goldenPath/help/hgTrackHubHelp.html

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "trackDb.txt"
    >>> _ = name.write_text(
    ...     "track a\\ntype bigBed 9\\nshortLabel E116 GM12878\\nbigDataUrl http://host/a.bb\\n"
    ... )
    >>> track = read_trackdb(name)[0]
    >>> track.cell, track.kind, track.url
    ('E116', 'bigBed', 'http://host/a.bb')
    """
    reach = (tries, wait, sleep)
    address = str(source)
    if not is_url(address) and Path(address).is_dir():
        address = _in_folder(Path(address))
    stanzas = _read(address, reach)
    if stanzas[0].get("useOneFile", "off").split()[:1] == ["on"]:
        stanzas = _tracks_of_one_file(address, stanzas)
    elif "genomesFile" in stanzas[0]:
        address = _trackdb_of_hub(address, stanzas, reach)
        stanzas = _read(address, reach)
    tracks: list[HubTrack] = []
    seen: dict[str, str] = {}
    for stanza in stanzas:
        where = f"{stanza.source}, line {stanza.line}"
        if "track" not in stanza:
            raise InputError(
                "the stanza names no track",
                where=where,
                found=stanza.first,
                expected="a line: track NAME",
                do="Stanzas are separated by blank lines; is this a trackDb file?",
            )
        name = stanza["track"]
        if name in seen:
            raise InputError(
                "the track occurs twice",
                where=where,
                found=name,
                expected=f"other names than in {seen[name]}",
                do="Correct the hub.",
            )
        seen[name] = where
        if not stanza.get("bigDataUrl"):
            if any(stanza.get(key, "off").split()[0:1] != ["off"] for key in _GROUPS):
                continue
            raise InputError(
                "the track has no file",
                where=where,
                found=f"track {name} without bigDataUrl",
                expected="a line: bigDataUrl FILE",
                do="Add the line, or remove the stanza.",
            )
        short = stanza.get("shortLabel") or name
        match = _EPIGENOME.match(short)
        tracks.append(
            HubTrack(
                name,
                short,
                stanza.get("longLabel") or short,
                match[0] if match else short,
                _join(stanza.source, stanza["bigDataUrl"]),
                (stanza.get("type", "").split() or [""])[0],
                where,
            )
        )
    if not tracks:
        raise InputError("the hub has no track with a file", where=address, expected=WHAT)
    return tracks


def state_tracks(tracks: list[HubTrack]) -> dict[str, HubTrack]:
    """Give each cell type its one segmentation of a hub.

    Parameters
    ----------
    tracks : list of HubTrack

    Returns
    -------
    dict of str to HubTrack
        By cell type; tracks that are no bigBed are left out.

    Raises
    ------
    InputError
        If no track is a bigBed, or a cell type has two.

    Examples
    --------
    >>> one = HubTrack("a", "E116 GM12878", "", "E116", "a.bb", "bigBed")
    >>> list(state_tracks([one, HubTrack("b", "E116 signal", "", "E116", "b.bw", "bigWig")]))
    ['E116']
    """
    chosen: dict[str, HubTrack] = {}
    for track in tracks:
        if track.kind != "bigBed" and not (
            not track.kind and track.url.endswith((".bb", ".bigBed"))
        ):
            continue
        other = chosen.setdefault(track.cell, track)
        if other is not track:
            raise InputError(
                "the cell type has two segmentations",
                where=track.place or None,
                found=f"{track.track} and {other.track} for {track.cell}",
                expected="one bigBed track a cell type",
                do="Name the file of each cell type instead (CELL=FILE).",
            )
    if not chosen:
        raise InputError(
            "the hub has no segmentation",
            where=tracks[0].place if tracks else None,
            found=few([f"{track.track} ({track.kind or 'no type'})" for track in tracks]),
            expected="bigBed tracks",
        )
    return chosen


def check_places(tracks: Iterable[HubTrack]) -> None:
    """Refuse tracks whose file cannot be there, before the first is read.

    Local files are looked at; what a server has is found when it is asked.

    Parameters
    ----------
    tracks : iterable of HubTrack

    Raises
    ------
    InputError
        If a local file is missing or empty, or an address is neither http(s) nor a path. The
        message names the line of the stanza.

    Examples
    --------
    >>> check_places(
    ...     [HubTrack("a", "E116", "", "E116", "ftp://host/a.bb", "bigBed", "trackDb.txt, line 3")]
    ... )
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: trackDb.txt, line 3, track a: the address cannot be fetched. Found
        ftp://host/a.bb; expected http, https or a path.
    """
    for track in tracks:
        if is_url(track.url):
            continue
        try:
            fetch(track.url, ".")  # local or refused: nothing is fetched
        except InputError as error:
            raise InputError(
                error.what,
                where=f"{track.place}, track {track.track}",
                found=track.url if error.found is None else f"{track.url}, {error.found}",
                expected=error.expected,
                do=error.do,
            ) from None


class _Stanza(dict[str, str]):
    """Settings of one stanza, and where it begins."""

    def __init__(self, source: str, line: int, first: str) -> None:
        super().__init__()
        self.source, self.line, self.first = source, line, first


Reach = tuple[int, float, Callable[[float], None]]


def _read(address: str, reach: Reach, depth: int = 0) -> list[_Stanza]:
    """Stanzas of a hub's text file; `include` lines are followed."""
    if is_url(address):
        text = _download(address, *reach).decode("utf-8", "replace").replace("\r\n", "\n")
    else:
        text = read_text(address, WHAT).decode("utf-8", "replace")
    if text.lstrip().lower().startswith(("<!doctype", "<html")):
        raise InputError("wrong format", where=address, found="a web page", expected=WHAT)
    stanzas: list[_Stanza] = []
    current: _Stanza | None = None
    carried, begun = "", 0
    for number, raw in enumerate([*text.split("\n"), ""], 1):
        line = (carried + raw.strip()) if carried else raw.strip()
        begun = begun if carried else number
        carried = line[:-1] if line.endswith("\\") else ""
        if carried:
            continue
        if not line:
            current = None
        if not line or line.startswith("#"):
            continue
        key, value = (*line.split(None, 1), "")[:2]
        if key == "include" and depth < 5:
            stanzas += _read(_join(address, value.split()[0]), reach, depth + 1)
            continue
        # A track line opens a stanza, also without a blank line; settings before it belong to it.
        if current is None or (key == "track" and "track" in current):
            current = _Stanza(address, begun, line)
            stanzas.append(current)
        current[key] = value.strip()
    if not stanzas:
        raise InputError("the file holds no stanza", where=address, expected=WHAT)
    return stanzas


def _in_folder(folder: Path) -> str:
    for pattern in ("hub.txt", "trackDb.txt", "trackDb*.txt", "*hub*.txt"):
        hubs = sorted(folder.glob(pattern))
        if len(hubs) == 1:
            return str(hubs[0])
        if hubs:
            raise InputError(
                "the folder holds several hubs",
                where=str(folder),
                found=few([path.name for path in hubs]),
                expected="one",
                do="Name the file.",
            )
    raise InputError(
        "the folder holds no hub",
        where=str(folder),
        found=few(sorted(path.name for path in folder.iterdir())) or "nothing",
        expected="hub.txt or trackDb.txt",
    )


def _tracks_of_one_file(address: str, stanzas: list[_Stanza]) -> list[_Stanza]:
    """The stanzas of tracks in a hub of one file: a stanza of the hub and one of its only genome
    come before them.
    """
    genomes = [stanza for stanza in stanzas if "genome" in stanza and "track" not in stanza]
    if len(genomes) != 1:
        raise InputError(
            "the hub has several genomes" if genomes else "the hub names no genome",
            where=address,
            found=few([stanza["genome"] for stanza in genomes]) or None,
            expected="one stanza `genome NAME`, and the tracks after it",
            do="Keep the tracks of one genome in the file." if genomes else None,
        )
    tracks = [stanza for stanza in stanzas[1:] if stanza is not genomes[0]]
    if not tracks:
        raise InputError("the hub has no track with a file", where=address, expected=WHAT)
    return tracks


def _trackdb_of_hub(address: str, stanzas: list[_Stanza], reach: Reach) -> str:
    """Follow hub.txt to its genomes file and from there to the trackDb of its only genome."""
    listed = _join(address, stanzas[0]["genomesFile"])
    genomes = [stanza for stanza in _read(listed, reach) if "trackDb" in stanza]
    if len(genomes) != 1:
        raise InputError(
            "the hub has several genomes" if genomes else "the hub names no trackDb",
            where=listed,
            found=few([stanza.get("genome", "?") for stanza in genomes]) or None,
            expected="one genome",
            do=(
                "Give the trackDb file of the genome: "
                + ", ".join(_join(listed, one["trackDb"]) for one in genomes)
                if genomes
                else None
            ),
        )
    return _join(listed, genomes[0]["trackDb"])


def _join(base: str, name: str) -> str:
    """An address given in a file, relative to that file."""
    if "://" in name and not name.startswith("file://"):
        return name
    if is_url(base):
        return urllib.parse.urljoin(base, name)
    return str(
        Path(name.removeprefix("file://"))
        if name.startswith(("/", "file://"))
        else Path(base).parent / name
    )


def fetch(
    url: str,
    folder: str | Path,
    tries: int = 3,
    wait: float = 2.0,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch a file into a folder, once; a local path is given back as it is.

    Parameters
    ----------
    url : str
        http(s) address, or a path.
    folder : path
        Made when missing. The file's name there begins with a mark of its address, so that files of
        one name from two places do not meet.
    tries : int
        How often to try when the server does not answer, breaks off, or answers 408, 429 or 5xx.
    wait : float
        Seconds before the second try; doubled before each further one.
    sleep : function of seconds
        How to wait.

    Returns
    -------
    Path
        The file, whole. One that is there already is not fetched again.

    Raises
    ------
    InputError
        If the file is not there (404 and such, at once) or could not be had in `tries`; nothing is
        left in the folder.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.bb"
    >>> _ = name.write_bytes(b"1")
    >>> fetch(str(name), "/nowhere") == name
    True
    """
    if not is_url(url):
        if "://" in url:
            raise InputError(
                "the address cannot be fetched", where=url, expected="http, https or a path"
            )
        return check_file(url, "the file of a track")
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name or "file"
    path = Path(folder) / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}_{name}"
    if path.exists():
        return path
    with atomic_file(path) as temporary:
        _download(url, tries, wait, sleep, into=temporary)
    return path


def _download(
    url: str, tries: int, wait: float, sleep: Callable[[float], None], into: Path | None = None
) -> bytes:
    """The bytes at an address, or (with `into`) a file of them; tries again where that may help."""
    if tries < 1:
        raise ValueError(f"tries must be at least 1, not {tries}")
    reason = ""
    for attempt in range(tries):
        if attempt:
            sleep(wait * 2 ** (attempt - 1))
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
                expected = answer.headers.get("Content-Length")
                if into is None:
                    data, n = answer.read(), 0
                    n = len(data)
                else:
                    data, n = b"", 0
                    with into.open("wb") as handle:
                        while piece := answer.read(1 << 20):
                            handle.write(piece)
                            n += len(piece)
            if expected is not None and n != int(expected):
                reason = f"the connection broke off after {n} of {expected} bytes"
                continue
            if n == 0:
                reason = "the answer was empty"
                continue
            return data
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code not in (408, 429) and error.code < 500:
                raise InputError(
                    "the server does not give the file",
                    where=url,
                    found=reason,
                    expected="the file of a track",
                    do="Check the address; a hub that moved can be given as a local folder.",
                ) from None
        except http.client.IncompleteRead as error:
            reason = f"the connection broke off after {len(error.partial)} bytes"
        except (
            urllib.error.URLError,
            TimeoutError,
            http.client.HTTPException,
            ConnectionError,
        ) as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        except ValueError as error:  # an address that is none
            raise InputError("the address cannot be fetched", where=url, found=str(error)) from None
    raise InputError(
        f"the server cannot be reached (tried {tries} time{'s' * (tries != 1)})",
        where=url,
        found=reason,
        do=(
            "Try again later, or fetch the files by other means and give the folder; nothing was"
            " left half-written."
        ),
    )

"""Which tracks a build reads, what they are called, and which of them serves which cell type.

A track has the name of its file, of its column or of its hub entry. The cell map
gives tracks the names of cell types; where that is not the very same cell type
the map declares a proxy, which is kept in the store and said on every look at
it. Nothing is read here but names. Standard library and `epilm.genome` only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from epilm.errors import InputError, nearest
from epilm.genome.files import read_text
from epilm.genome.trackhub import check_places, is_url, read_trackdb, state_tracks
from epilm.store.making.inputs import Peaks, cell_files
from epilm.store.making.regions import as_option, check_choice
from epilm.store.track_arrays import check_signal_name

Pool = Literal["max", "mean", "min"]
Scale = Literal["none", "depth"]
CellMap = Mapping[str, str] | str | Path | Sequence[str]
STATE_ENDINGS = (".bed", ".bb", ".bigBed")
_PLAIN_SIGNAL = (".bw", ".bigWig", ".bedGraph", ".bdg", ".bg")
# K562.accessibility.bw is K562's.
SIGNAL_ENDINGS = (*(f".accessibility{ending}" for ending in _PLAIN_SIGNAL), *_PLAIN_SIGNAL)

# Roadmap's numbers of cell types that carry another name elsewhere (protocols 5.2): the same cells,
# no proxy. Names as `_plain` gives them.
SAME = {
    "a549": ("e114",),
    "gm12878": ("e116",),
    "h1": ("e003",),
    "h1hesc": ("e003",),
    "helas3": ("e117",),
    "hepg2": ("e118",),
    "imr90": ("e017",),
    "k562": ("e123",),
    "liver": ("e066",),
    "inducedpluripotentstemcell": ("e018", "e019", "e020", "e021", "e022"),
    "ipsc": ("e018", "e019", "e020", "e021", "e022"),
}


@dataclass(frozen=True)
class StateSource:
    """Where the states of one or more cell types come from.

    Attributes
    ----------
    track : str
        Its name; of a table (`.state`) that of the file.
    place : str
        Path or URL.
    kind : {"file", "table"}
        One cell type (BED, bigBed), or one a column (IDEAS `.state`).
    stanza : str
        File and line of the hub's stanza that names it, for messages; "" where none does.
    """

    track: str
    place: str
    kind: Literal["file", "table"]
    stanza: str = ""


def state_sources(given: Peaks) -> list[StateSource]:
    """List the tracks of states.

    Parameters
    ----------
    given : dict, folder, pattern, "CELL=FILE", file, or several of them
        Segmentations as in `inputs.peak_files` (BED, bigBed), IDEAS `.state` tables, and track
        hubs: a `trackDb.txt`, on disk or a URL.

    Returns
    -------
    list of StateSource
        In the order given.

    Raises
    ------
    InputError
        If nothing is found, a file does not exist (also one that a hub names), or two give one
        name.
    """
    sources: list[StateSource] = []
    if isinstance(given, Mapping):
        sources += [_source(str(cell), str(path)) for cell, path in given.items()]
    else:
        for one in [given] if isinstance(given, str | Path) else list(given):
            sources += _one(str(one))
    seen: dict[str, str] = {}
    for source in sources:
        if source.kind == "file" and seen.setdefault(source.track, source.place) != source.place:
            raise InputError(
                "two tracks of states have one name",
                where=source.place,
                found=f"{source.track}, which is also {seen[source.track]}",
                expected="one track a cell type",
                do="Leave one of them out, or give it another name (--states OTHER=FILE).",
            )
    return sources


def _one(word: str) -> list[StateSource]:
    path = Path(word)
    cell, _, address = word.partition("=")
    # An address of another kind than http goes on as one: `fetch` says what can be read.
    if "://" in address and "://" not in cell:
        return [_source(cell, address)]
    if "://" in word and (_is_file_name(word) or not is_url(word)):
        return [_source(_stem(word), word)]
    if is_url(word) or _is_hub(path):
        tracks = state_tracks(read_trackdb(word))
        check_places(tracks.values())
        return [_source(cell, track.url, track.place) for cell, track in tracks.items()]
    files = cell_files(word, (*STATE_ENDINGS, ".state"), "segmentation", "--states")
    return [_source(cell, str(address)) for cell, address in files.items()]


def _source(track: str, place: str, stanza: str = "") -> StateSource:
    table = Path(place).name.removesuffix(".gz").endswith(".state")
    return StateSource(track, place, "table" if table else "file", stanza)


def _is_file_name(word: str) -> bool:
    return word.lower().removesuffix(".gz").endswith(tuple(e.lower() for e in STATE_ENDINGS))


def _is_hub(path: Path) -> bool:
    """A trackDb.txt or hub.txt by its name or its first lines, or a folder that holds one."""
    if path.is_dir():
        return (path / "hub.txt").is_file() or any(path.glob("trackDb*.txt"))
    if not path.is_file():
        return False
    if path.match("trackDb*.txt"):
        return True
    with open(path, "rb") as handle:
        lines = handle.read(4096).decode("latin-1").splitlines()
    # A stanza may begin with any of its settings, but no line of a BED begins so.
    if any(line.split()[:1] == ["bigDataUrl"] for line in lines):
        return True
    for line in lines:
        words = line.split()
        if words and not line.startswith("#"):
            # A browser's line over a BED reads `track name=... description=...`.
            return (
                words[0] in ("track", "hub", "include") and len(words) == 2 and "=" not in words[1]
            )
    return False


def _stem(place: str) -> str:
    name = place.rsplit("/", 1)[-1].removesuffix(".gz")
    for ending in STATE_ENDINGS:
        name = name.removesuffix(ending)
    return name


@dataclass(frozen=True)
class Served:
    """Which track serves each cell type.

    Attributes
    ----------
    cells : dict of str to str
        Cell type -> track.
    proxies : dict of str to str
        Those that read the track of another cell type.
    """

    cells: dict[str, str]
    proxies: dict[str, str]

    def notes(self) -> list[str]:
        """One warning a proxy, one line a track that serves several."""
        lines = [
            f"WARNING: {cell} has no states of its own here and reads those of {track} (declared"
            " proxy)"
            for cell, track in self.proxies.items()
        ]
        for track in dict.fromkeys(self.cells.values()):
            both = [cell for cell, of in self.cells.items() if of == track]
            if len(both) > 1:
                lines.append(f"one track of states ({track}) serves {', '.join(both)}")
        return lines


def read_cell_map(given: CellMap | None) -> dict[str, tuple[str, str]]:
    """Read a cell map: cell type -> (track, "same", "proxy" or "").

    Parameters
    ----------
    given : dict, "CELL=TRACK" words, or a TSV file
        The file has two columns, cell type and track, and may say "same" or "proxy" in a third.

    Raises
    ------
    InputError
        If a word or line is no pair, or a cell type comes twice.

    Examples
    --------
    >>> read_cell_map(["K562=E123", "PC-3=E118"])
    {'K562': ('E123', ''), 'PC-3': ('E118', '')}
    """
    pairs: list[tuple[str, str, str, str]] = []  # cell, track, kind, where
    if isinstance(given, Mapping):
        pairs = [(str(cell), str(track), "", "--cell-map") for cell, track in given.items()]
    elif given is not None:
        for word in [given] if isinstance(given, str | Path) else given:
            if Path(word).is_file():
                pairs += _map_lines(Path(word))
                continue
            cell, equals, track = str(word).partition("=")
            if not equals or not cell or not track:
                raise InputError(
                    "this is no entry of a cell map",
                    where="--cell-map",
                    found=str(word),
                    expected="CELL=TRACK, or a file of two columns",
                )
            pairs.append((cell, track, "", "--cell-map"))
    out: dict[str, tuple[str, str]] = {}
    for cell, track, kind, where in pairs:
        if cell in out and out[cell] != (track, kind):
            raise InputError(
                "the cell map names a cell type twice",
                where=where,
                found=f"{cell}: {out[cell][0]} and {track}",
                expected="one track for each cell type",
            )
        out[cell] = (track, kind)
    return out


def _map_lines(path: Path) -> list[tuple[str, str, str, str]]:
    pairs = []
    for number, line in enumerate(
        read_text(path, "a cell map").decode("utf-8", "replace").split("\n"), 1
    ):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        kind = fields[2] if len(fields) > 2 else ""
        if len(fields) < 2 or not fields[0] or not fields[1] or kind not in ("", "same", "proxy"):
            raise InputError(
                "this is no line of a cell map",
                where=f"{path}, line {number}",
                found=repr(line[:60]),
                expected="cell type, tab, track; then perhaps a tab and `same` or `proxy`",
            )
        pairs.append((fields[0], fields[1], kind, f"{path}, line {number}"))
    return pairs


def serve(tracks: Sequence[str], given: Mapping[str, tuple[str, str]]) -> Served:
    """Give tracks the names of cell types.

    A track that the map names goes by the names of the map; any other one by its own. A cell type
    that reads a track of another name is a proxy, unless the map says "same", the names differ in
    case and punctuation alone, or the two are known to be the same cells (`SAME`). A proxy only
    borrows: a track that the map names for proxies alone goes by its own name as well, unless the
    map gives that name another track.

    Parameters
    ----------
    tracks : sequence of str
    given : dict
        Of `read_cell_map`.

    Raises
    ------
    InputError
        If the map names a track that does not exist, or a name would stand for two tracks.

    Examples
    --------
    >>> served = serve(["E118", "E123"], read_cell_map(["K562=E123", "HepG2=E118", "PC-3=E118"]))
    >>> served.cells, served.proxies
    ({'HepG2': 'E118', 'PC-3': 'E118', 'K562': 'E123'}, {'PC-3': 'E118'})
    >>> serve(["typeA", "typeB"], read_cell_map(["PC-3=typeB"])).cells
    {'typeA': 'typeA', 'typeB': 'typeB', 'PC-3': 'typeB'}
    >>> serve(["E118", "E123"], read_cell_map({"K562": "E12"}))
    Traceback (most recent call last):
    ...
    epilm.errors.InputError: --cell-map, K562: there is no such track of states. Found E12. Did you
        mean E123? Known: E118, E123.
    """
    for cell, (track, _) in given.items():
        if track not in tracks:
            raise InputError(
                "there is no such track of states",
                where=f"--cell-map, {cell}",
                found=track,
                do=nearest(track, tracks),
            )
    proxies = {
        cell: track
        for cell, (track, kind) in given.items()
        if kind == "proxy" or (kind == "" and not _same(cell, track))
    }
    cells: dict[str, str] = {}
    for track in tracks:
        names = [cell for cell, (of, _) in given.items() if of == track]
        borrowed = all(cell in proxies for cell in names)
        if not names or (borrowed and track not in given):
            names = [track, *names]
        for cell in names:
            if cells.get(cell, track) != track:
                raise InputError(
                    "two tracks of states would serve one cell type",
                    where="--cell-map",
                    found=f"{cell}: {cells[cell]} and {track}",
                    do=(
                        f"Give the track {cell} another name in the map, for example"
                        f" {cell}.own={cell}."
                    ),
                )
            cells[cell] = track
    return Served(cells, proxies)


def _same(cell: str, track: str) -> bool:
    """Whether two names are known to mean the same cells.

    Examples
    --------
    >>> _same("K562", "E123"), _same("HeLa-S3", "Helas3"), _same("PC-3", "E118")
    (True, True, False)
    """
    a, b = _plain(cell), _plain(track)
    return a == b or b in SAME.get(a, ()) or a in SAME.get(b, ())


def near_names(cells: Sequence[str]) -> list[str]:
    """Hint at cell types whose names differ in case and punctuation alone: one line a group.

    Examples
    --------
    >>> near_names(["MCF7", "K562", "MCF-7"])
    ['cell types MCF7 and MCF-7 differ in case and punctuation alone: if they are one, name their
    files alike (CELL=FILE) or map them (--cell-map)']
    >>> near_names(["H1", "H9"])
    []
    """
    groups: dict[str, list[str]] = {}
    for cell in cells:
        groups.setdefault(_plain(cell), []).append(cell)
    return [
        f"cell types {' and '.join(group)} differ in case and punctuation alone: if they are one,"
        " name their files alike (CELL=FILE) or map them (--cell-map)"
        for plain, group in groups.items()
        if plain and len(group) > 1
    ]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


@dataclass(frozen=True)
class SignalSource:
    """The files of one signal.

    Attributes
    ----------
    name : str
    files : dict of str to Path
        Cell type -> file; one entry "" when one file serves all.
    pool : str
        How bases become a value, at resolutions above 1.
    scale : {"none", "depth"}
        depth: each cell type's values are divided by their mean over the genome.
    """

    name: str
    files: dict[str, Path]
    pool: Pool
    scale: Scale = "none"

    @property
    def shared(self) -> bool:
        """One track for all cell types."""
        return list(self.files) == [""]


def signal_sources(
    accessibility: Peaks | None,
    mappability: str | Path | None,
    signal: Mapping[str, Any] | Sequence[str] | str | None,
    pool: str | Mapping[str, str] | Sequence[str],
    scale: str | Mapping[str, str] | Sequence[str] = "none",
) -> list[SignalSource]:
    """List the signals of a build.

    Parameters
    ----------
    accessibility : as in `inputs.peak_files`
        bigWig or bedGraph, one a cell type. The file given as mappability is none of them.
    mappability : path
        One for all cell types.
    signal : dict of name to files, or "NAME:CELL=FILE" and "NAME:FILE" words
        Others. A name with a file alone is one signal for all cell types.
    pool : str, or dict / "NAME=HOW" words
        How bases become a value: "max", "mean", "min"; for all signals, or by name.
    scale : str, or dict / "NAME=HOW" words
        "none" or "depth"; for all signals with a track a cell type, or by name.

    Raises
    ------
    InputError
    """
    signals: dict[str, dict[str, Path]] = {}
    if accessibility is not None:
        files = cell_files(accessibility, SIGNAL_ENDINGS, "signal file", "--accessibility")
        if mappability is not None:  # one folder may hold both
            files = {cell: file for cell, file in files.items() if not _one_file(file, mappability)}
        signals["accessibility"] = files
    if mappability is not None:
        signals["mappability"] = {"": Path(mappability)}
    if isinstance(signal, Mapping):
        for name, files in signal.items():
            one = isinstance(files, str | Path) and Path(files).is_file()
            signals[name] = (
                {"": Path(files)}
                if one
                else cell_files(files, SIGNAL_ENDINGS, "signal file", "--signal")
            )
    else:
        for word in [signal] if isinstance(signal, str) else list(signal or ()):
            name, colon, rest = word.partition(":")
            cell, equals, path = rest.partition("=")
            if not colon or not name or not rest:
                raise InputError(
                    "this is no signal",
                    where="--signal",
                    found=word,
                    expected="NAME:CELL=FILE, or NAME:FILE for one file that serves all cell types",
                )
            key, file = (cell, path) if equals and not Path(rest).exists() else ("", rest)
            known = signals.setdefault(name, {})
            if key in known or (known and (key == "" or "" in known)):
                raise InputError(
                    "a signal has two files for one cell type",
                    where="--signal",
                    found=word,
                    expected="one file for each cell type, or one for all",
                )
            known[key] = Path(file)
    for name in signals:
        check_signal_name(name)
    pools = _by_signal(pool, tuple(signals), "signal_pool", get_args(Pool), "max")
    several = tuple(name for name, files in signals.items() if list(files) != [""])
    scales = _by_signal(scale, several, "signal_scale", get_args(Scale), "none")
    return [
        SignalSource(name, files, pools[name], scales.get(name, "none"))
        for name, files in signals.items()
    ]


def _one_file(one: Path, other: str | Path) -> bool:
    return one.resolve() == Path(other).resolve()


def _by_signal(
    given: str | Mapping[str, str] | Sequence[str],
    names: Sequence[str],
    option: str,
    known: tuple[str, ...],
    default: str,
) -> dict[str, Any]:
    """What is asked of each signal, by one word for all or by "NAME=HOW"."""
    chosen = dict.fromkeys(names, default)
    if isinstance(given, Mapping):
        words = [f"{name}={how}" for name, how in given.items()]
    else:
        words = [given] if isinstance(given, str) else list(given)
    for word in words:
        name, equals, how = word.rpartition("=")
        check_choice(option, how, known)
        if how != default and not equals and not names:
            raise InputError(
                "no signal has a track of each cell type",
                where=as_option(option),
                found=how,
                do="Give --accessibility or --signal, or leave it out.",
            )
        if equals and name not in chosen:
            raise InputError(
                "there is no such signal",
                where=as_option(option),
                found=name,
                do=nearest(name, names),
            )
        chosen.update({name: how} if equals else dict.fromkeys(names, how))
    return chosen
